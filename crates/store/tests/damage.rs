//! Directories that are not what was written: what is cut, what is refused, and what `verify` says of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trellis_store::{
    Damage, Disk, Driver, Durability, OpenError, Options, Order, RealDisk, Report, SimDisk, Store, verify,
    verify_dir,
};

const WAL_1: &str = "wal-0000000001";

fn options() -> Options {
    Options {
        memtable_bytes: 1 << 20,
        segment_bytes: 4 << 10,
        cache_bytes: 1 << 20,
        on_fatal: Arc::new(|fatal| panic!("{fatal}")),
        ..Options::default()
    }
}

fn open(disk: &SimDisk) -> Result<Store, OpenError> {
    Store::open(disk.clone(), options(), Driver::Inline)
}

async fn put(store: &Store, n: usize) {
    store.write(Durability::Synced, move |tx| tx.put(format!("key{n:03}"), vec![n as u8; 100])).await;
}

fn keys(store: &Store) -> Vec<String> {
    let entries = store.scan(.., Order::Ascending, usize::MAX);
    entries.into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
}

fn expected_keys(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("key{n:03}")).collect()
}

/// A disk with `count` writes that ended by a kill, and where in the log the frame of each lies.
async fn written(count: usize) -> (SimDisk, Vec<Range<usize>>) {
    let disk = SimDisk::new(9);
    let store = open(&disk).unwrap();
    let mut frames = vec![];
    for n in 0..count {
        let before = disk.content(WAL_1).unwrap();
        put(&store, n).await;
        let after = disk.content(WAL_1).unwrap();
        let changed: Vec<usize> =
            (0..after.len()).filter(|at| before.get(*at) != Some(&after[*at])).collect();
        frames.push(changed[0]..(changed[changed.len() - 1] + 1).next_multiple_of(8));
    }
    (disk.after_kill(), frames)
}

fn with(disk: &SimDisk, file: &str, mangle: impl FnOnce(&mut Vec<u8>)) -> SimDisk {
    let copy = disk.after_kill();
    let mut content = copy.content(file).unwrap();
    mangle(&mut content);
    copy.set_content(file, &content);
    copy
}

fn damage(result: Result<Store, OpenError>) -> Damage {
    match result {
        Err(OpenError::Damaged(damage)) => damage,
        other => panic!("should have been refused as damaged: {other:?}"),
    }
}

fn verified(disk: &SimDisk) -> Report {
    let before = disk.fingerprint();
    let report = verify(disk).unwrap();
    assert_eq!(disk.fingerprint(), before, "verify changes nothing");
    assert_eq!(disk.changes(), 0, "verify does not even try to");
    report
}

#[tokio::test]
async fn a_mangled_last_frame_is_cut_wherever_it_is_mangled() {
    let (disk, frames) = written(6).await;
    let last = frames[5].clone();
    for at in last.clone() {
        let flipped = with(&disk, WAL_1, |log| log[at] ^= 0x10);
        assert!(verified(&flipped).is_sound());
        let store = open(&flipped).unwrap_or_else(|error| panic!("byte {at}: {error}"));
        assert_eq!(keys(&store), expected_keys(5), "byte {at}");
    }
    for length in last.clone() {
        let cut = with(&disk, WAL_1, |log| log.truncate(length));
        let store = open(&cut).unwrap_or_else(|error| panic!("length {length}: {error}"));
        assert_eq!(keys(&store), expected_keys(5), "length {length}");
        // And it goes on from there.
        put(&store, 5).await;
        drop(store);
        assert_eq!(keys(&open(&cut.after_crash(0)).unwrap()), expected_keys(6));
    }
    let whole = with(&disk, WAL_1, |log| log.truncate(last.end));
    assert_eq!(keys(&open(&whole).unwrap()), expected_keys(6));
}

#[tokio::test]
async fn a_mangled_frame_that_had_been_durable_is_refused_and_nothing_is_changed() {
    let (disk, frames) = written(6).await;
    for at in frames[3].clone() {
        let flipped = with(&disk, WAL_1, |log| log[at] ^= 0x10);
        let before = flipped.fingerprint();
        let damage = damage(open(&flipped));
        assert_eq!((damage.file.as_str(), damage.offset), (WAL_1, frames[3].start as u64), "byte {at}");
        let text = damage.to_string();
        assert!(
            text.starts_with(&format!("simulated disk/{WAL_1} is damaged at byte {}", frames[3].start)),
            "{text}"
        );
        assert!(text.contains("restore the whole directory from a backup"), "{text}");
        assert_eq!(flipped.fingerprint(), before);
        let report = verified(&flipped.after_kill());
        assert!(!report.is_sound());
        assert_eq!(report.problems[0].offset, frames[3].start as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_even_the_last_frame_is_known_to_be_durable() {
    let disk = SimDisk::new(9);
    let store = Store::open(disk.clone(), options(), Driver::tokio_task()).unwrap();
    put(&store, 0).await;
    let before = disk.content(WAL_1).unwrap();
    put(&store, 1).await;
    let after = disk.content(WAL_1).unwrap();
    let frame = (0..after.len()).find(|at| before.get(*at) != Some(&after[*at])).unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;

    let disk = disk.after_kill();
    let damage = damage(open(&with(&disk, WAL_1, |log| log[frame + 60] ^= 1)));
    assert_eq!(damage.offset, frame as u64);
    assert_eq!(keys(&open(&disk).unwrap()), expected_keys(2));
}

#[tokio::test]
async fn a_missing_file_is_refused_by_name() {
    let disk = SimDisk::new(9);
    let store = open(&disk).unwrap();
    for n in 0..100 {
        put(&store, n).await;
    }
    drop(store);
    let names = disk.list().unwrap();
    assert!(names.iter().filter(|name| name.starts_with("wal-")).count() > 3, "{names:?}");
    for name in names {
        let without = disk.after_kill();
        without.lose(&name);
        let damage = damage(open(&without));
        assert_eq!(damage.file, name);
        assert!(damage.what.contains("missing"), "{damage}");
        assert!(!verified(&without.after_kill()).is_sound(), "{name}");
    }
    assert_eq!(keys(&open(&disk.after_kill()).unwrap()), expected_keys(100));
}

#[tokio::test]
async fn a_segment_of_another_store_or_place_is_refused() {
    let (disk, _) = written(3).await;
    let other = SimDisk::new(10);
    put(&open(&other).unwrap(), 7).await;
    let swapped = with(&disk, WAL_1, |log| *log = other.content(WAL_1).unwrap());
    assert!(damage(open(&swapped)).what.contains("not that of this segment in this directory"));
    assert!(!verified(&swapped.after_kill()).is_sound());
}

#[tokio::test]
async fn a_mangled_format_file_is_refused() {
    let (disk, _) = written(3).await;
    let length = disk.content("format").unwrap().len();
    for at in 0..length {
        let flipped = with(&disk, "format", |format| format[at] ^= 1);
        match open(&flipped).unwrap_err() {
            OpenError::Damaged(damage) => assert_eq!(damage.file, "format", "byte {at}"),
            OpenError::Newer { .. } => assert_eq!(at, 14, "only the version's digit can say so"),
            other => panic!("byte {at}: {other}"),
        }
    }
    assert_eq!(damage(open(&with(&disk, "format", Vec::clear))).file, "format");
}

/// Wherever the checkpoint's file is mangled: either it is seen, or nothing that it says has changed.
#[tokio::test]
async fn verify_sees_every_change_of_the_checkpoint_that_matters() {
    let disk = SimDisk::new(9);
    let store = open(&disk).unwrap();
    for n in 0..200 {
        put(&store, n).await;
    }
    store.close().await;
    let disk = disk.after_kill();
    let sound = verified(&disk);
    assert!(sound.is_sound(), "{sound}");
    assert_eq!((sound.entries, sound.notes.len()), (200, 0), "{sound}");
    let length = disk.content("checkpoint.redb").unwrap().len();
    let mut seen = 0;
    for at in (0..length).step_by(251) {
        let flipped = with(&disk, "checkpoint.redb", |file| file[at] ^= 0x10);
        // A checkpoint that redb cannot read at all is also an answer; a panic is not.
        let Ok(report) = verify(&flipped) else { continue };
        if !report.is_sound() {
            seen += 1;
            continue;
        }
        let store = open(&flipped).unwrap();
        assert_eq!(keys(&store), expected_keys(200), "byte {at}");
        for n in 0..200 {
            assert_eq!(store.get(format!("key{n:03}").as_bytes()).unwrap(), vec![n as u8; 100], "byte {at}");
        }
    }
    assert!(seen > 50, "only {seen} changes were seen");
    for wrong in [vec![], b"not a database".to_vec(), vec![0; 1 << 20]] {
        let replaced = with(&disk, "checkpoint.redb", |file| *file = wrong);
        assert_eq!(damage(open(&replaced)).file, "checkpoint.redb");
        assert!(!verified(&replaced.after_kill()).is_sound());
    }
}

#[tokio::test]
async fn an_older_checkpoint_is_noticed() {
    let disk = SimDisk::new(9);
    let store = open(&disk).unwrap();
    put(&store, 0).await;
    store.checkpoint().await;
    let old = disk.content("checkpoint.redb").unwrap();
    for n in 1..300 {
        put(&store, n).await;
        if n % 50 == 0 {
            store.checkpoint().await;
        }
    }
    drop(store);
    let mixed = with(&disk, "checkpoint.redb", |file| *file = old);
    let damage = damage(open(&mixed));
    assert!(damage.file.starts_with("wal-"), "{damage}");
    assert!(!verified(&mixed.after_kill()).is_sound());
}

#[tokio::test]
async fn a_value_that_contains_frames_is_just_a_value() {
    let (other, _) = written(5).await;
    let disk = SimDisk::new(11);
    let store = open(&disk).unwrap();
    let hostile = Bytes::from(other.content(WAL_1).unwrap());
    let value = hostile.clone();
    store.write(Durability::Synced, move |tx| tx.put("hostile", value)).await;
    drop(store);
    let disk = disk.after_kill();
    assert_eq!(open(&disk.after_kill()).unwrap().get(b"hostile").unwrap(), hostile);
    // Torn, it is cut like any other.
    let place = |name: &String| disk.content(name).unwrap().windows(7).position(|part| part == b"hostile");
    let name = disk.list().unwrap().into_iter().find(|name| place(name).is_some()).unwrap();
    let at = place(&name).unwrap();
    let torn = with(&disk, &name, |log| log[at] ^= 1);
    assert_eq!(open(&torn).unwrap().get(b"hostile"), None);
}

/// Whatever is done to the log: it is refused, or the state is that after some prefix of the writes.
#[tokio::test]
async fn no_damage_to_the_log_makes_up_a_state() {
    let disk = SimDisk::new(9);
    let store = open(&disk).unwrap();
    for n in 0..150 {
        put(&store, n).await;
        if n == 70 {
            store.checkpoint().await;
        }
    }
    drop(store);
    let disk = disk.after_kill();
    let logs: Vec<String> =
        disk.list().unwrap().into_iter().filter(|name| name.starts_with("wal-")).collect();
    let mut seed = 3u64;
    let mut below = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    let mut refused = 0;
    for round in 0..1000 {
        let damaged = disk.after_kill();
        for _ in 0..1 + below(3) {
            let name = &logs[below(logs.len())];
            let mut log = damaged.content(name).unwrap();
            let (at, length) = (below(log.len()), below(700));
            let end = log.len().min(at + length);
            match below(4) {
                0 => log[at] ^= 1 << below(8),
                1 => log[at..end].fill(0),
                2 => log.copy_within(at..end, 0),
                _ => log.truncate(at),
            }
            damaged.set_content(name, &log);
        }
        match open(&damaged) {
            Ok(store) => {
                let found = keys(&store);
                assert!(found.len() >= 71, "round {round}: the checkpoint is untouched");
                assert_eq!(found, expected_keys(found.len()), "round {round}");
            }
            Err(OpenError::Damaged(_)) => refused += 1,
            Err(other) => panic!("round {round}: {other}"),
        }
    }
    assert!((300..1000).contains(&refused), "{refused} of 1000 were refused");
}

/// Three writes that were never synced, the first of which is then torn; the next life writes, in their place, frames
/// of the length of the first two. The third lies right behind them, whole, with the sequence that comes next.
#[tokio::test]
async fn a_frame_left_over_from_an_earlier_life_is_never_taken_for_the_next_one() {
    let disk = SimDisk::new(9);
    let store = open(&disk).unwrap();
    put(&store, 1).await;
    let start = disk.content(WAL_1).unwrap().iter().rposition(|byte| *byte != 0).unwrap() / 8 * 8 + 8;
    for key in ["lost1", "lost2", "lost3"] {
        store.write(Durability::Ordered, move |tx| tx.put(key, vec![7; 89])).await;
    }
    drop(store);
    let lost_bytes = (48 + 104) * 2;
    let disk = with(&disk, WAL_1, |log| {
        assert_eq!(
            (&log[start..start + 4], &log[start + lost_bytes..start + lost_bytes + 4]),
            (&b"TrFr"[..], &b"TrFr"[..])
        );
        log[start + 60] ^= 1;
    });
    let store = open(&disk).unwrap();
    assert_eq!(keys(&store), ["key001"]);
    let value = vec![8; lost_bytes - 48 - 48 - 9 - 3];
    store.write(Durability::Synced, move |tx| tx.put("new", value)).await;
    drop(store);
    assert_eq!(disk.content(WAL_1).unwrap()[start + lost_bytes..][..4], b"TrFr"[..]);
    assert_eq!(keys(&open(&disk.after_kill()).unwrap()), ["key001", "new"]);
}

#[tokio::test]
async fn verify_leaves_every_byte_and_time_of_a_real_directory_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = Store::open(RealDisk::create(path).unwrap(), options(), Driver::Inline).unwrap();
    for n in 0..100 {
        put(&store, n).await;
        if n == 50 {
            store.checkpoint().await;
        }
    }
    assert!(matches!(verify_dir(path), Err(OpenError::Locked { .. })), "not while it is in use");
    // Copied while it runs: as a kill would leave it.
    let killed = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), killed.path().join(entry.file_name())).unwrap();
    }
    store.close().await;

    for (path, orderly) in [(path, true), (killed.path(), false)] {
        let before = snapshot(path);
        let report = verify_dir(path).unwrap();
        assert_eq!(snapshot(path), before);
        assert!(report.is_sound(), "{report}");
        assert_eq!(report.notes.is_empty(), orderly, "{report}");
        assert!(report.frames > 30 && report.sequence > report.sequence_checkpoint, "{report}");
    }
    let last = RealDisk::existing(killed.path()).unwrap().list().unwrap().pop().unwrap();
    let name = killed.path().join(last);
    let mut log = std::fs::read(&name).unwrap();
    log[100] ^= 1;
    std::fs::write(&name, log).unwrap();
    let before = snapshot(killed.path());
    let report = verify_dir(killed.path()).unwrap();
    assert!(!report.is_sound() && report.to_string().ends_with("DAMAGED"), "{report}");
    assert_eq!(snapshot(killed.path()), before);
}

#[test]
fn verify_of_nothing_says_so_and_creates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(verify_dir(directory.path()), Err(OpenError::NoStore { .. })));
    assert_eq!(snapshot(directory.path()).len(), 0);
    let none = directory.path().join("none");
    assert!(matches!(verify_dir(&none), Err(OpenError::Io { .. })));
    assert!(!none.exists());
}

fn snapshot(path: &std::path::Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let modified = entry.metadata().unwrap().modified().unwrap();
        (entry.file_name().into_string().unwrap(), (std::fs::read(entry.path()).unwrap(), modified))
    });
    entries.collect()
}
