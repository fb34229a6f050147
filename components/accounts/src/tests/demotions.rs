//! Admins who take each other's role at once, and whoever dies meanwhile.

use super::admin::{admin, roles};
use super::*;
use trellis_kit::platform::memory::Harm;

/// More calls than a demotion takes.
const CALLS: u64 = 14;
const ADMINS: [&str; 3] = ["ann", "bob", "cid"];

type Trouble = fn() -> Harm;

const TROUBLE: [Trouble; 4] =
    [|| Harm::DiesBefore, || Harm::DiesAfter, || Harm::AnswerLost, || Harm::NotDone];

/// On a platform where nothing has happened yet, these are admins.
fn begin(admins: &[&str]) {
    platform().forget_everything();
    platform().revive();
    start::<Accounts>();
    for id in admins {
        let user = User {
            id: (*id).to_owned(),
            display_name: None,
            roles: vec![ADMIN.to_owned()],
            sessions: Sessions { since: 0, kept: None },
            signed_up_at: "2026-01-01T00:00:00.000Z".to_owned(),
            blocked_at: None,
            version: 1,
        };
        given::<User>(id, [UserEvent::SignedUp(user)]);
    }
}

/// One takes another's role, or blocks them.
fn demote(by: &str, whom: &str, blocks: bool) -> Result<(), Problem> {
    let cx = admin(Some(&format!("{by}-1")));
    if blocks {
        Accounts::block(&cx, whom.to_owned())
    } else {
        Accounts::set_roles(&cx, whom.to_owned(), roles(&[])).map(|_| ())
    }
}

fn left() -> Vec<&'static str> {
    settle::<Accounts>();
    let is_one = |id: &&str| {
        anonymous()
            .find::<User>(id)
            .unwrap()
            .is_some_and(|user| user.blocked_at.is_none() && user.roles == [ADMIN])
    };
    ADMINS.into_iter().filter(is_one).collect()
}

#[test]
fn of_two_who_demote_each_other_one_remains() {
    for blocks in [false, true] {
        for nth in 0..CALLS {
            begin(&ADMINS[..2]);
            platform().harm(nth, Harm::Meanwhile(Box::new(move |_| drop(demote("bob", "ann", blocks)))));
            let refused = demote("ann", "bob", false);
            platform().revive();
            let left = left();
            assert_eq!(left.len(), 1, "held up at call {nth}");
            // Whoever was told that it is done remains.
            assert_eq!(left[0] == "ann", refused.is_ok(), "held up at call {nth}: {refused:?}");
            assert!(refused.map_or_else(|refused| refused.status == 403, |()| true));
        }
    }
}

#[test]
fn one_remains_whoever_dies_meanwhile() {
    for (kind, trouble) in TROUBLE.into_iter().enumerate() {
        for nth in 0..CALLS {
            for of_other in 0..CALLS {
                begin(&ADMINS[..2]);
                platform().harm(
                    nth,
                    Harm::Meanwhile(Box::new(move |platform| {
                        platform.harm(of_other, trouble());
                        let _ = demote("bob", "ann", of_other % 2 == 0);
                        platform.revive();
                    })),
                );
                let _ = demote("ann", "bob", false);
                let _ = demote("bob", "ann", false);
                assert_eq!(left().len(), 1, "held up at call {nth}, trouble {kind} at call {of_other}");
            }
        }
    }
}

#[test]
fn of_three_who_demote_each_other_in_a_circle_one_remains() {
    for nth in 0..CALLS {
        for of_other in 0..CALLS {
            begin(&ADMINS);
            platform().harm(
                nth,
                Harm::Meanwhile(Box::new(move |platform| {
                    platform.harm(of_other, Harm::Meanwhile(Box::new(|_| drop(demote("cid", "ann", true)))));
                    let _ = demote("bob", "cid", false);
                })),
            );
            let _ = demote("ann", "bob", false);
            assert!(!left().is_empty(), "held up at calls {nth} and {of_other}");
        }
    }
}

/// What was to happen is done by the reaction, once, and not to whoever was made an admin again.
#[test]
fn what_was_begun_happens_whoever_died() {
    for death in [TROUBLE[0], TROUBLE[1]] {
        for nth in 0..CALLS {
            begin(&ADMINS[..2]);
            platform().harm(nth, death());
            let answer = demote("ann", "bob", false);
            platform().revive();
            let begun = anonymous().find::<Demotion>("demotion").unwrap();
            assert_eq!(left().len(), if begun.is_some() { 1 } else { 2 }, "dead at call {nth}");
            assert!(begun.is_some() || answer.is_err());
            demote("ann", "bob", false).unwrap();
            assert_eq!(left(), ["ann"]);
            Accounts::set_roles(&admin(Some("ann-1")), "bob".to_owned(), roles(&[ADMIN])).unwrap();
            assert_eq!(left(), ["ann", "bob"]);
        }
    }
}

/// A demotion that is told late, or again, is of one version, and that has its event.
#[test]
fn whoever_is_an_admin_again_remains_one() {
    begin(&ADMINS[..2]);
    demote("ann", "bob", false).unwrap();
    Accounts::set_roles(&admin(Some("ann-1")), "bob".to_owned(), roles(&[ADMIN])).unwrap();
    // It is told now.
    assert_eq!(left(), ["ann", "bob"]);
}

/// Whoever runs all this has a key in the config, and is no user.
#[test]
fn a_key_of_the_config_demotes_the_last() {
    begin(&ADMINS[..1]);
    Accounts::block(&admin(None), "ann".to_owned()).unwrap();
    assert_eq!(left(), Vec::<&str>::new());
}
