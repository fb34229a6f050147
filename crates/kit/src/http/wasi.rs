//! The `wasi:http` export: the same routes, for a service that is exposed by itself.

use wasmcloud_component::wasi::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasmcloud_component::wasi::io::streams::{OutputStream, StreamError};

use super::exchange::{MAX_BODY, MAX_HEAD, MAX_HEADERS, Request, Response};
use crate::problem::Problem;

/// Answers a request; what cannot be read is refused.
pub fn serve(
    respond: fn(&Request) -> Response,
    refuse: fn(&Request, &Problem) -> Response,
    incoming: IncomingRequest,
    out: ResponseOutparam,
) {
    let mut request = head(&incoming);
    let response = match read(&incoming, &mut request) {
        Ok(()) => respond(&request),
        Err(problem) => refuse(&request, &problem),
    };
    send(&response, out);
}

fn head(incoming: &IncomingRequest) -> Request {
    let mut headers = incoming.headers().entries();
    // Hosts tell the name that the client has for the server apart from the other headers.
    if let Some(authority) = incoming.authority()
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        headers.push(("host".to_owned(), authority.into_bytes()));
    }
    let target = incoming.path_with_query().unwrap_or_else(|| "/".to_owned());
    Request { method: method(incoming.method()), target, headers, body: Vec::new() }
}

/// Checks the head of a request, and reads its body.
fn read(incoming: &IncomingRequest, request: &mut Request) -> Result<(), Problem> {
    let headers = &request.headers;
    let head: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if headers.len() > MAX_HEADERS || head > MAX_HEAD {
        let detail = format!("More than {MAX_HEADERS} headers, or more than {MAX_HEAD} bytes of them.");
        return Err(Problem::header_too_large(detail));
    }
    let declared = request.header("content-length").and_then(|text| text.parse::<usize>().ok());
    if declared.is_some_and(|len| len > MAX_BODY) {
        return Err(too_large());
    }
    // A body that no route would read is not asked for.
    if !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        request.body = body(incoming)?;
    }
    Ok(())
}

fn body(incoming: &IncomingRequest) -> Result<Vec<u8>, Problem> {
    let lost = || Problem::malformed("The body could not be read.");
    let body = incoming.consume().map_err(|()| lost())?;
    let stream = body.stream().map_err(|()| lost())?;
    let mut bytes = Vec::new();
    loop {
        let room = (MAX_BODY + 1).saturating_sub(bytes.len());
        if room == 0 {
            return Err(too_large());
        }
        match stream.blocking_read(room.min(64 * 1024) as u64) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(lost()),
        }
    }
}

fn too_large() -> Problem {
    Problem::too_large(format!("The body may have {MAX_BODY} bytes."))
}

fn method(method: Method) -> String {
    match method {
        Method::Get => "GET".to_owned(),
        Method::Head => "HEAD".to_owned(),
        Method::Post => "POST".to_owned(),
        Method::Put => "PUT".to_owned(),
        Method::Delete => "DELETE".to_owned(),
        Method::Connect => "CONNECT".to_owned(),
        Method::Options => "OPTIONS".to_owned(),
        Method::Trace => "TRACE".to_owned(),
        Method::Patch => "PATCH".to_owned(),
        Method::Other(other) => other,
    }
}

fn send(response: &Response, out: ResponseOutparam) {
    let outgoing = OutgoingResponse::new(fields(response));
    // Statuses come from our own code and are all valid.
    let _ = outgoing.set_status_code(response.status);
    let body = outgoing.body();
    ResponseOutparam::set(out, Ok(outgoing));
    // From here on the caller is reading; if it goes away, nobody is left to tell.
    let Ok(body) = body else { return };
    if let Ok(stream) = body.write()
        && write(&stream, &response.body).is_ok()
    {
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}

/// The headers, in one call of the host if it takes them all.
fn fields(response: &Response) -> Fields {
    // The length of a HEAD answer is that of a body which does not come; hosts hold us to lengths.
    let is_right =
        |name: &str, value: &str| name != "content-length" || response.body.len().to_string() == value;
    let sent = response.headers.iter().filter(|(name, value)| is_right(name, value));
    let entries: Vec<(String, Vec<u8>)> =
        sent.map(|(name, value)| (name.to_string(), value.clone().into_bytes())).collect();
    Fields::from_list(&entries).unwrap_or_else(|_| {
        let headers = Fields::new();
        for (name, value) in &entries {
            // A host may keep some headers to itself; the answer goes without them then.
            let _ = headers.append(name, value);
        }
        headers
    })
}

/// Writes as much at a time as the stream has room for.
fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        if now.is_empty() {
            stream.subscribe().block();
        } else {
            stream.write(now)?;
        }
        bytes = later;
    }
    Ok(())
}
