//! Where a run stands.

use serde::{Deserialize, Serialize};

use super::metrics::EpochMetrics;
use super::optimizer::Optimizer;
use crate::error::Result;
use crate::network::Model;

/// How far a run has come. With the weights and the optimizer's state it is all that a resumed run needs: the
/// order of images, the learning rate, the best epoch and the patience all follow from it and the recipe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The epochs that are done.
    pub history: Vec<EpochMetrics>,
    /// The losses of those steps of the next epoch that are done.
    pub losses: Vec<f32>,
    /// Seconds that the unfinished epoch has taken so far.
    pub seconds: f64,
}

impl Progress {
    /// The position in `history` of the [best](EpochMetrics::best) epoch.
    pub fn best(&self) -> Option<usize> {
        EpochMetrics::best(&self.history)
    }

    /// Epochs since the test loss was last lower than ever before.
    pub(super) fn epochs_without_gain(&self) -> usize {
        let loss = |i: &usize| self.history[*i].test_loss;
        let lowest = (0..self.history.len()).min_by(|a, b| loss(a).total_cmp(&loss(b)));
        lowest.map_or(0, |i| self.history.len() - 1 - i)
    }
}

/// A run in motion.
pub struct TrainState {
    /// The network on an autodiff device; `valid()` gives the weights to keep.
    pub model: Model,
    /// The optimizer with what it remembers of earlier steps.
    pub optimizer: Optimizer,
    /// How far it is.
    pub progress: Progress,
}

impl TrainState {
    /// Restores the optimizer's state, as [`Optimizer::to_bytes`] wrote it for the same network.
    ///
    /// # Errors
    /// Invalid data: the bytes are no burnpack, or hold the state of another rule or network.
    pub fn load_optimizer(&mut self, bytes: Vec<u8>) -> Result<()> {
        let network = self.model.network();
        self.optimizer.load_bytes(bytes, network.trained_values() as usize, network.values() as usize)
    }
}
