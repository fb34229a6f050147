//! The first admin, by a code that is printed.

use std::time::Duration;

use super::admin::{admin, roles};
use super::*;
use trellis_kit::testing::trouble_at_every_call;

/// The codes that were printed since this was asked last.
fn printed() -> Vec<String> {
    let lines = platform().take_lines().into_iter().map(|(_, line)| line);
    let codes = lines.filter(|line| line.contains("nobody is admin yet"));
    codes.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

fn look_around() {
    Accounts::look_around().unwrap();
}

fn signed_up(email: &str) -> String {
    session(&Accounts::sign_up(&anonymous(), new(email)).unwrap())
}

fn shows(session: &str, code: &str) -> Result<Vec<String>, u16> {
    let shown = AdminCode { code: code.to_owned() };
    let made = Accounts::become_admin(&by(session), shown);
    made.map(|person| person.roles).map_err(|problem| problem.status)
}

#[test]
fn whoever_shows_the_code_is_the_first_admin_and_nobody_else_by_it() {
    start::<Accounts>();
    let [code] = printed().try_into().unwrap();
    let (ann, bob) = (signed_up("ann@example.org"), signed_up("bob@example.org"));
    for wrong in ["", "x", &code[1..], &code.to_uppercase()] {
        assert_eq!(shows(&ann, wrong), Err(422), "{wrong}");
    }
    let by_nobody = |code: &str| Accounts::become_admin(&anonymous(), AdminCode { code: code.to_owned() });
    assert_eq!(by_nobody(&code).unwrap_err().status, 401);
    assert_eq!(by_nobody(&"x".repeat(100_000)).unwrap_err().errors[0].field, "code");
    assert_eq!(shows(&ann, &code), Ok(vec![ADMIN.to_owned()]));
    for late in [&ann, &bob] {
        assert_eq!(shows(late, &code), Err(422), "it works once");
    }
    // What was given can be taken away, and events that come again do not give it back.
    Accounts::set_roles(&admin(None), id::root(&ann).to_owned(), roles(&[])).unwrap();
    settle::<Accounts>();
    assert_eq!(anonymous().load::<User>(id::root(&ann)).unwrap().roles, Vec::<String>::new());
    platform().advance(Duration::from_secs(2 * 60 * 60));
    look_around();
    assert_eq!(printed(), Vec::<String>::new(), "there was a first");
}

#[test]
fn a_code_holds_for_an_hour_and_there_is_one_at_a_time() {
    start::<Accounts>();
    look_around();
    let [old] = printed().try_into().unwrap();
    let ann = signed_up("ann@example.org");
    platform().advance(Duration::from_secs(60 * 60));
    assert_eq!(shows(&ann, &old), Err(422));
    look_around();
    let [code] = printed().try_into().unwrap();
    assert_eq!(shows(&ann, &old), Err(422));
    let own = platform().stored("OWN_accounts");
    assert!(!own.iter().any(|event| String::from_utf8_lossy(&event.body).contains(&code)), "a hash is kept");
    assert_eq!(shows(&ann, &code), Ok(vec![ADMIN.to_owned()]));
}

#[test]
fn nobody_is_the_first_when_there_is_one_by_other_means() {
    start::<Accounts>();
    let [code] = printed().try_into().unwrap();
    let (ann, bob) = (signed_up("ann@example.org"), signed_up("bob@example.org"));
    Accounts::set_roles(&admin(None), id::root(&ann).to_owned(), roles(&["x"])).unwrap();
    Accounts::set_roles(&admin(None), id::root(&ann).to_owned(), roles(&[ADMIN])).unwrap();
    assert_eq!(shows(&bob, &code), Err(422));
}

/// The code is taken, and nobody is left to give the role.
#[test]
fn the_rest_is_done_by_whoever_is_there() {
    use crate::first_admin::{FirstAdmin, FirstAdminEvent};
    let tell = || {
        start::<Accounts>();
        given::<Credential>("c", [made("c", "ann", "$argon2id$none")]);
        settle::<Accounts>();
        given::<FirstAdmin>("first-admin", [FirstAdminEvent::Taken("ann".to_owned())]);
    };
    let check = |(): &(), when: &str| {
        let user: User = anonymous().load("ann").unwrap();
        assert_eq!(user.roles, [ADMIN], "{when}");
        assert_eq!(user.version, 2, "{when}");
        assert!(platform().stored("DEAD_accounts").is_empty(), "{when}");
    };
    assert!(trouble_at_every_call::<Accounts, _>(1, tell, check) > 5);
}

#[test]
fn people_say_what_they_want_to_be_called() {
    start::<Accounts>();
    let ann = signed_up("ann@example.org");
    let rename = |name: &str| Accounts::rename(&by(&ann), NewName { display_name: name.to_owned() });
    assert_eq!(rename(" Ann B. ").unwrap().display_name.as_deref(), Some("Ann B."));
    let events = platform().stored("LOG_accounts").len();
    rename("Ann B.").unwrap();
    assert_eq!(platform().stored("LOG_accounts").len(), events, "the same again changes nothing");
    for bad in ["", "  ", "a\nb", "\u{202e}x", &"x".repeat(81)] {
        assert_eq!(rename(bad).unwrap_err().errors[0].field, "display_name", "{bad}");
    }
    let nobody = Accounts::rename(&anonymous(), NewName { display_name: "x".to_owned() });
    assert_eq!(nobody.unwrap_err().status, 401);
}
