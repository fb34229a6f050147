//! Requests as messages: what is read, and what is not.

use super::*;
use crate::http::{MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_MESSAGE};
use crate::testing::{message, settle, start};

/// Sends bytes as a request, and splits the answer into its status and the rest.
fn ask(bytes: &[u8]) -> (u16, String) {
    message::<Notes>("svc.notes", Some("_INBOX.1"), bytes).unwrap();
    let published = platform().take_published();
    let answer = published.into_iter().find(|(subject, _)| subject == "_INBOX.1").unwrap().1;
    let text = String::from_utf8(answer).unwrap();
    (text["HTTP/1.1 ".len()..][..3].parse().unwrap(), text)
}

fn post(head: &str, body: &str) -> Vec<u8> {
    format!("POST /notes HTTP/1.1\r\nContent-Type: application/json\r\n{head}\r\n{body}").into_bytes()
}

#[test]
fn a_request_is_answered_with_the_bytes_of_a_response() {
    let (_, created) = ask(&post("Content-Length: 12\r\nIdempotency-Key: k\r\n", r#"{"text":"a"}"#));
    let id = stored().remove(0).subject;
    let body = format!(r#"{{"id":"{id}","text":"a","version":1}}"#);
    let expected = format!(
        "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nlocation: /notes/{id}?position=notes:0:1\r\ntrellis-position: notes:0:1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(created, expected);
    assert_eq!(ask(b"GET / HTTP/1.1\r\n\r\n").1, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(
        ask(format!("GET /notes/{id} HTTP/1.1\nHost: x\n\n").as_bytes()).0,
        200,
        "bare line feeds will do"
    );
}

#[test]
fn an_answer_that_no_message_can_carry_is_a_mistake_of_the_service() {
    start::<Notes>();
    for _ in 0..5 {
        write(&anonymous(), new(&"x".repeat(MAX_MESSAGE / 5))).unwrap();
    }
    settle::<Notes>();
    let (status, text) = ask(b"GET /notes HTTP/1.1\r\n\r\n");
    assert!(status == 500 && text.len() < 1000, "{text:.1000}");
    assert_eq!(ask(b"GET /notes?limit=4 HTTP/1.1\r\n\r\n").0, 200);
}

#[test]
fn hostile_requests() {
    let many_headers = "X: y\r\n".repeat(MAX_HEADERS);
    let ten_thousand = "X: y\r\n".repeat(10_000);
    let long_header = format!("X: {}\r\n", "y".repeat(MAX_HEAD));
    let body = r#"{"text":"a"}"#;
    let rows: Vec<(Vec<u8>, u16)> = vec![
        (Vec::new(), 400),
        (b"GET".to_vec(), 400),
        (b"GET / HTTP/1.1".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec(), 400),
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/2\r\n\r\n".to_vec(), 400),
        (b"GET  / HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"G\0T / HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nX\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nX : y\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\n X: y\r\n\r\n".to_vec(), 400),
        (b"\xff\xfe\xfd".to_vec(), 400),
        (vec![b'A'; 100_000], 431),
        (post(&many_headers, ""), 431),
        (post(&ten_thousand, ""), 431),
        (post(&long_header, ""), 431),
        (post("Content-Length: 12\r\n", body), 201),
        (post("", body), 400),
        (post("Content-Length: 11\r\n", body), 400),
        (post("Content-Length: 13\r\n", body), 400),
        (post("Content-Length: -1\r\n", body), 400),
        (post("Content-Length: +12\r\n", body), 400),
        (post("Content-Length: 0x0c\r\n", body), 400),
        (post("Content-Length: 12, 12\r\n", body), 400),
        (post("Content-Length: 12\r\nContent-Length: 12\r\n", body), 400),
        (post("Content-Length: 12\r\nContent-Length: 0\r\n", body), 400),
        (post("Content-Length: 99999999999999999999\r\n", body), 400),
        (post("Content-Length: 2097152\r\n", body), 413),
        (post("Transfer-Encoding: chunked\r\n", "c\r\n{\"text\":\"a\"}\r\n0\r\n\r\n"), 400),
        (post("Content-Length: 12\r\nTransfer-Encoding: chunked\r\n", body), 400),
        (b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_vec(), 400),
    ];
    for (bytes, expected) in rows {
        let (status, text) = ask(&bytes);
        assert_eq!(status, expected, "{:.80}\n{text}", String::from_utf8_lossy(&bytes));
    }
    let large = format!(r#"{{"text":"{}"}}"#, "a".repeat(MAX_BODY));
    assert_eq!(ask(&post(&format!("Content-Length: {}\r\n", large.len()), &large)).0, 413);
}

#[test]
fn any_bytes_get_one_whole_answer() {
    let good = post("Content-Length: 12\r\nIdempotency-Key: k\r\n", r#"{"text":"a"}"#);
    for _ in 0..20_000 {
        let bytes = mangled(&good);
        let (status, text) = ask(&bytes);
        assert!((200..500).contains(&status), "{status} for {:?}", String::from_utf8_lossy(&bytes));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = head.rsplit_once("content-length: ").map(|(_, length)| length.parse().unwrap());
        assert_eq!(length.unwrap_or(0), body.len());
    }
}

#[test]
fn a_request_without_an_address_for_the_answer_is_an_error() {
    message::<Notes>("svc.notes", None, b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
    message::<Notes>("svc.other", Some("_INBOX.1"), b"").unwrap_err();
    assert_eq!(platform().take_published(), []);
}

#[test]
fn an_answer_goes_to_an_inbox_and_nowhere_else() {
    let request = b"GET /readyz HTTP/1.1\r\n\r\n";
    for elsewhere in
        ["log.notes.0.a.1", "dead.notes.notes.1.r", "trellis.hello", "deliver.notes", "_INBOX", ""]
    {
        for (subject, body) in [("svc.notes", request.as_slice()), ("deliver.notes", b""), ("$SRV.PING", b"")]
        {
            message::<Notes>(subject, Some(elsewhere), body).unwrap_err();
        }
    }
    assert_eq!(platform().take_published(), []);
    for inbox in ["_INBOX.a.1", "_R_.a.1"] {
        message::<Notes>("svc.notes", Some(inbox), request).unwrap();
        assert_eq!(platform().take_published().pop().map(|(subject, _)| subject), Some(inbox.to_owned()));
    }
}
