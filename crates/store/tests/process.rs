//! The store in a process of its own, which is killed, or runs out of disk.
//!
//! The child is this same test binary, told by an environment variable to be one. It prints a line for every answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use trellis_store::{Driver, Durability, Options, Order, RealDisk, Store, verify_dir};

const DIRECTORY: &str = "TRELLIS_STORE_TEST_DIRECTORY";
const FIRST: &str = "TRELLIS_STORE_TEST_FIRST";

fn options() -> Options {
    Options { memtable_bytes: 256 << 10, segment_bytes: 128 << 10, ..Options::default() }
}

fn open(directory: &Path) -> Store {
    Store::open(RealDisk::create(directory).unwrap(), options(), Driver::Threads).unwrap()
}

/// Not a test of its own: appends until it is stopped, and says what was answered.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let store = open(Path::new(&directory));
    runtime.block_on(async {
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let store = store.clone();
                tokio::spawn(async move {
                    // Bounded: whoever forgets to stop us does not fill the disk.
                    for n in 0..20_000 {
                        let number = first + n * 8 + caller;
                        let value = Bytes::from(vec![number as u8; 400]);
                        store
                            .write(Durability::Synced, move |tx| tx.put(number.to_be_bytes().to_vec(), value))
                            .await;
                        writeln!(std::io::stdout(), "\nanswered {number}").unwrap();
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
    });
}

fn start(before: &str, directory: &Path, first: u64) -> std::process::Child {
    Command::new("sh")
        .args(["-c", &format!("{before} exec \"$0\" --exact child --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env(DIRECTORY, directory)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn answered(line: &str) -> Option<u64> {
    line.strip_prefix("answered ")?.parse().ok()
}

/// Everything in `numbers` is there, once, as it was written; and nothing that was not asked for.
fn check(directory: &Path, numbers: &[u64]) -> usize {
    let report = verify_dir(directory).unwrap();
    assert!(report.is_sound(), "{report}");
    let store = open(directory);
    for number in numbers {
        let value = store.get(&number.to_be_bytes());
        assert_eq!(value.as_deref(), Some(&vec![*number as u8; 400][..]), "answered write {number}");
    }
    let count = store.scan(.., Order::Ascending, usize::MAX).len();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.close());
    count
}

#[test]
fn kill_9_loses_nothing_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let mut numbers = vec![];
    for round in 0..10u64 {
        let mut child = start("", directory.path(), round * 1_000_000);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Somewhere else in its work each time.
        let until = 100 + 317 * round as usize;
        numbers.extend(lines.by_ref().filter_map(|line| answered(&line.unwrap())).take(until));
        child.kill().unwrap();
        numbers.extend(lines.filter_map(|line| answered(&line.ok()?)));
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        // At most one write of each caller was on its way.
        let count = check(directory.path(), &numbers);
        assert!((numbers.len()..=numbers.len() + 8 * (round as usize + 1)).contains(&count));
    }
}

#[test]
fn a_full_disk_ends_the_process_with_advice_and_the_next_start_has_everything() {
    let directory = tempfile::tempdir().unwrap();
    // Blocks of 512 bytes: no file beyond 3 MB. The signal that usually comes with it is ignored.
    let mut child = start("trap '' XFSZ; ulimit -f 6144;", directory.path(), 0);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let numbers: Vec<u64> = lines.filter_map(|line| answered(&line.ok()?)).collect();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(6), "it aborts: {errors}");
    assert!(
        errors.contains("trellis: the store failed: ") && errors.contains("The disk is full"),
        "{errors}"
    );
    assert!(errors.contains(directory.path().to_str().unwrap()), "{errors}");
    assert!(numbers.len() > 1000, "{} were answered before", numbers.len());
    check(directory.path(), &numbers);
}
