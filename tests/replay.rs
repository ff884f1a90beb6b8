//! A run whose steps are recorded and replayed on a GPU, against the same run step by step: bit for bit.

mod common;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::tensor::Device;
use common::{gpu, gpus};
use tinderbox::compute::{Devices, cpu_info};
use tinderbox::data::{Dataset, Identity, load};
use tinderbox::error::Result;
use tinderbox::network::flat;
use tinderbox::notice::silent;
use tinderbox::recipe::{Augment, Flip, Lookahead, OptimizerConfig, Recipe};
use tinderbox::training::{Event, Observer, Observers, Plan, Progress, TrainState, Uninterrupted, train_with};
use tinderbox::weights;

/// What a run leaves.
#[derive(Debug, PartialEq)]
struct Left {
    weights: Vec<u32>,
    optimizer: Vec<u8>,
    losses: Vec<u32>,
}

fn left(state: &TrainState) -> Left {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    let history = state.progress.history.iter();
    Left {
        weights: bits(flat::parameters(&state.model).into_data().try_to_vec().unwrap()),
        optimizer: state.optimizer.to_bytes().unwrap(),
        losses: bits(history.flat_map(|epoch| [epoch.train_loss as f32, epoch.test_loss as f32]).collect()),
    }
}

fn data() -> Arc<Dataset> {
    Arc::new(load(&Identity::MnistSample, None, &mut silent).unwrap().dataset)
}

fn run(
    plan: &Plan,
    device: &Device,
    state: TrainState,
    plain: bool,
    observers: &mut Observers<'_>,
) -> Result<TrainState> {
    let devices = Devices::one(device.clone(), cpu_info());
    pollster::block_on(train_with(
        &mut Uninterrupted { plain },
        plan,
        &devices,
        state,
        &STOP.with(Clone::clone),
        observers,
    ))
}

thread_local! {
    static STOP: Arc<AtomicUsize> = Arc::default();
}

/// Seventeen whole batches an epoch, and a smaller one: the fourth step is recorded, the next eight as one, and from then on both
/// recordings are replayed.
fn recipes() -> Vec<Recipe> {
    let base =
        Recipe { fraction: 0.4, batch_size: 90, epochs: 3.0, seed: 3, ..Recipe::preset("linear_v1-bn-ce").unwrap() };
    let weight_decay = 0.01;
    let adam = Recipe { learning_rate: 0.001, ..base.clone() };
    let dropout = "flatten, dropout 0.1, linear 64, norm, relu, dropout 0.5, linear classes".parse().unwrap();
    // The bias of the whitening layer is held from the second epoch on.
    let fast = Recipe {
        optimizer: OptimizerConfig::Sgd { momentum: 0.85, nesterov: true, weight_decay },
        network: "normalize, whiten, gelu, pool max 4, norm scale off momentum 0.4 epsilon 1e-12, gelu, flatten, linear classes"
            .parse()
            .unwrap(),
        norm_rate: 8.0,
        whitening_epochs: Some(1),
        lookahead: Lookahead::On { every: 5, keep: 0.95 },
        ..base.clone()
    };
    vec![
        base.clone(),
        Recipe { optimizer: OptimizerConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay }, ..base },
        Recipe {
            optimizer: OptimizerConfig::Adam { weight_decay: 0.0 },
            augment: Augment { crop: 2, flip: Flip::Random, ..Augment::OFF },
            network: dropout,
            ..adam.clone()
        },
        Recipe { optimizer: OptimizerConfig::AdamW { weight_decay }, ..adam },
        fast,
    ]
}

#[test]
fn a_replayed_run_is_the_plain_one_bit_for_bit() {
    let data = data();
    for device in gpus("a_replayed_run_is_the_plain_one_bit_for_bit") {
        for recipe in recipes() {
            let plan = Plan::new(&recipe, &data).unwrap();
            let run = |plain| {
                let mut observers = Observers::new(|notice| panic!("{notice:?}"));
                left(&run(&plan, &device, plan.start(&device), plain, &mut observers).unwrap())
            };
            let (plain, replayed) = (run(true), run(false));
            assert!(
                plain == replayed,
                "{:?} on {device:?}: {:?} {:?}",
                recipe.optimizer,
                plain.losses,
                replayed.losses
            );
        }
    }
}

/// The step in place is a shader of its own, which knows groups of parameters; pulls go into its buffer.
#[test]
fn groups_and_pulls_are_those_of_the_cpu() {
    let Some(device) = gpu("groups_and_pulls_are_those_of_the_cpu") else { return };
    let (data, fast) = (data(), recipes().pop().unwrap());
    let losses = |device: &Device, recipe: &Recipe| {
        let plan = Plan::new(recipe, &data).unwrap();
        let mut observers = Observers::new(|notice| panic!("{notice:?}"));
        let state = run(&plan, device, plan.start(device), false, &mut observers).unwrap();
        state.progress.history.iter().map(|epoch| epoch.train_loss).collect::<Vec<_>>()
    };
    // Ended early, with the bias held in the second epoch.
    let recipe = Recipe { epochs: 1.5, ..fast };
    let (expected, found) = (losses(&Device::flex(), &recipe), losses(&device, &recipe));
    let far = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(expected.len() == 2 && far(&expected, &found) < 2e-3, "{expected:?} {found:?}");
    for other in [
        Recipe { norm_rate: 1.0, ..recipe.clone() },
        Recipe { whitening_epochs: None, ..recipe.clone() },
        Recipe { lookahead: Lookahead::Off, ..recipe.clone() },
    ] {
        let without = losses(&Device::flex(), &other);
        assert!(far(&expected, &without) > 2.0 * far(&expected, &found), "{expected:?} {without:?}");
    }
}

#[test]
fn a_run_too_short_for_a_recording_leaves_the_device_as_it_was() {
    let data = data();
    if let Some(device) = gpu("a_run_too_short_for_a_recording_leaves_the_device_as_it_was") {
        let base = recipes().swap_remove(0);
        for epochs in [1.0, 2.0] {
            let plan = Plan::new(&Recipe { epochs, ..base.clone() }, &data).unwrap();
            let mut observers = Observers::new(|notice| panic!("{notice:?}"));
            run(&plan, &device, plan.start(&device), false, &mut observers).unwrap();
        }
    }
}

/// A checkpoint in memory: weights, the optimizer's state, progress.
type Saved = (Vec<u8>, Vec<u8>, Progress);

/// Stops in the middle of the third epoch, and keeps where it was.
struct StopAndKeep<'a>(&'a RefCell<Option<Saved>>);

impl Observer for StopAndKeep<'_> {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Step { epoch: 3, step: 2, .. } => STOP.with(|stop| stop.store(2, Ordering::Relaxed)),
            Event::Interrupted { state } => {
                let weights = weights::to_bytes(&state.model.valid(), "")?;
                *self.0.borrow_mut() = Some((weights, state.optimizer.to_bytes()?, state.progress.clone()));
            }
            _ => {}
        }
        Ok(())
    }
}

#[test]
fn a_run_that_goes_on_within_an_epoch_ends_with_the_same_bits() {
    let data = data();
    if let Some(device) = gpu("a_run_that_goes_on_within_an_epoch_ends_with_the_same_bits") {
        let plan = Plan::new(&recipes()[2], &data).unwrap();
        let mut none = Observers::default();
        let whole = left(&run(&plan, &device, plan.start(&device), false, &mut none).unwrap());

        let kept = RefCell::new(None);
        let mut observers = Observers::default().with(StopAndKeep(&kept));
        assert!(run(&plan, &device, plan.start(&device), false, &mut observers).is_err());
        STOP.with(|stop| stop.store(0, Ordering::Relaxed));
        let (weights, optimizer, progress) = kept.take().unwrap();
        // The device was given eight steps at once.
        assert_eq!((progress.history.len(), progress.losses.len()), (2, 8));

        let mut state = plan.start(&device);
        state.model = weights::load_bytes(state.model, weights).unwrap();
        state.load_optimizer(optimizer).unwrap();
        state.progress = progress;
        assert!(left(&run(&plan, &device, state, false, &mut none).unwrap()) == whole, "{device:?}");
    }
}
