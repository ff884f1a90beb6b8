//! Which data set it is, how its pictures are prepared, and where it came from. Used by the program and in the page alike.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::dataset::{Dataset, ImageShape, Split};
use crate::error::{Error, Result};
use crate::names::{text_in_files, unknown};

/// A data set by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The 70,000 digits.
    Mnist,
    /// 5,000 of them, compiled into the program.
    MnistSample,
    /// The 60,000 colour images of ten classes.
    Cifar10,
    /// A folder with files named and laid out as MNIST's; `classes.txt` may name the classes, one a line.
    Idx(PathBuf),
    /// A folder, or a zip file of one, with a subfolder of images for each class.
    Folder(PathBuf),
    /// A CSV file with the path of a picture and its label a line.
    Csv(PathBuf),
    /// Pictures that somebody gave to a page, under a name of their own; they are nowhere else.
    Own(String),
}

/// How the pictures of a data set are made from photographs and drawings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preprocessing {
    /// A digit is cut out, scaled and centred, as MNIST's makers did.
    Digit,
    /// The middle of the picture is resized.
    Picture,
}

/// The names that a data set can be given, for help and for hints.
pub(crate) const EXAMPLES: [&str; 6] = ["mnist", "mnist-sample", "cifar10", "idx:DIR", "folder:DIR", "csv:FILE"];

/// [Fingerprints](Dataset::fingerprint) of MNIST and of the sample.
const KNOWN: [(u64, Identity); 2] =
    [(0x441b_a423_bc5c_515a, Identity::Mnist), (0xa795_f381_b91a_6591, Identity::MnistSample)];

impl Identity {
    /// How pictures are prepared for a network that was trained on this data set.
    pub fn preprocessing(&self) -> Preprocessing {
        match self {
            Self::Mnist | Self::MnistSample => Preprocessing::Digit,
            Self::Cifar10 | Self::Idx(_) | Self::Folder(_) | Self::Csv(_) | Self::Own(_) => Preprocessing::Picture,
        }
    }

    /// Which data set these images and labels are: one that everybody knows, else `name`, one of its own.
    pub fn recognize(dataset: &Dataset, name: &str) -> Self {
        let found = dataset.fingerprint();
        match KNOWN.iter().find(|(of, _)| *of == found) {
            Some((_, identity)) => identity.clone(),
            None if is_cifar10(dataset) => Self::Cifar10,
            None => Self::Own(name.into()),
        }
    }

    /// Whether the files have a place of their own in a data folder, which can be named apart from the data set.
    pub fn has_published_files(&self) -> bool {
        matches!(self, Self::Mnist | Self::Cifar10)
    }

    /// Whether somebody gave the pictures to a page.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// Whether these are picture files of any size, which are brought to one.
    pub fn is_of_pictures(&self) -> bool {
        matches!(self, Self::Folder(_) | Self::Csv(_))
    }

    /// The shape of the images, and the number of classes, where the name tells them.
    pub fn published_shape(&self) -> Option<(ImageShape, usize)> {
        let (channels, side) = match self {
            Self::Mnist | Self::MnistSample => (1, 28),
            Self::Cifar10 => (3, 32),
            Self::Idx(_) | Self::Folder(_) | Self::Csv(_) | Self::Own(_) => return None,
        };
        Some((ImageShape { channels, height: side, width: side }, 10))
    }

    /// A plain name for folders: `mnist`, or for a folder's data `folder-` and its name, reduced to plain characters.
    pub fn plain_name(&self) -> String {
        let plain = |kind: &str, name: &str| {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            format!("{kind}-{}", name.chars().map(plain).take(80).collect::<String>())
        };
        let last = |dir: &Path| dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::Idx(dir) => plain("idx", &last(dir)),
            Self::Folder(dir) => plain("folder", &last(dir)),
            Self::Csv(file) => plain("csv", &last(file)),
            Self::Own(name) => plain("own", name),
            Self::Mnist | Self::MnistSample | Self::Cifar10 => self.to_string(),
        }
    }
}

/// Whether these are all images of CIFAR-10, whatever their order: its shape, and as many of every class.
fn is_cifar10(dataset: &Dataset) -> bool {
    let shape = dataset.shape();
    let balanced = |split: &Split, each: usize| {
        (0..10).all(|class| split.labels.iter().filter(|label| **label == class).count() == each)
    };
    (shape.channels, shape.height, shape.width) == (3, 32, 32)
        && (dataset.train.len(), dataset.test.len()) == (50_000, 10_000)
        && balanced(&dataset.train, 5000)
        && balanced(&dataset.test, 1000)
}

impl FromStr for Identity {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "mnist" => return Ok(Self::Mnist),
            "mnist-sample" => return Ok(Self::MnistSample),
            "cifar10" => return Ok(Self::Cifar10),
            _ => {}
        }
        match name.split_once(':') {
            Some((kind @ ("idx" | "folder"), "")) => {
                Err(Error::usage(format!("data set '{kind}:' names no folder: write {kind}:DIR")))
            }
            Some(("csv", "")) => Err(Error::usage("data set 'csv:' names no file: write csv:FILE")),
            Some(("csv", file)) => Ok(Self::Csv(file.into())),
            Some(("idx", dir)) => Ok(Self::Idx(dir.into())),
            Some(("folder", dir)) => Ok(Self::Folder(dir.into())),
            Some(("own", name)) => Ok(Self::Own(name.into())),
            _ if Path::new(name).is_dir() => Err(Error::usage(format!(
                "data set '{name}' is a folder: write folder:{name} if it has a subfolder of images for each class, \
                 idx:{name} if it has files named as MNIST's"
            ))),
            _ if name.to_lowercase().ends_with(".zip") && Path::new(name).is_file() => {
                Err(Error::usage(format!("data set '{name}' is a zip file: write folder:{name}")))
            }
            _ if name.to_lowercase().ends_with(".csv") && Path::new(name).is_file() => {
                Err(Error::usage(format!("data set '{name}' is a CSV file: write csv:{name}")))
            }
            _ => Err(unknown("data set", name, EXAMPLES.into_iter())),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mnist => f.write_str("mnist"),
            Self::MnistSample => f.write_str("mnist-sample"),
            Self::Cifar10 => f.write_str("cifar10"),
            Self::Idx(dir) => write!(f, "idx:{}", dir.display()),
            Self::Folder(dir) => write!(f, "folder:{}", dir.display()),
            Self::Csv(file) => write!(f, "csv:{}", file.display()),
            Self::Own(name) => write!(f, "own:{name}"),
        }
    }
}

text_in_files!(Identity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_and_print_alike() {
        for name in ["mnist", "mnist-sample", "cifar10", "idx:some/dir", "folder:C:/x", "csv:a/list.csv", "own:my cats"]
        {
            let identity: Identity = name.parse().unwrap();
            assert_eq!(identity.to_string(), name);
            let json = serde_json::to_string(&identity).unwrap();
            assert_eq!(serde_json::from_str::<Identity>(&json).unwrap(), identity);
        }
        assert!("mnits".parse::<Identity>().unwrap_err().to_string().contains("Did you mean 'mnist'"));
        assert!("idx:".parse::<Identity>().is_err() && "folder:".parse::<Identity>().is_err());
        assert_eq!("folder:C:/my cats".parse::<Identity>().unwrap().plain_name(), "folder-my-cats");
    }

    #[test]
    fn pictures_are_prepared_by_data_set_and_not_by_colour() {
        for (name, expected) in [
            ("mnist", Preprocessing::Digit),
            ("mnist-sample", Preprocessing::Digit),
            ("folder:grey", Preprocessing::Picture),
            ("idx:fashion", Preprocessing::Picture),
            ("own:fashion", Preprocessing::Picture),
            ("cifar10", Preprocessing::Picture),
        ] {
            assert_eq!(name.parse::<Identity>().unwrap().preprocessing(), expected, "{name}");
        }
    }

    #[test]
    #[cfg(feature = "native")]
    fn a_known_data_set_is_recognized_and_another_is_its_own() {
        let sample = crate::data::load(&Identity::MnistSample, None, &mut crate::notice::silent).unwrap().dataset;
        assert_eq!(Identity::recognize(&sample, "x"), Identity::MnistSample);
        let mut pixels = sample.test.pixels.to_vec();
        pixels[400] ^= 1; // its labels are the known ones
        let mut other = sample.clone();
        other.test.pixels = pixels.into();
        assert_eq!(Identity::recognize(&other, "fashion"), Identity::Own("fashion".into()));
    }
}
