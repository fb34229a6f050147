//! Two who do something about one ticket at once: one of them between any two calls of the other. Whatever came of it, the events make
//! sense to somebody who knows nothing but them.

use trellis_kit::platform::memory::Harm;

use super::*;

/// What somebody does, of whom the order is.
type Act = fn(&ReadOrder);

const ACTS: [(&str, Act); 5] = [
    ("pays", |order| heard("p1", asked("p1", &order.id))),
    ("pays in another way", |order| heard("p2", asked("p2", &order.id))),
    ("cancels", |order| drop(cancel(&caller("ann"), order))),
    ("is late", |order| {
        given::<Deadline>(&order.id, [passed(&order.id, &order.expires_at)]);
        settle::<Orders>();
    }),
    ("loses it to bob", |_| drop(place(&caller("bob"), 1999))),
];

/// Where the ticket is, as its events tell.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Free,
    Reserved,
    Paying,
    Paid,
    Withdrawn,
}

/// Follows the events, and sees that each may happen where it does.
fn followed(when: &str) -> Standing {
    let mut decided = Vec::new();
    happened_with_data().into_iter().fold(Standing::Free, |place, (event, data)| {
        if let "paying" | "refused" = event.as_str() {
            assert!(!decided.contains(&data), "{when}: {data} was decided on twice");
            decided.push(data);
        }
        match (&place, event.as_str()) {
            (_, "offered" | "refused") => place,
            (Standing::Free, "placed") | (Standing::Paying, "resumed") => Standing::Reserved,
            (Standing::Reserved, "paying") => Standing::Paying,
            (Standing::Paying, "completed") => Standing::Paid,
            (Standing::Reserved, "cancelled") | (Standing::Reserved | Standing::Paying, "expired") => {
                Standing::Free
            }
            (Standing::Free, "withdrawn") => Standing::Withdrawn,
            _ => panic!("{when}: {event} of a ticket that is {place:?}"),
        }
    })
}

fn happened_with_data() -> Vec<(String, Json)> {
    let stored = platform().stored("LOG_orders").into_iter().map(|stored| parse::<Json>(&stored.body));
    stored
        .map(|event| {
            (event["type"].as_str().unwrap().split('.').nth(1).unwrap().to_owned(), event["data"].clone())
        })
        .collect()
}

/// Lets the second do it before each call of the first. Says how often that was.
fn race(after: Duration, first: (&str, Act), second: (&str, Act)) -> u64 {
    for nth in 0.. {
        platform().forget_everything();
        given::<Deadline>("t1-before", [passed("t1-before", "2026-01-01T00:00:00.000Z")]);
        ticket();
        let order = place(&caller("ann"), 1999).unwrap();
        platform().advance(after);
        let before = platform().calls();
        let other = order.clone();
        platform().harm(nth, Harm::Meanwhile(Box::new(move |_| second.1(&other))));
        first.1(&order);
        let calls = platform().calls() - before;
        platform().revive();
        settle::<Orders>();
        followed(&format!("after {after:?} somebody {}, and {} at call {nth}", first.0, second.0));
        if nth >= calls {
            return nth;
        }
    }
    0
}

#[test]
fn whoever_does_what_at_once_one_of_them_is_first() {
    let mut races = 0;
    for after in [899_999, 900_000, 900_001].map(Duration::from_millis) {
        for first in ACTS {
            for second in ACTS.iter().filter(|second| second.0 != first.0) {
                races += race(after, first, *second);
            }
        }
    }
    assert!(races > 500, "{races}");
}

#[test]
fn of_two_buyers_at_once_one_has_it() {
    for nth in 0.. {
        platform().forget_everything();
        ticket();
        let before = platform().calls();
        platform().harm(nth, Harm::Meanwhile(Box::new(|_| drop(place(&caller("bob"), 1999)))));
        let anns = place(&caller("ann"), 1999);
        let calls = platform().calls() - before;
        platform().revive();
        settle::<Orders>();
        assert_eq!(followed(&format!("call {nth}")), Standing::Reserved);
        if nth >= calls {
            assert!(nth >= 3 && anns.is_ok(), "{nth}");
            return;
        }
        assert_eq!(anns.unwrap_err().status, 409, "call {nth}");
    }
}

#[test]
fn of_a_buyer_and_a_seller_at_once_one_has_it() {
    for nth in 0.. {
        platform().forget_everything();
        ticket();
        let before = platform().calls();
        platform().harm(nth, Harm::Meanwhile(Box::new(|_| drop(place(&caller("ann"), 1999)))));
        let withdrawn = withdraw(&caller("sue"));
        let calls = platform().calls() - before;
        platform().revive();
        settle::<Orders>();
        let expected = if withdrawn.is_ok() { Standing::Withdrawn } else { Standing::Reserved };
        assert_eq!(followed(&format!("call {nth}")), expected);
        if nth >= calls {
            assert!(nth > 1 && withdrawn.is_ok(), "{nth}");
            return;
        }
    }
}
