//! Documents that every request needs: read together for the price of one call, and made sense of by whoever needs
//! them only when they are not as they were.

use serde::de::DeserializeOwned;
use trellis_names as names;

use super::kept;
use super::reader::Found;
use super::watch::Watch;
use crate::descriptor::Source;
use crate::problem::Problem;
use crate::tally::Turn;

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glimpse {
    key: String,
    generation: u64,
    bytes: Vec<u8>,
}

/// Where a document is: the service whose events it follows, its name, and its id.
pub type DocKey<'a> = (Source, &'a str, &'a str);

/// Reads documents as they are in the generation that answers; none is not there (yet). Whoever looks at these for every request
/// may count requests, too, and watch whether a source is heard: what that takes is read along.
pub fn glance(
    docs: &[DocKey<'_>],
    turn: Option<&Turn<'_>>,
    watch: Option<&Watch>,
) -> Result<Vec<Option<Glimpse>>, Problem> {
    let keys = |generation| {
        docs.iter().map(|(source, name, id)| names::doc_key(generation, source.name, name, id)).collect()
    };
    let of_watch = watch.map(Watch::key);
    let also: Vec<String> = of_watch.into_iter().chain(turn.map(Turn::keys).unwrap_or_default()).collect();
    let Found { answers: generation, values, mut also } = Found::load(None, &also, keys)?;
    if let Some(watch) = watch {
        watch.learn(also.remove(0));
    }
    if let Some(turn) = turn {
        turn.learn(also);
    }
    let each = values.entries.into_iter();
    Ok(each.map(|(key, bytes)| Some(Glimpse { key, generation, bytes: bytes? })).collect())
}

impl Glimpse {
    /// The same bytes are the same document.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the document says; none is what another generation left.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        Ok(kept::parse(&self.key, &self.bytes, self.generation)?.map(|kept| kept.value))
    }
}
