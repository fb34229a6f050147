//! Names of entities: how they are made, checked, and spread over partitions.
//!
//! An id is a token of a subject and part of a key, so it is made of `A-Z a-z 0-9 _ -` only. A child's id
//! starts with its root's: `<post>-<comment>`; a family therefore shares a partition, and keeps its order.

use sha2::{Digest, Sha256};

use crate::platform::{self, Platform};

/// Ids longer than this are refused.
pub const MAX_LEN: usize = 128;

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new id that nobody else has: a ULID, so ids made later sort later.
pub fn unique() -> String {
    let platform = platform::current();
    let time = u128::from(platform.now_ms()) << 80;
    let chance = (u128::from(platform.random()) << 64 | u128::from(platform.random())) & ((1 << 80) - 1);
    crockford(time | chance)
}

/// 128 bits of chance.
pub fn chance() -> [u8; 16] {
    let platform = platform::current();
    (u128::from(platform.random()) << 64 | u128::from(platform.random())).to_be_bytes()
}

/// How long a secret is.
pub const SECRET_LEN: usize = 64;

/// What nobody can guess: 256 bits of chance, in hexadecimal.
pub fn secret() -> String {
    hex(&[chance(), chance()].concat())
}

/// The id that these words lead to, always the same one.
pub fn derived(words: &[&[u8]]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = digest(words);
    crockford(u128::from_be_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]))
}

/// SHA-256 of words, each with its length in front, so that no two lists of words look alike.
pub(crate) fn digest(words: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word);
    }
    hash.finalize().into()
}

/// SHA-256 of one text, in lower-case hexadecimal: what `sha256sum` says of it.
pub fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// 128 bits as 26 characters.
fn crockford(bits: u128) -> String {
    (0..26)
        .rev()
        .map(|place| {
            let index = (bits >> (place * 5)) & 31;
            CROCKFORD.get(index as usize).map_or('0', |byte| char::from(*byte))
        })
        .collect()
}

/// Whether an entity could have this id at all.
pub fn is_valid(id: &str) -> bool {
    (1..=MAX_LEN).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The entity at the root of this one's family: what is before the first `-`.
pub fn root(id: &str) -> &str {
    id.split_once('-').map_or(id, |(root, _)| root)
}

/// The partition of an entity: FNV-1a (64 bits) of its root's id, its halves folded together, modulo the number
/// of partitions. This decides where every event ever stored is found, so it never changes.
pub fn partition(id: &str, partitions: u32) -> u32 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in root(id).bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let folded = (hash >> 32) as u32 ^ hash as u32;
    folded.checked_rem(partitions).unwrap_or(0)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_of_what_subjects_and_keys_allow() {
        for good in ["a", "01J-Zz_9", &"x".repeat(MAX_LEN), &unique(), &derived(&[b"a"])] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", ".", "a.b", "*", ">", "a b", "ä", "a/b", "a\0", &"x".repeat(MAX_LEN + 1)] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn derived_ids_depend_on_every_word_and_on_where_words_end() {
        let id = derived(&[b"posts", b"ann", b"key"]);
        assert_eq!(id, derived(&[b"posts", b"ann", b"key"]));
        assert_eq!(id.len(), 26);
        assert_ne!(id, derived(&[b"posts", b"an", b"nkey"]));
        assert_ne!(id, derived(&[b"posts", b"ann", b"kez"]));
    }

    #[test]
    fn later_ids_sort_later() {
        let first = unique();
        platform::current().advance(std::time::Duration::from_millis(1));
        assert!(first < unique());
    }

    /// Stored events are found by this hash: a changed answer here loses data.
    #[test]
    fn partitions_never_change() {
        let of = |id: &str| partition(id, 8);
        assert_eq!(["a", "b", "post", "01ARZ3NDEKTSV4RRFFQ69G5FAV"].map(of), [0, 1, 2, 6]);
        assert_eq!(of("post"), of("post-comment"), "a family shares a partition");
        assert_eq!(partition("post", 0), 0);
    }

    #[test]
    fn partitions_share_the_load() {
        let mut counts = [0_u32; 8];
        for _ in 0..8_000 {
            counts[partition(&unique(), 8) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
