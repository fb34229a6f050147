//! What only who reads the output of the host can do; and what an address may try, which its HTTP server adds.

use serde_json::json;
use system::{Embedded, Request, Response, eventually};
use tempfile::tempdir;

const PASSWORD: &str = "correct horse";

fn person(path: &str, email: &str, password: &str) -> Request {
    Request::post(path, json!({ "email": email, "password": password }).to_string())
}

fn token(answer: &Response) -> String {
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// The codes that it has printed.
fn codes(trellis: &Embedded) -> Vec<String> {
    let output = trellis.output();
    let lines = output.lines().filter(|line| line.contains("nobody is admin yet"));
    let is_code = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()));
    words.filter(is_code).map(str::to_owned).collect()
}

#[test]
fn whoever_shows_the_code_that_is_printed_is_admin() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start(data.path());
    let ann = token(&trellis.send(&person("/users/signup", "ann@example.org", PASSWORD)));
    let bob = token(&trellis.send(&person("/users/signup", "bob@example.org", PASSWORD)));
    let code = eventually("a code is printed", || codes(&trellis).pop());
    let show = |token: &str| {
        trellis.send(&Request::post("/users/admin", json!({ "code": code }).to_string()).by(token))
    };
    assert_eq!(trellis.send(&Request::get("/users").by(&ann)).status, 403);
    assert_eq!(show(&ann).json()["roles"], json!(["admin"]));
    assert_eq!(show(&bob).status, 422, "it works once");
    assert_eq!(trellis.send(&Request::get("/users").by(&ann)).status, 200, "from the answer on");
    let roles = Request::put(
        &format!("/users/{}/roles", bob.split('-').next().unwrap()),
        r#"{"roles":["moderator"]}"#,
    );
    assert_eq!(trellis.send(&roles.by(&ann)).status, 200);
    assert_eq!(trellis.send(&Request::get("/moderation/queue").by(&bob)).status, 200);
    trellis.stop();
    // Another start prints none, and the one that was is none any more.
    let trellis = Embedded::start(data.path());
    assert_eq!(trellis.send(&person("/users/signin", "ann@example.org", PASSWORD)).status, 200);
    assert_eq!(codes(&trellis), Vec::<String>::new());
    trellis.stop();
}

#[test]
fn an_address_that_guesses_is_slowed_down_and_no_other_is() {
    let data = tempdir().unwrap();
    // The server adds our own address; the one before it is a proxy's word.
    let settings = [("accounts", "limits", "on"), ("gateway", "forwarded-hops", "2")];
    let trellis = Embedded::start_configured(data.path(), &settings, &[]);
    assert_eq!(trellis.send(&person("/users/signup", "ann@example.org", PASSWORD)).status, 201);
    let sign_in = |address: &str, password: &str| {
        let request = person("/users/signin", "ann@example.org", password);
        trellis.send(&request.header("x-forwarded-for", address).header("trellis-address", "10.9.9.9"))
    };
    // Five minutes may end meanwhile, once.
    let answers: Vec<Response> = (0..21).map(|_| sign_in("10.0.0.1", "wrong horse")).collect();
    let refused: Vec<&Response> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(!refused.is_empty() && answers.iter().filter(|answer| answer.status == 401).count() <= 20);
    let wait: u64 = refused[0].header("retry-after").unwrap().parse().unwrap();
    assert!((1..=300).contains(&wait), "{wait}");
    assert_eq!(sign_in("10.0.0.2", PASSWORD).status, 200, "the owner, elsewhere");
    trellis.stop();
}
