//! Lists: every id once, in order, at a price that does not grow.

use super::*;
use crate::PageRequest;
use crate::models::index::{Listed, PAGE_LEN};
use crate::platform::memory::Harm;

const LIST: Index = Index::new(Source::new("notes", 4), "list");

fn add(partition: u32, seq: u64) -> Result<(), Failure> {
    let id = format!("n{seq}");
    let writer = Writer {
        source: "notes",
        partition,
        entity: &id,
        seq,
        generation: 1,
        term: Term::ENDLESS,
        ..Writer::default()
    };
    LIST.add(&writer, &id)?;
    writer.finish(no_offset())
}

fn list(limit: u32, after: Option<String>) -> Result<Listed, Problem> {
    LIST.list(&anonymous().views().unwrap(), &PageRequest { limit: Some(limit), after })
}

fn all(limit: u32) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let listed = list(limit, after).unwrap();
        assert!(listed.ids.len() == limit as usize || listed.next.is_none(), "only the last page is short");
        ids.extend(listed.ids);
        after = listed.next;
        if after.is_none() {
            return ids;
        }
    }
}

/// Adds ids spread in one way or another, and says what the list should be.
fn filled(count: u64, partition: impl Fn(u64) -> u32) -> Vec<String> {
    platform().forget_bucket();
    (1..=count).for_each(|seq| add(partition(seq), seq).unwrap());
    (1..=count).rev().map(|seq| format!("n{seq}")).collect()
}

#[test]
fn every_id_is_listed_once_newest_first_however_they_are_spread() {
    type Spread = fn(u64) -> u32;
    let spreads: [(&str, Spread); 5] = [
        ("one partition", |_| 2),
        ("in turn", |seq| (seq % 4) as u32),
        ("by chance", |_| (platform().random() % 4) as u32),
        ("one after the other", |seq| (seq / 150) as u32),
        ("one is rare", |seq| if seq % 200 == 0 { 0 } else { 1 }),
    ];
    for (spread, partition) in spreads {
        for count in [0, 1, PAGE_LEN as u64, PAGE_LEN as u64 + 1, 500] {
            let expected = filled(count, partition);
            for limit in [1, 7, 64, 100] {
                assert_eq!(all(limit), expected, "{count} {spread}, {limit} at a time");
            }
        }
    }
}

#[test]
fn what_is_added_meanwhile_does_not_disturb_who_is_reading() {
    let expected = filled(300, |seq| (seq % 4) as u32);
    let first = list(100, None).unwrap();
    (301..=600).for_each(|seq| add((seq % 3) as u32, seq).unwrap());
    let second = list(100, first.next).unwrap();
    let third = list(100, second.next).unwrap();
    assert_eq!([first.ids, second.ids, third.ids].concat(), expected);
    assert_eq!(third.next, None);
}

#[test]
fn the_price_does_not_grow() {
    let mut prices = Vec::new();
    for count in [100, 1_000, 10_000] {
        filled(count, |_| (platform().random() % 4) as u32);
        let before = platform().calls();
        let first = list(100, None).unwrap();
        let for_first = platform().calls() - before;
        list(100, first.next).unwrap();
        let for_second = platform().calls() - before - for_first;
        let before = platform().calls();
        add(0, count + 1).unwrap();
        let for_add = platform().calls() - before;
        assert!(
            for_first <= 4 && for_second <= 4 && for_add <= 3,
            "{count}: {for_first} {for_second} {for_add}"
        );
        prices.push(for_add);
    }
    let largest = platform().bucket().values().map(Vec::len).max().unwrap();
    assert!(largest < 2_000, "{largest} bytes in one value");
}

#[test]
fn dying_between_the_two_writes_of_a_full_page_is_harmless() {
    for death in [|| Harm::DiesBefore, || Harm::DiesAfter] as [fn() -> Harm; 2] {
        for nth in 0..3 {
            let mut expected = filled(PAGE_LEN as u64, |_| 0);
            let next = PAGE_LEN as u64 + 1;
            platform().harm(nth, death());
            add(0, next).unwrap_err();
            platform().revive();
            add(0, next).unwrap();
            add(0, next).unwrap();
            expected.insert(0, format!("n{next}"));
            assert_eq!(all(100), expected, "call {nth}");
        }
    }
}

#[test]
fn a_limit_out_of_range_is_refused_and_20_is_the_default() {
    filled(3, |_| 0);
    for bad in [0, 101, u32::MAX] {
        assert_eq!(list(bad, None).unwrap_err().status, 400, "{bad}");
    }
    filled(30, |_| 0);
    let default =
        LIST.list(&anonymous().views().unwrap(), &PageRequest { limit: None, after: None }).unwrap();
    assert_eq!(default.ids.len(), 20);
}

#[test]
fn a_bad_cursor_is_refused_cheaply() {
    use base64::Engine as _;
    filled(1_000, |_| 1);
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let good = list(100, None).unwrap().next.unwrap();
    assert!(list(100, Some(good.clone())).is_ok());
    let many = "A".repeat(100_000);
    let rows = [
        String::new(),
        "A".to_owned(),
        "?".to_owned(),
        many,
        good.clone() + "A",
        good[..good.len() - 1].to_owned(),
        encode(&[1, 2, 0, 16, 0]),          // a position too few
        encode(&[1, 2, 0, 16, 0, 0, 0]),    // one too many
        encode(&[0x81, 0, 2, 0, 16, 0, 0]), // a number written longer than need be
        encode(&[0xff; 80]),                // numbers without an end
        encode(&[1, 2, 0, 99, 0, 0]),       // a page that is not there
        encode(&[1, 2, 16, 0, 0, 0]),       // a partition that is empty
        encode(&[7, 2, 0, 16, 0, 0]),       // a generation that is not there
        encode(&[1, 2, 0, 15, 0, 0]),       // would have to read every page to find something so old
    ];
    for cursor in rows {
        let before = platform().calls();
        let problem = list(100, Some(cursor.clone())).unwrap_err();
        assert_eq!(problem.status, 400, "{cursor:.20}: {problem:?}");
        assert!(platform().calls() - before <= 3, "{cursor:.20}");
    }
}

#[test]
fn any_text_as_a_cursor_is_answered() {
    filled(1_000, |_| (platform().random() % 4) as u32);
    let good = list(100, None).unwrap().next.unwrap().into_bytes();
    for _ in 0..5_000 {
        let mut text = good.clone();
        for _ in 0..=platform().random() % 3 {
            let place = (platform().random() % text.len() as u64) as usize;
            text[place] = b"ABCDEFabcdef0123456789-_"[(platform().random() % 24) as usize];
        }
        let before = platform().calls();
        if let Err(problem) = list(100, Some(String::from_utf8(text).unwrap())) {
            assert_eq!(problem.status, 400);
        }
        assert!(platform().calls() - before <= 5);
    }
}

const OWNED: Lists = Lists::new(SOURCE, "owned");

fn give(entity: &str, owner: &str, seq: u64) -> Result<(), Failure> {
    let writer = Writer {
        source: "notes",
        partition: 0,
        entity,
        seq,
        generation: 1,
        term: Term::ENDLESS,
        ..Writer::default()
    };
    OWNED.add(&writer, owner, &format!("{owner}-{seq}"))?;
    writer.finish(no_offset())
}

fn owned(owner: &str, limit: u32, after: Option<String>) -> Result<Listed, Problem> {
    OWNED.list(&anonymous().views().unwrap(), owner, &PageRequest { limit: Some(limit), after })
}

#[test]
fn every_owner_has_a_list_of_its_own() {
    let owner = |seq: u64| if seq.is_multiple_of(3) { "a" } else { "b" };
    (1..=500).for_each(|seq| give(&format!("{}-{seq}", owner(seq)), owner(seq), seq).unwrap());
    for name in ["a", "b"] {
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let before = platform().calls();
            let listed = owned(name, 30, after).unwrap();
            assert!(platform().calls() - before <= 4);
            ids.extend(listed.ids);
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<String> =
            (1..=500).rev().filter(|seq| owner(*seq) == name).map(|seq| format!("{name}-{seq}")).collect();
        assert_eq!(ids, expected, "{name}");
    }
    for nobody in ["c", "", "a.b", "*"] {
        assert_eq!(owned(nobody, 10, None).unwrap(), Listed { ids: Vec::new(), next: None }, "{nobody}");
    }
}

#[test]
fn only_the_family_adds_to_a_list_and_each_event_once() {
    give("a-1", "a", 1).unwrap();
    give("a-1", "a", 1).unwrap();
    give("a-0", "a", 0).unwrap();
    assert_eq!(owned("a", 10, None).unwrap().ids, ["a-1"]);
    for (entity, owner) in [("b-1", "a"), ("a-1", "b"), ("a-1", ""), ("a-1", "a.b")] {
        assert!(give(entity, owner, 9).unwrap_err().is_lasting(), "{entity} {owner}");
    }
    assert_eq!(owned("a", 10, Some("AQ".to_owned())).unwrap_err().status, 400);
}

const OF_ANYBODY: Lists = Lists::of_anybody(SOURCE, "of-anybody");

#[test]
fn who_owns_what_comes_from_all_partitions_is_called_as_they_like() {
    let owners = ["ann", "", "a.b", "*", ">", "mia smith", "ä", &"x".repeat(1000)];
    let owner = |seq: u64| owners[(seq % 7) as usize];
    let give = |seq: u64| {
        let (partition, entity) = (seq as u32 % SOURCE.partitions, "of-somebody-else");
        let (source, term) = (SOURCE.name, Term::ENDLESS);
        let writer = Writer { partition, entity, seq, source, term, generation: 1, ..Writer::default() };
        OF_ANYBODY.add(&writer, owner(seq), &seq.to_string())?;
        writer.finish(no_offset())
    };
    for seq in 1..=2_000 {
        give(seq).unwrap();
    }
    give(2_000).unwrap();
    give(7).unwrap();
    let views = anonymous().views().unwrap();
    for name in owners {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let before = platform().calls();
            let listed = OF_ANYBODY.list(&views, name, &PageRequest { limit: Some(30), after }).unwrap();
            assert!(platform().calls() - before <= 4);
            ids.extend(listed.ids);
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<String> =
            (1..=2_000).rev().filter(|seq| owner(*seq) == name).map(|seq| seq.to_string()).collect();
        assert_eq!(ids, expected, "{name:.10}");
    }
    let elsewhere = Writer { source: "others", generation: 1, ..Writer::default() };
    assert!(OF_ANYBODY.add(&elsewhere, "ann", "1").unwrap_err().is_lasting());
}

#[test]
fn a_long_list_costs_no_more_than_a_short_one() {
    let mut prices = Vec::new();
    for count in [10, 20_000] {
        platform().forget_bucket();
        (1..=count).for_each(|seq| give("a", "a", seq).unwrap());
        let before = platform().calls();
        give("a", "a", count + 1).unwrap();
        let for_add = platform().calls() - before;
        let next = owned("a", 5, None).unwrap().next;
        owned("a", 5, next).unwrap();
        prices.push((for_add, platform().calls() - before));
    }
    assert_eq!(prices[0], prices[1]);
    let largest = platform().bucket().values().map(Vec::len).max().unwrap();
    assert!(largest < 2_000, "{largest} bytes in one value");
}
