//! Asking a service on behalf of a user, as a `message/http`.
//!
//! Services learn of each other through events and never wait on one another. Those that stand between users and
//! services, as the gateway and the web pages do, ask.

use std::time::Duration;

use trellis_names as names;

use super::error::AskError;
use super::exchange::{MAX_HEAD, MAX_HEADERS, MAX_MESSAGE, Request, Response};
use super::message::{declared_len, write_request};
use crate::descriptor::Descriptor;
use crate::id;
use crate::platform::{self, Fault, Platform};

/// Sends a request of a service to another, and waits for the answer.
pub fn ask(
    by: &Descriptor,
    service: &str,
    request: &Request,
    patience: Duration,
) -> Result<Response, AskError> {
    if !id::is_valid(service) {
        return Err(AskError::NoService);
    }
    if !by.asks.include(service) {
        let what = format!("{} asks {service}, which its ASKS do not say", by.name);
        return Err(AskError::Failed(Fault::new(what)));
    }
    let message = write_request(request);
    if message.len() > MAX_MESSAGE {
        return Err(AskError::TooLarge);
    }
    let answer = platform::current().request(&names::request_subject(service), &message, patience)?;
    parse(&answer, request.method == "HEAD").map_err(AskError::Garbled)
}

/// Reads an answer; anything doubtful is an error that says what.
fn parse(message: &[u8], to_head: bool) -> Result<Response, String> {
    if message.len() > MAX_MESSAGE {
        return Err(format!("it has more than {MAX_MESSAGE} bytes"));
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let head_len = match head.parse(message.get(..MAX_HEAD).unwrap_or(message)) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Err("its head has no end".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let (Some(1), Some(status @ 200..=599)) = (head.version, head.code) else {
        return Err("it is no final HTTP/1.1 answer".to_owned());
    };
    let stated = declared_len(head.headers)?;
    let body = message.get(head_len..).unwrap_or_default();
    let mut response = Response { body: body.to_vec(), ..Response::empty(status) };
    let bodiless = to_head || !response.has_body();
    let expected = if bodiless { 0 } else { stated.unwrap_or_default() };
    if expected != body.len() {
        return Err(format!("its body has {} bytes and should have {expected}", body.len()));
    }
    for header in head.headers.iter().filter(|header| !header.name.eq_ignore_ascii_case("content-length")) {
        let value =
            std::str::from_utf8(header.value).map_err(|_| format!("its {} is no text", header.name))?;
        response.headers.push((header.name.to_ascii_lowercase().into(), value.to_owned()));
    }
    Ok(response)
}
