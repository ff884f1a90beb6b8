//! Where the files of CIFAR-10 are looked for, and downloaded from.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::archive::{from_archive, read_file};
use super::records::{Parts, RECORD, TEST_FILE, TRAIN_FILES};
use crate::data::dataset::Loaded;
use crate::data::download::{self, Remote};
use crate::data::origin::Origin;
use crate::error::{Error, Result};
use crate::notice::Notices;

const FOLDER: &str = "cifar-10-batches-bin";

const REMOTE: Remote = Remote {
    name: "cifar-10-binary.tar.gz",
    bytes: 170_052_171,
    sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
};
const MIRRORS: [&str; 1] = ["https://www.cs.toronto.edu/~kriz/"];

/// Loads the six files from the first of `places` that has them, itself or in `cifar-10-batches-bin`; else from the
/// archive in the first place, downloaded if it is not there.
pub(in crate::data) fn load(places: &[PathBuf], notices: Notices<'_>) -> Result<Loaded> {
    if let Some(dir) = folder(places) {
        let paths: Vec<PathBuf> = TRAIN_FILES.iter().chain([&TEST_FILE]).map(|name| dir.join(name)).collect();
        let mut parts =
            Parts::new(paths.iter().map(|path| Ok((name(path), length(path)?))).collect::<Result<Vec<_>>>()?)?;
        for path in &paths {
            let bytes = File::open(path).and_then(read_file).map_err(|e| Error::io("read", path, e))?;
            parts.add(&name(path), &bytes)?;
        }
        return Ok(Loaded { dataset: parts.finish()?, origin: Origin::Folder(dir) });
    }
    let target = places.first().cloned().unwrap_or_else(|| "data".into());
    download::all(&[REMOTE], &MIRRORS, &target, notices).map_err(|e| {
        let (files, folder) = (TRAIN_FILES.join(", "), target.join(FOLDER));
        e.reword(|m| format!("{m}\nIts unpacked {files} and {TEST_FILE} would do as well, in {}", folder.display()))
    })?;
    let path = target.join(REMOTE.name);
    let file = File::open(&path).map_err(|e| Error::io("read", &path, e))?;
    let dataset = from_archive(GzDecoder::new(std::io::BufReader::new(file)), &path.display().to_string())?;
    Ok(Loaded { dataset, origin: Origin::Archive(path) })
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// The bytes of a file, or as many as can be counted here.
fn length(path: &Path) -> Result<usize> {
    let length = fs::metadata(path).map_err(|e| Error::io("read", path, e))?.len();
    Ok(usize::try_from(length).unwrap_or(usize::MAX))
}

/// The folder of the six files, in the first of `places` that has them.
fn folder(places: &[PathBuf]) -> Option<PathBuf> {
    let complete = |dir: &PathBuf| TRAIN_FILES.iter().chain([&TEST_FILE]).all(|name| dir.join(name).is_file());
    places.iter().flat_map(|dir| [dir.join(FOLDER), dir.clone()]).find(complete)
}

/// Images in [`sample`] of the first train file, and of the test file.
const SAMPLE: [(&str, usize); 2] = [(TRAIN_FILES[0], 2_000), (TEST_FILE, 500)];

/// The beginnings of two files, which are files of the same kind: what a page can fetch, and train on while one looks on. `None`
/// where the files are in none of `places`, or cannot be read.
pub(in crate::data) fn sample(places: &[PathBuf]) -> Option<Vec<(&'static str, Vec<u8>)>> {
    let dir = folder(places)?;
    let beginning = |(name, records): (&'static str, usize)| {
        let (mut bytes, most) = (Vec::new(), (records * RECORD) as u64);
        File::open(dir.join(name)).ok()?.take(most).read_to_end(&mut bytes).ok()?;
        Some((name, bytes))
    };
    SAMPLE.into_iter().map(beginning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::notice::silent;
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
        for (i, name) in TRAIN_FILES.iter().chain([&TEST_FILE]).enumerate() {
            std::fs::write(folder.join(name), file(i as u8)).unwrap();
        }
        let places = [dir.path().to_path_buf()];
        let loaded = load(&places, &mut silent).unwrap().dataset;
        assert_eq!(loaded.train.labels, [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]);
        assert_eq!(loaded.test.labels, [5, 4]);
        assert_eq!(loaded.train.image(2).unwrap(), [1; 3072]);
        let sample = sample(&places).unwrap();
        assert_eq!(sample, [("data_batch_1.bin", file(0)), ("test_batch.bin", file(5))], "these are short");

        let third = folder.join(TRAIN_FILES[2]);
        let mut bad = file(2);
        bad[RECORD] = 10;
        std::fs::write(&third, &bad).unwrap();
        let error = load(&places, &mut silent).err().unwrap().to_string();
        assert!(
            error.contains("data_batch_3.bin") && error.contains("offset 3073") && error.contains("found 10"),
            "{error}"
        );
        for length in [0, 1, RECORD - 1, RECORD + 1, 2 * RECORD - 1] {
            std::fs::write(&third, &file(2)[..length]).unwrap();
            let error = load(&places, &mut silent).err().unwrap();
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
        for (i, name) in TRAIN_FILES.iter().chain([&TEST_FILE]).enumerate() {
            add(format!("/abs/../{name}").as_bytes(), tar::EntryType::Regular, &file(i as u8));
        }
        builder.into_inner().unwrap().finish().unwrap().flush().unwrap();
        let Loaded { dataset, origin } = load(&[dir.path().to_path_buf()], &mut silent).unwrap();
        assert_eq!((dataset.train.len(), dataset.test.len()), (10, 2));
        assert_eq!(origin.folder(), Some(dir.path()), "a folder that can be named again, not the archive");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was unpacked");

        std::fs::write(&path, b"<html>").unwrap();
        assert_eq!(load(&[dir.path().to_path_buf()], &mut silent).err().unwrap().kind(), ErrorKind::InvalidData);
    }
}
