//! A trained run put to use: measured on its test set, or asked about images.

use std::path::Path;

use burn::tensor::Device;
use burn::tensor::activation::softmax;

use crate::batches::one_image;
use crate::checkpoint;
use crate::dataset::DatasetInfo;
use crate::error::Result;
use crate::metrics;
use crate::model::Model;
use crate::picture::{Kind, open_image, to_model_input};
use crate::recipe::Recipe;
use crate::run_dir::RunDir;

/// A model with what is needed to use it.
pub struct Trained {
    /// What was trained.
    pub recipe: Recipe,
    /// The epoch whose weights these are.
    pub epoch: usize,
    /// Class names and image shape.
    pub dataset: DatasetInfo,
    /// In inference mode.
    pub model: Model,
    device: Device,
}

/// A class and how probable it is.
pub struct Guess {
    /// The class's name.
    pub class: String,
    /// From 0 to 1.
    pub probability: f32,
}

impl Trained {
    /// Loads the checkpoint `best` or `last` of a run onto a device.
    ///
    /// # Errors
    /// Missing or invalid data.
    pub fn load(dir: &RunDir, checkpoint: &str, device: &Device) -> Result<Self> {
        let device = device.clone().inner();
        let dataset = dir.dataset()?;
        let saved = checkpoint::load(&dir.checkpoints(), checkpoint)?;
        let (recipe, epoch) = (saved.recipe.clone(), saved.progress.history.len());
        let fresh = Model::new(&recipe, dataset.shape, dataset.classes.len(), &device);
        Ok(Self { recipe, epoch, dataset, model: saved.restore_model(fresh)?, device })
    }

    fn kind(&self) -> Kind {
        if self.recipe.dataset.starts_with("mnist") { Kind::Digit } else { Kind::Picture }
    }

    /// The classes of an image by falling probability.
    ///
    /// # Errors
    /// Io or invalid data: the file is no image. Device: the result cannot be read.
    pub fn predict(&self, path: &Path) -> Result<Vec<Guess>> {
        let pixels = to_model_input(&open_image(path)?, self.dataset.shape, self.kind());
        let input = one_image(&pixels, self.dataset.shape, &self.device);
        let probabilities = softmax(self.model.forward(input), 1).flatten::<1>(0, 1);
        let probabilities = pollster::block_on(metrics::read(probabilities))?;
        let classes = self.dataset.classes.iter().cloned();
        let mut guesses: Vec<Guess> =
            classes.zip(probabilities).map(|(class, probability)| Guess { class, probability }).collect();
        guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        Ok(guesses)
    }
}
