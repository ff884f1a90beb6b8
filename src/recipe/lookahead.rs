//! Slow weights that follow the trained ones.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::names::text_in_files;

/// Slow weights, towards which the trained ones are pulled every few steps, and which are the network at the end (Zhang et al.,
/// "Lookahead Optimizer", 2019), as in airbench (Keller Jordan, 2024): the pull grows with the cube of the share of steps done.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Lookahead {
    /// There are none.
    #[default]
    Off,
    /// Every `every` steps the slow weights become `keep^every * (step / steps)^3` of themselves and the rest of the trained ones,
    /// which then are set to them.
    On {
        /// Steps between two pulls, at least 1.
        every: u64,
        /// What a step would leave of the slow weights at the very end, from 0 to below 1.
        keep: f64,
    },
}

impl Lookahead {
    /// How it can be written.
    pub const EXAMPLES: [&str; 2] = ["off", "5:0.95"];

    /// How much of the slow weights is kept behind step `step`, counted from 1, of so many; none where nothing is pulled there.
    /// Behind the last step all of them are, if nothing was due there but before: they are the network. A run that ends earlier,
    /// since its patience is used up, leaves the trained weights.
    pub fn keep(self, step: u64, steps: u64) -> Option<f64> {
        let Self::On { every, keep } = self else { return None };
        if step.is_multiple_of(every.max(1)) {
            return Some(keep.powf(every as f64) * (step as f64 / steps as f64).powi(3));
        }
        (step >= steps && steps >= every).then_some(1.0)
    }

    /// Whether there are slow weights.
    pub fn is_on(self) -> bool {
        self != Self::Off
    }

    pub(super) fn validate(self) -> Result<()> {
        match self {
            Self::On { every: 0, .. } => Err(Error::usage("lookahead every 0 steps, expected at least 1")),
            Self::On { keep, .. } if !(0.0..1.0).contains(&keep) => {
                Err(Error::usage(format!("lookahead keeps {keep}, expected a share from 0 to below 1")))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Lookahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On { every, keep } => write!(f, "{every}:{keep}"),
        }
    }
}

impl FromStr for Lookahead {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = |(every, keep): (&str, &str)| Some((every.parse().ok()?, keep.parse().ok()?));
        match (text, text.split_once(':').and_then(numbers)) {
            ("off" | "false" | "no", _) => Ok(Self::Off),
            (_, Some((every, keep))) => Ok(Self::On { every, keep }),
            _ => {
                let message = format!("lookahead is '{text}', expected off, or STEPS:KEEP as in 5:0.95");
                Err(Error::usage(message))
            }
        }
    }
}

text_in_files!(Lookahead);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written_and_nonsense_is_refused() {
        for text in ["off", "5:0.95", "1:0"] {
            let read: Lookahead = text.parse().unwrap();
            read.validate().unwrap();
            assert_eq!(read.to_string(), text);
        }
        for text in ["", "on", "5", "5:", "a:0.5", "5:0.5:1", "-1:0.5"] {
            assert!(text.parse::<Lookahead>().is_err(), "{text}");
        }
        for text in ["0:0.5", "5:1", "5:-0.1", "5:NaN"] {
            assert!(text.parse::<Lookahead>().unwrap().validate().is_err(), "{text}");
        }
    }

    #[test]
    fn the_pull_grows_and_the_slow_weights_are_the_network_at_the_end() {
        let lookahead = Lookahead::On { every: 5, keep: 0.95 };
        assert_eq!((lookahead.keep(4, 20), Lookahead::Off.keep(5, 20)), (None, None));
        assert!((lookahead.keep(10, 20).unwrap() - 0.95f64.powi(5) / 8.0).abs() < 1e-12);
        assert_eq!((lookahead.keep(7, 7), lookahead.keep(6, 7)), (Some(1.0), None));
        assert_eq!(lookahead.keep(3, 3), None, "not to weights that nothing was trained of");
        assert_eq!(lookahead.keep(20, 20), Some(0.95f64.powi(5)), "the last pull leaves both the same");
    }
}
