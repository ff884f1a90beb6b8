//! Random changes to train images.

use crate::error::{Error, Result};
use crate::names::{text_in_files, unknown};

/// Random changes to train images, made anew in every epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Augment {
    /// Shift by up to this many pixels each way, the border filled by reflection; 0 for none.
    pub crop: usize,
    /// Mirror left and right, half of the time.
    pub flip: bool,
}

/// The largest shift, in pixels.
const MAX_CROP: usize = 16;

impl Augment {
    /// How it can be written.
    pub const EXAMPLES: [&str; 4] = ["off", "on", "crop2", "crop4-flip"];
    /// Nothing is changed.
    pub const OFF: Self = Self { crop: 0, flip: false };
    /// As speed records do.
    pub const ON: Self = Self { crop: 4, flip: true };

    pub(super) fn validate(self) -> Result<()> {
        let Self { crop, .. } = self;
        if crop <= MAX_CROP {
            return Ok(());
        }
        Err(Error::usage(format!("crop is {crop}, expected a number of pixels up to {MAX_CROP}")))
    }
}

impl std::fmt::Display for Augment {
    /// `off`, `on`, or for example `crop2` or `crop2-flip`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::OFF => f.pad("off"),
            Self::ON => f.pad("on"),
            Self { crop, flip } => write!(f, "crop{crop}{}", if flip { "-flip" } else { "" }),
        }
    }
}

impl std::str::FromStr for Augment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let crop = |text: &str| text.strip_prefix("crop")?.parse().ok();
        match (text, text.strip_suffix("-flip")) {
            ("off" | "false" | "no", _) => Ok(Self::OFF),
            ("on" | "true" | "yes", _) => Ok(Self::ON),
            (_, Some(rest)) if crop(rest).is_some() => Ok(Self { crop: crop(rest).unwrap_or(0), flip: true }),
            _ => match crop(text) {
                Some(crop) => Ok(Self { crop, flip: false }),
                None => Err(unknown("augmentation", text, Self::EXAMPLES.into_iter())),
            },
        }
    }
}

text_in_files!(Augment);
