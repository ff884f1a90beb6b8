//! The only forward, backward and update: for the loop, for replicas, and for benchmarks.

use burn::tensor::{Gradients, Tensor};

use super::batches::Batch;
use super::optimizer::Optimizer;
use crate::compute::LossKind;
use crate::network::{Model, Noise, Precision};

/// What a step computes.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    loss: LossKind,
    smoothing: f64,
    loss_scale: f64,
}

impl Step {
    /// A step that makes `loss` small; `smoothing` is the share of the target that `ce` spreads over all classes. In half
    /// precision the loss is scaled up before the backward pass.
    pub fn new(loss: LossKind, smoothing: f64, precision: Precision) -> Self {
        Self { loss, smoothing, loss_scale: precision.loss_scale() }
    }

    /// An optimizer whose gradients are scaled as this step's are.
    pub fn optimizer(&self, config: crate::recipe::OptimizerConfig) -> Optimizer {
        Optimizer::new(config).with_gradient_scale(self.loss_scale)
    }

    /// Forward and backward: the loss `[1]` of a share of a batch, and the gradients of all parameters. Both are weighted
    /// by how much of the batch the share is; the gradients are scaled up as the precision wants it.
    pub fn gradients(&self, model: &Model, batch: Batch, noise: Noise, share: f64) -> (Tensor<1>, Gradients) {
        let loss = self.loss.compute(model.forward_with(batch.images, noise), batch.labels, self.smoothing);
        let loss = scaled(loss, share);
        (loss.clone().inner(), scaled(loss, self.loss_scale).backward())
    }

    /// Forward, backward and update over a whole batch, with nothing dropped: the model after it, and the loss `[1]` before.
    pub fn run(&self, model: Model, optimizer: &mut Optimizer, batch: Batch, learning_rate: f64) -> (Model, Tensor<1>) {
        let (loss, gradients) = self.gradients(&model, batch, Noise::none(), 1.0);
        (optimizer.step(learning_rate, model, gradients), loss)
    }
}

fn scaled(loss: Tensor<1>, scale: f64) -> Tensor<1> {
    if scale == 1.0 { loss } else { loss * scale }
}
