//! The recipe itself.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::field::{option, text};
use super::fields::FIELDS;
use super::{Augment, Lookahead, OptimizerConfig, Schedule, Views};
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
    /// Pixels a side of somebody's own pictures; those of the network if there is no such number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// The network.
    pub network: Architecture,
    /// A run, or a file of weights, whose first layers are the beginning; from the seed alone if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// As many of the first layers are left as they are.
    #[serde(default)]
    pub freeze: usize,
    /// The loss.
    pub loss: LossKind,
    /// Share of the target probability that is spread over all classes, with `ce`; in [0, 1).
    #[serde(default)]
    pub label_smoothing: f64,
    /// Images per step, at least 1.
    pub batch_size: usize,
    /// Passes over the train set, above 0; the last ends early where this is no whole number.
    #[serde(serialize_with = "whole_where_it_is")]
    pub epochs: f64,
    /// The base learning rate, above 0.
    pub learning_rate: f64,
    /// The learning rate schedule.
    pub schedule: Schedule,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// A factor on the learning rate of batch normalization's scales and offsets, whose weight decay stays as it is; above 0.
    #[serde(default = "one")]
    pub norm_rate: f64,
    /// Whether batch normalization sees the whole batch where several devices share it.
    #[serde(default)]
    pub sync_batch_norm: bool,
    /// Epochs in which the bias of a whitening layer is trained; in all of them if there is no such number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whitening_epochs: Option<usize>,
    /// Slow weights that follow the trained ones.
    #[serde(default)]
    pub lookahead: Lookahead,
    /// Random changes to train images.
    pub augment: Augment,
    /// Views of every test image that are measured after the last epoch, beside the image itself.
    #[serde(default)]
    pub tta: Views,
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

fn one() -> f64 {
    1.0
}

/// Writes 20 as people do, and not as 20.0.
fn whole_where_it_is<S: serde::Serializer>(number: &f64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match number.fract() == 0.0 && (0.0..1e15).contains(number) {
        true => serializer.serialize_u64(*number as u64),
        false => serializer.serialize_f64(*number),
    }
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
        self.lookahead.validate()?;
        if let Some(target) = self.target_accuracy.filter(|target| *target > 0.0 && *target <= 1.0) {
            let percent = 100.0 * target;
            return Err(Error::usage(format!(
                "target accuracy is {target}, expected a percentage: write {percent} for {percent} %"
            )));
        }
        if matches!(self.optimizer.of_the_rest(), OptimizerConfig::Sgd { momentum: 0.0, nesterov: true, .. }) {
            return Err(Error::usage("Nesterov needs a momentum above 0").advise(Advice::Momentum));
        }
        if let (Some(side), false) = (self.image_size, self.dataset.is_of_pictures() || self.dataset.is_own()) {
            return Err(Error::usage(format!(
                "image size is {side}, but the images of {} have a size of their own: it is for pictures of folder: and csv:",
                self.dataset
            )));
        }
        self.network.layers().map(drop)
    }

    /// Pixels a side that pictures of somebody's own are brought to.
    pub fn image_side(&self) -> usize {
        self.image_size.unwrap_or_else(|| self.network.image_side())
    }

    /// The network for images of this shape and so many classes.
    ///
    /// # Errors
    /// Usage: names the layer that does not fit.
    pub fn network(&self, shape: ImageShape, classes: usize) -> Result<Network> {
        Network::new(&self.network, shape, classes)?.freezing(self.freeze)
    }

    /// The network with fresh parameters from the recipe's seed, on a device.
    ///
    /// # Errors
    /// Usage: names the layer that does not fit.
    pub fn model(&self, shape: ImageShape, classes: usize, device: &burn::tensor::Device) -> Result<Model> {
        Ok(self.network(shape, classes)?.build(self.seed, self.products(), device))
    }

    /// Epochs that are begun: the last may end early.
    pub fn epochs_begun(&self) -> usize {
        self.rounded_epochs().ceil() as usize
    }

    /// To a thousandth: what 1.1 times 10 is above 11 is rounding.
    fn rounded_epochs(&self) -> f64 {
        (self.epochs * 1e3).round() / 1e3
    }

    /// Steps of all epochs, where one that is whole has so many.
    pub fn steps(&self, steps_per_epoch: usize) -> usize {
        (self.rounded_epochs() * steps_per_epoch as f64 - 1e-6).ceil().max(1.0) as usize
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
    /// resumed: the patience, the target, test-time augmentation, and the number of epochs if no learning rate depends on it and none ended early. None of these
    /// alters an epoch already done.
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let free = |key: &str| match key {
            "patience" | "target_accuracy" | "tta" => true,
            "epochs" => {
                let whole = |recipe: &Self| recipe.epochs.fract() == 0.0;
                let longer = whole(self) && (whole(other) || other.epochs > self.epochs);
                longer && !self.schedule.depends_on_epochs() && !self.lookahead.is_on()
            }
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
        let broken: [fn(&mut Recipe); 25] = [
            |r| r.augment.crop = 17,
            |r| r.batch_size = 0,
            |r| r.epochs = 0.0,
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
            |r| r.norm_rate = 2.0, // with Adam
            |r| r.whitening_epochs = Some(0),
            |r| r.lookahead = Lookahead::On { every: 5, keep: 1.0 },
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
        let b = Recipe { epochs: 99.0, patience: Some(3), learning_rate: 0.5, ..a.clone() };
        assert_eq!(a.difference(&b), ["learning_rate: 0.1 -> 0.5"]);
        let a = Recipe { schedule: Schedule::Cosine, ..a };
        let b = Recipe { epochs: 99.0, network: Architecture::named("linear_v0").unwrap(), ..a.clone() };
        let expected = ["network.name: linear_v1 -> linear_v0", "network.batch_norm: on -> none", "epochs: 20 -> 99"];
        assert_eq!(a.difference(&b), expected);
    }

    #[test]
    fn an_epoch_that_ends_early_has_some_of_its_steps() {
        let of = |epochs| Recipe { epochs, ..preset("linear_v1-bn-ce") };
        assert_eq!([of(9.9).steps(49), of(1.1).steps(10), of(3.0).steps(7), of(0.01).steps(10)], [486, 11, 21, 1]);
        assert_eq!([of(9.9).epochs_begun(), of(3.0).epochs_begun(), of(0.01).epochs_begun()], [10, 3, 1]);
        let barely = of(11.000_000_000_000_002);
        assert_eq!((barely.epochs_begun(), barely.steps(1), of(11.001).steps(1)), (11, 11, 12));
        assert_eq!([&of(9.9), &of(3.0)].map(|recipe| recipe.to_value()["epochs"].to_string()), ["9.9", "3"]);
        assert_eq!(of(2.5).difference(&of(3.0)), ["epochs: 2.5 -> 3"], "what was left out is never made up for");
        assert_eq!(of(2.0).difference(&of(2.5)), [""; 0]);
        assert_eq!(of(20.0).difference(&of(19.2)), ["epochs: 20 -> 19.2"], "more may be done than that");
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
