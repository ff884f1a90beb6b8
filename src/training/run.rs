//! The training loop, top to bottom. It sees the parts of a [`Plan`], tells observers what happens, and knows none of them.

use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use web_time::Instant;

use super::batches::{DeviceSplit, Order};
use super::clock::EpochClock;
use super::control::{StepControl, Uninterrupted};
use super::events::{Event, Observers};
use super::metrics::{self, EpochMetrics, Evaluation, Measure};
use super::parallel::Replicas;
use super::plan::Plan;
use super::resident::Resident;
use super::share::shares;
use super::state::TrainState;
use super::together::Together;
use crate::compute::{Devices, read};
use crate::error::{Error, ErrorKind, Result};
use crate::network::{Noise, flat};
use crate::notice::Notice;
use crate::recipe::Views;

/// Losses are read back at the end of an epoch, and in a long one at most this often in between.
const READS_PER_EPOCH: usize = 8;
/// A shorter epoch than this has no read-back in between.
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// Trains until the plan's epochs are done, the patience runs out, or `stop` holds a signal's number. The main one of
/// `devices` has the state and measures; every other one takes a [share](super::parallel) of each batch.
///
/// # Errors
/// Training: the loss is not finite. Interrupted: a signal came. Usage or device: the plan does not fit a device, or an
/// adapter is lost. Whatever an essential observer failed with.
pub async fn train(
    plan: &Plan,
    devices: &Devices,
    state: TrainState,
    stop: &AtomicUsize,
    observers: &mut Observers<'_>,
) -> Result<TrainState> {
    train_with(&mut Uninterrupted::default(), plan, devices, state, stop, observers).await
}

/// Trains as [`train`] does, with somebody who has a say before every step.
///
/// # Errors
/// As [`train`].
pub async fn train_with(
    control: &mut impl StepControl,
    plan: &Plan,
    devices: &Devices,
    mut state: TrainState,
    stop: &AtomicUsize,
    observers: &mut Observers<'_>,
) -> Result<TrainState> {
    plan.check_devices(devices)?;
    let mut run = Run::new(plan, devices, stop, observers)?;
    if plan.shares_statistics() {
        state.model = state.model.sharing_statistics(devices.ranks().or(run.replicas.peers()));
    }
    if let Some(together) = &run.together {
        state = together.begin(state, plan.data()).await?;
    } else if devices.count() == 1 {
        run.resident = Resident::new(plan, devices.main(), &mut state, &run.train_set, control.most_at_once());
    }
    run.observers.tell(&Event::Started {
        state: &state,
        steps: plan.ranges().len(),
        splits: [&run.train_set, &run.test_set],
    })?;
    let mut evaluation = None;
    while state.progress.history.len() < plan.epochs() && !plan.is_out_of_patience(&state.progress) {
        state = run.epoch(state, control).await?;
        evaluation = Some(run.finish_epoch(&mut state, control).await?);
    }
    let evaluation = match evaluation {
        Some(evaluation) => evaluation,
        // Everything was trained before, but perhaps not everything was written.
        None => run.measure(&state, Views::Plain, control).await?,
    };
    let augmented = match plan.recipe().tta {
        Views::Plain => None,
        views => match run.measure(&state, views, control).await {
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted(_)) => return Err(run.interrupted(&state, e)),
            measured => Some(measured?),
        },
    };
    if run.train_set.is_streamed() && run.trained > 0.0 {
        let share = run.waited.as_secs_f64() / run.trained;
        run.observers.notice(Notice::Streamed { share });
    }
    run.observers.tell(&Event::Finished { state: &state, evaluation: &evaluation, augmented: augmented.as_ref() })?;
    Ok(state)
}

/// What a run has beside its state.
struct Run<'a, 'o> {
    plan: &'a Plan,
    devices: &'a Devices,
    replicas: Replicas,
    /// Where several processes train together.
    together: Option<Together>,
    /// Where a single device steps by itself.
    resident: Option<Resident>,
    train_set: Rc<DeviceSplit>,
    test_set: DeviceSplit,
    stop: &'a AtomicUsize,
    observers: &'a mut Observers<'o>,
    clock: EpochClock,
    /// The losses of steps that nobody has waited for yet.
    unread: Vec<Tensor<1>>,
    /// As many steps whose losses a resident run keeps.
    unread_steps: usize,
    last_read: Instant,
    /// How long images were waited for.
    waited: Duration,
    /// Seconds of training, without tests.
    trained: f64,
}

impl<'a, 'o> Run<'a, 'o> {
    fn new(
        plan: &'a Plan,
        devices: &'a Devices,
        stop: &'a AtomicUsize,
        observers: &'a mut Observers<'o>,
    ) -> Result<Self> {
        Ok(Self {
            replicas: Replicas::start(plan, devices)?,
            together: Together::new(devices, plan),
            resident: None,
            train_set: Rc::new(plan.place_train_set(devices.main(), devices.info())),
            test_set: plan.place(plan.test(), devices.main(), devices.info()),
            waited: Duration::ZERO,
            trained: 0.0,
            plan,
            devices,
            stop,
            observers,
            clock: EpochClock::resume(0.0),
            unread: Vec::new(),
            unread_steps: 0,
            last_read: Instant::now(),
        })
    }

    /// The steps of an epoch that are not done yet.
    async fn epoch(&mut self, mut state: TrainState, control: &mut impl StepControl) -> Result<TrainState> {
        let (plan, epoch) = (self.plan, state.progress.history.len());
        let mut order = self.train_set.shuffled(plan.seed(), epoch, plan.augment());
        let (sharers, place) = self.devices.sharers();
        let own = plan.shares_of(epoch, state.progress.losses.len(), sharers, place);
        self.train_set.make_ready(&mut order, &own);
        self.clock = EpochClock::resume(state.progress.seconds);
        self.last_read = Instant::now();
        let ranges = plan.ranges_of(epoch);
        let steps = ranges.len();
        if let (Some(resident), Some(next)) = (&mut self.resident, ranges.get(state.progress.losses.len())) {
            let first = epoch * plan.ranges().len();
            let rates = (0..steps).map(|step| control.learning_rate(plan.learning_rate(first + step)));
            let rates = rates.collect();
            resident.begin_epoch(&order, next.start, (epoch, state.progress.losses.len()), &state, rates);
        }
        for step in state.progress.losses.len()..steps {
            control.before_step().await;
            let long_ago =
                (self.unread_steps + 1) * READS_PER_EPOCH >= steps && self.last_read.elapsed() >= READ_INTERVAL;
            let due;
            (state, due) = self.step(state, &order, step, long_ago, control).await?;
            let done = step + 1 == steps;
            // Steps that the device was given in one go are done in one go.
            let between = self.resident.as_ref().is_none_or(|resident| resident.ahead() == 0);
            let stopped = if between { Error::if_stopped(self.signal()) } else { Ok(()) };
            let due = between && due;
            if done || due || stopped.is_err() {
                self.catch_up(&mut state).await?;
                if let Some(together) = &self.together {
                    state.model = together.agree(state.model).await?;
                }
                if !done && stopped.is_ok() {
                    self.observers.tell(&Event::MidEpoch { state: &state })?;
                }
            }
            if let Err(stopped) = stopped {
                return Err(self.interrupted(&state, stopped));
            }
        }
        self.waited += order.waited();
        Ok(state)
    }

    /// Where a signal's number is, once the run has to end for it.
    fn signal(&self) -> &AtomicUsize {
        self.together.as_ref().map_or(self.stop, Together::signal)
    }

    /// One step over all devices. `due` is whether the state should be whole behind it; so it is returned, as all ranks have it.
    async fn step(
        &mut self,
        mut state: TrainState,
        order: &Order,
        step: usize,
        due: bool,
        control: &mut impl StepControl,
    ) -> Result<(TrainState, bool)> {
        let (plan, epoch) = (self.plan, state.progress.history.len());
        let range = &plan.ranges()[step];
        let global_step = epoch * plan.ranges().len() + step;
        let rate = control.learning_rate(plan.learning_rate(global_step));
        self.unread_steps += 1;
        let due = if let Some(resident) = &mut self.resident {
            if resident.step(&mut state, step, range.len(), rate).await? {
                self.observers.notice(Notice::NoReplay);
            }
            if let Some(keep) = plan.lookahead(global_step) {
                resident.pull(&mut state, keep)?;
            }
            due
        } else {
            let due_for_all;
            (state, due_for_all) = self.shared_step(state, order, (step, range), rate, due).await?;
            if let Some(keep) = plan.lookahead(global_step) {
                state.model = state.optimizer.pull(state.model, keep);
            }
            due_for_all
        };
        let batch = order.indices(range.clone());
        self.observers.tell(&Event::Step { epoch: epoch + 1, step: step + 1, batch })?;
        Ok((state, due))
    }

    /// Forward, backward and update of a batch, of which every device has its share.
    async fn shared_step(
        &mut self,
        mut state: TrainState,
        order: &Order,
        (step, range): (usize, &Range<usize>),
        rate: f64,
        due: bool,
    ) -> Result<(TrainState, bool)> {
        let (plan, epoch) = (self.plan, state.progress.history.len());
        let (sharers, place) = self.devices.sharers();
        let shares = shares(range, sharers, plan.least_share());
        let begun = self.replicas.begin(&state.model, (epoch, step), &shares);
        let own = &shares[place];
        let noise = Noise::new(plan.seed(), epoch, step, own.range.start - range.start);
        let batch = self.train_set.batch(order, own.range.clone());
        let (loss, gradients) = match &self.together {
            Some(together) => plan.step().gradients(&together.sending(&state.model), batch, noise, own.weight),
            None => plan.step().gradients(&state.model, batch, noise, own.weight),
        };
        if let Some(together) = &self.together {
            let heard = self.stop.load(Ordering::Relaxed);
            let total = together.sum(&state.model, loss, gradients, heard, due).await?;
            state.model = state.optimizer.step_flat(rate, state.model, total.gradients);
            self.unread.push(Tensor::from_data([total.loss], &Device::flex()));
            return Ok((state, total.due || !total.loss.is_finite()));
        }
        match begun.and_then(|()| self.replicas.finish()) {
            Ok(None) => {
                self.unread.push(loss);
                state.model = state.optimizer.step(rate, state.model, gradients);
            }
            Ok(Some(others)) => {
                self.unread.push(loss + last(&others));
                let total = flat::gradients(&state.model, gradients) + but_last(&others);
                state.model = state.optimizer.step_flat(rate, state.model, flat::Cursor::new([total]));
            }
            Err(lost) => {
                // Weights and optimizer are as they were before this step; only running statistics have seen it.
                self.catch_up(&mut state).await?;
                return Err(self.interrupted(&state, lost));
            }
        }
        Ok((state, due))
    }

    /// Measures the network after an epoch, and puts the epoch into the history.
    async fn finish_epoch(&mut self, state: &mut TrainState, control: &mut impl StepControl) -> Result<Evaluation> {
        let plan = self.plan;
        let train_seconds = self.clock.seconds();
        self.trained += train_seconds;
        if let Some(together) = &self.together
            && plan.network().has_norm()
            && !plan.shares_statistics()
        {
            // Every rank has seen other images; the running statistics of the first are kept.
            state.model = together.everything_of_first(state.model.clone()).await?;
        }
        let measured = match self.measure(state, Views::Plain, control).await {
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted(_)) => {
                state.progress.seconds = self.clock.seconds();
                return Err(self.interrupted(state, e));
            }
            measured => measured?,
        };
        let epoch = state.progress.history.len();
        let first = epoch * plan.ranges().len();
        let sizes: Vec<usize> = plan.ranges_of(epoch).iter().map(ExactSizeIterator::len).collect();
        self.refuse_non_finite(&[measured.loss as f32], first + sizes.len())?;
        let losses = std::mem::take(&mut state.progress.losses);
        state.progress.seconds = 0.0;
        state.progress.history.push(EpochMetrics {
            epoch: epoch + 1,
            train_loss: metrics::weighted_mean(&losses, &sizes),
            test_loss: measured.loss,
            test_accuracy: measured.accuracy,
            learning_rate: control.learning_rate(plan.learning_rate(first)),
            seconds: self.clock.seconds(),
            images_per_second: sizes.iter().sum::<usize>() as f64 / train_seconds,
        });
        self.observers.tell(&Event::Epoch { history: &state.progress.history, evaluation: &measured, state })?;
        Ok(measured)
    }

    async fn measure(&self, state: &TrainState, views: Views, control: &mut impl StepControl) -> Result<Evaluation> {
        let (plan, model) = (self.plan, state.model.valid());
        let how = Measure {
            loss: plan.loss(),
            classes: plan.network().classes(),
            batch_size: plan.evaluation_batch(),
            views,
            ranks: self.devices.ranks(),
        };
        metrics::evaluate_with(control, &model, &self.test_set, how, self.signal()).await
    }

    /// Waits for the device, and brings the state up to its last step.
    async fn catch_up(&mut self, state: &mut TrainState) -> Result<()> {
        let (done, new) = (state.progress.losses.len(), std::mem::take(&mut self.unread_steps));
        let unread = match &self.resident {
            Some(resident) if new > 0 => Some(resident.losses(done..done + new)),
            _ if self.unread.is_empty() => None,
            _ => Some(Tensor::cat(std::mem::take(&mut self.unread), 0)),
        };
        if let Some(unread) = unread {
            let losses = read(unread).await?;
            let before = state.progress.history.len() * self.plan.ranges().len();
            let first_step = before + state.progress.losses.len() + 1;
            self.observers.tell(&Event::Losses { first_step, losses: &losses })?;
            self.refuse_non_finite(&losses, first_step)?;
            state.progress.losses.extend(losses);
        }
        state.progress.seconds = self.clock.seconds();
        self.last_read = Instant::now();
        Ok(())
    }

    /// Tells that the run ends here, with a state that can go on, and returns why.
    fn interrupted(&mut self, state: &TrainState, why: Error) -> Error {
        self.observers.tell(&Event::Interrupted { state }).err().unwrap_or(why)
    }

    fn refuse_non_finite(&self, losses: &[f32], first_step: usize) -> Result<()> {
        let Some(i) = losses.iter().position(|loss| !loss.is_finite()) else { return Ok(()) };
        let (loss, step, rate) = (losses[i], first_step + i, self.plan.base_learning_rate());
        let message = format!("the loss became {loss} at step {step}: the learning rate {rate} may be too high");
        Err(Error::new(ErrorKind::Training, message))
    }
}

/// The last element, `[1]`.
fn last(vector: &Tensor<1>) -> Tensor<1> {
    let n = vector.dims()[0];
    vector.clone().narrow(0, n - 1, 1)
}

/// All elements but the last.
fn but_last(vector: &Tensor<1>) -> Tensor<1> {
    let n = vector.dims()[0];
    vector.clone().narrow(0, 0, n - 1)
}
