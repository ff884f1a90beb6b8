//! `conv CHANNELS`: every output map is a sum of convolutions of all input maps, plus a bias.

use std::fmt;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::kind::{Forward, Kind, OnnxAttribute, OnnxGraph, Parameter};
use crate::compute::is_cpu;
use crate::compute::shaders::{self, Way};
use crate::data::ImageShape;
use crate::error::{Error, Result};
use crate::network::precision::{half, single};
use crate::network::text::{MAX_SIDE, Words};
use crate::network::{Activation, Init, Noise, Precision, Shape};

/// The largest kernel, stride and padding.
const MAX_KERNEL: usize = 31;

/// On the CPU backend, which multiplies matrices image by image, images of up to this many pixels are convolved as one
/// matrix product over the whole batch. Forward and backward of 512 -> 512 channels at batch 128 on two AVX-512 cores:
/// 98 -> 28 ms on 2x2 pixels, 150 -> 123 ms on 4x4; on 8x8 and above burn's own way is faster.
const SMALL_PLANE: usize = 16;

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The number of output maps.
    pub channels: usize,
    /// Pixels a side of the kernel.
    pub kernel: usize,
    /// Pixels from one output to the next.
    pub stride: usize,
    /// Zeros around every map.
    pub padding: usize,
    /// Whether a trained value is added to every output map.
    pub bias: bool,
}

impl Config {
    /// Height or width of the output; none where the kernel does not fit.
    fn side(&self, input: usize) -> Option<usize> {
        Some((input + 2 * self.padding).checked_sub(self.kernel)? / self.stride + 1)
    }

    /// Three pixels a side, each output below its input.
    fn is_plain_3x3(&self) -> bool {
        (self.kernel, self.stride, self.padding) == (3, 1, 1)
    }
}

/// The layer in a network.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[outputs, inputs, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    config: Config,
    #[module(skip)]
    precision: Precision,
}

impl Kind for Config {
    const NAME: &'static str = "conv";
    const USAGE: &'static str = "conv CHANNELS [kernel K=3] [stride S=1] [padding P=K/2] [bias off]";
    type Module = Conv2d;

    fn parse(words: &mut Words<'_>) -> Result<Self> {
        let channels = words.whole("channels", 1, MAX_SIDE)?;
        let kernel = words.option("kernel", 1, MAX_KERNEL)?.unwrap_or(3);
        let stride = words.option("stride", 1, MAX_KERNEL)?.unwrap_or(1);
        let padding = words.option("padding", 0, MAX_KERNEL)?.unwrap_or(kernel / 2);
        Ok(Self { channels, kernel, stride, padding, bias: words.switch("bias")? })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}", self.channels)?;
        let defaults =
            [("kernel", self.kernel, 3), ("stride", self.stride, 1), ("padding", self.padding, self.kernel / 2)];
        defaults
            .iter()
            .filter(|(_, value, default)| value != default)
            .try_for_each(|(n, v, _)| write!(f, " {n} {v}"))?;
        f.write_str(if self.bias { "" } else { " bias off" })
    }

    fn output(&self, input: Shape) -> Result<Shape> {
        let Shape::Maps(maps) = input else {
            return Err(Error::usage("needs maps: put it before `flatten`"));
        };
        match (self.side(maps.height), self.side(maps.width)) {
            (Some(height), Some(width)) => Ok(Shape::Maps(ImageShape { channels: self.channels, height, width })),
            _ => {
                let least = self.kernel.saturating_sub(2 * self.padding);
                Err(Error::usage(format!(
                    "needs maps of at least {least}x{least}: use a smaller kernel, or more padding"
                )))
            }
        }
    }

    fn parameters(&self, input: Shape) -> Vec<Parameter> {
        Parameter::weight_and_bias(&[self.channels, input.channels(), self.kernel, self.kernel], self.bias)
    }

    fn multiply_adds(&self, input: Shape) -> u64 {
        let Ok(Shape::Maps(output)) = self.output(input) else { return 0 };
        [self.channels, self.kernel, self.kernel, input.channels()]
            .iter()
            .fold((output.height * output.width) as u64, |product, &factor| product.saturating_mul(factor as u64))
    }

    /// As `torch.nn.Conv2d`: weight and bias uniform in +-1/sqrt(inputs * kernel * kernel).
    fn build(&self, input: Shape, init: &mut Init) -> Conv2d {
        let (inputs, kernel) = (input.channels(), self.kernel);
        let bound = 1.0 / ((kernel * kernel * inputs) as f32).sqrt();
        let weight = init.uniform([self.channels, inputs, kernel, kernel], bound);
        let bias = self.bias.then(|| init.uniform([self.channels], bound));
        Conv2d { weight, bias, config: self.clone(), precision: init.precision() }
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, prefix: &str, x: String) -> String {
        let [weight, bias] = ["weight", "bias"].map(|name| format!("{prefix}{name}"));
        let inputs = [&*x, &*weight, &*bias];
        let sides = |n: usize, count: usize| OnnxAttribute::Ints(vec![n as i64; count]);
        let attributes = [
            ("kernel_shape", sides(self.kernel, 2)),
            ("strides", sides(self.stride, 2)),
            ("pads", sides(self.padding, 4)),
        ];
        graph.node("Conv", &inputs[..if self.bias { 3 } else { 2 }], &attributes)
    }

    fn pytorch(&self, input: Shape) -> String {
        let stride = if self.stride == 1 { String::new() } else { format!(", stride={}", self.stride) };
        let bias = if self.bias { "" } else { ", bias=False" };
        let (inputs, Self { channels, kernel, padding, .. }) = (input.channels(), self);
        format!("nn.Conv2d({inputs}, {channels}, {kernel}{stride}, padding={padding}{bias})")
    }
}

impl Forward for Conv2d {
    fn forward(&self, x: Activation, _: &mut Noise) -> Activation {
        let x = x.maps();
        let [_, _, h, w] = x.dims();
        let Config { stride, padding, .. } = self.config;
        let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        let small = h * w <= SMALL_PLANE && self.config.is_plain_3x3() && bias.is_none();
        Activation::Maps(match self.precision {
            Precision::F32 if small && is_cpu(&x.device()) => convolve_batch(x, weight),
            Precision::F32 => {
                let ours = (stride == 1).then(|| shaders::convolve(&x, &weight, padding, Way::Fastest)).flatten();
                match ours {
                    Some(y) => with_bias(y, bias),
                    None => conv2d(x, weight, bias, options),
                }
            }
            Precision::F16 => with_bias(single(conv2d(half(x), half(weight), None, options)), bias),
        })
    }
}

fn with_bias(y: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    match bias {
        Some(bias) => y + bias.reshape([1, -1, 1, 1]),
        None => y,
    }
}

/// 3x3 convolution of `[n, c, h, w]` with weights `[o, c, 3, 3]` and zero padding: the nine shifted copies of the images
/// become the columns of one matrix.
fn convolve_batch(x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    let ([n, c, h, w], [o, ..]) = (x.dims(), weight.dims());
    let padded = x.permute([0, 2, 3, 1]).pad([(1, 1), (1, 1), (0, 0)], 0.0f32);
    let shifts = (0..9).map(|k| padded.clone().slice([0..n, k / 3..k / 3 + h, k % 3..k % 3 + w, 0..c])).collect();
    let columns = Tensor::cat(shifts, 3).reshape([n * h * w, 9 * c]);
    let weight = weight.permute([2, 3, 1, 0]).reshape([9 * c, o]);
    columns.matmul(weight).reshape([n, h, w, o]).permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution, Tolerance};

    #[test]
    fn the_whole_batch_at_once_is_the_same_convolution_forward_and_backward() {
        let device = Device::flex().autodiff();
        for [n, c, o, h, w] in [[3, 5, 7, 4, 4], [2, 3, 4, 1, 1], [1, 8, 2, 2, 3], [7, 1, 1, 2, 2]] {
            let random = |shape: [usize; 4]| {
                Tensor::<4>::random(shape, Distribution::Uniform(-1.0, 1.0), &device).require_grad()
            };
            let (x, weight, pick) = (random([n, c, h, w]), random([o, c, 3, 3]), random([n, o, h, w]));
            let run = |y: Tensor<4>| {
                let gradients = (y.clone() * pick.clone()).sum().backward();
                [y.inner(), x.grad(&gradients).unwrap(), weight.grad(&gradients).unwrap()]
            };
            let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
            let expected = run(conv2d(x.clone(), weight.clone(), None, options));
            let found = run(convolve_batch(x.clone(), weight.clone()));
            for (expected, found) in expected.into_iter().zip(found) {
                found.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-4));
            }
        }
    }
}
