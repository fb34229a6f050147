//! The least that a component can do over HTTP: `GET /` says hello, nothing else is there. It measures what a
//! call costs.
#![cfg(target_arch = "wasm32")]

use wasmcloud_component::wasi::exports::http::incoming_handler::Guest;
use wasmcloud_component::wasi::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Hello;

#[allow(
    unsafe_code,
    reason = "the exports of a component are raw functions, written by the binding generator"
)]
mod exports {
    type Hello = super::Hello;
    wasmcloud_component::wasi::http::proxy::export!(Hello with_types_in wasmcloud_component::wasi);
}

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let is_root = matches!(request.path_with_query().as_deref(), None | Some("/"));
        let (status, text) = match request.method() {
            Method::Get if is_root => (200, "Hello from Trellis!"),
            _ => (404, ""),
        };
        let headers = Fields::new();
        let _ = headers.append(&"content-length".to_owned(), &text.len().to_string().into_bytes());
        let response = OutgoingResponse::new(headers);
        let _ = response.set_status_code(status);
        let body = response.body();
        ResponseOutparam::set(out, Ok(response));
        let Ok(body) = body else { return };
        if let Ok(stream) = body.write()
            && stream.blocking_write_and_flush(text.as_bytes()).is_ok()
        {
            drop(stream);
            let _ = OutgoingBody::finish(body, None);
        }
    }
}
