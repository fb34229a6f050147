//! What the read models have lost, seen by who looks from time to time.

use trellis_names as names;

use super::consumers::Follower;
use crate::jetstream::{self, StreamError};
use crate::models::offset::{self, Offset};
use crate::models::{generation, kept};
use crate::platform::Fault;

/// What the read models lack and will never be told. Perhaps their bucket was lost. Perhaps a log was lost, and what
/// is stored now has numbers that they know. Or a late write has put an older value over a newer one. Others go on
/// meanwhile, so the order matters: an event is stored, then an offset is noted, then the consumer has finished, and
/// this looks at the last first. Where events keep coming, whoever handles them sees it.
pub(crate) fn what_is_lost(followers: &[Follower]) -> Result<Option<String>, Fault> {
    let active = generation::load()?.active;
    let followers: Vec<&Follower> = followers.iter().filter(|of| of.generation == active).collect();
    let partitions: Vec<_> = followers.iter().map(|of| (of.source, of.partition)).collect();
    let offsets = offset::load_all(active, &partitions)?;
    for (Follower { source, partition, progress, .. }, offset) in followers.into_iter().zip(&offsets) {
        let log = names::log_stream(source);
        let fault = |error: StreamError| error.into_fault(source);
        let come = offset.seq;
        if come > progress.delivered && come > jetstream::last(&log).map_err(fault)? {
            return Ok(Some(format!("the log of {source} has lost event {come}, which was read")));
        }
        if come < progress.floor {
            let next = jetstream::next(&log, &names::partition_subjects(source, *partition), come + 1);
            // What the log itself has forgotten is no loss.
            if next.map_err(fault)?.is_some_and(|event| event.seq <= progress.floor) {
                return Ok(Some(format!("the bucket has lost what was read of {source} after event {come}")));
            }
        }
    }
    overwritten(active, &offsets)
}

/// A value that is older than one that stood there already.
fn overwritten(generation: u64, offsets: &[Offset]) -> Result<Option<String>, Fault> {
    let watched: Vec<_> =
        offsets.iter().flat_map(Offset::watched).filter(|watched| watched.seq > 0).collect();
    let keys: Vec<String> = watched.iter().map(|watched| watched.key.clone()).collect();
    let values = kept::sequences(&keys, generation)?;
    let went_back =
        watched.into_iter().zip(values).find(|(watched, seq)| seq.is_none_or(|seq| seq < watched.seq));
    Ok(went_back.map(|(watched, _)| format!("a late write has put an older value over {}", watched.key)))
}
