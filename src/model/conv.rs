//! The building block of the convolutional networks.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Device, Distribution, Tensor};

use super::{BatchNorm, Init, Summary, cpu};
use crate::device::is_cpu;
use crate::recipe::{Pool, Precision};

/// On the CPU backend, which multiplies matrices image by image, images of up to this many pixels are convolved as one
/// matrix product over the whole batch. Forward and backward of 512 -> 512 channels at batch 128 on two AVX-512 cores:
/// 98 -> 28 ms on 2x2 pixels, 150 -> 123 ms on 4x4; on 8x8 and above burn's own way is faster.
const SMALL_PLANE: usize = 16;

/// 3x3 convolution with zero padding and without bias, batch normalization, ReLU.
#[derive(Module, Debug)]
pub struct ConvBlock {
    conv: Conv2d,
    norm: Option<BatchNorm>,
    #[module(skip)]
    precision: Precision,
}

impl ConvBlock {
    /// `inputs` -> `outputs` channels.
    pub fn new(inputs: usize, outputs: usize, batch_norm: bool, init: &mut Init) -> Self {
        let conv = init.conv3x3(inputs, outputs, !batch_norm);
        Self { conv, norm: batch_norm.then(|| init.batch_norm(outputs)), precision: init.precision() }
    }

    /// `[n, inputs, h, w]` -> `[n, outputs, h, w]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.convolve(x);
        match &self.norm {
            Some(norm) => norm.forward_relu(x),
            None => relu(x),
        }
    }

    /// The weights, `[outputs, inputs, 3, 3]`.
    pub(super) fn filters(&self) -> Tensor<4> {
        self.conv.weight.val()
    }

    fn convolve(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, h, w] = x.dims();
        match &self.conv.bias {
            None if h * w <= SMALL_PLANE && is_cpu(&x.device()) => convolve_batch(x, self.conv.weight.val()),
            _ => self.precision.conv3x3(&self.conv, x),
        }
    }

    /// Adds its rows to a layer table.
    pub fn summarize(&self, name: &str, summary: &mut Summary) {
        summary.conv(&format!("{name}.conv"), &self.conv);
        if let Some(norm) = &self.norm {
            summary.norm(&format!("{name}.norm"), norm);
        }
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

/// Halves both sides: `[n, c, h, w]` -> `[n, c, h / size, w / size]`.
pub fn pool(x: Tensor<4>, kind: Pool, size: usize) -> Tensor<4> {
    match kind {
        Pool::Max
            if size == 2
                && let Some(pooled) = cpu::max_pool(&x) =>
        {
            pooled
        }
        Pool::Max => max_pool2d(x, MaxPoolOptions::new([size, size])),
        Pool::Avg => avg_pool2d(x, AvgPoolOptions::new([size, size])),
    }
}

/// Zeroes a share of the values while training, and scales the others up (Srivastava et al., 2014).
pub fn dropout<const D: usize>(x: Tensor<D>, share: f64) -> Tensor<D> {
    let device: Device = x.device();
    if share == 0.0 || !device.is_autodiff() {
        return x;
    }
    let keep = Tensor::random(x.shape(), Distribution::Bernoulli(1.0 - share), &device.inner());
    x * Tensor::from_inner(keep) / (1.0 - share)
}

/// `base * width` channels, at least one.
pub fn channels(base: usize, width: f64) -> usize {
    ((base as f64 * width).round() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tolerance;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

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
