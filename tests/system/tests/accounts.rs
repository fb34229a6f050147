//! People who sign up, sign in and are known, through the gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use system::{Load, MIA, OLAF, Request, Response, Reuse, Runtime, Trellis, eventually};
use tempfile::tempdir;

const PASSWORD: &str = "correct horse";

fn sign_up(trellis: &Trellis, email: &str) -> Response {
    let new = json!({ "email": email, "password": PASSWORD, "display_name": "Ann" });
    trellis.send(&Request::post("/users/signup", new.to_string()))
}

fn sign_in(trellis: &Trellis, email: &str, password: &str) -> Response {
    let shown = json!({ "email": email, "password": password });
    trellis.send(&Request::post("/users/signin", shown.to_string()))
}

fn token(answer: &Response) -> String {
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// What a browser sends back of a cookie that it was told to keep.
fn cookie(answer: &Response) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

fn current(trellis: &Trellis, cookie: &str) -> Response {
    let get = Request::get("/users/currentuser").header("sec-fetch-site", "same-origin");
    trellis.send(&get.header("cookie", cookie))
}

#[test]
fn from_signing_up_to_signing_out() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    assert_eq!(trellis.get("/users/currentuser").json(), json!({ "current_user": null }));
    let signed_up = sign_up(&trellis, "ann@example.org");
    assert_eq!(signed_up.status, 201, "{signed_up:?}");
    let (person, cookie) = (signed_up.json()["current_user"].clone(), cookie(&signed_up));
    assert!(cookie.starts_with("__Host-trellis=") && signed_up.header("trellis-session").is_none());
    // The very next request knows it, whoever of the gateways gets it.
    assert_eq!(current(&trellis, &cookie).json()["current_user"], person);
    let post = |token: &str| {
        let request = Request::post("/posts", r#"{"title": "Hello"}"#).by(token);
        trellis.send(&request).json()["author"].clone()
    };
    let signed_in = sign_in(&trellis, "ANN@example.org", PASSWORD);
    let second = token(&signed_in);
    assert_eq!(post(&second), person["id"]);
    for (email, password) in [("ann@example.org", "wrong horse"), ("bob@example.org", PASSWORD)] {
        let refused = sign_in(&trellis, email, password);
        assert_eq!((refused.status, refused.header("set-cookie")), (401, None), "{email}");
    }
    assert_eq!(sign_up(&trellis, "Ann@Example.org").status, 409);

    let out = Request::post("/users/signout", "").by(&second);
    let out = trellis.send(&out);
    assert_eq!((out.status, out.body.len()), (204, 0), "{out:?}");
    assert_eq!(trellis.send(&Request::get("/posts").by(&second)).status, 401);
    assert_eq!(current(&trellis, &cookie).status, 200, "the other is not");
    trellis.stop();
}

#[test]
fn another_password_ends_the_sessions_of_whoever_had_the_old_one() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let mine = cookie(&sign_up(&trellis, "ann@example.org"));
    let other = cookie(&sign_in(&trellis, "ann@example.org", PASSWORD));
    assert_eq!(current(&trellis, &other).status, 200);
    let by_cookie =
        |request: Request| request.header("sec-fetch-site", "same-origin").header("cookie", &mine);
    let to = json!({ "current_password": PASSWORD, "new_password": "another horse" }).to_string();
    let set = trellis.send(&by_cookie(Request::put("/users/password", to)));
    assert_eq!(set.status, 204, "{set:?}");
    assert_eq!(current(&trellis, &other).status, 401, "the other is over");
    assert_eq!(sign_in(&trellis, "ann@example.org", PASSWORD).status, 401);
    assert_eq!(current(&trellis, &mine).status, 200);
    let sessions = || trellis.send(&by_cookie(Request::get("/users/sessions"))).json();
    eventually("there is one left", || (sessions().as_array().unwrap().len() == 1).then_some(()));
    assert_eq!(sessions()[0]["this"], true);
    trellis.stop();
}

/// Who signs up with an email is decided by one append, however many ask at once.
#[test]
fn of_all_who_sign_up_with_one_email_one_does() {
    const AT_ONCE: usize = 500;
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let all: Vec<Response> = std::thread::scope(|scope| {
        let ask = || sign_up(&trellis, "ann@example.org");
        let asking: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |status: u16| all.iter().filter(|answer| answer.status == status).count();
    println!(
        "{} made a user, {} were refused, {} were asked to come again",
        count(201),
        count(409),
        count(503)
    );
    assert_eq!((count(201), count(201) + count(409) + count(503)), (1, AT_ONCE), "{all:?}");
    let refusals = all.iter().filter(|answer| answer.status == 409);
    let details: BTreeSet<String> = refusals.map(|answer| answer.json()["detail"].to_string()).collect();
    assert_eq!(details.len(), 1, "all the same: {details:?}");
    let events = trellis.run(&["events", "--json"]);
    assert_eq!(events.matches(r#""type":"user.signed_up.v1""#).count(), 1, "{events}");
    trellis.stop();
}

/// Readers do not stop while sessions are ended, in the three ways in which that is done. Whoever asks after the answer is refused,
/// by whichever instance of a gateway; so the two ways of writing down which sessions count say the same.
#[test]
fn a_session_that_is_over_is_refused_from_the_answer_on() {
    const USERS: usize = 3;
    const EACH: usize = 8;
    for reuse in Reuse::all() {
        let data = tempdir().unwrap();
        let trellis = Trellis::start_reusing(data.path(), &[], *reuse);
        let open = |user: usize, nth: usize| {
            let email = format!("{user}@example.org");
            let answer =
                if nth == 0 { sign_up(&trellis, &email) } else { sign_in(&trellis, &email, PASSWORD) };
            (token(&answer), AtomicBool::new(false))
        };
        let all: Vec<Vec<(String, AtomicBool)>> =
            (0..USERS).map(|user| (0..EACH).map(|nth| open(user, nth)).collect()).collect();
        let (is_done, accepted, refused) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let read = || {
            while !is_done.load(Ordering::SeqCst) {
                for (token, is_over) in all.iter().flatten() {
                    let was_over = is_over.load(Ordering::SeqCst);
                    let status = trellis.send(&Request::get("/posts?limit=1").by(token)).status;
                    assert!(status == 401 || (status == 200 && !was_over), "{status}, over: {was_over}");
                    let count = if was_over { &refused } else { &accepted };
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        };
        let end = || {
            for sessions in &all {
                let (kept, others) = sessions.split_last().unwrap();
                let (ended, all_others) = others.split_at(EACH / 2);
                for (token, is_over) in ended {
                    let path = format!("/users/sessions/{}", token.split('.').next().unwrap());
                    let answer = trellis.send(&Request::new("DELETE", &path).by(&kept.0));
                    assert_eq!(answer.status, 204, "{answer:?}");
                    is_over.store(true, Ordering::SeqCst);
                }
                let answer = trellis.send(&Request::new("DELETE", "/users/sessions").by(&kept.0));
                assert_eq!(answer.status, 204, "{answer:?}");
                all_others.iter().for_each(|(_, is_over)| is_over.store(true, Ordering::SeqCst));
                let counted: Vec<Value> = eventually("the list has what counts", || {
                    let listed = trellis.send(&Request::get("/users/sessions").by(&kept.0)).json();
                    listed.as_array().filter(|listed| listed.len() == 1).cloned()
                });
                assert_eq!(counted[0]["this"], true);
                let user = kept.0.split('-').next().unwrap();
                let block = Request::post(&format!("/users/{user}/block"), "").by(OLAF);
                assert_eq!(trellis.send(&block).status, 204);
                kept.1.store(true, Ordering::SeqCst);
            }
            let before = refused.load(Ordering::SeqCst);
            eventually("all have been refused since", || {
                (refused.load(Ordering::SeqCst) > before + 2 * USERS * EACH).then_some(())
            });
            is_done.store(true, Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            (0..4).for_each(|_| drop(scope.spawn(read)));
            // Whoever fails does not let the others read for ever.
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(end));
            is_done.store(true, Ordering::SeqCst);
            ended.unwrap();
        });
        println!(
            "{USERS} users, {} sessions: {accepted:?} times accepted before, {refused:?} times refused after",
            USERS * EACH
        );
        trellis.stop();
    }
}

/// While others read and write, sessions are ended one by one and all at once. Each token is shown again, by several at a time, so to any
/// gateway that there is. They are a thousand in one process; on a lattice, `tests/lattice` ends as many by way of two gateways.
#[test]
fn of_many_sessions_that_are_ended_under_load_none_is_accepted_afterwards() {
    const USERS: usize = 10;
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let each = if trellis.runtime() == Runtime::Embedded { 100 } else { 20 };
    let open = |user: usize| -> Vec<String> {
        let email = format!("{user}@example.org");
        let first = sign_up(&trellis, &email);
        let more = (1..=each).map(|_| sign_in(&trellis, &email, PASSWORD));
        std::iter::once(first).chain(more).map(|answer| token(&answer)).collect()
    };
    let status = |token: &String| trellis.send(&Request::get("/posts?limit=1").by(token)).status;
    let end = |tokens: &Vec<String>| {
        let (kept, others) = tokens.split_first().unwrap();
        let one_by_one = others[..each / 2].iter().map(|token| {
            let id = token.split('.').next().unwrap();
            Request::new("DELETE", &format!("/users/sessions/{id}"))
        });
        for request in one_by_one.chain([Request::new("DELETE", "/users/sessions")]) {
            let answer = trellis.send(&request.by(kept));
            assert_eq!(answer.status, 204, "{answer:?}");
        }
        others.iter().map(status).collect::<Vec<u16>>()
    };
    let at_once = |work: &(dyn Fn(usize) -> Vec<u16> + Sync)| -> Vec<u16> {
        std::thread::scope(|scope| {
            let working: Vec<_> = (0..USERS).map(|user| scope.spawn(move || work(user))).collect();
            working.into_iter().flat_map(|one| one.join().unwrap()).collect()
        })
    };
    let all: Vec<Vec<String>> = std::thread::scope(|scope| {
        let opening: Vec<_> = (0..USERS).map(|user| scope.spawn(move || open(user))).collect();
        opening.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |statuses: &[u16], of: u16| statuses.iter().filter(|status| **status == of).count();
    let accepted = at_once(&|user| all[user][1..].iter().map(status).collect());
    assert_eq!(count(&accepted, 200), USERS * each, "{accepted:?}");
    let load = Load::start(&trellis, 14);
    let refused = at_once(&|user| end(&all[user]));
    // By others, and some time later: whoever has read before that it counts must not believe it still.
    let later = at_once(&|user| all[(user + 1) % USERS][1..].iter().map(status).collect());
    let written = load.finish();
    println!("{} sessions ended beside {written}", USERS * each);
    for refused in [refused, later] {
        assert_eq!(count(&refused, 401), USERS * each, "{refused:?}");
    }
    let kept: Vec<u16> = all.iter().map(|tokens| status(&tokens[0])).collect();
    assert_eq!(count(&kept, 200), USERS, "{kept:?}");
    trellis.stop();
}

/// Neither what others read nor what the host writes has it.
#[test]
fn no_secret_is_anywhere_but_in_the_private_log() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let signed_up = sign_up(&trellis, "ann@example.org");
    let token = token(&signed_up);
    let secret = token.split('.').nth(1).unwrap().to_owned();
    sign_in(&trellis, "ann@example.org", "wrong horse");
    let read =
        |path: &str, key: &str| String::from_utf8(trellis.send(&Request::get(path).by(key)).body).unwrap();
    let all = [
        trellis.run(&["events", "--json"]),
        trellis.run(&["status", "--json"]),
        read("/registry", OLAF),
        read("/registry/flow", OLAF),
        read("/openapi.json", MIA),
        read("/asyncapi.json", MIA),
    ];
    assert!(all[0].contains("session.opened.v1"));
    for text in &all {
        for hidden in ["ann@example.org", PASSWORD, "wrong horse", "$argon2", &secret, "credential.", "own/"]
        {
            // Who runs all this is told by status that somebody follows the private log.
            let is_status = text == &all[1] && hidden == "own/";
            assert!(is_status || !text.contains(hidden), "{hidden} in {text}");
        }
    }
    trellis.stop();
}

/// An organisation's programs come in by it until then, and nobody reads it but whoever has issued it.
#[test]
fn a_key_that_is_ended_is_refused_from_the_answer_on() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let issue = |by: &str| {
        let new = json!({ "name": "Shop", "roles": ["moderator"], "days": 7 });
        trellis.send(&Request::post("/keys", new.to_string()).by(by))
    };
    let issued = issue(OLAF);
    assert_eq!(issued.status, 201, "{issued:?}");
    let (id, key) = (issued.json()["key"]["id"].clone(), token(&issued));
    let queue = || trellis.send(&Request::get("/moderation/queue").by(&key)).status;
    assert_eq!(queue(), 200, "the very next request knows it");
    assert_eq!(issue(&key).status, 403);
    let secret = key.split('.').nth(1).unwrap();
    let events = trellis.run(&["events", "--json"]);
    let listed = trellis.send(&Request::get("/keys").by(OLAF));
    let listed = String::from_utf8(listed.body).unwrap();
    assert!(events.contains("api-key.issued.v1") && !events.contains(secret) && !listed.contains(secret));
    let end = Request::new("DELETE", &format!("/keys/{}", id.as_str().unwrap())).by(OLAF);
    assert_eq!(trellis.send(&end).status, 204);
    assert_eq!(queue(), 401);
    trellis.stop();
}

/// Whoever runs all this has a key in the config, by which the first admins are made.
#[test]
fn what_an_admin_says_is_in_force_for_who_is_signed_in() {
    let data = tempdir().unwrap();
    let trellis = Trellis::start(data.path());
    let ann = sign_up(&trellis, "ann@example.org");
    let (id, ann) = (ann.json()["current_user"]["id"].as_str().unwrap().to_owned(), cookie(&ann));
    let queue = || {
        let get = Request::get("/moderation/queue").header("sec-fetch-site", "same-origin");
        trellis.send(&get.header("cookie", &ann)).status
    };
    assert_eq!(queue(), 403);
    let roles = |roles: &[&str]| {
        let set = Request::put(&format!("/users/{id}/roles"), json!({ "roles": roles }).to_string());
        assert_eq!(trellis.send(&set.by(OLAF)).status, 200);
    };
    roles(&["moderator"]);
    assert_eq!(queue(), 200);
    roles(&[]);
    assert_eq!(queue(), 403);
    let block = format!("/users/{id}/block");
    assert_eq!(trellis.send(&Request::post(&block, "").by(OLAF)).status, 204);
    assert_eq!(queue(), 401);
    assert_eq!(sign_in(&trellis, "ann@example.org", PASSWORD).status, 403);
    assert_eq!(trellis.send(&Request::new("DELETE", &block).by(OLAF)).status, 204);
    assert_eq!(queue(), 403);
    let list = || trellis.send(&Request::get("/users").by(OLAF)).json();
    eventually("she is in the list", || (list()[0]["id"] == id.as_str()).then_some(()));
    assert_eq!(trellis.send(&Request::get("/users")).status, 401);
    trellis.stop();
}
