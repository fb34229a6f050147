//! The HTTP server against clients that are careless, slow or hostile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::guest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use trellis_host::App;
use trellis_host::env::{Limits, Options};
use trellis_host::server::{ServerLimits, serve};

/// A server in front of a guest, stopped when dropped.
struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(name: &'static str, limits: ServerLimits) -> Server {
        Server::start_with(name, limits, Limits::default()).await.0
    }

    async fn start_with(name: &'static str, limits: ServerLimits, call: Limits) -> (Server, App) {
        let call = Limits { call_time_max: Duration::from_millis(2500), ..call };
        let app = guest(name, 4, Options { limits: call, ..Options::default() }).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(app.clone(), name, listener, limits, async { _ = stopped.await }));
        (Server { address, stop: Some(stop), task }, app)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a connection of their own and returns all that comes back until the server closes it.
    async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        read_to_end(stream).await
    }

    async fn status(&self, bytes: impl AsRef<[u8]>) -> String {
        let answer = self.exchange(bytes).await;
        answer.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {answer:?}")).to_owned()
    }
}

async fn read_to_end(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 16 << 10];
    let reading = async {
        // A reset after the answer ends it as well as an orderly close.
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..n]);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("the server should have closed the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n")
}

#[tokio::test]
async fn an_answer_has_a_length_and_the_connection_serves_the_next_request() {
    let server = Server::start("hello", ServerLimits::default()).await;
    let two = format!("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n{}", request("/", ""));
    let answer = server.exchange(two).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answer}");
    assert_eq!(answer.matches("content-length: 19\r\n").count(), 2, "{answer}");
    assert_eq!(answer.matches("Hello from Trellis!").count(), 2, "{answer}");
}

#[tokio::test]
async fn only_before_http_1_1_may_a_request_name_no_host() {
    let server = Server::start("hello", ServerLimits::default()).await;
    let answer = server.exchange("GET / HTTP/1.0\r\n\r\n".to_owned()).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.contains("Hello from Trellis!"), "{answer}");
    let named = server.exchange("GET / HTTP/1.0\r\nHost: blog.example\r\n\r\n".to_owned()).await;
    assert!(named.starts_with("HTTP/1.0 200 OK\r\n"), "{named}");
    assert_eq!(server.status("GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned()).await, "400");
}

#[tokio::test]
async fn what_goes_wrong_inside_is_answered_without_internals() {
    let server = Server::start("rogue", ServerLimits::default()).await;
    for (path, status) in
        [("/trap", "500"), ("/panic", "500"), ("/never", "500"), ("/eat", "500"), ("/loop", "504")]
    {
        let answer = server.exchange(request(
            path,
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        ));
        let answer = answer.await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{path}: {answer}");
        assert!(answer.contains("\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\""), "{path}: {answer}");
        for internal in ["wasm", "rogue", "unreachable", "panic", "trap"] {
            assert!(!answer.contains(internal), "{path}: {answer}");
        }
    }
    assert_eq!(server.status(request("/", "")).await, "200");
}

#[tokio::test]
async fn requests_out_of_bounds_are_refused() {
    let server = Server::start("hello", ServerLimits::default()).await;
    let headers: String = (0..10_000).map(|i| format!("x-{i}: y\r\n")).collect();
    assert_eq!(server.status(request("/", &headers)).await, "431");
    let long = format!("x-long: {}\r\n", "y".repeat(1 << 20));
    assert_eq!(server.status(request("/", &long)).await, "431");
    let target = format!("/{}", "x".repeat(10_000));
    assert_eq!(server.status(request(&target, "")).await, "414");
    let declared = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2097152\r\n\r\n";
    assert_eq!(server.status(declared).await, "413");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(32)
    );
    assert_eq!(server.status(chunked).await, "413");
    assert_eq!(server.status(request("/", "")).await, "200");
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let server = Server::start("hello", ServerLimits::default()).await;
    let cases = [
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
        "GET nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for case in cases {
        assert_eq!(server.status(case).await, "400", "{case:?}");
    }
    for path in ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//", "/./", "/\\", "/%00", "/%", "/?/../"]
    {
        let status = server.status(request(path, "")).await;
        assert!(["400", "404"].contains(&status.as_str()), "{path}: {status}");
    }
}

#[tokio::test]
async fn slow_clients_hold_a_connection_for_a_bounded_time_and_never_an_instance() {
    let limits = ServerLimits {
        head_time_max: Duration::from_millis(200),
        body_time_max: Duration::from_millis(200),
        ..ServerLimits::default()
    };
    let server = Server::start("hello", limits).await;
    let mut silent = Vec::new();
    for beginning in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: loc"] {
        let mut stream = server.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    for _ in 0..8 {
        let mut stream = server.connect().await;
        stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
        silent.push(stream);
    }
    // Twice as many clients as instances are half-way through a body.
    assert_eq!(server.status(request("/", "")).await, "200");
    for stream in silent {
        let answer = read_to_end(stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let limits = ServerLimits { stall_time_max: Duration::from_millis(200), ..ServerLimits::default() };
    let server = Server::start("rogue", limits).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = server.connect().await;
        stream.write_all(request("/big", "").as_bytes()).await.unwrap();
        streams.push(stream);
    }
    // All instances are busy with clients that do not read. This is answered once they are cut off.
    assert_eq!(server.status(request("/", "")).await, "200");
    drop(streams);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_until_one_is_free() {
    let limits = ServerLimits { connections_max: 1, ..ServerLimits::default() };
    let server = Server::start("hello", limits).await;
    let mut first = server.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut buffer = [0; 1024];
    assert!(first.read(&mut buffer).await.unwrap() > 0);
    let mut second = server.connect().await;
    second.write_all(request("/", "").as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut buffer)).await;
    assert!(early.is_err(), "the second connection should wait for the first");
    drop(first);
    assert!(read_to_end(second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_stop_finishes_what_runs_and_closes_idle_connections() {
    let mut server = Server::start("rogue", ServerLimits::default()).await;
    let idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    // The request is under way once another one, sent later, has been answered.
    assert_eq!(server.status(request("/", "")).await, "200");
    server.stop.take().unwrap().send(()).unwrap();
    let answer = read_to_end(busy).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("slow\r\n0\r\n\r\n") || answer.ends_with("slow"), "{answer}");
    assert_eq!(read_to_end(idle).await, "");
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

/// Sends all of `bytes` before it reads anything, as many clients do. Says what was answered, or why it could not send.
async fn send_then_read(server: &Server, bytes: &[u8]) -> Result<String, std::io::Error> {
    let mut stream = server.connect().await;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 << 10];
    while !answer.ends_with(b"}") {
        match stream.read(&mut buffer).await? {
            0 => break,
            n => answer.extend_from_slice(&buffer[..n]),
        }
    }
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_client_that_sends_everything_before_it_reads_sees_the_refusal() {
    let server = Server::start("hello", ServerLimits::default()).await;
    let body = "x".repeat(16 << 20);
    let declared = format!("Host: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunked =
        format!("Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1000000\r\n{body}\r\n0\r\n\r\n");
    let long = "x".repeat(10_000);
    for (status, request) in [
        ("413", format!("POST / HTTP/1.1\r\n{declared}")),
        ("413", format!("POST / HTTP/1.1\r\n{chunked}")),
        ("414", format!("POST /{long} HTTP/1.1\r\n{declared}")),
        ("400", format!("POST / HTTP/1.1\r\nHost: another\r\n{declared}")),
    ] {
        let answer = send_then_read(&server, request.as_bytes()).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("connection: close\r\n") && answer.contains("\"trace_id\""), "{answer}");
    }
    // What the component refuses it refuses once the body is here.
    let unknown = "POST /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 900000\r\n\r\n";
    let answer = server.exchange(format!("{unknown}{}", &body[..900_000])).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn a_refused_body_without_end_is_cut_off() {
    let limits = ServerLimits { discard_bytes_max: 1 << 20, ..ServerLimits::default() };
    let server = Server::start("hello", limits).await;
    let mut stream = server.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (chunk, mut sent) = ([b'x'; 64 << 10], 0);
    // Buffers of both sides take some megabytes more than the server reads.
    while sent < 256 << 20 && stream.write_all(&chunk).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_client_that_falls_silent_after_a_refusal_is_cut_off() {
    let silence = Duration::from_millis(50);
    let limits = ServerLimits { discard_silence_max: silence, ..ServerLimits::default() };
    let server = Server::start("hello", limits).await;
    for more in ["", "Expect: 100-continue\r\n"] {
        let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2097152\r\n{more}\r\n");
        let answer = server.exchange(head).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && !answer.contains("100 Continue"), "{answer}");
    }
}

/// Clients that we did not write, as far as they are on the machine.
#[tokio::test(flavor = "multi_thread")]
async fn ordinary_clients_see_the_refusal_of_a_large_body() {
    const NODE: &str = "const r = await fetch(process.argv[1], { method: 'POST', body: 'x'.repeat(8 << 20) }); console.log(r.status)";
    const PYTHON: &str = "import sys, urllib.request, urllib.error\n\
        try: urllib.request.urlopen(sys.argv[1], data=b'x' * (8 << 20))\n\
        except urllib.error.HTTPError as error: print(error.code)";
    let server = Server::start("hello", ServerLimits::default()).await;
    let url = format!("http://{}/", server.address);
    let clients: [(&str, &[&str]); 2] =
        [("node", &["--input-type=module", "-e", NODE]), ("python3", &["-c", PYTHON])];
    for (program, arguments) in clients {
        let mut client = std::process::Command::new(program);
        client.args(arguments).arg(&url).env("no_proxy", "*");
        let output = tokio::task::spawn_blocking(move || client.output()).await.unwrap();
        let Ok(output) = output else { continue };
        let (said, failed) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.trim(), "413", "{program}: {failed}");
    }
}

const LARGE: usize = 100_000;

/// Clients that have sent all of a large request but the last byte.
async fn nearly_all_sent(server: &Server, clients: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for number in 0..clients {
        let mut stream = server.connect().await;
        // Every other one does not say how long its body is.
        let (head, end) = if number % 2 == 0 {
            (format!("Content-Length: {LARGE}"), "")
        } else {
            ("Transfer-Encoding: chunked".to_owned(), "186a0\r\n")
        };
        let all = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n\r\n{end}{}",
            "x".repeat(LARGE - 1)
        );
        stream.write_all(all.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    streams
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

/// Room for three bodies of those whose length is not known before they are here.
fn scarce() -> Limits {
    Limits { request_body_bytes_max: LARGE, request_bodies_bytes_max: 3 * LARGE, ..Limits::default() }
}

#[tokio::test]
async fn bodies_of_all_connections_together_take_bounded_memory() {
    let minute = Duration::from_secs(60);
    let patient = ServerLimits { room_time_max: minute, body_time_max: minute, ..ServerLimits::default() };
    let (server, app) = Server::start_with("hello", patient, scarce()).await;
    let streams = nearly_all_sent(&server, 20).await;
    until("three are read", || app.request_bodies_bytes() == 3 * LARGE).await;
    // What is small does not wait for them.
    for _ in 0..20 {
        assert_eq!(server.status(request("/", "")).await, "200");
        let small = "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(server.status(small).await, "404");
        assert_eq!(app.request_bodies_bytes(), 3 * LARGE);
    }
    // The others are only late.
    let answers = streams.into_iter().enumerate().map(|(number, mut stream)| async move {
        let end = if number % 2 == 0 { "x" } else { "x\r\n0\r\n\r\n" };
        stream.write_all(end.as_bytes()).await.unwrap();
        read_to_end(stream).await
    });
    let answers: Vec<_> = answers.map(tokio::spawn).collect();
    for answer in answers {
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert!(app.request_bodies_bytes() <= 3 * LARGE);
    }
    until("all of it is given back", || app.request_bodies_bytes() == 0).await;
}

#[tokio::test]
async fn a_body_without_room_in_memory_is_answered_with_503() {
    let limits = ServerLimits { room_time_max: Duration::from_millis(50), ..ServerLimits::default() };
    let (server, app) = Server::start_with("hello", limits, scarce()).await;
    let first = nearly_all_sent(&server, 3).await;
    until("three are read", || app.request_bodies_bytes() == 3 * LARGE).await;
    let late = nearly_all_sent(&server, 1).await.remove(0);
    let answer = read_to_end(late).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
    drop(first);
    until("all of it is given back", || app.request_bodies_bytes() == 0).await;
}

#[tokio::test]
async fn one_peer_leaves_connections_to_others() {
    let limits = ServerLimits { connections_of_peer_max: 1, ..ServerLimits::default() };
    let server = Server::start("hello", limits).await;
    let from = async |address: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        let mut stream = socket.connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).await.unwrap();
        (String::from_utf8(begin.to_vec()).unwrap(), stream)
    };
    let first = from("127.0.0.1").await;
    assert_eq!(first.0, "HTTP/1.1 200");
    let (refused, rest) = from("127.0.0.1").await;
    assert_eq!(refused, "HTTP/1.1 503");
    assert!(read_to_end(rest).await.contains("retry-after: 1\r\n"));
    assert_eq!(from("127.0.0.2").await.0, "HTTP/1.1 200");
    drop(first);
    for _ in 0..2_000 {
        if from("127.0.0.1").await.0 == "HTTP/1.1 200" {
            return;
        }
    }
    panic!("the place was not given back");
}
