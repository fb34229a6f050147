//! The platform of a component: the imports of the common world.

mod sending;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{Request, Response};
use secrecy::SecretString;
use wasmcloud_component::wasi::keyvalue::{atomics, batch, store};
use wasmcloud_component::wasi::logging::logging;
use wasmcloud_component::wasi::{config::store as settings, random};
use wasmcloud_component::wasmcloud::messaging::{consumer, types::BrokerMessage};

use super::batch as many;
use super::fault::Fault;
use super::interface::{Entry, Level, Platform};
use super::sending::SendError;
use crate::config;

#[allow(unsafe_code, missing_debug_implementations, reason = "written by the binding generator")]
mod secrets {
    wit_bindgen::generate!({
        path: "../../wit/deps/secrets",
        inline: "
            package trellis:secrets;

            world secrets {
                import wasmcloud:secrets/store@0.1.0-draft;
                import wasmcloud:secrets/reveal@0.1.0-draft;
            }
        ",
        world: "trellis:secrets/secrets",
        generate_all,
    });
}
use secrets::wasmcloud::secrets::reveal;
use secrets::wasmcloud::secrets::store::{self as vault, SecretValue, SecretsError};

/// The link that a service's key-value bucket hangs on, where buckets are links.
const BUCKET: &str = "default";
/// The config value that says `on` where a bucket is called what it is opened as, and so must be called as its service.
const OWN_BUCKET: &str = "own-bucket";

thread_local!(static SERVICE: Cell<&'static str> = const { Cell::new(BUCKET) });

/// Says of which service this is an instance.
pub(crate) fn is_of(service: &'static str) {
    SERVICE.set(service);
}

#[derive(Debug, Clone, Copy)]
pub struct Wasm;

pub(crate) fn current() -> Wasm {
    Wasm
}

/// An instance opens its bucket once.
fn bucket() -> Result<Rc<store::Bucket>, Fault> {
    thread_local!(static OPEN: RefCell<Option<Rc<store::Bucket>>> = const { RefCell::new(None) });
    OPEN.with_borrow_mut(|open| match open {
        Some(bucket) => Ok(Rc::clone(bucket)),
        None => {
            let bucket = store::open(bucket_name()?).map_err(|error| fault("open the bucket", error))?;
            Ok(Rc::clone(open.insert(Rc::new(bucket))))
        }
    })
}

fn bucket_name() -> Result<&'static str, Fault> {
    match config::text(OWN_BUCKET)?.as_deref() {
        Some("on") => Ok(SERVICE.get()),
        None | Some("off") => Ok(BUCKET),
        Some(text) => Err(Fault::new(format!("config {OWN_BUCKET} is {text:?}; it must be on or off"))),
    }
}

fn fault(doing: &str, error: store::Error) -> Fault {
    let why = match error {
        store::Error::NoSuchStore => "there is no such store".to_owned(),
        store::Error::AccessDenied => "access is denied".to_owned(),
        store::Error::Other(why) => why,
    };
    Fault::new(format!("cannot {doing}: {why}"))
}

impl many::Provider for Wasm {
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>, Fault> {
        let found = batch::get_many(&*bucket()?, keys).map_err(|error| fault("get keys", error))?;
        if found.len() != keys.len() {
            return Err(Fault::new(format!("asked for {} keys, answered for {}", keys.len(), found.len())));
        }
        Ok(found)
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), Fault> {
        bucket()?.set(key, value).map_err(|error| fault("set a key", error))
    }

    fn set_many(&self, entries: &[Entry]) -> Result<(), Fault> {
        batch::set_many(&*bucket()?, entries).map_err(|error| fault("set keys", error))
    }
}

impl Platform for Wasm {
    fn request(&self, subject: &str, body: &[u8], patience: Duration) -> Result<Vec<u8>, Fault> {
        let timeout_ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        consumer::request(subject, body, timeout_ms)
            .map(|message| message.body)
            .map_err(|error| Fault::unanswered(subject, &error))
    }

    fn publish(&self, subject: &str, body: &[u8]) -> Result<(), Fault> {
        let message = BrokerMessage { subject: subject.to_owned(), body: body.to_vec(), reply_to: None };
        consumer::publish(&message)
            .map_err(|error| Fault::new(format!("cannot publish on {subject}: {error}")))
    }

    fn send(&self, request: &Request<Vec<u8>>, patience: Duration) -> Result<Response<Vec<u8>>, SendError> {
        sending::send(request, patience)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        bucket()?.get(key).map_err(|error| fault("get a key", error))
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        many::get_many(self, keys)
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), Fault> {
        many::Provider::set(self, key, value)
    }

    fn increment(&self, key: &str) -> Result<u64, Fault> {
        atomics::increment(&*bucket()?, key, 1).map_err(|error| fault("count a key up", error))
    }

    fn set_many(&self, entries: &[Entry]) -> Result<(), Fault> {
        many::set_many(self, entries)
    }

    fn now_ms(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }

    fn elapsed(&self) -> Duration {
        thread_local!(static START: Instant = Instant::now());
        START.with(Instant::elapsed)
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn random(&self) -> u64 {
        random::random::get_random_u64()
    }

    /// An instance asks for them once.
    fn settings(&self) -> Result<Rc<BTreeMap<String, String>>, Fault> {
        thread_local!(static SET: RefCell<Option<Rc<BTreeMap<String, String>>>> = const { RefCell::new(None) });
        SET.with_borrow_mut(|set| match set {
            Some(values) => Ok(Rc::clone(values)),
            None => {
                let values = settings::get_all()
                    .map_err(|error| Fault::new(format!("cannot read the config: {error:?}")))?;
                Ok(Rc::clone(set.insert(Rc::new(values.into_iter().collect()))))
            }
        })
    }

    fn secret(&self, name: &str) -> Result<Option<SecretString>, Fault> {
        let why = match vault::get(name) {
            Ok(secret) => match reveal::reveal(&secret) {
                SecretValue::String(text) => return Ok(Some(text.into())),
                SecretValue::Bytes(_) => "it is bytes, and no text".to_owned(),
            },
            Err(SecretsError::NotFound) => return Ok(None),
            Err(SecretsError::Upstream(why) | SecretsError::Io(why)) => why,
        };
        Err(Fault::new(format!("cannot read the secret {name}: {why}")))
    }

    fn log(&self, level: Level, context: &str, message: &str) {
        let level = match level {
            Level::Debug => logging::Level::Debug,
            Level::Info => logging::Level::Info,
            Level::Warn => logging::Level::Warn,
            Level::Error => logging::Level::Error,
        };
        logging::log(level, context, message);
    }
}
