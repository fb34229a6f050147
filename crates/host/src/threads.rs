//! Threads for requests, each with a runtime of its own. A request stays on the thread that its connection is on, and what it
//! asks of other components is answered there: nobody wakes another thread to be answered.
//!
//! On threads of their own, requests leave events their share of the processors, however many wait, so that read models keep
//! up. Those that compute for long, as a password is hashed, have other threads again, which take what is left: nobody waits
//! behind them.

use std::cell::OnceCell;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

thread_local!(static HERE: OnceCell<Handle> = const { OnceCell::new() });

/// Where requests are handled.
#[derive(Clone, Debug)]
pub struct RequestThreads {
    prompt: Ring,
    patient: Ring,
}

/// Threads of a kind, of which each has its turn.
#[derive(Clone, Debug)]
struct Ring {
    first: Handle,
    others: Arc<[Handle]>,
    turn: Arc<AtomicUsize>,
}

/// The threads themselves, which end when this is dropped. What still waits for something there is cut off.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    /// Each thread has a sender of it, which goes with the thread.
    ended: mpsc::Receiver<()>,
}

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// For whoever waits for an answer.
    Prompt,
    /// For what computes for long, whenever nobody else wants the processor.
    Patient,
}

/// How long a thread that is to end is waited for.
const END_TIME_MAX: Duration = Duration::from_secs(1);

impl RequestThreads {
    /// Starts so many threads, and as many patient ones.
    pub fn start(count: NonZeroUsize) -> io::Result<(RequestThreads, Running)> {
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = mpsc::channel();
        let running = Running { stop, ended };
        let ring = |pace| Ring::of(count, || one(pace, stopped.clone(), end.clone()));
        Ok((RequestThreads { prompt: ring(Pace::Prompt)?, patient: ring(Pace::Patient)? }, running))
    }

    /// The thread that this is called on if it is one for requests, and the next in turn if not.
    pub(crate) fn here_or_next(&self) -> Handle {
        HERE.with(|here| here.get().cloned()).unwrap_or_else(|| self.next().clone())
    }

    /// Each in turn.
    pub(crate) fn next(&self) -> &Handle {
        self.prompt.next()
    }

    /// Each of the patient ones in turn.
    pub(crate) fn patient(&self) -> &Handle {
        self.patient.next()
    }
}

impl Ring {
    fn of(count: NonZeroUsize, start: impl Fn() -> io::Result<Handle>) -> io::Result<Ring> {
        let first = start()?;
        let others = (1..count.get()).map(|_| start()).collect::<io::Result<_>>()?;
        Ok(Ring { first, others, turn: Arc::default() })
    }

    fn next(&self) -> &Handle {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % (self.others.len() + 1);
        turn.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first)
    }
}

fn one(pace: Pace, mut stopped: watch::Receiver<bool>, end: mpsc::Sender<()>) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let name = match pace {
        Pace::Prompt => "trellis-requests",
        Pace::Patient => "trellis-patient",
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        match pace {
            Pace::Prompt => HERE.with(|here| _ = here.set(runtime.handle().clone())),
            Pace::Patient => give_way(),
        }
        // A sender that is gone means the same.
        runtime.block_on(async { _ = stopped.wait_for(|stopped| *stopped).await });
        runtime.shutdown_timeout(END_TIME_MAX);
        drop(end);
    })?;
    Ok(handle)
}

/// Lets every other thread go first. On Linux this is for the thread alone that calls it; elsewhere it would be for the process,
/// and the thread goes on as any other.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, GIVES_WAY) {
        tracing::warn!(%error, "what computes for long cannot give way to what does not");
    }
}

/// A tenth of a processor that everybody wants is left to it: whoever signs in waits, and not for ever.
#[cfg(target_os = "linux")]
const GIVES_WAY: i32 = 10;

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // Nobody sends: this is over when the last sender is gone, or the time.
        let _ = self.ended.recv_timeout(END_TIME_MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    fn here() -> ThreadId {
        std::thread::current().id()
    }

    #[tokio::test]
    async fn what_a_request_leads_to_stays_on_its_thread() {
        let (threads, _running) = RequestThreads::start(NonZeroUsize::new(3).unwrap()).unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let led_to = threads.clone();
            let request = threads.here_or_next().spawn(async move {
                let asked = led_to.here_or_next().spawn(async { here() });
                (here(), asked.await.unwrap())
            });
            let (asking, asked) = request.await.unwrap();
            assert_eq!(asking, asked);
            assert!(asking != here() && !seen.contains(&asking), "not the next in turn");
            seen.push(asking);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_computes_for_long_gives_way_and_what_it_leads_to_does_not() {
        let (threads, _running) = RequestThreads::start(NonZeroUsize::MIN).unwrap();
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let led_to = threads.clone();
        let long = threads.patient().spawn(async move {
            let asked = led_to.here_or_next().spawn(async move { priority() });
            (priority(), asked.await.unwrap())
        });
        assert_eq!(long.await.unwrap(), (GIVES_WAY, priority()));
    }

    #[tokio::test]
    async fn what_waits_is_cut_off_when_the_threads_end() {
        let (threads, running) = RequestThreads::start(NonZeroUsize::new(2).unwrap()).unwrap();
        let waiting = [
            threads.next().spawn(std::future::pending::<()>()),
            threads.next().spawn(std::future::pending()),
        ];
        drop(running);
        for waiting in waiting {
            assert!(waiting.await.unwrap_err().is_cancelled());
        }
    }
}
