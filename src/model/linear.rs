//! The fully connected networks of the MNIST exercise. Both return logits; softmax belongs to the loss.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::{BatchNorm, Init, Summary};
use crate::recipe::Precision;

/// Softmax regression: one layer, input -> classes.
#[derive(Module, Debug)]
pub struct LinearV0 {
    fc1: Linear,
    #[module(skip)]
    precision: Precision,
}

impl LinearV0 {
    /// For `features` inputs and `classes` outputs.
    pub fn new(features: usize, classes: usize, init: &mut Init) -> Self {
        Self { fc1: init.linear(features, classes), precision: init.precision() }
    }

    /// Of the one layer, `[features, classes]`.
    pub(super) fn first_weights(&self) -> Tensor<2> {
        self.fc1.weight.val()
    }

    /// `[n, features]` -> logits `[n, classes]`.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.precision.linear(&self.fc1, input)
    }

    pub(super) fn summarize(&self, summary: &mut Summary) {
        summary.linear("fc1", &self.fc1);
    }
}

/// Input -> 128 -> 64 -> classes, with ReLU after each hidden layer and, if asked for, batch normalization
/// before it.
#[derive(Module, Debug)]
pub struct LinearV1 {
    fc1: Linear,
    bn1: Option<BatchNorm>,
    fc2: Linear,
    bn2: Option<BatchNorm>,
    fc3: Linear,
    #[module(skip)]
    precision: Precision,
}

impl LinearV1 {
    /// For `features` inputs and `classes` outputs.
    pub fn new(features: usize, classes: usize, batch_norm: bool, init: &mut Init) -> Self {
        Self {
            fc1: init.linear(features, 128),
            bn1: batch_norm.then(|| init.batch_norm(128)),
            fc2: init.linear(128, 64),
            bn2: batch_norm.then(|| init.batch_norm(64)),
            fc3: init.linear(64, classes),
            precision: init.precision(),
        }
    }

    /// Of the first layer, `[features, 128]`.
    pub fn first_weights(&self) -> Tensor<2> {
        self.fc1.weight.val()
    }

    /// What the first hidden layer answers: `[n, features]` -> `[n, 128]`.
    pub(super) fn first_hidden(&self, input: Tensor<2>) -> Tensor<2> {
        self.hidden(&self.fc1, &self.bn1, input)
    }

    /// `[n, features]` -> logits `[n, classes]`.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let x = self.hidden(&self.fc2, &self.bn2, self.first_hidden(input));
        self.precision.linear(&self.fc3, x)
    }

    fn hidden(&self, layer: &Linear, norm: &Option<BatchNorm>, x: Tensor<2>) -> Tensor<2> {
        let x = self.precision.linear(layer, x);
        relu(match norm {
            Some(norm) => norm.forward(x),
            None => x,
        })
    }

    pub(super) fn summarize(&self, summary: &mut Summary) {
        summary.linear("fc1", &self.fc1);
        if let Some(norm) = &self.bn1 {
            summary.norm("bn1", norm);
        }
        summary.linear("fc2", &self.fc2);
        if let Some(norm) = &self.bn2 {
            summary.norm("bn2", norm);
        }
        summary.linear("fc3", &self.fc3);
    }
}
