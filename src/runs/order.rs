//! What the first rank of a job asks of the others. It runs the command; so no other rank reads the arguments, makes folders or
//! writes files. A command that asks nothing of them is the first rank's alone.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::compute::peers::Peers;
use crate::data::Identity;
use crate::error::{Error, Result};
use crate::recipe::Views;
use crate::weights::Metadata;

/// Whether the others are still at what they were asked for, as far as the first rank knows.
static PENDING: AtomicBool = AtomicBool::new(false);

/// Notes on the first rank that all have done what was asked, or have given it up together.
pub fn settle() {
    PENDING.store(false, Ordering::Relaxed);
}

/// Whether the other ranks wait for this one in the middle of something.
pub fn is_pending() -> bool {
    PENDING.load(Ordering::Relaxed)
}

/// What the first rank asks of the others.
#[derive(Serialize, Deserialize)]
pub enum Order {
    /// Open the device that this list names for the rank; without a list the best one.
    Open(Option<String>),
    /// Train.
    Train(Box<Task>),
    /// Measure weights, which follow.
    Evaluate(Box<Task>, Views),
    /// End, as the first rank does.
    End,
}

/// What is trained or measured, on which data.
#[derive(Serialize, Deserialize)]
pub struct Task {
    /// What was, or is to be trained.
    pub(super) metadata: Metadata,
    /// The data set, which may be another one than that of the training.
    pub(super) dataset: Identity,
    /// Where its files are, if that has to be said.
    pub(super) folder: Option<PathBuf>,
    /// Images of so many bytes stay on a device, where somebody said so.
    pub(super) resident: Option<u64>,
}

impl Task {
    /// What is trained or measured, on a data set whose files are in a folder.
    pub fn new(metadata: &Metadata, dataset: &Identity, folder: Option<PathBuf>) -> Self {
        Self { metadata: metadata.clone(), dataset: dataset.clone(), folder, resident: None }
    }

    /// Keeps images of so many bytes at most on a device.
    #[must_use]
    pub fn keeping_at_most(self, resident: Option<u64>) -> Self {
        Self { resident, ..self }
    }
}

impl Order {
    /// Gives the order to all other ranks.
    ///
    /// # Errors
    /// Device: a rank is gone.
    pub fn give(&self, ranks: &Peers) -> Result<()> {
        PENDING.store(!matches!(self, Self::End), Ordering::Relaxed);
        let bytes = serde_json::to_vec(self).unwrap_or_default(); // plain data, which JSON always holds
        ranks.broadcast(bytes).map(drop)
    }

    pub(super) fn receive(ranks: &Peers) -> Result<Self> {
        serde_json::from_slice(&ranks.broadcast(Vec::new())?)
            .map_err(|e| Error::invalid(format!("the first rank is another version of this program: {e}")))
    }
}
