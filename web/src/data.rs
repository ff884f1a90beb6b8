//! Data sets from the bytes of their files.

use tinderbox::data::cifar::{self, TEST_FILE, TRAIN_FILES};
use tinderbox::data::{Dataset, Split, parse_split};
use tinderbox::error::{Error, ErrorKind, Result};

/// The files of a data set, uncompressed, one after the other: MNIST's four, CIFAR-10's, or CIFAR-10's archive.
#[derive(Default)]
pub struct Files {
    /// CIFAR-10's are read as they come: all of them twice would be more than a tab should take.
    cifar: Option<cifar::Parts>,
    /// The names of those.
    names: Vec<String>,
    others: Vec<(String, Vec<u8>)>,
}

impl Files {
    /// Takes a file, of which so many are still `to_come`.
    pub fn add(&mut self, name: String, bytes: Vec<u8>, to_come: usize) -> Result<()> {
        if name.ends_with(".bin") {
            self.cifar.get_or_insert_default().add(&name, &bytes, to_come)?;
            self.names.push(name);
        } else {
            self.others.push((name, bytes));
        }
        Ok(())
    }

    /// The data set that they are.
    pub fn parse(self) -> Result<Dataset> {
        if let Some((name, file)) = self.others.iter().find(|(name, _)| name.ends_with(".tar")) {
            return cifar::from_archive(file.as_slice(), name);
        }
        let missing = |name: &str| {
            let message = format!("there is no {name} among these files: drop all of a data set at once");
            Error::new(ErrorKind::MissingData, message)
        };
        if let Some(parts) = self.cifar {
            for wanted in [&[TEST_FILE][..], &TRAIN_FILES] {
                if !self.names.iter().any(|name| wanted.contains(&name.as_str())) {
                    return Err(missing(wanted[0]));
                }
            }
            return parts.finish();
        }
        let find =
            |start: &str| self.others.iter().find(|(name, _)| name.starts_with(start)).ok_or_else(|| missing(start));
        let split = |kind: &str| -> Result<Split> {
            let (images, labels) =
                (find(&format!("{kind}-images-idx3-ubyte"))?, find(&format!("{kind}-labels-idx1-ubyte"))?);
            parse_split(&images.1, &labels.1)
                .map_err(|e| e.reword(|message| format!("{} and {}: {message}", images.0, labels.0)))
        };
        let (train, test) = (split("train")?, split("t10k")?);
        let highest = train.labels.iter().chain(&test.labels).copied().max().unwrap_or(0);
        Dataset::new(train, test, (0..=highest).map(|class| class.to_string()).collect())
    }
}
