//! Callers who are signed in, by what accounts tell of them.

use std::time::Duration;

use trellis_kit::platform::Platform;

use super::*;
use crate::trellis::accounts::events::{ApiKeyEvent, SessionEvent, UserEvent};
use crate::trellis::accounts::types::{ApiKey, Session, Sessions, Term, User};

play! {
    /// The service where people sign in.
    Accounts: sources::ACCOUNTS {
        User.id by UserEvent: |before, event| match event {
            UserEvent::SignedUp(user) => Some(user.clone()),
            UserEvent::SessionsEnded(sessions) => {
                before.map(|user| User { sessions: sessions.clone(), version: user.version + 1, ..user })
            }
            UserEvent::RolesSet(roles) => {
                before.map(|user| User { roles: roles.clone(), version: user.version + 1, ..user })
            }
            UserEvent::Renamed(name) => {
                before.map(|user| User { display_name: Some(name.clone()), version: user.version + 1, ..user })
            }
            UserEvent::Blocked(at) => {
                before.map(|user| User { blocked_at: Some(at.clone()), version: user.version + 1, ..user })
            }
            UserEvent::Unblocked => {
                before.map(|user| User { blocked_at: None, version: user.version + 1, ..user })
            }
        },
        Session.id by SessionEvent: |before, event| match event {
            SessionEvent::Opened(session) => Some(session.clone()),
            SessionEvent::Prolonged(Term { ends_at, prolong_from }) => {
                before.map(|session| Session { ends_at: ends_at.clone(), prolong_from: prolong_from.clone(), ..session })
            }
            SessionEvent::Ended => {
                before.map(|session| Session { ended: true, version: session.version + 1, ..session })
            }
        },
        ApiKey.id by ApiKeyEvent: |before, event| match event {
            ApiKeyEvent::Issued(key) => Some(key.clone()),
            ApiKeyEvent::Ended => before.map(|key| ApiKey { ended: true, version: key.version + 1, ..key }),
        },
    }
}

pub const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

pub fn token(session: &str) -> String {
    format!("{session}.{}", trellis_kit::id::sha256(session))
}

fn signed_up(id: &str, roles: &[&str]) {
    given::<User>(id, [UserEvent::SignedUp(user(id, roles))]);
}

fn user(id: &str, roles: &[&str]) -> User {
    User {
        id: id.to_owned(),
        display_name: None,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        sessions: Sessions { since: 0, kept: None },
        signed_up_at: "2026-01-01T00:00:00.000Z".to_owned(),
        blocked_at: None,
        version: 1,
    }
}

fn opened(id: &str, since: u64, ends_at: &str) {
    let session = Session {
        id: id.to_owned(),
        user: trellis_kit::id::root(id).to_owned(),
        token_hash: trellis_kit::id::sha256(&token(id)),
        since,
        opened_at: "2026-01-01T00:00:00.000Z".to_owned(),
        ends_at: ends_at.to_owned(),
        prolong_from: None,
        ended: false,
        version: 1,
    };
    given::<Session>(id, [SessionEvent::Opened(session)]);
}

/// A key by which programs moderate.
fn issued(id: &str, ends_at: &str) {
    let key = ApiKey {
        id: id.to_owned(),
        name: "Shop & Co".to_owned(),
        roles: vec!["moderator".to_owned()],
        key_hash: trellis_kit::id::sha256(&token(id)),
        issued_at: "2026-01-01T00:00:00.000Z".to_owned(),
        ends_at: ends_at.to_owned(),
        ended: false,
        version: 1,
    };
    given::<ApiKey>(id, [ApiKeyEvent::Issued(key)]);
}

const LATE: &str = "9999-01-01T00:00:00.000Z";

/// Ann, who moderates and has two sessions.
pub fn ann() {
    configure_keys();
    serves("blog", &["GET /blog", "POST /posts", "role:moderator GET /moderation/queue"]);
    signed_up("ann", &["moderator"]);
    opened("ann-1", 1, LATE);
    opened("ann-2", 1, LATE);
    heard();
}

fn heard() {
    start::<Gateway>();
    settle::<Gateway>();
    asked();
}

fn queue(header: (&str, &str)) -> Response {
    send("GET", "/moderation/queue", &[OURS, header], "")
}

fn with(token: &str) -> Response {
    queue(("authorization", &bearer(token)))
}

#[test]
fn who_shows_the_token_of_a_session_is_its_user() {
    ann();
    let cookie = format!("a=1; __Host-trellis={}.1", token("ann-1"));
    for (header, value) in [("authorization", bearer(&token("ann-1"))), ("cookie", cookie)] {
        let answer = queue((header, &value));
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None), "{header}");
        assert_eq!(answer.header("cache-control"), Some("private, no-store"), "{header}");
        let [request] = asked().try_into().unwrap();
        let said = "trellis-caller: ann\r\ntrellis-roles: moderator\r\ntrellis-session: ann-1\r\n";
        assert!(request.contains(said), "{request}");
        assert!(!request.contains(&token("ann-1")), "the token stays here: {request}");
    }
}

#[test]
fn services_are_told_what_who_is_signed_in_wants_to_be_called_and_where_they_are() {
    ann();
    given::<User>("ann", [UserEvent::Renamed("Änn B.".to_owned())]);
    heard();
    platform().configure("forwarded-hops", "1");
    let headers = [("trellis-name", "x"), ("trellis-address", "x"), ("x-forwarded-for", "6.6.6.6, 10.0.0.1")];
    let told = |header: (&str, &str)| {
        send("GET", "/blog", &[&headers[..], &[header]].concat(), "");
        let [request] = asked().try_into().unwrap();
        let said = |name: &str| {
            let lines = request.lines().filter_map(|line| line.split_once(": "));
            let all: Vec<&str> = lines.filter(|(said, _)| *said == name).map(|(_, value)| value).collect();
            all.join(",")
        };
        (said("trellis-name"), said("trellis-address"))
    };
    let address = "10.0.0.1".to_owned();
    assert_eq!(
        told(("authorization", &bearer(&token("ann-1")))),
        ("%C3%84nn%20B.".to_owned(), address.clone())
    );
    assert_eq!(told(("authorization", &bearer("s3cret"))), ("mia".to_owned(), address.clone()));
    assert_eq!(told(("accept", "*/*")), (String::new(), address));
    platform().configure("forwarded-hops", "0");
    assert_eq!(told(("accept", "*/*")), (String::new(), String::new()));
}

#[test]
fn nobody_says_by_themselves_by_which_session_they_are_known() {
    ann();
    send("GET", "/blog", &[("trellis-session", "ann-1"), ("Trellis-Session", "ann-2")], "");
    let [request] = asked().try_into().unwrap();
    assert!(!request.to_lowercase().contains("trellis-session"), "{request}");
}

#[test]
fn what_is_no_token_of_a_session_that_counts_is_refused() {
    ann();
    signed_up("bob", &["moderator"]);
    opened("bob-1", 1, LATE);
    opened("bob-2", 1, "2020-01-01T00:00:00.000Z");
    given::<Session>("ann-2", [SessionEvent::Ended]);
    heard();
    assert_eq!([with(&token("ann-1")).status, with(&token("bob-1")).status], [200, 200]);
    let good = token("ann-1");
    let (session, secret) = good.split_once('.').unwrap();
    let of_bob = token("bob-1");
    let bobs = of_bob.split_once('.').unwrap().1;
    let forged = [
        token("ann-2"),
        token("bob-2"),
        token("ann-3"),
        token("nobody-1"),
        format!("{session}.{bobs}"),
        format!("bob-1.{secret}"),
        format!("ann.{secret}"),
        format!("{session}.{}", &secret[1..]),
        format!("{session}.{secret}0"),
        format!("{session}.{}", secret.to_uppercase()),
        format!("{session}."),
        format!(".{secret}"),
        format!("{session}.{secret}.{secret}"),
        format!("ann.1.{secret}"),
        session.to_owned(),
        secret.to_owned(),
        format!("{}-1.{secret}", "x".repeat(300)),
    ];
    for token in forged {
        let refused = with(&token);
        assert_problem(&refused, 401);
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"), "{token}");
        let cookie = format!("__Host-trellis={token}.1");
        let refused = queue(("cookie", &cookie));
        assert_eq!(refused.status, 401, "{cookie}");
        let forgotten = "__Host-trellis=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0";
        assert_eq!(refused.header("set-cookie"), Some(forgotten), "{cookie}");
    }
    assert!(asked().len() <= 2, "only those that count were passed on");
}

#[test]
fn a_cookie_that_is_there_twice_or_is_not_whole_or_from_elsewhere_is_none() {
    ann();
    let one = format!("__Host-trellis={}.1", token("ann-1"));
    let other = format!("__Host-trellis={}.1", token("ann-2"));
    for cookie in [
        format!("{one}; {other}"),
        format!("{one}; {one}"),
        format!("__Host-trellis={}.", token("ann-1")),
        format!("__Host-trellis={}.-1", token("ann-1")),
        format!("__Host-trellis={}.1.1", token("ann-1")),
        "__Host-trellis=".to_owned(),
        "__Host-trellis=~".to_owned(),
        "__Host-trellis=\u{fffd}".to_owned(),
        one.replace("__Host-trellis", "trellis"),
    ] {
        assert_eq!(queue(("cookie", &cookie)).status, 401, "{cookie}");
    }
    let from =
        |site| send("GET", "/moderation/queue", &[("sec-fetch-site", site), ("cookie", &one)], "").status;
    assert_eq!([from("cross-site"), from("same-site"), from("same-origin")], [401, 401, 200]);
    // The header counts where both are there.
    let both = |header: &str| {
        let headers = [OURS, ("cookie", one.as_str()), ("authorization", header)];
        send("GET", "/moderation/queue", &headers, "").status
    };
    assert_eq!(
        [both(&bearer("plain")), both(&bearer("nobody's")), both(&bearer(&token("ann-2")))],
        [403, 401, 200]
    );
    // One key in a cookie beside it changes nothing.
    assert_eq!(queue(("cookie", &format!("{one}; __Host-trellis-key=plain"))).status, 200);
    platform().configure("plain-http", "on");
    assert_eq!(queue(("cookie", &one)).status, 401);
    assert_eq!(queue(("cookie", &one.replace("__Host-trellis", "trellis"))).status, 200);
}

#[test]
fn all_sessions_but_one_are_over_when_accounts_say_so() {
    ann();
    let sessions = Sessions { since: 2, kept: Some("ann-1".to_owned()) };
    given::<User>("ann", [UserEvent::SessionsEnded(sessions)]);
    opened("ann-3", 1, LATE);
    opened("ann-4", 2, LATE);
    heard();
    let statuses = ["ann-1", "ann-2", "ann-3", "ann-4"].map(|session| with(&token(session)).status);
    assert_eq!(statuses, [200, 401, 401, 200]);
    given::<Session>("ann-1", [SessionEvent::Ended]);
    heard();
    assert_eq!(with(&token("ann-1")).status, 401);
}

#[test]
fn what_an_admin_says_of_a_user_is_in_force() {
    ann();
    let queue = |event: UserEvent| {
        given::<User>("ann", [event]);
        heard();
        with(&token("ann-1")).status
    };
    assert_eq!(queue(UserEvent::RolesSet(Vec::new())), 403);
    assert_eq!(queue(UserEvent::RolesSet(vec!["moderator".to_owned()])), 200);
    assert_eq!(queue(UserEvent::Blocked(LATE.to_owned())), 401);
    assert_eq!(queue(UserEvent::Unblocked), 200);
}

#[test]
fn whoever_is_signed_in_costs_no_call_more_and_is_limited_by_name() {
    ann();
    let calls = |send: &dyn Fn() -> Response| {
        send();
        let before = platform().calls();
        assert_eq!(send().status, 200);
        platform().calls() - before
    };
    let blog = |header: Option<(&str, String)>| {
        let headers: Vec<(&str, &str)> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
        send("GET", "/blog", &headers, "")
    };
    let anonymous = calls(&|| blog(None));
    let signed_in = calls(&|| blog(Some(("authorization", bearer(&token("ann-1"))))));
    assert_eq!(signed_in, anonymous);
    platform().configure("limits", r#"{"window_seconds":60,"reads":1,"writes":1}"#);
    let twice = [(); 2].map(|()| with(&token("ann-1")).status);
    assert_eq!((twice, with(&token("ann-2")).status), ([200, 429], 429), "both sessions are ann's");
}

#[test]
fn who_shows_the_token_of_a_key_is_its_holder_until_it_is_over() {
    ann();
    issued("key-1", LATE);
    issued("key-2", "2026-01-01T00:00:01.000Z");
    heard();
    assert_eq!([with(&token("key-1")).status, with(&token("key-2")).status], [200, 200]);
    let told = "trellis-caller: key-1\r\ntrellis-roles: moderator\r\n";
    let asked = asked();
    assert!(asked[0].contains(told) && asked[0].contains("trellis-name: Shop%20%26%20Co\r\n"), "{asked:?}");
    assert!(!asked[0].contains("trellis-session") && !asked[0].contains(&token("key-1")), "{asked:?}");
    platform().advance(Duration::from_secs(1));
    let good = token("key-1");
    let secret = good.split_once('.').unwrap().1;
    for forged in [
        token("key-2"),
        token("key-3"),
        token("key"),
        format!("key-2.{secret}"),
        format!("ann-1.{secret}"),
        format!("key-1.{}", token("ann-1").split_once('.').unwrap().1),
        format!("key-1.{}", &secret[1..]),
    ] {
        let refused = with(&forged);
        assert_problem(&refused, 401);
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"), "{forged}");
    }
    given::<ApiKey>("key-1", [ApiKeyEvent::Ended]);
    heard();
    assert_eq!(with(&good).status, 401);
}

#[test]
fn whoever_has_a_key_costs_no_call_more_is_waited_for_and_not_known_by_old_news() {
    ann();
    issued("key-1", LATE);
    let stored = platform().stored("LOG_accounts").pop().unwrap();
    let new = format!("{}.{}", token("key-1"), stored.seq);
    assert_eq!(with(&new).status, 401, "it is waited for, and does not come");
    heard();
    let calls = |header: Option<&str>| {
        let headers: Vec<(&str, &str)> = header.iter().map(|value| ("authorization", *value)).collect();
        send("GET", "/blog", &headers, "");
        let before = platform().calls();
        assert_eq!(send("GET", "/blog", &headers, "").status, 200);
        platform().calls() - before
    };
    assert_eq!(calls(Some(&bearer(&new))), calls(None));
    given::<User>("bob", [UserEvent::SignedUp(user("bob", &[]))]);
    platform().advance(Duration::from_secs(13));
    assert_eq!(with(&new).status, 503);
    settle::<Gateway>();
    platform().advance(Duration::from_secs(4));
    assert_eq!(with(&new).status, 200);
}

/// What a browser got just now, it brings before the read models have heard of it.
#[test]
fn a_session_that_was_opened_just_now_is_waited_for() {
    ann();
    opened("ann-5", 1, LATE);
    let stored = platform().stored("LOG_accounts").pop().unwrap();
    let cookie = format!("__Host-trellis={}.{}", token("ann-5"), stored.seq);
    assert_eq!(queue(("cookie", &cookie)).status, 401, "it is waited for, and does not come");
    settle::<Gateway>();
    assert_eq!(queue(("cookie", &cookie)).status, 200);
}

/// Whoever is told that a session is over finds it so.
#[test]
fn what_accounts_have_written_is_known_here_before_it_is_answered() {
    ann();
    registered("accounts", &["DELETE /users/sessions/{id}"]);
    registered("posts", &["DELETE /posts"]);
    given::<Session>("ann-2", [SessionEvent::Ended]);
    let (stored, at) = (platform().stored("LOG_accounts"), trellis_kit::id::partition("ann", 8));
    let answer = |source: &str, event: usize| {
        let seq = stored[event].seq;
        format!("HTTP/1.1 204 No Content\r\ntrellis-position: x:0:1,{source}:{at}:{seq}\r\n\r\n")
    };
    let now = || trellis_kit::Cx::nobody().now();
    let waits = |source: &str, service: &str, target: &str, event: usize| {
        answers(service, answer(source, event));
        let before = now();
        assert_eq!(send("DELETE", target, &[], "").status, 204);
        now() != before
    };
    let (session, newest) = ("/users/sessions/ann-2", stored.len() - 1);
    assert!(waits("accounts", "accounts", session, newest), "it is not known, and does not come");
    assert!(!waits("accounts", "accounts", session, 0), "this one is known");
    assert!(waits("accounts", "posts", "/posts", newest), "whoever has asked accounts");
    assert!(!waits("posts", "posts", "/posts", newest), "what is of others is no concern here");
    settle::<Gateway>();
    assert!(!waits("accounts", "accounts", session, newest));
    assert_eq!(with(&token("ann-2")).status, 401);
}

/// What an event that waits says may be that somebody is out.
#[test]
fn while_an_event_of_accounts_waits_for_long_nobody_is_taken_for_who_they_were() {
    ann();
    let all = || {
        let header = bearer("s3cret");
        let token = with(&token("ann-1"));
        let key = queue(("authorization", &header)).status;
        (token.status, key, get("/blog").status, token.header("retry-after").map(str::to_owned))
    };
    let fine = (200, 200, 200, None);
    assert_eq!(all(), fine);
    given::<User>("bob", [UserEvent::SignedUp(user("bob", &[]))]);
    platform().advance(Duration::from_secs(9));
    assert_eq!(all(), fine, "it may be on its way");
    platform().advance(Duration::from_secs(4));
    assert_eq!(all(), (503, 200, 200, Some("2".to_owned())), "who needs nobody to be known goes on");
    let told = assert_problem(&with(&token("ann-1")), 503)["detail"].to_string();
    assert!(told.contains("An event of accounts waits here since 2026-"), "{told}");
    settle::<Gateway>();
    platform().advance(Duration::from_secs(4));
    assert_eq!(all(), fine);
    // What nobody delivers any more is found out, too.
    platform().lose_stream("LOG_accounts");
    platform().advance(Duration::from_secs(4));
    assert_ne!(all().0, 503, "what was noted last holds while the server does not say");
}

/// Where nothing is delivered, nothing waits for long either.
#[test]
fn while_not_all_events_of_accounts_come_nobody_is_taken_for_who_they_were() {
    ann();
    assert_eq!(with(&token("ann-1")).status, 200);
    let away = "$JS.API.CONSUMER.DELETE.LOG_accounts.gateway-g1-3";
    platform().request(away, b"{}", Duration::from_secs(1)).unwrap();
    platform().advance(Duration::from_secs(4));
    let told = assert_problem(&with(&token("ann-1")), 503)["detail"].to_string();
    assert!(told.contains("Not all events of accounts come here yet."), "{told}");
    assert_eq!(get("/blog").status, 200, "who needs nobody to be known goes on");
}

#[test]
fn that_a_session_is_used_is_told_when_it_is_due() {
    ann();
    let prolonged = |ends_at: &str, prolong_from: Option<&str>| {
        let term = Term { ends_at: ends_at.to_owned(), prolong_from: prolong_from.map(str::to_owned) };
        given::<Session>("ann-1", [SessionEvent::Prolonged(term)]);
        heard();
    };
    let told = || {
        assert_eq!(with(&token("ann-1")).status, 200);
        let asked = asked().into_iter().filter(|request| request.contains("/users/"));
        asked.map(|request| request.split(" HTTP").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(), [""; 0], "never");
    prolonged(LATE, Some("2020-01-01T00:00:00.000Z"));
    assert_eq!(told(), [""; 0], "accounts are away, and nobody is refused for it");
    answers("accounts", "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(told(), ["POST /users/sessions/use"]);
    prolonged(LATE, Some("9998-01-01T00:00:00.000Z"));
    assert_eq!(told(), [""; 0], "not yet");
    // Whoever is refused uses nothing.
    prolonged("2020-01-02T00:00:00.000Z", Some("2020-01-01T00:00:00.000Z"));
    assert_eq!(with(&token("ann-1")).status, 401);
    assert_eq!(asked(), [""; 0]);
}

#[test]
fn the_token_that_a_service_tells_becomes_a_cookie() {
    configure_keys();
    registered("people", &["POST /users/signin", "POST /users/signout"]);
    let answer = |more: &str| format!("HTTP/1.1 200 OK\r\n{more}content-length: 0\r\n\r\n");
    answers("people", answer("trellis-session: a-b.c.17\r\n"));
    let told = send("POST", "/users/signin", &[OURS], "");
    let cookie = "__Host-trellis=a-b.c.17; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=2592000";
    assert_eq!((told.header("set-cookie"), told.header("trellis-session")), (Some(cookie), None));
    answers("people", answer("trellis-session: \r\n"));
    let told = send("POST", "/users/signout", &[OURS], "");
    let forgotten = "__Host-trellis=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0";
    assert_eq!((told.header("set-cookie"), told.header("trellis-session")), (Some(forgotten), None));
    platform().configure("plain-http", "on");
    answers("people", answer("trellis-session: a-b.c\r\n"));
    let told = send("POST", "/users/signin", &[OURS], "");
    let cookie = "trellis=a-b.c; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000";
    assert_eq!(told.header("set-cookie"), Some(cookie));
}
