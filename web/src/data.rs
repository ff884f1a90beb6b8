//! Data sets from the bytes of their files.

use js_sys::Uint8Array;
use tinderbox::data::cifar::{self, TEST_FILE, TRAIN_FILES};
use tinderbox::data::{Dataset, Split, parse_split};
use tinderbox::error::{Error, ErrorKind, Result};

/// A data set of uncompressed files: MNIST's four, CIFAR-10's, or CIFAR-10's archive.
pub fn parse(names: Vec<String>, files: &[Uint8Array]) -> Result<Dataset> {
    let find = |start: &str| names.iter().zip(files).find(|(name, _)| name.starts_with(start));
    if let Some((name, file)) = names.iter().zip(files).find(|(name, _)| name.ends_with(".tar")) {
        return cifar::from_archive(file.to_vec().as_slice(), name);
    }
    let bytes = |name: &str| {
        let found = find(name).map(|(name, file)| (name.clone(), file.to_vec()));
        let message = || format!("there is no {name} among these files: drop all of a data set at once");
        found.ok_or_else(|| Error::new(ErrorKind::MissingData, message()))
    };
    if names.iter().any(|name| name.ends_with(".bin")) {
        let train: Vec<_> =
            TRAIN_FILES.iter().filter(|name| find(name).is_some()).map(|name| bytes(name)).collect::<Result<_>>()?;
        if train.is_empty() {
            bytes(TRAIN_FILES[0])?;
        }
        return cifar::from_files(&train, &bytes(TEST_FILE)?);
    }
    let split = |kind: &str| -> Result<Split> {
        let (images, labels) =
            (bytes(&format!("{kind}-images-idx3-ubyte"))?, bytes(&format!("{kind}-labels-idx1-ubyte"))?);
        parse_split(&images.1, &labels.1)
            .map_err(|e| e.reword(|message| format!("{} and {}: {message}", images.0, labels.0)))
    };
    let (train, test) = (split("train")?, split("t10k")?);
    let highest = train.labels.iter().chain(&test.labels).copied().max().unwrap_or(0);
    Dataset::new(train, test, (0..=highest).map(|class| class.to_string()).collect())
}
