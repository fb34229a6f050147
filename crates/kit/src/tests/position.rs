//! Who has written reads it, and how fresh an answer is can be seen.

use super::*;
use crate::models::backlogs::FRESH;
use crate::platform::memory::Harm;
use crate::testing::{deliver, json, message, request, send, settle, start};

const JSON: (&str, &str) = ("content-type", "application/json");

fn post(text: &str) -> Response {
    send::<Notes>("POST", "/notes", &format!(r#"{{"text":"{text}"}}"#))
}

fn position(response: &Response) -> String {
    response.header("trellis-position").expect("a write says where it is").to_owned()
}

/// The list, read by somebody who brings a position.
fn read(position: &str) -> Response {
    request::<Notes>("GET", "/notes", &[("Trellis-Position", position)], "")
}

fn listed(response: &Response) -> usize {
    json::<Vec<Note>>(response).len()
}

fn lag() -> u64 {
    send::<Notes>("GET", "/notes", "").header("x-trellis-lag").unwrap().parse().unwrap()
}

#[test]
fn a_write_says_where_it_is_however_it_was_found_to_be_there() {
    start::<Notes>();
    let first = request::<Notes>("POST", "/notes", &[JSON, ("idempotency-key", "k")], r#"{"text":"a"}"#);
    let note: Note = json(&first);
    let partition = crate::id::partition(&note.id, Notes::PARTITIONS);
    assert_eq!(position(&first), format!("notes:{partition}:1"));
    post("b");
    let again = request::<Notes>("POST", "/notes", &[JSON, ("idempotency-key", "k")], r#"{"text":"a"}"#);
    assert_eq!(position(&again), position(&first), "a repeated request");
    let path = format!("/notes/{}", note.id);
    let put = |text: &str| send::<Notes>("PUT", &path, &format!(r#"{{"text":"{text}"}}"#));
    assert_eq!(position(&put("c")), format!("notes:{partition}:3"));
    assert_eq!(position(&put("c")), format!("notes:{partition}:3"), "a change to what is there already");
    platform().harm(1, Harm::AnswerLost);
    assert_eq!(position(&put("d")), format!("notes:{partition}:4"), "an answer that was lost");
    assert_eq!(send::<Notes>("GET", &path, "").header("trellis-position"), None, "a read");
}

#[test]
fn a_read_waits_for_what_its_caller_wrote() {
    start::<Notes>();
    for (number, in_header) in [(1, true), (2, false)] {
        let wrote = position(&post("a"));
        platform().harm(20, Harm::Meanwhile(Box::new(|_| settle::<Notes>())));
        let before = platform().elapsed();
        let answer = if in_header {
            read(&wrote)
        } else {
            send::<Notes>("GET", &format!("/notes?position={wrote}"), "")
        };
        let waited = platform().elapsed() - before;
        assert_eq!((listed(&answer), answer.header("x-trellis-lag")), (number, Some("0")));
        assert!(waited > Duration::ZERO && waited < Duration::from_secs(1), "{waited:?}");
    }
    let wrote = position(&post("a"));
    settle::<Notes>();
    let before = (platform().calls(), platform().elapsed());
    read(&wrote);
    assert_eq!(platform().elapsed(), before.1, "nothing to wait for any more");
    assert!(platform().calls() - before.0 <= 5);
}

#[test]
fn a_read_waits_no_longer_than_a_second() {
    start::<Notes>();
    let wrote = position(&post("a"));
    let before = (platform().calls(), platform().elapsed());
    let answer = read(&wrote);
    let waited = platform().elapsed() - before.1;
    assert_eq!((answer.status, listed(&answer)), (200, 0), "it is answered with what there is");
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_millis(1100), "{waited:?}");
    assert!(platform().calls() - before.0 < 100, "it does not look all the time");
}

#[test]
fn a_read_of_an_entity_or_of_another_service_does_not_wait() {
    start::<Notes>();
    let answer = post("a");
    let note: Note = json(&answer);
    settle::<Notes>();
    let before = platform().elapsed();
    let far = "notes:0:999,notes:1:999";
    let get = request::<Notes>("GET", &format!("/notes/{}", note.id), &[("trellis-position", far)], "");
    assert_eq!((get.status, get.header("x-trellis-lag")), (200, None), "this is read from the log");
    assert_eq!(listed(&read("somebody:3:999,else:0:1")), 1);
    assert_eq!(platform().elapsed(), before);
}

#[test]
fn a_position_that_is_none_is_refused() {
    start::<Notes>();
    let many = vec!["notes:0:1"; 17].join(",");
    for bad in [",", "notes", "notes:0", "notes:0:1:2", "notes:x:1", "notes:0:-1", "no.tes:0:1", &many] {
        assert_eq!(read(bad).status, 400, "{bad}");
    }
    let twice = [("trellis-position", "notes:0:0"), ("trellis-position", "bad")];
    assert_eq!(request::<Notes>("GET", "/notes", &twice, "").status, 400);
    assert_eq!(read(" notes:0:0 , notes:1:0").status, 200);
    assert_eq!(read("").status, 200, "a header without a value says nothing");
    let bytes = crate::Request::new("GET", "/notes").with("trellis-position", [0x84]);
    assert_eq!(Notes::respond(&bytes).status, 400, "a header that is no text");
    assert_eq!(request::<Notes>("GET", "/notes?position=", &[], "").status, 400);
}

#[test]
fn lag_is_how_many_events_are_waiting() {
    start::<Notes>();
    let id = write(&anonymous(), new("a")).unwrap().id;
    for n in 0..4 {
        edit(&anonymous(), &id, &n.to_string()).unwrap();
    }
    let mut seen = Vec::new();
    while let Some(delivery) = platform().deliver("notes") {
        deliver::<Notes>(&delivery).unwrap();
        seen.push(lag());
    }
    seen.dedup();
    assert_eq!(seen, [4, 3, 2, 1, 0]);
}

#[test]
fn lag_is_true_while_nothing_moves_and_cheap_to_know() {
    /// The simulated server tells of two consumers at a time, and there are four.
    const PAGES: usize = 2;
    start::<Notes>();
    let poison = write(&anonymous(), new("poison")).unwrap().id;
    while let Some(delivery) = platform().deliver("notes") {
        deliver::<Notes>(&delivery).unwrap();
    }
    assert_eq!(lag(), 1);
    let partition = |id: &str| crate::id::partition(id, Notes::PARTITIONS);
    let behind_it = |_| partition(&write(&anonymous(), new("a")).unwrap().id) == partition(&poison);
    let waiting = (0..20).filter(|n| behind_it(*n)).count() as u64;
    // Nobody is given anything meanwhile: what waits is 20 events and the one that failed.
    platform().advance(2 * FRESH);
    platform().take_exchanges();
    let asked = || {
        let exchanges = platform().take_exchanges();
        exchanges.iter().filter(|exchange| exchange.subject.contains("CONSUMER.LIST")).count()
    };
    assert_eq!((lag(), asked()), (21, PAGES));
    for _ in 0..100 {
        assert_eq!(lag(), 21);
    }
    assert_eq!(asked(), 0, "what is known is good for a while");
    platform().advance(2 * FRESH);
    while let Some(delivery) =
        platform().deliver("notes").filter(|delivery| !delivery.reply_to.contains("-r-"))
    {
        deliver::<Notes>(&delivery).unwrap();
    }
    let left = lag();
    assert!(left == waiting + 1 || left == 21, "{left} of {waiting} behind the poison");
    assert!(asked() <= PAGES);
}

#[test]
fn lag_that_cannot_be_found_out_is_what_was_noted() {
    start::<Notes>();
    post("a");
    settle::<Notes>();
    platform().advance(2 * FRESH);
    let calls = {
        let before = platform().calls();
        assert_eq!(lag(), 0);
        platform().calls() - before
    };
    for harm in [|| Harm::NotDone, || Harm::AnswerLost, || Harm::AnswerGarbled] as [fn() -> Harm; 3] {
        for nth in 2..calls {
            platform().advance(2 * FRESH);
            platform().harm(nth, harm());
            let answer = send::<Notes>("GET", "/notes", "");
            platform().revive();
            if answer.status == 200 {
                assert_eq!(answer.header("x-trellis-lag"), Some("0"), "call {nth}");
            }
        }
    }
}

#[test]
fn an_event_that_fails_shows_and_one_that_is_put_aside_is_passed() {
    start::<Notes>();
    let poison = post("poison");
    let partition = crate::id::partition(&json::<Note>(&poison).id, Notes::PARTITIONS);
    let projected = names::consumer("notes", 1, partition);
    let delivery = std::iter::from_fn(|| platform().deliver("notes"))
        .find(|delivery| delivery.reply_to.contains(&projected))
        .unwrap();
    deliver::<Notes>(&delivery).unwrap();
    assert_eq!(lag(), 1, "it waits to be tried again");
    settle::<Notes>();
    assert_eq!((dead().len(), lag()), (1, 0));
    let before = platform().elapsed();
    read(&position(&poison));
    assert_eq!(platform().elapsed(), before, "nothing more will come of it");
}

#[test]
fn an_offset_does_not_go_back_when_a_consumer_was_lost() {
    start::<Notes>();
    let id = write(&anonymous(), new("a")).unwrap().id;
    let last = send::<Notes>("PUT", &format!("/notes/{id}"), r#"{"text":"b"}"#);
    settle::<Notes>();
    let consumer = names::consumer("notes", 1, crate::id::partition(&id, Notes::PARTITIONS));
    crate::jetstream::delete_consumer("LOG_notes", &consumer).unwrap();
    start::<Notes>();
    let delivery = platform().deliver("notes").unwrap();
    deliver::<Notes>(&delivery).unwrap();
    let before = platform().elapsed();
    let answer = read(&position(&last));
    assert_eq!((listed(&answer), platform().elapsed()), (1, before));
    assert_eq!(lag(), 1, "there is something to do");
    settle::<Notes>();
    assert_eq!(lag(), 0);
}

#[test]
fn a_rebuild_has_offsets_of_its_own() {
    start::<Notes>();
    let wrote = position(&post("a"));
    settle::<Notes>();
    for _generation in 2..5 {
        message::<Notes>(names::ANNOUNCE, None, br#"{"replay":"notes"}"#).unwrap();
        let before = platform().elapsed();
        assert_eq!((listed(&read(&wrote)), platform().elapsed()), (1, before), "the old answers");
        settle::<Notes>();
        assert_eq!((listed(&read(&wrote)), platform().elapsed()), (1, before), "the new answers");
    }
}

#[test]
fn an_offset_of_an_older_generation_is_ignored() {
    start::<Notes>();
    post("a");
    settle::<Notes>();
    for partition in 0..Notes::PARTITIONS {
        let leftover = br#"{"g":0,"seq":999,"behind":7,"time":""}"#;
        platform().set(&names::offset_key(2, "notes", partition), leftover).unwrap();
    }
    message::<Notes>(names::ANNOUNCE, None, br#"{"replay":"notes"}"#).unwrap();
    settle::<Notes>();
    assert_eq!(lag(), 0);
    let before = platform().elapsed();
    assert_eq!(listed(&read(&position(&post("b")))), 1);
    assert!(platform().elapsed() > before, "it is waited for");
}

#[test]
fn nothing_is_told_to_the_next_request() {
    start::<Notes>();
    write(&anonymous(), new("outside of any request")).unwrap();
    post("a");
    let next = send::<Notes>("GET", "/", "");
    assert_eq!((next.header("trellis-position"), next.header("x-trellis-lag")), (None, None));
}
