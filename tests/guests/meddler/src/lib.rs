//! A component that publishes and asks whatever it is told to, to see what its host lets it do: `POST /publish/<subject>` and
//! `POST /request/<subject>` send the body of the request, with the header `reply-to` as the subject to answer on. It is
//! answered 200 with what came back, or 403 with what the host said.
#![cfg(target_arch = "wasm32")]

use wasmcloud_component::wasi::exports::http::incoming_handler::Guest;
use wasmcloud_component::wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasmcloud_component::wasmcloud::messaging::consumer;
use wasmcloud_component::wasmcloud::messaging::types::BrokerMessage;

const PATIENCE_MS: u32 = 1000;
const BODY_LEN_MAX: u64 = 1 << 16;

struct Meddler;

#[allow(
    unsafe_code,
    reason = "the exports of a component are raw functions, written by the binding generator"
)]
mod exports {
    type Meddler = super::Meddler;
    wasmcloud_component::wasi::http::proxy::export!(Meddler with_types_in wasmcloud_component::wasi);
}

impl Guest for Meddler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let reply_to = request.headers().get(&"reply-to".to_owned()).pop();
        let reply_to = reply_to.and_then(|value| String::from_utf8(value).ok());
        let body = read(&request);
        let result = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["", "publish", subject] => {
                let subject = (*subject).to_owned();
                consumer::publish(&BrokerMessage { subject, body, reply_to }).map(|()| Vec::new())
            }
            ["", "request", subject] => {
                consumer::request(subject, &body, PATIENCE_MS).map(|answer| answer.body)
            }
            _ => Err(format!("{path} is no path here")),
        };
        match result {
            Ok(body) => answer(out, 200, &body),
            Err(error) => answer(out, 403, error.as_bytes()),
        }
    }
}

fn read(request: &IncomingRequest) -> Vec<u8> {
    let mut whole = Vec::new();
    if let Ok(body) = request.consume()
        && let Ok(stream) = body.stream()
    {
        while let Ok(part) = stream.blocking_read(BODY_LEN_MAX) {
            whole.extend(part);
        }
    }
    whole
}

fn answer(out: ResponseOutparam, status: u16, text: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    let body = response.body();
    ResponseOutparam::set(out, Ok(response));
    let Ok(body) = body else { return };
    if let Ok(stream) = body.write()
        && text.chunks(4096).all(|part| stream.blocking_write_and_flush(part).is_ok())
    {
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}
