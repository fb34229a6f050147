//! The key layout of everything that the host keeps in the store. Nothing else builds such keys.
//!
//! * `K` bucket `0x00` key: the value of a key of a bucket.
//!
//! Neither a bucket's name nor a key can contain the zero byte, so buckets cannot reach into each other.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

const BUCKETS: u8 = b'K';
const END_OF_BUCKET_NAME: u8 = 0;

/// The value of `key` in `bucket`.
pub(crate) fn value(bucket: &str, key: &str) -> Bytes {
    let mut bytes = BytesMut::with_capacity(bucket.len() + key.len() + 2);
    bytes.put_u8(BUCKETS);
    bytes.put_slice(bucket.as_bytes());
    bytes.put_u8(END_OF_BUCKET_NAME);
    bytes.put_slice(key.as_bytes());
    bytes.freeze()
}

/// All values of `bucket`.
pub(crate) fn bucket(bucket: &str) -> Range<Bytes> {
    let mut end = BytesMut::from(&*value(bucket, ""));
    end.truncate(end.len() - 1);
    end.put_u8(END_OF_BUCKET_NAME + 1);
    value(bucket, "")..end.freeze()
}

/// The part of a stored key that the guest knows.
pub(crate) fn guest_part(bucket: &str, stored: &Bytes) -> Option<String> {
    let key = stored.get(bucket.len() + 2..)?;
    String::from_utf8(key.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_own_keys_and_no_others() {
        let posts = bucket("posts");
        assert!(posts.contains(&value("posts", "a")));
        assert!(posts.contains(&value("posts", "~")));
        assert!(!posts.contains(&value("posts2", "a")));
        assert!(!posts.contains(&value("post", "s")));
        assert_eq!(guest_part("posts", &value("posts", "a.b")).as_deref(), Some("a.b"));
    }
}
