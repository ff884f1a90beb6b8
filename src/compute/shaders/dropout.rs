//! A share of the values zeroed at random, in one dispatch: `shaders/dropout.wgsl`.

use burn_wgpu::{CubeTensor, into_contiguous};

use super::kernel::{empty, in_rows, run, wgsl};
use super::terms::Dropout;

/// Threads in a workgroup, as in the shader.
const THREADS: u32 = 256;

wgsl!(DropOut, "../../../shaders/dropout.wgsl");

pub(super) fn launch(inputs: [CubeTensor; 2], dropout: &Dropout) -> CubeTensor {
    let [x, progress] = inputs.map(into_contiguous);
    let y = empty(&x, x.meta.shape().clone());
    let (count, first) = (x.meta.shape().num_elements(), dropout.first);
    let threads = (first + count).div_ceil(4) - first / 4;
    let groups = in_rows(threads.div_ceil(THREADS as usize));
    let params = [
        count as u32,
        first as u32,
        groups.0,
        dropout.layer,
        dropout.seed as u32,
        (dropout.seed >> 32) as u32,
        dropout.threshold(),
        dropout.scale().to_bits(),
    ];
    run(DropOut, THREADS, groups, &[&x, &progress, &y], &params);
    y
}
