//! A recipe resolved once: what it says, together with the data, as the concrete parts of a run.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Device;

use super::batches::DeviceSplit;
use super::metrics::evaluation_batch;
use super::optimizer::Groups;
use super::share::shares;
use super::state::{Progress, TrainState};
use super::step::Step;
use crate::compute::{AdapterKind, DeviceInfo, Devices, LossKind};
use crate::data::{Dataset, Split};
use crate::error::{Advice, Error, ErrorKind, Result};
use crate::network::{Model, Network, Precision};
use crate::recipe::{Augment, OptimizerConfig, Recipe, Schedule};

/// What is trained, on what, and how. There is no other way to a run, so no front end can forget a check.
#[derive(Clone)]
pub struct Plan {
    /// Checked against every rule of its own.
    recipe: Recipe,
    /// The train split is cut to the recipe's fraction.
    data: Arc<Dataset>,
    network: Network,
    /// The images that are measured on, where these are not all.
    test: Option<Arc<Split>>,
    step: Step,
    /// The images of every step of an epoch, as positions in its order.
    ranges: Vec<Range<usize>>,
    /// Images of more bytes do not stay on a device, where somebody said so.
    most_resident: Option<u64>,
}

impl Plan {
    /// Resolves a recipe for a data set, of which it takes its fraction.
    ///
    /// # Errors
    /// Usage: a value is out of range, the images do not fit the network, the batch is larger than the train set, or batch
    /// norm would meet a batch of one image.
    pub fn new(recipe: &Recipe, data: &Arc<Dataset>) -> Result<Self> {
        recipe.validate()?;
        let network = recipe.network(data.shape(), data.classes.len())?;
        let data = if recipe.fraction < 1.0 {
            let train = data.train.fraction(recipe.fraction, data.classes.len());
            Arc::new(Dataset { train, test: data.test.clone(), classes: data.classes.clone() })
        } else {
            Arc::clone(data)
        };
        let (n, size) = (data.train.len(), recipe.batch_size);
        check_batches(n, size, &network)?;
        Ok(Self {
            recipe: recipe.clone(),
            network,
            test: None,
            step: Step::new(recipe.loss, recipe.label_smoothing, recipe.precision),
            ranges: (0..n).step_by(size).map(|start| start..(start + size).min(n)).collect(),
            data,
            most_resident: None,
        })
    }

    /// Keeps the images of a split on a device only where they have so many bytes at most; others are streamed.
    #[must_use]
    pub fn keeping_at_most(self, bytes: Option<u64>) -> Self {
        Self { most_resident: bytes, ..self }
    }

    /// The train split where a device of this kind trains. Photographs are changed on the host, on their way.
    pub(super) fn place_train_set(&self, device: &Device, info: &DeviceInfo) -> DeviceSplit {
        match self.recipe.augment.is_of_photographs() {
            true => DeviceSplit::streamed(&self.data.train, device),
            false => self.place(&self.data.train, device, info),
        }
    }

    /// A split where a device of this kind trains: whole, or, where it is too large, to be streamed.
    pub(super) fn place(&self, split: &Split, device: &Device, info: &DeviceInfo) -> DeviceSplit {
        DeviceSplit::placed(split, device, info, self.most_resident)
    }

    /// Bytes of images that stay on a device at most, where somebody said so.
    pub fn most_resident(&self) -> Option<u64> {
        self.most_resident
    }

    /// Measures on so many test images at most, of every class its share.
    #[must_use]
    pub fn testing_at_most(mut self, most: usize) -> Self {
        let (test, classes) = (&self.data.test, self.data.classes.len());
        let part = || Arc::new(test.fraction(most as f64 / test.len() as f64, classes));
        self.test = (test.len() > most).then(part);
        self
    }

    /// The images that are measured on.
    pub fn test(&self) -> &Split {
        self.test.as_deref().unwrap_or(&self.data.test)
    }

    /// Checks that devices compute in the wanted precision, and that their buffers hold the parameters.
    ///
    /// # Errors
    /// Usage or device: says what does not fit, and what to do.
    pub fn check_devices(&self, devices: &Devices) -> Result<()> {
        let each = devices.info().each();
        let remote = each.iter().find(|device| device.kind == AdapterKind::Remote);
        if let (Some(remote), true, true) = (remote, self.shares_statistics(), each.len() > 1) {
            let message = format!("{remote} cannot share the statistics of batch normalization with other devices");
            return Err(Error::usage(message + ": leave sync batch norm off"));
        }
        each.iter().try_for_each(|device| self.check_device(device))
    }

    fn check_device(&self, device: &DeviceInfo) -> Result<()> {
        if self.recipe.precision == Precision::F16 && !device.f16 {
            let message = format!("{device} has no half precision");
            return Err(Error::usage(message).advise(Advice::SinglePrecision));
        }
        let Some(largest) = device.max_buffer_bytes else { return Ok(()) };
        let needed = self.network.tensors().map(|tensor| 4 * tensor.len()).max().unwrap_or(0);
        if needed > largest {
            let message = format!(
                "the largest layer takes {} MiB, but the largest buffer of {device} is {} MiB",
                needed >> 20,
                largest >> 20
            );
            return Err(Error::new(ErrorKind::Device, message).advise(Advice::SmallerNetwork));
        }
        Ok(())
    }

    /// A fresh start on a device: weights from the seed and, where layers are fitted to them, the train images; nothing done.
    pub fn start(&self, device: &Device) -> TrainState {
        self.start_from(self.fresh(device).fitted(&self.data.train))
    }

    /// The network with weights from the seed, on a device that trains; no layer is fitted.
    pub fn fresh(&self, device: &Device) -> Model {
        self.network.build(self.recipe.seed, self.recipe.products(), &device.clone().autodiff())
    }

    /// A start with the weights that a model of the plan's network has, on a device that trains; nothing done.
    pub fn start_from(&self, model: Model) -> TrainState {
        let Recipe { optimizer, norm_rate, whitening_epochs, lookahead, .. } = self.recipe;
        let whitening_steps = whitening_epochs.map_or(u64::MAX, |epochs| (epochs * self.ranges.len()) as u64);
        // As published with Muon: its bias goes with the offsets, and fades out.
        let whitening_fades = matches!(optimizer, OptimizerConfig::Muon { .. });
        let groups = Groups { norm_rate, whitening_steps, whitening_fades };
        let optimizer = self.step.optimizer(optimizer).with_groups(groups);
        let optimizer = if lookahead.is_on() { optimizer.with_slow_weights(&model) } else { optimizer };
        TrainState { model, optimizer, progress: Progress::default() }
    }

    /// The recipe that was resolved.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The data set, its train split cut to the recipe's fraction.
    pub fn data(&self) -> &Arc<Dataset> {
        &self.data
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The step.
    pub fn step(&self) -> Step {
        self.step
    }

    /// The loss that is made small, and measured.
    pub fn loss(&self) -> LossKind {
        self.recipe.loss
    }

    /// The optimizer.
    pub fn optimizer(&self) -> OptimizerConfig {
        self.recipe.optimizer
    }

    /// The random changes to train images.
    pub fn augment(&self) -> Augment {
        self.recipe.augment
    }

    /// The seed of everything that is random.
    pub fn seed(&self) -> u64 {
        self.recipe.seed
    }

    /// Passes over the train set, of which the last may end early.
    pub fn epochs(&self) -> usize {
        self.recipe.epochs_begun()
    }

    /// The images of every step of a whole epoch, as positions in its order.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Steps of all epochs.
    pub fn steps(&self) -> usize {
        self.recipe.steps(self.ranges.len())
    }

    /// The images of every step of an epoch, counted from 0: of the last perhaps fewer steps than of the others.
    pub(super) fn ranges_of(&self, epoch: usize) -> &[Range<usize>] {
        let left = self.steps().saturating_sub(epoch * self.ranges.len());
        &self.ranges[..self.ranges.len().min(left)]
    }

    /// The positions of one device's share of every batch of an epoch, from a step on; it is the one at `place` of so many.
    pub(super) fn shares_of(&self, epoch: usize, from: usize, sharers: usize, place: usize) -> Vec<Range<usize>> {
        let rest = self.ranges_of(epoch).iter().skip(from);
        rest.map(|range| shares(range, sharers, self.least_share())[place].range.clone()).collect()
    }

    /// The learning rate of a step, counted from 0 over all epochs.
    pub fn learning_rate(&self, step: usize) -> f64 {
        let Recipe { schedule, learning_rate, .. } = &self.recipe;
        Schedule::learning_rate(schedule, *learning_rate, step, self.ranges.len(), self.steps())
    }

    /// How much of lookahead's slow weights is kept behind a step, counted from 0 over all epochs; none where they are left alone.
    pub(super) fn lookahead(&self, step: usize) -> Option<f64> {
        self.recipe.lookahead.keep(step as u64 + 1, self.steps() as u64)
    }

    /// The learning rate that the schedule starts from.
    pub fn base_learning_rate(&self) -> f64 {
        self.recipe.learning_rate
    }

    /// Whether batch normalization sees the whole batch where several devices share it.
    pub(super) fn shares_statistics(&self) -> bool {
        self.recipe.sync_batch_norm && self.network.has_norm()
    }

    /// Images that a device's share of a batch must have, at least: batch normalization needs two to compare.
    pub(super) fn least_share(&self) -> usize {
        if self.network.has_norm() && !self.shares_statistics() { 2 } else { 1 }
    }

    /// Whether the patience is used up.
    pub(super) fn is_out_of_patience(&self, progress: &Progress) -> bool {
        self.recipe.patience.is_some_and(|patience| progress.epochs_without_gain() >= patience)
    }

    /// The batch size for measuring.
    pub fn evaluation_batch(&self) -> usize {
        evaluation_batch(self.recipe.batch_size)
    }
}

fn check_batches(n: usize, size: usize, network: &Network) -> Result<()> {
    if size > n {
        // Not so small that it takes long, and none that leaves an image alone.
        let fits = |size: &usize| *size <= n / 2 && n % size != 1;
        let advice = Advice::SmallerBatch([128, 64, 32, 16, 8, 4, 2].into_iter().find(fits).or(Some(n)));
        return Err(Error::usage(format!("batch size is {size}, but there are {n} train images")).advise(advice));
    }
    // A layer that normalizes maps has their pixels to compare, so there one image is enough.
    if network.needs_pairs() && (size == 1 || n % size == 1) {
        return Err(Error::usage(format!(
            "batch normalization needs two images or more in every batch, but {n} images in batches of {size} leave one \
             alone: choose another batch size"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu_info;
    use crate::data::{ImageShape, Label, Split};
    use crate::network::Architecture;

    fn data(n: usize, side: usize) -> Arc<Dataset> {
        let shape = ImageShape { channels: 1, height: side, width: side };
        let split = Split {
            pixels: vec![7; n * shape.len()].into(),
            labels: (0..n).map(|i| (i % 2) as Label).collect(),
            shape,
        };
        Arc::new(Dataset::new(split.clone(), split, vec!["a".into(), "b".into()]).unwrap())
    }

    #[test]
    fn every_check_is_made_whoever_asks() {
        let base = Recipe { batch_size: 4, ..Recipe::preset("linear_v1-bn-ce").unwrap() };
        let vgg = Architecture::named("vgg11").unwrap();
        for (recipe, data, words) in [
            (
                Recipe { batch_size: 11, ..base.clone() },
                data(10, 28),
                "batch size is 11, but there are 10 train images",
            ),
            (Recipe { batch_size: 3, ..base.clone() }, data(10, 28), "batch normalization needs two"),
            (Recipe { network: vgg, ..base.clone() }, data(10, 28), "layer 29, `pool max 2`, gets 512x1x1"),
            (Recipe { epochs: 0.0, ..base.clone() }, data(10, 28), "epochs is 0"),
        ] {
            let error = Plan::new(&recipe, &data).err().expect(words);
            assert!(error.exit_code() == 2 && error.to_string().contains(words), "{error}");
        }
        let half = Plan::new(&Recipe { fraction: 0.5, ..base.clone() }, &data(40, 28)).unwrap();
        assert_eq!((half.data().train.len(), half.ranges().len(), half.data().test.len()), (20, 5, 40));
    }

    #[test]
    fn devices_are_checked_for_precision_and_room() {
        let recipe = Recipe { batch_size: 4, ..Recipe::preset("linear_v1-bn-ce").unwrap() };
        let devices = |info| Devices::one(Device::flex(), info);
        let plan = Plan::new(&recipe, &data(40, 28)).unwrap();
        plan.check_devices(&devices(cpu_info())).unwrap();
        let small = DeviceInfo { max_buffer_bytes: Some(20_000), ..cpu_info() };
        let placed = |plan: &Plan, info: &DeviceInfo| plan.place(plan.test(), &Device::flex(), info).is_streamed();
        assert!(placed(&plan, &small) && !placed(&plan, &cpu_info()));
        assert!(placed(&plan.clone().keeping_at_most(Some(100)), &cpu_info()));
        let smaller = DeviceInfo { max_buffer_bytes: Some(100_000), ..cpu_info() };
        assert!(plan.check_devices(&devices(smaller)).unwrap_err().to_string().contains("the largest layer"));
        let half = Plan::new(&Recipe { precision: Precision::F16, ..recipe }, &data(40, 28)).unwrap();
        assert_eq!(half.check_devices(&devices(cpu_info())).unwrap_err().exit_code(), 2);
    }
}
