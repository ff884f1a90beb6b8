//! Data sets on the host: checked images (u8) and labels.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::origin::Origin;
use crate::error::{Error, Result};

/// The most classes of a data set: ImageNet has 1,000.
pub const MAX_CLASSES: usize = 1024;
/// A class, by its index.
pub type Label = u16;
/// The longest side of an image; more means that a file is not what it says.
pub const MAX_IMAGE_SIDE: usize = 4096;

/// The shape of one image: channels, height, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageShape {
    /// 1 for grey, 3 for colour.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// Values per image.
    pub fn len(&self) -> usize {
        self.channels.saturating_mul(self.height).saturating_mul(self.width)
    }

    /// Whether an image of this shape holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for ImageShape {
    /// `CxHxW`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// Images with their labels: `pixels` holds `labels.len()` images of `shape`, one after the other, each
/// channel by channel, row by row. Every label is below the number of classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// `labels.len() * shape.len()` bytes; clones share them.
    pub pixels: Bytes,
    /// One class index an image.
    pub labels: Vec<Label>,
    /// The shape of every image.
    pub shape: ImageShape,
}

impl Split {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of image `index`, or `None` beyond the end.
    pub fn image(&self, index: usize) -> Option<&[u8]> {
        self.pixels.chunks_exact(self.shape.len()).nth(index)
    }

    /// The first `fraction` of the images of every class, in their order, so that classes stay balanced.
    /// Of a class of `n` images, `n * fraction` are kept, rounded down, but at least one.
    pub fn fraction(&self, fraction: f64, classes: usize) -> Self {
        if fraction >= 1.0 {
            return self.clone();
        }
        let mut left: Vec<usize> = (0..classes)
            .map(|class| self.labels.iter().filter(|&&l| usize::from(l) == class).count())
            .map(|n| (((n as f64) * fraction) as usize).max(usize::from(n > 0)))
            .collect();
        let images: usize = left.iter().sum();
        let (mut pixels, mut labels) = (Vec::with_capacity(images * self.shape.len()), Vec::with_capacity(images));
        for (image, &label) in self.pixels.chunks_exact(self.shape.len()).zip(&self.labels) {
            let left = &mut left[usize::from(label)];
            if *left > 0 {
                *left -= 1;
                pixels.extend_from_slice(image);
                labels.push(label);
            }
        }
        Self { pixels: pixels.into(), labels, shape: self.shape }
    }
}

/// A number by which other numbers are told apart: FNV-1a, as of bytes, over whole numbers of up to 32 bits.
pub fn fnv_1a(numbers: impl Iterator<Item = u32>) -> u64 {
    numbers.fold(0xcbf2_9ce4_8422_2325, |hash, number| (hash ^ u64::from(number)).wrapping_mul(0x0100_0000_01b3))
}

/// A train and a test split of the same shape, and the names of the classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Trained on, reshuffled every epoch.
    pub train: Split,
    /// Measured on, in order.
    pub test: Split,
    /// One name a class; a label is an index into it.
    pub classes: Vec<String>,
}

impl Dataset {
    /// So many train and test images that look like nothing, of ten classes: to measure and to compare devices.
    pub fn made_up(shape: ImageShape, train: usize, test: usize) -> Self {
        let split = |images: usize| Split {
            pixels: (0..images * shape.len()).map(|i| (i * 89 % 256) as u8).collect(),
            labels: (0..images).map(|i| (i % 10) as Label).collect(),
            shape,
        };
        Self { train: split(train), test: split(test), classes: (0..10).map(|class| class.to_string()).collect() }
    }

    /// Joins two splits, checking that they fit each other and the classes.
    ///
    /// # Errors
    /// Invalid data: shapes differ, a split is empty, there are too many classes, or a label has none.
    pub fn new(train: Split, test: Split, classes: Vec<String>) -> Result<Self> {
        let refuse = |message: String| Err(Error::invalid(message));
        if train.shape != test.shape {
            return refuse(format!("train images are {}, test images {}", train.shape, test.shape));
        }
        if !(1..=MAX_CLASSES).contains(&classes.len()) {
            return refuse(format!("expected 1 to {MAX_CLASSES} classes, found {}", classes.len()));
        }
        for (name, split) in [("train", &train), ("test", &test)] {
            if split.is_empty() {
                return refuse(format!("the {name} split holds no images"));
            }
            if let Some(label) = split.labels.iter().find(|&&l| usize::from(l) >= classes.len()) {
                return refuse(format!("the {name} split has label {label}, but there are {} classes", classes.len()));
            }
        }
        Ok(Self { train, test, classes })
    }

    /// The shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.train.shape
    }

    /// A number by which other images or labels are told apart: FNV-1a over those of the train set, and then of the test set.
    pub fn fingerprint(&self) -> u64 {
        let numbers = [&self.train, &self.test].into_iter().flat_map(|Split { labels, pixels, .. }| {
            labels.iter().map(|&label| u32::from(label)).chain(pixels.iter().map(|&byte| u32::from(byte)))
        });
        fnv_1a(numbers)
    }

    /// What to remember of the data set when the images are gone.
    pub fn info(&self, origin: &Origin) -> DatasetInfo {
        DatasetInfo {
            origin: origin.clone(),
            train_images: self.train.len(),
            test_images: self.test.len(),
            shape: self.shape(),
            classes: self.classes.clone(),
        }
    }
}

/// A data set and where its files were.
pub struct Loaded {
    /// The images and labels.
    pub dataset: Dataset,
    /// Where they were read from.
    pub origin: Origin,
}

/// What a run keeps of its data set, in `dataset.json`: all that its weights need to be used without the images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// Where the files were.
    pub origin: Origin,
    /// Images trained on.
    pub train_images: usize,
    /// Images measured on.
    pub test_images: usize,
    /// The shape of every image.
    pub shape: ImageShape,
    /// One name a class.
    pub classes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(labels: &[Label]) -> Split {
        let shape = ImageShape { channels: 1, height: 1, width: 2 };
        let pixels = (0..labels.len() * 2).map(|v| v as u8).collect();
        Split { pixels, labels: labels.to_vec(), shape }
    }

    #[test]
    fn a_fraction_takes_the_first_images_of_every_class() {
        let half = split(&[0, 0, 1, 0, 1, 0]).fraction(0.5, 2);
        assert_eq!(half.labels, [0, 0, 1]);
        assert_eq!(half.pixels[..], [0, 1, 2, 3, 4, 5]);
        assert_eq!(split(&[0, 1]).fraction(0.01, 2).labels, [0, 1]);
    }

    #[test]
    fn labels_without_a_class_are_refused() {
        let classes = vec!["a".into(), "b".into()];
        assert!(Dataset::new(split(&[0, 1]), split(&[1]), classes.clone()).is_ok());
        assert!(Dataset::new(split(&[0, 2]), split(&[1]), classes.clone()).is_err());
        assert!(Dataset::new(split(&[]), split(&[1]), classes).is_err());
    }
}
