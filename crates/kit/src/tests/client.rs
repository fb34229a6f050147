//! Asking functions of another service by their routes: what is sent, and what is made of the answer.

use super::*;
use crate::http::{Answer, AskError, Asker, CALLER, CallError, ROLES, read_message};
use crate::schema::Page;
use crate::testing::{caller, caller_as};

const PATIENCE: Duration = Duration::from_secs(2);

/// A service that asks notes and nobody else.
struct Reader;

impl Service for Reader {
    const NAME: &str = "reader";
    const VERSION: &str = "0";
    const ROUTES: &[Route] = &[];
    const ASKS: Asks = Asks::These(&["notes"]);
}

#[derive(Debug, PartialEq)]
struct Texts {
    items: Vec<String>,
    next: Option<String>,
}

impl Page for Texts {
    type Part = Vec<String>;

    fn parts(self) -> (Vec<String>, Option<String>) {
        (self.items, self.next)
    }

    fn whole(items: Vec<String>, next: Option<String>) -> Self {
        Self { items, next }
    }
}

/// Lets notes answer with this.
fn answering(status: u16, headers: &str, body: &str) {
    let answer = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
    platform().listen("svc.notes", move |_| Some(answer.clone().into_bytes()));
}

fn read(cx: &Cx) -> Result<Answer<Texts>, CallError> {
    let asker = Asker::new(Reader::DESCRIPTOR, cx, PATIENCE);
    asker.question("notes", "GET", "/notes").page(&PageRequest { limit: None, after: None }).part()
}

#[test]
fn the_request_has_each_argument_where_the_route_says() {
    answering(200, "", "\"done\"");
    let cx = caller_as("moderator", "mia").with_key("k");
    let asker = Asker::new(Reader::DESCRIPTOR, &cx, PATIENCE).at(Some("notes:0:7"));
    let question = asker.question("notes", "PUT", "/notes/{id}/tags/{tag}?kind&count");
    let question = question.word("a/b").word("ü").parameter(None::<&String>).unwrap();
    let question = question.parameter(Some(&3)).unwrap().body(&new("hello")).unwrap();
    let page = PageRequest { limit: Some(5), after: Some("c&d".to_owned()) };
    assert_eq!(question.page(&page).whole::<String>().unwrap().value, "done");

    let sent = read_message(&platform().take_exchanges().pop().unwrap().request).unwrap();
    let target = "/notes/a%2Fb/tags/%C3%BC?count=3&limit=5&after=c%26d&position=notes%3A0%3A7";
    assert_eq!((sent.method.as_str(), sent.target.as_str()), ("PUT", target));
    assert_eq!((sent.header(CALLER), sent.header(ROLES)), (Some("mia"), Some("moderator")));
    assert_eq!(sent.header("idempotency-key"), Some("k"));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&sent.body).unwrap()["text"], "hello");
}

#[test]
fn what_headers_say_of_an_answer_is_part_of_it() {
    answering(200, "", "[]");
    let empty = Texts { items: Vec::new(), next: None };
    assert_eq!(read(&caller("ann")), Ok(Answer { value: empty, position: None, is_behind: false }));

    let headers = "link: </notes?after=c1&limit=1>; rel=\"next\"\r\nx-trellis-lag: 2\r\ntrellis-position: notes:0:1\r\n";
    answering(200, headers, "[\"a\"]");
    let value = Texts { items: vec!["a".to_owned()], next: Some("c1".to_owned()) };
    let expected = Answer { value, position: Some("notes:0:1".to_owned()), is_behind: true };
    assert_eq!(read(&caller("ann")), Ok(expected));
}

#[test]
fn what_is_no_result_says_whether_anything_can_have_happened() {
    let cx = anonymous();
    assert_eq!(read(&cx), Err(CallError::NoAnswer { service: "notes", error: AskError::NoService }));
    answering(409, "content-type: application/problem+json\r\n", r#"{"title":"No","status":409}"#);
    assert!(matches!(read(&cx), Err(CallError::Refused(problem)) if problem.status == 409));
    answering(503, "", "");
    assert_eq!(read(&cx), Err(CallError::Failed { status: 503 }));
    for (status, body) in [(204, ""), (409, "no problem"), (200, "{"), (200, "{}")] {
        answering(status, "", body);
        let answer = read(&cx);
        let is_garbled = matches!(answer, Err(CallError::NoAnswer { error: AskError::Garbled(_), .. }));
        assert!(is_garbled, "{status} {body}: {answer:?}");
    }
}
