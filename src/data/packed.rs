//! Decoded pictures as one file of bytes in the user's cache folder, which is mapped into memory: what does not fit stays on the
//! disk, and the operating system brings what is used.
//!
//! The file is the pixels of the train images and of the test images, each image as a [`Split`] has it; then a description in
//! JSON, its length in eight bytes, and eight bytes that say what the file is. It is written under another name and renamed, so
//! that one of the right name is whole. Its name is a hash of the names, sizes and times of all picture files, so pictures that
//! change are decoded anew.

use std::fs::{self, File, TryLockError};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use etcetera::{BaseStrategy, choose_base_strategy};
use serde::{Deserialize, Serialize};

use super::dataset::{Dataset, ImageShape, Label, Split};
use super::listing::Listing;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{make_folder, sha256};

/// The end of every such file. Another number where a file is written in another way, or pictures are prepared in another.
const MAGIC: &[u8; 8] = b"TBPIXEL1";
const ENDING: &str = "pixels";
const LOCK: &str = "lock";
/// No description is longer, in bytes.
const MOST_DESCRIPTION: u64 = 1 << 30;
/// A file that nobody has written to for so long is not being written any more.
const GIVEN_UP: Duration = Duration::from_secs(3600);
/// What all files may take together where nothing else is said, in GB.
const MOST_GB: f64 = 50.0;

/// What is in a file.
#[derive(Serialize, Deserialize)]
struct Description {
    shape: ImageShape,
    train: Vec<Label>,
    test: Vec<Label>,
    classes: Vec<String>,
    /// Files that are left out, and why.
    left_out: Vec<String>,
}

/// The name under which the pictures of a listing are kept with so many pixels a side.
pub(super) fn key(listing: &Listing<'_>, side: usize) -> String {
    let mut text = format!("{} {side}\n{}\n", String::from_utf8_lossy(MAGIC), listing.classes.join("\n"));
    for (part, pictures) in [("train", &listing.train), ("test", &listing.test)] {
        for (picture, label) in pictures {
            // The folder itself may be moved.
            let path = picture.path().strip_prefix(listing.from).unwrap_or(picture.path());
            let (size, written) = picture.stamp();
            text += &format!("{part} {label} {} {size} {written}\n", path.display());
        }
    }
    sha256(text.as_bytes())[..32].into()
}

/// The pictures that are kept under a name, and what is told of files that were left out; none where there are none, or no whole
/// file.
pub(super) fn open(key: &str) -> Option<(Dataset, Vec<String>)> {
    map_whole(&folder()?.join(key).with_extension(ENDING)).ok()
}

/// The turn to make the file of a name, until this is closed, however the process ends: other processes that want the same pictures
/// wait, and find them made. None where the folder's disk knows no locks; then each makes its own. `wait` is told that another process
/// has it.
pub(super) fn turn(key: &str, wait: impl FnOnce()) -> Option<File> {
    turn_in(&folder()?, key, wait)
}

/// The file that is locked stays: if it were removed, who waits for it would wait for another than who comes next.
fn turn_in(folder: &Path, key: &str, wait: impl FnOnce()) -> Option<File> {
    make_folder(folder).ok()?;
    let file =
        File::options().write(true).create(true).truncate(false).open(folder.join(key).with_extension(LOCK)).ok()?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            wait();
            file.lock().ok()?;
        }
        Err(TryLockError::Error(_)) => return None,
    }
    Some(file)
}

/// Removes the file of a name, which stays as it is for who has it open.
pub(super) fn forget(key: &str) {
    if let Some(folder) = folder() {
        let _ = fs::remove_file(folder.join(key).with_extension(ENDING)); // then it is found the next time
    }
}

/// The folder of all such files, whether or not it is there.
pub fn folder() -> Option<PathBuf> {
    Some(choose_base_strategy().ok()?.cache_dir().join("tinderbox").join("pictures"))
}

fn entries() -> impl Iterator<Item = fs::DirEntry> {
    folder().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten()
}

fn ends_in(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

/// All files, the one that was used last at the end, with their bytes; without those that somebody writes just now.
pub fn files() -> Vec<(PathBuf, u64)> {
    let mut files: Vec<_> = entries()
        .filter_map(|entry| {
            let (path, found) = (entry.path(), entry.metadata().ok()?);
            let written = found.modified().ok()?;
            let is_whole = ends_in(&path, ENDING);
            let is_given_up = !ends_in(&path, LOCK) && written.elapsed().is_ok_and(|since| since > GIVEN_UP);
            (is_whole || is_given_up).then_some((written, (path, found.len())))
        })
        .collect();
    files.sort();
    files.into_iter().map(|(_, file)| file).collect()
}

/// Removes all files, those of a packing that was interrupted too; returns their number and their bytes.
///
/// # Errors
/// Io.
pub fn clear() -> Result<(usize, u64)> {
    let files = files();
    for (path, _) in &files {
        fs::remove_file(path).map_err(|e| Error::io("remove", path, e))?;
    }
    for lock in entries().map(|entry| entry.path()).filter(|path| ends_in(path, LOCK)) {
        let is_free = File::options().write(true).open(&lock).is_ok_and(|file| file.try_lock().is_ok());
        if is_free {
            let _ = fs::remove_file(lock); // an empty file that may stay
        }
    }
    Ok((files.len(), files.iter().map(|(_, bytes)| bytes).sum()))
}

/// What all files may take together, in bytes.
pub fn most() -> u64 {
    let set = std::env::var("TINDERBOX_CACHE_GB").ok().and_then(|text| text.parse().ok());
    (set.unwrap_or(MOST_GB).max(0.0) * 1e9) as u64
}

/// A file that is being written.
pub(super) struct Packing {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
}

impl Packing {
    /// Begins the file of a name, of about so many bytes. Older files make room for it.
    ///
    /// # Errors
    /// Io: it cannot be written, or is larger than all files may be.
    pub fn begin(key: &str, bytes: u64) -> Result<Self> {
        let refused = |why: String| Error::new(ErrorKind::Io, why);
        let folder = folder().ok_or_else(|| refused("there is no folder for caches".into()))?;
        if bytes > most() {
            return Err(refused(format!(
                "the decoded pictures take {:.1} GB, and those that are kept may take {:.1}: TINDERBOX_CACHE_GB may say more",
                bytes as f64 / 1e9,
                most() as f64 / 1e9
            )));
        }
        make_folder(&folder)?;
        let files = files();
        let mut taken: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        for (path, size) in files {
            if taken + bytes > most() && fs::remove_file(&path).is_ok() {
                taken -= size;
            }
        }
        let path = folder.join(key).with_extension(ENDING);
        // Other processes, on this machine or on another with the same folder, may make the same file.
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let part = path.with_extension(format!("{}-{now}.part", std::process::id()));
        let file = File::create(&part).map_err(|e| Error::io("write", &part, e))?;
        Ok(Self { path, part, file: BufWriter::with_capacity(1 << 20, file) })
    }

    /// Adds an image.
    ///
    /// # Errors
    /// Io.
    pub fn push(&mut self, pixels: &[u8]) -> Result<()> {
        self.file.write_all(pixels).map_err(|e| Error::io("write", &self.part, e))
    }

    /// Ends the file, and opens it. Without a colour, one plane of each image is kept.
    ///
    /// # Errors
    /// Io. Invalid data: labels without a class.
    pub fn finish(
        mut self,
        shape: ImageShape,
        colour: bool,
        [train, test]: [Vec<Label>; 2],
        classes: Vec<String>,
        left_out: Vec<String>,
    ) -> Result<Dataset> {
        let images = train.len() + test.len();
        let grey = ImageShape { channels: 1, ..shape };
        let description = Description { shape: if colour { shape } else { grey }, train, test, classes, left_out };
        let text = serde_json::to_vec(&description).unwrap_or_default(); // plain data, which JSON always holds
        let written = self.file.flush().and_then(|()| {
            if !colour {
                keep_one_plane(&self.part, shape, images)?;
            }
            let mut file = File::options().append(true).open(&self.part)?;
            file.write_all(&text)?;
            file.write_all(&(text.len() as u64).to_le_bytes())?;
            file.write_all(MAGIC)?;
            fs::rename(&self.part, &self.path)
        });
        written.map_err(|e| Error::io("write", &self.part, e))?;
        read(&self.path)
    }
}

/// A packing that was given up leaves nothing.
impl Drop for Packing {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part); // after `finish` there is none
    }
}

/// Shortens a file of coloured images that have no colour.
fn keep_one_plane(path: &Path, shape: ImageShape, images: usize) -> std::io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let plane = shape.len() / 3;
    let mut pixels = vec![0; plane];
    for i in 0..images as u64 {
        file.seek(SeekFrom::Start(i * shape.len() as u64))?;
        file.read_exact(&mut pixels)?;
        file.seek(SeekFrom::Start(i * plane as u64))?;
        file.write_all(&pixels)?;
    }
    file.set_len(images as u64 * plane as u64)
}

/// Maps a file of decoded pictures, after a look at its end and its length.
///
/// # Errors
/// Io. Invalid data, naming the file: it is another one, or cut short.
pub fn read(path: &Path) -> Result<Dataset> {
    map_whole(path).map(|(dataset, _)| dataset)
}

/// The data set of a file, and what is told of files that were left out.
fn map_whole(path: &Path) -> Result<(Dataset, Vec<String>)> {
    let io = |e| Error::io("read", path, e);
    let damaged = || Error::invalid_file(path, "expected decoded pictures: remove this file");
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut end = [0; 16];
    file.seek(SeekFrom::End(-16)).and_then(|_| file.read_exact(&mut end)).map_err(|_| damaged())?;
    let (size, magic) = end.split_at(8);
    let size = size.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    if magic != MAGIC || size > MOST_DESCRIPTION || size + 16 > length {
        return Err(damaged());
    }
    let mut text = vec![0; size as usize];
    let pixels = length - 16 - size;
    file.seek(SeekFrom::Start(pixels)).and_then(|_| file.read_exact(&mut text)).map_err(io)?;
    let Description { shape, train, test, classes, left_out } = serde_json::from_slice(&text).map_err(|_| damaged())?;
    let (images, bytes) = ((train.len() + test.len()) as u64, shape.len() as u64);
    if images.checked_mul(bytes) != Some(pixels) {
        return Err(damaged());
    }
    let _ = file.set_modified(std::time::SystemTime::now()); // it was used; where that cannot be noted, it is only older
    let all = map(&file).map_err(io)?;
    let first = train.len() * shape.len();
    let split = |range, labels| Split { pixels: all.slice(range), labels, shape };
    let (test_labels, end) = (test, pixels as usize);
    let dataset = Dataset::new(split(0..first, train), split(first..end, test_labels), classes);
    Ok((dataset.map_err(|e| e.in_file(path))?, left_out))
}

/// The bytes of a file, which come from the disk when they are looked at.
#[allow(unsafe_code)]
fn map(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the bytes of a mapping must not change while it is there. Files of this folder are written under another name,
    // renamed when they are whole, and from then on only removed, which leaves a mapping as it is on a disk of this machine.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn only_one_at_a_time_makes_the_file_of_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let (waits, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let first = turn_in(dir.path(), "a", || unreachable!("nobody else has it")).unwrap();
        drop(turn_in(dir.path(), "b", || unreachable!("another name")).unwrap());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let _turn = turn_in(dir.path(), "a", || waits.store(true, Ordering::SeqCst)).unwrap();
                assert!(done.load(Ordering::SeqCst));
            });
            while !waits.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            done.store(true, Ordering::SeqCst);
            drop(first);
            second.join().unwrap();
        });
    }
}
