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
    /// Percent of the area that a random part of the image has at least, which is resized to the whole; 0 for the whole itself.
    pub part: u8,
    /// By how much brightness, contrast and saturation change at most, in percent; 0 for not at all.
    pub jitter: u8,
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
/// The least area of a part, and the strength of other colours, where no number is given; torchvision's default and a usual one.
const PART: u8 = 8;
const JITTER: u8 = 40;

impl Augment {
    /// How it can be written.
    pub const EXAMPLES: [&str; 6] =
        ["off", "on", "crop2", "crop4-flip", "crop2-alternating", "resized25-flip-jitter40"];
    /// Nothing is changed.
    pub const OFF: Self = Self { crop: 0, flip: Flip::Never, part: 0, jitter: 0 };
    /// As speed records do.
    pub const ON: Self = Self { crop: 4, flip: Flip::Random, part: 0, jitter: 0 };

    /// Whether there are changes that only photographs are given.
    pub fn is_of_photographs(self) -> bool {
        self.part > 0 || self.jitter > 0
    }

    pub(super) fn validate(self) -> Result<()> {
        let Self { crop, part, jitter, .. } = self;
        if crop > MAX_CROP {
            return Err(Error::usage(format!("crop is {crop}, expected a number of pixels up to {MAX_CROP}")));
        }
        if crop > 0 && part > 0 {
            return Err(Error::usage("an image is shifted or a part of it resized: leave crop or resized out"));
        }
        match [("resized", part), ("jitter", jitter)].into_iter().find(|(_, percent)| *percent > 100) {
            Some((name, percent)) => Err(Error::usage(format!("{name} is {percent}, expected percent, 1 to 100"))),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Augment {
    /// `off`, `on`, or its parts with a dash between: `crop2-flip`, `resized25-alternating-jitter40`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { crop, flip, part, jitter } = *self;
        match *self {
            Self::OFF => return f.pad("off"),
            Self::ON => return f.pad("on"),
            _ => {}
        }
        // A shift of none is written where it would be read: alone, and before a mirror that stands alone.
        let shift = if part > 0 { format!("resized{part}") } else { format!("crop{crop}") };
        let flip = match flip {
            Flip::Never => "",
            Flip::Random => "-flip",
            Flip::Alternating => "-alternating",
        };
        let jitter = if jitter > 0 { format!("-jitter{jitter}") } else { String::new() };
        write!(f, "{shift}{flip}{jitter}")
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
        let unknown = || unknown("augmentation", text, Self::EXAMPLES.into_iter());
        let number = |digits: &str| digits.parse::<u8>().map_err(|_| unknown());
        let percent = |digits: &str, default| if digits.is_empty() { Ok(default) } else { number(digits) };
        let (mut found, mut place) = (Self::OFF, 0);
        for part in text.split('-') {
            let name = part.trim_end_matches(|c: char| c.is_ascii_digit());
            let digits = &part[name.len()..];
            // Each part once, and in this order, so that there is one way to write it.
            let at = match name {
                "crop" => {
                    found.crop = usize::from(number(digits)?);
                    1
                }
                "resized" => {
                    found.part = percent(digits, PART)?;
                    1
                }
                "flip" | "alternating" if digits.is_empty() => {
                    found.flip = if name == "flip" { Flip::Random } else { Flip::Alternating };
                    2
                }
                "jitter" => {
                    found.jitter = percent(digits, JITTER)?;
                    3
                }
                _ => return Err(unknown()),
            };
            if at <= place {
                return Err(unknown());
            }
            place = at;
        }
        Ok(found)
    }
}

text_in_files!(Augment);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        for text in [
            "off",
            "on",
            "crop2",
            "crop0-flip",
            "crop2-flip",
            "crop2-alternating",
            "resized25",
            "resized8-flip-jitter40",
            "crop4-jitter10",
        ] {
            assert_eq!(text.parse::<Augment>().unwrap().to_string(), text);
        }
        assert_eq!("crop4-flip".parse::<Augment>().unwrap(), Augment::ON);
        assert_eq!("flip".parse::<Augment>().unwrap().to_string(), "crop0-flip");
        assert_eq!("resized-flip-jitter".parse::<Augment>().unwrap().to_string(), "resized8-flip-jitter40");
        for text in [
            "",
            "crop",
            "crop-flip",
            "crop2-",
            "crop2-flop",
            "crop-1",
            "crop2-flip-flip",
            "flip-crop2",
            "resized300",
            "jitter-flip",
            "crop2-resized8",
        ] {
            assert!(text.parse::<Augment>().is_err(), "{text}");
        }
    }
}
