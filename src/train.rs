//! The training loop, top to bottom. It tells observers what happens and knows none of them.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use web_time::Instant;

use crate::batches::DeviceSplit;
use crate::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{self, EpochMetrics, Evaluation};
use crate::model::Model;
use crate::optimizer::Optimizer;
use crate::recipe::Recipe;
use crate::replicas::{Replicas, gradients, shares};

/// Losses are read back at the end of an epoch, and in a long one at most this often in between.
const READS_PER_EPOCH: usize = 8;
/// A shorter epoch than this has no read-back in between.
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// How far a run has come. With the weights and the optimizer's state it is all that a resumed run needs: the
/// order of images, the learning rate, the best epoch and the patience all follow from it and the recipe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The epochs that are done.
    pub history: Vec<EpochMetrics>,
    /// The losses of those steps of the next epoch that are done.
    pub losses: Vec<f32>,
    /// Seconds that the unfinished epoch has taken so far.
    pub seconds: f64,
}

impl Progress {
    /// The position in `history` of the [best](EpochMetrics::best) epoch.
    pub fn best(&self) -> Option<usize> {
        EpochMetrics::best(&self.history)
    }

    /// Epochs since the test loss was last lower than ever before.
    fn epochs_without_gain(&self) -> usize {
        let loss = |i: &usize| self.history[*i].test_loss;
        let lowest = (0..self.history.len()).min_by(|a, b| loss(a).total_cmp(&loss(b)));
        lowest.map_or(0, |i| self.history.len() - 1 - i)
    }
}

/// A run in motion.
pub struct TrainState {
    /// On an autodiff device; `valid()` gives the weights to keep.
    pub model: Model,
    /// With what it remembers of earlier steps.
    pub optimizer: Optimizer,
    /// How far it is.
    pub progress: Progress,
}

/// What the loop tells.
pub enum Event<'a> {
    /// Before the first step; the state may be that of a resumed run.
    Started {
        /// What is trained.
        recipe: &'a Recipe,
        /// Where it stands.
        state: &'a TrainState,
        /// Steps in an epoch.
        steps: usize,
        /// The train and the test split, where the model runs.
        splits: [&'a DeviceSplit; 2],
    },
    /// A step was handed to the device, which may still be at an earlier one.
    Step {
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1.
        step: usize,
        /// Which images of the train split it sees.
        batch: &'a [i32],
    },
    /// The device has finished some steps.
    Losses {
        /// Of the first of `losses`, counted from 1 over all epochs.
        first_step: usize,
        /// One a step.
        losses: &'a [f32],
    },
    /// An epoch is done and measured.
    Epoch {
        /// The last of these is the epoch's own.
        history: &'a [EpochMetrics],
        /// On the test set.
        evaluation: &'a Evaluation,
        /// The state after it.
        state: &'a TrainState,
    },
    /// Within a long epoch, the device has caught up: the state is whole.
    MidEpoch {
        /// The state after the last step.
        state: &'a TrainState,
    },
    /// The run was asked to stop, or lost a device that helped, and ends now, within an epoch or before its test.
    Interrupted {
        /// The state after the last step.
        state: &'a TrainState,
    },
    /// No epoch follows.
    Finished {
        /// The state after the last epoch.
        state: &'a TrainState,
        /// On the test set, after the last epoch.
        evaluation: &'a Evaluation,
    },
}

/// Something that wants to know: a log, a plot, a checkpoint, a window.
pub trait Observer {
    /// Told of every event, in order.
    ///
    /// # Errors
    /// Ends the run if the observer is essential; otherwise it is dropped with a warning.
    fn notify(&mut self, event: &Event<'_>) -> Result<()>;

    /// Whether a run without this observer is worth nothing.
    fn essential(&self) -> bool {
        false
    }
}

/// A list of observers, told in order.
#[derive(Default)]
pub struct Observers<'a>(pub Vec<Box<dyn Observer + 'a>>);

impl Observers<'_> {
    fn tell(&mut self, event: &Event<'_>) -> Result<()> {
        let mut failed = None;
        self.0.retain_mut(|observer| match observer.notify(event) {
            Ok(()) => true,
            Err(e) if observer.essential() => {
                failed.get_or_insert(e);
                true
            }
            Err(e) => {
                eprintln!("warning: {e}. Training goes on without it");
                false
            }
        });
        failed.map_or(Ok(()), Err)
    }
}

/// A fresh start: weights from the seed, nothing done.
pub fn start(recipe: &Recipe, dataset: &Dataset, device: &Device) -> TrainState {
    let device = device.clone().autodiff();
    let model = Model::new(recipe, dataset.shape(), dataset.classes.len(), &device);
    let optimizer = Optimizer::new(recipe.optimizer).with_gradient_scale(recipe.precision.loss_scale());
    TrainState { model, optimizer, progress: Progress::default() }
}

/// Checks what only the data can tell.
///
/// # Errors
/// Usage: the images do not fit the model, the batch is larger than the train set, or batch norm would meet a batch
/// of one image.
pub fn check(recipe: &Recipe, dataset: &Dataset) -> Result<()> {
    crate::model::check_fit(recipe.model, dataset.shape())?;
    let n = dataset.train.len();
    if recipe.batch_size > n {
        let message = format!(
            "batch size is {}, but there are {n} train images: choose a smaller one, such as --batch {}",
            recipe.batch_size,
            (n / 8).clamp(2, 128)
        );
        return Err(Error::usage(message));
    }
    // A convolutional network normalizes over the pixels as well, so there one image is enough.
    let alone = recipe.batch_size == 1 || n % recipe.batch_size == 1;
    if recipe.batch_norm && alone && !recipe.model.is_convolutional() {
        let message = format!(
            "batch normalization needs two images or more in every batch, but {n} images in batches of {} leave one \
             alone: choose another batch size",
            recipe.batch_size
        );
        return Err(Error::usage(message));
    }
    Ok(())
}

/// Lets others have their turn between two steps: a browser, whose one thread also listens to the visitor.
pub trait Pace {
    /// Awaited before every step.
    fn turn(&mut self) -> impl Future<Output = ()>;

    /// The learning rate of the next step, where the schedule says `scheduled`.
    fn learning_rate(&self, scheduled: f64) -> f64 {
        scheduled
    }
}

/// One step after the other, as fast as the device goes.
pub struct FullSpeed;

impl Pace for FullSpeed {
    async fn turn(&mut self) {}
}

/// Trains until the recipe's epochs are done, the patience runs out, or `stop` holds a signal's number. The first of
/// `devices` has the state and measures; every other one takes a [share](crate::replicas) of each batch.
///
/// # Errors
/// Training: the loss is not finite. Interrupted: a signal came. Device: an adapter is lost. Usage: there is no device.
/// Whatever an essential observer failed with.
pub async fn train(
    recipe: &Recipe,
    dataset: &Dataset,
    devices: &[Device],
    state: TrainState,
    stop: &AtomicUsize,
    observers: &mut Observers<'_>,
) -> Result<TrainState> {
    train_at(&mut FullSpeed, recipe, dataset, devices, state, stop, observers).await
}

/// The same at a pace that others set.
///
/// # Errors
/// As [`train`].
pub async fn train_at(
    pace: &mut impl Pace,
    recipe: &Recipe,
    dataset: &Dataset,
    devices: &[Device],
    mut state: TrainState,
    stop: &AtomicUsize,
    observers: &mut Observers<'_>,
) -> Result<TrainState> {
    check(recipe, dataset)?;
    let (device, others) = devices.split_first().ok_or_else(|| Error::usage("there is no device to train on"))?;
    let mut replicas = Replicas::start(recipe, dataset, device, others)?;
    let train_set = DeviceSplit::new(&dataset.train, device);
    let test_set = DeviceSplit::new(&dataset.test, device);
    let classes = dataset.classes.len();
    let ranges: Vec<_> = (0..train_set.len())
        .step_by(recipe.batch_size)
        .map(|start| start..(start + recipe.batch_size).min(train_set.len()))
        .collect();
    let sizes: Vec<usize> = ranges.iter().map(ExactSizeIterator::len).collect();
    let splits = [&train_set, &test_set];
    observers.tell(&Event::Started { recipe, state: &state, steps: ranges.len(), splits })?;

    let mut evaluation = None;
    while state.progress.history.len() < recipe.epochs && !out_of_patience(recipe, &state.progress) {
        let epoch = state.progress.history.len();
        let rate = |step| recipe.schedule.learning_rate(recipe.learning_rate, step, ranges.len(), recipe.epochs);
        let order = train_set.shuffled(recipe.seed, epoch, recipe.augment);
        let before = state.progress.seconds;
        let started = Instant::now();
        let (mut unread, mut last_read) = (Vec::new(), started);

        for (step, range) in ranges.iter().enumerate().skip(state.progress.losses.len()) {
            pace.turn().await;
            let global_step = epoch * ranges.len() + step;
            let seed = recipe.seed.wrapping_add(global_step as u64);
            if recipe.dropout > 0.0 {
                device.seed(seed); // a resumed run drops the same
            }
            let shares = shares(range, devices.len(), least_share(recipe));
            let begun = replicas.begin(&state.model, epoch, seed, &shares[1..], range.len());
            let batch = train_set.batch(&order, shares[0].clone());
            let share = shares[0].len() as f64 / range.len() as f64;
            let (own_loss, gradients) = gradients(recipe, &state.model, batch, share);
            let others = match begun.and_then(|()| replicas.finish()) {
                Ok(others) => others,
                Err(lost) => {
                    // Weights and optimizer are as they were before this step; only running statistics have seen it.
                    catch_up(&mut unread, epoch * ranges.len(), recipe, &mut state, observers).await?;
                    state.progress.seconds = before + started.elapsed().as_secs_f64();
                    observers.tell(&Event::Interrupted { state: &state })?;
                    return Err(lost);
                }
            };
            unread.push(others.iter().fold(own_loss, |sum, others| sum + last(others)));
            let rate = pace.learning_rate(rate(global_step));
            state.model = state.optimizer.step_of_all(rate, state.model, gradients, others.as_ref());
            observers.tell(&Event::Step { epoch: epoch + 1, step: step + 1, batch: order.indices(range.clone()) })?;

            let done = step + 1 == ranges.len();
            let stopped = Error::if_stopped(stop);
            let due = unread.len() * READS_PER_EPOCH >= ranges.len() && last_read.elapsed() >= READ_INTERVAL;
            if done || due || stopped.is_err() {
                catch_up(&mut unread, epoch * ranges.len(), recipe, &mut state, observers).await?;
                last_read = Instant::now();
                if !done && stopped.is_ok() {
                    state.progress.seconds = before + started.elapsed().as_secs_f64();
                    observers.tell(&Event::MidEpoch { state: &state })?;
                }
            }
            if let Err(stopped) = stopped {
                state.progress.seconds = before + started.elapsed().as_secs_f64();
                observers.tell(&Event::Interrupted { state: &state })?;
                return Err(stopped);
            }
        }

        let train_seconds = before + started.elapsed().as_secs_f64();
        let model = state.model.valid();
        let batch = evaluation_batch(recipe);
        let measured = match metrics::evaluate(&model, &test_set, recipe.loss, classes, batch, stop).await {
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted(_)) => {
                state.progress.seconds = before + started.elapsed().as_secs_f64();
                observers.tell(&Event::Interrupted { state: &state })?;
                return Err(e);
            }
            measured => measured?,
        };
        refuse_non_finite(&[measured.loss as f32], (epoch + 1) * ranges.len(), recipe)?;
        let losses = std::mem::take(&mut state.progress.losses);
        state.progress.seconds = 0.0;
        state.progress.history.push(EpochMetrics {
            epoch: epoch + 1,
            train_loss: metrics::weighted_mean(&losses, &sizes),
            test_loss: measured.loss,
            test_accuracy: measured.accuracy,
            learning_rate: pace.learning_rate(rate(epoch * ranges.len())),
            seconds: before + started.elapsed().as_secs_f64(),
            images_per_second: train_set.len() as f64 / train_seconds,
        });
        observers.tell(&Event::Epoch { history: &state.progress.history, evaluation: &measured, state: &state })?;
        evaluation = Some(measured);
    }

    let evaluation = match evaluation {
        Some(evaluation) => evaluation,
        None => {
            // Everything was trained before, but perhaps not everything was written.
            let (model, batch) = (state.model.valid(), evaluation_batch(recipe));
            metrics::evaluate(&model, &test_set, recipe.loss, classes, batch, stop).await?
        }
    };
    observers.tell(&Event::Finished { state: &state, evaluation: &evaluation })?;
    Ok(state)
}

/// Waits for the device, whose losses since the last time are `unread`, where `before` steps came before the epoch.
async fn catch_up(
    unread: &mut Vec<Tensor<1>>,
    before: usize,
    recipe: &Recipe,
    state: &mut TrainState,
    observers: &mut Observers<'_>,
) -> Result<()> {
    if unread.is_empty() {
        return Ok(());
    }
    let losses = metrics::read(Tensor::cat(std::mem::take(unread), 0)).await?;
    let first_step = before + state.progress.losses.len() + 1;
    observers.tell(&Event::Losses { first_step, losses: &losses })?;
    refuse_non_finite(&losses, first_step, recipe)?;
    state.progress.losses.extend(losses);
    Ok(())
}

/// The batch size for measuring: the recipe's, so that no other shape is compiled and tuned, unless it is tiny.
pub fn evaluation_batch(recipe: &Recipe) -> usize {
    recipe.batch_size.clamp(100, 1000)
}

/// Images that a device's share must have, at least: batch normalization needs two to compare.
fn least_share(recipe: &Recipe) -> usize {
    if recipe.batch_norm { 2 } else { 1 }
}

/// The last element, `[1]`.
fn last(vector: &Tensor<1>) -> Tensor<1> {
    let n = vector.dims()[0];
    vector.clone().narrow(0, n - 1, 1)
}

fn out_of_patience(recipe: &Recipe, progress: &Progress) -> bool {
    recipe.patience.is_some_and(|patience| progress.epochs_without_gain() >= patience)
}

fn refuse_non_finite(losses: &[f32], first_step: usize, recipe: &Recipe) -> Result<()> {
    match losses.iter().position(|loss| !loss.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::new(
            ErrorKind::Training,
            format!(
                "the loss became {} at step {}: the learning rate {} may be too high",
                losses[i],
                first_step + i,
                recipe.learning_rate
            ),
        )),
    }
}
