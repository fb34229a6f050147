//! The store as its users see it, on real directories and with every driver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use trellis_store::{Disk, Driver, Durability, OpenError, Options, Order, RealDisk, SimDisk, Store};

fn small() -> Options {
    Options { memtable_bytes: 64 << 10, segment_bytes: 32 << 10, cache_bytes: 1 << 20, ..Options::default() }
}

async fn put(store: &Store, key: impl Into<Bytes>, value: impl Into<Bytes>) {
    let (key, value) = (key.into(), value.into());
    store.write(Durability::Synced, move |tx| tx.put(key, value)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_many_callers_each_append_once_and_all_of_it_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let disk = || RealDisk::create(directory.path()).unwrap();
    let store = Store::open(disk(), small(), Driver::Threads).unwrap();
    let callers: Vec<_> = (0..32)
        .map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..100 {
                    // Two callers race for each number; one of them wins.
                    let key = format!("S{:02}/{n:05}", caller / 2);
                    let value = Bytes::from(vec![caller as u8; 300]);
                    let found = Bytes::from(key.clone());
                    let won = store
                        .write(Durability::Synced, move |tx| {
                            let free = tx.get(&found).is_none();
                            if free {
                                tx.put(found, value);
                            }
                            free
                        })
                        .await;
                    let seen = store.get(key.as_bytes()).expect("an answered write is visible");
                    assert_eq!(won, seen[0] == caller as u8);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(store.stats().checkpoints > 0, "the test is large enough for checkpoints");
    let before = store.scan(.., Order::Ascending, usize::MAX);
    assert_eq!(before.len(), 1600);
    store.close().await;

    let store = Store::open(disk(), small(), Driver::Threads).unwrap();
    assert_eq!(store.scan(.., Order::Ascending, usize::MAX), before);
    store.close().await;
}

#[tokio::test]
async fn a_counter_loses_no_increment() {
    for driver in [Driver::Threads, Driver::tokio_task(), Driver::Inline] {
        let store = Store::open(SimDisk::new(1), small(), driver).unwrap();
        let callers: Vec<_> = (0..64)
            .map(|caller| {
                let store = store.clone();
                tokio::spawn(async move {
                    let durability = if caller % 3 == 0 { Durability::Ordered } else { Durability::Synced };
                    for _ in 0..20 {
                        store
                            .write(durability, |tx| {
                                let old =
                                    tx.get(b"n").map_or(0, |n| u64::from_le_bytes(n[..].try_into().unwrap()));
                                tx.put("n", Bytes::copy_from_slice(&(old + 1).to_le_bytes()));
                            })
                            .await;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        assert_eq!(store.get(b"n").unwrap()[..], (64 * 20u64).to_le_bytes());
        store.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_sync_serves_all_who_wait() {
    let disk = SimDisk::new(1);
    let store = Store::open(disk.clone(), Options::default(), Driver::tokio_task()).unwrap();
    let before = disk.syncs();
    let writes = (0..100).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { put(&store, format!("{n}"), "x").await })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap();
    }
    assert!(disk.syncs() - before <= 3, "{} syncs for 100 writes", disk.syncs() - before);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_sees_its_own_changes_over_those_of_its_batch_over_what_is_durable() {
    let store = Store::open(SimDisk::new(1), Options::default(), Driver::tokio_task()).unwrap();
    for key in ["a", "b", "c", "d"] {
        put(&store, key, "durable").await;
    }
    let first = store.write(Durability::Synced, |tx| {
        tx.put("b", "batch");
        tx.put("c", "batch");
        tx.delete(b"d");
    });
    let second = store.write(Durability::Synced, |tx| {
        tx.put("c", "own");
        tx.delete(b"a");
        let found = tx.scan(.., Order::Ascending, 10);
        assert!(found.iter().all(|(key, value)| tx.get(key).as_ref() == Some(value)));
        (found, tx.get(b"a"), tx.get(b"d"))
    });
    let batches = store.stats().batches;
    let ((), (found, a, d)) = tokio::join!(first, second);
    assert_eq!(store.stats().batches, batches + 1, "both were in one batch");
    let entry = |key: &'static str, value: &'static str| (Bytes::from(key), Bytes::from(value));
    assert_eq!(found, [entry("b", "batch"), entry("c", "own")]);
    assert_eq!((a, d), (None, None));
    assert_eq!(store.scan(.., Order::Descending, 10), [entry("c", "own"), entry("b", "batch")]);
}

#[tokio::test]
async fn closing_leaves_nothing_to_read_and_nothing_in_doubt() {
    for driver in [Driver::Threads, Driver::tokio_task(), Driver::Inline] {
        let disk = SimDisk::new(1);
        let what = format!("{driver:?}");
        let store = Store::open(disk.clone(), Options::default(), driver).unwrap();
        store.write(Durability::Ordered, |tx| tx.put("k", "v")).await;
        store.close().await;
        let report = trellis_store::verify(&disk.after_crash(0)).unwrap();
        assert!(report.is_sound() && report.notes.is_empty(), "{what}: {report}");
        assert_eq!((report.entries, report.sequence), (1, report.sequence_checkpoint + 1), "{what}");
    }
}

#[tokio::test]
async fn a_write_that_panics_changes_nothing_and_only_its_caller_notices() {
    let store = Store::in_memory();
    let failing = store.clone();
    let outcome = tokio::spawn(async move {
        failing
            .write(Durability::Synced, |tx| {
                tx.put("k", "v");
                assert!(tx.get(b"k").is_none(), "on purpose");
            })
            .await;
    });
    assert!(outcome.await.unwrap_err().is_panic());
    assert_eq!(store.get(b"k"), None);
    put(&store, "k", "w").await;
    assert_eq!(store.get(b"k").unwrap(), "w");
}

#[tokio::test]
async fn a_transaction_beyond_the_largest_frame_is_refused_whole() {
    let store = Store::in_memory();
    let failing = store.clone();
    let outcome = tokio::spawn(async move { put(&failing, "k", vec![0; 33 << 20]).await });
    assert!(outcome.await.unwrap_err().is_panic());
    assert_eq!(store.get(b"k"), None);
    put(&store, "k", vec![7; 3 << 20]).await;
    assert_eq!(store.get(b"k").unwrap().len(), 3 << 20);
}

#[tokio::test]
async fn a_second_process_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_dir(directory.path()).unwrap();
    let refused = Store::open_dir(directory.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }));
    let name = directory.path().canonicalize().unwrap().display().to_string();
    assert!(refused.to_string().starts_with(&format!("{name} is in use by another process")), "{refused}");
    store.close().await;
    Store::open_dir(directory.path()).unwrap().close().await;
}

#[tokio::test]
async fn a_newer_versions_directory_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    Store::open_dir(directory.path()).unwrap().close().await;
    std::fs::write(directory.path().join("format"), "trellis-store 2\nwhatever comes\n").unwrap();
    let refused = Store::open_dir(directory.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }));
    assert!(
        refused.to_string().contains("newer version (format 2; this program knows up to 1)"),
        "{refused}"
    );
}

/// A store whose failure is observed instead of ending the process.
fn observed(capacity: u64) -> (SimDisk, Options, Arc<parking_lot::Mutex<Vec<String>>>) {
    let disk = SimDisk::new(3);
    disk.set_capacity(Some(capacity));
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let teller = told.clone();
    let on_fatal = Arc::new(move |fatal: &trellis_store::Fatal| teller.lock().push(fatal.to_string()));
    (disk, Options { on_fatal, ..small() }, told)
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_ends_it_with_a_message_and_loses_nothing_that_was_answered() {
    let (disk, options, told) = observed(3 << 20);
    let store = Store::open(disk.clone(), options.clone(), Driver::tokio_task()).unwrap();
    let mut answered = 0;
    for n in 0..100_000u32 {
        let write = put(&store, n.to_be_bytes().to_vec(), vec![1; 1000]);
        if tokio::time::timeout(Duration::from_secs(60), write).await.is_err() {
            break;
        }
        answered = n + 1;
    }
    assert!(answered > 100 && answered < 100_000, "the disk got full after {answered}");
    let told = told.lock().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("simulated disk: cannot "), "{}", told[0]);
    assert!(told[0].contains("The disk is full: free space there"), "{}", told[0]);
    drop(store);

    let disk = disk.after_kill();
    let store = Store::open(disk, options, Driver::Inline).unwrap();
    assert!(store.scan(.., Order::Ascending, usize::MAX).len() >= answered as usize);
}

#[tokio::test(start_paused = true)]
async fn a_failed_sync_is_never_tried_again() {
    let (disk, options, told) = observed(100 << 20);
    let store = Store::open(disk.clone(), options, Driver::tokio_task()).unwrap();
    put(&store, "a", "1").await;
    // The write succeeds, the sync does not.
    disk.crash_at(disk.changes() + 2);
    let answered = Arc::new(AtomicBool::new(false));
    for _ in 0..3 {
        let (store, answered) = (store.clone(), answered.clone());
        tokio::spawn(async move {
            put(&store, "b", "2").await;
            answered.store(true, SeqCst);
        });
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!answered.load(SeqCst));
    assert_eq!(store.get(b"b"), None, "what is not durable is not seen");
    let told = told.lock().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("cannot sync the log (wal-0000000001)"), "{}", told[0]);
    assert!(disk.has_crashed());
}

#[tokio::test(start_paused = true)]
async fn a_write_without_sync_is_seen_at_once_and_durable_after_the_settling_time() {
    let disk = SimDisk::new(5);
    let store = Store::open(disk.clone(), Options::default(), Driver::tokio_task()).unwrap();
    let syncs = disk.syncs();
    store.write(Durability::Ordered, |tx| tx.put("k", "v")).await;
    assert_eq!(store.get(b"k").unwrap(), "v");
    assert_eq!(disk.syncs(), syncs);
    assert!(store.stats().sequence > store.stats().sequence_durable);

    tokio::time::sleep(Duration::from_millis(51)).await;
    assert_eq!(store.stats().sequence, store.stats().sequence_durable);
    let reopened = Store::open(disk.after_crash(0), Options::default(), Driver::Inline).unwrap();
    assert_eq!(reopened.get(b"k").unwrap(), "v");
    let idle = disk.changes();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(disk.changes(), idle, "an idle store writes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_steady_stream_of_writes_without_sync_is_synced_all_the_same() {
    let disk = SimDisk::new(5);
    let store = Store::open(disk.clone(), Options::default(), Driver::tokio_task()).unwrap();
    for n in 0..100u32 {
        store.write(Durability::Ordered, move |tx| tx.put(n.to_be_bytes().to_vec(), "v")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let behind = store.stats().sequence - store.stats().sequence_durable;
        assert!(behind <= 6, "{behind} writes in {} ms are not durable", behind * 10);
    }
}

#[tokio::test]
async fn foreign_files_in_the_directory_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["README", "wal-1", "wal-0000000001.bak", "components"] {
        std::fs::write(directory.path().join(name), name).unwrap();
    }
    Store::open_dir(directory.path()).unwrap().close().await;
    Store::open_dir(directory.path()).unwrap().close().await;
    let names = RealDisk::existing(directory.path()).unwrap().list().unwrap();
    for name in ["README", "wal-1", "wal-0000000001.bak", "components"] {
        assert!(names.iter().any(|other| other == name), "{names:?}");
    }
}
