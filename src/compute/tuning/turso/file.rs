//! Rows in one append-only file that several processes share.
//!
//! A header, then records: a length, a checksum, and a change. Whoever writes holds the file's lock, has first read what
//! others appended, and appends one record. A record that is cut off or does not match its checksum, as after a crash,
//! ends what is read, and the next writer cuts the file there. Values are read from the file when they are asked for;
//! in memory is only where they are.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// What the file begins with; the number is the format's.
const HEADER: &[u8] = b"tinderbox rows 1\n";
/// Before the bytes of a record: their number and their checksum, 4 bytes each.
const PREFIX: u64 = 8;

/// What a record says.
pub enum Change<'a> {
    /// A row of the table of entries.
    Put { namespace: &'a str, key: &'a [u8], value: &'a [u8], imported: bool },
    /// A row of the table that describes the file.
    Meta { key: &'a str, value: &'a str },
    /// An entry is gone.
    Remove { namespace: &'a str, key: &'a [u8] },
    /// All entries of a namespace are gone.
    RemoveAll { namespace: &'a str },
    /// All entries are gone.
    Clear,
}

impl Change<'_> {
    fn to_bytes(&self) -> Vec<u8> {
        let (tag, namespace, key, value): (u8, &str, &[u8], &[u8]) = match self {
            Self::Put { namespace, key, value, imported } => (u8::from(*imported), namespace, key, value),
            Self::Meta { key, value } => (2, "", key.as_bytes(), value.as_bytes()),
            Self::Remove { namespace, key } => (3, namespace, key, b""),
            Self::RemoveAll { namespace } => (4, namespace, b"", b""),
            Self::Clear => (5, "", b"", b""),
        };
        let length = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
        [&[tag][..], &length(namespace.as_bytes()), &length(key), namespace.as_bytes(), key, value].concat()
    }
}

/// Where a value is in the file.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u64,
    length: usize,
    imported: bool,
}

/// An entry: key, value, and 1 where it was imported.
pub type Entry = (Vec<u8>, Vec<u8>, i64);

/// What was read so far.
#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, BTreeMap<Vec<u8>, Place>>,
    meta: BTreeMap<String, String>,
    /// How far the file was read.
    end: u64,
    /// How often this process holds the lock.
    held: usize,
    patience: Duration,
}

/// An open file of rows.
#[derive(Debug)]
pub struct RowFile {
    file: File,
    read_only: bool,
    state: Mutex<State>,
}

fn io(tried: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |e| Error::IoError(e.kind(), tried)
}

/// FNV-1a (Fowler, Noll, Vo), folded to 32 bits.
fn checksum(bytes: &[u8]) -> u32 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)) as u32
}

impl RowFile {
    /// Opens the file at `path`, and makes it unless it is to be read only.
    pub fn open(path: PathBuf, read_only: bool) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(!read_only).create(!read_only).truncate(false).open(path);
        let state = Mutex::new(State { patience: Duration::from_secs(5), ..State::default() });
        let file = Self { file: file.map_err(io("opening the file of rows"))?, read_only, state };
        file.locked(|_| Ok(()))?; // refuses what is not such a file
        Ok(file)
    }

    /// Sets how long one waits for another process.
    pub fn set_patience(&self, patience: Duration) {
        self.state().patience = patience;
    }

    /// The value of an entry.
    pub fn get(&self, namespace: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.locked(|state| {
            let place = state.entries.get(namespace).and_then(|entries| entries.get(key));
            place.map(|place| self.value(*place)).transpose()
        })
    }

    /// All entries of a namespace.
    pub fn scan(&self, namespace: &str) -> Result<Vec<Entry>> {
        self.locked(|state| {
            let entries = state.entries.get(namespace).into_iter().flatten();
            entries.map(|(key, place)| Ok((key.clone(), self.value(*place)?, i64::from(place.imported)))).collect()
        })
    }

    /// A text that describes the file.
    pub fn meta(&self, key: &str) -> Result<Option<String>> {
        self.locked(|state| Ok(state.meta.get(key).cloned()))
    }

    /// Every namespace with the number of its entries and the bytes of their keys and values.
    pub fn summary(&self) -> Result<Vec<(String, i64, i64)>> {
        self.locked(|state| {
            let filled = state.entries.iter().filter(|(_, entries)| !entries.is_empty());
            let bytes =
                |entries: &BTreeMap<Vec<u8>, Place>| entries.iter().map(|(k, p)| k.len() + p.length).sum::<usize>();
            Ok(filled.map(|(name, entries)| (name.clone(), entries.len() as i64, bytes(entries) as i64)).collect())
        })
    }

    /// Appends a change if `wanted` says so of the entry that is there (`Some(imported)`); returns whether it did.
    pub fn change(&self, change: &Change<'_>, wanted: impl FnOnce(Option<bool>) -> bool) -> Result<bool> {
        if self.read_only {
            return Err(Error::IoError(ErrorKind::PermissionDenied, "writing to a file that is opened to be read"));
        }
        self.locked(|state| {
            let there = match change {
                Change::Put { namespace, key, .. } | Change::Remove { namespace, key } => {
                    state.entries.get(*namespace).and_then(|entries| entries.get(*key)).map(|place| place.imported)
                }
                _ => None,
            };
            if !wanted(there) {
                return Ok(false);
            }
            let body = change.to_bytes();
            let length = u32::try_from(body.len()).map_err(|_| Error::Misuse("a row of more than 4 GB".into()))?;
            let record = [&length.to_le_bytes()[..], &checksum(&body).to_le_bytes(), &body].concat();
            let mut file = &self.file;
            file.seek(SeekFrom::Start(state.end))
                .and_then(|_| file.write_all(&record))
                .map_err(io("appending a row"))?;
            apply(state, &body, state.end + PREFIX);
            state.end += record.len() as u64;
            Ok(true)
        })
    }

    /// Keeps other processes out until [`release`](Self::release).
    pub fn hold(&self) -> Result<()> {
        let mut state = self.state();
        self.lock(&mut state)
    }

    /// Lets other processes in again.
    pub fn release(&self) {
        self.unlock(&mut self.state());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner) // every change of it is complete
    }

    /// Works with everything that is in the file by now, while no other process writes.
    fn locked<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state();
        self.lock(&mut state)?;
        let result = self.catch_up(&mut state).and_then(|()| work(&mut state));
        self.unlock(&mut state);
        result
    }

    fn lock(&self, state: &mut State) -> Result<()> {
        if state.held == 0 {
            self.wait_for_lock(state.patience)?;
        }
        state.held += 1;
        Ok(())
    }

    fn wait_for_lock(&self, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            match if self.read_only { self.file.try_lock_shared() } else { self.file.try_lock() } {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Busy("another process holds the file of rows".into()));
                }
                Err(TryLockError::Error(e)) => return Err(io("locking the file of rows")(e)),
            }
        }
    }

    fn unlock(&self, state: &mut State) {
        state.held = state.held.saturating_sub(1);
        if state.held == 0 {
            let _ = self.file.unlock(); // the system does it when the file is closed
        }
    }

    /// Reads what was appended since.
    fn catch_up(&self, state: &mut State) -> Result<()> {
        let length = self.file.metadata().map_err(io("reading the file of rows"))?.len();
        if length == state.end && length > 0 {
            return Ok(());
        }
        if length < state.end {
            // Another process cut off a record that ours had read: everything anew.
            *state = State { held: state.held, patience: state.patience, ..State::default() };
        }
        let tail = self.read(state.end, (length - state.end) as usize)?;
        let mut rest = &tail[..];
        if state.end == 0 {
            rest = match tail.strip_prefix(HEADER) {
                Some(rest) => rest,
                // New, or its first write was cut off.
                None if HEADER.starts_with(&tail) && !self.read_only => {
                    let mut file = &self.file;
                    file.seek(SeekFrom::Start(0))
                        .and_then(|_| file.write_all(HEADER))
                        .map_err(io("beginning a file of rows"))?;
                    &[]
                }
                None => return Err(Error::Error("this is no file of rows".into())),
            };
            state.end = HEADER.len() as u64;
        }
        while let Some((body, after)) = record(rest) {
            if !apply(state, body, state.end + PREFIX) {
                break;
            }
            state.end += PREFIX + body.len() as u64;
            rest = after;
        }
        if !rest.is_empty() && !self.read_only {
            self.file.set_len(state.end).map_err(io("cutting off a row that is not whole"))?;
        }
        Ok(())
    }

    fn value(&self, place: Place) -> Result<Vec<u8>> {
        self.read(place.start, place.length)
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>> {
        let (mut file, mut bytes) = (&self.file, Vec::new());
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.take(length as u64).read_to_end(&mut bytes));
        read.map_err(io("reading the file of rows"))?;
        Ok(bytes)
    }
}

/// The bytes of the record that `bytes` begin with, and what comes after; nothing if it is not whole.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let (body, after) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    (checksum(body) == u32::from_le_bytes(*sum)).then_some((body, after))
}

/// Makes the change that a record at `start` says; false if it says nothing that is known.
fn apply(state: &mut State, body: &[u8], start: u64) -> bool {
    let parts = || {
        let (tag, rest) = body.split_first()?;
        let (namespace, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (namespace, rest) = rest.split_at_checked(u32::from_le_bytes(*namespace) as usize)?;
        let (key, value) = rest.split_at_checked(u32::from_le_bytes(*key) as usize)?;
        Some((*tag, std::str::from_utf8(namespace).ok()?, key, value))
    };
    let Some((tag, namespace, key, value)) = parts() else { return false };
    match tag {
        0 | 1 => {
            let place =
                Place { start: start + (body.len() - value.len()) as u64, length: value.len(), imported: tag == 1 };
            state.entries.entry(namespace.into()).or_default().insert(key.into(), place);
        }
        2 => {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            state.meta.insert(text(key), text(value));
        }
        3 => _ = state.entries.get_mut(namespace).and_then(|entries| entries.remove(key)),
        4 => _ = state.entries.remove(namespace),
        5 => state.entries.clear(),
        _ => return false,
    }
    true
}
