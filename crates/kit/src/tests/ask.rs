//! Asking another service: what is sent, and what is taken for an answer.

use super::*;
use crate::http::{self, AskError, MAX_HEAD, MAX_HEADERS, Request};
use crate::platform::memory::Harm;
use crate::testing::message;

const PATIENCE: Duration = Duration::from_secs(2);

/// Asks anybody.
struct Curious;

impl Service for Curious {
    const NAME: &str = "curious";
    const VERSION: &str = "0";
    const ROUTES: &[crate::Route] = &[];
    const ASKS: Asks = Asks::Anybody;
}

fn ask(service: &str, request: &Request, patience: Duration) -> Result<Response, AskError> {
    http::ask(Curious::DESCRIPTOR, service, request, patience)
}

/// What is made of an answer.
fn answered(bytes: impl Into<Vec<u8>>) -> Result<Response, AskError> {
    answered_to("GET", bytes)
}

fn answered_to(method: &str, bytes: impl Into<Vec<u8>>) -> Result<Response, AskError> {
    let bytes = bytes.into();
    platform().listen("svc.other", move |_| Some(bytes.clone()));
    ask("other", &Request::new(method, "/"), PATIENCE)
}

/// What is sent for a request.
fn sent(request: &Request) -> Vec<u8> {
    platform().listen("svc.other", |_| Some(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()));
    ask("other", request, PATIENCE).unwrap();
    platform().take_exchanges().pop().unwrap().request
}

#[test]
fn what_is_sent_is_what_a_service_reads() {
    let request =
        Request::new("POST", "/notes?a=b").with("Idempotency-Key", "k").with_json(&new("ü")).unwrap();
    let read = http::read_message(&sent(&request)).unwrap();
    assert_eq!((&read.method, &read.target, &read.body), (&request.method, &request.target, &request.body));
    assert_eq!(read.header("idempotency-key"), Some("k"));
    assert_eq!(read.header("content-type"), Some("application/json"));
    assert_eq!(sent(&Request::new("GET", "/")), b"GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn nothing_in_a_request_makes_a_second_one_of_it() {
    let inner = "x\r\nA: b\r\n\r\nGET /inner HTTP/1.1\r\n\r\n";
    let requests = [
        Request::new(inner, "/"),
        Request::new("GET", inner),
        Request::new("GET", "/").with(inner, "v"),
        Request::new("GET", "/").with("name", inner),
        Request { body: inner.into(), ..Request::new("POST", "/") },
        Request { body: inner.into(), ..Request::new("POST", "/") }.with("Content-Length", "1"),
        Request::new("POST", "/").with("content-length", "1").with("Transfer-Encoding", "chunked"),
    ];
    for request in requests {
        let read = http::read_message(&sent(&request)).unwrap();
        assert_eq!(read.body, request.body, "{request:?}");
        let own = |name: &str| name.eq_ignore_ascii_case("content-length");
        assert!(
            read.headers.iter().filter(|(name, _)| !own(name)).count() <= request.headers.len(),
            "{read:?}"
        );
    }
}

#[test]
fn a_real_service_is_understood() {
    message::<Notes>("svc.notes", Some("_INBOX.1"), b"GET /nowhere HTTP/1.1\r\n\r\n").unwrap();
    let bytes = platform().take_published().pop().unwrap().1;
    let response = answered(bytes).unwrap();
    assert_eq!((response.status, response.header("Content-Type")), (404, Some("application/problem+json")));
    assert_eq!(response.problem(), Some(Problem::not_found("There is nothing at this path.")));
    assert_eq!(response.header("content-length"), None, "whoever passes it on states the length anew");
}

#[test]
fn a_refusal_is_read_as_it_was_written() {
    let problem = Problem::invalid("text", "Must not be empty.");
    let with = |media_type: &str, body: &[u8]| {
        let response = Response { body: body.to_vec(), ..Response::empty(422) };
        response.with("content-type", media_type).problem()
    };
    assert_eq!(with("application/problem+json", &problem.to_json("0")), Some(problem.clone()));
    assert_eq!(with("application/json", &problem.to_json("0")), None);
    assert_eq!(with("application/problem+json", b"oh no"), None);
    assert_eq!(Response::json(200, &7).unwrap().read(), Ok(7));
    assert!(matches!(Response::json(200, &7).unwrap().read::<String>(), Err(AskError::Garbled(_))));
}

#[test]
fn a_missing_a_late_and_a_broken_answer_are_told_apart() {
    assert_eq!(ask("nobody", &Request::new("GET", "/"), PATIENCE), Err(AskError::NoService));
    for name in ["", "*", ">", "a.b", "a b"] {
        assert_eq!(ask(name, &Request::new("GET", "/"), PATIENCE), Err(AskError::NoService), "{name:?}");
    }
    platform().listen("svc.silent", |_| None);
    assert_eq!(ask("silent", &Request::new("GET", "/"), PATIENCE), Err(AskError::Late));
    platform().listen("svc.silent", |_| Some(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()));
    platform().harm(0, Harm::AnswerLost);
    assert_eq!(ask("silent", &Request::new("GET", "/"), PATIENCE), Err(AskError::Late));
    platform().harm(0, Harm::AnswerGarbled);
    assert!(matches!(ask("silent", &Request::new("GET", "/"), PATIENCE), Err(AskError::Garbled(_))));
    platform().harm(0, Harm::DiesBefore);
    let _ = ask("silent", &Request::new("GET", "/"), PATIENCE);
    assert!(matches!(ask("silent", &Request::new("GET", "/"), PATIENCE), Err(AskError::Failed(_))));
    let statuses =
        [AskError::NoService, AskError::Late, AskError::Garbled(String::new()), AskError::TooLarge];
    assert_eq!(statuses.map(|error| Problem::from(error).status), [503, 504, 502, 413]);
}

#[test]
fn what_is_larger_than_a_message_is_not_sent() {
    let request = Request { body: vec![b'x'; http::MAX_BODY], ..Request::new("POST", "/") };
    assert_eq!(ask("other", &request, PATIENCE), Err(AskError::TooLarge));
}

#[test]
fn good_answers() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000));
    assert_eq!(answered(long).unwrap().body.len(), 100_000);
    let twice = answered("HTTP/1.1 200\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n").unwrap();
    assert_eq!(twice.headers, [("set-cookie".into(), "a".to_owned()), ("set-cookie".into(), "b".to_owned())]);
    let unchanged =
        answered("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: \"x\"\r\n\r\n").unwrap();
    assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some("\"x\"")));
    assert_eq!(answered_to("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").unwrap().status, 200);
}

#[test]
fn bytes_that_are_no_answer_are_an_error() {
    let ok = |head: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}").into_bytes();
    let rows: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"hello".to_vec(),
        b"{\"status\":200}".to_vec(),
        b"HTTP/1.1 200 OK".to_vec(),
        b"HTTP/1.1 200 OK\r\n".to_vec(),
        b"HTTP/1.0 200 OK\r\n\r\n".to_vec(),
        b"HTTP/2 200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 20 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(),
        b"HTTP/1.1 000 None\r\n\r\n".to_vec(),
        b"HTTP/1.1 999 Much\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        ok("", "body"),
        ok("content-length: 3\r\n", "body"),
        ok("content-length: 5\r\n", "body"),
        ok("content-length: +4\r\n", "body"),
        ok("content-length: 4, 4\r\n", "body"),
        ok("content-length: 4\r\ncontent-length: 4\r\n", "body"),
        ok("content-length: 4\r\ntransfer-encoding: chunked\r\n", "body"),
        ok("transfer-encoding: chunked\r\n", "0\r\n\r\n"),
        ok("x : y\r\n", ""),
        ok(" x: y\r\n", ""),
        ok("x: a\0b\r\n", ""),
        b"HTTP/1.1 200 OK\r\nx: \xff\r\n\r\n".to_vec(),
        b"HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nbody".to_vec(),
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\nbody".to_vec(),
        ok(&"x: y\r\n".repeat(MAX_HEADERS + 1), ""),
        ok(&format!("x: {}\r\n", "y".repeat(MAX_HEAD)), ""),
        [ok(&format!("content-length: {}\r\n", 1 << 20), ""), vec![b'x'; 1 << 20]].concat(),
        ok("", "HTTP/1.1 200 OK\r\n\r\n"),
    ];
    for bytes in rows {
        let shown = String::from_utf8_lossy(&bytes).chars().take(80).collect::<String>();
        assert!(matches!(answered(bytes), Err(AskError::Garbled(_))), "{shown:?}");
    }
    assert!(matches!(answered_to("HEAD", ok("content-length: 4\r\n", "body")), Err(AskError::Garbled(_))));
}

#[test]
fn any_bytes_are_an_answer_or_garbled() {
    let good = b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 4\r\n\r\nbody".to_vec();
    for _ in 0..20_000 {
        let bytes = mangled(&good);
        match answered(bytes) {
            Ok(response) => assert!((200..600).contains(&response.status)),
            Err(error) => assert!(matches!(error, AskError::Garbled(_)), "{error}"),
        }
    }
}

#[test]
fn a_service_asks_those_that_it_says_it_asks() {
    struct Shy;
    impl Service for Shy {
        const NAME: &str = "shy";
        const VERSION: &str = "0";
        const ROUTES: &[crate::Route] = &[];
        const ASKS: Asks = Asks::These(&["other"]);
    }
    for name in ["other", "another"] {
        platform().listen(&format!("svc.{name}"), |_| Some(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()));
    }
    let asked = |name: &str| http::ask(Shy::DESCRIPTOR, name, &Request::new("GET", "/"), PATIENCE);
    assert_eq!(asked("other").unwrap().status, 204);
    assert!(
        matches!(asked("another"), Err(AskError::Failed(fault)) if fault.to_string().contains("shy asks another"))
    );
    assert_eq!(platform().take_exchanges().len(), 1, "nothing was sent to another");
}
