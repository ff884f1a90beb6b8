//! The bytes of CIFAR-10's files.

use crate::data::dataset::{Dataset, ImageShape, Label, Split};
use crate::error::{Error, Result};

/// The shape of every image.
const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
pub(super) const RECORD: usize = 1 + 3072;
/// The published files have this many records; a subset may have fewer.
pub(super) const MAX_RECORDS: usize = 10_000;
const CLASSES: [&str; 10] = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/// The files of the train set, in their order.
pub const TRAIN_FILES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
/// The file of the test set.
pub const TEST_FILE: &str = "test_batch.bin";

/// A data set that is put together from pieces of its files as they come, so that no file need be in memory beside the images.
/// The published train set is five files; any number from one will do.
#[derive(Debug)]
pub struct Parts {
    files: Vec<Part>,
    train: Images,
    test: Images,
}

/// A file, as far as it is there.
#[derive(Debug)]
struct Part {
    name: String,
    is_test: bool,
    /// The place of its first image in its split.
    first: usize,
    /// Bytes that it has, and those that came.
    length: usize,
    taken: usize,
}

#[derive(Debug, Default)]
struct Images {
    pixels: Vec<u8>,
    labels: Vec<Label>,
}

impl Parts {
    /// Makes room for files of these names and lengths in bytes, those of the train set in the order of their images. A name may
    /// be a path; errors give it.
    ///
    /// # Errors
    /// Invalid data: a length is not that of records, or two files have one name.
    pub fn new(files: impl IntoIterator<Item = (String, usize)>) -> Result<Self> {
        let mut parts = Self { files: Vec::new(), train: Images::default(), test: Images::default() };
        for (name, length) in files {
            if length == 0 || !length.is_multiple_of(RECORD) || length > RECORD * MAX_RECORDS {
                return Err(Error::invalid(format!(
                    "{name}: expected 1 to {MAX_RECORDS} records of {RECORD} bytes, found {length} bytes: record {} is cut short",
                    length / RECORD
                )));
            }
            if parts.files.iter().any(|part| part.name == name) {
                return Err(Error::invalid(format!("two files are called {name}")));
            }
            let is_test = name.ends_with(TEST_FILE);
            let images = if is_test { &mut parts.test } else { &mut parts.train };
            let first = images.labels.len();
            images.labels.resize(first + length / RECORD, 0);
            parts.files.push(Part { name, is_test, first, length, taken: 0 });
        }
        for images in [&mut parts.train, &mut parts.test] {
            images.pixels = vec![0; images.labels.len() * SHAPE.len()];
        }
        Ok(parts)
    }

    /// Takes the next bytes of a file.
    ///
    /// # Errors
    /// Invalid data, naming file and offset; also for bytes that nobody expects.
    pub fn add(&mut self, name: &str, mut bytes: &[u8]) -> Result<()> {
        let known = self.files.iter_mut().find(|part| part.name == name);
        let part = known.ok_or_else(|| Error::invalid(format!("{name}: nobody expects this file")))?;
        if bytes.len() > part.length - part.taken {
            return Err(Error::invalid(format!(
                "{name}: it has more than the {} bytes that it had before",
                part.length
            )));
        }
        let images = if part.is_test { &mut self.test } else { &mut self.train };
        while !bytes.is_empty() {
            let (image, offset) = (part.first + part.taken / RECORD, part.taken % RECORD);
            let (some, rest) = bytes.split_at(bytes.len().min(if offset == 0 { 1 } else { RECORD - offset }));
            if offset > 0 {
                let start = image * SHAPE.len() + offset - 1;
                images.pixels[start..start + some.len()].copy_from_slice(some);
            } else if usize::from(some[0]) < CLASSES.len() {
                images.labels[image] = some[0].into();
            } else {
                let (offset, label) = (part.taken, some[0]);
                let message = format!("{name}: offset {offset}: expected a label from 0 to 9, found {label}");
                return Err(Error::invalid(message));
            }
            part.taken += some.len();
            bytes = rest;
        }
        Ok(())
    }

    /// The data set.
    ///
    /// # Errors
    /// Invalid data: one of its two splits has no image, or a file did not come whole.
    pub fn finish(self) -> Result<Dataset> {
        if let Some(Part { name, length, taken, .. }) = self.files.iter().find(|part| part.taken < part.length) {
            return Err(Error::invalid(format!("{name}: expected {length} bytes, found {taken}")));
        }
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
/// As those of [`Parts`].
pub fn from_files(files: Vec<(String, Vec<u8>)>) -> Result<Dataset> {
    let mut parts = Parts::new(files.iter().map(|(name, bytes)| (name.clone(), bytes.len())))?;
    for (name, bytes) in files {
        parts.add(&name, &bytes)?;
    }
    parts.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many records, which differ.
    fn file(records: usize, seed: usize) -> Vec<u8> {
        (0..records * RECORD)
            .map(|i| if i % RECORD == 0 { (i / RECORD + seed) % 10 } else { i * seed % 251 } as u8)
            .collect()
    }

    #[test]
    fn pieces_of_any_length_in_any_order_of_the_files_make_the_same_data_set() {
        let files =
            [("data_batch_1.bin", file(3, 1)), ("data_batch_2.bin", file(2, 4)), ("test_batch.bin", file(2, 7))];
        let whole = from_files(files.iter().map(|(name, bytes)| (name.to_string(), bytes.clone())).collect()).unwrap();
        assert_eq!(whole.train.labels, [1, 2, 3, 4, 5]);
        assert_eq!(whole.test.image(1).unwrap(), &files[2].1[RECORD + 1..]);
        let announced = || Parts::new(files.iter().map(|(name, bytes)| (name.to_string(), bytes.len())));
        for size in [1, 1000, RECORD, RECORD + 1, 1 << 20] {
            let mut parts = announced().unwrap();
            for (name, bytes) in files.iter().rev() {
                bytes.chunks(size).for_each(|piece| parts.add(name, piece).unwrap());
            }
            assert_eq!(parts.finish().unwrap(), whole, "in pieces of {size}");
        }
        let mut parts = announced().unwrap();
        assert!(parts.add("data_batch_3.bin", &[1]).is_err(), "nobody expects it");
        parts.add(files[2].0, &files[2].1).unwrap();
        assert!(parts.add(files[2].0, &[1]).is_err(), "it is longer than it was said to be");
        let error = parts.finish().unwrap_err().to_string();
        assert_eq!(error, "data_batch_1.bin: expected 9219 bytes, found 0");
        let twice = Parts::new([("a.bin".into(), RECORD), ("a.bin".into(), RECORD)]).unwrap_err().to_string();
        assert_eq!(twice, "two files are called a.bin");
    }
}
