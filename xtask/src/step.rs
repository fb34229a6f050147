//! One line per step with the time it took, and which one failed.

use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

#[derive(Debug)]
pub struct Steps {
    started: Instant,
    current: Option<(String, Instant)>,
    done: Vec<(String, Duration)>,
}

impl Steps {
    pub fn start() -> Self {
        Self { started: Instant::now(), current: None, done: Vec::new() }
    }

    /// Runs one step. Its own output passes through; a line with its time follows. After a failure the step stays
    /// current, so that `report_failure` can name it.
    pub fn run<T>(&mut self, name: impl Into<String>, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (name, started) = (name.into(), Instant::now());
        self.current = Some((name.clone(), started));
        let value = work()?;
        self.current = None;
        eprintln!("xtask: {name}: {}", seconds(started.elapsed()));
        self.done.push((name, started.elapsed()));
        Ok(value)
    }

    /// As `run`, for what may take minutes: says first what it is about to do.
    pub fn run_long<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("xtask: {name} ...");
        self.run(name, work)
    }

    /// Every step with its time, for the end of a long command.
    pub fn summary(&self) {
        let width = self.done.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        eprintln!();
        for (name, elapsed) in &self.done {
            eprintln!("  {name:width$}  {:>9}", seconds(*elapsed));
        }
        eprintln!("  {:width$}  {:>9}", "all", seconds(self.started.elapsed()));
    }

    pub fn report_failure(&self, failure: &Failure) {
        match &self.current {
            Some((name, started)) => {
                eprintln!("\nxtask: {name}: FAILED after {}\n{failure}", seconds(started.elapsed()));
            }
            None => eprintln!("\nxtask: FAILED\n{failure}"),
        }
    }
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}
