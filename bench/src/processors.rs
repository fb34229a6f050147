//! What a side takes of the machine: the processor time that requests cost, by the kind of process that it was spent in, and memory.

use std::fs;

use anyhow::{Context, Result};

use crate::machine;

/// The kinds, and what is in the command of each. The first that fits counts.
pub const KINDS: [(&str, &str); 6] = [
    ("HTTP", "http_server"),
    ("messaging", "messaging_nats"),
    ("key-value", "keyvalue_nats"),
    ("NATS", "nats-server"),
    ("host", "wasmcloud_host"),
    ("trellis", "trellis up"),
];

/// Microseconds of each kind since the start, of these processes and of those in groups that they lead.
pub fn spent_us(leaders: &[u32]) -> Result<[f64; KINDS.len()]> {
    let a_second = rustix::param::clock_ticks_per_second() as f64;
    let mut spent = [0.0; KINDS.len()];
    for (pid, stat) in all_of(leaders)? {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = command.replace('\0', " ");
        let kind = KINDS.iter().position(|(_, mark)| command.contains(mark));
        if let Some(spent) = kind.and_then(|kind| spent.get_mut(kind)) {
            *spent += stat.ticks as f64 / a_second * 1e6;
        }
    }
    Ok(spent)
}

/// The resident memory of the same processes together, in MiB.
pub fn resident_mib(leaders: &[u32]) -> Result<f64> {
    // Whatever ends meanwhile is none of ours.
    let each = all_of(leaders)?.into_iter().filter_map(|(pid, _)| machine::resident_mib(pid).ok());
    Ok(each.sum())
}

/// These processes, and those in groups that they lead.
fn all_of(leaders: &[u32]) -> Result<Vec<(u32, Stat)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Whatever ends meanwhile is none of ours.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let stat = Stat::parse(&stat).context("a line of /proc that is none")?;
        if leaders.contains(&pid) || leaders.contains(&stat.group) {
            all.push((pid, stat));
        }
    }
    Ok(all)
}

struct Stat {
    group: u32,
    ticks: u64,
}

impl Stat {
    /// `pid (name) state parent group …`, where the name may contain anything, even `)`.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.rsplit_once(") ")?.1.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self { group: number(2)?.try_into().ok()?, ticks: number(11)? + number(12)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_with_a_hostile_name() {
        let line = "7 (a) b) S 1 42 7 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 1 0 991 0 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.group, stat.ticks), (42, 11));
    }
}
