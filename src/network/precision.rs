//! Mixed precision: the products of a layer in half precision, everything else in single.
//!
//! After Micikevicius et al., "Mixed Precision Training" (2018): weights are kept in f32 and rounded to f16 where they
//! are multiplied; normalization and loss stay in f32; the loss is scaled up before the backward pass, so that small
//! gradients do not vanish in f16, and gradients are scaled down again before the optimizer sees them.

use burn::tensor::{DType, Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use crate::compute::is_cpu;
use crate::names::named;

/// In which numbers a network multiplies, see [`Precision::on`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Products in half precision; weights, sums over them, normalization and loss in single.
    F16,
}

named!(Precision, "precision", Precision::F32 => "f32", Precision::F16 => "f16");

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
}

/// A tensor rounded to half precision.
pub(super) fn half<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.cast(FloatDType::F16)
}

/// A tensor brought back to single precision.
pub(super) fn single<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.cast(FloatDType::F32)
}
