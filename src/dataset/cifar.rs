//! CIFAR-10 in its published binary layout: files of 3,073-byte records, a label and 32x32 pixels of red, of green and
//! of blue. Source: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::source::Loaded;
use super::{Dataset, ImageShape, Split};
use crate::error::{Error, Result};
use crate::fetch::{self, Remote};

/// Of every image.
const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
const RECORD: usize = 1 + 3072;
/// The published files have this many records; a subset may have fewer.
const MAX_RECORDS: usize = 10_000;
const CLASSES: [&str; 10] = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST: &str = "test_batch.bin";
const FOLDER: &str = "cifar-10-batches-bin";

const REMOTE: Remote = Remote {
    name: "cifar-10-binary.tar.gz",
    bytes: 170_052_171,
    sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
};
const MIRRORS: [&str; 1] = ["https://www.cs.toronto.edu/~kriz/"];

/// Loads the six files from the first of `places` that has them, itself or in `cifar-10-batches-bin`; else from the
/// archive in the first place, downloaded if it is not there.
pub(super) fn load(places: &[PathBuf]) -> Result<Loaded> {
    let complete = |dir: &PathBuf| TRAIN.iter().chain([&TEST]).all(|name| dir.join(name).is_file());
    let candidates = places.iter().flat_map(|dir| [dir.join(FOLDER), dir.clone()]);
    if let Some(dir) = candidates.into_iter().find(complete) {
        let read = |name: &str| {
            let path = dir.join(name);
            let file = File::open(&path).map_err(|e| Error::io("read", &path, &e))?;
            read_file(file).map_err(|e| Error::io("read", &path, &e)).map(|bytes| (path, bytes))
        };
        let train = TRAIN.iter().map(|name| read(name)).collect::<Result<Vec<_>>>()?;
        return dataset(&train, &read(TEST)?, dir.display().to_string());
    }
    let target = places.first().cloned().unwrap_or_else(|| "data".into());
    fetch::all(&[REMOTE], &MIRRORS, &target).map_err(|e| {
        let unpacked =
            format!("{e}; or put its unpacked {} and {TEST} into {}", TRAIN.join(", "), target.join(FOLDER).display());
        Error::new(e.kind(), unpacked)
    })?;
    from_archive(&target.join(REMOTE.name))
}

/// Reads the six files out of the archive as it streams by. No path of the archive reaches the file system.
fn from_archive(path: &Path) -> Result<Loaded> {
    let file = File::open(path).map_err(|e| Error::io("read", path, &e))?;
    let broken = |e: std::io::Error| Error::invalid(path, format!("cannot be read to its end: {e}"));
    let mut archive = tar::Archive::new(GzDecoder::new(std::io::BufReader::new(file)));
    let mut found: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = entry.path().ok().and_then(|p| Some(p.file_name()?.to_str()?.to_string())).unwrap_or_default();
        let wanted = TRAIN.iter().chain([&TEST]).any(|known| **known == *name);
        if wanted && entry.header().entry_type().is_file() && !found.iter().any(|(p, _)| p.ends_with(&name)) {
            found.push((path.join(&name), read_file(entry).map_err(broken)?));
        }
    }
    let mut take = |name: &str| {
        let position = found.iter().position(|(p, _)| p.ends_with(name));
        position.map(|i| found.swap_remove(i)).ok_or_else(|| Error::invalid(path, format!("holds no {name}")))
    };
    let train = TRAIN.iter().map(|name| take(name)).collect::<Result<Vec<_>>>()?;
    let test = take(TEST)?;
    dataset(&train, &test, path.display().to_string())
}

/// Reads a file, but not more than the largest one there is, and one byte to notice that there is more.
fn read_file(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take((RECORD * MAX_RECORDS) as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn dataset(train: &[(PathBuf, Vec<u8>)], test: &(PathBuf, Vec<u8>), origin: String) -> Result<Loaded> {
    let mut split = Split { pixels: Vec::new(), labels: Vec::new(), shape: SHAPE };
    let mut test_split = split.clone();
    for (path, bytes) in train {
        append(bytes, &mut split).map_err(|e| Error::invalid(path, e))?;
    }
    append(&test.1, &mut test_split).map_err(|e| Error::invalid(&test.0, e))?;
    let dataset = Dataset::new(split, test_split, CLASSES.map(String::from).to_vec())?;
    Ok(Loaded { dataset, origin })
}

/// Checks a file's records and appends them.
fn append(bytes: &[u8], split: &mut Split) -> Result<(), String> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) || bytes.len() > RECORD * MAX_RECORDS {
        return Err(format!(
            "expected 1 to {MAX_RECORDS} records of {RECORD} bytes, found {} bytes: record {} is cut short",
            bytes.len(),
            bytes.len() / RECORD
        ));
    }
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        let (label, pixels) = (record[0], &record[1..]);
        if usize::from(label) >= CLASSES.len() {
            return Err(format!("offset {}: expected a label from 0 to 9, found {label}", i * RECORD));
        }
        split.labels.push(label);
        split.pixels.extend_from_slice(pixels);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::io::Write;

    /// Two records a file, with the file's number as every pixel.
    fn file(number: u8) -> Vec<u8> {
        [vec![number], vec![number; 3072], vec![9 - number], vec![number; 3072]].concat()
    }

    #[test]
    fn files_are_read_in_their_order_and_errors_name_offset_and_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(FOLDER);
        std::fs::create_dir(&folder).unwrap();
        for (i, name) in TRAIN.iter().chain([&TEST]).enumerate() {
            std::fs::write(folder.join(name), file(i as u8)).unwrap();
        }
        let places = [dir.path().to_path_buf()];
        let loaded = load(&places).unwrap().dataset;
        assert_eq!(loaded.train.labels, [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]);
        assert_eq!(loaded.test.labels, [5, 4]);
        assert_eq!(loaded.train.image(2).unwrap(), [1; 3072]);

        let third = folder.join(TRAIN[2]);
        let mut bad = file(2);
        bad[RECORD] = 10;
        std::fs::write(&third, &bad).unwrap();
        let error = load(&places).err().unwrap().to_string();
        assert!(
            error.contains("data_batch_3.bin") && error.contains("offset 3073") && error.contains("found 10"),
            "{error}"
        );
        for length in [0, 1, RECORD - 1, RECORD + 1, 2 * RECORD - 1] {
            std::fs::write(&third, &file(2)[..length]).unwrap();
            let error = load(&places).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
    }

    #[test]
    fn an_archive_gives_up_its_known_names_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(REMOTE.name);
        let mut builder =
            tar::Builder::new(flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast()));
        let mut add = |name: &[u8], kind: tar::EntryType, data: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name); // `set_path` refuses what is tested here
            header.set_size(data.len() as u64);
            header.set_entry_type(kind);
            header.set_cksum();
            builder.append(&header, data).unwrap();
        };
        add(b"../../escaped.bin", tar::EntryType::Regular, b"x");
        add(b"cifar/test_batch.bin", tar::EntryType::Symlink, b"");
        for (i, name) in TRAIN.iter().chain([&TEST]).enumerate() {
            add(format!("/abs/../{name}").as_bytes(), tar::EntryType::Regular, &file(i as u8));
        }
        builder.into_inner().unwrap().finish().unwrap().flush().unwrap();
        let loaded = load(&[dir.path().to_path_buf()]).unwrap().dataset;
        assert_eq!((loaded.train.len(), loaded.test.len()), (10, 2));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was unpacked");

        std::fs::write(&path, b"<html>").unwrap();
        assert_eq!(load(&[dir.path().to_path_buf()]).err().unwrap().kind(), ErrorKind::InvalidData);
    }
}
