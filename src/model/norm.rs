//! Batch normalization (Ioffe and Szegedy, 2015) as PyTorch computes it.

use burn::module::{Module, Param, RunningState};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module::{batch_norm, batch_norm_train};

use super::cpu;

/// Added to the variance.
const EPSILON: f64 = 1e-5;
/// Weight of the newest batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// Normalizes every channel of `[n, channels, ...]` by the batch while training, and by running statistics
/// otherwise.
///
/// Burn's own layer feeds its running variance the biased batch variance; PyTorch (and so this layer) feeds it
/// the unbiased one, without which a small batch evaluates differently here and there. The names are those of
/// burn's layer, so that burn's PyTorch adapters know them.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale, `[channels]`.
    pub gamma: Param<Tensor<1>>,
    /// Offset, `[channels]`.
    pub beta: Param<Tensor<1>>,
    /// Running mean, `[channels]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Running unbiased variance, `[channels]`.
    pub running_var: RunningState<Tensor<1>>,
}

impl BatchNorm {
    /// `[n, channels, ...]` -> the same shape. On an autodiff device the layer trains.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        if !input.device().is_autodiff() {
            return batch_norm(input, gamma, beta, self.running_mean.value(), self.running_var.value(), EPSILON);
        }
        let per_channel = input.shape().num_elements() / input.dims()[1];
        let trained = batch_norm_train(input, gamma, beta, EPSILON);
        self.remember(trained.mean, trained.variance, per_channel);
        trained.output
    }

    /// The same of `[n, channels, h, w]`, followed by ReLU.
    pub fn forward_relu(&self, input: Tensor<4>) -> Tensor<4> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        if !input.device().is_autodiff() {
            let norm = [gamma, beta, self.running_mean.value(), self.running_var.value()];
            return cpu::norm_relu(&input, norm, EPSILON).unwrap_or_else(|| relu(self.forward(input)));
        }
        match cpu::norm_relu_train(&input, &gamma, &beta, EPSILON) {
            Some(trained) => {
                let per_channel = input.shape().num_elements() / input.dims()[1];
                self.remember(trained.mean, trained.variance, per_channel);
                trained.output
            }
            None => relu(self.forward(input)),
        }
    }

    /// Blends a batch's mean and biased variance, each over `n` values, into the running statistics.
    fn remember(&self, mean: Tensor<1>, variance: Tensor<1>, n: usize) {
        let unbiased = n as f64 / (n as f64 - 1.0).max(1.0);
        let blend = |running: &RunningState<Tensor<1>>, batch: Tensor<1>, factor: f64| {
            let old = running.value_sync().mul_scalar(1.0 - MOMENTUM);
            running.update((old + batch.detach().mul_scalar(MOMENTUM * factor)).detach());
        };
        blend(&self.running_mean, mean, 1.0);
        blend(&self.running_var, variance, unbiased);
    }
}
