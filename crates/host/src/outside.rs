//! Servers outside: what components ask that are linked to an `http-client`.
//!
//! A request is sent whole and an answer is taken whole, both bounded. So what goes over the border is there to be recorded, and
//! a guest that dies while it writes has sent nothing.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use wasmtime_wasi_http::{Error, RequestOptions, default_send_request};

/// Where requests to servers outside go.
#[async_trait]
pub trait Outside: Send + Sync {
    /// Sends a request once, and gives the answer. Whoever drops this before has given up on the answer.
    async fn send(&self, request: Request<Bytes>, bounds: Bounds) -> Result<Response<Bytes>, Unanswered>;
}

/// How long a request may take, and how large its answer may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Until there is a connection.
    pub connect: Duration,
    /// Until the answer begins.
    pub first_byte: Duration,
    /// Between two parts of the answer.
    pub between_bytes: Duration,
    pub body_bytes_max: usize,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("nothing was sent: its name leads nowhere")]
    NoSuchName,
    #[error("nothing was sent: it refuses the connection")]
    Refused,
    #[error("nothing was sent: it did not take the connection in time")]
    Unreachable,
    #[error("nothing was sent: no TLS connection that can be trusted: {0}")]
    Untrusted(String),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("the answer took too long")]
    Late,
    /// What became of the request is not known.
    #[error("{0}")]
    Broken(String),
}

/// The world, over TCP and TLS, with a connection for each request.
#[derive(Debug)]
pub struct World;

#[async_trait]
impl Outside for World {
    async fn send(&self, request: Request<Bytes>, bounds: Bounds) -> Result<Response<Bytes>, Unanswered> {
        let request = request.map(|body| Full::new(body).map_err(|never: Infallible| match never {}));
        let options = RequestOptions {
            connect_timeout: Some(bounds.connect),
            first_byte_timeout: Some(bounds.first_byte),
            between_bytes_timeout: Some(bounds.between_bytes),
        };
        let (response, connection) = default_send_request(request, Some(options)).await.map_err(why)?;
        let (head, body) = response.into_parts();
        let (mut connection, mut body) = (pin!(connection), pin!(whole(body, bounds.body_bytes_max)));
        // The connection brings the body; once it has ended, what is left of the body is here.
        let body = tokio::select! {
            biased;
            body = &mut body => body,
            _ = &mut connection => body.await,
        };
        match body {
            Ok(body) => Ok(Response::from_parts(head, body)),
            Err(TooMuch::Bytes) => Err(Unanswered::TooLarge(bounds.body_bytes_max)),
            Err(TooMuch::Trouble(error)) => Err(why(error)),
        }
    }
}

/// Nobody: each request is refused. What a simulation has unless it brings servers of its own.
#[derive(Debug)]
pub struct Nobody;

#[async_trait]
impl Outside for Nobody {
    async fn send(&self, _: Request<Bytes>, _: Bounds) -> Result<Response<Bytes>, Unanswered> {
        Err(Unanswered::Refused)
    }
}

/// Why a body is not read to its end.
pub(crate) enum TooMuch {
    Bytes,
    Trouble(Error),
}

/// All of a body, if that is not more than so many bytes.
pub(crate) async fn whole(
    body: impl Body<Data = Bytes, Error = Error>,
    bytes_max: usize,
) -> Result<Bytes, TooMuch> {
    let mut body = pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(TooMuch::Trouble)?.into_data() else { continue };
        if whole.len() + data.len() > bytes_max {
            return Err(TooMuch::Bytes);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Of errors before a request is written it is certain that nothing was sent.
fn why(error: Error) -> Unanswered {
    match error {
        Error::Connect(error) if error.to_string().starts_with("failed to lookup address information") => {
            Unanswered::NoSuchName
        }
        Error::InvalidDnsNameError(_) => Unanswered::NoSuchName,
        Error::Connect(_) => Unanswered::Refused,
        Error::ConnectionTimeout => Unanswered::Unreachable,
        Error::Tls(error) => Unanswered::Untrusted(error.to_string()),
        Error::ConnectionReadTimeout | Error::HttpResponseTimeout => Unanswered::Late,
        other => Unanswered::Broken(other.to_string()),
    }
}

/// As the interface has it.
impl From<Unanswered> for Error {
    fn from(unanswered: Unanswered) -> Error {
        match unanswered {
            Unanswered::NoSuchName => Error::DestinationNotFound,
            Unanswered::Refused => Error::ConnectionRefused,
            Unanswered::Unreachable => Error::DestinationUnavailable,
            Unanswered::Untrusted(_) => Error::TlsProtocolError,
            Unanswered::TooLarge(max) => Error::HttpResponseBodySize(Some(max as u64)),
            Unanswered::Late => Error::ConnectionReadTimeout,
            Unanswered::Broken(_) => Error::HttpResponseIncomplete,
        }
    }
}
