//! The keys of the config, of which the gateway has the hashes alone: by one, whoever runs all this is known before anybody has signed
//! up. All others call by keys that admins issue, and by sessions.

use std::collections::BTreeMap;

use trellis_kit::platform::Fault;
use trellis_kit::{Wire, config, id};

/// The key of the config.
pub const CONFIG: &str = "api-keys";

/// The most that is read of a key.
const KEY_LEN_MAX: usize = 512;
const NAME_LEN_MAX: usize = 64;

/// A key by which a caller is known.
#[derive(Debug)]
pub struct Key {
    /// SHA-256 in hexadecimal.
    pub hash: String,
    pub name: String,
    pub roles: Vec<String>,
}

/// Whose it is, as the config says it.
#[derive(Debug, Wire)]
struct Holder {
    name: String,
    roles: Vec<String>,
}

/// The keys of the config: `{"<SHA-256 of the key>": {"name": "mia", "roles": ["moderator"]}}`.
pub fn read(text: &str) -> Result<Vec<Key>, Fault> {
    let holders: BTreeMap<String, Holder> = config::read(CONFIG, text)?;
    let bad = |why: &str| Err(Fault::new(format!("config {CONFIG}: {why}")));
    let keys = holders.into_iter().map(|(hash, Holder { name, roles })| {
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hash {
            return bad("each key stands there as its SHA-256, 64 hexadecimal digits in lower case");
        }
        if !std::iter::once(&name).chain(&roles).all(|word| is_name(word)) {
            return bad("names and roles are 1 to 64 letters, digits and any of . _ - @");
        }
        Ok(Key { hash, name, roles })
    });
    keys.collect()
}

/// A name that rules, logs and headers can carry.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
    (1..=NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// Whose key this is.
pub fn holder_of<'k>(key: &str, keys: &'k [Key]) -> Option<&'k Key> {
    if !(1..=KEY_LEN_MAX).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let hash = id::sha256(key);
    keys.iter().fold(None, |found, key| if is_same(&key.hash, &hash) { Some(key) } else { found })
}

/// Whether two hashes are the same. They are compared to their end, so that the time it takes tells nothing.
pub fn is_same(one: &str, other: &str) -> bool {
    let differs = one.bytes().zip(other.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differs == 0
}
