//! The three charts of the reference exercise.

use super::plots::{self, Chart, Series};
use crate::error::Result;
use crate::training::metrics::EpochMetrics;

/// The three charts of the reference exercise over any number of runs, each with the stem of its file.
///
/// # Errors
/// Io: the drawing library failed.
pub fn curves(runs: &[(String, &Vec<EpochMetrics>)]) -> Result<[(&'static str, Chart); 3]> {
    let series = |value: fn(&EpochMetrics) -> f64| -> Vec<Series> {
        let points = |metrics: &[EpochMetrics]| metrics.iter().map(|m| (m.epoch as f64, value(m))).collect();
        runs.iter().map(|(name, metrics)| Series { name: name.clone(), points: points(metrics) }).collect()
    };
    Ok([
        ("train_loss", plots::lines("Train loss", "loss", &series(|m| m.train_loss))?),
        ("test_loss", plots::lines("Test loss", "loss", &series(|m| m.test_loss))?),
        ("test_accuracy", plots::lines("Test accuracy", "percent", &series(|m| m.test_accuracy))?),
    ])
}
