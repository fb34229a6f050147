//! Long lists, a page at a time: each entry once, newest first, whatever comes and ends meanwhile.

use super::admin::admin;
use super::*;

/// All pages of two, from one on.
fn pages(
    after: Option<String>,
    list: impl Fn(PageRequest) -> (Vec<String>, Option<String>),
) -> Vec<Vec<String>> {
    settle::<Accounts>();
    let (ids, next) = list(PageRequest { limit: Some(2), after });
    let rest = next.map(|next| pages(Some(next), list)).unwrap_or_default();
    [vec![ids], rest].concat()
}

/// The last two, the two before, and the first.
fn in_twos(ids: &[String]) -> [Vec<String>; 3] {
    let [a, b, c, d, e] = ids else { panic!("{ids:?}") };
    [vec![e, d], vec![c, b], vec![a]].map(|page| page.into_iter().cloned().collect())
}

fn users(page: PageRequest) -> (Vec<String>, Option<String>) {
    let page = Accounts::list_users(&admin(None), page).unwrap();
    (page.items.into_iter().map(|user| user.id).collect(), page.next)
}

fn keys(page: PageRequest) -> (Vec<String>, Option<String>) {
    let page = Accounts::list_keys(&admin(None), page).unwrap();
    (page.items.into_iter().map(|key| key.id).collect(), page.next)
}

/// Who has signed up under a name, and one session of theirs for each of the numbers.
fn with_sessions(name: &str, count: usize) -> Vec<String> {
    let user = User {
        id: name.to_owned(),
        display_name: None,
        roles: Vec::new(),
        sessions: Sessions { since: 0, kept: None },
        signed_up_at: anonymous().now(),
        blocked_at: None,
        version: 1,
    };
    given::<User>(name, [UserEvent::SignedUp(user.clone())]);
    (0..count).map(|_| session(&sessions::open(&anonymous(), &user, 1).unwrap())).collect()
}

#[test]
fn people_come_in_pages() {
    start::<Accounts>();
    let ids = ["ann", "bob", "cid", "dan", "eve"].map(str::to_owned);
    for id in &ids {
        with_sessions(id, 0);
    }
    assert_eq!(pages(None, users), in_twos(&ids));
    // Whoever comes while somebody turns the pages is on none that follows.
    let (_, next) = users(PageRequest { limit: Some(2), after: None });
    with_sessions("fay", 0);
    assert_eq!(pages(next, users), in_twos(&ids)[1..]);
}

#[test]
fn keys_come_in_pages() {
    start::<Accounts>();
    let issue = |name: &str| {
        let new = NewKey { name: name.to_owned(), roles: Vec::new(), days: 1 };
        Accounts::issue_key(&admin(None), new).unwrap().key.id
    };
    let ids = ["a", "b", "c", "d", "e"].map(issue);
    assert_eq!(pages(None, keys), in_twos(&ids));
    Accounts::end_key(&admin(None), ids[3].clone()).unwrap();
    let [mut first, second, third] = in_twos(&ids);
    first.pop();
    assert_eq!(pages(None, keys), [first, second, third], "one page is shorter, and there are no fewer");
}

#[test]
fn sessions_come_in_pages_and_are_ones_own() {
    start::<Accounts>();
    let ids = with_sessions("ann", 5);
    with_sessions("bob", 3);
    let by_first = by(&ids[0]);
    let sessions = |page: PageRequest| {
        let page = Accounts::list_sessions(&by_first, page).unwrap();
        assert!(page.items.iter().all(|session| session.this == (session.id == ids[0])));
        (page.items.into_iter().map(|session| session.id).collect(), page.next)
    };
    assert_eq!(pages(None, sessions), in_twos(&ids));
    Accounts::end_session(&by_first, ids[3].clone()).unwrap();
    let [mut first, second, third] = in_twos(&ids);
    first.pop();
    assert_eq!(pages(None, sessions), [first, second, third], "one page is shorter, and there are no fewer");
}
