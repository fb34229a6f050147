//! A disk in memory that forgets what was not synced, the way real ones do.
//!
//! Every change (write, sync, resize, create, rename, remove, directory sync) has a number. [`SimDisk::crash_at`]
//! makes that change the last: it and everything after it fails. [`SimDisk::after_crash`] is then what a new start
//! finds: synced bytes whole; of the rest, a seeded choice of 512-byte sectors, in any combination; names as they were
//! at the last directory sync, and a seeded choice of their changes after it. One seed, one outcome, always.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::disk::{Access, Disk, DiskFile, Lock};
use crate::pages::Pages;

const SECTOR_BYTES: usize = 512;

/// See the module. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    seed: u64,
    changes: u64,
    syncs: u64,
    crash_at: Option<u64>,
    crashed: bool,
    capacity: Option<u64>,
    locked: bool,
    files: Vec<FileState>,
    names: BTreeMap<String, usize>,
    names_durable: BTreeMap<String, usize>,
    names_pending: Vec<NameChange>,
}

/// What a program that runs sees, what a loss of power leaves at least, and the way from one to the other.
#[derive(Clone, Default)]
struct FileState {
    current: Pages,
    durable: Pages,
    pending: Vec<FileChange>,
}

#[derive(Clone)]
enum FileChange {
    Write { offset: usize, data: Vec<u8> },
    Resize { length: usize },
}

enum NameChange {
    Set { name: String, file: usize },
    Rename { from: String, to: String },
    Remove { name: String },
}

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::with(seed, Vec::new(), BTreeMap::new())
    }

    fn with(seed: u64, files: Vec<FileState>, names: BTreeMap<String, usize>) -> SimDisk {
        let state = State {
            seed,
            changes: 0,
            syncs: 0,
            crash_at: None,
            crashed: false,
            capacity: None,
            locked: false,
            files,
            names_durable: names.clone(),
            names,
            names_pending: Vec::new(),
        };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Makes change number `change` (the first is 1) the last one.
    pub fn crash_at(&self, change: u64) {
        self.state.lock().crash_at = Some(change);
    }

    pub fn has_crashed(&self) -> bool {
        self.state.lock().crashed
    }

    /// No more than this many bytes fit on the disk.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// How many changes there were so far.
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    /// How many of them were syncs, of files or of the directory.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// The disk that a start after a loss of power finds now. This one stays as it is.
    pub fn after_crash(&self, seed: u64) -> SimDisk {
        let state = self.state.lock();
        let mut luck = Luck::new(seed);
        let mut names = state.names_durable.clone();
        for change in state.names_pending.iter().filter(|_| luck.keeps()) {
            change.apply(&mut names);
        }
        let files = state.files.iter().map(|file| file.after_crash(&mut luck)).collect();
        SimDisk::with(state.seed.wrapping_add(1), files, names)
    }

    /// The disk that a start after the end of the process finds: the operating system has kept every write.
    pub fn after_kill(&self) -> SimDisk {
        let state = self.state.lock();
        let copy = SimDisk::with(state.seed.wrapping_add(1), state.files.clone(), state.names.clone());
        copy.state.lock().names_durable = state.names_durable.clone();
        copy
    }

    /// A file's bytes, as a running program sees them.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let file = state.names.get(name)?;
        state.files.get(*file).map(|file| file.current.to_vec())
    }

    /// Puts a file there, durably, behind the store's back: for damage.
    pub fn set_content(&self, name: &str, content: &[u8]) {
        let mut state = self.state.lock();
        let number = state.files.len();
        let content = Pages::from(content);
        state.files.push(FileState { current: content.clone(), durable: content, pending: Vec::new() });
        state.names.insert(name.to_owned(), number);
        state.names_durable.insert(name.to_owned(), number);
    }

    /// Takes a file away, durably, behind the store's back.
    pub fn lose(&self, name: &str) {
        let mut state = self.state.lock();
        state.names.remove(name);
        state.names_durable.remove(name);
    }

    /// One number for all names and all bytes.
    pub fn fingerprint(&self) -> u64 {
        let state = self.state.lock();
        state.names.iter().fold(0, |hash, (name, file)| {
            let content = state.files.get(*file).map(|file| file.current.to_vec()).unwrap_or_default();
            xxh3_64_with_seed(&content, xxh3_64_with_seed(name.as_bytes(), hash))
        })
    }
}

impl State {
    fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(gone()) } else { Ok(()) }
    }

    /// Counts one change. If it is the last, it still happens (in part, as the seed has it), and then fails.
    fn change(&mut self, apply: impl FnOnce(&mut State)) -> io::Result<()> {
        self.alive()?;
        self.changes += 1;
        self.crashed = self.crash_at == Some(self.changes);
        apply(self);
        self.alive()
    }

    /// Counts one sync. If it is the last, it has done nothing yet.
    fn sync(&mut self, apply: impl FnOnce(&mut State)) -> io::Result<()> {
        self.alive()?;
        self.changes += 1;
        self.syncs += 1;
        self.crashed = self.crash_at == Some(self.changes);
        self.alive()?;
        apply(self);
        Ok(())
    }

    fn rename_or_remove(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.names_pending.push(change);
    }

    fn has_room_for(&self, file: usize, length: usize) -> bool {
        let Some(capacity) = self.capacity else { return true };
        let others = self.names.values().filter(|other| **other != file);
        let used: usize = others.filter_map(|other| self.files.get(*other)).map(|f| f.current.len()).sum();
        (used + length) as u64 <= capacity
    }
}

fn gone() -> io::Error {
    io::Error::other("simulated loss of power")
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Set { name, file } => {
                names.insert(name.clone(), *file);
            }
            NameChange::Rename { from, to } => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            NameChange::Remove { name } => {
                names.remove(name);
            }
        }
    }
}

impl FileState {
    fn change(&mut self, change: FileChange) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn after_crash(&self, luck: &mut Luck) -> FileState {
        let mut content = self.durable.clone();
        for change in &self.pending {
            match change {
                FileChange::Resize { .. } => {
                    if luck.keeps() {
                        change.apply(&mut content);
                    }
                }
                FileChange::Write { offset, data } => {
                    for (start, end) in sectors(*offset, data.len()) {
                        if let (true, Some(part)) = (luck.keeps(), data.get(start - offset..end - offset)) {
                            content.write(start, part);
                        }
                    }
                }
            }
        }
        FileState { current: content.clone(), durable: content, pending: Vec::new() }
    }
}

impl FileChange {
    fn apply(&self, content: &mut Pages) {
        match self {
            FileChange::Write { offset, data } => content.write(*offset, data),
            FileChange::Resize { length } => content.resize(*length),
        }
    }
}

/// The parts of a write that lie in one sector each.
fn sectors(offset: usize, length: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = offset + length;
    (offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES))
        .map(move |sector| (offset.max(sector * SECTOR_BYTES), end.min((sector + 1) * SECTOR_BYTES)))
}

/// The seeded choice of what survives. How much does is itself part of the seed: nothing, all, or some.
struct Luck {
    state: u64,
    kept_of_16: u64,
}

impl Luck {
    fn new(seed: u64) -> Luck {
        let mut luck = Luck { state: seed, kept_of_16: 0 };
        luck.kept_of_16 = match seed % 5 {
            0 => 0,
            1 => 16,
            2 => 15,
            3 => 8,
            _ => 1 + luck.next() % 15,
        };
        luck
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn keeps(&mut self) -> bool {
        self.next() % 16 < self.kept_of_16
    }
}

impl Disk for SimDisk {
    fn label(&self) -> String {
        "simulated disk".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        state.alive()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        state.alive()?;
        match state.names.get(name) {
            Some(number) => Ok(Arc::new(SimFile { disk: self.clone(), number: *number, access })),
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("no file {name}"))),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        let number = state.files.len();
        state.change(|state| {
            state.files.push(FileState::default());
            state.rename_or_remove(NameChange::Set { name: name.to_owned(), file: number });
        })?;
        Ok(Arc::new(SimFile { disk: self.clone(), number, access: Access::Write }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let change = NameChange::Rename { from: from.to_owned(), to: to.to_owned() };
        self.state.lock().change(|state| state.rename_or_remove(change))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let change = NameChange::Remove { name: name.to_owned() };
        self.state.lock().change(|state| state.rename_or_remove(change))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.state.lock().sync(|state| {
            state.names_pending.clear();
            state.names_durable = state.names.clone();
        })
    }

    fn lock(&self, _access: Access) -> io::Result<Option<Lock>> {
        let mut state = self.state.lock();
        state.alive()?;
        if std::mem::replace(&mut state.locked, true) {
            return Ok(None);
        }
        Ok(Some(Lock::new(SimLock { disk: self.clone() })))
    }

    fn nonce(&self) -> io::Result<u64> {
        Ok(Luck::new(self.state.lock().seed).next())
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state.lock().locked = false;
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    number: usize,
    access: Access,
}

impl SimFile {
    fn change(&self, change: FileChange) -> io::Result<()> {
        if self.access == Access::Read {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file was opened for reading"));
        }
        let mut state = self.disk.state.lock();
        let end = match &change {
            FileChange::Write { offset, data } => offset + data.len(),
            FileChange::Resize { length } => *length,
        };
        if !state.has_room_for(self.number, end) {
            state.alive()?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.change(|state| {
            if let Some(file) = state.files.get_mut(self.number) {
                file.change(change);
            }
        })
    }
}

impl DiskFile for SimFile {
    fn length(&self) -> io::Result<u64> {
        let state = self.disk.state.lock();
        state.alive()?;
        Ok(state.files.get(self.number).map_or(0, |file| file.current.len() as u64))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state.lock();
        state.alive()?;
        match state.files.get(self.number) {
            Some(file) => file.current.read(offset, out),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(FileChange::Write { offset, data: data.to_vec() })
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.change(FileChange::Resize { length })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state.lock().sync(|state| {
            if let Some(file) = state.files.get_mut(self.number) {
                file.sync();
            }
        })
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("SimDisk")
            .field("seed", &state.seed)
            .field("changes", &state.changes)
            .field("crashed", &state.crashed)
            .finish_non_exhaustive()
    }
}
