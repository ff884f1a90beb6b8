//! What to train, completely: a [`Recipe`] holds every choice that decides the numbers of a run.
//!
//! A recipe is validated before any device starts.

#[cfg(feature = "native")]
pub mod file;
mod names;
mod presets;
mod schedule;

pub use names::{quote, unknown};
pub use presets::{CIFAR10_EXERCISE, DEFAULT_PRESET, MNIST_EXERCISE, PRESETS, Preset};
pub use schedule::Schedule;

use names::named;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// Softmax regression: input -> classes.
    #[serde(rename = "linear_v0")]
    LinearV0,
    /// Two hidden layers: input -> 128 -> 64 -> classes, ReLU after each, batch normalization by choice.
    #[serde(rename = "linear_v1")]
    LinearV1,
    /// The 8 convolutions of VGG-11 (Simonyan and Zisserman, 2014) and one linear layer, for 32x32.
    #[serde(rename = "vgg11")]
    Vgg11,
    /// The 13 convolutions of VGG-16 and one linear layer, for 32x32.
    #[serde(rename = "vgg16")]
    Vgg16,
    /// The small residual network that speed records use (Page, 2018).
    #[serde(rename = "resnet9")]
    Resnet9,
}

impl Architecture {
    /// Whether the network is made of convolutions.
    pub fn is_convolutional(self) -> bool {
        matches!(self, Self::Vgg11 | Self::Vgg16 | Self::Resnet9)
    }
}

/// The loss. All take logits of shape `[n, classes]` and average over the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// Mean over batch and classes of (softmax(logits) - one-hot label)^2.
    Mse,
    /// Cross-entropy: -log(softmax(logits) of the label).
    Ce,
    /// Cross-entropy that is handed probabilities as if they were logits, so softmax is applied twice.
    /// A common slip, kept because the reference exercise was published with it.
    CeOnProbabilities,
}

/// In which numbers a network multiplies, see [`Precision::on`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Products in half precision; weights, sums over them, normalization and loss in single.
    F16,
}

/// How 2x2 values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// Their maximum.
    Max,
    /// Their mean.
    Avg,
}

/// The rule that turns gradients into new weights; each computes as PyTorch's of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent, with PyTorch's momentum (no dampening).
    Sgd {
        /// 0 for none.
        momentum: f64,
        /// Look ahead by the momentum (Sutskever et al., 2013).
        #[serde(default)]
        nesterov: bool,
        /// Added to the gradient as a multiple of the weight; 0 for none.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam with beta 0.9 and 0.999, epsilon 1e-8 (Kingma and Ba, 2014).
    Adam {
        /// Added to the gradient as a multiple of the weight; 0 for none.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam with the weight decay kept out of the moments (Loshchilov and Hutter, 2017).
    AdamW {
        /// Taken off the weight directly, times the learning rate.
        weight_decay: f64,
    },
}

/// Random changes to train images, made anew in every epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Shift by up to this many pixels each way, the border filled by reflection; 0 for none.
    pub crop: usize,
    /// Mirror left and right, half of the time.
    pub flip: bool,
}

impl Augment {
    /// Nothing is changed.
    pub const OFF: Self = Self { crop: 0, flip: false };
    /// As speed records do.
    pub const ON: Self = Self { crop: 4, flip: true };
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
                None => Err(unknown("augmentation", text, ["off", "on", "crop2", "crop4-flip"].into_iter())),
            },
        }
    }
}

/// Everything that decides the numbers of a run, apart from the device it runs on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// `mnist`, `mnist-sample`, `cifar10`, `idx:DIR` or `folder:DIR`.
    pub dataset: String,
    /// The network.
    pub model: Architecture,
    /// Batch normalization after every hidden layer.
    pub batch_norm: bool,
    /// Factor on the channels of a convolutional network, above 0.
    pub width: f64,
    /// How a VGG network halves its images.
    pub pool: Pool,
    /// Share of values before the last layer of a convolutional network that are zeroed while training; in [0, 1).
    pub dropout: f64,
    /// The loss.
    pub loss: LossKind,
    /// Share of the target probability that is spread over all classes, with `ce`; in [0, 1).
    pub label_smoothing: f64,
    /// Images per step, at least 1.
    pub batch_size: usize,
    /// Passes over the train set, at least 1.
    pub epochs: usize,
    /// The base learning rate, above 0.
    pub learning_rate: f64,
    /// Share of the train set to use, the first images of every class; in (0, 1].
    pub fraction: f64,
    /// Decides initial weights, the order of images and everything else that is random.
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
    /// What is done to train images.
    pub augment: Augment,
    /// In which numbers the network multiplies.
    #[serde(default)]
    pub precision: Precision,
}

impl Recipe {
    /// Checks every value that can be checked without the data.
    ///
    /// # Errors
    /// Usage, naming the value, what it is and what it may be.
    pub fn validate(&self) -> Result<()> {
        let check = |what: &str, value: f64, fine: bool, expected: &str| {
            if fine { Ok(()) } else { Err(Error::usage(format!("{what} is {value}, expected {expected}"))) }
        };
        let share = |v: f64| (0.0..1.0).contains(&v);
        let decay = |v: f64| v.is_finite() && v >= 0.0;
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let (r, fraction) = (self, self.fraction);
        check("batch size", r.batch_size as f64, r.batch_size > 0, "at least 1")?;
        check("epochs", r.epochs as f64, r.epochs > 0, "at least 1")?;
        check("learning rate", r.learning_rate, positive(r.learning_rate), "a finite number above 0")?;
        check("fraction", fraction, fraction > 0.0 && fraction <= 1.0, "a number above 0 and at most 1")?;
        check("width", r.width, positive(r.width) && r.width <= 16.0, "a number above 0 and at most 16")?;
        check("dropout", r.dropout, share(r.dropout), "a number from 0 to below 1")?;
        check("label smoothing", r.label_smoothing, share(r.label_smoothing), "a number from 0 to below 1")?;
        check("seed", r.seed as f64, i64::try_from(r.seed).is_ok(), "a number below 2^63")?;
        check("patience", 0.0, r.patience != Some(0), "at least 1")?;
        check("crop", r.augment.crop as f64, r.augment.crop <= 16, "a number of pixels up to 16")?;
        let target = r.target_accuracy.unwrap_or(0.0);
        check("target accuracy", target, (0.0..=100.0).contains(&target), "a percentage from 0 to 100")?;
        if target > 0.0 && target <= 1.0 {
            let percent = 100.0 * target;
            return Err(Error::usage(format!(
                "target accuracy is {target}, expected a percentage: write {percent} for {percent} %"
            )));
        }
        let (momentum, weight_decay) = match r.optimizer {
            OptimizerConfig::Sgd { momentum, weight_decay, .. } => (momentum, weight_decay),
            OptimizerConfig::Adam { weight_decay } | OptimizerConfig::AdamW { weight_decay } => (0.0, weight_decay),
        };
        check("momentum", momentum, share(momentum), "a number from 0 to below 1")?;
        check("weight decay", weight_decay, decay(weight_decay), "a finite number from 0")?;
        r.schedule.validate()?;

        let refuse = |message: &str| Err(Error::usage(message));
        if r.model == Architecture::LinearV0 && r.batch_norm {
            return refuse(
                "linear_v0 has no hidden layer to normalize: use linear_v1, or leave batch normalization off",
            );
        }
        if matches!(r.optimizer, OptimizerConfig::Sgd { momentum: 0.0, nesterov: true, .. }) {
            return refuse("Nesterov needs a momentum above 0, such as --momentum 0.9");
        }
        if r.label_smoothing > 0.0 && r.loss != LossKind::Ce {
            return refuse("label smoothing is for the loss ce");
        }
        if !r.model.is_convolutional() && (r.width != 1.0 || r.dropout != 0.0) {
            return refuse("width and dropout are for the convolutional networks: vgg11, vgg16, resnet9");
        }
        Ok(())
    }

    /// A short name for a run of this recipe, such as `linear_v1-bn-ce`.
    pub fn short_name(&self) -> String {
        // Convolutional networks have batch normalization unless they say otherwise, linear ones the other way round.
        let norm = match (self.model.is_convolutional(), self.batch_norm) {
            (false, true) => "-bn",
            (true, false) => "-no-bn",
            _ => "",
        };
        let half = if self.precision == Precision::F16 { "-f16" } else { "" };
        format!("{}{norm}-{}{half}", self.model, self.loss)
    }

    /// The command that repeats this recipe.
    pub fn command(&self) -> String {
        let on = |switch: bool| if switch { "on" } else { "off" };
        let mut words = vec![
            format!(
                "tinderbox train --dataset {} --model {} --batch-norm {}",
                quote(&self.dataset),
                self.model,
                on(self.batch_norm)
            ),
            format!("--loss {} --label-smoothing {}", self.loss, self.label_smoothing),
        ];
        if self.model.is_convolutional() {
            words.push(format!("--width {} --pool {} --dropout {}", self.width, self.pool, self.dropout));
        }
        words.push(match self.optimizer {
            OptimizerConfig::Sgd { momentum, nesterov, weight_decay } => {
                let nesterov = if nesterov { " --nesterov" } else { "" };
                format!("--optimizer sgd --momentum {momentum}{nesterov} --weight-decay {weight_decay}")
            }
            OptimizerConfig::Adam { weight_decay } => format!("--optimizer adam --weight-decay {weight_decay}"),
            OptimizerConfig::AdamW { weight_decay } => format!("--optimizer adamw --weight-decay {weight_decay}"),
        });
        words.push(format!("--lr {} --schedule {} --epochs {}", self.learning_rate, self.schedule, self.epochs));
        words.push(format!("--batch {} --fraction {} --seed {}", self.batch_size, self.fraction, self.seed));
        words.push(format!("--augment {}", self.augment));
        words.extend((self.precision != Precision::F32).then(|| format!("--precision {}", self.precision)));
        words.extend(self.patience.map(|patience| format!("--patience {patience}")));
        words.extend(self.target_accuracy.map(|target| format!("--target-accuracy {target}")));
        words.join(" ")
    }

    /// The lines in which two recipes differ, as `key: old -> new`, leaving out what may change when a run is
    /// resumed: the patience, the target, and the number of epochs if no learning rate depends on it. None of these
    /// alters an epoch already done.
    #[cfg(feature = "native")]
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let free = |key: &str| match key {
            "patience" | "target_accuracy" => true,
            "epochs" => !self.schedule.depends_on_epochs(),
            _ => false,
        };
        let table = |recipe: &Self| toml::Table::try_from(recipe).unwrap_or_default(); // `validate` leaves nothing TOML lacks
        let (old, new) = (table(self), table(other));
        let text = |value: Option<&toml::Value>| value.map_or("none".into(), ToString::to_string);
        let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter()
            .filter(|key| !free(key) && old.get(*key) != new.get(*key))
            .map(|key| format!("{key}: {} -> {}", text(old.get(key)), text(new.get(key))))
            .collect()
    }
}

named!(
    Architecture, "model",
    Architecture::LinearV0 => "linear_v0", Architecture::LinearV1 => "linear_v1", Architecture::Vgg11 => "vgg11",
    Architecture::Vgg16 => "vgg16", Architecture::Resnet9 => "resnet9",
);
named!(
    LossKind, "loss",
    LossKind::Mse => "mse", LossKind::Ce => "ce", LossKind::CeOnProbabilities => "ce-on-probabilities",
);
named!(Precision, "precision", Precision::F32 => "f32", Precision::F16 => "f16");
named!(Pool, "pooling", Pool::Max => "max", Pool::Avg => "avg");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused() {
        let base = Recipe::preset("cifar10-vgg11").unwrap();
        let broken: [fn(&mut Recipe); 22] = [
            |r| r.augment.crop = 17,
            |r| r.batch_size = 0,
            |r| r.epochs = 0,
            |r| r.learning_rate = f64::NAN,
            |r| r.learning_rate = -0.1,
            |r| r.fraction = 0.0,
            |r| r.fraction = 1.01,
            |r| r.width = 0.0,
            |r| r.width = f64::INFINITY,
            |r| r.dropout = 1.0,
            |r| r.label_smoothing = -0.1,
            |r| r.patience = Some(0),
            |r| r.seed = u64::MAX,
            |r| r.target_accuracy = Some(101.0),
            |r| r.target_accuracy = Some(0.97),
            |r| r.optimizer = OptimizerConfig::Sgd { momentum: 1.0, nesterov: false, weight_decay: 0.0 },
            |r| r.optimizer = OptimizerConfig::Sgd { momentum: 0.0, nesterov: true, weight_decay: 0.0 },
            |r| r.optimizer = OptimizerConfig::AdamW { weight_decay: f64::NAN },
            |r| r.schedule = Schedule::Step { step_size: 0, gamma: 0.9 },
            |r| (r.label_smoothing, r.loss) = (0.1, LossKind::Mse),
            |r| (r.model, r.width) = (Architecture::LinearV1, 2.0),
            |r| r.model = Architecture::LinearV0,
        ];
        for (i, change) in broken.iter().enumerate() {
            let mut recipe = base.clone();
            change(&mut recipe);
            assert_eq!(recipe.validate().unwrap_err().exit_code(), 2, "change {i}");
        }
    }

    #[test]
    fn differences_name_the_key_and_ignore_epochs_where_they_can() {
        let a = Recipe::preset("linear_v1-bn-ce").unwrap();
        let b = Recipe { epochs: 99, patience: Some(3), learning_rate: 0.5, ..a.clone() };
        assert_eq!(a.difference(&b), ["learning_rate: 0.1 -> 0.5"]);
        let a = Recipe { schedule: Schedule::Cosine, ..a };
        let b = Recipe { epochs: 99, ..a.clone() };
        assert_eq!(a.difference(&b), ["epochs: 20 -> 99"]);
    }

    #[test]
    fn every_preset_survives_its_toml() {
        for preset in &PRESETS {
            let recipe = Recipe::preset(preset.name).unwrap();
            assert_eq!(toml::from_str::<Recipe>(&toml::to_string_pretty(&recipe).unwrap()).unwrap(), recipe);
        }
        let unknown = toml::to_string(&Recipe::preset("cifar10-vgg11").unwrap()).unwrap() + "\n[extra]\n";
        assert!(toml::from_str::<Recipe>(&unknown).is_err());
    }
}
