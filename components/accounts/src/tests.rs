//! What accounts promise, in the words of the domain, and how they look over HTTP.

mod admin;
mod bad_input;
mod demotions;
mod first_admin;
mod interrupted;
mod keys;
mod pages;
mod tries;

use super::*;
use trellis_kit::testing::{Json, anonymous, given, json, platform, request, send, settle, start};
use trellis_kit::{Context, Response};

const PASSWORD: &str = "correct horse";

/// A call by somebody whom the gateway knows by a session.
fn by(session: &str) -> Cx {
    let (caller, session) = (Some(id::root(session).to_owned()), Some(session.to_owned()));
    Context { caller, session, ..Context::nobody() }.into()
}

fn new(email: &str) -> NewUser {
    let (email, password) = (email.to_owned(), PASSWORD.to_owned());
    NewUser { email, password, display_name: Some("Ann".to_owned()) }
}

fn credentials(email: &str, password: &str) -> Credentials {
    Credentials { email: email.to_owned(), password: password.to_owned() }
}

fn sign_in(email: &str, password: &str) -> Result<SignedIn, Problem> {
    Accounts::sign_in(&anonymous(), credentials(email, password))
}

/// The session that a token is of.
fn session(signed_in: &SignedIn) -> String {
    signed_in.token.split_once('.').unwrap().0.to_owned()
}

/// The sessions that the list has, the one by which it is asked for marked.
fn listed(session: &str) -> Vec<(String, bool)> {
    settle::<Accounts>();
    let page = Accounts::list_sessions(&by(session), PageRequest { limit: None, after: None }).unwrap();
    page.items.into_iter().map(|listed| (listed.id, listed.this)).collect()
}

fn new_password(current: &str, new: &str) -> NewPassword {
    NewPassword { current_password: current.to_owned(), new_password: new.to_owned() }
}

/// Texts that are in something which others read.
fn told() -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let streams = platform().all_stored().into_iter().filter(|(stream, _)| stream != "OWN_accounts");
    let stored = streams.flat_map(|(_, messages)| messages).map(|message| text(&message.body));
    let lines = platform().take_lines().into_iter().map(|(_, line)| line);
    let published = platform().take_published().into_iter().map(|(_, body)| text(&body));
    let bucket = platform().bucket().into_values().map(|value| text(&value));
    stored.chain(lines).chain(published).chain(bucket).collect()
}

#[test]
fn who_has_signed_up_is_known_and_signed_in() {
    let signed_up = Accounts::sign_up(&anonymous(), new("Ann@Example.org")).unwrap();
    let person = &signed_up.current_user;
    assert_eq!((person.display_name.as_deref(), person.roles.len()), (Some("Ann"), 0));
    let current = Accounts::current_user(&by(&session(&signed_up))).unwrap();
    assert_eq!(current.current_user.as_ref(), Some(person));
    let again = sign_in(" ann@example.ORG ", PASSWORD).unwrap();
    assert_eq!(&again.current_user, person);
    assert_ne!(again.token, signed_up.token);
    assert_eq!(Accounts::current_user(&anonymous()).unwrap(), Current { current_user: None });
}

#[test]
fn an_email_is_one_users() {
    Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap();
    let users = |what: &str| {
        let stored = platform().stored("LOG_accounts");
        let signed_up = |body: &[u8]| String::from_utf8_lossy(body).contains("user.signed_up.v1");
        assert_eq!(stored.iter().filter(|event| signed_up(&event.body)).count(), 1, "{what}");
    };
    let second = Accounts::sign_up(&anonymous(), new("ANN@example.org")).unwrap_err();
    assert_eq!(second.status, 409);
    users("one after the other");
    // One who was let through the first look, and comes second.
    let credential = credentials::id_of(&anonymous(), "email", "ann@example.org").unwrap();
    let slow = anonymous().execute(&credential, |known: Option<&Credential>| {
        assert!(known.is_some());
        Err::<Option<CredentialEvent>, _>(AccountError::EmailKnown.into())
    });
    assert_eq!(slow.unwrap_err(), second);
    settle::<Accounts>();
    users("and after the reactions");
}

#[test]
fn whoever_does_not_know_the_password_is_not_told_whether_the_email_is_known() {
    Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap();
    let wrong = sign_in("ann@example.org", "correct horsf").unwrap_err();
    let unknown = sign_in("bob@example.org", PASSWORD).unwrap_err();
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong, unknown);
}

#[test]
fn nothing_that_others_read_has_a_password_a_token_or_an_email_in_it() {
    start::<Accounts>();
    let answer = request::<Accounts>(
        "POST",
        "/users/signup",
        &[("content-type", "application/json")],
        r#"{"email":"ann@example.org","password":"correct horse","display_name":"Ann"}"#,
    );
    let token = json::<Json>(&answer)["token"].as_str().unwrap().to_owned();
    sign_in("ann@example.org", "wrong horse").unwrap_err();
    settle::<Accounts>();
    let key = anonymous().load::<EmailKey>("email-key").unwrap().key;
    let secret = token.split('.').nth(1).unwrap();
    let told = told();
    assert!(told.len() > 5 && told.iter().any(|text| text.contains("Ann")), "{told:?}");
    for text in told {
        for hidden in ["example.org", "correct horse", "wrong horse", "$argon2", secret, &key] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
    let own = platform().stored("OWN_accounts");
    let has = |text: &str| own.iter().any(|event| String::from_utf8_lossy(&event.body).contains(text));
    assert!(has("$argon2id$") && !has("example.org") && !has("correct horse"));
}

#[test]
fn a_session_is_over_when_it_is_ended_and_no_other_is() {
    start::<Accounts>();
    let first = session(&Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap());
    let [second, third] = [(); 2].map(|()| session(&sign_in("ann@example.org", PASSWORD).unwrap()));
    let with = |this: &str, all: &[&String]| {
        let all: Vec<(String, bool)> = all.iter().map(|id| ((*id).clone(), *id == this)).collect();
        assert_eq!(listed(this), all);
    };
    with(&first, &[&third, &second, &first]);
    Accounts::sign_out(&by(&second)).unwrap();
    Accounts::sign_out(&by(&second)).unwrap();
    Accounts::sign_out(&anonymous()).unwrap();
    with(&third, &[&third, &first]);
    Accounts::end_session(&by(&first), third.clone()).unwrap();
    Accounts::end_session(&by(&first), third).unwrap();
    with(&first, &[&first]);
    for _ in 0..3 {
        sign_in("ann@example.org", PASSWORD).unwrap();
    }
    Accounts::end_sessions(&by(&first)).unwrap();
    with(&first, &[&first]);
    let later = session(&sign_in("ann@example.org", PASSWORD).unwrap());
    with(&later, &[&later, &first]);
    Accounts::end_sessions(&by(&later)).unwrap();
    with(&later, &[&later]);
    platform().advance(std::time::Duration::from_secs(30 * 24 * 60 * 60));
    with(&later, &[]);
}

#[test]
fn a_session_lasts_a_week_unused_and_a_month_at_most() {
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
    start::<Accounts>();
    let used = session(&Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap());
    let unused = session(&sign_in("ann@example.org", PASSWORD).unwrap());
    let events = || platform().stored("LOG_accounts").len();
    let before = events();
    let mut days = 0;
    while listed(&used).iter().any(|(id, _)| *id == used) {
        assert_eq!(listed(&used).iter().any(|(id, _)| *id == unused), days < 7, "day {days}");
        // However often it is used in a day, that is noted once.
        for _ in 0..3 {
            Accounts::prolong_session(&by(&used)).unwrap();
        }
        platform().advance(DAY);
        days += 1;
    }
    assert_eq!(days, 30);
    assert_eq!(events() - before, 23, "once a day, until it would last longer than a month");
    for over in [&used, &unused] {
        Accounts::prolong_session(&by(over)).unwrap();
    }
    assert_eq!(events() - before, 23, "what is over is not prolonged");
    let ended = session(&sign_in("ann@example.org", PASSWORD).unwrap());
    Accounts::sign_out(&by(&ended)).unwrap();
    platform().advance(DAY);
    let before = events();
    Accounts::prolong_session(&by(&ended)).unwrap();
    assert_eq!(events(), before, "nor is what was ended");
    assert_eq!(Accounts::prolong_session(&anonymous()).unwrap_err().status, 401);
}

#[test]
fn nobody_ends_the_session_of_another_or_learns_of_it() {
    start::<Accounts>();
    let ann = session(&Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap());
    let bob = session(&Accounts::sign_up(&anonymous(), new("bob@example.org")).unwrap());
    let refused = Accounts::end_session(&by(&ann), bob.clone()).unwrap_err();
    assert_eq!(refused.status, 404);
    for none in ["", "x", &format!("{}-nobody", id::root(&bob)), &format!("{}-x", id::root(&ann)), "a.b"] {
        let absent = Accounts::end_session(&by(&ann), none.to_owned()).unwrap_err();
        assert_eq!(absent.status, 404, "{none}");
    }
    settle::<Accounts>();
    assert_eq!(listed(&bob), [(bob.clone(), true)]);
}

#[test]
fn another_password_ends_all_other_sessions_and_the_old_one_is_none_any_more() {
    start::<Accounts>();
    let first = session(&Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap());
    let other = session(&sign_in("ann@example.org", PASSWORD).unwrap());
    let set = |by_session: &str, current: &str, new: &str| {
        Accounts::set_password(&by(by_session), new_password(current, new))
    };
    assert_eq!(set(&first, "wrong horse", "another horse").unwrap_err().errors[0].field, "current_password");
    assert_eq!(set(&first, PASSWORD, "short").unwrap_err().errors[0].field, "new_password");
    assert_eq!(listed(&first).len(), 2);
    set(&first, PASSWORD, "another horse").unwrap();
    assert_eq!(listed(&first), [(first.clone(), true)], "not {other}");
    assert_eq!(sign_in("ann@example.org", PASSWORD).unwrap_err().status, 401);
    sign_in("ann@example.org", "another horse").unwrap();
}

/// Somebody has checked the old password, and opens the session when there is another one already.
#[test]
fn a_session_that_was_being_opened_with_the_old_password_does_not_count() {
    start::<Accounts>();
    let signed_up = Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap();
    let first = session(&signed_up);
    let before = own_credential(&by(&first)).unwrap();
    Accounts::set_password(&by(&first), new_password(PASSWORD, "another horse")).unwrap();
    let user: User = anonymous().load(&signed_up.current_user.id).unwrap();
    let late = session(&sessions::open(&anonymous(), &user, before.version).unwrap());
    assert_eq!(listed(&first), [(first.clone(), true)], "not {late}");
}

#[test]
fn a_hash_of_yesterday_is_made_anew_when_the_password_is_there() {
    start::<Accounts>();
    let old = {
        use argon2::password_hash::phc::PasswordHash;
        use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let hash: PasswordHash = weak.hash_password_with_salt(PASSWORD.as_bytes(), &[7; 16]).unwrap();
        hash.to_string()
    };
    let id = credentials::id_of(&anonymous(), "email", "ann@example.org").unwrap();
    given::<Credential>(&id, [made(&id, "ann", &old)]);
    let first = session(&sign_in("ann@example.org", PASSWORD).unwrap());
    let now: Credential = anonymous().load(&id).unwrap();
    assert!(now.password != old && !passwords::is_old(&now.password), "{now:?}");
    let second = session(&sign_in("ann@example.org", PASSWORD).unwrap());
    assert_eq!(anonymous().load::<Credential>(&id).unwrap(), now, "once");
    assert_eq!(listed(&second), [(second.clone(), true), (first, false)]);
}

fn made(id: &str, user: &str, password: &str) -> CredentialEvent {
    CredentialEvent::Made(Credential {
        id: id.to_owned(),
        user: user.to_owned(),
        display_name: None,
        password: password.to_owned(),
        since: 0,
        kept: None,
        version: 1,
    })
}

/// As it comes through the gateway, with a session or without.
fn over_http(method: &str, target: &str, session: Option<&str>, body: &str) -> Response {
    platform().configure("caller-header", "trellis-caller");
    platform().configure("session-header", "trellis-session");
    let caller = session.map(id::root);
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(caller.map(|caller| ("trellis-caller", caller)));
    headers.extend(session.map(|session| ("trellis-session", session)));
    request::<Accounts>(method, target, &headers, body)
}

#[test]
fn over_http_it_has_the_statuses_that_are_written_down() {
    start::<Accounts>();
    let up = r#"{"email":"ann@example.org","password":"correct horse"}"#;
    let answer = over_http("POST", "/users/signup", None, up);
    let body: Json = json(&answer);
    assert_eq!((answer.status, answer.header("location")), (201, None));
    assert_eq!(answer.header("trellis-session"), body["token"].as_str());
    assert!(answer.header("trellis-position").unwrap().starts_with("accounts:"), "{answer:?}");
    assert_eq!(body["current_user"]["display_name"], Json::Null);
    let token = body["token"].as_str().unwrap();
    let id = token.split_once('.').unwrap().0;
    let session = Some(id);
    assert_eq!(over_http("POST", "/users/signup", None, up).status, 409);
    assert_eq!(over_http("POST", "/users/signin", None, up).status, 200);
    let current: Json = json(&over_http("GET", "/users/currentuser", session, ""));
    assert_eq!(current, serde(&body));
    assert_eq!(over_http("GET", "/users/currentuser", None, "").body, br#"{"current_user":null}"#);
    settle::<Accounts>();
    let sessions: Json = json(&over_http("GET", "/users/sessions", session, ""));
    assert_eq!(sessions.as_array().unwrap().len(), 2, "{sessions}");
    let password = r#"{"current_password":"correct horse","new_password":"another horse"}"#;
    for (method, target, body) in [
        ("PUT", "/users/password", password),
        ("DELETE", "/users/sessions", ""),
        ("DELETE", &format!("/users/sessions/{id}"), ""),
        ("GET", "/users/sessions", ""),
    ] {
        let refused = over_http(method, target, None, body);
        assert_eq!(refused.status, 401, "{method} {target}");
        let done = over_http(method, target, session, body);
        let expected = if method == "GET" { 200 } else { 204 };
        assert_eq!((done.status, done.body.is_empty()), (expected, expected == 204), "{method} {target}");
    }
    let out = over_http("POST", "/users/signout", session, "");
    assert_eq!((out.status, out.header("trellis-session")), (204, Some("")));
}

/// The answer to who asks, of the answer to signing up.
fn serde(signed_in: &Json) -> Json {
    Json::Object([("current_user".to_owned(), signed_in["current_user"].clone())].into_iter().collect())
}

#[test]
fn nobody_says_by_themselves_which_session_they_have() {
    start::<Accounts>();
    let ann = session(&Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap());
    // Without the config that names the header, it says nothing.
    let headers = [("trellis-session", ann.as_str())];
    let answer = request::<Accounts>("GET", "/users/currentuser", &headers, "");
    assert_eq!(answer.body, br#"{"current_user":null}"#);
    assert_eq!(send::<Accounts>("GET", "/users/sessions", "").status, 401);
}
