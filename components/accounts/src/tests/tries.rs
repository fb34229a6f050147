//! How often somebody may try, and what that costs whoever is meant.

use std::time::Duration;

use super::*;

fn at(address: &str) -> Cx {
    Context { address: Some(address.to_owned()), ..Context::nobody() }.into()
}

fn tried(cx: &Cx, email: &str, password: &str) -> u16 {
    Accounts::sign_in(cx, credentials(email, password)).map_or_else(|problem| problem.status, |_| 200)
}

/// Enough to come into another window.
fn later() {
    platform().advance(Duration::from_secs(5 * 60));
}

#[test]
fn who_tries_often_is_slowed_down_and_the_owner_elsewhere_is_not() {
    start::<Accounts>();
    Accounts::sign_up(&at("10.0.0.1"), new("ann@example.org")).unwrap();
    let statuses: Vec<u16> =
        (0..12).map(|_| tried(&at("6.6.6.6"), "ann@example.org", "wrong horse")).collect();
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 2]].concat());
    assert_eq!(tried(&at("6.6.6.6"), "ann@example.org", PASSWORD), 429, "they do not learn whether it is");
    assert_eq!(tried(&at("10.0.0.1"), "ann@example.org", PASSWORD), 200, "the owner");
    assert_eq!(
        tried(&at("6.6.6.6"), "bob@example.org", PASSWORD),
        401,
        "another account, of which nobody knows"
    );
    later();
    assert_eq!(tried(&at("6.6.6.6"), "ann@example.org", PASSWORD), 200, "never for good");
}

/// Which go well is known when they have been compared, and by then many others may be on their way.
#[test]
fn a_try_too_many_is_not_even_compared_and_those_that_go_well_count() {
    start::<Accounts>();
    Accounts::sign_up(&at("10.0.0.1"), new("ann@example.org")).unwrap();
    let before = passwords::runs();
    let statuses: Vec<u16> = (0..12).map(|_| tried(&at("10.0.0.1"), "ann@example.org", PASSWORD)).collect();
    assert_eq!(statuses, [[200; 10].as_slice(), &[429; 2]].concat());
    assert_eq!(passwords::runs() - before, 10);
}

#[test]
fn what_many_addresses_try_at_one_account_is_counted_together() {
    start::<Accounts>();
    // Nobody knows this email, and it looks the same.
    let statuses: Vec<u16> =
        (0..11 * 10).map(|n| tried(&at(&format!("10.0.0.{}", n / 10)), "ann@example.org", "x")).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 100);
    assert_eq!(statuses[100..], [429; 10]);
    later();
    assert_eq!(tried(&at("10.0.0.1"), "ann@example.org", "x"), 401);
}

#[test]
fn what_one_address_tries_at_many_accounts_is_counted_together() {
    start::<Accounts>();
    let statuses: Vec<u16> =
        (0..101).map(|n| tried(&at("10.0.0.1"), &format!("{n}@example.org"), "x")).collect();
    assert_eq!((statuses[99], statuses[100]), (401, 429));
    assert_eq!(tried(&at("10.0.0.2"), "0@example.org", "x"), 401);
}

#[test]
fn whoever_is_signed_in_cannot_try_passwords_either() {
    start::<Accounts>();
    let session = session(&Accounts::sign_up(&at("10.0.0.1"), new("ann@example.org")).unwrap());
    let cx = Cx::from(Context { address: Some("10.0.0.1".to_owned()), ..(*by(&session)).clone() });
    let set = |current: &str| Accounts::set_password(&cx, new_password(current, "another horse"));
    let statuses = [(); 11].map(|()| set("wrong horse").unwrap_err().status);
    assert_eq!(statuses, [[422; 10].as_slice(), &[429]].concat()[..]);
    assert_eq!(set(PASSWORD).unwrap_err().status, 429);
}

#[test]
fn new_accounts_of_one_address_are_few_at_a_time() {
    start::<Accounts>();
    let sign_up = |cx: &Cx, n: usize| {
        Accounts::sign_up(cx, new(&format!("{n}@example.org"))).map_or_else(|problem| problem.status, |_| 201)
    };
    // An email that is known counts as well: else whoever asks learns of as many as they like.
    let statuses: Vec<u16> = (0..31).map(|n| sign_up(&at("10.0.0.1"), n / 2)).collect();
    assert_eq!((statuses[..4].to_vec(), statuses[30]), (vec![201, 409, 201, 409], 429));
    assert_eq!(sign_up(&at("10.0.0.2"), 40), 201);
    later();
    assert_eq!(sign_up(&at("10.0.0.1"), 41), 201);
}

#[test]
fn over_http_it_is_told_when_to_come_again() {
    start::<Accounts>();
    platform().configure("address-header", "trellis-address");
    let headers = [("content-type", "application/json"), ("trellis-address", "10.0.0.1")];
    let body = r#"{"email":"ann@example.org","password":"wrong horse"}"#;
    let send = || request::<Accounts>("POST", "/users/signin", &headers, body);
    let answers = [(); 11].map(|()| send());
    assert_eq!((answers[9].status, answers[9].header("retry-after")), (401, None));
    let seconds: u64 = answers[10].header("retry-after").unwrap().parse().unwrap();
    assert!(answers[10].status == 429 && (1..=300).contains(&seconds), "{seconds}");
    platform().advance(Duration::from_secs(seconds));
    assert_eq!(send().status, 401, "as it was told");
    platform().configure("limits", "off");
    assert!((0..20).all(|_| send().status == 401));
}

/// An email that nobody knows takes the same work: as many hashes, and as many calls of the host.
#[test]
fn an_unknown_email_takes_the_same_work_as_a_wrong_password() {
    start::<Accounts>();
    Accounts::sign_up(&at("10.0.0.1"), new("ann@example.org")).unwrap();
    let work = |email: &str| {
        let before = (passwords::runs(), platform().calls());
        assert_eq!(tried(&at("10.0.0.1"), email, "wrong horse"), 401);
        (passwords::runs() - before.0, platform().calls() - before.1)
    };
    // The first who is counted begins a window.
    let _ = (work("ann@example.org"), work("bob@example.org"));
    let known = work("ann@example.org");
    assert_eq!(known.0, 1, "one hash");
    assert_eq!(work("bob@example.org"), known);
}
