//! Data sets on the host: checked images (u8) and labels, and where they come from.

#[cfg(feature = "archive")]
pub mod cifar;
#[cfg(feature = "native")]
mod folder;
mod idx;
#[cfg(feature = "native")]
mod source;

pub use idx::{parse_images, parse_labels, parse_split};
#[cfg(feature = "native")]
pub use source::{DataSource, Loaded, SAMPLE_FILES, load};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

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
        self.channels * self.height * self.width
    }

    /// Whether an image of this shape holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Images with their labels: `pixels` holds `labels.len()` images of `shape`, one after the other, each
/// channel by channel, row by row. Every label is below the number of classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// `labels.len() * shape.len()` bytes.
    pub pixels: Vec<u8>,
    /// One class index an image.
    pub labels: Vec<u8>,
    /// Of every image.
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
        let mut kept = Self { pixels: Vec::new(), labels: Vec::new(), shape: self.shape };
        for (image, &label) in self.pixels.chunks_exact(self.shape.len()).zip(&self.labels) {
            let left = &mut left[usize::from(label)];
            if *left > 0 {
                *left -= 1;
                kept.pixels.extend_from_slice(image);
                kept.labels.push(label);
            }
        }
        kept
    }
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
    /// Joins two splits, checking that they fit each other and the classes.
    ///
    /// # Errors
    /// Invalid data: shapes differ, a split is empty, or a label has no class.
    pub fn new(train: Split, test: Split, classes: Vec<String>) -> Result<Self> {
        let refuse = |message: String| Err(Error::new(ErrorKind::InvalidData, message));
        if train.shape != test.shape {
            return refuse(format!("train images are {:?}, test images {:?}", train.shape, test.shape));
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

    /// The same, as it would read with as many train images as `run` had, for a run that used a fraction.
    pub fn fraction_info(&self, run: &DatasetInfo, origin: &str) -> DatasetInfo {
        DatasetInfo { train_images: run.train_images, ..self.info(origin) }
    }

    /// What to remember of it when the images are gone.
    pub fn info(&self, origin: &str) -> DatasetInfo {
        DatasetInfo {
            origin: origin.into(),
            train_images: self.train.len(),
            test_images: self.test.len(),
            shape: self.shape(),
            classes: self.classes.clone(),
        }
    }
}

/// What a run keeps of its data set, in `dataset.json`: all that its weights need to be used without the images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// The folder the files were in.
    pub origin: String,
    /// Images trained on.
    pub train_images: usize,
    /// Images measured on.
    pub test_images: usize,
    /// Of every image.
    pub shape: ImageShape,
    /// One name a class.
    pub classes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(labels: &[u8]) -> Split {
        let shape = ImageShape { channels: 1, height: 1, width: 2 };
        let pixels = (0..labels.len() * 2).map(|v| v as u8).collect();
        Split { pixels, labels: labels.to_vec(), shape }
    }

    #[test]
    fn a_fraction_takes_the_first_images_of_every_class() {
        let half = split(&[0, 0, 1, 0, 1, 0]).fraction(0.5, 2);
        assert_eq!(half.labels, [0, 0, 1]);
        assert_eq!(half.pixels, [0, 1, 2, 3, 4, 5]);
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
