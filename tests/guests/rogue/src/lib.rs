//! A component that misbehaves on request, to see what its host makes of that: `/trap` `/panic` `/loop` (never
//! ends) `/eat` (allocates until it is refused, then panics) `/slow` (answers after a second) `/big` (a body of
//! 64 MiB) `/never` (returns without an answer). Anything else is answered with 200, which shows that the next
//! call is not harmed.
#![cfg(target_arch = "wasm32")]

use std::time::Duration;

use wasmcloud_component::wasi::exports::http::incoming_handler::Guest;
use wasmcloud_component::wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

const BIG_CHUNKS: usize = 16 * 1024;
const CHUNK: [u8; 4096] = [b'x'; 4096];

struct Rogue;

#[allow(
    unsafe_code,
    reason = "the exports of a component are raw functions, written by the binding generator"
)]
mod exports {
    type Rogue = super::Rogue;
    wasmcloud_component::wasi::http::proxy::export!(Rogue with_types_in wasmcloud_component::wasi);
}

impl Guest for Rogue {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match request.path_with_query().as_deref().unwrap_or("/") {
            "/trap" => std::arch::wasm32::unreachable(),
            "/panic" => panic!("asked to"),
            "/loop" => spin(),
            "/eat" => eat(),
            "/slow" => {
                std::thread::sleep(Duration::from_secs(1));
                answer(out, std::iter::once(b"slow".as_slice()));
            }
            "/big" => answer(out, std::iter::repeat_n(CHUNK.as_slice(), BIG_CHUNKS)),
            "/never" => {}
            _ => answer(out, std::iter::once(b"fine".as_slice())),
        }
    }
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

fn eat() -> ! {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut bite = Vec::new();
        if bite.try_reserve_exact(1 << 20).is_err() {
            panic!("refused after {} MiB", eaten.len());
        }
        bite.resize(1 << 20, 1);
        eaten.push(bite);
    }
}

fn answer<'a>(out: ResponseOutparam, chunks: impl Iterator<Item = &'a [u8]>) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body();
    ResponseOutparam::set(out, Ok(response));
    let Ok(body) = body else { return };
    let Ok(stream) = body.write() else { return };
    for chunk in chunks {
        if stream.blocking_write_and_flush(chunk).is_err() {
            return;
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}
