//! Documents in the order in which they came: each as it is now, the newest with one call.

use super::*;
use crate::models::index::{PAGE_LEN, SHOWN};
use crate::platform::memory::Harm;
use crate::{Page, PageRequest, Series, id};

const LAMPS: Series<u64> = Series::new(Source::new("lamps", 4), "lamp", "all");
const ROOMS: Docs<String> = Docs::new(Source::new("lamps", 4), "room");

type Written = Result<(), Failure>;

fn event(seq: u64, id: &str, write: impl FnOnce(&Writer<'_>) -> Written) -> Written {
    let writer = Writer {
        source: "lamps",
        partition: id::partition(id, 4),
        entity: id,
        seq,
        generation: 1,
        term: Term::ENDLESS,
        ..Writer::default()
    };
    write(&writer)?;
    writer.finish(no_offset())
}

fn lit(seq: u64, id: &str) -> Written {
    event(seq, id, |writer| LAMPS.add(writer, id, &seq))
}

fn changed(seq: u64, id: &str) -> Written {
    event(seq, id, |writer| LAMPS.change(writer, id, &seq))
}

fn list(limit: u32, after: Option<String>) -> Page<u64> {
    LAMPS.list(&anonymous().views().unwrap(), &PageRequest { limit: Some(limit), after }).unwrap()
}

fn all(limit: u32) -> Vec<u64> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = list(limit, after);
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            return items;
        }
    }
}

/// One of so many, by chance.
fn any(count: u64) -> u64 {
    platform().random() % count
}

#[test]
fn every_document_is_listed_once_as_it_is_now() {
    for count in [1, SHOWN as u64, 2 * PAGE_LEN as u64, 600] {
        platform().forget_bucket();
        let mut expected: Vec<u64> = Vec::new();
        for seq in (1..).step_by(2).take(count as usize) {
            lit(seq, &format!("l{}", expected.len())).unwrap();
            expected.push(seq);
            // One of the newest, or any.
            let among = if seq % 4 == 1 { 8.min(expected.len() as u64) } else { expected.len() as u64 };
            let at = expected.len() - 1 - any(among) as usize;
            changed(seq + 1, &format!("l{at}")).unwrap();
            expected[at] = seq + 1;
        }
        expected.reverse();
        for limit in [1, 7, 100] {
            assert_eq!(all(limit), expected, "{count}, {limit} at a time");
        }
    }
}

#[test]
fn a_change_that_comes_twice_or_late_changes_nothing() {
    lit(1, "a").unwrap();
    changed(3, "a").unwrap();
    changed(2, "a").unwrap();
    changed(3, "a").unwrap();
    lit(1, "a").unwrap();
    assert_eq!((all(10), LAMPS.docs().get(&anonymous().views().unwrap(), "a").unwrap()), (vec![3], Some(3)));
}

#[test]
fn dying_between_the_document_and_the_list_is_harmless() {
    for death in [|| Harm::DiesBefore, || Harm::DiesAfter] as [fn() -> Harm; 2] {
        for (nth, write) in (0..6).zip([lit, changed].into_iter().cycle()) {
            platform().forget_bucket();
            lit(1, "before").unwrap();
            if nth % 2 == 1 {
                lit(2, "a").unwrap();
            }
            platform().harm(nth / 2, death());
            write(3, "a").ok();
            platform().revive();
            write(3, "a").unwrap();
            assert_eq!(all(10), [3, 1], "call {nth}");
        }
    }
}

/// However many there are, and wherever pages end.
#[test]
fn the_newest_of_all_lanes_cost_one_call_and_all_others_two() {
    let ids: Vec<String> = (0..).map(|n| format!("l{n}")).take(2_000).collect();
    let lane = |partition| ids.iter().filter(move |id| id::partition(id, 4) == partition);
    let of_each_lane = (0..4).map(|partition| lane(partition).take(PAGE_LEN + 8).collect::<Vec<_>>());
    let of_each_lane: Vec<_> = of_each_lane.collect();
    let mut seq = 0;
    for nth in 0..PAGE_LEN + 8 {
        for lane in &of_each_lane {
            seq += 1;
            lit(seq, lane[nth]).unwrap();
            let views = anonymous().views().unwrap();
            let before = platform().calls();
            let newest = LAMPS.list(&views, &PageRequest { limit: Some(SHOWN as u32), after: None }).unwrap();
            assert_eq!(platform().calls() - before, 1, "{seq} are there");
            assert_eq!(newest.items.len() as u64, seq.min(SHOWN as u64));
        }
    }
    let before = platform().calls();
    list(20, None);
    assert_eq!(platform().calls() - before, 2);
}

#[test]
fn another_kind_comes_with_the_documents_that_are_read_anyway() {
    for (seq, id) in (1..).zip(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]) {
        lit(seq, id).unwrap();
        if seq % 2 == 0 {
            event(seq, id, |writer| ROOMS.put(writer, id, &format!("of {id}"))).unwrap();
        }
    }
    let views = anonymous().views().unwrap();
    let before = platform().calls();
    let page = LAMPS.list_with(&ROOMS, &views, &PageRequest { limit: Some(3), after: None }).unwrap();
    assert_eq!(platform().calls() - before, 2);
    let room = |id: &str| Some(format!("of {id}"));
    assert_eq!(page.items, [(Some(10), room("j")), (Some(9), None), (Some(8), room("h"))]);
}
