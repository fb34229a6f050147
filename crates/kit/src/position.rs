//! Positions: `posts:3:1041` is event 1041 of the log of posts, in partition 3.
//!
//! A write is answered with the position of its event, as `Trellis-Position`. A read that brings it back, as a header
//! or as `?position=`, waits until the read models have that event. So whoever has written reads it, though nobody
//! else waits.

use std::fmt;
use std::str::FromStr;

use trellis_names as names;

use crate::problem::Problem;
use crate::{id, jetstream};

/// The header that a write is answered with, and the read that should see it brings back.
pub const HEADER: &str = "trellis-position";
/// The same in a query, for a page that a browser is sent to.
pub(crate) const QUERY: &str = "position";
/// The most positions that one request may bring.
const WANTED_MAX: usize = 16;

/// Where an event is in the log of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub service: String,
    pub partition: u32,
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.service, self.partition, self.seq)
    }
}

impl FromStr for Position {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad =
            || Problem::malformed("A position is <service>:<partition>:<number>, as a write was answered.");
        let mut words = text.trim().split(':');
        let (Some(service), Some(partition), Some(seq), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad());
        };
        if !id::is_valid(service) {
            return Err(bad());
        }
        let (partition, seq) = (partition.parse().map_err(|_| bad())?, seq.parse().map_err(|_| bad())?);
        Ok(Self { service: service.to_owned(), partition, seq })
    }
}

impl Position {
    /// Whether the log has such an event. Anybody can name any position, and none is waited for that nobody was answered.
    pub fn is_stored(&self) -> bool {
        match jetstream::get(&names::log_stream(&self.service), self.seq) {
            Ok(event) => event
                .is_some_and(|event| names::is_in_partition(&event.subject, &self.service, self.partition)),
            // Whoever was answered must not suffer for a server that is busy.
            Err(_) => true,
        }
    }
}

/// Reads positions that are divided by commas.
pub(crate) fn parse(text: &str) -> Result<Vec<Position>, Problem> {
    if text.split(',').count() > WANTED_MAX {
        return Err(Problem::malformed(format!("A request may bring {WANTED_MAX} positions.")));
    }
    text.split(',').map(str::parse).collect()
}
