//! The public API of a running application, as anybody's program reaches it: JSON over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::Failure;

/// How long an answer may take: longer than the gateway takes to say that it has none.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than any answer has that is asked for here.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Where an application answers.
#[derive(Debug)]
pub(crate) struct Api {
    authority: String,
    address: SocketAddr,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub method: Method,
    pub path: &'a str,
    /// By whom: the token of a session.
    pub token: Option<&'a str>,
    /// With which it counts once, however often it is sent.
    pub key: Option<&'a str>,
    pub body: Option<Value>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub body: Value,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(path: &'a str) -> Ask<'a> {
        Ask { method: Method::GET, path, token: None, key: None, body: None }
    }

    pub(crate) fn post(path: &'a str, body: Value) -> Ask<'a> {
        Ask { method: Method::POST, body: Some(body), ..Ask::get(path) }
    }
}

impl Api {
    /// Finds out where a URL leads. Other machines are meant only by whoever says so.
    pub(crate) async fn at(url: &str, allow_remote: bool) -> Result<Api, Failure> {
        let form = || {
            Failure::usage(format!("{url} is no address of an application, such as http://127.0.0.1:8080"))
        };
        let uri: Uri = url.parse().map_err(|_| form())?;
        let authority = uri.authority().ok_or_else(form)?;
        let is_bare = uri.path_and_query().is_none_or(|path| path == "/");
        if uri.scheme_str() != Some("http") || !is_bare || authority.as_str().contains('@') {
            return Err(form());
        }
        let host = authority.host().trim_matches(['[', ']']);
        let mut found = tokio::net::lookup_host((host, authority.port_u16().unwrap_or(80)))
            .await
            .map_err(|error| Failure::new(format!("cannot find {host}: {error}")))?;
        let address = found.next().ok_or_else(|| Failure::new(format!("{host} has no address")))?;
        if !address.ip().is_loopback() && !allow_remote {
            return Err(Failure::usage(format!(
                "{url} is another machine; say --allow-remote if you mean it"
            )));
        }
        Ok(Api { authority: authority.to_string(), address })
    }

    /// Sends a request and reads the answer, whatever it is.
    pub(crate) async fn send(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        let what = format!("{} http://{}{}", ask.method, self.authority, ask.path);
        let failed = |error: &dyn std::fmt::Display| Failure::new(format!("{what}: {error}"));
        let answered = timeout(PATIENCE, self.exchange(ask)).await;
        let answered = answered.map_err(|_| failed(&format!("no answer within {} s", PATIENCE.as_secs())))?;
        let (status, bytes) = answered.map_err(|error| failed(&error))?;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).map_err(|error| failed(&error))?
        };
        Ok(Answer { status, body })
    }

    async fn exchange(&self, ask: Ask<'_>) -> Result<(u16, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(self.request(ask)?).await;
        let answer = match response {
            Ok(response) => read(response).await,
            Err(error) => Err(error.into()),
        };
        drop(sender);
        connection.abort();
        answer
    }

    fn request(&self, ask: Ask<'_>) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let Ask { method, path, token, key, body } = ask;
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.authority);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(Full::from(body.map(|body| body.to_string()).unwrap_or_default()))
    }
}

async fn read(
    response: Response<hyper::body::Incoming>,
) -> Result<(u16, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let status = response.status().as_u16();
    Ok((status, Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::Api;
    use crate::connection::block_on;

    #[test]
    fn only_addresses_of_this_machine_unless_somebody_says_so() {
        let at = |url: &str, remote| block_on(Api::at(url, remote)).map(|api| api.address.to_string());
        assert_eq!(at("http://127.0.0.1:8080", false).unwrap(), "127.0.0.1:8080");
        assert_eq!(at("http://[::1]:80/", false).unwrap(), "[::1]:80");
        assert!(at("http://192.0.2.1:80", false).is_err());
        assert_eq!(at("http://192.0.2.1", true).unwrap(), "192.0.2.1:80");
        for bad in [
            "",
            "127.0.0.1:8080",
            "https://127.0.0.1",
            "http://127.0.0.1/api",
            "http://a@127.0.0.1",
            "http:///x",
        ] {
            assert!(at(bad, true).is_err(), "{bad}");
        }
    }
}
