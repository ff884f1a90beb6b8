//! A share of the values zeroed at random, in one dispatch: `shaders/dropout.wgsl`.

use burn_wgpu::{CubeTensor, into_contiguous};

use super::kernel::{empty, in_rows, run, wgsl};

/// Threads in a workgroup, as in the shader.
const THREADS: u32 = 256;

wgsl!(DropOut, "../../../shaders/dropout.wgsl");

/// Which values are dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The run's seed.
    pub seed: u64,
    /// The place of the layer among the random ones.
    pub layer: u32,
    /// The place in the batch of the first value.
    pub first: usize,
    /// The share that is dropped, from 0 to below 1.
    pub share: f64,
}

impl Dropout {
    /// A value is dropped where its 32 random bits are below this.
    pub fn threshold(&self) -> u32 {
        (self.share * 2f64.powi(32)).round() as u32
    }

    /// What the others are multiplied by.
    pub fn scale(&self) -> f32 {
        (1.0 / (1.0 - self.share)) as f32
    }
}

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
