//! What to train, completely: a [`Recipe`] holds every choice that decides the numbers of a run.
//!
//! The presets are the runs of the reference exercise. A recipe is validated before any device starts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Softmax regression: input -> classes.
    #[serde(rename = "linear_v0")]
    LinearV0,
    /// Two hidden layers: input -> 128 -> 64 -> classes, ReLU after each, batch normalization by choice.
    #[serde(rename = "linear_v1")]
    LinearV1,
}

/// The loss. All take logits of shape `[n, classes]` and average over the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// Mean over batch and classes of (softmax(logits) - one-hot label)^2.
    Mse,
    /// Cross-entropy: -log softmax(logits)[label].
    Ce,
    /// Cross-entropy that is handed probabilities as if they were logits, so softmax is applied twice.
    /// A common slip, kept because the reference exercise was published with it.
    CeOnProbabilities,
}

/// The rule that turns gradients into new weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent, with PyTorch's momentum (no dampening).
    Sgd {
        /// 0 for none.
        momentum: f64,
    },
    /// Adam with beta 0.9 and 0.999, epsilon 1e-8 (Kingma and Ba, 2014).
    Adam,
}

/// How the learning rate changes from epoch to epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// The same throughout.
    Constant,
    /// Times `gamma` after every `step_size` epochs, as PyTorch's `StepLR`.
    Step {
        /// Epochs between two changes, at least 1.
        step_size: usize,
        /// Factor, above 0 and at most 1.
        gamma: f64,
    },
}

impl Schedule {
    /// The learning rate of `epoch` (counted from 0) for a base rate.
    pub fn learning_rate(&self, base: f64, epoch: usize) -> f64 {
        match *self {
            Self::Constant => base,
            Self::Step { step_size, gamma } => {
                base * gamma.powi(i32::try_from(epoch / step_size.max(1)).unwrap_or(i32::MAX))
            }
        }
    }
}

/// Everything that decides the numbers of a run, apart from the device it runs on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// `mnist`, `mnist-sample`, or `idx:DIR`.
    pub dataset: String,
    /// The network.
    pub model: Architecture,
    /// Batch normalization after every hidden layer.
    pub batch_norm: bool,
    /// The loss.
    pub loss: LossKind,
    /// Images per step, at least 1.
    pub batch_size: usize,
    /// Passes over the train set, at least 1.
    pub epochs: usize,
    /// The base learning rate, above 0.
    pub learning_rate: f64,
    /// Share of the train set to use, the first images of every class; in (0, 1].
    pub fraction: f64,
    /// Decides initial weights and the order of images.
    pub seed: u64,
    /// Stop after this many epochs without a better test loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// The run counts as failed if its best test accuracy, in percent, stays below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_accuracy: Option<f64>,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// The learning rate schedule.
    pub schedule: Schedule,
}

/// A named recipe.
pub struct Preset {
    /// What to type.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    model: Architecture,
    batch_norm: bool,
    loss: LossKind,
}

/// The preset of a bare run.
pub const DEFAULT_PRESET: &str = "linear_v1-bn-ce";

/// All presets. The first four are the reference exercise as published; the last is the default.
pub const PRESETS: [Preset; 5] = [
    Preset {
        name: "linear_v0-mse",
        about: "softmax regression, MSE against the one-hot label",
        model: Architecture::LinearV0,
        batch_norm: false,
        loss: LossKind::Mse,
    },
    Preset {
        name: "linear_v1-mse",
        about: "784-128-64-10 network, MSE",
        model: Architecture::LinearV1,
        batch_norm: false,
        loss: LossKind::Mse,
    },
    Preset {
        name: "linear_v1-bn-mse",
        about: "784-128-64-10 network with batch normalization, MSE",
        model: Architecture::LinearV1,
        batch_norm: true,
        loss: LossKind::Mse,
    },
    Preset {
        name: "linear_v1-bn-ce-on-probabilities",
        about: "the same with cross-entropy applied to probabilities, as the reference published it",
        model: Architecture::LinearV1,
        batch_norm: true,
        loss: LossKind::CeOnProbabilities,
    },
    Preset {
        name: "linear_v1-bn-ce",
        about: "the same with cross-entropy on logits, as it should be (the default)",
        model: Architecture::LinearV1,
        batch_norm: true,
        loss: LossKind::Ce,
    },
];

impl Recipe {
    /// The recipe of the preset called `name`: MNIST, SGD at 0.1, batch 500, 20 epochs, seed 0.
    ///
    /// # Errors
    /// Usage, with the nearest name, if there is no such preset.
    pub fn preset(name: &str) -> Result<Self> {
        let preset = PRESETS
            .iter()
            .find(|p| p.name == name)
            .ok_or_else(|| unknown("preset", name, PRESETS.iter().map(|p| p.name)))?;
        Ok(Self {
            dataset: "mnist".into(),
            model: preset.model,
            batch_norm: preset.batch_norm,
            loss: preset.loss,
            batch_size: 500,
            epochs: 20,
            learning_rate: 0.1,
            fraction: 1.0,
            seed: 0,
            patience: None,
            target_accuracy: None,
            optimizer: OptimizerConfig::Sgd { momentum: 0.0 },
            schedule: Schedule::Constant,
        })
    }

    /// Checks every value that can be checked without the data.
    ///
    /// # Errors
    /// Usage, naming the value, what it is and what it may be.
    pub fn validate(&self) -> Result<()> {
        let refuse = |what: &str, found: String, expected: &str| {
            Err(Error::usage(format!("{what} is {found}, expected {expected}")))
        };
        if self.batch_size == 0 {
            return refuse("batch size", "0".into(), "at least 1");
        }
        if self.epochs == 0 {
            return refuse("epochs", "0".into(), "at least 1");
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return refuse("learning rate", self.learning_rate.to_string(), "a finite number above 0");
        }
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            return refuse("fraction", self.fraction.to_string(), "a number above 0 and at most 1");
        }
        if self.patience == Some(0) {
            return refuse("patience", "0".into(), "at least 1");
        }
        if let Some(target) = self.target_accuracy
            && !(0.0..=100.0).contains(&target)
        {
            return refuse("target accuracy", target.to_string(), "a percentage from 0 to 100");
        }
        if let OptimizerConfig::Sgd { momentum } = self.optimizer
            && !(0.0..1.0).contains(&momentum)
        {
            return refuse("momentum", momentum.to_string(), "a number from 0 to below 1");
        }
        if let Schedule::Step { step_size, gamma } = self.schedule {
            if step_size == 0 {
                return refuse("schedule step size", "0".into(), "at least 1");
            }
            if !(gamma > 0.0 && gamma <= 1.0) {
                return refuse("schedule gamma", gamma.to_string(), "a number above 0 and at most 1");
            }
        }
        if self.model == Architecture::LinearV0 && self.batch_norm {
            return Err(Error::usage(
                "linear_v0 has no hidden layer to normalize: use linear_v1, or leave batch normalization off",
            ));
        }
        Ok(())
    }

    /// A short name for a run of this recipe, such as `linear_v1-bn-ce`.
    pub fn short_name(&self) -> String {
        format!("{}{}-{}", self.model, if self.batch_norm { "-bn" } else { "" }, self.loss)
    }

    /// The lines in which two recipes differ, as `key: old -> new`, leaving out what may change when a run is
    /// resumed: the number of epochs, the patience and the target, none of which alters an epoch already done.
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let mut other_fixed = other.clone();
        other_fixed.epochs = self.epochs;
        other_fixed.patience = self.patience;
        other_fixed.target_accuracy = self.target_accuracy;
        let row = |key: &str, old: String, new: String| (old != new).then(|| format!("{key}: {old} -> {new}"));
        let (a, b) = (self, &other_fixed);
        [
            row("dataset", a.dataset.clone(), b.dataset.clone()),
            row("model", a.model.to_string(), b.model.to_string()),
            row("batch_norm", a.batch_norm.to_string(), b.batch_norm.to_string()),
            row("loss", a.loss.to_string(), b.loss.to_string()),
            row("batch_size", a.batch_size.to_string(), b.batch_size.to_string()),
            row("learning_rate", a.learning_rate.to_string(), b.learning_rate.to_string()),
            row("fraction", a.fraction.to_string(), b.fraction.to_string()),
            row("seed", a.seed.to_string(), b.seed.to_string()),
            row("optimizer", format!("{:?}", a.optimizer), format!("{:?}", b.optimizer)),
            row("schedule", format!("{:?}", a.schedule), format!("{:?}", b.schedule)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A usage error for an unknown name, with the nearest known one.
pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Error {
    let nearest = nearest(name, known.clone());
    let hint = nearest.map(|n| format!(" Did you mean '{n}'?")).unwrap_or_default();
    let list: Vec<&str> = known.collect();
    Error::usage(format!("unknown {what} '{name}'.{hint} Known: {}", list.join(", ")))
}

/// The known name most like `name`, by shared character pairs, if any is alike at all.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let pairs = |s: &str| -> Vec<(char, char)> {
        let lower: Vec<char> = s.to_lowercase().chars().collect();
        lower.windows(2).map(|w| (w[0], w[1])).collect()
    };
    let wanted = pairs(name);
    known
        .map(|candidate| {
            let have = pairs(candidate);
            let shared = wanted.iter().filter(|p| have.contains(p)).count();
            (200 * shared / (wanted.len() + have.len()).max(1), candidate)
        })
        .filter(|(score, _)| *score >= 40)
        .max_by_key(|(score, _)| *score)
        .map(|(_, candidate)| candidate)
}

/// Names for the enums that are typed on the command line and printed in reports.
macro_rules! named {
    ($type:ty, $what:literal, $($variant:path => $name:literal),+ $(,)?) => {
        impl $type {
            /// All names, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($name),+];
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($variant => $name),+ })
            }
        }
        impl FromStr for $type {
            type Err = Error;
            fn from_str(name: &str) -> Result<Self> {
                match name {
                    $($name => Ok($variant),)+
                    _ => Err(unknown($what, name, Self::NAMES.iter().copied())),
                }
            }
        }
    };
}

named!(Architecture, "model", Architecture::LinearV0 => "linear_v0", Architecture::LinearV1 => "linear_v1");
named!(
    LossKind, "loss",
    LossKind::Mse => "mse", LossKind::Ce => "ce", LossKind::CeOnProbabilities => "ce-on-probabilities",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_named_after_themselves() {
        for preset in &PRESETS {
            let recipe = Recipe::preset(preset.name).unwrap();
            recipe.validate().unwrap();
            assert_eq!(recipe.short_name(), preset.name);
        }
        assert!(PRESETS.iter().any(|p| p.name == DEFAULT_PRESET));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let error = Recipe::preset("linear_v1-bn-cee").unwrap_err();
        assert!(error.to_string().contains("Did you mean 'linear_v1-bn-ce'?"), "{error}");
        assert_eq!(error.exit_code(), 2);
        let error = "msee".parse::<LossKind>().unwrap_err();
        assert!(error.to_string().contains("Did you mean 'mse'?"), "{error}");
        assert!(!"zzz".parse::<LossKind>().unwrap_err().to_string().contains("Did you mean"));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let base = Recipe::preset(DEFAULT_PRESET).unwrap();
        let broken: [fn(&mut Recipe); 10] = [
            |r| r.batch_size = 0,
            |r| r.epochs = 0,
            |r| r.learning_rate = f64::NAN,
            |r| r.learning_rate = -0.1,
            |r| r.fraction = 0.0,
            |r| r.fraction = 1.01,
            |r| r.patience = Some(0),
            |r| r.target_accuracy = Some(101.0),
            |r| r.optimizer = OptimizerConfig::Sgd { momentum: 1.0 },
            |r| r.schedule = Schedule::Step { step_size: 0, gamma: 0.9 },
        ];
        for (i, change) in broken.iter().enumerate() {
            let mut recipe = base.clone();
            change(&mut recipe);
            assert_eq!(recipe.validate().unwrap_err().exit_code(), 2, "change {i}");
        }
    }

    #[test]
    fn step_schedule_is_step_lr() {
        let schedule = Schedule::Step { step_size: 2, gamma: 0.5 };
        let rates: Vec<f64> = (0..5).map(|epoch| schedule.learning_rate(1.0, epoch)).collect();
        assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn differences_name_the_key_and_ignore_epochs() {
        let a = Recipe::preset(DEFAULT_PRESET).unwrap();
        let b = Recipe { epochs: 99, learning_rate: 0.5, ..a.clone() };
        assert_eq!(a.difference(&b), ["learning_rate: 0.1 -> 0.5"]);
    }
}
