//! Killed while people sign up; and what of them is on the disk afterwards.

use std::fs;
use std::path::Path;

use serde_json::json;
use system::{Client, Embedded, Request, eventually, settled};
use tempfile::tempdir;

const ROUNDS: usize = 6;
const AT_ONCE: usize = 4;
const PASSWORD: &str = "correct horse";

fn shown(path: &str, email: &str) -> Request {
    Request::post(path, json!({ "email": email, "password": PASSWORD }).to_string())
}

fn email(round: usize, one: usize) -> String {
    format!("{round}-{one}@example.org")
}

/// Whoever got no answer comes again, and is known already or not: in the end there is one user for each email, who signs in.
#[test]
fn killed_while_people_sign_up() {
    let data = tempdir().unwrap();
    let (mut made_at_once, mut unanswered) = (0, 0);
    for round in 0..ROUNDS {
        let trellis = Embedded::start(data.path());
        let client = trellis.client();
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..AT_ONCE)
                .map(|one| scope.spawn(move || client.send(&shown("/users/signup", &email(round, one))).ok()))
                .collect();
            // As many answers as the round has as its number: at first none at all, and at last all.
            eventually("enough are answered", || {
                (asked.iter().filter(|one| one.is_finished()).count() >= round.min(AT_ONCE)).then_some(())
            });
            trellis.kill();
            for answer in asked.into_iter().map(|one| one.join().unwrap()) {
                match answer {
                    Some(answer) => {
                        assert_eq!(answer.status, 201, "{answer:?}");
                        made_at_once += 1;
                    }
                    None => unanswered += 1,
                }
            }
        });
    }
    assert!(made_at_once > 0 && unanswered > 0, "{made_at_once} and {unanswered}");

    let trellis = Embedded::start(data.path());
    settled(&trellis);
    let again = |client: &Client, email: &str| client.send(&shown("/users/signup", email)).unwrap().status;
    let mut known = 0;
    for email in (0..ROUNDS).flat_map(|round| (0..AT_ONCE).map(move |one| email(round, one))) {
        let status = again(&trellis.client(), &email);
        assert!(matches!(status, 201 | 409), "{status}");
        known += usize::from(status == 409);
        let signed_in = trellis.send(&shown("/users/signin", &email));
        assert_eq!(signed_in.status, 200, "{email}: {signed_in:?}");
    }
    println!(
        "{made_at_once} were answered, {unanswered} were not, of whom {} were known",
        known - made_at_once
    );
    settled(&trellis);
    let events = trellis.run(&["events", "--json"]);
    assert_eq!(events.matches(r#""type":"user.signed_up.v1""#).count(), ROUNDS * AT_ONCE, "{events}");
    trellis.stop();
}

/// Every byte that the run has left behind, and every line that it has printed.
#[test]
fn neither_passwords_nor_tokens_nor_emails_are_on_the_disk() {
    let data = tempdir().unwrap();
    let trellis = Embedded::start(data.path());
    let new = json!({ "email": "ann@example.org", "password": PASSWORD, "display_name": "Ann of Nowhere" });
    let signed_up = trellis.send(&Request::post("/users/signup", new.to_string()));
    let token = signed_up.json()["token"].as_str().unwrap().to_owned();
    let (session, secret) = (token.split('.').next().unwrap(), token.split('.').nth(1).unwrap());
    for (email, password) in [("ann@example.org", "wrong horse"), ("bob@example.org", "other horse")] {
        let wrong = json!({ "email": email, "password": password }).to_string();
        assert_eq!(trellis.send(&Request::post("/users/signin", wrong)).status, 401);
    }
    let to = json!({ "current_password": PASSWORD, "new_password": "another horse" }).to_string();
    assert_eq!(trellis.send(&Request::put("/users/password", to).by(&token)).status, 204);
    assert_eq!(trellis.send(&Request::get("/posts").by(&token)).status, 200);
    settled(&trellis);
    let printed = trellis.output();
    trellis.stop();
    let mut all = vec![("what was printed".to_owned(), printed.into_bytes())];
    read_below(data.path(), &mut all);
    let has = |text: &str| -> Vec<&str> {
        let is_in = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        all.iter().filter(|(_, bytes)| is_in(bytes)).map(|(name, _)| name.as_str()).collect()
    };
    for there in ["Ann of Nowhere", "$argon2id$", session] {
        assert!(!has(there).is_empty(), "{there} can be found, if it is there");
    }
    assert!(!has("$argon2id$").contains(&"what was printed"));
    for hidden in ["example.org", PASSWORD, "wrong horse", "other horse", "another horse", secret] {
        assert_eq!(has(hidden), Vec::<&str>::new(), "{hidden}");
    }
}

fn read_below(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_below(&path, all);
        } else {
            all.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}
