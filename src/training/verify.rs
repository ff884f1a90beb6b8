//! The one self-test: whether a device computes what the CPU computes. For the program before it first trains on a GPU, for
//! the benchmark before it measures one, and for the page when it starts.
//!
//! A device trains two small networks through the ordinary loop, and so uses what a real run uses: images gathered and
//! augmented, matrix products, convolutions, our shaders, the update, the measuring of a test set. Each run is made on the CPU,
//! on the device operation by operation, and on the device with its steps recorded and replayed.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use super::control::Uninterrupted;
use super::events::{Event, Observer, Observers};
use super::plan::Plan;
use super::run::train_with;
use crate::compute::shaders::{self, Way, Wgsl};
use crate::compute::{Devices, LossKind, cpu_info, read};
use crate::data::{Dataset, ImageShape};
use crate::error::{Advice, Error, ErrorKind, Result};
use crate::network::flat;
use crate::notice::Notice;
use crate::recipe::{Augment, Flip, OptimizerConfig, Recipe};

/// Between a device and the CPU, relative to the length of what is compared. Rounding leaves a thousandth of it; one kernel
/// that is not run moves it to a hundred times as much.
const TOLERANCE: f32 = 1e-3;
/// Steps of each run: three are done plainly, the fourth is recorded, the others are replayed.
const STEPS: usize = 6;

/// What a device computed, compared with what it should have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// Every comparison.
    pub checks: Vec<Check>,
    /// Whether the device's steps were replayed.
    pub replayed: bool,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What was compared, such as `convolution: losses`.
    pub what: String,
    /// How far it is from what it should be, relative to its length; infinite where a value is no number.
    pub difference: f32,
    /// How far it may be.
    pub allowed: f32,
}

impl Check {
    /// Whether the difference is within what is allowed.
    pub fn passed(&self) -> bool {
        self.difference <= self.allowed
    }
}

impl Verification {
    /// Whether every comparison passed.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(Check::passed)
    }

    /// The largest of the differences that are rounding.
    pub fn largest(&self) -> f32 {
        self.checks.iter().map(|check| check.difference).fold(0.0, f32::max)
    }

    /// Refuses a device that computes wrongly; `device` is its name.
    ///
    /// # Errors
    /// Device: says what differed.
    pub fn refuse(&self, device: &str) -> Result<()> {
        let Some(wrong) = self.checks.iter().find(|check| !check.passed()) else { return Ok(()) };
        let Check { what, difference, allowed } = wrong;
        let message = format!(
            "{device} computes wrongly: {what} differ by {difference:.1e}, expected at most {allowed:.0e} (from a comparison \
             of two small trainings with the CPU's)"
        );
        Err(Error::new(ErrorKind::Device, message).advise(Advice::TrainOnCpu))
    }
}

/// Compares a device with the CPU, and its recorded steps with plain ones.
///
/// # Errors
/// Device: it failed.
pub async fn verify(device: &Device) -> Result<Verification> {
    let mut verification = Verification { checks: Vec::new(), replayed: Wgsl::of(device).is_some() };
    for (name, recipe, shape) in cases()? {
        let data = Arc::new(Dataset::made_up(shape, STEPS * recipe.batch_size, recipe.batch_size));
        let plan = Plan::new(&recipe, &data)?;
        let expected = run(&plan, &Device::flex(), true).await?;
        let plain = run(&plan, device, true).await?;
        let replayed = run(&plan, device, false).await?;
        verification.replayed &= replayed.replayed;
        for (part, (expected, plain)) in
            ["losses", "weights", "results on the test set"].iter().zip(expected.parts.iter().zip(&plain.parts))
        {
            let what = format!("{name}: {part}");
            verification.checks.push(Check { what, difference: distance(plain, expected), allowed: TOLERANCE });
        }
        let what = format!("{name}: replayed steps");
        let difference = plain
            .parts
            .iter()
            .zip(&replayed.parts)
            .map(|(plain, replayed)| distance(replayed, plain))
            .fold(0.0, f32::max);
        verification.checks.push(Check { what, difference, allowed: 0.0 });
    }
    if Wgsl::of(device).is_some() {
        let (found, expected) = (convolve(device).await?, convolve(&Device::flex()).await?);
        let what = "a convolution of our own: values and gradients".into();
        verification.checks.push(Check { what, difference: distance(&found, &expected), allowed: TOLERANCE });
    }
    Ok(verification)
}

/// A convolution by our shaders where they run, which a run may leave to burn's kernels for the sides of the small trainings: what
/// it makes, and the gradients of images and weights.
async fn convolve(device: &Device) -> Result<Vec<f32>> {
    let tensor = |dims: [usize; 4], factor: usize| {
        let values: Vec<f32> =
            (0..dims.iter().product()).map(|i: usize| (i * factor % 257) as f32 / 257.0 - 0.5).collect();
        Tensor::<4>::from_data(TensorData::new(values, dims), &device.clone().autodiff()).require_grad()
    };
    let (x, weights) = (tensor([4, 20, 9, 9], 7919), tensor([70, 20, 3, 3], 89));
    let y = shaders::convolve(&x, &weights, 1, Way::Ours)
        .unwrap_or_else(|| conv2d(x.clone(), weights.clone(), None, ConvOptions::new([1; 2], [1; 2], [1; 2], 1)));
    let mut gradients = (y.clone() * tensor(y.dims(), 31).detach()).sum().backward();
    let mut values = read(y.inner().flatten::<1>(0, 3)).await?;
    for gradient in [x.grad_remove(&mut gradients), weights.grad_remove(&mut gradients)].into_iter().flatten() {
        values.extend(read(gradient.flatten::<1>(0, 3)).await?);
    }
    Ok(values)
}

/// Every kind of kernel that the program has of its own is in one of them.
fn cases() -> Result<[(&'static str, Recipe, ImageShape); 2]> {
    let augment = Augment { crop: 2, flip: Flip::Random, ..Augment::OFF };
    let base = Recipe { epochs: 1.0, batch_size: 32, augment, ..Recipe::preset("linear_v1-bn-ce")? };
    let momentum = OptimizerConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 };
    let linear = Recipe { optimizer: momentum, label_smoothing: 0.1, ..base.clone() };
    let layers = "conv 8 bias off, norm, relu, pool max 2, residual [conv 8 bias off, norm, relu], dropout 0.2, pool avg 2, flatten, \
                  linear classes";
    let convolution = Recipe {
        network: layers.parse()?,
        optimizer: OptimizerConfig::AdamW { weight_decay: 0.01 },
        learning_rate: 0.001,
        loss: LossKind::Mse,
        batch_size: 16,
        ..base
    };
    let shape = |channels, side| ImageShape { channels, height: side, width: side };
    Ok([("a linear network", linear, shape(1, 28)), ("a convolution", convolution, shape(3, 12))])
}

/// What a run leaves.
struct Left {
    /// Losses of the steps; weights; loss and probabilities of the test set.
    parts: [Vec<f32>; 3],
    replayed: bool,
}

async fn run(plan: &Plan, device: &Device, plain: bool) -> Result<Left> {
    let (seen, told) = (RefCell::default(), RefCell::new(false));
    let mut observers =
        Observers::new(|notice| *told.borrow_mut() |= matches!(notice, Notice::NoReplay)).with(Seen(&seen));
    let devices = Devices::one(device.clone(), cpu_info());
    let (state, never) = (plan.start(device), AtomicUsize::new(0));
    let trained = train_with(&mut Uninterrupted { plain }, plan, &devices, state, &never, &mut observers).await;
    drop(observers);
    let [losses, results] = seen.into_inner();
    let weights = match trained {
        Ok(state) => read(flat::parameters(&state.model)).await?,
        Err(e) if e.kind() == ErrorKind::Training => vec![f32::NAN], // a loss was no number
        Err(e) => return Err(e),
    };
    Ok(Left { parts: [losses, weights, results], replayed: !(plain || told.into_inner()) })
}

/// Keeps the losses of all steps, and what was measured after them.
struct Seen<'a>(&'a RefCell<[Vec<f32>; 2]>);

impl Observer for Seen<'_> {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        let [seen, results] = &mut *self.0.borrow_mut();
        match event {
            Event::Losses { losses, .. } => seen.extend_from_slice(losses),
            Event::Epoch { evaluation, .. } => {
                results.push(evaluation.loss as f32);
                results.extend_from_slice(&evaluation.confidences);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The length of the difference of two vectors, relative to that of the second; infinite where one has other values, or one
/// that is no number.
fn distance(found: &[f32], expected: &[f32]) -> f32 {
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let difference = length(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    let relative = (difference / length(&mut expected.iter().copied()).max(f64::MIN_POSITIVE)) as f32;
    if found.len() == expected.len() && relative.is_finite() { relative } else { f32::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself() {
        let found = pollster::block_on(verify(&Device::flex())).unwrap();
        assert!(found.passed() && found.largest() == 0.0 && !found.checks.is_empty(), "{found:?}");
        found.refuse("the CPU").unwrap();
    }

    #[test]
    fn what_is_no_number_or_not_there_never_passes() {
        assert_eq!(distance(&[1.0, 3.0], &[1.0, 3.0]), 0.0);
        assert!((distance(&[1.0, 2.0], &[1.0, 0.0]) - 2.0).abs() < 1e-6);
        for wrong in [&[1.0, f32::NAN][..], &[1.0, f32::INFINITY], &[1.0], &[]] {
            let difference = distance(wrong, &[1.0, 3.0]);
            let check = Check { what: "losses".into(), difference, allowed: TOLERANCE };
            let found = Verification { checks: vec![check], replayed: false };
            let error = found.refuse("Voodoo 2").unwrap_err();
            assert!(error.to_string().starts_with("Voodoo 2 computes wrongly: losses differ by inf"), "{error}");
        }
    }
}
