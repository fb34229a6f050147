//! Processes that outlive this one, and ending exactly those.
//!
//! Each leads a process group, which the providers that a host starts are part of. A process is known by its number and
//! the time at which it started. So a number that was given to something else meanwhile is left alone.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::files;

const POLL: Duration = Duration::from_millis(20);
/// How long a process may take to end by itself. A host gives its providers and requests up to ten seconds.
const TERMINATE: Duration = Duration::from_secs(30);
const KILL: Duration = Duration::from_secs(5);

/// One that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub name: String,
    /// The program with its arguments.
    command: Vec<String>,
    log: PathBuf,
    pid: i32,
    /// In ticks since the machine started, as in /proc.
    started: u64,
}

/// The processes that were started, in a file: whoever comes next can end them.
#[derive(Debug)]
pub struct Processes {
    file: PathBuf,
    all: Vec<Process>,
}

impl Processes {
    pub fn new(file: PathBuf) -> Self {
        Self { file, all: Vec::new() }
    }

    /// None if nothing was started, or all of it was ended.
    pub fn read(file: &Path) -> Result<Option<Self>> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::io("read", file, &error)),
        };
        let all = parse(&text).ok_or_else(|| {
            Failure::new(format!("{} is not what this command wrote", file.display()))
                .remedy("end the processes of the lattice yourself, then remove that file")
        })?;
        Ok(Some(Self { file: file.to_owned(), all }))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.all.iter()
    }

    pub fn is_running(&self, name: &str) -> bool {
        self.iter().any(|process| process.name == name && process.is_running())
    }

    /// What one has said so far.
    pub fn log(&self, name: &str) -> String {
        let log = self.iter().find(|process| process.name == name).map(|process| fs::read(&process.log));
        let bytes = log.and_then(std::result::Result::ok).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The names of those that are hosts: `host-1` …
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|process| process.name.as_str()).filter(|name| name.starts_with("host-"))
    }

    /// Starts it in a group of its own, with its output in `log`, and writes it down.
    pub fn start(&mut self, name: &str, command: Vec<String>, log: PathBuf) -> Result<()> {
        let process = Process { name: name.to_owned(), command, log, pid: 0, started: 0 };
        self.all.push(process.start()?);
        self.write()
    }

    /// Starts one again that has ended. It goes on in the same log.
    pub fn start_again(&mut self, name: &str) -> Result<()> {
        let process = self.get_mut(name)?;
        if process.group_is_running() {
            return Err(Failure::new(format!("{name} is running already")));
        }
        *process = process.start()?;
        self.write()
    }

    /// Ends it as a power cut would, with all that it has started.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        self.get_mut(name)?.end_by(&[(Signal::KILL, KILL)])
    }

    /// Asks it to end, and sees that it does. What it has started ends with it.
    pub fn stop(&mut self, name: &str) -> Result<()> {
        self.get_mut(name)?.end()
    }

    /// Holds it up, with all that it has started, as a machine that swaps does.
    pub fn pause(&mut self, name: &str) -> Result<()> {
        self.get_mut(name)?.signalled(Signal::STOP)
    }

    pub fn resume(&mut self, name: &str) -> Result<()> {
        self.get_mut(name)?.signalled(Signal::CONT)
    }

    /// Ends what is still running, the last first: hosts before what they are connected to.
    pub fn end(&mut self) -> Result<()> {
        while let Some(process) = self.all.pop() {
            process.end()?;
            self.write()?;
        }
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Failure::io("remove", &self.file, &error))
            }
            _ => Ok(()),
        }
    }

    fn get_mut(&mut self, name: &str) -> Result<&mut Process> {
        let process = self.all.iter_mut().find(|process| process.name == name);
        process.ok_or_else(|| Failure::new(format!("there is no process {name} in this lattice")))
    }

    fn write(&self) -> Result<()> {
        let processes = self.all.iter().map(|process| {
            json!({
                "name": process.name, "pid": process.pid, "started": process.started,
                "command": process.command, "log": process.log,
            })
        });
        let text = json!({ "processes": processes.collect::<Vec<_>>() }).to_string();
        files::write_if_changed(&self.file, text.as_bytes()).map(drop)
    }
}

impl Process {
    /// Its number, which is that of its group too.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn is_running(&self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// The same, with the number of the process that was started for it.
    fn start(&self) -> Result<Self> {
        let Self { name, command, log, .. } = self;
        let (program, arguments) =
            command.split_first().ok_or_else(|| Failure::new(format!("{name} has no program")))?;
        let output = fs::File::options().create(true).append(true).open(log);
        let output = output.map_err(|error| Failure::io("open", log, &error))?;
        let errors = output.try_clone().map_err(|error| Failure::io("open", log, &error))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child = command.spawn().map_err(|error| Failure::new(format!("cannot start {name}: {error}")))?;
        let pid = i32::try_from(child.id()).map_err(|_| Failure::new(format!("{name} has no number")))?;
        let started = started(pid).ok_or_else(|| {
            Failure::new(format!("{name} ended at once")).remedy(format!("see {}", log.display()))
        })?;
        Ok(Self { pid, started, ..self.clone() })
    }

    /// By itself, if it does; what is left is killed.
    fn end(&self) -> Result<()> {
        self.end_by(&[(Signal::TERM, TERMINATE), (Signal::KILL, KILL)])
    }

    fn end_by(&self, means: &[(Signal, Duration)]) -> Result<()> {
        for (signal, patience) in means {
            // What is paused hears of a request to end only when it goes on.
            if !self.signal(*signal) || !self.signal(Signal::CONT) {
                return Ok(());
            }
            let deadline = Instant::now() + *patience;
            // Whoever was asked to end may leave others behind.
            while if *signal == Signal::TERM { self.is_running() } else { self.group_is_running() } {
                if Instant::now() >= deadline {
                    break;
                }
                std::thread::sleep(POLL);
            }
        }
        if self.group_is_running() {
            return Err(Failure::new(format!("{} ({}) does not end, even when killed", self.name, self.pid)));
        }
        Ok(())
    }

    fn signalled(&self, signal: Signal) -> Result<()> {
        if self.signal(signal) { Ok(()) } else { Err(Failure::new(format!("{} is not running", self.name))) }
    }

    /// Whether there was anybody to send it to. Only the first of the group is asked to end: a host starts a provider again
    /// that ends by itself.
    fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.group_is_running()) else { return false };
        match signal {
            Signal::TERM => !self.is_running() || kill_process(pid, signal).is_ok(),
            _ => kill_process_group(pid, signal).is_ok(),
        }
    }

    /// Whether it, or what it started, still runs. While anything does, its number is not given to another group.
    fn group_is_running(&self) -> bool {
        match started(self.pid) {
            Some(started) => started == self.started,
            None => members(self.pid).any(|started| started >= self.started),
        }
    }
}

fn parse(text: &str) -> Option<Vec<Process>> {
    let state: Value = serde_json::from_str(text).ok()?;
    let each = state.get("processes")?.as_array()?.iter().map(|process| {
        Some(Process {
            name: process.get("name")?.as_str()?.to_owned(),
            pid: process.get("pid")?.as_i64()?.try_into().ok().filter(|pid| *pid > 1)?,
            started: process.get("started")?.as_u64()?,
            command: words(process.get("command")?)?,
            log: process.get("log")?.as_str()?.into(),
        })
    });
    each.collect()
}

fn words(list: &Value) -> Option<Vec<String>> {
    list.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
}

/// When the process started; None if there is none, or only what its parent has not yet noticed the end of.
fn started(pid: i32) -> Option<u64> {
    Some(stat(pid)?.started)
}

/// When each process of the group started.
fn members(group: i32) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(stat).filter(move |stat| stat.group == group).map(|stat| stat.started)
}

struct Stat {
    group: i32,
    started: u64,
}

/// Of a process that is running, not of one that has ended and is only waited for.
fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (name) state parent group …`, where the name may contain anything, even `)`.
fn parse_stat(line: &str) -> Option<Stat> {
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    Some(Stat { group: fields.get(2)?.parse().ok()?, started: fields.get(19)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(test: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-processes-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_line_of_proc_with_a_hostile_name() {
        let line = "7 (a) b) S 1 42 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 991 0 0";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.group, stat.started), (42, 991));
        assert!(parse_stat(&line.replace(" S ", " Z ")).is_none());
    }

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).into()
    }

    #[test]
    fn what_was_started_is_ended_with_its_children_and_forgotten() {
        let folder = folder("end");
        let file = folder.join("state.json");
        let mut processes = Processes::new(file.clone());
        // The child ignores the signal that the shell dies of.
        let script = shell("(trap '' TERM; exec sleep 600) & wait");
        processes.start("shell", script, folder.join("log")).unwrap();
        let process = processes.all[0].clone();
        assert!(process.is_running());

        let mut read = Processes::read(&file).unwrap().unwrap();
        assert_eq!(read.all, processes.all);
        let means = [(Signal::TERM, Duration::from_millis(200)), (Signal::KILL, KILL)];
        read.all[0].end_by(&means).unwrap();
        assert!(!process.group_is_running());
        read.end().unwrap();
        assert!(Processes::read(&file).unwrap().is_none());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_was_killed_starts_again_and_what_is_paused_ends() {
        let folder = folder("again");
        let mut processes = Processes::new(folder.join("state.json"));
        processes.start("shell", shell("echo here; sleep 600"), folder.join("log")).unwrap();
        let said = || fs::read_to_string(folder.join("log")).unwrap();
        let until = |times: usize| {
            let deadline = Instant::now() + KILL;
            while said() != "here\n".repeat(times) {
                assert!(Instant::now() < deadline, "{}", said());
                std::thread::sleep(POLL);
            }
        };
        until(1);
        assert!(processes.start_again("shell").is_err(), "it is running");
        processes.kill("shell").unwrap();
        assert!(processes.pause("shell").is_err(), "it is not running");
        processes.start_again("shell").unwrap();
        until(2);
        processes.pause("shell").unwrap();
        processes.stop("shell").unwrap();
        assert!(processes.kill("nobody").is_err());
        processes.end().unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_number_that_belongs_to_somebody_else_now_is_left_alone() {
        let mut other = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let pid = i32::try_from(other.id()).unwrap();
        let started = started(pid).unwrap() - 1;
        let (name, log) = ("long gone".to_owned(), PathBuf::new());
        let process = Process { name, command: Vec::new(), log, pid, started };
        assert!(!process.is_running());
        process.end().unwrap();
        assert!(other.try_wait().unwrap().is_none(), "it was ended");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
