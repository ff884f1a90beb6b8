//! CIFAR-10's archive, read as it streams by.

use std::io::Read;

use super::records::{MAX_RECORDS, RECORD, TEST_FILE, TRAIN_FILES, from_files};
use crate::data::dataset::Dataset;
use crate::error::{Error, Result};

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
