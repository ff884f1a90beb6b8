//! PyTorch's default initialisation, drawn on the host from the seed: every device starts from the same weights.

use burn::module::{Param, ParamId, RunningState};
use burn::nn::conv::Conv2d;
use burn::nn::{Linear, PaddingConfig2d};
use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::BatchNorm;
use crate::recipe::Precision;

/// Makes layers one after the other; the same seed and the same order give the same weights.
pub struct Init {
    rng: ChaCha8Rng,
    next_id: u64,
    device: Device,
    precision: Precision,
}

impl Init {
    /// Layers made by this are on `device`.
    pub fn new(seed: u64, device: &Device) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { rng, next_id: 0, device: device.clone(), precision: Precision::F32 }
    }

    /// Layers multiply in this precision, where the device can.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision: precision.on(&self.device), ..self }
    }

    /// In which layers multiply.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// As `torch.nn.Linear`: weight and bias uniform in +-1/sqrt(d_input).
    pub fn linear(&mut self, d_input: usize, d_output: usize) -> Linear {
        let bound = 1.0 / (d_input as f32).sqrt();
        Linear { weight: self.uniform([d_input, d_output], bound), bias: Some(self.uniform([d_output], bound)) }
    }

    /// As `torch.nn.Conv2d` with a 3x3 kernel and padding 1: weight and bias uniform in +-1/sqrt(9 inputs).
    pub fn conv3x3(&mut self, inputs: usize, outputs: usize, bias: bool) -> Conv2d {
        let bound = 1.0 / (9.0 * inputs as f32).sqrt();
        Conv2d {
            weight: self.uniform([outputs, inputs, 3, 3], bound),
            bias: bias.then(|| self.uniform([outputs], bound)),
            stride: [1, 1],
            kernel_size: [3, 3],
            dilation: [1, 1],
            groups: 1,
            padding: PaddingConfig2d::Explicit(1, 1, 1, 1),
        }
    }

    /// As `torch.nn.BatchNorm1d` and `2d`: scale 1, offset 0, running mean 0, running variance 1.
    pub fn batch_norm(&mut self, channels: usize) -> BatchNorm {
        let (ones, zeros) = (Tensor::ones([channels], &self.device), Tensor::zeros([channels], &self.device));
        BatchNorm {
            gamma: Param::initialized(self.id(), self.trainable(ones.clone())),
            beta: Param::initialized(self.id(), self.trainable(zeros.clone())),
            running_mean: RunningState::with_id(self.id(), zeros),
            running_var: RunningState::with_id(self.id(), ones),
        }
    }

    fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f32) -> Param<Tensor<D>> {
        let n = shape.iter().product();
        // 24 random bits fill an f32's mantissa: k / 2^24 in [0, 1).
        let mut unit = || (self.rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32;
        let values: Vec<f32> = (0..n).map(|_| (2.0 * unit() - 1.0) * bound).collect();
        let tensor = Tensor::from_data(TensorData::new(values, shape), &self.device);
        Param::initialized(self.id(), self.trainable(tensor))
    }

    fn trainable<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        if self.device.is_autodiff() { tensor.require_grad() } else { tensor }
    }

    /// Counted, not random as burn's default: the same model has the same ids in every process.
    fn id(&mut self) -> ParamId {
        self.next_id += 1;
        ParamId::from(self.next_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_uniform_within_the_bound_and_follow_the_seed() {
        let device = Device::flex();
        let draw =
            |seed| Init::new(seed, &device).linear(400, 50).weight.val().into_data().try_to_vec::<f32>().unwrap();
        let weights = draw(1);
        assert!(weights.iter().all(|w| w.abs() <= 0.05));
        let mean = weights.iter().sum::<f32>() / 20_000.0;
        let variance = weights.iter().map(|w| w * w).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.001, "{mean}");
        assert!((variance - 0.05f32.powi(2) / 3.0).abs() < 3e-5, "{variance}");
        assert_eq!(weights, draw(1));
        assert_ne!(weights, draw(2));
    }
}
