//! Random changes to train images.

use crate::error::{Error, Result};
use crate::names::{text_in_files, unknown};

/// Random changes to train images, made anew in every epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Augment {
    /// Shift by up to this many pixels each way, the border filled by reflection; 0 for none.
    pub crop: usize,
    /// When to mirror left and right.
    pub flip: Flip,
}

/// When an image is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flip {
    /// Never.
    Never,
    /// Half of the time, by chance.
    Random,
    /// In every other epoch, a random half of the images from the first epoch on: so that two epochs show every image and its
    /// mirror image once (Keller Jordan, airbench, 2024).
    Alternating,
}

/// The largest shift, in pixels.
const MAX_CROP: usize = 16;

impl Augment {
    /// How it can be written.
    pub const EXAMPLES: [&str; 5] = ["off", "on", "crop2", "crop4-flip", "crop2-alternating"];
    /// Nothing is changed.
    pub const OFF: Self = Self { crop: 0, flip: Flip::Never };
    /// As speed records do.
    pub const ON: Self = Self { crop: 4, flip: Flip::Random };

    pub(super) fn validate(self) -> Result<()> {
        let Self { crop, .. } = self;
        if crop <= MAX_CROP {
            return Ok(());
        }
        Err(Error::usage(format!("crop is {crop}, expected a number of pixels up to {MAX_CROP}")))
    }
}

impl std::fmt::Display for Augment {
    /// `off`, `on`, or for example `crop2`, `crop2-flip` or `crop2-alternating`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::OFF => f.pad("off"),
            Self::ON => f.pad("on"),
            Self { crop, flip: Flip::Never } => write!(f, "crop{crop}"),
            Self { crop, flip: Flip::Random } => write!(f, "crop{crop}-flip"),
            Self { crop, flip: Flip::Alternating } => write!(f, "crop{crop}-alternating"),
        }
    }
}

impl std::str::FromStr for Augment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "off" | "false" | "no" => return Ok(Self::OFF),
            "on" | "true" | "yes" => return Ok(Self::ON),
            _ => {}
        }
        let (shift, flip) = match text.split_once('-') {
            None => (text, Flip::Never),
            Some((shift, "flip")) => (shift, Flip::Random),
            Some((shift, "alternating")) => (shift, Flip::Alternating),
            Some(_) => ("", Flip::Never), // which is no shift
        };
        match shift.strip_prefix("crop").map(str::parse) {
            Some(Ok(crop)) => Ok(Self { crop, flip }),
            _ => Err(unknown("augmentation", text, Self::EXAMPLES.into_iter())),
        }
    }
}

text_in_files!(Augment);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        for text in ["off", "on", "crop2", "crop0-flip", "crop2-flip", "crop2-alternating"] {
            assert_eq!(text.parse::<Augment>().unwrap().to_string(), text);
        }
        assert_eq!("crop4-flip".parse::<Augment>().unwrap(), Augment::ON);
        for text in ["", "crop", "crop-flip", "crop2-", "crop2-flop", "crop-1", "flip", "crop2-flip-flip"] {
            assert!(text.parse::<Augment>().is_err(), "{text}");
        }
    }
}
