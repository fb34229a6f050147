//! What this machine can do at best, measured beside every figure, since a figure alone says little.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

/// One line that names the machine.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let cpu = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|info| {
            let line = info.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown processor".into());
    format!("{cores} cores, {cpu}")
}

/// The median of overwriting 4 KiB in place and syncing it, in microseconds: what one durable answer cannot be faster than.
pub fn fdatasync_p50_us(directory: &Path) -> Result<u32> {
    const ROUNDS: usize = 500;
    let path = directory.join("fdatasync.probe");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
    let block = [7_u8; 4096];
    for n in 0..64 {
        file.write_all_at(&block, n * 4096)?;
    }
    file.sync_all()?;
    let mut rounds_us: Vec<u32> = Vec::with_capacity(ROUNDS);
    for n in 0..ROUNDS {
        let started = Instant::now();
        file.write_all_at(&block, (n as u64 % 64) * 4096)?;
        file.sync_data()?;
        rounds_us.push(started.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
    }
    std::fs::remove_file(&path)?;
    rounds_us.sort_unstable();
    rounds_us.get(ROUNDS / 2).copied().context("no round was measured")
}

/// The resident memory of a process, in MiB.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS in the status")?;
    let kib: f64 = line.split_whitespace().nth(1).context("VmRSS without a number")?.parse()?;
    Ok(kib / 1024.0)
}
