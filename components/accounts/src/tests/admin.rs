//! What admins do, and what they cannot.

use super::*;

/// A call by an admin: with a key of the config, or by a session.
pub fn admin(session: Option<&str>) -> Cx {
    let session = session.map(str::to_owned);
    let caller = Some(session.as_deref().map_or("olaf", id::root).to_owned());
    Context { caller, session, roles: vec![ADMIN.to_owned()], ..Context::nobody() }.into()
}

pub fn roles(names: &[&str]) -> NewRoles {
    NewRoles { roles: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn list(cx: &Cx) -> Result<Vec<ListedUser>, Problem> {
    settle::<Accounts>();
    Accounts::list_users(cx, PageRequest { limit: None, after: None }).map(|page| page.items)
}

#[test]
fn admins_say_what_others_are_trusted_with() {
    start::<Accounts>();
    let first = Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap();
    let second = Accounts::sign_up(&anonymous(), new("bob@example.org")).unwrap();
    let (ann, bob) = (first.current_user.id.clone(), second.current_user.id.clone());
    let set = Accounts::set_roles(&admin(None), ann.clone(), roles(&["b", "a", "b"])).unwrap();
    assert_eq!(set.roles, ["a", "b"]);
    let events = platform().stored("LOG_accounts").len();
    assert_eq!(Accounts::set_roles(&admin(None), ann.clone(), roles(&["a", "b"])).unwrap(), set);
    assert_eq!(platform().stored("LOG_accounts").len(), events, "the same again changes nothing");
    let users = list(&admin(None)).unwrap();
    assert_eq!(users.iter().map(|user| &user.id).collect::<Vec<_>>(), [&bob, &ann], "newest first");
    assert_eq!(users[1], set);
    let current = Accounts::current_user(&by(&session(&first))).unwrap().current_user.unwrap();
    assert_eq!(current.roles, ["a", "b"]);
    for bad in [vec![""], vec!["a b"], vec!["ä"], vec!["a,b"], vec!["ok", "a.b"], vec![&*"x".repeat(65)]] {
        let problem = Accounts::set_roles(&admin(None), ann.clone(), roles(&bad)).unwrap_err();
        assert_eq!(
            (problem.status, problem.errors[0].field.as_str()),
            (422, if bad.len() > 1 { "roles.1" } else { "roles.0" })
        );
    }
    let many: Vec<String> = (0..17).map(|n| format!("r{n}")).collect();
    let refused = Accounts::set_roles(&admin(None), ann, NewRoles { roles: many }).unwrap_err();
    assert_eq!(refused.errors[0].field, "roles");
}

#[test]
fn nobody_gets_in_by_a_blocked_account_until_it_is_unblocked() {
    start::<Accounts>();
    let ann = Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap().current_user.id;
    for _ in 0..2 {
        Accounts::block(&admin(None), ann.clone()).unwrap();
    }
    assert!(list(&admin(None)).unwrap()[0].blocked_at.is_some());
    assert_eq!(sign_in("ann@example.org", PASSWORD).unwrap_err().status, 403);
    assert_eq!(sign_in("ann@example.org", "wrong horse").unwrap_err().status, 401, "to others as ever");
    Accounts::unblock(&admin(None), ann.clone()).unwrap();
    Accounts::unblock(&admin(None), ann).unwrap();
    sign_in("ann@example.org", PASSWORD).unwrap();
}

#[test]
fn no_admin_does_that_to_themselves_and_nobody_else_to_anybody() {
    start::<Accounts>();
    let signed_up = Accounts::sign_up(&anonymous(), new("ann@example.org")).unwrap();
    let (ann, session) = (signed_up.current_user.id.clone(), session(&signed_up));
    let before = platform().all_stored();
    let all = |cx: &Cx, id: &str| {
        [
            Accounts::set_roles(cx, id.to_owned(), roles(&[])).map(|_| ()).unwrap_err().status,
            Accounts::block(cx, id.to_owned()).unwrap_err().status,
            Accounts::unblock(cx, id.to_owned()).unwrap_err().status,
        ]
    };
    assert_eq!(all(&admin(Some(&session)), &ann), [403; 3]);
    for other in [anonymous(), by(&session)] {
        assert_eq!(all(&other, &ann), [403; 3]);
        assert_eq!(list(&other).unwrap_err().status, 403);
    }
    for nobody in ["", "x", "a.b", &session] {
        assert_eq!(all(&admin(None), nobody), [404; 3], "{nobody}");
    }
    assert_eq!(platform().stored("LOG_accounts"), before["LOG_accounts"]);
}
