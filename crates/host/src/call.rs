//! Calling into a component: an HTTP request, or a message.
//!
//! The guest runs inside the caller's task. When it has given its response away and still has something to do, the rest
//! is handed to a task of its own. So the caller can begin to send.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::sync::oneshot;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error as HttpError, WasiHttpView};

use crate::capabilities::messaging::BrokerMessage;
use crate::component::{CallError, Component, Lease, Overrun};
use crate::permits::{Permit, Purpose};

type GuestResponse = Result<Response<HyperOutgoingBody>, ErrorCode>;
type Driver = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

impl Component {
    /// Runs the component's `wasi:http/incoming-handler` on `request`.
    pub(crate) async fn http(self: &Arc<Self>, request: Request<Bytes>) -> Result<Response<Body>, CallError> {
        self.metrics.http_calls.add(1);
        let result = self.http_inner(request).await;
        if result.is_err() {
            self.metrics.failed_calls.add(1);
        }
        result
    }

    async fn http_inner(self: &Arc<Self>, request: Request<Bytes>) -> Result<Response<Body>, CallError> {
        if !self.answers_http() {
            let export = "wasi:http/incoming-handler";
            return Err(CallError::NotExported { component: self.name.clone(), export });
        }
        let lease = self.lease(self.permit_soon().await?).await?;
        let is_head = request.method() == http::Method::HEAD;
        let (sender, mut receiver) = oneshot::channel();
        let mut driver: Driver = Box::pin(drive_http(lease, request, sender));
        // Biased: a guest that is done leaves nothing to drive.
        tokio::select! {
            biased;
            done = &mut driver => {
                done?;
                let response = receiver.try_recv().map_err(|_| CallError::NoResponse { component: self.name.clone() })?;
                self.whole(response, is_head)
            }
            response = &mut receiver => match response {
                Ok(response) => self.streamed(response, driver),
                // The guest dropped the out-parameter; how the call ends says why.
                Err(_) => {
                    driver.await?;
                    Err(CallError::NoResponse { component: self.name.clone() })
                }
            },
        }
    }

    /// The response of a guest that is done: everything it wrote is here already.
    fn whole(&self, response: GuestResponse, is_head: bool) -> Result<Response<Body>, CallError> {
        let (head, mut body) = self.given(response)?.into_parts();
        let mut whole = Whole::default();
        let mut context = Context::from_waker(Waker::noop());
        loop {
            // Unconstrained: tokio would otherwise, now and then, say that what is here is not here yet, to make tasks give way.
            match pin!(tokio::task::unconstrained(body.frame())).poll(&mut context) {
                Poll::Ready(Some(Ok(frame))) => whole.add(frame),
                Poll::Ready(None)
                    if has_body(is_head, head.status) && !whole.is_as_declared(&head.headers) =>
                {
                    let reason = "its body has not the length that it declared".to_owned();
                    return Err(CallError::Failed { component: self.name.clone(), reason });
                }
                Poll::Ready(None) => return Ok(Response::from_parts(head, Body(Inner::Whole(whole)))),
                Poll::Ready(Some(Err(error))) => return Err(self.failed(&error.into())),
                // The guest kept the body's stream open in an instance that lives on: nothing more will come.
                Poll::Pending => return Err(CallError::NoResponse { component: self.name.clone() }),
            }
        }
    }

    /// The response of a guest that goes on: `driver` runs by itself, until the call's deadline at most.
    fn streamed(&self, response: GuestResponse, driver: Driver) -> Result<Response<Body>, CallError> {
        let response = self.given(response)?;
        let component = self.name.clone();
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::error!(%component, %error, "call failed after its response had begun");
            }
        });
        Ok(response.map(|body| Body(Inner::Streamed(body))))
    }

    fn given(&self, response: GuestResponse) -> Result<Response<HyperOutgoingBody>, CallError> {
        response.map_err(|code| CallError::Failed {
            component: self.name.clone(),
            reason: format!("it answered {code:?}"),
        })
    }

    /// Runs the component's `wasmcloud:messaging/handler` on `message`. The inner result is the guest's own.
    pub(crate) async fn message(
        self: &Arc<Self>,
        message: BrokerMessage,
    ) -> Result<Result<(), String>, CallError> {
        let permit = self.permit(Purpose::of_message(message.reply_to.as_deref())).await?;
        self.message_in(permit, message).await
    }

    /// The same with a permit that was waited for.
    pub(crate) async fn message_in(
        self: &Arc<Self>,
        permit: Permit,
        message: BrokerMessage,
    ) -> Result<Result<(), String>, CallError> {
        self.metrics.message_calls.add(1);
        let result = self.message_inner(permit, message).await;
        if result.is_err() {
            self.metrics.failed_calls.add(1);
        }
        result
    }

    async fn message_inner(
        self: &Arc<Self>,
        permit: Permit,
        message: BrokerMessage,
    ) -> Result<Result<(), String>, CallError> {
        if !self.handles_messages() {
            let export = "wasmcloud:messaging/handler";
            return Err(CallError::NotExported { component: self.name.clone(), export });
        }
        let mut lease = self.lease(permit).await?;
        let deadline = lease.deadline();
        let call = async {
            let instance = lease.instance()?;
            instance.store.data_mut().answering.clone_from(&message.reply_to);
            let probe = instance.store.data().probe.clone();
            probe.enter("call.message", |f| _ = f.add(&message.subject).add(&message.body)).await?;
            let handler = instance.handler.as_ref().ok_or_else(|| wasmtime::format_err!("no handler"))?;
            let result = handler.call_handle_message(&mut instance.store, &message).await?;
            probe.leave("call.message", |f| _ = f.add(format!("{result:?}")))?;
            Ok::<_, wasmtime::Error>(result)
        };
        let result = match tokio::time::timeout_at(deadline, call).await {
            Ok(result) => result,
            Err(_) => Err(Overrun.into()),
        };
        match result {
            Ok(result) => {
                lease.finish();
                Ok(result)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }
}

async fn drive_http(
    mut lease: Lease,
    request: Request<Bytes>,
    sender: oneshot::Sender<GuestResponse>,
) -> Result<(), CallError> {
    let component = lease.component().clone();
    let deadline = lease.deadline();
    let call = async {
        let instance = lease.instance()?;
        let probe = instance.store.data().probe.clone();
        probe
            .enter("call.http", |f| {
                f.add(request.method().as_str()).add(request.uri().to_string()).add(request.body());
            })
            .await?;
        let mut view = instance.store.data_mut().http();
        let request = view.new_incoming_request(Scheme::Http, request.map(Full::new))?;
        let out = view.new_response_outparam(sender)?;
        let guest = instance.http.as_ref().ok_or_else(|| wasmtime::format_err!("no incoming handler"))?;
        guest.call_handle(&mut instance.store, request, out).await?;
        probe.leave("call.http", |_| ())
    };
    let result = match tokio::time::timeout_at(deadline, call).await {
        Ok(result) => result,
        Err(_) => Err(Overrun.into()),
    };
    match result {
        Ok(()) => {
            lease.finish();
            Ok(())
        }
        Err(error) => {
            let refused = lease.instance().is_ok_and(|instance| instance.store.data().limiter.refused);
            let hint = if refused { "; it had asked for more memory than it may have" } else { "" };
            let failed = component.failed(&error);
            tracing::error!(component = %component.name, error = format!("{failed}{hint}"), "call failed");
            Err(failed)
        }
    }
}

/// Whether a response's declared length is that of its body, rather than of one that is not sent.
fn has_body(is_head: bool, status: http::StatusCode) -> bool {
    !is_head && status != http::StatusCode::NOT_MODIFIED
}

/// The body of a component's response.
#[derive(Debug)]
pub struct Body(Inner);

#[derive(Debug)]
enum Inner {
    Whole(Whole),
    Streamed(HyperOutgoingBody),
}

/// All of a body.
#[derive(Debug, Default)]
struct Whole {
    data: Bytes,
    trailers: Option<http::HeaderMap>,
}

impl Whole {
    /// Sent with another length than declared, it would break the connection and what is asked on it next.
    fn is_as_declared(&self, headers: &http::HeaderMap) -> bool {
        let declared = headers.get(http::header::CONTENT_LENGTH);
        declared.is_none_or(|len| len.to_str().is_ok_and(|len| len.parse() == Ok(self.data.len())))
    }

    fn add(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) if self.data.is_empty() => self.data = data,
            Ok(data) => {
                // Few responses have more than one chunk, and those that do have few.
                let mut joined = BytesMut::from(std::mem::take(&mut self.data));
                joined.extend_from_slice(&data);
                self.data = joined.freeze();
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
    }
}

impl From<Bytes> for Body {
    fn from(data: Bytes) -> Body {
        Body(Inner::Whole(Whole { data, trailers: None }))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match &mut self.get_mut().0 {
            Inner::Streamed(body) => Pin::new(body).poll_frame(cx),
            Inner::Whole(whole) if !whole.data.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut whole.data)))))
            }
            Inner::Whole(whole) => {
                Poll::Ready(whole.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Streamed(body) => body.is_end_stream(),
            Inner::Whole(whole) => whole.data.is_empty() && whole.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Streamed(body) => body.size_hint(),
            Inner::Whole(whole) => SizeHint::with_exact(whole.data.len() as u64),
        }
    }
}
