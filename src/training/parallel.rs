//! Data-parallel training: every further device holds a replica of the network and takes a share of each batch.
//!
//! As burn-train's `MultiDevice` strategy with the optimizer on the main device does: the weights go to the replicas, each
//! computes the gradients of its share on a thread of its own, and the main device adds them to its own and steps. One
//! vector goes each way a step; burn moves it through the host, or between CUDA devices with NCCL.
//!
//! As with PyTorch's `DistributedDataParallel`, batch normalization sees the share of its own device, and the running
//! statistics that are kept are those of the main one.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use burn::tensor::{Device, Tensor};

use super::batches::{DeviceSplit, Order};
use super::plan::Plan;
use super::share::Share;
use crate::compute::peers::{Peers, threads};
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
    /// Those who share statistics with the main device.
    peers: Option<Peers>,
    /// Whether the replicas have what is not trained.
    begun: bool,
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
    /// On the main device: those that are trained, or all values.
    weights: Tensor<1>,
    /// Whether these are all values, running statistics and frozen layers included, with which a run begins.
    all: bool,
    /// Which step it is: the epoch, and the step in it.
    at: (usize, usize),
    share: Share,
    /// Images of the batch before those of the share.
    before: usize,
}

impl Replicas {
    /// Brings the data to every device beside the main one, where the optimizer is, and starts their threads.
    ///
    /// # Errors
    /// Device: a thread does not start.
    pub fn start(plan: &Plan, devices: &Devices) -> Result<Self> {
        let share_statistics = plan.shares_statistics() && devices.count() > 1;
        let mut peers = if share_statistics { threads(devices.count()) } else { Vec::new() }.into_iter();
        let main = peers.next();
        let mut start = |i: usize| {
            let (work, orders) = channel::<Work>();
            let (answer, shares) = channel();
            let mut replica = Replica::new(plan, devices, i + 1, peers.next());
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
        let replicas = (0..devices.others().len()).map(&mut start).collect::<Result<_>>()?;
        Ok(Self { replicas, working: 0, peers: main, begun: false })
    }

    /// Those who share the statistics of batch normalization with the main device, where the plan wants that.
    pub fn peers(&self) -> Option<&Peers> {
        self.peers.as_ref()
    }

    /// Begins a step, which is named by its epoch and its place in that: gives every replica the weights of `model`, and one of
    /// `shares` of the batch, of which the first is the main device's.
    ///
    /// # Errors
    /// Device: a replica is gone.
    pub fn begin(&mut self, model: &Model, at: (usize, usize), shares: &[Share]) -> Result<()> {
        self.working = self.replicas.len();
        if self.working == 0 {
            return Ok(());
        }
        let all = !std::mem::replace(&mut self.begun, true);
        let weights = if all { flat::values(model) } else { flat::parameters(model) };
        let [first, shares @ ..] = shares else { return Ok(()) };
        for (i, (replica, share)) in self.replicas.iter().zip(shares).enumerate() {
            let before = share.range.start - first.range.start;
            let work = Work { weights: weights.clone(), all, at, share: share.clone(), before };
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
        // A replica may wait for the main device in the middle of a step that has failed there.
        self.peers.iter().for_each(|peers| peers.leave());
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
    /// Among how many devices a batch is shared, and which of them this is.
    place: (usize, usize),
    /// The order of the epoch at hand.
    order: Option<(usize, Order)>,
}

impl Replica {
    /// On the device at a place among all.
    fn new(plan: &Plan, devices: &Devices, place: usize, peers: Option<Peers>) -> Self {
        let (device, info) = (&devices.all()[place], &devices.info().each()[place]);
        Self {
            model: plan.fresh(device).fitted(&plan.data().train).sharing_statistics(peers.as_ref()),
            train_set: plan.place_train_set(device, info),
            plan: plan.clone(),
            main: devices.main().clone().inner(),
            place: (devices.count(), place),
            order: None,
        }
    }

    fn step(&mut self, work: Work) -> Tensor<1> {
        let (plan, device) = (&self.plan, self.train_set.device());
        let (epoch, step) = work.at;
        let order = match self.order.take() {
            Some((known, order)) if known == epoch => order,
            _ => {
                let mut order = self.train_set.shuffled(plan.seed(), epoch, plan.augment());
                let own = plan.shares_of(epoch, step, self.place.0, self.place.1);
                self.train_set.make_ready(&mut order, &own);
                order
            }
        };
        let (_, order) = self.order.insert((epoch, order));
        let noise = Noise::new(plan.seed(), epoch, step, work.before);
        let replace = if work.all { flat::with_values } else { flat::with_parameters };
        self.model = replace(self.model.clone(), &work.weights.to_device(&device));
        let batch = self.train_set.batch(order, work.share.range);
        let (loss, gradients) = plan.step().gradients(&self.model, batch, noise, work.share.weight);
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
    fn replicas_have_what_is_not_trained() {
        let dataset = Arc::new(load(&Identity::MnistSample, None, &mut silent).unwrap().dataset);
        let network = "flatten, linear 32, norm, relu, linear 16, norm, relu, linear classes".parse().unwrap();
        let recipe =
            Recipe { epochs: 1.0, batch_size: 400, network, freeze: 3, ..Recipe::preset("linear_v1-bn-ce").unwrap() };
        let plan = Plan::new(&recipe, &dataset).unwrap();
        // Frozen layers that are those of another seed.
        let other = Recipe { seed: 9, ..recipe.clone() };
        let losses = |count: usize| {
            let devices = (1..count).fold(Devices::cpu(), |devices, _| devices.and(Device::flex(), cpu_info()));
            let state = plan.start_from(Plan::new(&other, &dataset).unwrap().fresh(devices.main()));
            let (never, mut observers) = (AtomicUsize::new(0), Observers::default());
            let recipe = Recipe { sync_batch_norm: true, ..recipe.clone() };
            let plan = Plan::new(&recipe, &dataset).unwrap();
            let run = train(&plan, &devices, state, &never, &mut observers);
            pollster::block_on(run).unwrap().progress.history[0].train_loss
        };
        let (one, two) = (losses(1), losses(2));
        assert!((one - two).abs() < 1e-5, "{one} {two}");
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
