//! A file that redb can open without changing it. redb cannot open one without writing, so that stays in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::disk::DiskFile;

/// A file as it is on the disk, and over it, in memory, what is written to it.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: Arc<dyn DiskFile>,
    file_bytes: u64,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    length: u64,
    /// The file may have been cut and grown since: from here on it is zero.
    file_bytes_left: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

const PAGE_BYTES: usize = 4096;

impl Overlay {
    pub(crate) fn new(file: Arc<dyn DiskFile>, file_bytes: u64) -> Overlay {
        let written = Written { length: file_bytes, file_bytes_left: file_bytes, pages: BTreeMap::new() };
        Overlay { file, file_bytes, written: Mutex::new(written) }
    }

    /// The page as it was before anything was written to it.
    fn page(&self, number: u64, file_bytes_left: u64) -> io::Result<Vec<u8>> {
        let mut page = vec![0; PAGE_BYTES];
        let start = number * PAGE_BYTES as u64;
        let there = file_bytes_left.min(self.file_bytes).saturating_sub(start).min(PAGE_BYTES as u64);
        // At most PAGE_BYTES.
        if let Some(part) = page.get_mut(..there as usize) {
            self.file.read_at(start, part)?;
        }
        Ok(page)
    }

    /// Calls `use_part` for each page that the bytes from `offset` on lie in: page, place in it, and how many.
    fn each_page(
        offset: u64,
        count: usize,
        mut use_part: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < count {
            let at = offset + done as u64;
            let within = (at % PAGE_BYTES as u64) as usize;
            let length = (count - done).min(PAGE_BYTES - within);
            use_part(at / PAGE_BYTES as u64, within..within + length, done..done + length)?;
            done += length;
        }
        Ok(())
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > written.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Overlay::each_page(offset, out.len(), |number, within, part| {
            let from_file;
            let page = match written.pages.get(&number) {
                Some(page) => page,
                None => {
                    from_file = self.page(number, written.file_bytes_left)?;
                    &from_file
                }
            };
            if let (Some(out), Some(page)) = (out.get_mut(part), page.get(within)) {
                out.copy_from_slice(page);
            }
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut written = self.written.lock();
        written.file_bytes_left = written.file_bytes_left.min(length);
        if length < written.length {
            let first_gone = length.div_ceil(PAGE_BYTES as u64);
            written.pages.split_off(&first_gone);
            let within = (length % PAGE_BYTES as u64) as usize;
            if let Some(page) = written.pages.get_mut(&(length / PAGE_BYTES as u64)) {
                page.iter_mut().skip(within).for_each(|byte| *byte = 0);
            }
        }
        written.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        let file_bytes_left = written.file_bytes_left;
        written.length = written.length.max(offset.saturating_add(data.len() as u64));
        Overlay::each_page(offset, data.len(), |number, within, part| {
            let page = match written.pages.entry(number) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.page(number, file_bytes_left)?),
            };
            if let (Some(page), Some(data)) = (page.get_mut(within), data.get(part)) {
                page.copy_from_slice(data);
            }
            Ok(())
        })
    }
}
