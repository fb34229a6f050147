//! Events as they come in reality: twice, and to instances that die in the middle of them.
//!
//! A test says how to tell a history, on a platform on which nothing has happened yet, and what to check once the service has
//! handled it. Whatever went wrong meanwhile, that is always the same.

use super::{deliver, platform, settle};
use crate::platform::memory::Harm;
use crate::service::Service;

/// What can go wrong with a call.
const HARMS: [fn() -> Harm; 3] = [|| Harm::DiesBefore, || Harm::DiesAfter, || Harm::AnswerLost];

/// Handles a history with each event delivered twice in a row: the second delivery changes nothing.
#[track_caller]
pub fn every_event_twice<S: Service, T>(tell: impl Fn() -> T, check: impl Fn(&T, &str)) {
    platform().forget_everything();
    let told = tell();
    while let Some(delivery) = platform().deliver(S::NAME) {
        let mut twice = [(); 2].map(|()| {
            let outcome = deliver::<S>(&delivery);
            assert_eq!(outcome, Ok(()), "{} cannot be handled", delivery.subject);
            (platform().bucket(), platform().all_stored())
        });
        let [first, second] = &mut twice;
        assert_eq!(first, second, "the second delivery of {} changed something", delivery.subject);
    }
    check(&told, "every event twice");
}

/// Handles a history with one call in trouble, again and again: for every call of the service, or for each `step`th one if
/// there are very many, and for each kind of trouble. Events come once, and in another round each comes twice. Says how many
/// calls there are, so that the test can see that it is about something.
#[track_caller]
pub fn trouble_at_every_call<S: Service, T>(
    step: usize,
    tell: impl Fn() -> T,
    check: impl Fn(&T, &str),
) -> u64 {
    let mut calls_min = u64::MAX;
    let rounds = HARMS.into_iter().flat_map(|harm| [(harm, 1), (harm, 2)]);
    for (round, (harm, deliveries)) in rounds.enumerate() {
        for nth in (round as u64..).step_by(step) {
            platform().forget_everything();
            let told = tell();
            let before = platform().calls();
            platform().harm(nth, harm());
            while let Some(delivery) = platform().deliver(S::NAME) {
                for _ in 0..deliveries {
                    // What went wrong shows in what is delivered again.
                    let _ = deliver::<S>(&delivery);
                    platform().revive_if_dead();
                }
            }
            let calls = platform().calls() - before;
            platform().revive();
            settle::<S>();
            check(&told, &format!("{:?} at call {nth}, each event {deliveries} times", harm()));
            if nth > calls {
                calls_min = calls_min.min(calls);
                break;
            }
        }
    }
    calls_min
}
