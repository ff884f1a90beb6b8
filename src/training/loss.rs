//! The losses. Each takes logits `[n, classes]` and labels `[n]` and returns the mean over the batch, `[1]`.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor};

use crate::compute::{LossKind, cpu, shaders};

impl LossKind {
    /// The loss of a batch, shape `[1]`. `smoothing` is the share of the target that is spread over all classes
    /// (Szegedy et al., 2015), for [`Ce`](Self::Ce) alone.
    pub fn compute(self, logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
        cpu::loss(&logits, &labels, self, smoothing)
            .or_else(|| shaders::loss(&logits, &labels, self, smoothing))
            .unwrap_or_else(|| self.composed(logits, labels, smoothing))
    }

    /// The loss of burn's operations, for every device.
    pub fn composed(self, logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
        match self {
            Self::Mse => {
                let target = one_hot(labels, logits.dims());
                (softmax(logits, 1) - target).square().mean()
            }
            Self::Ce => cross_entropy(logits, labels, smoothing),
            Self::CeOnProbabilities => cross_entropy(softmax(logits, 1), labels, 0.0),
        }
    }
}

/// Labels `[n]` -> `[n, classes]`, 1 at the label. Burn's own `one_hot` reads the labels back to check them.
fn one_hot(labels: Tensor<1, Int>, [n, classes]: [usize; 2]) -> Tensor<2> {
    let ids = Tensor::<1, Int>::arange(0..classes as i64, &labels.device()).unsqueeze_dim::<2>(0);
    labels.unsqueeze_dim::<2>(1).expand([n, classes]).equal(ids.expand([n, classes])).float()
}

/// Mean of -log(softmax(logits) of the label), as PyTorch's `cross_entropy` with its `label_smoothing`.
fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let log_probabilities = log_softmax(logits, 1);
    let of_label = log_probabilities.clone().gather(1, labels.unsqueeze_dim(1)).mean().neg();
    if smoothing == 0.0 {
        return of_label;
    }
    of_label * (1.0 - smoothing) - log_probabilities.mean() * smoothing
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn loss(kind: LossKind, logits: [[f32; 3]; 2], labels: [i32; 2]) -> f32 {
        let device = Device::flex();
        let logits = Tensor::from_data(logits, &device);
        kind.compute(logits, Tensor::from_data(labels, &device), 0.0).into_scalar()
    }

    /// Worked by hand: logits ln(1), ln(2), ln(5) are probabilities 1/8, 2/8, 5/8.
    #[test]
    fn losses_have_their_textbook_values() {
        let logits = [[1f32.ln(), 2f32.ln(), 5f32.ln()]; 2];
        let mse_of = |label: usize| -> f32 {
            [0.125f32, 0.25, 0.625].iter().enumerate().map(|(i, p)| (p - f32::from(u8::from(i == label))).powi(2)).sum()
        };
        let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} {b}");
        close(loss(LossKind::Mse, logits, [2, 0]), (mse_of(2) + mse_of(0)) / 6.0);
        close(loss(LossKind::Ce, logits, [2, 0]), -(0.625f32.ln() + 0.125f32.ln()) / 2.0);
        let total: f32 = [0.125f32, 0.25, 0.625].iter().map(|p| p.exp()).sum();
        close(loss(LossKind::CeOnProbabilities, logits, [1, 1]), total.ln() - 0.25);
    }

    #[test]
    fn one_class_is_no_trouble() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_data([[3.0], [4.0]], &device);
        for kind in [LossKind::Mse, LossKind::Ce] {
            let labels = Tensor::from_data([0, 0], &device);
            assert_eq!(kind.compute(logits.clone(), labels, 0.0).into_scalar::<f32>(), 0.0, "{kind}");
        }
    }

    #[test]
    fn huge_logits_stay_finite() {
        for kind in [LossKind::Mse, LossKind::Ce, LossKind::CeOnProbabilities] {
            assert!(loss(kind, [[1e4, -1e4, 0.0], [3e4, 0.0, 0.0]], [0, 1]).is_finite(), "{kind}");
        }
    }
}
