//! Data-parallel training: every further device holds a replica of the network and takes a share of each batch.
//!
//! As burn-train's `MultiDevice` strategy with the optimizer on the main device does: the weights go to the replicas, each
//! computes the gradients of its share on a thread of its own, and the main device adds them to its own and steps. One
//! vector goes each way a step; burn moves it through the host, or between CUDA devices with NCCL.
//!
//! As with PyTorch's `DistributedDataParallel`, batch normalization sees the share of its own device, and the running
//! statistics that are kept are those of the main one.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};

use crate::batches::{Batch, DeviceSplit, Order};
use crate::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::optimizer::part;
use crate::recipe::Recipe;

/// Threads of replicas are named like this, with a number.
pub const THREAD_NAME: &str = "replica-";

/// The replicas of a run, one on each device but the main one; for a single device there are none.
pub struct Replicas {
    workers: Vec<Worker>,
    /// How many of the workers are at the present step.
    working: usize,
}

struct Worker {
    /// None once the run has ended.
    work: Option<Sender<Work>>,
    shares: Receiver<Result<Tensor<1>>>,
    thread: Option<JoinHandle<()>>,
}

/// A replica's part of a step.
struct Work {
    /// On the main device.
    weights: Tensor<1>,
    epoch: usize,
    seed: u64,
    range: Range<usize>,
    /// Images of the whole batch.
    batch: usize,
}

/// `range` in parts for so many devices, as even as can be and none smaller than `least`.
pub fn shares(range: &Range<usize>, devices: usize, least: usize) -> Vec<Range<usize>> {
    let n = range.len();
    let parts = devices.min(n / least).max(1);
    (0..parts).map(|i| range.start + i * n / parts..range.start + (i + 1) * n / parts).collect()
}

/// The loss `[1]` of a share of a batch and its gradients, both weighted by how much of the batch the share is; the
/// gradients are scaled up as the precision wants it.
pub fn gradients(recipe: &Recipe, model: &Model, batch: Batch, share: f64) -> (Tensor<1>, Gradients) {
    let loss = recipe.loss.compute(model.forward(batch.images), batch.labels, recipe.label_smoothing);
    let loss = scaled(loss, share);
    (loss.clone().inner(), scaled(loss, recipe.precision.loss_scale()).backward())
}

fn scaled(loss: Tensor<1>, scale: f64) -> Tensor<1> {
    if scale == 1.0 { loss } else { loss * scale }
}

impl Replicas {
    /// Brings the data to every one of `devices` and starts their threads. `main` is where the optimizer is.
    ///
    /// # Errors
    /// Device: a thread does not start.
    pub fn start(recipe: &Recipe, dataset: &Dataset, main: &Device, devices: &[Device]) -> Result<Self> {
        let start = |(i, device): (usize, &Device)| {
            let (work, orders) = channel::<Work>();
            let (answer, shares) = channel();
            let mut replica = Replica::new(recipe, dataset, device, main);
            let thread = std::thread::Builder::new().name(format!("{THREAD_NAME}{}", i + 1)).spawn(move || {
                for work in orders {
                    let share = catch_unwind(AssertUnwindSafe(|| replica.step(work)));
                    let share = share.map_err(|panic| failed(i + 1, panic.as_ref()));
                    let broken = share.is_err();
                    if answer.send(share).is_err() || broken {
                        return;
                    }
                }
            });
            let thread = thread.map_err(|e| Error::new(ErrorKind::Device, format!("no thread for a replica: {e}")))?;
            Ok(Worker { work: Some(work), shares, thread: Some(thread) })
        };
        let workers = devices.iter().enumerate().map(start).collect::<Result<_>>()?;
        Ok(Self { workers, working: 0 })
    }

    /// Gives every replica the weights of `model`, and one of `shares` of the epoch's order.
    ///
    /// # Errors
    /// Device: a replica is gone.
    pub fn begin(
        &mut self,
        model: &Model,
        epoch: usize,
        seed: u64,
        shares: &[Range<usize>],
        batch: usize,
    ) -> Result<()> {
        self.working = shares.len().min(self.workers.len());
        if self.working == 0 {
            return Ok(());
        }
        let mut weights = Weights(Vec::new());
        model.visit(&mut weights);
        let weights = Tensor::cat(weights.0, 0);
        for (i, (worker, range)) in self.workers.iter().zip(shares).enumerate() {
            let seed = seed.wrapping_add((i as u64 + 1) << 32); // drops other values than the main device
            let work = Work { weights: weights.clone(), epoch, seed, range: range.clone(), batch };
            let sent = worker.work.as_ref().is_some_and(|to| to.send(work).is_ok());
            if !sent {
                return Err(gone(i + 1));
            }
        }
        Ok(())
    }

    /// What the replicas computed of the step that began, if any did: the sum of their vectors on the main device, each of all
    /// gradients in the model's order and the loss, weighted by its share of the batch.
    ///
    /// # Errors
    /// Device: one of the devices failed.
    pub fn finish(&mut self) -> Result<Option<Tensor<1>>> {
        let working = self.workers.iter().take(std::mem::take(&mut self.working)).enumerate();
        let answers = working.map(|(i, worker)| worker.shares.recv().unwrap_or_else(|_| Err(gone(i + 1))));
        Ok(answers.collect::<Result<Vec<_>>>()?.into_iter().reduce(|sum, share| sum + share))
    }
}

/// The threads end with the run, before what they compute with is taken down.
impl Drop for Replicas {
    fn drop(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.work = None);
        for thread in self.workers.iter_mut().filter_map(|worker| worker.thread.take()) {
            let _ = thread.join(); // its panics were caught
        }
    }
}

fn gone(index: usize) -> Error {
    Error::new(ErrorKind::Device, format!("the replica on device {} of this run has ended", index + 1))
}

fn failed(index: usize, panic: &(dyn Any + Send)) -> Error {
    let text = Error::of_panic(panic).to_string();
    Error::new(ErrorKind::Device, format!("device {} of this run: {text}", index + 1))
}

/// The network on one of the further devices.
struct Replica {
    recipe: Recipe,
    model: Model,
    train_set: DeviceSplit,
    main: Device,
    /// Of the epoch at hand.
    order: Option<(usize, Order)>,
}

impl Replica {
    fn new(recipe: &Recipe, dataset: &Dataset, device: &Device, main: &Device) -> Self {
        Self {
            recipe: recipe.clone(),
            model: Model::new(recipe, dataset.shape(), dataset.classes.len(), &device.clone().autodiff()),
            train_set: DeviceSplit::new(&dataset.train, device),
            main: main.clone().inner(),
            order: None,
        }
    }

    fn step(&mut self, work: Work) -> Tensor<1> {
        let (recipe, device) = (&self.recipe, self.train_set.device());
        if self.order.as_ref().is_none_or(|(epoch, _)| *epoch != work.epoch) {
            self.order = Some((work.epoch, self.train_set.shuffled(recipe.seed, work.epoch, recipe.augment)));
        }
        let Some((_, order)) = &self.order else { unreachable!("it was made above") };
        let share = work.range.len() as f64 / work.batch as f64;
        if recipe.dropout > 0.0 {
            device.seed(work.seed);
        }
        let weights = work.weights.to_device(&device);
        self.model = self.model.clone().map(&mut Replace { weights, next: 0 });
        let batch = self.train_set.batch(order, work.range);
        let (loss, gradients) = gradients(recipe, &self.model, batch, share);
        let mut flat = Flat { gradients, parts: Vec::new() };
        self.model.visit(&mut flat);
        flat.parts.push(loss);
        Tensor::cat(flat.parts, 0).to_device(&self.main)
    }
}

/// All trained weights, flat, in the model's order.
struct Weights(Vec<Tensor<1>>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        if tensor.is_require_grad() {
            self.0.push(tensor.inner().flatten(0, D - 1));
        }
    }
}

/// Puts them in.
struct Replace {
    weights: Tensor<1>,
    next: usize,
}

impl ModuleMapper for Replace {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        if !tensor.is_require_grad() {
            return Param::from_mapped_value(id, tensor, mapper);
        }
        let weights = part(&self.weights, &mut self.next, tensor.dims());
        Param::from_mapped_value(id, Tensor::from_inner(weights).require_grad(), mapper)
    }
}

/// All gradients, flat, in the same order.
struct Flat {
    gradients: Gradients,
    parts: Vec<Tensor<1>>,
}

impl ModuleVisitor for Flat {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        if tensor.is_require_grad() {
            let gradient = tensor.grad_remove(&mut self.gradients);
            let gradient = gradient.unwrap_or_else(|| tensor.inner().zeros_like());
            self.parts.push(gradient.flatten(0, D - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{DataSource, load};
    use crate::train::{Observers, start, train};
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn shares_are_even_and_none_is_too_small() {
        assert_eq!(shares(&(10..20), 1, 1), vec![10..20; 1]);
        assert_eq!(shares(&(10..20), 3, 1), [10..13, 13..16, 16..20]);
        assert_eq!(shares(&(0..5), 4, 2), [0..2, 2..5]);
        assert_eq!(shares(&(7..8), 4, 2), vec![7..8; 1]);
    }

    #[test]
    fn several_devices_learn_as_one() {
        let dataset = load(&DataSource::MnistSample, None).unwrap().dataset;
        let cpu = || Device::flex();
        let losses = |preset, devices: &[Device]| {
            let recipe = Recipe { epochs: 1, batch_size: 130, ..Recipe::preset(preset).unwrap() };
            let state = start(&recipe, &dataset, &devices[0]);
            let (never, mut observers) = (AtomicUsize::new(0), Observers::default());
            let run = train(&recipe, &dataset, devices, state, &never, &mut observers);
            let done = pollster::block_on(run).unwrap().progress.history.remove(0);
            (done.train_loss, done.test_loss, done.test_accuracy)
        };
        for devices in [vec![cpu(); 2], vec![cpu(); 3]] {
            let (one, all) = (losses("linear_v1-mse", &[cpu()]), losses("linear_v1-mse", &devices));
            assert!((one.0 - all.0).abs() < 1e-6 && (one.1 - all.1).abs() < 1e-6, "{one:?} {all:?}");
            // Batch normalization sees a share instead of the batch.
            let (one, all) = (losses("linear_v1-bn-ce", &[cpu()]), losses("linear_v1-bn-ce", &devices));
            assert!((one.0 - all.0).abs() < 0.1 && (one.2 - all.2).abs() < 2.0, "{one:?} {all:?}");
        }
    }
}
