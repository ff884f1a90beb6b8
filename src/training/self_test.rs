//! The one self-test: whether a device computes what the CPU computes.

use std::sync::atomic::AtomicUsize;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::batches::DeviceSplit;
use super::metrics::evaluate;
use super::step::Step;
use crate::compute::read;
use crate::data::{ImageShape, Split};
use crate::error::Result;
use crate::recipe::{Augment, Recipe};

/// More than this between a device and the CPU, and the device computes wrongly. Rounding leaves a thousandth of it.
const TOLERANCE: f32 = 1e-3;

/// What the self-test found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SelfTest {
    /// Whether the device computes what the CPU computes.
    pub passed: bool,
    /// The largest difference of a loss or a probability; infinite where one is no number.
    pub difference: f32,
}

/// Compares a device with the CPU: losses of steps and a measured test set, over images of MNIST's size that are gathered
/// and augmented as in training, by shaders of our own where the device runs them.
///
/// # Errors
/// Device: it failed.
pub async fn self_test(device: &Device) -> Result<SelfTest> {
    let (found, expected) = (compute(device).await?, compute(&Device::flex()).await?);
    // NaN must not pass for agreement: `max` would drop it.
    let difference = |(a, b): (&f32, &f32)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() };
    let difference = found.iter().zip(&expected).map(difference).fold(0.0, f32::max);
    Ok(SelfTest { passed: difference < TOLERANCE, difference })
}

/// Two losses, the loss of a test set, and a probability for each of its images.
async fn compute(device: &Device) -> Result<Vec<f32>> {
    let recipe = Recipe::preset("linear_v1-bn-ce")?;
    let shape = ImageShape { channels: 1, height: 28, width: 28 };
    let pixels = (0..64 * shape.len()).map(|i| (i * 89 % 256) as u8).collect();
    let split = Split { pixels, labels: (0..64).map(|i| i % 10).collect(), shape };
    let split = DeviceSplit::new(&split, device);
    let order = split.shuffled(0, 0, Augment { crop: 2, flip: true });
    let step = Step::new(recipe.loss, recipe.label_smoothing, recipe.precision);
    let mut optimizer = step.optimizer(recipe.optimizer);
    let mut model = recipe.model(shape, 10, &device.clone().autodiff())?;
    let mut losses = Vec::new();
    for _ in 0..2 {
        let (next, loss) = step.run(model, &mut optimizer, split.batch(&order, 0..64), recipe.learning_rate);
        model = next;
        losses.push(loss);
    }
    let mut results = read(Tensor::cat(losses, 0)).await?;
    let measured = evaluate(&model.valid(), &split, recipe.loss, 10, 64, &AtomicUsize::new(0)).await?;
    results.push(measured.loss as f32);
    results.extend(measured.confidences);
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself() {
        let found = pollster::block_on(self_test(&Device::flex())).unwrap();
        assert_eq!(found, SelfTest { passed: true, difference: 0.0 });
    }
}
