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
