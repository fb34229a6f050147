//! Counters: decimal text, changed by comparing revisions.

use crate::bucket::{Bucket, Swap};
use crate::error::{Error, Result};
use crate::patience::Patience;

impl Bucket {
    /// Adds to the counter and returns the sum. Tries for as long as the caller waits.
    pub async fn increment(&self, key: &str, delta: u64) -> Result<u64> {
        let mut patience = Patience::new(self.limit);
        let deadline = patience.deadline();
        let work = async {
            let _turn = self.turns.take(key).await;
            loop {
                let (before, revision) = self.counter(key).await?;
                let after =
                    before.checked_add(delta).ok_or_else(|| Error::Overflow { key: key.to_owned() })?;
                match self.swap(key, after.to_string().into(), revision).await? {
                    Swap::Done => return Ok(after),
                    Swap::Conflict if patience.pause(self.turns.salt()).await => {}
                    Swap::Conflict => {
                        return Err(self.too_busy("others were always faster; nothing was added"));
                    }
                }
            }
        };
        tokio::time::timeout_at(deadline, work)
            .await
            .unwrap_or_else(|_| Err(self.too_busy("it may or may not have been added")))
    }

    /// The counter's value and revision; a counter that is not there is 0 at revision 0.
    async fn counter(&self, key: &str) -> Result<(u64, u64)> {
        let Some(entry) = self.entry(key).await? else { return Ok((0, 0)) };
        let Some(value) = entry.value else { return Ok((0, entry.revision)) };
        let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| Error::NotANumber { key: key.to_owned() })?;
        Ok((number, entry.revision))
    }

    fn too_busy(&self, why: &str) -> Error {
        Error::TimedOut { doing: "increment a key".to_owned(), limit: self.limit, why: why.to_owned() }
    }
}
