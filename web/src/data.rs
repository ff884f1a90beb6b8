//! Data sets from the bytes of their files.

use tinderbox::dataset::{Dataset, Split, parse_split};
use tinderbox::error::{Error, ErrorKind, Result};

/// A data set of two pairs of uncompressed IDX files, images and labels, with as many classes as its labels need.
pub fn idx(train: [&[u8]; 2], test: [&[u8]; 2]) -> Result<Dataset> {
    let split = |name: &str, [images, labels]: [&[u8]; 2]| -> Result<Split> {
        parse_split(images, labels).map_err(|e| Error::new(ErrorKind::InvalidData, format!("{name}: {e}")))
    };
    let (train, test) = (split("train", train)?, split("test", test)?);
    let highest = train.labels.iter().chain(&test.labels).copied().max().unwrap_or(0);
    Dataset::new(train, test, (0..=highest).map(|class| class.to_string()).collect())
}
