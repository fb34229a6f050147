//! How many synced appends per second the store takes, beside what a sync costs on the same disk in the same run.
//!
//! `append [DIRECTORY] [--appends N] [--sustained N]`. The directory (default: a new one under `target`, since `/tmp`
//! is often memory) must not hold a store; it is removed at the end. Prints tables. The sizes can be changed with
//! `MEMTABLE_MB`, `CACHE_MB` and `SEGMENT_MB`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trellis_store::{Driver, Durability, Options, RealDisk, Store};

const VALUE_BYTES: usize = 512;
const STREAMS: usize = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map_or(default, |at| arguments[at + 1].parse().expect("a number"))
    };
    if arguments.first().is_some_and(|argument| argument == "fill-and-die") {
        return fill_and_die(Path::new(&arguments[1]), number("--memtable", 0), number("--appends", 0));
    }
    let parent =
        arguments.first().filter(|a| !a.starts_with("--")).map_or("target/bench-store".into(), PathBuf::from);
    let appends = number("--appends", 200_000);
    let sustained = number("--sustained", 1_500_000);

    let fresh = |name: &str| {
        let directory = parent.join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        directory
    };
    let sync_us = sync_p50_us(&fresh("sync"));
    println!("fdatasync of 600 bytes here: p50 {sync_us} us\n");
    println!(
        "| callers | appends | appends/s | appends per sync | CPU us per append | p50 sync us | mean sync us | time in sync | RSS MB |"
    );
    println!(
        "|--------:|--------:|----------:|-----------------:|------------------:|------------:|-------------:|-------------:|-------:|"
    );
    for (callers, appends) in
        [(1, appends / 20), (16, appends / 2), (64, appends), (256, appends), (256, sustained)]
    {
        if appends > 0 {
            measure(&fresh("append"), callers, appends);
        }
    }
    println!();
    println!("| start after | log read | took |");
    println!("|:--|--:|--:|");
    let million = number("--recovery", 1_000_000);
    if million > 0 {
        recovery(&fresh("recovery"), "default settings", Options::default().memtable_bytes, million);
        recovery(&fresh("recovery"), "nothing checkpointed", 4 << 30, million);
    }
    let _ = std::fs::remove_dir_all(&parent);
}

fn sync_p50_us(directory: &Path) -> u128 {
    let file = File::create(directory.join("probe")).unwrap();
    file.write_all_at(&vec![0; 1 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let mut took: Vec<u128> = (0..1000)
        .map(|n| {
            file.write_all_at(&[7; 600], n * 600).unwrap();
            let started = Instant::now();
            file.sync_data().unwrap();
            started.elapsed().as_micros()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

fn open(directory: &Path, memtable_bytes: usize) -> Store {
    let mb = |name: &str, default: usize| {
        std::env::var(name).map_or(default, |mb| mb.parse::<usize>().expect("megabytes") << 20)
    };
    let defaults = Options::default();
    let options = Options {
        memtable_bytes: mb("MEMTABLE_MB", memtable_bytes),
        cache_bytes: mb("CACHE_MB", defaults.cache_bytes),
        segment_bytes: mb("SEGMENT_MB", defaults.segment_bytes as usize) as u64,
        ..defaults
    };
    Store::open(RealDisk::create(directory).unwrap(), options, Driver::Threads).unwrap()
}

/// Each caller appends to one of the streams, and refuses to append twice.
async fn append_all(store: &Store, callers: u64, appends: u64) {
    let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (store, value) = (store.clone(), value.clone());
            tokio::spawn(async move {
                let stream = caller as usize % STREAMS;
                for n in 0..appends / callers {
                    let key = key(stream, n * callers + caller);
                    let value = value.clone();
                    let new = store.write(Durability::Synced, move |tx| {
                        let new = tx.get(&key).is_none();
                        if new {
                            tx.put(key, value);
                        }
                        new
                    });
                    assert!(new.await, "each key is appended once");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn key(stream: usize, sequence: u64) -> Bytes {
    let mut key = Vec::with_capacity(16);
    key.extend_from_slice(b"SLOG_");
    key.push(b'0' + stream as u8);
    key.push(0);
    key.extend_from_slice(&sequence.to_be_bytes());
    key.into()
}

fn measure(directory: &Path, callers: u64, appends: u64) {
    let runtime = runtime();
    let store = open(directory, Options::default().memtable_bytes);
    let (started, cpu) = (Instant::now(), cpu_time());
    runtime.block_on(append_all(&store, callers, appends));
    let (took, cpu) = (started.elapsed(), cpu_time() - cpu);
    let stats = store.stats();
    runtime.block_on(store.close());
    println!(
        "| {callers} | {appends} | {:.0} | {:.0} | {:.1} | {} | {} | {:.0} % | {} |",
        appends as f64 / took.as_secs_f64(),
        stats.transactions as f64 / stats.syncs as f64,
        cpu.as_secs_f64() * 1e6 / appends as f64,
        median_us(&stats.sync_histogram),
        stats.sync_total.as_micros() / u128::from(stats.syncs),
        100.0 * stats.sync_total.as_secs_f64() / took.as_secs_f64(),
        resident_mb(),
    );
}

fn median_us(histogram: &[u64]) -> String {
    let half = histogram.iter().sum::<u64>() / 2;
    let mut seen = 0;
    for (bucket, count) in histogram.iter().enumerate() {
        seen += count;
        if seen > half {
            return format!("under {}", 1u64 << bucket);
        }
    }
    String::new()
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// User and system time of this process so far.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn fill_and_die(directory: &Path, memtable_bytes: u64, appends: u64) {
    let runtime = runtime();
    let store = open(directory, memtable_bytes as usize);
    runtime.block_on(append_all(&store, 256, appends));
    std::process::abort();
}

fn recovery(directory: &Path, what: &str, memtable_bytes: usize, appends: u64) {
    Command::new(std::env::current_exe().unwrap())
        .args(["fill-and-die".as_ref(), directory.as_os_str()])
        .args(["--memtable", &memtable_bytes.to_string(), "--appends", &appends.to_string()])
        .status()
        .unwrap();
    let store = timed_start(directory, memtable_bytes, &format!("kill -9, {appends} appends, {what}"));
    runtime().block_on(store.close());
    drop(timed_start(directory, memtable_bytes, "closing that in good order"));
}

fn timed_start(directory: &Path, memtable_bytes: usize, after: &str) -> Store {
    let started = Instant::now();
    let store = open(directory, memtable_bytes);
    let took = started.elapsed();
    let read = store.stats().memtable_bytes;
    println!("| {after} | {} MB | {:.0} ms |", read >> 20, took.as_secs_f64() * 1e3);
    store
}
