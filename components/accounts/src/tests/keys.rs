//! Keys of organisations.

use super::admin::admin;
use super::*;
use crate::trellis::accounts::types::ListedKey;

fn key(name: &str, roles: &[&str], days: u32) -> NewKey {
    NewKey { name: name.to_owned(), roles: roles.iter().map(|role| (*role).to_owned()).collect(), days }
}

fn listed() -> Vec<ListedKey> {
    settle::<Accounts>();
    Accounts::list_keys(&admin(None), PageRequest { limit: None, after: None }).unwrap().items
}

#[test]
fn a_key_is_shown_once_and_listed_until_it_is_ended() {
    start::<Accounts>();
    let first = Accounts::issue_key(&admin(None), key(" Shop ", &["operator", "moderator"], 30)).unwrap();
    assert_eq!((first.key.name.as_str(), first.key.roles.len()), ("Shop", 2));
    assert_eq!(first.key.ends_at, "2026-01-31T00:00:00.000Z");
    let second = Accounts::issue_key(&admin(None), key("Shop", &[], 366)).unwrap();
    assert_ne!(first.token, second.token);
    assert_eq!(listed(), [second.key.clone(), first.key.clone()]);
    let events = || platform().stored("LOG_accounts").len();
    Accounts::end_key(&admin(None), second.key.id.clone()).unwrap();
    let after = events();
    Accounts::end_key(&admin(None), second.key.id).unwrap();
    assert_eq!((listed(), events()), (vec![first.key.clone()], after));
    let secret = first.token.split('.').nth(1).unwrap();
    assert!(first.token.starts_with(&format!("{}.", first.key.id)) && secret.len() == 64);
    for text in told() {
        assert!(!text.contains(secret), "{text}");
    }
}

/// However often it comes, with an idempotency key or without: what cannot be shown again is made again.
#[test]
fn nobody_is_shown_a_token_that_somebody_has_seen() {
    start::<Accounts>();
    let again = || Accounts::issue_key(&admin(None).with_key("k"), key("Shop", &[], 1)).unwrap().token;
    assert_ne!(again(), again());
    assert_eq!(listed().len(), 2);
}

#[test]
fn admins_do_that_and_keys_are_none() {
    start::<Accounts>();
    let id = Accounts::issue_key(&admin(None), key("Shop", &[], 1)).unwrap().key.id;
    let ann = session(&Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap());
    let before = platform().all_stored();
    for other in [anonymous(), by(&ann)] {
        let page = PageRequest { limit: None, after: None };
        let all = [
            Accounts::issue_key(&other, key("Shop", &[], 1)).unwrap_err().status,
            Accounts::list_keys(&other, page).unwrap_err().status,
            Accounts::end_key(&other, id.clone()).unwrap_err().status,
        ];
        assert_eq!(all, [403; 3]);
    }
    let rows = [
        (key("Shop", &["a", ADMIN], 1), "roles"),
        (key("Shop", &["a b"], 1), "roles.0"),
        (key("", &[], 1), "name"),
        (key(&"x".repeat(81), &[], 1), "name"),
        (key("a\nb", &[], 1), "name"),
        (key("Shop", &[], 0), "days"),
        (key("Shop", &[], 367), "days"),
    ];
    for (new, field) in rows {
        let refused = Accounts::issue_key(&admin(None), new).unwrap_err();
        assert_eq!((refused.status, refused.errors[0].field.as_str()), (422, field));
    }
    for nobody in ["", "x", "key-x", "a.b", id::root(&ann), &ann] {
        assert_eq!(Accounts::end_key(&admin(None), nobody.to_owned()).unwrap_err().status, 404, "{nobody}");
    }
    assert_eq!(platform().stored("LOG_accounts"), before["LOG_accounts"]);
}

#[test]
fn over_http_it_has_the_statuses_that_are_written_down() {
    start::<Accounts>();
    platform().configure("caller-header", "trellis-caller");
    platform().configure("roles-header", "trellis-roles");
    let headers =
        [("content-type", "application/json"), ("trellis-caller", "olaf"), ("trellis-roles", ADMIN)];
    let body = r#"{"name":"Shop","roles":["moderator"],"days":7}"#;
    let answer = request::<Accounts>("POST", "/keys", &headers, body);
    let issued: Json = json(&answer);
    assert_eq!((answer.status, answer.header("trellis-session")), (201, None), "{issued}");
    settle::<Accounts>();
    let keys: Json = json(&request::<Accounts>("GET", "/keys", &headers, ""));
    assert_eq!(keys, Json::Array(vec![issued["key"].clone()]));
    let path = format!("/keys/{}", issued["key"]["id"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(request::<Accounts>("DELETE", &path, &headers, "").status, 204);
    }
    assert_eq!(request::<Accounts>("DELETE", "/keys/key-x", &headers, "").status, 404);
}
