//! Instances that die while somebody signs up or sets another password.

use super::*;
use trellis_kit::testing::{every_event_twice, trouble_at_every_call};

/// A hash that is quickly made; nobody signs in here.
const HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn kinds() -> Vec<String> {
    let stored = platform().stored("LOG_accounts");
    let kind = |body: &[u8]| trellis_kit::testing::parse::<Json>(body)["type"].as_str().unwrap().to_owned();
    stored.iter().map(|event| kind(&event.body)).collect()
}

/// The credential decides, and nobody is left to do the rest.
#[test]
fn the_rest_of_a_sign_up_is_done_by_whoever_is_there() {
    let tell = || {
        start::<Accounts>();
        let kept = Kept { session: Some("ann-1".to_owned()) };
        given::<Credential>("c", [made("c", "ann", HASH), CredentialEvent::SessionsEnded(kept)]);
    };
    let check = |(): &(), when: &str| {
        assert_eq!(kinds(), ["user.signed_up.v1", "user.sessions_ended.v1"], "{when}");
        let user: User = anonymous().load("ann").unwrap();
        assert_eq!(user.sessions, Sessions { since: 2, kept: Some("ann-1".to_owned()) }, "{when}");
        assert_eq!(anonymous().load::<Owner>("ann").unwrap().credential, "c", "{when}");
        assert!(platform().stored("DEAD_accounts").is_empty(), "{when}");
    };
    every_event_twice::<Accounts, _>(tell, check);
    assert!(trouble_at_every_call::<Accounts, _>(1, tell, check) > 10);
}

/// Whoever signs up dies at each of the calls, one after the other, and comes again.
#[test]
fn whenever_an_instance_dies_there_is_one_user_who_can_sign_in() {
    use trellis_kit::platform::memory::Harm;
    for nth in 0.. {
        platform().forget_everything();
        start::<Accounts>();
        let before = platform().calls();
        platform().harm(nth, Harm::DiesAfter);
        let first = Accounts::sign_up(&anonymous(), new("ann@example.org"));
        let calls = platform().calls() - before;
        platform().revive();
        settle::<Accounts>();
        let second = Accounts::sign_up(&anonymous(), new("ann@example.org"));
        assert!(first.is_err() || second.is_err(), "call {nth}");
        let user = sign_in("ann@example.org", PASSWORD).unwrap().current_user.id;
        settle::<Accounts>();
        let signed_up = kinds().iter().filter(|kind| *kind == "user.signed_up.v1").count();
        assert_eq!(signed_up, 1, "call {nth}");
        anonymous().load::<Owner>(&user).unwrap();
        if nth > calls {
            assert!(nth > 8, "{nth} calls");
            break;
        }
    }
}
