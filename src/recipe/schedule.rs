//! How the learning rate changes while a run goes on.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::names::text_in_files;

/// The learning rate by step, as a factor of the base rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// The rate stays as it is.
    Constant,
    /// Times `gamma` after every `step_size` epochs, as PyTorch's `StepLR`.
    Step {
        /// Epochs between two changes, at least 1.
        step_size: usize,
        /// Factor, above 0 and at most 1.
        gamma: f64,
    },
    /// Half a cosine from the base rate to 0, an epoch a step, as PyTorch's `CosineAnnealingLR`.
    Cosine,
    /// Up along a cosine from a 25th of the base rate to it, and down to a 10,000th of where it began, a step at a
    /// time, as PyTorch's `OneCycleLR` (Smith and Topin, 2017).
    OneCycle {
        /// Share of all steps that lead up, above 0 and below 1.
        warmup: f64,
    },
    /// Along a line up to the base rate and along another one down, a step at a time, as in airbench (Keller Jordan, 2024).
    Triangle {
        /// The share of the base rate that it begins at, from 0 to 1.
        start: f64,
        /// Share of all steps that lead up, from 0 to below 1.
        warmup: f64,
        /// The share of the base rate that it ends at, from 0 to 1.
        end: f64,
    },
}

/// The share of the steps of one cycle that lead up, where nothing else is said; PyTorch's default.
const DEFAULT_WARMUP: f64 = 0.3;

impl Schedule {
    /// How it can be written.
    pub const EXAMPLES: [&str; 5] = ["constant", "step:1:0.9", "cosine", "one-cycle:0.3", "triangle:0.2:0.23:0.07"];

    /// The learning rate of a step (counted from 0 over all epochs) of so many in an epoch and `steps` in all.
    pub fn learning_rate(&self, base: f64, step: usize, steps_per_epoch: usize, steps: usize) -> f64 {
        let epoch = step / steps_per_epoch.max(1);
        match *self {
            Self::Constant => base,
            Self::Step { step_size, gamma } => {
                base * gamma.powi(i32::try_from(epoch / step_size.max(1)).unwrap_or(i32::MAX))
            }
            Self::Cosine => {
                let epochs = (steps as f64 / steps_per_epoch.max(1) as f64).max(1.0);
                base * 0.5 * (1.0 + (PI * epoch as f64 / epochs).cos())
            }
            Self::OneCycle { warmup } => {
                let last = steps as f64 - 1.0;
                let top = warmup * steps as f64 - 1.0;
                let (start, end) = (base / 25.0, base / 25.0 / 1e4);
                let anneal =
                    |from: f64, to: f64, at: f64| to + (from - to) / 2.0 * (1.0 + (PI * at.clamp(0.0, 1.0)).cos());
                let step = step as f64;
                if step < top {
                    anneal(start, base, step / top)
                } else {
                    anneal(base, end, (step - top) / (last - top))
                }
            }
            Self::Triangle { start, warmup, end } => {
                let (step, all) = (step as f64, steps as f64);
                let top = (warmup * all).floor();
                let line = |from: f64, to: f64, at: f64| base * (from + (to - from) * at.min(1.0));
                if step < top { line(start, 1.0, step / top) } else { line(1.0, end, (step - top) / (all - top)) }
            }
        }
    }

    /// Whether the rate of a step depends on how many epochs follow it.
    pub fn depends_on_epochs(&self) -> bool {
        matches!(self, Self::Cosine | Self::OneCycle { .. } | Self::Triangle { .. })
    }

    /// Whether the rate changes at all.
    pub fn is_constant(&self) -> bool {
        *self == Self::Constant
    }

    pub(super) fn validate(&self) -> Result<()> {
        let refuse = |what: &str, found: String, expected: &str| {
            Err(Error::usage(format!("schedule {what} is {found}, expected {expected}")))
        };
        match *self {
            Self::Step { step_size: 0, .. } => refuse("step size", "0".into(), "at least 1"),
            Self::Step { gamma, .. } if !(gamma > 0.0 && gamma <= 1.0) => {
                refuse("gamma", gamma.to_string(), "a number above 0 and at most 1")
            }
            Self::OneCycle { warmup } if !(warmup > 0.0 && warmup < 1.0) => {
                refuse("warm-up", warmup.to_string(), "a share of all steps above 0 and below 1")
            }
            Self::Triangle { warmup, .. } if !(0.0..1.0).contains(&warmup) => {
                refuse("warm-up", warmup.to_string(), "a share of all steps from 0 to below 1")
            }
            Self::Triangle { start, end, .. } => {
                match [("start", start), ("end", end)].into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
                    Some((what, share)) => refuse(what, share.to_string(), "a share of the learning rate from 0 to 1"),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Step { step_size, gamma } => write!(f, "step:{step_size}:{gamma}"),
            Self::Cosine => f.write_str("cosine"),
            Self::OneCycle { warmup } => write!(f, "one-cycle:{warmup}"),
            Self::Triangle { start, warmup, end } => write!(f, "triangle:{start}:{warmup}:{end}"),
        }
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!(
                "schedule is '{text}', expected constant, step:SIZE:GAMMA (as in step:1:0.9), cosine, one-cycle:WARMUP \
                 (as in one-cycle:0.3), or triangle:START:WARMUP:END (as in triangle:0.2:0.23:0.07)"
            ))
        };
        let number = |text: &str| text.parse().map_err(|_| wrong());
        match text.split(':').collect::<Vec<_>>()[..] {
            ["constant"] => Ok(Self::Constant),
            ["cosine"] => Ok(Self::Cosine),
            ["one-cycle"] => Ok(Self::OneCycle { warmup: DEFAULT_WARMUP }),
            ["one-cycle", warmup] => Ok(Self::OneCycle { warmup: number(warmup)? }),
            ["triangle", start, warmup, end] => {
                Ok(Self::Triangle { start: number(start)?, warmup: number(warmup)?, end: number(end)? })
            }
            ["step", size, gamma] => {
                Ok(Self::Step { step_size: size.parse().map_err(|_| wrong())?, gamma: number(gamma)? })
            }
            _ => Err(wrong()),
        }
    }
}

text_in_files!(Schedule);

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str, epochs: usize, steps: usize) -> Vec<f64> {
        let schedule: Schedule = text.parse().unwrap();
        (0..epochs * steps).map(|step| schedule.learning_rate(1.0, step, steps, epochs * steps)).collect()
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {expected:?}");
    }

    /// The figures are those of torch.optim.lr_scheduler 2.15 with base rate 1.
    #[test]
    fn schedules_are_those_of_pytorch() {
        close(&rates("step:2:0.5", 5, 1), &[1.0, 1.0, 0.5, 0.5, 0.25]);
        close(&rates("cosine", 4, 1), &[1.0, 0.8535533905932737, 0.5, 0.14644660940672627]);
        close(
            &rates("one-cycle:0.3", 2, 5),
            &[
                0.04,
                0.5199999999999998,
                1.0,
                0.9504846320134737,
                0.8117456539497631,
                0.6112620219362893,
                0.38874197806371075,
                0.18825834605023698,
                0.04951936798652624,
                4e-06,
            ],
        );
    }

    /// The figures are those of numpy.interp.
    #[test]
    fn a_triangle_is_two_lines() {
        close(&rates("triangle:0.2:0.4:0.07", 2, 5), &[0.2, 0.4, 0.6, 0.8, 1.0, 0.845, 0.69, 0.535, 0.38, 0.225]);
        close(&rates("triangle:0:0:0", 4, 1), &[1.0, 0.75, 0.5, 0.25]);
    }

    #[test]
    fn a_cycle_without_room_to_warm_up_has_rates_all_the_same() {
        for (warmup, steps) in [(0.2, 5), (0.1, 10), (0.5, 2), (0.3, 1), (0.5, 1)] {
            let rates = rates(&format!("one-cycle:{warmup}"), 1, steps);
            assert!(
                rates.iter().all(|rate| rate.is_finite() && *rate > 0.0 && *rate <= 1.0),
                "{warmup} {steps}: {rates:?}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "linear",
            "step",
            "step:1",
            "step:a:b",
            "one-cycle:x",
            "triangle",
            "triangle:0.2:0.3",
            "triangle:a:0:0",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
        for text in [
            "step:0:0.5",
            "step:1:0",
            "step:1:1.5",
            "one-cycle:0",
            "one-cycle:1",
            "one-cycle:NaN",
            "triangle:0:1:0",
            "triangle:2:0:0",
            "triangle:0:0.5:NaN",
        ] {
            assert!(text.parse::<Schedule>().unwrap().validate().is_err(), "{text}");
        }
    }
}
