//! `message/http`: a request as the bytes of HTTP/1.1 in a message, and a response likewise.
//!
//! Anyone on the message bus can speak it: `nats req svc.posts $'GET /posts HTTP/1.1\r\n\r\n'`. There is one
//! request in a message, whole, with a `Content-Length` if it has a body. Everything else is refused, because
//! what one reader of HTTP takes for a body another takes for a second request.

use super::{MAX_BODY, MAX_HEAD, MAX_HEADERS, Request, Response, router};
use crate::trace::Trace;
use crate::{Problem, Service};

/// Answers the request in a message.
pub fn answer<S: Service>(message: &[u8]) -> Vec<u8> {
    match parse(message) {
        Ok(request) => write(&router::respond::<S>(&request)),
        Err(problem) => {
            let refusal = router::refuse(&problem, Trace::accept(None).id());
            let length = refusal.body.len().to_string();
            write(&refusal.with("content-length", length))
        }
    }
}

pub(crate) fn parse(message: &[u8]) -> Result<Request, Problem> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let head_len = match head.parse(message.get(..MAX_HEAD).unwrap_or(message)) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if message.len() > MAX_HEAD => {
            return Err(Problem::header_too_large(format!("The headers take more than {MAX_HEAD} bytes.")));
        }
        Ok(httparse::Status::Partial) => {
            return Err(Problem::malformed("The request ends within its headers."));
        }
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Problem::header_too_large(format!("There are more than {MAX_HEADERS} headers.")));
        }
        Err(error) => return Err(Problem::malformed(format!("Not an HTTP/1.1 request: {error}."))),
    };
    let (Some(method), Some(target), Some(1)) = (head.method, head.path, head.version) else {
        return Err(Problem::malformed("Not an HTTP/1.1 request."));
    };
    let headers = head.headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect();
    let mut request =
        Request { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() };
    let body = message.get(head_len..).unwrap_or_default();
    if body_len(&request)? != body.len() {
        return Err(Problem::malformed("The body is not as long as Content-Length says."));
    }
    request.body = body.to_vec();
    Ok(request)
}

fn body_len(request: &Request) -> Result<usize, Problem> {
    let sent =
        |name: &str| request.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).count();
    if sent("transfer-encoding") > 0 {
        return Err(Problem::malformed("A message carries its body whole: no Transfer-Encoding."));
    }
    if sent("content-length") == 0 {
        return Ok(0);
    }
    // `parse` would take a plus sign, which HTTP does not have.
    let len = request
        .header("content-length")
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok());
    match len {
        Some(len) if len <= MAX_BODY => Ok(len),
        Some(_) => Err(Problem::too_large(format!("The body may have {MAX_BODY} bytes."))),
        None => Err(Problem::malformed("Send one Content-Length, as a number.")),
    }
}

pub(crate) fn write(response: &Response) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {}\r\n", one_line(value)));
    }
    head.push_str("\r\n");
    let mut message = head.into_bytes();
    message.extend_from_slice(&response.body);
    message
}

/// A header value cannot end its line, whatever it was made from.
fn one_line(value: &str) -> String {
    value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}
