//! `wasi:http`: the types, the incoming handler's parameters, and the outgoing handler.
//!
//! A component answers HTTP by exporting `wasi:http/incoming-handler`; [`crate::call`] runs it. Asking servers outside needs a link;
//! without one every request is refused with `HTTP-request-denied`:
//!
//! ```yaml
//! - name: payments
//!   type: component
//!   traits:
//!     - type: link
//!       properties:
//!         namespace: wasi
//!         package: http
//!         interfaces: [outgoing-handler]
//!         target: { name: httpclient }
//! - name: httpclient
//!   type: capability
//!   properties: { image: ghcr.io/wasmcloud/http-client:0.13.1 }
//! ```
//!
//! Requests go where [`Env`](crate::env::Env) says. Lines of the log name a server and no more: there may be secrets in the rest of a URL,
//! in headers and in bodies.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::metrics::ComponentMetrics;
use crate::observe::{Fingerprint, Probe};
use crate::outside::{Bounds, Outside, TooMuch, whole};

/// Chunks of a response that may wait for a slow reader before the guest has to wait too, and the size of each.
const BODY_CHUNKS: usize = 64;
const BODY_CHUNK_BYTES_MAX: usize = 64 << 10;
/// How many requests of one instance there can be at once whose answers it has not let go: each takes memory for two bodies.
const REQUESTS_MAX: usize = 4;

/// Servers outside, if the component has a link to them, and what it may have of them.
#[derive(Clone)]
pub(crate) struct HttpCtx {
    pub(crate) outside: Option<Arc<dyn Outside>>,
    pub(crate) time_max: Duration,
    pub(crate) body_bytes_max: usize,
    pub(crate) metrics: Arc<ComponentMetrics>,
}

/// How `wasi:http` behaves for one instance.
pub(crate) struct Hooks {
    ctx: HttpCtx,
    probe: Probe,
    permits: Arc<Semaphore>,
}

impl Hooks {
    pub(crate) fn new(ctx: HttpCtx, probe: Probe) -> Hooks {
        Hooks { ctx, probe, permits: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }
}

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let server = Server::of(&request);
        let component = self.probe.component.clone();
        let Some(outside) = self.ctx.outside.clone() else {
            tracing::warn!(
                %component, %server,
                "outgoing HTTP refused: link the component to an http-client capability in the manifest"
            );
            return Box::new(async { Err(Error::HttpRequestDenied) });
        };
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            tracing::warn!(%component, %server, "outgoing HTTP refused: {REQUESTS_MAX} requests of the instance are under way");
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        let exchange = Exchange { outside, ctx: self.ctx.clone(), probe: self.probe.clone(), server };
        Box::new(async move {
            let answer = exchange.run(request, options.unwrap_or_default()).await?;
            // Kept until the guest lets go of the answer, which ends this.
            let kept: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async move {
                let _permit = permit;
                std::future::pending().await
            });
            let body = |bytes| Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync();
            Ok((answer.map(body), kept))
        })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BODY_CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES_MAX
    }
}

/// What is asked, as far as a log may know it.
struct Server {
    method: Method,
    url: Uri,
}

impl Server {
    fn of<B>(request: &Request<B>) -> Server {
        Server { method: request.method().clone(), url: request.uri().clone() }
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        // What stands before an @ is a password.
        let server = authority.rsplit('@').next().unwrap_or_default();
        write!(f, "{} {}://{server}", self.method, self.url.scheme_str().unwrap_or_default())
    }
}

/// A request and its answer.
struct Exchange {
    outside: Arc<dyn Outside>,
    ctx: HttpCtx,
    probe: Probe,
    server: Server,
}

impl Exchange {
    /// The probe sees a request before any of it is sent, and an answer before the guest does.
    async fn run(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<Bytes>, Error> {
        let request = self.whole_request(request).await?;
        let asked = |f: &mut Fingerprint| {
            let head = [request.method().as_str().to_owned(), request.uri().to_string()];
            head.iter().for_each(|word| _ = f.add(word));
            add_message(f, request.headers(), request.body());
        };
        self.probe.enter("http.send", asked).await.map_err(|_| self.ended())?;
        self.ctx.metrics.outgoing_requests.add(1);
        let time =
            |asked: Option<Duration>| asked.map_or(self.ctx.time_max, |time| time.min(self.ctx.time_max));
        let bounds = Bounds {
            connect: time(options.connect_timeout),
            first_byte: time(options.first_byte_timeout),
            between_bytes: time(options.between_bytes_timeout),
            body_bytes_max: self.ctx.body_bytes_max,
        };
        let answer = self.outside.send(request, bounds).await;
        let answered = |f: &mut Fingerprint| match &answer {
            Ok(response) => {
                f.add(response.status().as_str());
                add_message(f, response.headers(), response.body());
            }
            Err(unanswered) => _ = f.add(unanswered.to_string()),
        };
        self.probe.leave("http.send", answered).map_err(|_| self.ended())?;
        let (component, server) = (&self.probe.component, &self.server);
        match &answer {
            Ok(response) => {
                self.ctx.metrics.outgoing_answers.add(1);
                tracing::debug!(%component, %server, status = response.status().as_u16(), "outgoing HTTP");
            }
            Err(unanswered) => {
                tracing::warn!(%component, %server, %unanswered, "outgoing HTTP has no answer");
            }
        }
        answer.map_err(Error::from)
    }

    /// A request that the guest has written to its end.
    async fn whole_request(&self, request: Request<WasiBody>) -> Result<Request<Bytes>, Error> {
        let (head, body) = request.into_parts();
        let body = whole(body, self.ctx.body_bytes_max).await.map_err(|why| match why {
            TooMuch::Bytes => Error::HttpRequestBodySize(Some(self.ctx.body_bytes_max as u64)),
            TooMuch::Trouble(error) => error,
        })?;
        let stated = head.headers.get(CONTENT_LENGTH).map(http::HeaderValue::as_bytes);
        if stated.is_some_and(|stated| stated != body.len().to_string().as_bytes()) {
            return Err(Error::HttpRequestBodySize(Some(body.len() as u64)));
        }
        Ok(Request::from_parts(head, body))
    }

    /// The observer has ended the instance. No host call of it has an effect from here on; this one gives it nothing.
    fn ended(&self) -> Error {
        self.probe.end();
        Error::InternalError(None)
    }
}

fn add_message(f: &mut Fingerprint, headers: &http::HeaderMap, body: &Bytes) {
    for (name, value) in headers {
        f.add(name.as_str()).add(value.as_bytes());
    }
    f.add(body);
}
