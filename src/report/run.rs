//! A run among those that a report is about.

use std::path::PathBuf;

use crate::compute::DeviceInfo;
use crate::recipe::Recipe;
use crate::training::metrics::EpochMetrics;

/// A run, as its folder tells it.
#[derive(serde::Serialize)]
pub struct Run {
    /// The folder's name, with as many of those above it as tell it apart.
    pub name: String,
    /// The path of the folder.
    #[serde(skip)]
    pub path: PathBuf,
    /// The recipe that was trained.
    pub recipe: Recipe,
    /// The device that it was trained on.
    pub device: DeviceInfo,
    /// Images that the test accuracy is measured on.
    pub test_images: usize,
    /// The metrics of every epoch; at least one.
    pub metrics: Vec<EpochMetrics>,
}

impl Run {
    /// The epoch with the best test accuracy.
    pub fn best(&self) -> Option<&EpochMetrics> {
        EpochMetrics::best(&self.metrics).map(|i| &self.metrics[i])
    }

    /// The time of all epochs.
    pub fn seconds(&self) -> f64 {
        self.metrics.iter().map(|m| m.seconds).sum()
    }
}
