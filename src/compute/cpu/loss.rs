//! The loss of a batch and its gradient in one pass.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{Int, Tensor};
use tinderbox_kernels::Buffer;
use tinderbox_kernels::softmax::{softmax, softmax_back};

use super::tensors::{Primitive, contiguous, matrix, slice, track, tracked};
use crate::compute::LossKind;

/// The mean loss `[1]` of logits `[n, classes]` and labels `[n]`, on the CPU backend, training or not; `None` elsewhere.
/// `smoothing` is for cross-entropy alone.
pub fn loss(logits: &Tensor<2>, labels: &Tensor<1, Int>, kind: LossKind, smoothing: f64) -> Option<Tensor<1>> {
    let [n, classes] = logits.dims();
    let values = matrix(logits)?;
    let mut gradient = Buffer::new(n * classes);
    let mut total = 0.0;
    let rows = slice(&values).chunks_exact(classes).zip(gradient.values_mut().chunks_exact_mut(classes));
    for ((logits, gradient), label) in rows.zip(labels.to_data().iter::<i64>()) {
        let is_label = |class: usize| i64::try_from(class).is_ok_and(|class| class == label);
        total += f64::from(row(logits, is_label, kind, smoothing as f32, gradient));
        gradient.iter_mut().for_each(|g| *g /= n as f32);
    }
    let mean = Buffer::of(&[(total / n as f64) as f32]);
    let mean = contiguous(mean, [1]);
    if !logits.device().is_autodiff() {
        return Some(Tensor::from_primitive::<Flex>(mean));
    }
    Some(track(Loss, [&tracked(logits)?], contiguous(gradient, [n, classes]), mean))
}

/// The loss of an image; its gradient goes to `gradient`.
fn row(logits: &[f32], is_label: impl Fn(usize) -> bool, kind: LossKind, smoothing: f32, gradient: &mut [f32]) -> f32 {
    let classes = logits.len() as f32;
    match kind {
        LossKind::Ce => {
            let log_sum = softmax(logits, gradient);
            let mut loss = 0.0;
            for (class, (g, logit)) in gradient.iter_mut().zip(logits).enumerate() {
                let target = smoothing / classes + if is_label(class) { 1.0 - smoothing } else { 0.0 };
                if target > 0.0 {
                    loss -= target * (logit - log_sum);
                }
                *g -= target;
            }
            loss
        }
        LossKind::CeOnProbabilities => {
            softmax(logits, gradient);
            let probabilities = gradient.to_vec();
            let log_sum = softmax(&probabilities, gradient);
            let mut loss = 0.0;
            for (class, (g, probability)) in gradient.iter_mut().zip(&probabilities).enumerate() {
                if is_label(class) {
                    loss = log_sum - probability;
                    *g -= 1.0;
                }
            }
            softmax_back(&probabilities, gradient);
            loss
        }
        LossKind::Mse => {
            softmax(logits, gradient);
            let probabilities = gradient.to_vec();
            let mut loss = 0.0;
            for (class, g) in gradient.iter_mut().enumerate() {
                let distance = *g - if is_label(class) { 1.0 } else { 0.0 };
                loss += distance * distance / classes;
                *g = 2.0 * distance / classes;
            }
            softmax_back(&probabilities, gradient);
            loss
        }
    }
}

/// The gradient, which came along with the loss, times that of the loss.
#[derive(Debug)]
struct Loss;

impl Backward<Flex, 1> for Loss {
    type State = Primitive;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([Some(node)], gradient) = (ops.parents, ops.state) else { return };
        let of_loss = grads.consume::<Flex>(&ops.node).to_contiguous();
        let factor = slice(&of_loss).first().copied().unwrap_or_default();
        let gradient = Tensor::<2>::from_primitive::<Flex>(gradient);
        let gradient = if factor == 1.0 { gradient } else { gradient * factor };
        if let Ok(gradient) = gradient.try_into_primitive::<Flex>() {
            grads.register::<Flex>(node.id, gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensors::testing::{close, random};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn losses_are_those_of_burns_operations_forward_and_backward() {
        let labels = Tensor::<1, Int>::from_data([2, 0, 4, 1, 1, 3, 0], &Device::flex().autodiff());
        for (kind, smoothing) in
            [(LossKind::Ce, 0.0), (LossKind::Ce, 0.1), (LossKind::CeOnProbabilities, 0.0), (LossKind::Mse, 0.0)]
        {
            let logits = random([7, 5], -4.0, 4.0);
            let run = |loss: Tensor<1>| {
                let gradients = (loss.clone() * 3.0).backward();
                (loss.inner(), logits.grad(&gradients).unwrap())
            };
            let expected = run(kind.composed(logits.clone(), labels.clone(), smoothing));
            let found = run(loss(&logits, &labels, kind, smoothing).unwrap());
            close(found.0, expected.0.clone());
            close(found.1, expected.1);
            close(loss(&logits.clone().inner(), &labels.clone().inner(), kind, smoothing).unwrap(), expected.0);
        }
    }

    #[test]
    fn a_logit_that_is_no_number_gives_a_loss_that_is_none() {
        let logits = Tensor::from_data([[f32::NAN, 1.0], [0.0, 1.0]], &Device::flex());
        for kind in [LossKind::Ce, LossKind::CeOnProbabilities, LossKind::Mse] {
            let labels = Tensor::from_data([1, 0], &Device::flex());
            assert!(loss(&logits, &labels, kind, 0.0).unwrap().into_scalar::<f32>().is_nan(), "{kind}");
        }
    }
}
