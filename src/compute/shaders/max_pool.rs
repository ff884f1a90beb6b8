//! The maxima of windows side by side, and their gradient, in one dispatch each: `shaders/max_pool*.wgsl`. Burn's own pooling
//! lays out the images anew before and after.

use burn::backend::fusion::custom::TensorSpec;
use burn::tensor::Shape;
use burn_wgpu::{CubeTensor, into_contiguous};

use super::kernel::{empty, in_rows, run, wgsl};

/// Threads in a workgroup, as in the shaders.
const THREADS: u32 = 256;

wgsl!(MaxPool, "../../../shaders/max_pool.wgsl", "../../../shaders/max_pool_window.wgsl");
wgsl!(Gradient, "../../../shaders/max_pool_gradient.wgsl", "../../../shaders/max_pool_window.wgsl");

/// Shape and type of the maxima.
pub(super) fn output(x: &TensorSpec, size: &usize) -> TensorSpec {
    TensorSpec::new(pooled(&x.shape, *size), x.dtype)
}

fn pooled(x: &Shape, size: usize) -> Shape {
    Shape::new([x[0], x[1], x[2] / size, x[3] / size])
}

pub(super) fn launch(x: CubeTensor, size: usize) -> CubeTensor {
    let x = into_contiguous(x);
    let y = empty(&x, pooled(x.meta.shape(), size));
    let groups = in_rows(y.meta.shape().num_elements().div_ceil(THREADS as usize));
    run(MaxPool, THREADS, groups, &[&x, &y], &params(&x, size, groups));
    y
}

pub(super) fn launch_gradient(inputs: [CubeTensor; 2], size: usize) -> CubeTensor {
    let [x, dy] = inputs.map(into_contiguous);
    let sides = x.meta.shape().clone();
    let windows = sides[0] * sides[1] * sides[2].div_ceil(size) * sides[3].div_ceil(size);
    let dx = empty(&x, sides);
    let groups = in_rows(windows.div_ceil(THREADS as usize));
    run(Gradient, THREADS, groups, &[&x, &dy, &dx], &params(&x, size, groups));
    dx
}

fn params(x: &CubeTensor, size: usize, groups: (u32, u32)) -> [u32; 7] {
    let sides = x.meta.shape();
    let maps = sides[0] * sides[1];
    let [a, b, c, d, e, f] = [maps, sides[2], sides[3], sides[2] / size, sides[3] / size, size].map(|n| n as u32);
    [a, b, c, d, e, f, groups.0]
}
