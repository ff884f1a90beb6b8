//! Mixed precision: the products of a layer in half precision, everything else in single.
//!
//! After Micikevicius et al., "Mixed Precision Training" (2018): weights are kept in f32 and rounded to f16 where they
//! are multiplied; normalization and loss stay in f32; the loss is scaled up before the backward pass, so that small
//! gradients do not vanish in f16, and gradients are scaled down again before the optimizer sees them.

use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, FloatDType, Tensor};

use crate::device::is_cpu;
use crate::recipe::Precision;

impl Precision {
    /// This precision where `device` computes in it, else single: a network that was trained in half precision on a GPU
    /// can be used anywhere.
    pub fn on(self, device: &Device) -> Self {
        let half = !is_cpu(&device.clone().inner()) && device.supports_dtype(DType::F16);
        if half { self } else { Self::F32 }
    }

    /// The factor on the loss before the backward pass.
    pub fn loss_scale(self) -> f64 {
        match self {
            Self::F32 => 1.0,
            Self::F16 => 1024.0,
        }
    }

    /// `[n, d_input]` -> `[n, d_output]`.
    pub(super) fn linear(self, layer: &Linear, x: Tensor<2>) -> Tensor<2> {
        if self == Self::F32 {
            return layer.forward(x);
        }
        let product = single(half(x).matmul(half(layer.weight.val())));
        match &layer.bias {
            Some(bias) => product + bias.val().unsqueeze(),
            None => product,
        }
    }

    /// `[n, inputs, h, w]` -> `[n, outputs, h, w]`: 3x3 with padding, as [`Init::conv3x3`](super::Init::conv3x3) makes.
    pub(super) fn conv3x3(self, layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
        if self == Self::F32 {
            return layer.forward(x);
        }
        let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
        let y = single(conv2d(half(x), half(layer.weight.val()), None, options));
        match &layer.bias {
            Some(bias) => y + bias.val().reshape([1, -1, 1, 1]),
            None => y,
        }
    }
}

fn half<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.cast(FloatDType::F16)
}

fn single<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.cast(FloatDType::F32)
}
