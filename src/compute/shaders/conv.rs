//! A convolution with stride 1 and its gradients as implicit products of matrices, one or two dispatches each:
//! `shaders/conv.wgsl`, `shaders/conv_weights.wgsl`, `shaders/sum_slices.wgsl`; and the same by threads that share nothing, for GPUs
//! that are imitated by a CPU: `shaders/conv_alone.wgsl`, `shaders/conv_weights_alone.wgsl`.
//!
//! Burn has no such product for WGSL, but direct convolutions and columns that lie in memory. Which of the two is faster depends
//! on the adapter and the sides, so both are tried once, as burn tries its own kernels.

use burn::backend::fusion::custom::TensorSpec;
use burn::tensor::{DType, Shape};
use burn_wgpu::{CubeTensor, into_contiguous};
use serde::{Deserialize, Serialize};

use super::kernel::{empty, in_rows, run, wgsl};
use super::terms::Way;
use crate::compute::info::AdapterKind;

/// Threads in a workgroup, as in the shaders.
const THREADS: u32 = 64;
/// Threads that add slices.
const ADDING_THREADS: u32 = 256;
/// Rows and columns of the tile of a workgroup.
const TILE: usize = 64;
/// Summands that a workgroup loads at a time.
const DEPTH: usize = 16;
/// Rows and columns of a thread.
const OWN_TILE: usize = 8;
/// Workgroups that keep a large GPU busy.
const MANY_GROUPS: usize = 512;
/// Threads that keep a CPU busy that imitates a GPU.
const MANY_THREADS: usize = 1024;
/// Pixels that are worth a slice of their own.
const LEAST_SLICE: usize = 256;

wgsl!(
    Convolve,
    "../../../shaders/conv.wgsl",
    "../../../shaders/conv_sides.wgsl",
    "../../../shaders/product_tile.wgsl",
    "../../../shaders/product_sums.wgsl"
);
wgsl!(
    ConvolveAlone,
    "../../../shaders/conv_alone.wgsl",
    "../../../shaders/conv_sides.wgsl",
    "../../../shaders/product_places.wgsl",
    "../../../shaders/product_sums.wgsl"
);
wgsl!(
    WeightGradient,
    "../../../shaders/conv_weights.wgsl",
    "../../../shaders/conv_sides.wgsl",
    "../../../shaders/product_tile.wgsl",
    "../../../shaders/product_sums.wgsl"
);
wgsl!(
    WeightGradientAlone,
    "../../../shaders/conv_weights_alone.wgsl",
    "../../../shaders/conv_sides.wgsl",
    "../../../shaders/product_places.wgsl",
    "../../../shaders/product_sums.wgsl"
);
wgsl!(SumSlices, "../../../shaders/sum_slices.wgsl");

/// The sides of a convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sides {
    images: usize,
    /// Channels, height and width of what goes in.
    input: [usize; 3],
    /// Channels, height and width of what comes out.
    output: [usize; 3],
    kernel: usize,
    padding: usize,
    way: Way,
}

impl Sides {
    /// Those of images `[n, inputs, h, w]` and weights `[outputs, inputs, kernel, kernel]`.
    pub fn of(x: [usize; 4], weights: [usize; 4], padding: usize, way: Way) -> Self {
        let ([images, inputs, height, width], [outputs, _, kernel, _]) = (x, weights);
        let side = |side: usize| side + 2 * padding + 1 - kernel;
        Self {
            images,
            input: [inputs, height, width],
            output: [outputs, side(height), side(width)],
            kernel,
            padding,
            way,
        }
    }

    /// The convolution that computes the gradient of the images: from outputs to inputs, with the kernel turned around.
    fn turned(self) -> Self {
        Self { input: self.output, output: self.input, padding: self.kernel - 1 - self.padding, ..self }
    }

    fn maps(self, [channels, height, width]: [usize; 3]) -> Shape {
        Shape::new([self.images, channels, height, width])
    }

    fn weights(self) -> Shape {
        Shape::new([self.output[0], self.input[0], self.kernel, self.kernel])
    }

    fn pixels(self) -> usize {
        self.images * self.output[1] * self.output[2]
    }

    fn params(self, turned: bool, slice: usize, groups: (u32, u32)) -> Vec<u32> {
        let sides = [&[self.images][..], &self.input, &self.output, &[self.kernel, self.padding]].concat();
        sides.into_iter().map(|n| n as u32).chain([u32::from(turned), slice as u32, groups.0]).collect()
    }
}

/// Shape and type of the convolved images.
pub(super) fn output(_x: &TensorSpec, _weights: &TensorSpec, sides: &Sides) -> TensorSpec {
    TensorSpec::new(sides.maps(sides.output), DType::F32)
}

/// Shape and type of the gradient of the images.
pub(super) fn of_images(_dy: &TensorSpec, _weights: &TensorSpec, sides: &Sides) -> TensorSpec {
    TensorSpec::new(sides.maps(sides.input), DType::F32)
}

/// Shape and type of the gradient of the weights.
pub(super) fn of_weights(_x: &TensorSpec, _dy: &TensorSpec, sides: &Sides) -> TensorSpec {
    TensorSpec::new(sides.weights(), DType::F32)
}

/// One of the three products of a convolution that is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pass {
    /// Images and weights make the output.
    Forward,
    /// The gradient of the output, and the weights, make that of the images.
    Images,
    /// The images, and the gradient of the output, make that of the weights.
    Weights,
}

impl Pass {
    fn ours(self, inputs: [CubeTensor; 2], sides: Sides) -> CubeTensor {
        match self {
            Self::Forward => convolve(inputs, sides, false),
            Self::Images => convolve(inputs, sides.turned(), true),
            Self::Weights => weights_gradient(inputs, sides),
        }
    }
}

/// Without tuning, as in a browser, burn's own way is a direct convolution, and ours the faster one.
#[cfg(not(feature = "native"))]
pub(super) fn launch(pass: Pass, inputs: [CubeTensor; 2], sides: Sides) -> CubeTensor {
    pass.ours(inputs, sides)
}

#[cfg(feature = "native")]
pub(super) use tuned::launch;

/// Ours or burn's, whichever was found to be faster.
#[cfg(feature = "native")]
mod tuned {
    use std::fmt;

    use burn::tensor::ops::ConvOptions;
    use burn_cubecl::CubeTuneId;
    use burn_cubecl::kernel::conv::{ConvStrategy, conv_data_backward, conv_forward, conv_weight_backward};
    use cubecl::tune::{AutotuneKey, LocalTuner, Tunable, TunableSet, local_tuner};

    use super::*;

    /// What a finding holds for: batches of about as many images.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
    struct Key {
        pass: Pass,
        images: usize,
        input: [usize; 3],
        output: [usize; 3],
        kernel: usize,
    }

    impl fmt::Display for Key {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Debug::fmt(self, f)
        }
    }

    impl AutotuneKey for Key {}

    type Inputs = (Pass, CubeTensor, CubeTensor, Sides);

    fn key((pass, _, _, sides): &Inputs) -> Key {
        let Sides { images, input, output, kernel, .. } = *sides;
        Key { pass: *pass, images: images.next_power_of_two(), input, output, kernel }
    }

    pub fn launch(pass: Pass, [a, b]: [CubeTensor; 2], sides: Sides) -> CubeTensor {
        if sides.way == Way::Ours {
            return pass.ours([a, b], sides);
        }
        static TUNER: LocalTuner<Key, CubeTuneId> = local_tuner!();
        let (client, id) = (a.client.clone(), CubeTuneId::new(&a.client, &a.device));
        let ways = TUNER.init(&id, || {
            // The tuner wants to know why a way cannot be gone; ours always can.
            let ours = |(pass, a, b, sides): Inputs| Ok::<_, &str>(pass.ours([a, b], sides));
            let burns = |(pass, a, b, sides): Inputs| {
                let options = ConvOptions::new([1; 2], [sides.padding; 2], [1; 2], 1);
                match pass {
                    Pass::Forward => conv_forward(a, b, None, options, ConvStrategy::Autotune),
                    Pass::Images => conv_data_backward(a, b, sides.maps(sides.input), options, ConvStrategy::Autotune),
                    Pass::Weights => conv_weight_backward(a, b, sides.weights(), options, ConvStrategy::Autotune),
                }
            };
            TunableSet::new(key, |_: &Key, inputs: &Inputs| inputs.clone())
                .with(Tunable::new("ours", ours))
                .with(Tunable::new("burn", burns))
        });
        TUNER.execute(&id, &client, ways, (pass, a, b, sides))
    }
}

/// Whether a thread shares nothing with others: faster where a CPU imitates a GPU, and slower on any other. A browser does not tell
/// the adapter's name, but how many threads go together: fewer than eight are the vectors of a CPU.
fn is_alone(x: &CubeTensor) -> bool {
    let device = x.client.properties();
    AdapterKind::is_imitated(&device.identity.name) || device.hardware.plane_size_max < 8
}

fn convolve(inputs: [CubeTensor; 2], sides: Sides, turned: bool) -> CubeTensor {
    let [x, weights] = inputs.map(into_contiguous);
    let y = empty(&x, sides.maps(sides.output));
    let [outputs, height, width] = sides.output;
    if is_alone(&x) {
        let threads = outputs.div_ceil(OWN_TILE) * sides.images.div_ceil(OWN_TILE) * height * width;
        let groups = in_rows(threads.div_ceil(THREADS as usize));
        run(ConvolveAlone, THREADS, groups, &[&x, &weights, &y], &sides.params(turned, 0, groups));
    } else {
        let groups = in_rows(outputs.div_ceil(TILE) * sides.pixels().div_ceil(TILE));
        run(Convolve, THREADS, groups, &[&x, &weights, &y], &sides.params(turned, 0, groups));
    }
    y
}

fn weights_gradient(inputs: [CubeTensor; 2], sides: Sides) -> CubeTensor {
    let [x, dy] = inputs.map(into_contiguous);
    let size = sides.weights().num_elements();
    let ([outputs, ..], [inputs, ..], pixels) = (sides.output, sides.input, sides.pixels());
    let is_alone = is_alone(&x);
    let (tiles, enough, step) = if is_alone {
        let tiles = outputs.div_ceil(OWN_TILE) * inputs.div_ceil(OWN_TILE) * sides.kernel * sides.kernel;
        (tiles, MANY_THREADS, 1)
    } else {
        (outputs.div_ceil(TILE) * (size / outputs).div_ceil(TILE), MANY_GROUPS, DEPTH)
    };
    // Few tiles have many summands: slices of these make enough work for all.
    let wanted = enough.div_ceil(tiles).min(pixels.div_ceil(LEAST_SLICE));
    let slice = pixels.div_ceil(wanted).next_multiple_of(step);
    let slices = pixels.div_ceil(slice);
    let parts = empty(&x, [slices * size]);
    if is_alone {
        let groups = in_rows((tiles * slices).div_ceil(THREADS as usize));
        run(WeightGradientAlone, THREADS, groups, &[&x, &dy, &parts], &sides.params(false, slice, groups));
    } else {
        let groups = in_rows(tiles * slices);
        run(WeightGradient, THREADS, groups, &[&x, &dy, &parts], &sides.params(false, slice, groups));
    }
    let gradient = empty(&x, sides.weights());
    let groups = in_rows(size.div_ceil(ADDING_THREADS as usize));
    run(SumSlices, ADDING_THREADS, groups, &[&parts, &gradient], &[size as u32, slices as u32, groups.0]);
    gradient
}
