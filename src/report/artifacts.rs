//! What a run leaves once it is finished: final weights, charts, confusion matrix.

use std::path::{Path, PathBuf};

use burn::module::Module;

use super::curves::curves;
use super::experiment::Experiment;
use super::page::{self, Detail};
use super::plots;
use super::run::Run;
use crate::compute::DeviceInfo;
use crate::data::{Dataset, DatasetInfo};
use crate::error::Result;
use crate::files::write_atomically;
use crate::recipe::Recipe;
use crate::training::metrics::Evaluation;
use crate::training::{Event, Observer, TrainState};
use crate::weights::{self, Metadata};

/// The file with the final weights.
pub const WEIGHTS: &str = "weights.safetensors";

/// The file with the report of a run.
pub const REPORT: &str = "report.html";

/// Writes the final weights. Essential: a run without weights is worth nothing.
pub struct FinalWeights {
    folder: PathBuf,
    metadata: Metadata,
}

impl FinalWeights {
    /// Writes into the folder of a run; the metadata in the file tell how to use the weights.
    pub fn new(folder: &Path, metadata: Metadata) -> Self {
        Self { folder: folder.into(), metadata }
    }
}

impl Observer for FinalWeights {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        let Event::Finished { state, .. } = event else { return Ok(()) };
        let bytes = weights::to_bytes(&state.model.valid(), &self.metadata.to_json())?;
        write_atomically(&self.folder.join(WEIGHTS), &bytes)
    }

    fn essential(&self) -> bool {
        true
    }
}

/// Draws the three charts and the confusion matrix of a finished run, and writes its report.
pub struct Report<'a> {
    folder: PathBuf,
    name: String,
    recipe: Recipe,
    device: DeviceInfo,
    info: DatasetInfo,
    dataset: &'a Dataset,
}

impl<'a> Report<'a> {
    /// Writes into the folder of the run called `name`.
    pub fn new(
        folder: &Path,
        name: String,
        recipe: &Recipe,
        device: DeviceInfo,
        info: DatasetInfo,
        dataset: &'a Dataset,
    ) -> Self {
        Self { folder: folder.into(), name, recipe: recipe.clone(), device, info, dataset }
    }

    fn page(&self, state: &TrainState, evaluation: &Evaluation, augmented: Option<&Evaluation>) -> Result<String> {
        let metrics = state.progress.history.clone();
        let seconds = metrics.iter().map(|m| m.seconds).sum();
        let parameters = state.model.network().summary().parameters();
        let experiment = Experiment {
            title: self.name.clone(),
            intro: page::run_intro(&self.recipe, &self.device.to_string(), parameters, seconds, metrics.len()),
            runs: vec![Run {
                name: self.name.clone(),
                path: self.folder.clone(),
                recipe: self.recipe.clone(),
                device: self.device.clone(),
                test_images: self.info.test_images,
                metrics,
            }],
            claims: Vec::new(),
        };
        let detail = Detail { recipe: &self.recipe, info: &self.info, dataset: self.dataset, evaluation, augmented };
        page::render(&experiment, Some(&detail))
    }
}

impl Observer for Report<'_> {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        let Event::Finished { state, evaluation, augmented } = event else { return Ok(()) };
        for (stem, chart) in curves(&[(self.name.clone(), &state.progress.history)])? {
            chart.write(&self.folder, stem)?;
        }
        let title = format!("Test images by label and prediction, accuracy {:.2} %", evaluation.accuracy);
        plots::confusion(&title, &self.info.classes, &evaluation.confusion)?.write(&self.folder, "confusion")?;
        write_atomically(&self.folder.join(REPORT), self.page(state, evaluation, *augmented)?.as_bytes())
    }
}
