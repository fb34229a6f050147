//! What is sent and cannot be: each is told of its field, and changes nothing.

use super::*;

/// A request with JSON, and the status and the field that it is refused with.
type Row<'a> = (&'a str, &'a str, String, u16, &'a str);

#[test]
fn every_field_of_every_route_is_looked_at() {
    start::<Accounts>();
    let ann = session(&Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap());
    settle::<Accounts>();
    let before = platform().all_stored();
    let long = "x".repeat(300);
    let up = |email: &str, password: &str, name: &str| {
        format!(r#"{{"email":{email},"password":{password},"display_name":{name}}}"#)
    };
    let shown = |email: &str, password: &str| format!(r#"{{"email":{email},"password":{password}}}"#);
    let set = |current: &str, new: &str| format!(r#"{{"current_password":{current},"new_password":{new}}}"#);
    let (email, password) = (r#""bob@example.org""#, r#""correct horse""#);
    let mut rows: Vec<Row<'_>> = Vec::new();
    for bad in ["1", "true", "[]", "{}", r#"["bob@example.org"]"#, "null"] {
        rows.push(("POST", "/users/signup", up(bad, password, "null"), 422, "email"));
        rows.push(("POST", "/users/signup", up(email, bad, "null"), 422, "password"));
        rows.push(("POST", "/users/signin", shown(bad, password), 422, "email"));
        rows.push(("POST", "/users/signin", shown(email, bad), 422, "password"));
        rows.push(("PUT", "/users/password", set(bad, password), 422, "current_password"));
        rows.push(("PUT", "/users/password", set(password, bad), 422, "new_password"));
    }
    for bad in
        ["1", "[]", r#""""#, r#""  ""#, r#""a\nb""#, r#""\u202eann""#, r#""\u0000""#, &format!("\"{long}\"")]
    {
        rows.push(("POST", "/users/signup", up(email, password, bad), 422, "display_name"));
    }
    for bad in [r#""""#, r#""bob""#, r#""b ob@example.org""#, &format!("\"{long}@example.org\"")] {
        rows.push(("POST", "/users/signup", up(bad, password, "null"), 422, "email"));
        rows.push(("POST", "/users/signin", shown(bad, password), 422, "email"));
    }
    for bad in [r#""""#, r#""1234567""#, r#""password""#, &format!("\"{long}\"")] {
        rows.push(("POST", "/users/signup", up(email, bad, "null"), 422, "password"));
        if bad == r#""""# || bad.len() > 256 {
            rows.push(("POST", "/users/signin", shown(email, bad), 422, "password"));
            rows.push(("PUT", "/users/password", set(bad, password), 422, "current_password"));
        }
        rows.push(("PUT", "/users/password", set(password, bad), 422, "new_password"));
        if bad != r#""""# {
            let twice = format!(r#"{{"email":{email},"password":{password},"password":{bad}}}"#);
            rows.push(("POST", "/users/signin", twice, 422, "password"));
        }
    }
    rows.extend([
        ("POST", "/users/signup", "{}".to_owned(), 422, "email"),
        ("POST", "/users/signup", format!(r#"{{"email":{email}}}"#), 422, "password"),
        (
            "POST",
            "/users/signup",
            format!(r#"{{"email":{email},"password":{password},"roles":["admin"]}}"#),
            422,
            "roles",
        ),
        ("POST", "/users/signup", up(email, password, "null").replace('}', ",\"id\":\"x\"}"), 422, "id"),
        ("POST", "/users/signin", format!(r#"{{"password":{password}}}"#), 422, "email"),
        ("POST", "/users/signin", up(email, password, "null"), 422, "display_name"),
        ("POST", "/users/signin", "[]".to_owned(), 422, ""),
        ("POST", "/users/signin", "{".to_owned(), 400, ""),
        ("POST", "/users/signin", String::new(), 400, ""),
        ("PUT", "/users/password", "{}".to_owned(), 422, "current_password"),
        ("PUT", "/users/password", format!(r#"{{"current_password":{password}}}"#), 422, "new_password"),
    ]);
    for (method, target, body, status, field) in &rows {
        let refused = over_http(method, target, Some(&ann), body);
        assert_eq!(refused.status, *status, "{method} {target} {body}");
        let problem: Json = json(&refused);
        if *status == 422 {
            assert_eq!(problem["errors"][0]["field"], *field, "{method} {target} {body}: {problem}");
        }
    }
    for target in ["/users/sessions?limit=0", "/users/sessions?limit=x", "/users/sessions?after=x"] {
        assert!(matches!(over_http("GET", target, Some(&ann), "").status, 400 | 422), "{target}");
    }
    assert_eq!(platform().all_stored(), before, "nothing of all that has changed anything");
}
