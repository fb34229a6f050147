//! Asking servers outside, by `wasi:http/outgoing-handler`.
//!
//! A component imports that only if its service sends something: what nobody calls is not in it.

use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::uri::Scheme as UrlScheme;
use http::{HeaderName, HeaderValue, Method as HttpMethod, Request, Response};
use wasmcloud_component::wasi::clocks::monotonic_clock;
use wasmcloud_component::wasi::http::outgoing_handler::{self, RequestOptions};
use wasmcloud_component::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    Scheme,
};
use wasmcloud_component::wasi::io::poll::{Pollable, poll};
use wasmcloud_component::wasi::io::streams::StreamError;

use crate::limits::OUTSIDE_BODY_MAX;
use crate::platform::sending::SendError;

const CHUNK: u64 = 64 * 1024;

pub fn send(request: &Request<Vec<u8>>, patience: Duration) -> Result<Response<Vec<u8>>, SendError> {
    let deadline = Deadline::after(patience);
    let (outgoing, body) = begin(request).map_err(|why| SendError::NotSent(why.to_owned()))?;
    let options = options(patience);
    let coming = outgoing_handler::handle(outgoing, Some(options)).map_err(|code| refusal(&code))?;
    write(body, request.body(), &deadline)?;
    let response = answer(&coming, &deadline)?;
    read(&response, request.method(), &deadline)
}

/// When it is too late for an answer.
struct Deadline {
    patience: Duration,
    passed: Pollable,
}

impl Deadline {
    fn after(patience: Duration) -> Self {
        Self { patience, passed: monotonic_clock::subscribe_duration(nanoseconds(patience)) }
    }

    /// Waits for something; an error is that it is too late.
    fn wait(&self, what: &Pollable) -> Result<(), SendError> {
        let ready = poll(&[what, &self.passed]);
        if ready.contains(&0) {
            return Ok(());
        }
        Err(SendError::Unknown(format!("no answer within {:?}", self.patience)))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The head of a request, and where its body goes.
fn begin(request: &Request<Vec<u8>>) -> Result<(OutgoingRequest, OutgoingBody), &'static str> {
    let url = request.uri();
    let headers = fields(request).ok_or("one of its headers is not allowed by the host")?;
    let outgoing = OutgoingRequest::new(headers);
    let scheme = if url.scheme() == Some(&UrlScheme::HTTPS) { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method(request.method())).map_err(|()| "the host does not know its method")?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| "the host does not know its scheme")?;
    let authority = url.authority().map(http::uri::Authority::as_str);
    outgoing.set_authority(authority).map_err(|()| "the host cannot read its server")?;
    let path = url.path_and_query().map(http::uri::PathAndQuery::as_str);
    outgoing.set_path_with_query(path).map_err(|()| "the host cannot read its path")?;
    let body = outgoing.body().map_err(|()| "the host takes no body")?;
    Ok((outgoing, body))
}

fn fields(request: &Request<Vec<u8>>) -> Option<Fields> {
    let named = request.headers().iter();
    let mut entries: Vec<_> =
        named.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    let length = request.body().len();
    let has_body = [HttpMethod::POST, HttpMethod::PUT, HttpMethod::PATCH].contains(request.method());
    if has_body || length > 0 {
        entries.push((CONTENT_LENGTH.as_str().to_owned(), length.to_string().into_bytes()));
    }
    Fields::from_list(&entries).ok()
}

/// Lets the host end what nobody waits for any more. A server that does not even take the connection has got nothing, so that is
/// given up first: it is better to know than not.
fn options(patience: Duration) -> RequestOptions {
    let options = RequestOptions::new();
    let longer = nanoseconds(patience + Duration::from_secs(1));
    let _ = options.set_connect_timeout(Some(nanoseconds(patience) / 2));
    let _ = options.set_first_byte_timeout(Some(longer));
    let _ = options.set_between_bytes_timeout(Some(longer));
    options
}

/// Writes as much at a time as there is room for. That the server takes no more of it is no error here: it may have answered already.
fn write(body: OutgoingBody, mut bytes: &[u8], deadline: &Deadline) -> Result<(), SendError> {
    let Ok(stream) = body.write() else { return Ok(()) };
    while !bytes.is_empty() {
        let Ok(room) = stream.check_write() else { break };
        let (now, later) = bytes.split_at(usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len()));
        if now.is_empty() {
            deadline.wait(&stream.subscribe())?;
        } else if stream.write(now).is_err() {
            break;
        }
        bytes = later;
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
    Ok(())
}

fn answer(coming: &FutureIncomingResponse, deadline: &Deadline) -> Result<IncomingResponse, SendError> {
    loop {
        match coming.get() {
            Some(Ok(Ok(response))) => return Ok(response),
            Some(Ok(Err(code))) => return Err(refusal(&code)),
            Some(Err(())) => return Err(SendError::Unknown("the host has given its answer away".to_owned())),
            None => deadline.wait(&coming.subscribe())?,
        }
    }
}

/// What an error says of a request. Only what happens before there is a connection, and TLS on it, says that nothing was sent. A
/// time-out of a connection may also be one that was made, as the HTTP client of wasmCloud says it.
fn refusal(code: &ErrorCode) -> SendError {
    let not_sent = |why: &str| SendError::NotSent(why.to_owned());
    match code {
        ErrorCode::HttpRequestDenied => {
            not_sent("the host denies it; link the component to an http-client in the manifest")
        }
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => {
            not_sent("its name leads nowhere")
        }
        ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable => not_sent("it cannot be reached"),
        ErrorCode::ConnectionRefused => not_sent("connection refused"),
        ErrorCode::ConnectionLimitReached => {
            not_sent("there are too many requests of this instance under way")
        }
        ErrorCode::TlsProtocolError | ErrorCode::TlsCertificateError => {
            not_sent("no TLS connection to it that can be trusted")
        }
        ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong => not_sent("the host cannot send such a request"),
        ErrorCode::HttpResponseBodySize(_) => too_large(),
        ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpProtocolError
        | ErrorCode::ConnectionTerminated => not_whole(),
        other => SendError::Unknown(format!("{other:?}")),
    }
}

fn too_large() -> SendError {
    SendError::Unknown(format!("the answer has more than {OUTSIDE_BODY_MAX} bytes"))
}

fn not_whole() -> SendError {
    SendError::Unknown("there is no answer that is whole and is HTTP".to_owned())
}

/// The whole of an answer.
fn read(
    response: &IncomingResponse,
    to: &HttpMethod,
    deadline: &Deadline,
) -> Result<Response<Vec<u8>>, SendError> {
    let unknown = |why: &str| SendError::Unknown(why.to_owned());
    let mut answer = Response::new(Vec::new());
    *answer.status_mut() = response.status().try_into().map_err(|_| unknown("its status is none"))?;
    for (name, value) in response.headers().entries() {
        let name = name.parse::<HeaderName>().map_err(|_| unknown("one of its headers has no name"))?;
        let value =
            HeaderValue::from_bytes(&value).map_err(|_| unknown("one of its headers has no value"))?;
        answer.headers_mut().append(name, value);
    }
    let bytes = body(response, deadline)?;
    let has_body = to != HttpMethod::HEAD && !matches!(response.status(), 204 | 304);
    let stated = answer.headers().get(CONTENT_LENGTH);
    // Providers may end a body that the server has not ended as if it had.
    if has_body && stated.is_some_and(|stated| stated.as_bytes() != bytes.len().to_string().as_bytes()) {
        return Err(not_whole());
    }
    *answer.body_mut() = bytes;
    Ok(answer)
}

fn body(response: &IncomingResponse, deadline: &Deadline) -> Result<Vec<u8>, SendError> {
    let lost = || SendError::Unknown("the answer has no body that can be read".to_owned());
    let body = response.consume().map_err(|()| lost())?;
    let stream = body.stream().map_err(|()| lost())?;
    let mut bytes = Vec::new();
    loop {
        match stream.read(CHUNK) {
            Ok(chunk) if chunk.is_empty() => deadline.wait(&stream.subscribe())?,
            Ok(chunk) if bytes.len() + chunk.len() > OUTSIDE_BODY_MAX => {
                return Err(too_large());
            }
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(not_whole()),
        }
    }
}

fn method(method: &HttpMethod) -> Method {
    match *method {
        HttpMethod::GET => Method::Get,
        HttpMethod::HEAD => Method::Head,
        HttpMethod::POST => Method::Post,
        HttpMethod::PUT => Method::Put,
        HttpMethod::DELETE => Method::Delete,
        HttpMethod::CONNECT => Method::Connect,
        HttpMethod::OPTIONS => Method::Options,
        HttpMethod::TRACE => Method::Trace,
        HttpMethod::PATCH => Method::Patch,
        _ => Method::Other(method.as_str().to_owned()),
    }
}
