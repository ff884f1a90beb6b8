//! Class, probability and loss of every image of a batch, in one dispatch: `shaders/evaluate.wgsl`.

use burn_wgpu::{CubeTensor, into_contiguous};

use super::kernel::{run, wgsl};
use super::loss::number;
use crate::compute::LossKind;

/// Threads in a workgroup, as in the shader.
const THREADS: u32 = 64;
wgsl!(Evaluate, "../../../shaders/evaluate.wgsl");

pub(super) fn launch(results: CubeTensor, inputs: [CubeTensor; 2], start: usize, loss: LossKind) -> CubeTensor {
    let results = into_contiguous(if results.can_mut() { results } else { results.copy() });
    let [logits, labels] = inputs.map(into_contiguous);
    let (images, classes) = (logits.meta.shape()[0] as u32, logits.meta.shape()[1] as u32);
    let params = [start as u32, images, classes, number(loss)];
    run(Evaluate, THREADS, (images.div_ceil(THREADS), 1), &[&logits, &labels, &results], &params);
    results
}
