//! The pages of accounts, with accounts that answer as they are told to.

use super::*;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const ANN: [(&str, &str); 3] =
    [("trellis-caller", "ann"), ("trellis-name", "%C3%84nn%20B."), ("trellis-session", "ann-1")];
const SIGNED_IN: &str = r#"{"current_user":{"id":"ann","display_name":"Ann","roles":[],"signed_up_at":"2026-11-20T04:01:12.345Z"},"token":"ann-1.secret.7"}"#;
const SESSIONS: &str = r#"[{"id":"ann-2","opened_at":"2026-11-20T04:01:12.345Z","ends_at":"2026-12-20T04:01:12.345Z","this":false},{"id":"ann-1","opened_at":"2026-11-19T04:01:12.345Z","ends_at":"2026-12-20T04:01:12.345Z","this":true}]"#;
const USERS: &str = r#"[{"id":"bob","display_name":"<b>Bob","roles":["moderator"],"signed_up_at":"2026-11-20T04:01:12.345Z","blocked_at":null},{"id":"eve","display_name":null,"roles":[],"signed_up_at":"2026-11-20T04:01:12.345Z","blocked_at":"2026-11-20T04:01:12.345Z"}]"#;

fn behind_a_gateway() {
    for (key, header) in [
        ("caller-header", "trellis-caller"),
        ("name-header", "trellis-name"),
        ("roles-header", "trellis-roles"),
        ("session-header", "trellis-session"),
        ("address-header", "trellis-address"),
    ] {
        platform().configure(key, header);
    }
}

fn look(target: &str) -> Response {
    request::<Web>("GET", target, &ANN, "")
}

fn post(target: &str, who: &[(&str, &str)], body: &str) -> Response {
    request::<Web>("POST", target, &[who, &[FORM, ("host", "blog.example")]].concat(), body)
}

/// What accounts were asked, as method, target and body.
fn asked_accounts() -> Vec<(String, String, String)> {
    let text =
        |request: http::Request| (request.method, request.target, String::from_utf8(request.body).unwrap());
    asked("accounts").into_iter().map(text).collect()
}

#[test]
fn whoever_signs_in_is_given_a_session_and_sent_back() {
    behind_a_gateway();
    answering("accounts", 200, "", SIGNED_IN);
    let from = [("trellis-address", "10.0.0.1")];
    let answer = post("/signin", &from, "email=ann%40example.org&password=correct+horse&to=%2Fmoderation");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/moderation")));
    assert_eq!(answer.header("trellis-session"), Some("ann-1.secret.7"));
    assert_eq!((answer.header("cache-control"), answer.body.len()), (Some("no-store"), 0));
    let [asked] = asked("accounts").try_into().unwrap();
    assert_eq!((asked.target.as_str(), asked.header("trellis-address")), ("/users/signin", Some("10.0.0.1")));
    assert_eq!(asked.body, br#"{"email":"ann@example.org","password":"correct horse"}"#);

    answering("accounts", 201, "", SIGNED_IN);
    let answer = post("/signup", &[], "email=a%40b.org&display_name=+&password=correct+horse&to=%2F");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    assert_eq!(answer.header("trellis-session"), Some("ann-1.secret.7"));
    let [(_, _, body)] = asked_accounts().try_into().unwrap();
    assert!(body.contains(r#""display_name":null"#), "{body}");

    answering("accounts", 204, "trellis-position: accounts:1:9\r\n", "");
    let out = post("/signout", &ANN, "");
    assert_eq!((out.status, out.header("location")), (303, Some("/")));
    assert_eq!(
        (out.header("trellis-session"), out.header("trellis-position")),
        (Some(""), Some("accounts:1:9"))
    );
}

#[test]
fn password_managers_know_what_goes_where() {
    for (target, field, autocomplete) in [
        ("/signin", "email", "username"),
        ("/signin", "password", "current-password"),
        ("/signup", "email", "username"),
        ("/signup", "password", "new-password"),
        ("/signup", "display_name", "nickname"),
    ] {
        let html = text(&get(target));
        let input = format!("<input id=\"{field}\"");
        assert_eq!(attribute(&html, &input, "autocomplete"), autocomplete, "{target}");
        assert_eq!(attribute(&html, &input, "name"), field, "{target}");
    }
}

#[test]
fn what_is_wrong_is_said_beside_the_field_and_passwords_are_typed_again() {
    behind_a_gateway();
    refusing("accounts", 422, "A field.", r#"[{"field":"password","message":"Too <short>."}]"#);
    let answer = post("/signup", &[], "email=a%22b&display_name=Ann&password=s3cr3t&to=%2F");
    let html = text(&answer);
    assert_eq!((answer.status, answer.header("trellis-session")), (422, None));
    assert!(html.contains(r#"<p class="wrong" id="password-wrong">Too &lt;short&gt;.</p>"#), "{html}");
    let input = r#"<input id="password""#;
    assert_eq!(attribute(&html, input, "aria-describedby"), "password-wrong password-hint");
    assert_eq!(attribute(&html, input, "aria-invalid"), "true");
    assert_eq!(attribute(&html, r#"<input id="email""#, "value"), "a&quot;b");
    assert!(html.contains("Ann") && !html.contains("s3cr3t"), "{html}");

    for (status, words) in [(401, "no account with"), (409, "signed up"), (429, "Come again in 7 seconds")] {
        refusing("accounts", status, &format!("{words}."), "[]");
        let answer = post("/signin", &[], "email=a%40b.org&password=s3cr3t&to=%2F");
        let html = text(&answer);
        assert_eq!((answer.status, answer.header("set-cookie")), (status, None));
        assert!(html.contains("role=\"alert\"") && html.contains(words), "{html}");
    }
    platform().unlisten("svc.accounts");
    let away = post("/signin", &[], "email=a%40b.org&password=s3cr3t&to=%2F");
    assert!(away.status == 503 && text(&away).contains("Nothing was changed"), "{away:?}");
}

#[test]
fn a_form_leads_to_a_page_of_ours() {
    behind_a_gateway();
    answering("accounts", 200, "", SIGNED_IN);
    let sent = |to: &str| post("/signin", &[], &format!("email=a%40b.org&password=x&to={to}"));
    for to in ["/", "/moderation", "/p/01J"] {
        assert_eq!((sent(to).status, sent(to).header("location")), (303, Some(to)));
    }
    for to in [
        "",
        "//evil.example",
        "/%2Fevil.example",
        "https://evil.example",
        "/%5Cevil.example",
        "/a%0D%0Aset-cookie:x",
        "/a+b",
        "/../x",
        "/?a",
        "/x%23y",
        "%2F%C3%A4",
    ] {
        let refused = sent(to);
        assert_eq!((refused.status, refused.header("trellis-session")), (400, None), "{to}");
        assert_eq!(get(&format!("/signin?to={to}")).status, 400, "{to}");
    }
}

#[test]
fn nobody_is_signed_in_or_out_or_changed_by_another_site() {
    behind_a_gateway();
    answering("accounts", 200, "", SIGNED_IN);
    for (target, body) in [
        ("/signin", "email=a%40b.org&password=x&to=%2F"),
        ("/signup", "email=a%40b.org&display_name=&password=x&to=%2F"),
        ("/signout", ""),
        ("/account/name", "display_name=x"),
        ("/account/password", "current_password=x&new_password=y"),
        ("/account/sessions", "session=others"),
        ("/admin/roles", "user=bob&roles=admin"),
        ("/admin/block", "user=bob&blocked=yes"),
        ("/admin/code", "code=x"),
        ("/admin/keys", "name=ci&roles=&days=1"),
        ("/admin/keys/end", "key=key-1"),
    ] {
        for evil in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
            let refused = post(target, &[&ANN[..], &[evil]].concat(), body);
            assert_eq!((refused.status, refused.header("trellis-session")), (403, None), "{target}");
        }
        assert_eq!(asked("accounts").len(), 0, "{target}");
        let own = post(target, &ANN, body);
        assert_ne!(own.status, 403, "{target}");
        assert_eq!(asked("accounts").iter().filter(|asked| asked.method != "GET").count(), 1, "{target}");
    }
}

#[test]
fn every_page_says_who_is_signed_in() {
    behind_a_gateway();
    feed(&[]);
    let html = text(&look("/"));
    assert!(html.contains(r#"<a class="author" href="/account"><bdi>Änn B.</bdi></a>"#), "{html}");
    assert!(html.contains(r#"action="/signout""#) && !html.contains("/signup"), "{html}");
    let html = text(&get("/"));
    assert!(html.contains(r#"<a href="/signin">"#) && html.contains(r#"<a href="/signup">"#), "{html}");
    assert!(!html.contains("/signout"), "{html}");
    // With an API key there is no account.
    let html = text(&request::<Web>("GET", "/", &[("trellis-caller", "mia")], ""));
    assert!(html.contains(r#"<bdi class="author">mia</bdi>"#) && !html.contains("/account"), "{html}");
}

#[test]
fn an_account_shows_its_name_and_where_it_is_signed_in() {
    behind_a_gateway();
    answering("accounts", 200, "link: </users/sessions?after=c1>; rel=\"next\"\r\n", SESSIONS);
    let html = text(&look("/account?position=accounts:1:9"));
    assert_eq!(asked("accounts")[0].target, "/users/sessions?position=accounts%3A1%3A9");
    assert_eq!(attribute(&html, r#"<input id="display_name""#, "value"), "Änn B.");
    assert_eq!(html.matches("This one").count(), 1, "{html}");
    let ends: Vec<&str> = html.split("name=\"session\" value=\"").skip(1).collect();
    let ends: Vec<&str> = ends.iter().map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(ends, ["ann-2", "others"], "this one is ended by signing out");
    assert_eq!(attribute(&html, "rel=\"next\"", "href"), "/account?after=c1");
    let anonymous = get("/account");
    assert!(anonymous.status == 401 && text(&anonymous).contains("/signin?to=%2Faccount"));
}

#[test]
fn an_account_is_changed_by_forms() {
    behind_a_gateway();
    for (target, form, status, method, asked_for, body, done) in [
        (
            "/account/name",
            "display_name=Ann",
            200,
            "PUT",
            "/users/currentuser",
            r#"{"display_name":"Ann"}"#,
            "name",
        ),
        (
            "/account/password",
            "current_password=a&new_password=b",
            204,
            "PUT",
            "/users/password",
            r#"{"current_password":"a","new_password":"b"}"#,
            "password",
        ),
        ("/account/sessions", "session=ann-2", 204, "DELETE", "/users/sessions/ann-2", "", "session"),
        ("/account/sessions", "session=others", 204, "DELETE", "/users/sessions", "", "session"),
    ] {
        let answer = if status == 200 {
            r#"{"id":"ann","display_name":"Ann","roles":[],"signed_up_at":"x"}"#
        } else {
            ""
        };
        answering("accounts", status, "trellis-position: accounts:1:9\r\n", answer);
        let answer = post(target, &ANN, form);
        let to = format!("/account?done={done}&position=accounts%3A1%3A9");
        assert_eq!((answer.status, answer.header("location")), (303, Some(to.as_str())), "{answer:?}");
        assert_eq!(answer.header("trellis-position"), Some("accounts:1:9"), "the gateway waits for it");
        let [told] = asked_accounts().try_into().unwrap();
        assert_eq!(told, (method.to_owned(), asked_for.to_owned(), body.to_owned()));
    }
    platform().listen("svc.accounts", |request| {
        let problem =
            r#"{"title":"No","status":422,"errors":[{"field":"current_password","message":"Not this."}]}"#;
        let (head, body) = match request.starts_with(b"GET") {
            true => ("200 OK", SESSIONS),
            false => ("422 X\r\ncontent-type: application/problem+json", problem),
        };
        Some(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    });
    let refused = post("/account/password", &ANN, "current_password=s3cr3t&new_password=b");
    let html = text(&refused);
    assert!(refused.status == 422 && html.contains("Not this.") && html.contains("This one"), "{html}");
    assert!(!html.contains("s3cr3t"), "{html}");
}

#[test]
fn admins_see_people_and_say_what_they_are_trusted_with() {
    behind_a_gateway();
    answering("accounts", 200, "", USERS);
    let html = text(&look("/admin"));
    assert!(html.contains("&lt;b&gt;Bob") && !html.contains("<b>Bob"), "{html}");
    assert_eq!(attribute(&html, r#"<input id="roles-bob""#, "value"), "moderator");
    assert!(html.contains("Let in again") && html.contains(">Block<"), "{html}");
    answering("accounts", 204, "trellis-position: accounts:1:9\r\n", "");
    asked("accounts");
    for (form, method) in [("user=bob&blocked=yes", "POST"), ("user=bob&blocked=no", "DELETE")] {
        let answer = post("/admin/block", &ANN, form);
        assert_eq!(answer.header("location"), Some("/admin?position=accounts%3A1%3A9"));
        assert_eq!(asked_accounts(), [(method.to_owned(), "/users/bob/block".to_owned(), String::new())]);
    }
    let bob = &USERS[1..].split_once(",{\"id\":\"eve").unwrap().0;
    answering("accounts", 200, "", bob);
    assert_eq!(post("/admin/roles", &ANN, "user=bob&roles=+a+b,c+").status, 303);
    let [(_, target, body)] = asked_accounts().try_into().unwrap();
    assert_eq!((target.as_str(), body.as_str()), ("/users/bob/roles", r#"{"roles":["a","b","c"]}"#));
    refusing("accounts", 422, "A field.", r#"[{"field":"roles.0","message":"Must be letters."}]"#);
    let refused = text(&post("/admin/roles", &ANN, "user=bob&roles=x"));
    assert!(!refused.contains("Saved"), "{refused}");
}

#[test]
fn whoever_is_no_admin_is_asked_for_the_code() {
    behind_a_gateway();
    refusing("accounts", 403, "This needs the role admin.", "[]");
    let page = look("/admin");
    let html = text(&page);
    assert_eq!(page.status, 403);
    assert_eq!(attribute(&html, r#"<input id="code""#, "autocomplete"), "one-time-code");
    assert!(get("/admin").status == 401);
    let made = r#"{"id":"ann","display_name":"Ann","roles":["admin"],"signed_up_at":"x"}"#;
    answering("accounts", 200, "trellis-position: accounts:1:9\r\n", made);
    let answer = post("/admin/code", &ANN, "code=+abc%0D%0A");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/admin?position=accounts%3A1%3A9")));
}

/// What accounts answer to whoever lists keys, and to whoever issues or ends one.
fn keeping_keys(head: &'static str, body: &'static str) {
    const KEYS: &str = r#"[{"id":"key-1","name":"<b>CI","roles":["moderator","operator"],"issued_at":"2026-01-01T00:00:00.000Z","ends_at":"2099-01-01T00:00:00.000Z"},{"id":"key-0","name":"Old","roles":[],"issued_at":"2025-01-01T00:00:00.000Z","ends_at":"2025-02-01T00:00:00.000Z"}]"#;
    platform().listen("svc.accounts", move |request| {
        let (head, body) = if request.starts_with(b"GET") { ("200 OK", KEYS) } else { (head, body) };
        Some(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    });
    platform().take_exchanges();
}

#[test]
fn a_key_is_issued_and_its_token_shown_that_once() {
    behind_a_gateway();
    keeping_keys(
        "201 Created\r\ntrellis-position: accounts:1:9",
        r#"{"key":{"id":"key-1","name":"<b>CI","roles":[],"issued_at":"x","ends_at":"y"},"token":"key-1.s3cr3t.7"}"#,
    );
    let issued = post("/admin/keys", &ANN, "name=%3Cb%3ECI&roles=+a+b,c+&days=30");
    let html = text(&issued);
    assert_eq!((issued.status, issued.header("cache-control")), (200, Some("no-store")));
    assert_eq!(issued.header("trellis-position"), Some("accounts:1:9"), "the gateway waits for it");
    assert!(html.contains(r#"<code class="token" id="token">key-1.s3cr3t.7</code>"#), "{html}");
    assert!(html.contains("&lt;b&gt;CI") && !html.contains("<b>CI"), "{html}");
    let [(method, target, body), (_, listed, _)] = asked_accounts().try_into().unwrap();
    let new = r#"{"days":30,"name":"<b>CI","roles":["a","b","c"]}"#;
    assert_eq!((method.as_str(), target.as_str(), body.as_str()), ("POST", "/keys", new));
    assert_eq!(listed, "/keys?position=accounts%3A1%3A9", "it is in the list already");

    let html = text(&look("/admin/keys"));
    assert!(!html.contains("s3cr3t"), "{html}");
    assert!(html.contains("moderator, operator"), "{html}");
    assert_eq!(html.matches("<strong>over</strong>").count(), 1, "{html}");
    assert_eq!(html.matches(r#"action="/admin/keys/end""#).count(), 2, "{html}");
}

#[test]
fn a_key_that_cannot_be_issued_is_asked_for_again_with_what_was_typed() {
    behind_a_gateway();
    keeping_keys(
        "422 X\r\ncontent-type: application/problem+json",
        r#"{"title":"No","status":422,"errors":[{"field":"roles.1","message":"Must be letters."}]}"#,
    );
    let refused = post("/admin/keys", &ANN, "name=CI&roles=a+%C3%A4&days=30");
    let html = text(&refused);
    assert!(refused.status == 422 && html.contains(r#"id="roles-wrong">Must be letters."#), "{html}");
    for (field, value) in [("name", "CI"), ("roles", "a ä"), ("days", "30")] {
        assert_eq!(attribute(&html, &format!("<input id=\"{field}\""), "value"), value);
    }
    for days in ["", "x", "-1", "1.5", "99999999999"] {
        asked("accounts");
        let refused = post("/admin/keys", &ANN, &format!("name=CI&roles=&days={days}"));
        assert!(refused.status == 422 && text(&refused).contains("days-wrong"), "{days}");
        assert!(asked_accounts().iter().all(|(method, ..)| method == "GET"), "{days}");
    }
}

#[test]
fn a_key_is_ended_by_a_form() {
    behind_a_gateway();
    keeping_keys("204 No Content\r\ntrellis-position: accounts:1:9", "");
    let answer = post("/admin/keys/end", &ANN, "key=key-1");
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/admin/keys?position=accounts%3A1%3A9"))
    );
    assert_eq!(asked_accounts(), [("DELETE".to_owned(), "/keys/key-1".to_owned(), String::new())]);
    keeping_keys(
        "404 X\r\ncontent-type: application/problem+json",
        r#"{"title":"No","status":404,"detail":"None."}"#,
    );
    let refused = post("/admin/keys/end", &ANN, "key=key-2");
    assert!(refused.status == 404 && text(&refused).contains("None."), "{refused:?}");
}

#[test]
fn keys_are_for_admins() {
    behind_a_gateway();
    let anonymous = get("/admin/keys");
    assert!(anonymous.status == 401 && text(&anonymous).contains("/signin?to=%2Fadmin%2Fkeys"));
    refusing("accounts", 403, "This needs the role admin.", "[]");
    for refused in [look("/admin/keys"), post("/admin/keys", &ANN, "name=CI&roles=&days=1")] {
        assert!(refused.status == 403 && !text(&refused).contains("/admin/keys/end"), "{refused:?}");
    }
}
