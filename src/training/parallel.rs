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

use burn::tensor::{Device, Tensor};

use super::batches::{DeviceSplit, Order};
use super::plan::Plan;
use crate::compute::{Devices, failure};
use crate::error::{Error, ErrorKind, Result};
use crate::network::{Model, Noise, flat};

/// Threads of replicas are named like this, with a number.
pub const THREAD_NAME: &str = "replica-";

/// The replicas of a run, one on each device but the main one; for a single device there are none.
pub struct Replicas {
    replicas: Vec<Handle>,
    /// How many of the replicas are at the present step.
    working: usize,
}

/// The main thread's end of a replica.
struct Handle {
    /// None once the run has ended.
    work: Option<Sender<Work>>,
    shares: Receiver<Result<Tensor<1>>>,
    thread: Option<JoinHandle<()>>,
}

/// A replica's part of a step.
struct Work {
    /// On the main device.
    weights: Tensor<1>,
    /// Which step it is: the epoch, and the step in it.
    at: (usize, usize),
    /// The positions of the replica's share, and those of the whole batch.
    share: Range<usize>,
    batch: Range<usize>,
}

/// `range` in parts for so many devices, as even as can be and none smaller than `least`.
pub fn shares(range: &Range<usize>, devices: usize, least: usize) -> Vec<Range<usize>> {
    let n = range.len();
    let parts = devices.min(n / least).max(1);
    (0..parts).map(|i| range.start + i * n / parts..range.start + (i + 1) * n / parts).collect()
}

impl Replicas {
    /// Brings the data to every device beside the main one, where the optimizer is, and starts their threads.
    ///
    /// # Errors
    /// Device: a thread does not start.
    pub fn start(plan: &Plan, devices: &Devices) -> Result<Self> {
        let start = |(i, device): (usize, &Device)| {
            let (work, orders) = channel::<Work>();
            let (answer, shares) = channel();
            let mut replica = Replica::new(plan, device, devices.main());
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
            Ok(Handle { work: Some(work), shares, thread: Some(thread) })
        };
        let replicas = devices.others().iter().enumerate().map(start).collect::<Result<_>>()?;
        Ok(Self { replicas, working: 0 })
    }

    /// Begins a step, which is named by its epoch and its place in that: gives every replica the weights of `model`, and one of
    /// `shares` of the batch at these positions of the epoch's order.
    ///
    /// # Errors
    /// Device: a replica is gone.
    pub fn begin(
        &mut self,
        model: &Model,
        at: (usize, usize),
        shares: &[Range<usize>],
        batch: &Range<usize>,
    ) -> Result<()> {
        self.working = shares.len().min(self.replicas.len());
        if self.working == 0 {
            return Ok(());
        }
        let weights = flat::parameters(model);
        for (i, (replica, share)) in self.replicas.iter().zip(shares).enumerate() {
            let work = Work { weights: weights.clone(), at, share: share.clone(), batch: batch.clone() };
            let sent = replica.work.as_ref().is_some_and(|to| to.send(work).is_ok());
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
        let working = self.replicas.iter().take(std::mem::take(&mut self.working)).enumerate();
        let answers = working.map(|(i, replica)| replica.shares.recv().unwrap_or_else(|_| Err(gone(i + 1))));
        Ok(answers.collect::<Result<Vec<_>>>()?.into_iter().reduce(|sum, share| sum + share))
    }
}

/// The threads end with the run, before what they compute with is taken down.
impl Drop for Replicas {
    fn drop(&mut self) {
        self.replicas.iter_mut().for_each(|replica| replica.work = None);
        for thread in self.replicas.iter_mut().filter_map(|replica| replica.thread.take()) {
            let _ = thread.join(); // its panics were caught
        }
    }
}

fn gone(index: usize) -> Error {
    Error::new(ErrorKind::Device, format!("the replica on device {} of this run has ended", index + 1))
}

fn failed(index: usize, panic: &(dyn Any + Send)) -> Error {
    let text = failure::panic(panic).to_string();
    Error::new(ErrorKind::Device, format!("device {} of this run: {text}", index + 1))
}

/// The network on one of the further devices.
struct Replica {
    plan: Plan,
    model: Model,
    train_set: DeviceSplit,
    main: Device,
    /// The order of the epoch at hand.
    order: Option<(usize, Order)>,
}

impl Replica {
    fn new(plan: &Plan, device: &Device, main: &Device) -> Self {
        Self {
            model: plan.start(device).model,
            train_set: DeviceSplit::new(&plan.data().train, device),
            plan: plan.clone(),
            main: main.clone().inner(),
            order: None,
        }
    }

    fn step(&mut self, work: Work) -> Tensor<1> {
        let (plan, device) = (&self.plan, self.train_set.device());
        let (epoch, step) = work.at;
        let order = match self.order.take() {
            Some((known, order)) if known == epoch => order,
            _ => self.train_set.shuffled(plan.seed(), epoch, plan.augment()),
        };
        let (_, order) = self.order.insert((epoch, order));
        let weight = work.share.len() as f64 / work.batch.len() as f64;
        let noise = Noise::new(plan.seed(), epoch, step, work.share.start - work.batch.start);
        self.model = flat::with_parameters(self.model.clone(), &work.weights.to_device(&device));
        let batch = self.train_set.batch(order, work.share);
        let (loss, gradients) = plan.step().gradients(&self.model, batch, noise, weight);
        Tensor::cat(vec![flat::gradients(&self.model, gradients), loss], 0).to_device(&self.main)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu_info;
    use crate::data::{Identity, load};
    use crate::notice::silent;
    use crate::recipe::Recipe;
    use crate::training::{Observers, train};
    use std::sync::Arc;
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
        let dataset = Arc::new(load(&Identity::MnistSample, None, &mut silent).unwrap().dataset);
        let losses = |layers: &str, count: usize| {
            let devices = (1..count).fold(Devices::cpu(), |devices, _| devices.and(Device::flex(), cpu_info()));
            let network = layers.parse().unwrap();
            let recipe = Recipe { epochs: 1.0, batch_size: 130, network, ..Recipe::preset("linear_v1-bn-ce").unwrap() };
            let plan = Plan::new(&recipe, &dataset).unwrap();
            let (never, mut observers) = (AtomicUsize::new(0), Observers::default());
            let run = train(&plan, &devices, plan.start(devices.main()), &never, &mut observers);
            let done = pollster::block_on(run).unwrap().progress.history.remove(0);
            (done.train_loss, done.test_loss, done.test_accuracy)
        };
        for count in [2, 3] {
            for layers in
                ["flatten, linear 64, relu, linear classes", "flatten, linear 64, relu, dropout 0.3, linear classes"]
            {
                let (one, all) = (losses(layers, 1), losses(layers, count));
                assert!((one.0 - all.0).abs() < 1e-6 && (one.1 - all.1).abs() < 1e-6, "{layers}: {one:?} {all:?}");
            }
            // Batch normalization sees a share instead of the batch.
            let normalized = "flatten, linear 128, norm, relu, linear 64, norm, relu, linear classes";
            let (one, all) = (losses(normalized, 1), losses(normalized, count));
            assert!((one.0 - all.0).abs() < 0.1 && (one.2 - all.2).abs() < 2.0, "{one:?} {all:?}");
        }
    }
}
