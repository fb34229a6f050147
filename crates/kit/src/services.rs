//! [Other services](Others), as one that looks at all sees them: who listens, and what is on its way to whom.

use std::time::Duration;

use trellis_names as names;

use crate::descriptor::Described;
use crate::jetstream::{self, StreamError};
use crate::platform::{self, Fault, Platform};

pub use crate::jetstream::{ConsumerState, LATELY, StreamState};

/// How long one service may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// What came of asking a service whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    Answers,
    /// Nobody listens on its name.
    Nobody,
    /// It did not answer, but somebody listens, or it is not known whether.
    Silent,
}

/// All services, for one that looks at them.
#[derive(Debug, Clone, Copy)]
pub struct Others(());

impl Others {
    /// That `S` looks at them stands in its [`WATCHES`](crate::Service::WATCHES), or this does not compile.
    pub fn of<S: Described>() -> Self {
        const { assert!(S::DESCRIPTOR.watches) };
        Self(())
    }

    /// Asks services whether they are there, for a time; those at the end of the list that is returned were not asked and are
    /// not in it. Where the asking begins is left to chance, so that in time every service is asked.
    pub fn ask_around(self, mut names: Vec<String>, time: Duration) -> Vec<(String, Listening)> {
        let platform = platform::current();
        let start = platform.random().checked_rem(names.len() as u64).unwrap_or(0);
        names.rotate_left(usize::try_from(start).unwrap_or(0));
        let deadline = platform.elapsed() + time;
        let in_time = names.into_iter().take_while(|_| platform.elapsed() < deadline);
        let asked = in_time.map(|name| {
            let listening = listening(&name);
            (name, listening)
        });
        asked.collect()
    }

    /// What a service's stream holds and who follows it; none if there is no such stream.
    pub fn stream(self, service: &str) -> Result<Option<StreamState>, Fault> {
        match jetstream::state(&names::log_stream(service)) {
            Ok(state) => Ok(Some(state)),
            Err(StreamError::NoStream) => Ok(None),
            Err(error) => Err(error.into_fault(service)),
        }
    }

    /// How many events a service could not handle.
    pub fn dead_letters(self, service: &str) -> Result<u64, Fault> {
        match jetstream::messages(&names::dead_stream(service)) {
            Ok(messages) => Ok(messages),
            Err(StreamError::NoStream) => Ok(0),
            Err(error) => Err(error.into_fault(service)),
        }
    }
}

fn listening(service: &str) -> Listening {
    match platform::current().request(&names::ping_subject(service), b"", PATIENCE) {
        Ok(_) => Listening::Answers,
        Err(Fault::Nobody { .. }) => Listening::Nobody,
        Err(_) => Listening::Silent,
    }
}

/// The service that alone says on this subject what it is.
pub fn who_says_hello(subject: &str) -> Option<&str> {
    names::parse_hello(subject)
}
