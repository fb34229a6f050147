//! What a service says of itself in its component, where it is read without running it: it is written when the component is
//! built, so a component that has been taken over cannot say something else.
//!
//! It is JSON in a custom section of the core module, [`Member`](crate::access::Member) reads it:
//! `{"name":"query","partitions":0,"asks":[],"watches":false,"provisions":false,"projects":["posts"],"reacts_to":[]}`

use crate::descriptor::{Asks, Descriptor, Followed, Source};

/// The longest statement; a longer one does not compile.
const LEN_MAX: usize = 4096;

/// The text, made by the compiler.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    bytes: [u8; LEN_MAX],
    len: usize,
}

#[allow(clippy::indexing_slicing, reason = "run by the compiler, which refuses what is outside")]
impl Statement {
    pub const fn of(service: &Descriptor) -> Self {
        let statement = Self { bytes: [0; LEN_MAX], len: 0 }
            .raw("{\"name\":")
            .quoted(service.name)
            .raw(",\"partitions\":")
            .number(service.partitions)
            .raw(",\"asks\":")
            .list(match service.asks {
                Asks::Nobody => &[],
                Asks::These(names) => names,
                Asks::Anybody => &["*"],
            })
            .raw(if service.watches { ",\"watches\":true" } else { ",\"watches\":false" })
            .raw(if service.provisions { ",\"provisions\":true" } else { ",\"provisions\":false" })
            // Most keep nothing of the kind.
            .raw(if service.private.is_empty() { "" } else { ",\"private\":true" })
            .raw(",\"projects\":")
            .sources(service.projected)
            .raw(",\"reacts_to\":")
            .sources(service.reacted_to);
        let statement = match service.timed {
            [] => statement,
            timed => statement.raw(",\"times\":").sources(timed),
        };
        let statement = match service.reads {
            [] => statement,
            reads => statement.raw(",\"reads\":").logs(reads),
        };
        statement.raw("}")
    }

    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub const fn len(&self) -> usize {
        self.len
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The text; `N` is its length.
    pub const fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        let mut at = 0;
        while at < N {
            bytes[at] = self.bytes[at];
            at += 1;
        }
        bytes
    }

    const fn raw(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut at = 0;
        while at < text.len() {
            self.bytes[self.len] = text[at];
            self.len += 1;
            at += 1;
        }
        self
    }

    const fn quoted(self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(
                bytes[at] >= b' ' && bytes[at] != b'"' && bytes[at] != b'\\',
                "a name has letters, digits, - and _"
            );
            at += 1;
        }
        self.raw("\"").raw(text).raw("\"")
    }

    const fn number(self, number: u32) -> Self {
        let (digit, _) = "0123456789".split_at((number % 10) as usize).1.split_at(1);
        if number < 10 { self.raw(digit) } else { self.number(number / 10).raw(digit) }
    }

    const fn list(self, names: &[&str]) -> Self {
        let mut all = self.raw("[");
        let mut at = 0;
        while at < names.len() {
            all = all.raw(if at > 0 { "," } else { "" }).quoted(names[at]);
            at += 1;
        }
        all.raw("]")
    }

    const fn logs(self, logs: &[Source]) -> Self {
        let mut all = self.raw("[");
        let mut at = 0;
        while at < logs.len() {
            all = all.raw(if at > 0 { "," } else { "" }).quoted(logs[at].name);
            at += 1;
        }
        all.raw("]")
    }

    const fn sources(self, followed: &[Followed]) -> Self {
        let mut all = self.raw("[");
        let mut at = 0;
        while at < followed.len() {
            all = all.raw(if at > 0 { "," } else { "" }).quoted(followed[at].source);
            at += 1;
        }
        all.raw("]")
    }
}
