//! relu(batch norm(x)) and gelu(batch norm(x)) while training, forward and backward in two dispatches each:
//! `shaders/norm_*.wgsl`.

use burn::backend::fusion::custom::TensorSpec;
use burn::tensor::{DType, Shape};
use burn_wgpu::{CubeTensor, into_contiguous};

use super::kernel::{empty, run, wgsl};
use super::terms::ALIGNMENT;
use crate::compute::cpu::Activation;

/// Threads in a workgroup, as in the shaders.
const THREADS: u32 = 64;
/// Values of a channel that are worth a workgroup of their own.
const SLICE: usize = 2048;
/// Workgroups for a channel at most: each of them reads what all of them found.
const MOST_SLICES: usize = 64;

/// Values from one vector of the channels to the next, where several lie in one buffer.
pub(super) fn stride(channels: usize) -> usize {
    channels.next_multiple_of(ALIGNMENT)
}

wgsl!(
    Moments,
    "../../../shaders/norm_moments.wgsl",
    "../../../shaders/norm_channels.wgsl",
    "../../../shaders/workgroup_sum.wgsl"
);
wgsl!(
    NormalizeRelu,
    "../../../shaders/norm_activate.wgsl",
    "../../../shaders/norm_channels.wgsl",
    "../../../shaders/relu.wgsl"
);
wgsl!(
    SumsRelu,
    "../../../shaders/norm_sums.wgsl",
    "../../../shaders/norm_channels.wgsl",
    "../../../shaders/norm_passed.wgsl",
    "../../../shaders/workgroup_sum.wgsl",
    "../../../shaders/relu.wgsl"
);
wgsl!(
    GradientRelu,
    "../../../shaders/norm_gradient.wgsl",
    "../../../shaders/norm_channels.wgsl",
    "../../../shaders/norm_passed.wgsl",
    "../../../shaders/relu.wgsl"
);
wgsl!(
    NormalizeGelu,
    "../../../shaders/norm_activate.wgsl",
    "../../../shaders/norm_channels.wgsl",
    "../../../shaders/gelu.wgsl"
);
wgsl!(
    SumsGelu,
    "../../../shaders/norm_sums.wgsl",
    "../../../shaders/norm_channels.wgsl",
    "../../../shaders/norm_passed.wgsl",
    "../../../shaders/workgroup_sum.wgsl",
    "../../../shaders/gelu.wgsl"
);
wgsl!(
    GradientGelu,
    "../../../shaders/norm_gradient.wgsl",
    "../../../shaders/norm_channels.wgsl",
    "../../../shaders/norm_passed.wgsl",
    "../../../shaders/gelu.wgsl"
);

/// Runs one of two kernels, by the activation.
macro_rules! run_for {
    ($activation:expr, $relu:ident, $gelu:ident, $($rest:expr),+) => {
        match $activation {
            Activation::Relu => run($relu, $($rest),+),
            Activation::Gelu => run($gelu, $($rest),+),
        }
    };
}

/// How a tensor's channels are gone through.
struct Slices {
    groups: (u32, u32),
    params: [u32; 6],
}

impl Slices {
    fn of(x: &CubeTensor, (epsilon, momentum): (f32, f32)) -> Self {
        let sides = x.meta.shape();
        let (images, channels, plane) = (sides[0], sides[1], sides[2] * sides[3]);
        let slices = (images * plane).div_ceil(SLICE).clamp(1, MOST_SLICES) as u32;
        let [images, channels, plane] = [images, channels, plane].map(|n| n as u32);
        let params = [images, channels, plane, slices, epsilon.to_bits(), momentum.to_bits()];
        Self { groups: (slices, channels), params }
    }

    /// Two values for every slice of every channel.
    fn pairs(&self, like: &CubeTensor) -> CubeTensor {
        empty(like, [2 * (self.groups.0 * self.groups.1) as usize])
    }
}

/// Shapes and types of what comes out: the normalized values, and six vectors of the channels.
pub(super) fn output(
    x: &TensorSpec,
    gamma: &TensorSpec,
    _beta: &TensorSpec,
    _mean: &TensorSpec,
    _variance: &TensorSpec,
    _numbers: &(f32, f32),
    _activation: &Activation,
) -> (TensorSpec, TensorSpec) {
    (x.clone(), TensorSpec::new(Shape::new([6 * stride(gamma.shape.num_elements())]), DType::F32))
}

pub(super) fn launch(inputs: [CubeTensor; 5], numbers: (f32, f32), activation: Activation) -> (CubeTensor, CubeTensor) {
    let [x, gamma, beta, mean, variance] = inputs.map(into_contiguous);
    let slices = Slices::of(&x, numbers);
    let moments = slices.pairs(&x);
    run(Moments, THREADS, slices.groups, &[&x, &moments], &slices.params);
    let (y, statistics) =
        (empty(&x, x.meta.shape().clone()), empty(&x, [6 * stride(gamma.meta.shape().num_elements())]));
    let tensors = [&x, &moments, &gamma, &beta, &mean, &variance, &y, &statistics];
    run_for!(activation, NormalizeRelu, NormalizeGelu, THREADS, slices.groups, &tensors, &slices.params);
    (y, statistics)
}

/// Shapes and types of the gradient of x, and of those of scale and offset.
pub(super) fn gradients(
    x: &TensorSpec,
    _dy: &TensorSpec,
    _statistics: &TensorSpec,
    _activation: &Activation,
) -> (TensorSpec, TensorSpec) {
    (x.clone(), TensorSpec::new(Shape::new([2 * stride(x.shape[1])]), DType::F32))
}

pub(super) fn launch_gradient(inputs: [CubeTensor; 3], activation: Activation) -> (CubeTensor, CubeTensor) {
    let [x, dy, statistics] = inputs.map(into_contiguous);
    let slices = Slices::of(&x, (0.0, 0.0));
    let sums = slices.pairs(&x);
    let tensors = [&x, &dy, &statistics, &sums];
    run_for!(activation, SumsRelu, SumsGelu, THREADS, slices.groups, &tensors, &slices.params);
    let (dx, affine) = (empty(&x, x.meta.shape().clone()), empty(&x, [2 * stride(x.meta.shape()[1])]));
    let tensors = [&x, &dy, &statistics, &sums, &dx, &affine];
    run_for!(activation, GradientRelu, GradientGelu, THREADS, slices.groups, &tensors, &slices.params);
    (dx, affine)
}
