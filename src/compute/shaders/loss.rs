//! The loss of a batch and its gradient in one dispatch: `shaders/loss.wgsl`.

use burn::backend::fusion::custom::TensorSpec;
use burn::tensor::{DType, Shape};
use burn_wgpu::{CubeTensor, into_contiguous};

use super::kernel::{empty, run, wgsl};
use crate::compute::LossKind;

/// Threads in the one workgroup, as in the shader.
const THREADS: u32 = 256;

wgsl!(LossKernel, "../../../shaders/loss.wgsl");

/// Shapes and types of the loss and of its gradient.
pub(super) fn output(
    logits: &TensorSpec,
    _labels: &TensorSpec,
    _kind: &LossKind,
    _smoothing: &f32,
) -> (TensorSpec, TensorSpec) {
    (TensorSpec::new(Shape::new([1]), DType::F32), logits.clone())
}

pub(super) fn launch(inputs: [CubeTensor; 2], kind: LossKind, smoothing: f32) -> (CubeTensor, CubeTensor) {
    let [logits, labels] = inputs.map(into_contiguous);
    let sides = logits.meta.shape();
    let params = [sides[0] as u32, sides[1] as u32, number(kind), smoothing.to_bits()];
    let (loss, gradient) = (empty(&logits, [1]), empty(&logits, sides.clone()));
    run(LossKernel, THREADS, (1, 1), &[&logits, &labels, &loss, &gradient], &params);
    (loss, gradient)
}

/// The loss in the shaders' numbers.
pub(super) fn number(kind: LossKind) -> u32 {
    match kind {
        LossKind::Ce => 0,
        LossKind::CeOnProbabilities => 1,
        LossKind::Mse => 2,
    }
}
