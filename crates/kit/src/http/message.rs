//! `message/http`: a request as the bytes of HTTP/1.1 in a message, and a response likewise.
//!
//! Anyone on the message bus can speak it: `nats req svc.posts $'GET /posts HTTP/1.1\r\n\r\n'`. There is one
//! request in a message, whole, with a `Content-Length` if it has a body. Everything else is refused, because
//! what one reader of HTTP takes for a body another takes for a second request.

use std::borrow::Cow;

use super::exchange::{MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_MESSAGE, Request, Response};
use crate::problem::Problem;
use crate::trace::Trace;

/// Answers the request in a message.
pub fn answer(message: &[u8], respond: fn(&Request) -> Response) -> Vec<u8> {
    match parse(message) {
        Ok(request) => {
            let answer = write(&respond(&request));
            if answer.len() <= MAX_MESSAGE {
                return answer;
            }
            refusal(&Problem::internal(format_args!(
                "the answer to {} {:?} has {} bytes; a message may have {MAX_MESSAGE}",
                request.method,
                request.target,
                answer.len()
            )))
        }
        Err(problem) => refusal(&problem),
    }
}

fn refusal(problem: &Problem) -> Vec<u8> {
    let refusal = Response::refusal(problem, Trace::accept(None).id());
    let length = refusal.body.len().to_string();
    write(&refusal.with("content-length", length))
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
    let body = message.get(head_len..).unwrap_or_default();
    let declared = declared_len(head.headers).map_err(Problem::malformed)?.unwrap_or_default();
    if declared > MAX_BODY {
        return Err(Problem::too_large(format!("The body may have {MAX_BODY} bytes.")));
    }
    if declared != body.len() {
        return Err(Problem::malformed("The body is not as long as Content-Length says."));
    }
    let headers = head.headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect();
    Ok(Request { method: method.to_owned(), target: target.to_owned(), headers, body: body.to_vec() })
}

/// The length that the headers state for the body, if they state one. An error is what is wrong with how they do.
pub(super) fn declared_len(headers: &[httparse::Header<'_>]) -> Result<Option<usize>, &'static str> {
    let named =
        |name: &'static str| headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    if named("transfer-encoding").next().is_some() {
        return Err("A message carries its body whole: no Transfer-Encoding.");
    }
    let mut lengths = named("content-length");
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(length), None) => number(length.value).map(Some).ok_or("Send one Content-Length, as a number."),
        _ => Err("Send one Content-Length, as a number."),
    }
}

/// `parse` would take a plus sign, which HTTP does not have.
fn number(digits: &[u8]) -> Option<usize> {
    let text =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

/// A request as a message. The length of the body is stated here and nowhere else.
pub(super) fn write_request(request: &Request) -> Vec<u8> {
    let stated = |name: &str| {
        name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
    };
    let first = [&*token(&request.method), " ", &visible(&request.target), " HTTP/1.1\r\n"].concat();
    let mut message = first.into_bytes();
    for (name, value) in request.headers.iter().filter(|(name, _)| !stated(name)) {
        message.extend_from_slice(token(name).as_bytes());
        message.extend_from_slice(b": ");
        message.extend(value.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }));
        message.extend_from_slice(b"\r\n");
    }
    if !request.body.is_empty() {
        message.extend_from_slice(format!("content-length: {}\r\n", request.body.len()).as_bytes());
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(&request.body);
    message
}

/// A word that cannot end its place, whatever it was made from.
fn token(word: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if word.chars().all(fits) {
        return word.into();
    }
    word.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

/// A target that cannot end its line.
fn visible(target: &str) -> Cow<'_, str> {
    if target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return target.into();
    }
    let each = target.bytes();
    each.map(
        |byte| if byte.is_ascii_graphic() { char::from(byte).to_string() } else { format!("%{byte:02X}") },
    )
    .collect()
}

pub(crate) fn write(response: &Response) -> Vec<u8> {
    let mut message = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status)).into_bytes();
    for (name, value) in &response.headers {
        for part in [name, ": ", &one_line(value), "\r\n"] {
            message.extend_from_slice(part.as_bytes());
        }
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(&response.body);
    message
}

/// A header value cannot end its line, whatever it was made from.
fn one_line(value: &str) -> Cow<'_, str> {
    if !value.contains(char::is_control) {
        return value.into();
    }
    value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        303 => "See Other",
        304 => "Not Modified",
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
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}
