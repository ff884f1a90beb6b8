//! A step that lives on the device: weights, optimizer, order, learning rates, losses and the count of steps are buffers that
//! stay, so that a step is recorded once and an epoch is its replay.
//!
//! The first steps of a run are done plainly, and warm the device up. Then the step is recorded, replayed once, undone, and
//! done plainly again; only if both leave the same numbers is the replay trusted. Where a step is so small that handing it on
//! is what takes the time, several are recorded as one in the same way.

use std::rc::Rc;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Int, Tensor};

use super::batches::{DeviceSplit, Order};
use super::plan::Plan;
use super::state::TrainState;
use super::step::Step;
use crate::compute::replay::{Prepared, Replay};
use crate::compute::shaders::{self, Place, Wgsl};
use crate::compute::{failure, read};
use crate::error::{Error, Result};
use crate::network::flat::Cursor;
use crate::network::{Model, Noise};

/// Steps that are done plainly before one is recorded: in the first fusion finds what belongs together, and kernels are tuned;
/// the others allocate what the recorded one uses.
const WARM_UP: usize = 3;
/// Steps that are recorded as one.
const AT_ONCE: usize = 8;
/// A step of more floating point operations is not worth it: it takes a GPU longer than the host.
const SMALL_STEP: f64 = 2e9;

/// A run's state on its device.
pub struct Resident {
    kept: Rc<Kept>,
    mode: Mode,
    /// Steps that the device was given ahead of those that were asked for.
    ahead: usize,
    /// Whether several steps are recorded as one, as soon as one is.
    several: bool,
    /// The epoch at hand, counted from 0.
    epoch: usize,
    /// The learning rates that the device has, of every step of the epoch.
    rates: Vec<f64>,
}

/// How the next whole batch is stepped.
enum Mode {
    /// Plainly, so many times more before a step is recorded.
    WarmUp(usize, Prepared),
    Replay {
        one: Replay<Rc<Kept>>,
        several: Option<Box<Replay<Rc<Kept>>>>,
    },
    /// Plainly, because the device cannot record, which nobody has heard of yet.
    Refused,
    /// Plainly, for good.
    Plain,
}

/// What a step reads and writes.
struct Kept {
    step: Step,
    train_set: Rc<DeviceSplit>,
    order: Order,
    /// Its parameters are parts of `values`, and so are its running statistics between two steps.
    model: Model,
    places: Vec<Place>,
    /// All values of the network, `[n]`.
    values: Tensor<1>,
    moments: Vec<Tensor<1>>,
    progress: Tensor<1, Int>,
    /// One a step of the epoch.
    losses: Tensor<1>,
    buffers: shaders::Resident,
    wgsl: Wgsl,
    batch: usize,
    seed: u64,
}

impl Resident {
    /// Brings a run's state into buffers that stay. `None` where a device does not run our shaders, or an optimizer has none. So many steps may be done
    /// `at_once`; with 0 none is replayed.
    pub fn new(
        plan: &Plan,
        device: &Device,
        state: &mut TrainState,
        train_set: &Rc<DeviceSplit>,
        at_once: usize,
    ) -> Option<Self> {
        if train_set.is_streamed() {
            return None;
        }
        let (wgsl, rule) = (train_set.shaders()?, state.optimizer.rule()?);
        let device = device.clone().inner();
        let mut tensors = Tensors::default();
        state.model.visit(&mut tensors);
        let groups = state.model.network().tensors().map(|tensor| tensor.group);
        let parts = tensors.parts.iter().zip(groups);
        let (places, n) = Place::row(parts.map(|((tensor, trained), group)| (tensor.dims()[0], *trained, group)));
        let values = Tensor::zeros([n], &device);
        let moments = state.optimizer.moments_in_one_piece(&state.model, &device);
        // What a rule does not have is never read; a buffer must be bound all the same.
        let spare = [Tensor::zeros([1], &device), Tensor::zeros([1], &device)];
        let moment = |i: usize| moments.get(i).unwrap_or(&spare[i]);
        let steps = plan.ranges().len();
        let progress = Tensor::<1, Int>::zeros([shaders::progress_words(steps)], &device);
        let losses = Tensor::zeros([steps], &device);
        let buffers =
            shaders::Resident::new(&values, [moment(0), moment(1)], &progress, &losses, places.clone(), rule)?;
        buffers.fill(tensors.parts.into_iter().map(|(tensor, _)| tensor).collect())?;
        state.model = state.model.clone().map(&mut Views { buffers: &buffers, places: places.iter() });
        let kept = Kept {
            step: plan.step(),
            train_set: Rc::clone(train_set),
            order: train_set.in_order(),
            model: state.model.clone(),
            places,
            values,
            moments: moments.into_iter().chain(spare).collect(),
            progress,
            losses,
            buffers,
            wgsl,
            batch: plan.ranges().first()?.len(),
            seed: plan.seed(),
        };
        let mode = match at_once {
            0 => Mode::Plain,
            _ => Prepared::new(&device).map_or(Mode::Refused, |prepared| Mode::WarmUp(WARM_UP, prepared)),
        };
        let flop = plan.network().step_flop(kept.batch);
        // Lookahead has its turn between two steps.
        let several = at_once >= AT_ONCE && flop <= SMALL_STEP && !plan.recipe().lookahead.is_on();
        Some(Self { kept: Rc::new(kept), mode, ahead: 0, several, epoch: 0, rates: Vec::new() })
    }

    /// Goes to an epoch with this order, and to one of its steps, whose batch begins at `position`; `rates` are the learning
    /// rates of all its steps.
    pub fn begin_epoch(
        &mut self,
        order: &Order,
        position: usize,
        (epoch, step): (usize, usize),
        state: &TrainState,
        rates: Vec<f64>,
    ) {
        self.kept.order.overwrite(order);
        self.epoch = epoch;
        self.kept.buffers.place_at(position, step, epoch);
        self.set_rates(step, state, rates);
    }

    /// Sets the learning rates of the steps of the epoch from `step` on.
    fn set_rates(&mut self, step: usize, state: &TrainState, rates: Vec<f64>) {
        let rows: Vec<[f32; 4]> =
            rates[step..].iter().zip(1..).map(|(rate, ahead)| state.optimizer.factors(*rate, ahead)).collect();
        self.kept.buffers.set_factors(step, &rows);
        self.rates = rates;
    }

    /// One step of `n` images, at this learning rate. Whether it was found that steps cannot be replayed.
    ///
    /// # Errors
    /// Device: it failed.
    pub async fn step(&mut self, state: &mut TrainState, step: usize, n: usize, rate: f64) -> Result<bool> {
        if self.rates.get(step).is_some_and(|known| *known != rate) {
            let mut rates = self.rates.clone();
            rates[step..].fill(rate);
            self.set_rates(step, state, rates);
        }
        if self.ahead > 0 {
            self.ahead -= 1;
            state.optimizer.count_step();
            return Ok(false);
        }
        let whole = n == self.kept.batch;
        let mut refused = false;
        self.mode = match std::mem::replace(&mut self.mode, Mode::Plain) {
            Mode::Replay { one, several } if whole => self.replay(one, several, step, state).await?,
            Mode::WarmUp(0, prepared) if whole => match self.record(prepared, step, state).await? {
                Some(one) => Mode::Replay { one, several: None },
                None => {
                    refused = true;
                    Mode::Plain
                }
            },
            mode => {
                self.kept.plainly(n)?;
                match mode {
                    Mode::WarmUp(left, prepared) if whole => Mode::WarmUp(left - 1, prepared),
                    Mode::Refused => {
                        refused = true;
                        Mode::Plain
                    }
                    mode => mode,
                }
            }
        };
        state.optimizer.count_step();
        Ok(refused)
    }

    /// Pulls the weights to lookahead's slow ones, as [`Optimizer::pull`](super::optimizer::Optimizer::pull) does.
    ///
    /// # Errors
    /// Device: the buffers are gone.
    pub fn pull(&self, state: &mut TrainState, keep: f64) -> Result<()> {
        let slow = state.optimizer.pulled(&state.model, keep);
        let mut cursor = Cursor::new([slow]);
        let parts = self.kept.places.iter().map(|place| cursor.take([place.len])).collect();
        self.kept.buffers.fill(parts).ok_or_else(gone)
    }

    /// Steps that the device was given beyond the last that was asked for.
    pub fn ahead(&self) -> usize {
        self.ahead
    }

    /// Replays a step, or several where so many are left of the epoch.
    async fn replay(
        &mut self,
        one: Replay<Rc<Kept>>,
        mut several: Option<Box<Replay<Rc<Kept>>>>,
        step: usize,
        state: &TrainState,
    ) -> Result<Mode> {
        if !self.several || self.kept.whole_batches().min(self.rates.len()) < step + AT_ONCE {
            one.run()?;
            return Ok(Mode::Replay { one, several });
        }
        self.ahead = AT_ONCE - 1;
        match &several {
            Some(replay) => replay.run()?,
            None => {
                let recorded = Prepared::new(&self.kept.train_set.device()).and_then(|prepared| {
                    prepared
                        .record(Rc::clone(&self.kept), |kept| (0..AT_ONCE).try_for_each(|_| kept.plainly(kept.batch)))
                });
                let by_one = || (0..AT_ONCE).try_for_each(|_| one.run());
                several = self.tried(recorded.ok(), by_one, step, state).await?.map(Box::new);
                self.several = several.is_some(); // else one by one, which is right
            }
        }
        Ok(Mode::Replay { one, several })
    }

    /// Records the step, tries the recording, and does the step. None if there is no recording, or one that did something else.
    async fn record(
        &mut self,
        prepared: Prepared,
        step: usize,
        state: &TrainState,
    ) -> Result<Option<Replay<Rc<Kept>>>> {
        let kept = Rc::clone(&self.kept);
        let recorded = prepared.record(Rc::clone(&kept), |kept| kept.plainly(kept.batch)).ok();
        self.tried(recorded, || kept.plainly(kept.batch), step, state).await
    }

    /// Runs a recording, undoes it, and does the same `otherwise`; gives the recording back if both left the same bits.
    async fn tried(
        &mut self,
        recorded: Option<Replay<Rc<Kept>>>,
        otherwise: impl FnOnce() -> Result<()>,
        step: usize,
        state: &TrainState,
    ) -> Result<Option<Replay<Rc<Kept>>>> {
        let kept = Rc::clone(&self.kept);
        let mut replayed = None;
        if let Some(recorded) = &recorded {
            let before = kept.numbers().await?;
            recorded.run()?;
            replayed = Some(kept.numbers().await?);
            kept.put_back(&before);
            kept.buffers.place_at(step * kept.batch, step, self.epoch);
            self.set_rates(step, state, self.rates.clone());
        }
        otherwise()?;
        let done = kept.numbers().await?;
        let bits = |all: Vec<Vec<f32>>| all.concat().into_iter().map(f32::to_bits).collect::<Vec<_>>();
        Ok(recorded.filter(|_| replayed.map(bits) == Some(bits(done))))
    }

    /// The losses of these steps of the epoch, `[steps]`.
    pub fn losses(&self, steps: std::ops::Range<usize>) -> Tensor<1> {
        self.kept.losses.clone().slice([steps])
    }
}

fn gone() -> Error {
    failure::device(&"the buffers of the run are not on this device")
}

impl Kept {
    /// Batches of an epoch that are whole.
    fn whole_batches(&self) -> usize {
        self.train_set.len() / self.batch
    }

    /// The step, operation by operation.
    fn plainly(&self, n: usize) -> Result<()> {
        let batch = self.train_set.batch_at(&self.order, &self.progress, n).ok_or_else(gone)?;
        let noise = Noise::on_device(self.wgsl, self.seed, self.progress.clone());
        let (loss, gradients) = self.step.gradients(&self.model, batch, noise, 1.0);
        let mut tensors = Tensors { gradients: Some(gradients), parts: Vec::new() };
        self.model.visit(&mut tensors);
        self.buffers.update(tensors.parts.into_iter().map(|(tensor, _)| tensor).collect()).ok_or_else(gone)?;
        self.buffers.advance(loss, n).ok_or_else(gone)?;
        // Running statistics are shared by clones of a model.
        let _ = self.model.clone().map(&mut Views { buffers: &self.buffers, places: self.places.iter() });
        Ok(())
    }

    /// Everything that a step changes.
    async fn numbers(&self) -> Result<Vec<Vec<f32>>> {
        let mut numbers = vec![read(self.values.clone()).await?, read(self.losses.clone()).await?];
        for moment in &self.moments {
            numbers.push(read(moment.clone()).await?);
        }
        Ok(numbers)
    }

    fn put_back(&self, numbers: &[Vec<f32>]) {
        let tensors = [&self.values, &self.losses].into_iter().chain(&self.moments);
        for (tensor, values) in tensors.zip(numbers) {
            shaders::write_values(tensor, values);
        }
    }
}

/// All tensors of a network as vectors, and whether each is trained. With gradients, those stand for the trained ones.
#[derive(Default)]
struct Tensors {
    gradients: Option<Gradients>,
    parts: Vec<(Tensor<1>, bool)>,
}

impl ModuleVisitor for Tensors {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let (n, trained) = (tensor.shape().num_elements(), tensor.is_require_grad());
        let value = || tensor.clone().inner();
        let part = match &mut self.gradients {
            Some(gradients) if trained => tensor.grad_remove(gradients).unwrap_or_else(|| value().zeros_like()),
            _ if trained => value(),
            _ => tensor.clone().without_autodiff(),
        };
        self.parts.push((part.reshape([n]), trained));
    }
}

/// Replaces every tensor of a network by its place in the buffer of all of them.
struct Views<'a> {
    buffers: &'a shaders::Resident,
    places: std::slice::Iter<'a, Place>,
}

impl ModuleMapper for Views<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(place) = self.places.next() else { return Param::from_mapped_value(id, tensor, mapper) };
        let view = Tensor::from_inner(self.buffers.view(place, tensor.dims()));
        let view = if place.trained { view.require_grad() } else { view };
        Param::from_mapped_value(id, view, mapper)
    }
}
