//! Counting in windows: exactly up to a limit that is small, whoever counts at once and whoever dies.

use super::*;
use crate::platform::memory::Harm;
use crate::tally::{ANYBODY, Tally};

const MINUTE: Duration = Duration::from_secs(60);
const WRITES: Tally = Tally::new("writes", MINUTE);

const LIMIT: u64 = 5;

fn used(who: &str) -> u64 {
    WRITES.count(who, LIMIT).unwrap().used
}

#[test]
fn each_caller_is_counted_alone_and_in_each_window() {
    assert_eq!([used("ann"), used("ann"), used("bob"), used("ann")], [1, 2, 1, 3]);
    assert_eq!(Tally::new("reads", MINUTE).count("ann", LIMIT).unwrap().used, 1);
    for _ in 0..5 {
        platform().advance(MINUTE);
        assert_eq!([used("ann"), used("ann")], [1, 2]);
    }
    platform().advance(Duration::from_secs(59));
    assert_eq!(WRITES.count("ann", LIMIT).unwrap().left, Duration::from_secs(1));
}

#[test]
fn those_who_count_at_once_get_different_numbers() {
    for nth in 0..5 {
        platform().advance(MINUTE);
        used("before");
        let seen = std::rc::Rc::new(std::cell::Cell::new(0));
        let theirs = seen.clone();
        platform().harm(nth, Harm::Meanwhile(Box::new(move |_| theirs.set(used("ann")))));
        let mut all = [used("ann"), seen.get(), used("ann")];
        platform().revive();
        all.sort_unstable();
        // Who is counted at the end of the window before is counted once, in one of the two.
        assert!(all == [1, 2, 3] || all == [0, 1, 2] && nth > 4, "call {nth}: {all:?}");
    }
}

#[test]
fn never_more_than_the_limit_get_through_whenever_instances_die() {
    for nth in 0..20 {
        platform().advance(MINUTE);
        platform().harm(nth, Harm::DiesAfter);
        let mut through = 0;
        for _ in 0..LIMIT + 3 {
            through += u64::from(WRITES.count("ann", LIMIT).is_ok_and(|count| count.used <= LIMIT));
            platform().revive_if_dead();
        }
        platform().revive();
        assert!((LIMIT - 1..=LIMIT).contains(&through), "call {nth}: {through}");
    }
}

#[test]
fn a_clock_that_jumps_back_begins_anew_and_a_broken_counter_is_an_error() {
    used("ann");
    let slot =
        platform().bucket().into_keys().find(|key| key.ends_with(".0") || key.ends_with(".1")).unwrap();
    let slot = slot.rsplit_once('.').unwrap().0.to_owned();
    platform().set(&slot, b"many").unwrap();
    assert!(WRITES.count("ann", LIMIT).is_err());
}

/// As wasmCloud 2 keeps them. What the counter of these tests cannot count on from is where those before stand.
#[test]
fn a_counter_may_be_eight_bytes() {
    used("ann");
    let keys = platform().bucket().into_keys();
    let slot = keys.filter(|key| key.starts_with("tally.writes.")).min().unwrap();
    platform().set(&slot, &5_u64.to_be_bytes()).unwrap();
    assert_eq!(used("ann"), 6);
    platform().set(&slot, &u64::MAX.to_be_bytes()).unwrap();
    assert!(WRITES.count("ann", LIMIT).is_err());
}

/// The key-value provider that wasmCloud publishes gives up when too many count at once.
#[test]
fn what_cannot_be_counted_refuses_nobody_who_is_below_and_lets_nobody_through_who_is_beyond() {
    assert_eq!([used("ann"), used("ann")], [1, 2]);
    platform().contend(1);
    assert_eq!(used("ann"), 3, "it is tried again");
    platform().take_lines();
    platform().contend(u64::MAX);
    assert_eq!([used("ann"), used("ann")], [4, 4], "where those before stand");
    let lines = platform().take_lines();
    assert!(lines.iter().all(|line| line.1.contains("is not counted")) && lines.len() == 2, "{lines:?}");
    platform().contend(0);
    assert_eq!(used("ann"), 4);
}

/// Whoever knows this code, but not the key, cannot tell which other name shares a slot.
#[test]
fn slots_are_different_in_every_deployment() {
    let slots = || -> std::collections::BTreeSet<String> {
        (0..20).for_each(|nth| _ = used(&format!("caller {nth}")));
        let keys = platform().bucket().into_keys();
        keys.filter(|key| key.starts_with("tally.writes.")).collect()
    };
    let here = slots();
    platform().forget_bucket();
    platform().advance(MINUTE);
    let elsewhere = slots();
    assert!(here.intersection(&elsewhere).count() <= 6, "{here:?} {elsewhere:?}");
}

#[test]
fn keys_are_bounded() {
    for nth in 0..1_000 {
        used(&format!("caller {nth}"));
    }
    let slots = || platform().bucket().into_keys().filter(|key| key.starts_with("tally.writes.")).count();
    let before = slots();
    for _ in 0..3 {
        platform().advance(MINUTE);
        (0..1_000).for_each(|nth| _ = used(&format!("caller {nth}")));
    }
    assert!(slots() <= before / 2 * 3, "two notes and a counter for each slot");
}

/// The limit that the gateway has for reads, in ten windows.
#[test]
fn a_large_limit_is_counted_by_samples_and_holds_to_within_a_tenth() {
    const LARGE: u64 = 6_000;
    let mut off = Vec::new();
    for minute in 0..10 {
        platform().advance(MINUTE);
        let calls_before = platform().calls();
        let asked = 2 * LARGE;
        let through = (0..asked).filter(|_| WRITES.count("ann", LARGE).unwrap().used <= LARGE).count();
        off.push((through as f64 / LARGE as f64 - 1.0).abs());
        assert!((4_800..7_200).contains(&through), "minute {minute}: {through}");
        let calls = platform().calls() - calls_before;
        assert!(calls < asked + asked / 20, "one call, and another for one in 23: {calls}");
    }
    let mean = off.iter().sum::<f64>() / off.len() as f64;
    assert!(mean < 0.1, "{off:?}");
}

#[test]
fn a_count_by_samples_never_goes_back_in_a_window() {
    const LARGE: u64 = 600;
    let mut before = 0;
    for _ in 0..1_000 {
        let count = WRITES.count("ann", LARGE).unwrap();
        assert!(count.used >= before, "{count:?} after {before}");
        before = count.used;
    }
    platform().advance(MINUTE);
    assert!(WRITES.count("ann", LARGE).unwrap().used <= LARGE / 100, "every window begins anew");
}

#[test]
fn who_has_glanced_at_documents_counts_for_a_call_less() {
    used("ann");
    let calls = |who: &str, glances: bool| {
        platform().advance(MINUTE);
        // The first in a window pays more.
        used(who);
        crate::tally::forget();
        let turn = WRITES.turn(who, LIMIT);
        if glances {
            crate::glance(&[], Some(&turn), None).unwrap();
        }
        let before = platform().calls();
        assert_eq!(turn.count().unwrap().used, 2, "{who}");
        platform().calls() - before
    };
    assert_eq!([calls("ann", false), calls("ann", true)], [3, 2], "it finds the key");
    assert_eq!([calls(ANYBODY, false), calls(ANYBODY, true)], [2, 1], "it finds what was counted");
}

#[test]
fn who_has_glanced_at_documents_is_counted_by_samples_for_nothing() {
    const LARGE: u64 = 6_000;
    for who in ["ann", ANYBODY] {
        WRITES.count(who, LARGE).unwrap();
        let calls = (0..1_000).map(|_| {
            let turn = WRITES.turn(who, LARGE);
            crate::glance(&[], Some(&turn), None).unwrap();
            let before = platform().calls();
            turn.count().unwrap();
            platform().calls() - before
        });
        let calls: Vec<u64> = calls.collect();
        assert!(calls.iter().filter(|calls| **calls == 0).count() > 900, "{who}: {calls:?}");
        assert!(calls.iter().all(|calls| *calls <= 1), "{who}: {calls:?}");
    }
}
