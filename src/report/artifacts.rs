//! What a run leaves once it is finished: final weights, charts, confusion matrix.

use burn::module::Module;

use super::plots::{self, Chart, Series};
use crate::dataset::DatasetInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::EpochMetrics;
use crate::recipe::Recipe;
use crate::run_dir::RunDir;
use crate::train::{Event, Observer};
use crate::weights;

/// The file with the final weights.
pub const WEIGHTS: &str = "weights.safetensors";

/// Writes the final weights. Essential: a run without weights is worth nothing.
pub struct FinalWeights {
    dir: RunDir,
    metadata: String,
}

impl FinalWeights {
    /// Into the folder of a run; the header tells how to use them.
    ///
    /// # Errors
    /// Invalid data: the description is no JSON.
    pub fn new(dir: &RunDir, recipe: &Recipe, dataset: &DatasetInfo) -> Result<Self> {
        let about = serde_json::json!({
            "recipe": recipe,
            "shape": dataset.shape,
            "classes": dataset.classes,
            "pixel_scale": 1.0 / 255.0,
        });
        Ok(Self { dir: dir.clone(), metadata: about.to_string() })
    }
}

impl Observer for FinalWeights {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        let Event::Finished { state, .. } = event else { return Ok(()) };
        let bytes = weights::to_bytes(&state.model.valid(), &self.metadata)
            .map_err(|e| Error::new(ErrorKind::InvalidData, format!("the weights cannot be written: {e}")))?;
        self.dir.write_atomically(WEIGHTS, &bytes)
    }

    fn essential(&self) -> bool {
        true
    }
}

/// Draws the three charts and the confusion matrix of a finished run.
pub struct Charts {
    dir: RunDir,
    classes: Vec<String>,
}

impl Charts {
    /// Into the folder of a run.
    pub fn new(dir: &RunDir, classes: &[String]) -> Self {
        Self { dir: dir.clone(), classes: classes.to_vec() }
    }
}

impl Observer for Charts {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        let Event::Finished { state, evaluation, .. } = event else { return Ok(()) };
        for (stem, chart) in curves(&[(self.dir.name(), &state.progress.history)])? {
            write(&self.dir, stem, &chart)?;
        }
        if let Some(evaluation) = evaluation {
            let title = format!("Test images by label and prediction, accuracy {:.2} %", evaluation.accuracy);
            write(&self.dir, "confusion", &plots::confusion(&title, &self.classes, &evaluation.confusion)?)?;
        }
        Ok(())
    }
}

fn write(dir: &RunDir, stem: &str, chart: &Chart) -> Result<()> {
    dir.write_atomically(&format!("{stem}.svg"), chart.svg.as_bytes())?;
    dir.write_atomically(&format!("{stem}.png"), &chart.png)
}

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
