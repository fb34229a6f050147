//! A stream with the consumers that follow it, and how they hear of what is new.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::RwLock;

use super::consumer::Consumer;
use super::stream::{News, Stream};
use crate::Pattern;
use crate::subject_map::SubjectMap;

#[derive(Debug)]
pub(crate) struct Followed {
    pub stream: Arc<Stream>,
    consumers: RwLock<BTreeMap<Arc<str>, Arc<Consumer>>>,
    by_filter: RwLock<SubjectMap<Arc<Consumer>>>,
}

/// It is a stream.
impl Deref for Followed {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

impl Followed {
    pub fn new(stream: Stream) -> Followed {
        Followed { stream: Arc::new(stream), consumers: RwLock::default(), by_filter: RwLock::default() }
    }

    pub fn consumer(&self, name: &str) -> Option<Arc<Consumer>> {
        self.consumers.read().get(name).cloned()
    }

    pub fn consumers(&self) -> Vec<Arc<Consumer>> {
        self.consumers.read().values().cloned().collect()
    }

    pub fn consumer_count(&self) -> usize {
        self.consumers.read().len()
    }

    /// After a transaction is visible: tells consumers its news and those of all before it, in order.
    pub fn announce(&self, up_to: u64) {
        self.stream.announce(up_to, |number, news| match news {
            News::Appended { seq, subject } => {
                self.by_filter.read().for_each_match(&subject, |consumer| consumer.appended(seq));
            }
            News::Removed { seq, subject } => {
                self.by_filter.read().for_each_match(&subject, |consumer| consumer.removed(seq, number));
            }
            News::Emptied { first_seq, .. } => {
                self.consumers.read().values().for_each(|consumer| consumer.emptied(first_seq, number));
            }
        });
    }

    /// Lets a consumer be found once it knows its backlog, and tells it of what is new from then on. `old` are the filters by
    /// which it was told until now.
    pub async fn enrol(self: &Arc<Self>, consumer: &Arc<Consumer>, old: Vec<Pattern>) {
        let (followed, joining) = (self.clone(), consumer.clone());
        let join = move |filters: &[Pattern]| {
            followed.consumers.write().insert(joining.name.clone(), joining.clone());
            let mut by_filter = followed.by_filter.write();
            for filter in &old {
                by_filter.remove(filter.as_str(), |other| Arc::ptr_eq(other, &joining));
            }
            for filter in filters {
                by_filter.insert(filter.as_str(), joining.clone());
            }
        };
        consumer.enrol(join).await;
    }

    /// Stops a consumer, which can be found no more.
    pub fn dismiss(&self, consumer: &Arc<Consumer>, farewell: Option<&str>) {
        self.consumers.write().remove(&consumer.name);
        let mut by_filter = self.by_filter.write();
        for filter in consumer.config().filters() {
            by_filter.remove(filter.as_str(), |other| Arc::ptr_eq(other, consumer));
        }
        drop(by_filter);
        consumer.stop(farewell);
    }

    pub fn dismiss_all(&self, farewell: Option<&str>) {
        for consumer in self.consumers() {
            self.dismiss(&consumer, farewell);
        }
    }
}
