//! Who runs the writer: threads of its own, a task of the caller's runtime, or each caller in turn.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::checkpoint::LogPosition;
use crate::error::Fatal;
use crate::frame::Kind;
use crate::log::PrepareJob;
use crate::shared::Shared;
use crate::writer::{BATCH_TRANSACTIONS_MAX, Frozen, Write, Writer};

/// The writer, to be run to its end.
pub type WriterTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who runs the writer.
pub enum Driver {
    /// A thread that writes, one that checkpoints, and one that prepares segments of the log. For production.
    Threads,
    /// The caller's own runtime, which gets the future to spawn. Checkpoints are made in it too. Nothing but the
    /// order in which that runtime polls decides what happens, so a simulation is deterministic.
    Task(Box<dyn FnOnce(WriterTask) + Send>),
    /// Every write runs at once, in its caller. There is no group commit and no timer.
    Inline,
}

impl Driver {
    /// The ambient tokio runtime.
    pub fn tokio_task() -> Driver {
        Driver::Task(Box::new(|task| {
            tokio::spawn(task);
        }))
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Threads => "Threads",
            Driver::Task(_) => "Task",
            Driver::Inline => "Inline",
        })
    }
}

pub(crate) enum Request {
    Write(Write),
    Checkpoint(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// Where requests go in.
#[derive(Clone)]
pub(crate) enum Entrance {
    Queue(mpsc::Sender<Request>),
    Inline(Arc<Mutex<Option<Writer>>>),
}

impl Entrance {
    /// If the store has failed or is closed, the request is dropped, and with it the channel of its answer.
    pub(crate) async fn send(&self, request: Request) {
        match self {
            Entrance::Queue(queue) => {
                let _ = queue.send(request).await;
            }
            Entrance::Inline(writer) => run_inline(&mut writer.lock(), request),
        }
    }
}

/// What the drivers take from the options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub queue: usize,
    pub settle: Duration,
}

pub(crate) fn start(mut writer: Writer, driver: Driver, timing: Timing) -> io::Result<Entrance> {
    if let Driver::Inline = driver {
        return Ok(Entrance::Inline(Arc::new(Mutex::new(Some(writer)))));
    }
    let (sender, inbox) = mpsc::channel(timing.queue);
    match driver {
        Driver::Inline => {}
        Driver::Task(spawn) => {
            spawn(Box::pin(Loop::new(writer, inbox, Checkpointer::Here, timing).run()));
        }
        Driver::Threads => {
            let checkpointer = checkpoint_thread()?;
            writer.prepare_by(segment_thread()?);
            // The timer for settling is all this runtime is for; the writer's syncs block its thread, as they should.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            let writer_loop = Loop::new(writer, inbox, checkpointer, timing);
            std::thread::Builder::new()
                .name("trellis-writer".to_owned())
                .spawn(move || runtime.block_on(writer_loop.run()))?;
        }
    }
    Ok(Entrance::Queue(sender))
}

fn run_inline(slot: &mut Option<Writer>, request: Request) {
    let Some(writer) = slot.as_mut() else { return };
    let closes = matches!(request, Request::Close(_));
    let (result, answer) = match request {
        Request::Write(write) => {
            let committed = writer.commit(&mut VecDeque::from([write]));
            let full = |()| if writer.is_full() { checkpoint_here(writer) } else { Ok(()) };
            (committed.and_then(full), None)
        }
        Request::Checkpoint(answer) => (checkpoint_here(writer), Some(answer)),
        Request::Close(answer) => {
            let checkpointed = checkpoint_here(writer);
            (checkpointed.and_then(|()| writer.settle(Kind::Closed)), Some(answer))
        }
    };
    if let Err(fatal) = &result {
        writer.shared.fatal(fatal);
    }
    if result.is_err() || closes {
        *slot = None;
    }
    if let (Ok(()), Some(answer)) = (result, answer) {
        let _ = answer.send(());
    }
}

fn checkpoint_here(writer: &mut Writer) -> Result<(), Fatal> {
    if !writer.has_entries() {
        return Ok(());
    }
    let frozen = writer.freeze()?;
    writer.shared.checkpoint(frozen.memtable, &frozen.position)?;
    writer.checkpointed(&frozen.position)
}

/// Who makes checkpoints.
enum Checkpointer {
    Here,
    Thread(std::sync::mpsc::Sender<CheckpointJob>),
}

struct CheckpointJob {
    shared: Arc<Shared>,
    frozen: Frozen,
    done: oneshot::Sender<Result<LogPosition, Fatal>>,
}

fn checkpoint_thread() -> io::Result<Checkpointer> {
    let (sender, jobs) = std::sync::mpsc::channel::<CheckpointJob>();
    std::thread::Builder::new().name("trellis-checkpoint".to_owned()).spawn(move || {
        for CheckpointJob { shared, frozen, done } in jobs {
            let position = frozen.position;
            let result = shared.checkpoint(frozen.memtable, &position).map(|()| position);
            // Whoever hears that it is done may go on to give the directory away.
            drop(shared);
            let _ = done.send(result);
        }
    })?;
    Ok(Checkpointer::Thread(sender))
}

fn segment_thread() -> io::Result<std::sync::mpsc::Sender<PrepareJob>> {
    let (sender, jobs) = std::sync::mpsc::channel::<PrepareJob>();
    std::thread::Builder::new()
        .name("trellis-segments".to_owned())
        .spawn(move || jobs.into_iter().for_each(PrepareJob::run))?;
    Ok(sender)
}

/// The writer with a queue in front and a clock beside it.
struct Loop {
    writer: Writer,
    inbox: mpsc::Receiver<Request>,
    timing: Timing,
    checkpointer: Checkpointer,
    /// The checkpoint that is being made. There is at most one, as there is at most one frozen memtable.
    running: Option<oneshot::Receiver<Result<LogPosition, Fatal>>>,
    settle_at: Option<Instant>,
}

enum Event {
    Received(usize),
    Checkpointed(Result<LogPosition, Fatal>),
    Settle,
}

impl Loop {
    fn new(
        writer: Writer,
        inbox: mpsc::Receiver<Request>,
        checkpointer: Checkpointer,
        timing: Timing,
    ) -> Loop {
        Loop { writer, inbox, timing, checkpointer, running: None, settle_at: None }
    }

    /// Runs until closed, until nobody can send any more, or until the disk fails.
    async fn run(mut self) {
        match self.serve().await {
            Ok(closed) => {
                // The directory is free, as far as the writer is concerned, before anybody hears that it is.
                drop(self);
                if let Some(closed) = closed {
                    let _ = closed.send(());
                }
            }
            Err(fatal) => self.writer.shared.fatal(&fatal),
        }
    }

    async fn serve(&mut self) -> Result<Option<oneshot::Sender<()>>, Fatal> {
        let mut received = Vec::with_capacity(BATCH_TRANSACTIONS_MAX);
        let mut writes = VecDeque::with_capacity(BATCH_TRANSACTIONS_MAX);
        loop {
            match self.next(&mut received).await {
                Event::Checkpointed(result) => self.writer.checkpointed(&result?)?,
                Event::Settle => {
                    self.writer.settle(Kind::Settled)?;
                    self.settle_at = None;
                }
                Event::Received(0) => {
                    self.stop().await?;
                    return Ok(None);
                }
                Event::Received(_) => {
                    for request in received.drain(..) {
                        match request {
                            Request::Write(write) => writes.push_back(write),
                            Request::Checkpoint(answer) => {
                                self.commit(&mut writes).await?;
                                self.checkpoint_to_the_end().await?;
                                let _ = answer.send(());
                            }
                            Request::Close(answer) => {
                                self.commit(&mut writes).await?;
                                self.stop().await?;
                                return Ok(Some(answer));
                            }
                        }
                    }
                    self.commit(&mut writes).await?;
                }
            }
        }
    }

    async fn next(&mut self, received: &mut Vec<Request>) -> Event {
        let settle_at = self.settle_at;
        let settle = async move {
            match settle_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = checkpointed(&mut self.running) => Event::Checkpointed(result),
            count = self.inbox.recv_many(received, BATCH_TRANSACTIONS_MAX) => Event::Received(count),
            () = settle => Event::Settle,
        }
    }

    async fn commit(&mut self, writes: &mut VecDeque<Write>) -> Result<(), Fatal> {
        while !writes.is_empty() {
            let unsynced_before = self.settle_at.is_some();
            let synced_before = self.writer.durable();
            self.writer.commit(writes)?;
            if self.writer.is_settled() {
                self.settle_at = None;
            } else if !unsynced_before || self.writer.durable() != synced_before {
                self.settle_at = Some(Instant::now() + self.timing.settle);
            }
            if self.writer.is_full() {
                self.start_checkpoint().await?;
            }
        }
        Ok(())
    }

    /// With the other memtable still on its way to the checkpoint, this waits: that is the back-pressure.
    async fn start_checkpoint(&mut self) -> Result<(), Fatal> {
        self.finish_checkpoint().await?;
        if !self.writer.has_entries() {
            return Ok(());
        }
        match &self.checkpointer {
            Checkpointer::Here => checkpoint_here(&mut self.writer),
            Checkpointer::Thread(jobs) => {
                let (done, running) = oneshot::channel();
                // A thread that is gone shows as a checkpoint that is never done.
                let (shared, frozen) = (self.writer.shared.clone(), self.writer.freeze()?);
                let _ = jobs.send(CheckpointJob { shared, frozen, done });
                self.running = Some(running);
                Ok(())
            }
        }
    }

    async fn finish_checkpoint(&mut self) -> Result<(), Fatal> {
        if self.running.is_some() {
            let position = checkpointed(&mut self.running).await?;
            self.writer.checkpointed(&position)?;
        }
        Ok(())
    }

    async fn checkpoint_to_the_end(&mut self) -> Result<(), Fatal> {
        self.start_checkpoint().await?;
        self.finish_checkpoint().await
    }

    async fn stop(&mut self) -> Result<(), Fatal> {
        self.checkpoint_to_the_end().await?;
        self.writer.settle(Kind::Closed)
    }
}

/// The outcome of the running checkpoint; never, if there is none.
async fn checkpointed(
    running: &mut Option<oneshot::Receiver<Result<LogPosition, Fatal>>>,
) -> Result<LogPosition, Fatal> {
    let Some(receiver) = running else { return std::future::pending().await };
    let result = receiver.await;
    *running = None;
    result.unwrap_or_else(|_| {
        let source = io::Error::other("the thread that makes it has ended");
        Err(Fatal::new("store", "make a checkpoint", source))
    })
}
