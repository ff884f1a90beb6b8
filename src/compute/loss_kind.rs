//! Which loss a kernel computes.

use serde::{Deserialize, Serialize};

use crate::names::named;

/// The loss. All take logits of shape `[n, classes]` and average over the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// Mean over batch and classes of (softmax(logits) - one-hot label)^2.
    Mse,
    /// Cross-entropy: -log(softmax(logits) of the label).
    Ce,
    /// Cross-entropy that is handed probabilities as if they were logits, so softmax is applied twice.
    /// A common slip, kept because the reference exercise was published with it.
    CeOnProbabilities,
}

named!(
    LossKind, "loss",
    LossKind::Mse => "mse", LossKind::Ce => "ce", LossKind::CeOnProbabilities => "ce-on-probabilities",
);

impl LossKind {
    /// The loss of a network that finds every class as likely.
    pub fn of_guessing(self, classes: usize) -> f64 {
        let share = 1.0 / classes.max(1) as f64;
        match self {
            Self::Mse => share * (1.0 - share),
            Self::Ce | Self::CeOnProbabilities => -share.ln(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_among_ten_classes_has_the_loss_of_the_definition() {
        let ten = std::f64::consts::LN_10;
        for (kind, loss) in [(LossKind::Mse, 0.09), (LossKind::Ce, ten), (LossKind::CeOnProbabilities, ten)] {
            assert!((kind.of_guessing(10) - loss).abs() < 1e-6, "{kind}");
        }
    }
}
