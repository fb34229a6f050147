//! Many keys in one call, whatever provider serves them.
//!
//! `wasi:keyvalue/batch` promises little: keys may be set in any order, and if one cannot be, the others may be set. The provider
//! that wasmCloud publishes gives no more: it sets all keys at once, says that all went well even if some were refused, and
//! answers `get-many` in the order in which answers came in.
//!
//! The kit has to know which value is whose, whether all were set, and that the last was set after all others
//! ([`Platform::set_many`](super::Platform::set_many)). So what is found is put in order by its keys, and keys are set one by one
//! unless the provider promises to do it as the kit wants. It says so under a key that it answers itself, as ours do: the
//! embedded host (`crates/host`) and the provider in `lattice/keyvalue-nats`. So a promise is there exactly where somebody keeps
//! it, and nobody has to set anything.
//!
//! A provider reads so many keys with one call, and no more. The kit may ask for any number.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use super::fault::Fault;
use super::interface::Entry;

/// The key under which a provider says what it promises. Nobody can set it there; with any other provider nobody does.
pub const PROMISE_KEY: &str = "provider/set-many";
/// `set-many` sets all but the last entry, in any order, and then the last; if it cannot set one, it says so, and does not set
/// the last.
pub const LAST_AFTER_ALL: &[u8] = b"last-after-all";
/// How many keys a provider reads with one call.
pub const KEYS_MAX: usize = 1000;

/// What a provider does, as the interfaces say.
pub trait Provider {
    /// What was found, in any order.
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>, Fault>;
    fn set(&self, key: &str, value: &[u8]) -> Result<(), Fault>;
    /// In any order, unless the provider promises another.
    fn set_many(&self, entries: &[Entry]) -> Result<(), Fault>;
}

// Whether the provider keeps the order. An instance learns it with the first keys that it reads, at the price of no call.
thread_local!(static PROMISED: Cell<Option<bool>> = const { Cell::new(None) });

/// The values of many keys, in the order of the keys.
pub fn get_many(provider: &impl Provider, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    let asked: Cow<'_, [String]> = match PROMISED.get() {
        Some(_) => keys.into(),
        None => [keys, &[PROMISE_KEY.to_owned()]].concat().into(),
    };
    let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for some in asked.chunks(KEYS_MAX) {
        found.extend(provider.get_many(some)?.into_iter().flatten());
    }
    if PROMISED.get().is_none() {
        PROMISED.set(Some(found.get(PROMISE_KEY).is_some_and(|promise| promise == LAST_AFTER_ALL)));
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// Sets all but the last, and then the last.
pub fn set_many(provider: &impl Provider, entries: &[Entry]) -> Result<(), Fault> {
    if entries.len() > 1 && keeps_order(provider)? {
        return provider.set_many(entries);
    }
    entries.iter().try_for_each(|(key, value)| provider.set(key, value))
}

fn keeps_order(provider: &impl Provider) -> Result<bool, Fault> {
    if PROMISED.get().is_none() {
        get_many(provider, &[])?;
    }
    Ok(PROMISED.get().unwrap_or_default())
}

/// As in an instance that has read nothing yet.
#[cfg(not(target_arch = "wasm32"))]
pub fn forget() {
    PROMISED.set(None);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Notes what it is asked.
    struct Asked {
        promises: bool,
        calls: RefCell<Vec<String>>,
    }

    impl Asked {
        fn note(&self, what: &str, keys: &[&str]) {
            self.calls.borrow_mut().push(format!("{what} {}", keys.join(" ")).trim_end().to_owned());
        }
    }

    impl Provider for Asked {
        fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>, Fault> {
            self.note("get-many", &keys.iter().map(String::as_str).collect::<Vec<_>>());
            let promise = (PROMISE_KEY.to_owned(), LAST_AFTER_ALL.to_vec());
            Ok(vec![Some(promise).filter(|_| self.promises)])
        }

        fn set(&self, key: &str, _: &[u8]) -> Result<(), Fault> {
            self.note("set", &[key]);
            Ok(())
        }

        fn set_many(&self, entries: &[Entry]) -> Result<(), Fault> {
            self.note("set-many", &entries.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>());
            Ok(())
        }
    }

    /// What the provider is asked by an instance that reads, and then sets one key and three.
    fn asked(promises: bool) -> Vec<String> {
        forget();
        let provider = Asked { promises, calls: RefCell::default() };
        let entries = ["a", "b", "place"].map(|key| (key.to_owned(), Vec::new()));
        get_many(&provider, &["x".to_owned()]).unwrap();
        get_many(&provider, &["y".to_owned()]).unwrap();
        set_many(&provider, &entries[..1]).unwrap();
        set_many(&provider, &entries).unwrap();
        provider.calls.into_inner()
    }

    #[test]
    fn more_keys_than_a_provider_reads_are_read_with_several_calls() {
        forget();
        let provider = Asked { promises: true, calls: RefCell::default() };
        let keys: Vec<String> = (0..2 * KEYS_MAX).map(|n| format!("key-{n}")).collect();
        assert_eq!(get_many(&provider, &keys).unwrap().len(), keys.len());
        let asked = provider.calls.into_inner();
        let counts: Vec<usize> = asked.iter().map(|call| call.split(' ').count() - 1).collect();
        assert_eq!(counts, [KEYS_MAX, KEYS_MAX, 1]);
    }

    #[test]
    fn one_call_is_enough_where_the_order_is_promised() {
        let first = ["get-many x provider/set-many", "get-many y", "set a"];
        assert_eq!(asked(true), [&first[..], &["set-many a b place"]].concat());
        assert_eq!(asked(false), [&first[..], &["set a", "set b", "set place"]].concat());
    }
}
