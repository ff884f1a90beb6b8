//! What a run leaves once it is finished: final weights, charts, confusion matrix.

use burn::module::Module;

use super::experiment::{Experiment, Run};
use super::page::{self, Detail};
use super::plots::{self, Chart, Series};
use crate::dataset::{Dataset, DatasetInfo};
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use crate::metrics::{EpochMetrics, Evaluation};
use crate::recipe::Recipe;
use crate::run_dir::RunDir;
use crate::train::{Event, Observer, TrainState};
use crate::weights::{self, About};

/// The file with the final weights.
pub const WEIGHTS: &str = "weights.safetensors";

/// Whether a finished run has all its last files: a program may have been killed while it wrote them.
pub fn is_complete(dir: &RunDir) -> bool {
    [WEIGHTS, "report.html"].iter().all(|name| dir.file(name).is_file())
}

/// Writes the final weights. Essential: a run without weights is worth nothing.
pub struct FinalWeights {
    dir: RunDir,
    about: About,
}

impl FinalWeights {
    /// Into the folder of a run; the header tells how to use them.
    pub fn new(dir: &RunDir, recipe: &Recipe, dataset: &DatasetInfo) -> Self {
        Self { dir: dir.clone(), about: About::new(recipe, dataset.shape, &dataset.classes) }
    }
}

impl Observer for FinalWeights {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        let Event::Finished { state, .. } = event else { return Ok(()) };
        let bytes = weights::to_bytes(&state.model.valid(), &self.about.to_json())
            .map_err(|e| Error::unwritable("the weights", &e))?;
        self.dir.write_atomically(WEIGHTS, &bytes)
    }

    fn essential(&self) -> bool {
        true
    }
}

/// Draws the three charts and the confusion matrix of a finished run, and writes its report.
pub struct Report<'a> {
    dir: RunDir,
    recipe: Recipe,
    device: DeviceInfo,
    info: DatasetInfo,
    dataset: &'a Dataset,
}

impl<'a> Report<'a> {
    /// Into the folder of a run.
    pub fn new(dir: &RunDir, recipe: &Recipe, device: &DeviceInfo, info: DatasetInfo, dataset: &'a Dataset) -> Self {
        Self { dir: dir.clone(), recipe: recipe.clone(), device: device.clone(), info, dataset }
    }

    fn page(&self, state: &TrainState, evaluation: &Evaluation) -> Result<String> {
        let metrics = state.progress.history.clone();
        let seconds = metrics.iter().map(|m| m.seconds).sum();
        let parameters = state.model.summary(self.info.shape).parameters();
        let experiment = Experiment {
            title: self.dir.name(),
            intro: page::run_intro(&self.recipe, &self.device.to_string(), parameters, seconds, metrics.len()),
            runs: vec![Run::new(&self.dir, &self.recipe, &self.device, self.info.test_images, metrics)],
            claims: Vec::new(),
        };
        let detail = Detail { recipe: &self.recipe, info: &self.info, dataset: self.dataset, evaluation };
        page::render(&experiment, Some(&detail))
    }
}

impl Observer for Report<'_> {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        let Event::Finished { state, evaluation, .. } = event else { return Ok(()) };
        for (stem, chart) in curves(&[(self.dir.name(), &state.progress.history)])? {
            write(&self.dir, stem, &chart)?;
        }
        let title = format!("Test images by label and prediction, accuracy {:.2} %", evaluation.accuracy);
        write(&self.dir, "confusion", &plots::confusion(&title, &self.info.classes, &evaluation.confusion)?)?;
        self.dir.write_atomically("report.html", self.page(state, evaluation)?.as_bytes())
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
