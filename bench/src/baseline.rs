//! The plain hyper server that stands beside Trellis: the same answers, nothing behind them, nothing durable.

use std::convert::Infallible;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Serves until it is killed; prints its address first.
pub fn serve() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("hyper  http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer)),
            );
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    const POST: &str = r#"{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","title":"a title","author":null,"created_at":"2026-01-01T00:00:00Z"}"#;
    let (status, body) = match *request.method() {
        Method::POST => match request.into_body().collect().await {
            Ok(_) => (StatusCode::CREATED, POST.to_owned()),
            Err(_) => (StatusCode::BAD_REQUEST, String::new()),
        },
        _ if request.uri().path() == "/posts" => (StatusCode::OK, format!("[{}]", [POST; 10].join(","))),
        _ => (StatusCode::OK, POST.to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    Ok(response)
}
