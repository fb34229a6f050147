//! A file's bytes in memory, in pages that copies share until one of them changes.

use std::fmt;
use std::io;
use std::sync::Arc;

const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

/// See the module. What was never written is zero.
#[derive(Clone, Default)]
pub(crate) struct Pages {
    pages: Vec<Option<Arc<Page>>>,
    length: usize,
}

impl Pages {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        if start.checked_add(out.len()).is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = start;
        let mut out = out;
        while !out.is_empty() {
            let (number, within) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let count = out.len().min(PAGE_BYTES - within);
            let (part, rest) = out.split_at_mut(count);
            match self.pages.get(number).and_then(Option::as_ref).and_then(|p| p.get(within..within + count))
            {
                Some(found) => part.copy_from_slice(found),
                None => part.fill(0),
            }
            out = rest;
            at += count;
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) {
        if self.length < offset + data.len() {
            self.resize(offset + data.len());
        }
        let mut at = offset;
        let mut data = data;
        while !data.is_empty() {
            let (number, within) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let count = data.len().min(PAGE_BYTES - within);
            let (part, rest) = data.split_at(count);
            if let Some(place) = self.page(number).get_mut(within..within + count) {
                place.copy_from_slice(part);
            }
            data = rest;
            at += count;
        }
    }

    fn page(&mut self, number: usize) -> &mut Page {
        if self.pages.len() <= number {
            self.pages.resize(number + 1, None);
        }
        let slot = self.pages.get_mut(number);
        // The resize above has made it exist.
        let slot = slot.unwrap_or_else(|| unreachable!("page {number} was just made"));
        Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PAGE_BYTES])))
    }

    pub(crate) fn resize(&mut self, length: usize) {
        if length < self.length {
            self.pages.truncate(length.div_ceil(PAGE_BYTES));
            let within = length % PAGE_BYTES;
            // What is cut off must read as zero if the file grows again.
            if within > 0 && self.pages.len() > length / PAGE_BYTES {
                self.page(length / PAGE_BYTES).iter_mut().skip(within).for_each(|byte| *byte = 0);
            }
        }
        self.length = length;
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut content = vec![0; self.length];
        // It is exactly as long as what is read.
        let _ = self.read(0, &mut content);
        content
    }
}

impl From<&[u8]> for Pages {
    fn from(content: &[u8]) -> Pages {
        let mut pages = Pages::default();
        pages.write(0, content);
        pages
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_a_vector_would() {
        let mut model: Vec<u8> = Vec::new();
        let mut pages = Pages::default();
        let mut seed = 1u64;
        for step in 0..500u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let offset = (seed >> 33) as usize % 20_000;
            let length = (seed >> 20) as usize % 9_000;
            if step % 5 == 0 {
                model.resize(offset, 0);
                pages.resize(offset);
            } else {
                model.resize(model.len().max(offset + length), 0);
                model[offset..offset + length].fill(step as u8);
                pages.write(offset, &vec![step as u8; length]);
            }
            assert_eq!(pages.len(), model.len());
            assert_eq!(pages.to_vec(), model, "step {step}");
        }
    }

    #[test]
    fn copies_do_not_see_each_others_changes() {
        let mut one = Pages::from(&[1; 5000][..]);
        let other = one.clone();
        one.write(10, &[2; 4990]);
        assert_eq!(other.to_vec(), [1; 5000]);
        assert!(one.read(4999, &mut [0; 2]).is_err());
    }
}
