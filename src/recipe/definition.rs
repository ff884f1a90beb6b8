//! The recipe itself.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::field::{option, text};
use super::fields::FIELDS;
use super::{Augment, OptimizerConfig, Schedule};
use crate::compute::LossKind;
use crate::data::{Identity, ImageShape};
use crate::error::{Advice, Error, Result};
use crate::network::{Architecture, Convolution, Model, Network, Precision, Products};

/// Everything that decides the numbers of a run, apart from the device it runs on. What each field means, and what it may
/// be, is in the table [`FIELDS`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The data set.
    pub dataset: Identity,
    /// The network.
    pub network: Architecture,
    /// The loss.
    pub loss: LossKind,
    /// Share of the target probability that is spread over all classes, with `ce`; in [0, 1).
    #[serde(default)]
    pub label_smoothing: f64,
    /// Images per step, at least 1.
    pub batch_size: usize,
    /// Passes over the train set, at least 1.
    pub epochs: usize,
    /// The base learning rate, above 0.
    pub learning_rate: f64,
    /// The learning rate schedule.
    pub schedule: Schedule,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// Random changes to train images.
    pub augment: Augment,
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
    /// In which numbers the network multiplies.
    #[serde(default)]
    pub precision: Precision,
    /// By which algorithm the CPU computes 3x3 convolutions.
    #[serde(default)]
    pub convolution: Convolution,
}

impl Recipe {
    /// Checks every value that can be checked without the data.
    ///
    /// # Errors
    /// Usage, naming the value, what it is and what it may be.
    pub fn validate(&self) -> Result<()> {
        let value = self.to_value();
        FIELDS.iter().try_for_each(|field| field.check(&value))?;
        self.augment.validate()?;
        self.schedule.validate()?;
        if let Some(target) = self.target_accuracy.filter(|target| *target > 0.0 && *target <= 1.0) {
            let percent = 100.0 * target;
            return Err(Error::usage(format!(
                "target accuracy is {target}, expected a percentage: write {percent} for {percent} %"
            )));
        }
        if matches!(self.optimizer, OptimizerConfig::Sgd { momentum: 0.0, nesterov: true, .. }) {
            return Err(Error::usage("Nesterov needs a momentum above 0").advise(Advice::Momentum));
        }
        self.network.layers().map(drop)
    }

    /// The network for images of this shape and so many classes.
    ///
    /// # Errors
    /// Usage: names the layer that does not fit.
    pub fn network(&self, shape: ImageShape, classes: usize) -> Result<Network> {
        Network::new(&self.network, shape, classes)
    }

    /// The network with fresh parameters from the recipe's seed, on a device.
    ///
    /// # Errors
    /// Usage: names the layer that does not fit.
    pub fn model(&self, shape: ImageShape, classes: usize, device: &burn::tensor::Device) -> Result<Model> {
        Ok(self.network(shape, classes)?.build(self.seed, self.products(), device))
    }

    /// How the network multiplies.
    pub fn products(&self) -> Products {
        Products { precision: self.precision, convolution: self.convolution }
    }

    /// A short name for a run of this recipe, such as `linear_v1-bn-ce`.
    pub fn short_name(&self) -> String {
        let half = if self.precision == Precision::F16 { "-f16" } else { "" };
        format!("{}-{}{half}", self.network.short_name(), self.loss)
    }

    /// The command that repeats this recipe; `folder` is where the files of its data set are, if that is known.
    pub fn command(&self, folder: Option<&Path>) -> String {
        let value = self.to_value();
        let options = FIELDS.iter().filter_map(|field| field.option(&value));
        // Every other data set's name says where its files are.
        let folder = folder.filter(|_| self.dataset.has_published_files());
        let folder = folder.map(|folder| option("data-dir", &folder.to_string_lossy()));
        std::iter::once("tinderbox train".to_string()).chain(options).chain(folder).collect::<Vec<_>>().join(" ")
    }

    /// The lines in which two recipes differ, as `key: old -> new`, leaving out what may change when a run is
    /// resumed: the patience, the target, and the number of epochs if no learning rate depends on it. None of these
    /// alters an epoch already done.
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let free = |key: &str| match key {
            "patience" | "target_accuracy" => true,
            "epochs" => !self.schedule.depends_on_epochs(),
            _ => false,
        };
        let (old, new) = (self.to_value(), other.to_value());
        let differing = FIELDS.iter().filter(|field| !free(field.key) && field.get(&old) != field.get(&new));
        let shown = |value: &Value| if value.is_null() { "none".into() } else { text(value) };
        differing.map(|f| format!("{}: {} -> {}", f.key, shown(f.get(&old)), shown(f.get(&new)))).collect()
    }

    /// The recipe as JSON.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default() // plain data, which JSON always holds
    }
}

#[cfg(test)]
mod tests {
    use super::super::PRESETS;
    use super::*;

    fn preset(name: &str) -> Recipe {
        Recipe::preset(name).unwrap()
    }

    #[test]
    fn the_command_names_the_folder_of_published_files_and_no_folder_of_the_sample() {
        let cifar = preset("cifar10-vgg11");
        assert!(cifar.command(Some(Path::new("my data"))).ends_with(" --data-dir 'my data'"));
        let sample = Recipe { dataset: Identity::MnistSample, ..cifar };
        assert_eq!(sample.command(Some(Path::new("my data"))), sample.command(None));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        fn settings(recipe: &mut Recipe, change: impl FnOnce(&mut crate::network::Settings)) {
            recipe.network = recipe.network.clone().with(change);
        }
        let base = preset("cifar10-vgg11");
        let broken: [fn(&mut Recipe); 22] = [
            |r| r.augment.crop = 17,
            |r| r.batch_size = 0,
            |r| r.epochs = 0,
            |r| r.learning_rate = f64::NAN,
            |r| r.learning_rate = f64::INFINITY,
            |r| r.learning_rate = -0.1,
            |r| r.fraction = 0.0,
            |r| r.fraction = 1.01,
            |r| settings(r, |s| s.width = 0.0),
            |r| settings(r, |s| s.width = f64::INFINITY),
            |r| settings(r, |s| s.width = 17.0),
            |r| settings(r, |s| s.dropout = 1.0),
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
        ];
        for (i, change) in broken.iter().enumerate() {
            let mut recipe = base.clone();
            change(&mut recipe);
            let error = recipe.validate().expect_err(&format!("change {i}"));
            assert_eq!(error.exit_code(), 2, "change {i}: {error}");
        }
    }

    #[test]
    fn differences_name_the_key_and_ignore_epochs_where_they_can() {
        let a = preset("linear_v1-bn-ce");
        let b = Recipe { epochs: 99, patience: Some(3), learning_rate: 0.5, ..a.clone() };
        assert_eq!(a.difference(&b), ["learning_rate: 0.1 -> 0.5"]);
        let a = Recipe { schedule: Schedule::Cosine, ..a };
        let b = Recipe { epochs: 99, network: Architecture::named("linear_v0").unwrap(), ..a.clone() };
        let expected = ["network.name: linear_v1 -> linear_v0", "network.batch_norm: on -> none", "epochs: 20 -> 99"];
        assert_eq!(a.difference(&b), expected);
    }

    #[test]
    #[cfg(feature = "native")]
    fn every_preset_survives_its_toml() {
        for preset in &PRESETS {
            let recipe = preset.recipe();
            assert_eq!(toml::from_str::<Recipe>(&toml::to_string_pretty(&recipe).unwrap()).unwrap(), recipe);
        }
        let unknown = toml::to_string(&preset("cifar10-vgg11")).unwrap() + "\n[extra]\n";
        assert!(toml::from_str::<Recipe>(&unknown).is_err());
    }
}
