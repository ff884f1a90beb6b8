//! The bytes of CIFAR-10's files and of its archive.

use std::io::Read;

use crate::data::dataset::{Dataset, ImageShape, Label, Split};
use crate::error::{Error, Result};

/// The shape of every image.
const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
pub(super) const RECORD: usize = 1 + 3072;
/// The published files have this many records; a subset may have fewer.
const MAX_RECORDS: usize = 10_000;
const CLASSES: [&str; 10] = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/// The files of the train set, in their order.
pub const TRAIN_FILES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
/// The file of the test set.
pub const TEST_FILE: &str = "test_batch.bin";

/// A data set that is put together file by file, so that the bytes of no more than one of them need be in memory beside the
/// images. The published train set is five files; any number from one will do.
#[derive(Debug, Default)]
pub struct Parts {
    train: Images,
    test: Images,
}

#[derive(Debug, Default)]
struct Images {
    pixels: Vec<u8>,
    labels: Vec<Label>,
}

impl Parts {
    /// Adds the bytes of a file, with the name that errors give it. As many files are still `to_come`, for which room is made.
    ///
    /// # Errors
    /// Invalid data, naming file and offset.
    pub fn add(&mut self, name: &str, bytes: &[u8], to_come: usize) -> Result<()> {
        let is_test = name.ends_with(TEST_FILE);
        let images = if is_test { &mut self.test } else { &mut self.train };
        if images.labels.is_empty() {
            let like_this = if is_test { 0 } else { to_come.min(TRAIN_FILES.len() - 1) };
            images.pixels.reserve_exact(bytes.len() * (1 + like_this));
        }
        images.append(bytes).map_err(|e| e.reword(|message| format!("{name}: {message}")))
    }

    /// The data set.
    ///
    /// # Errors
    /// Invalid data: one of its two splits has no image.
    pub fn finish(self) -> Result<Dataset> {
        let [train, test] = [self.train, self.test].map(|Images { pixels, labels }| Split {
            pixels: pixels.into(),
            labels,
            shape: SHAPE,
        });
        Dataset::new(train, test, CLASSES.map(String::from).to_vec())
    }
}

/// A data set of the bytes of its files, each with the name that errors give it.
///
/// # Errors
/// As [`Parts::add`] and [`Parts::finish`].
pub fn from_files(files: Vec<(String, Vec<u8>)>) -> Result<Dataset> {
    let (mut parts, mut to_come) = (Parts::default(), files.len());
    for (name, bytes) in files {
        to_come -= 1;
        parts.add(&name, &bytes, to_come)?;
    }
    parts.finish()
}

/// The data set in the published archive, unzipped, of which `name` is the name in errors. The six files are read as the
/// archive streams by; no path in it reaches a file system.
///
/// # Errors
/// Invalid data: no archive, cut short, a file missing or broken.
pub fn from_archive(tar: impl Read, name: &str) -> Result<Dataset> {
    let broken =
        |e: std::io::Error| Error::invalid(format!("{name} cannot be read to its end as an archive: {e}")).caused_by(e);
    let mut archive = tar::Archive::new(tar);
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let file = entry.path().ok().and_then(|p| Some(p.file_name()?.to_str()?.to_string())).unwrap_or_default();
        let wanted = TRAIN_FILES.iter().chain([&TEST_FILE]).any(|known| **known == *file);
        if wanted && entry.header().entry_type().is_file() && !found.iter().any(|(known, _)| *known == file) {
            found.push((file, read_file(entry).map_err(broken)?));
        }
    }
    let mut take = |file: &str| {
        let position = found.iter().position(|(known, _)| known == file);
        let missing = || Error::invalid(format!("{name} holds no {file}"));
        let (file, bytes) = position.map(|i| found.swap_remove(i)).ok_or_else(missing)?;
        Ok((format!("{name}/{file}"), bytes))
    };
    from_files(TRAIN_FILES.iter().chain([&TEST_FILE]).map(|file| take(file)).collect::<Result<_>>()?)
}

/// Reads a file, but not more than the largest one there is, and one byte to notice that there is more.
pub(super) fn read_file(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take((RECORD * MAX_RECORDS) as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Images {
    /// Checks a file's records and appends them.
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) || bytes.len() > RECORD * MAX_RECORDS {
            return Err(Error::invalid(format!(
                "expected 1 to {MAX_RECORDS} records of {RECORD} bytes, found {} bytes: record {} is cut short",
                bytes.len(),
                bytes.len() / RECORD
            )));
        }
        for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
            let (label, pixels) = (record[0], &record[1..]);
            if usize::from(label) >= CLASSES.len() {
                let message = format!("offset {}: expected a label from 0 to 9, found {label}", i * RECORD);
                return Err(Error::invalid(message));
            }
            self.labels.push(label.into());
            self.pixels.extend_from_slice(pixels);
        }
        Ok(())
    }
}
