//! Who does not keep up tells whoever asks.

use super::*;
use crate::testing::{deliver, message, send, settle, start};
use crate::upkeep::readiness::STUCK_AFTER;

/// Whether the service is ready, and what it says.
fn readiness() -> (bool, String) {
    let answer = send::<Notes>("GET", "/readyz", "");
    let head = send::<Notes>("HEAD", "/readyz", "");
    assert_eq!((head.status, head.body.len()), (answer.status, 0));
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert!(
        answer.status == 200 || (answer.status, text.contains("Service Unavailable")) == (503, true),
        "{text}"
    );
    (answer.status == 200, text)
}

#[track_caller]
fn assert_ready() {
    let (ready, text) = readiness();
    assert!(ready, "{text}");
}

#[test]
fn a_service_without_its_log_is_not_ready() {
    let (ready, text) = readiness();
    assert!(!ready && text.contains("The log is missing."), "{text}");
    start::<Notes>();
    assert_ready();
    assert_eq!(send::<Notes>("POST", "/readyz", "{}").status, 404);
}

#[test]
fn an_event_that_always_fails_is_seen_until_it_is_put_aside() {
    start::<Notes>();
    let poison = write(&anonymous(), new("poison")).unwrap();
    let others = (0..20).map(|_| write(&anonymous(), new("fine")).unwrap().id);
    let partition = |id: &str| crate::id::partition(id, Notes::PARTITIONS);
    let behind = others.filter(|id| partition(id) == partition(&poison.id)).count();
    let stuck = format!("notes-g1-{} of notes is stuck: {} events wait", partition(&poison.id), behind + 1);
    let mut seen = Vec::new();
    loop {
        while let Some(delivery) = platform().deliver("notes") {
            deliver::<Notes>(&delivery).unwrap();
        }
        let (ready, text) = readiness();
        let tried_for = platform().elapsed();
        if tried_for < STUCK_AFTER {
            assert!(ready, "after {tried_for:?}: {text}");
        } else if platform().next_due("notes").is_some() {
            assert!(!ready && text.contains(&stuck), "after {tried_for:?}: {text}");
            assert_eq!(text.matches("stuck").count(), 1, "the others go on: {text}");
        }
        seen.push(ready);
        let Some(wait) = platform().next_due("notes") else { break };
        platform().advance(wait);
    }
    seen.dedup();
    assert_eq!(seen, [true, false, true]);
}

#[test]
fn a_service_that_catches_up_is_ready() {
    start::<Notes>();
    let note = write(&anonymous(), new("a")).unwrap();
    for n in 0..30 {
        edit(&anonymous(), &note.id, &n.to_string()).unwrap();
    }
    let mut handled = 0;
    while let Some(delivery) = platform().deliver("notes") {
        deliver::<Notes>(&delivery).unwrap();
        platform().advance(Duration::from_secs(4));
        let consumer = delivery.reply_to.split('.').nth(3).unwrap();
        let (_, text) = readiness();
        assert!(!text.contains(consumer), "it has just moved: {text}");
        handled += 1;
    }
    assert_eq!(handled, 62, "the read models and the reactions");
    assert_ready();
}

#[test]
fn what_comes_after_a_long_rest_is_not_late_at_once() {
    start::<Notes>();
    for _ in 0..3 {
        write(&anonymous(), new("a")).unwrap();
        assert_ready();
        settle::<Notes>();
        platform().advance(Duration::from_secs(3600));
        assert_ready();
    }
    write(&anonymous(), new("a")).unwrap();
    platform().advance(STUCK_AFTER + Duration::from_secs(1));
    let (ready, text) = readiness();
    assert!(!ready, "nobody handles anything");
    assert_eq!(
        text.matches("is stuck: 1 events wait, the oldest since 2026-01-01T03:00:00").count(),
        2,
        "{text}"
    );
}

#[test]
fn a_consumer_that_is_gone_is_missed_until_it_is_repaired() {
    start::<Notes>();
    for consumer in [names::consumer("notes", 1, 1), names::reaction_consumer("notes", 0)] {
        crate::jetstream::delete_consumer("LOG_notes", &consumer).unwrap();
        let (ready, text) = readiness();
        assert!(!ready && text.contains(&format!("{consumer} of notes is missing")), "{text}");
        message::<Notes>(names::ANNOUNCE, None, b"").unwrap();
        assert_ready();
    }
}
