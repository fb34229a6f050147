//! A service that asks servers outside whatever it is told to: `POST /errands` says what, and is answered what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use trellis_kit::outgoing::{Request, Response, SendError};
use trellis_kit::{Cx, Problem, Route, Service, Wire, routes};

/// As much of the body of an answer is told.
const TOLD_MAX: usize = 200;

#[derive(Debug)]
pub struct Envoy;

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Errand {
    pub method: String,
    pub url: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub patience_ms: u64,
}

/// The answer, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Outcome {
    pub answer: Option<Answer>,
    pub not_sent: Option<String>,
    pub unknown: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Answer {
    pub status: u32,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub body_len: u64,
}

impl Service for Envoy {
    const NAME: &str = "envoy";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const PARTITIONS: u32 = 0;
    const ROUTES: &[Route] = routes! {
        POST "/errands" => ok(Self::run),
    };
}

impl Envoy {
    fn run(cx: &Cx, errand: Errand) -> Result<Outcome, Problem> {
        let (answer, not_sent, unknown) = match send(cx, errand) {
            Ok(response) => (Some(told(&response)), None, None),
            Err(SendError::NotSent(why)) => (None, Some(why), None),
            Err(SendError::Unknown(why)) => (None, None, Some(why)),
        };
        Ok(Outcome { answer, not_sent, unknown })
    }
}

fn send(cx: &Cx, errand: Errand) -> Result<Response<Vec<u8>>, SendError> {
    let Errand { method, url, headers, body, patience_ms } = errand;
    let mut request = Request::builder().method(method.as_str()).uri(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    cx.send(&request.body(body.into_bytes())?, Duration::from_millis(patience_ms))
}

fn told(response: &Response<Vec<u8>>) -> Answer {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = response.headers().iter();
    let body = response.body();
    Answer {
        status: response.status().as_u16().into(),
        headers: headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        body: text(body.get(..TOLD_MAX).unwrap_or(body)),
        body_len: body.len() as u64,
    }
}

trellis_kit::statement!(Envoy);

/// It has no contract of its own, only what the kit answers for every service.
#[cfg(target_arch = "wasm32")]
#[allow(
    unsafe_code,
    reason = "the exports of a component are raw functions, written by the binding generators"
)]
mod exports {
    use trellis_kit::rt;

    type Events = rt::Events<super::Envoy>;
    type Http = rt::Http<super::Envoy>;
    rt::export_events!(Events with_types_in trellis_kit::rt::bindings);
    rt::wasi::http::proxy::export!(Http with_types_in trellis_kit::rt::wasi);
}
