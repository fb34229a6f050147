//! The partitions of what a service follows, as far as the sources exist by now.

use std::collections::{BTreeMap, BTreeSet};

use trellis_names as names;

use crate::descriptor::Descriptor;
use crate::jetstream::{self, StreamError};
use crate::platform::Fault;

/// Which sources there are, and how many partitions each has.
pub(crate) type Partitions = BTreeMap<String, u32>;

/// Every partition of every source of the read models.
pub(crate) fn projected(service: &Descriptor) -> Result<Vec<(&'static str, u32)>, Fault> {
    partitions_of(service.projected.iter().map(|followed| followed.source))
}

/// Every partition of every source of the reactions.
pub(crate) fn reacted_to(service: &Descriptor) -> Result<Vec<(&'static str, u32)>, Fault> {
    partitions_of(service.reacted_to.iter().map(|followed| followed.source))
}

/// Every source of the timers that exists.
pub(crate) fn timed(service: &Descriptor) -> Result<BTreeSet<&'static str>, Fault> {
    let partitions = partitions_of(service.timed.iter().map(|followed| followed.source))?;
    Ok(partitions.into_iter().map(|(source, _)| source).collect())
}

/// The sources that exist, and how many partitions they have; what is known of them already never changes.
pub(crate) fn followed(service: &Descriptor, known: Partitions) -> Result<Partitions, Fault> {
    let unknown: Vec<_> = service.sources().filter(|source| !known.contains_key(*source)).collect();
    let mut partitions = known;
    for (source, partition) in partitions_of(unknown.into_iter())? {
        partitions.insert(source.to_owned(), partition + 1);
    }
    Ok(partitions)
}

/// A source that does not exist yet has no partitions; it announces itself when it comes.
fn partitions_of(sources: impl Iterator<Item = &'static str>) -> Result<Vec<(&'static str, u32)>, Fault> {
    let mut all = Vec::new();
    for source in sources.collect::<BTreeSet<_>>() {
        match jetstream::partitions(&names::log_stream(source)) {
            Ok(partitions) => all.extend((0..partitions).map(|partition| (source, partition))),
            Err(StreamError::NoStream) => {}
            Err(error) => return Err(error.into_fault(source)),
        }
    }
    Ok(all)
}
