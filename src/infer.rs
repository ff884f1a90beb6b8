//! A trained run put to use: measured on its test set, or asked about images.

use std::path::Path;

use burn::tensor::Device;
use burn::tensor::activation::softmax;

use crate::batches::one_image;
use crate::checkpoint;
use crate::dataset::{Dataset, ImageShape};
use crate::error::{Error, Result};
use crate::metrics;
use crate::model::Model;
use crate::picture::{Kind, open_image, to_model_input};
use crate::run_dir::RunDir;
use crate::weights::About;

/// A model with what is needed to use it.
pub struct Trained {
    /// A run's, or a file's.
    pub name: String,
    /// What was trained, for which images.
    pub about: About,
    /// The epoch whose weights these are, if known.
    pub epoch: Option<usize>,
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
    /// Loads a run's checkpoint, `best` or `last`, or a file of weights, onto a device.
    ///
    /// # Errors
    /// Missing or invalid data.
    pub fn open(path: &Path, checkpoint: &str, device: &Device) -> Result<Self> {
        if !path.exists() {
            return Err(Error::usage(format!(
                "there is no {}: expected the folder of a run, or weights",
                path.display()
            )));
        }
        if path.is_file() {
            Self::from_file(path, device)
        } else {
            Self::load(&RunDir::open(path)?, checkpoint, device)
        }
    }

    /// Loads the checkpoint `best` or `last` of a run onto a device.
    ///
    /// # Errors
    /// Missing or invalid data.
    pub fn load(dir: &RunDir, checkpoint: &str, device: &Device) -> Result<Self> {
        let device = device.clone().inner();
        let dataset = dir.dataset()?;
        let saved = checkpoint::load(&dir.checkpoints(), checkpoint)?;
        let about = About::new(&saved.recipe, dataset.shape, &dataset.classes);
        let epoch = Some(saved.progress.history.len());
        let fresh = Model::new(&about.recipe, about.shape, about.classes.len(), &device);
        Ok(Self { name: dir.name(), about, epoch, model: saved.restore_model(fresh)?, device })
    }

    fn from_file(path: &Path, device: &Device) -> Result<Self> {
        let device = device.clone().inner();
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, &e))?;
        let invalid = |e: Error| Error::invalid(path, e);
        let about = About::of(&bytes).map_err(invalid)?;
        let model = about.load(bytes, &device).map_err(invalid)?;
        Ok(Self { name: path.display().to_string(), about, epoch: None, model, device })
    }

    /// Checks that the weights can be measured on these images.
    ///
    /// # Errors
    /// Usage: images of another shape, or more classes.
    pub fn check_data(&self, dataset: &Dataset) -> Result<()> {
        let (expected, found) = (self.about.shape, dataset.shape());
        if expected == found && dataset.classes.len() <= self.about.classes.len() {
            return Ok(());
        }
        let size =
            |s: ImageShape, classes: usize| format!("{}x{}x{} in {classes} classes", s.channels, s.height, s.width);
        let expected = size(expected, self.about.classes.len());
        let found = size(found, dataset.classes.len());
        Err(Error::usage(format!(
            "{} is for images of {expected}, these are {found}: choose another --dataset",
            self.name
        )))
    }

    fn kind(&self) -> Kind {
        if self.about.recipe.dataset.starts_with("mnist") { Kind::Digit } else { Kind::Picture }
    }

    /// The classes of an image by falling probability.
    ///
    /// # Errors
    /// Io or invalid data: the file is no image. Device: the result cannot be read.
    pub fn predict(&self, path: &Path) -> Result<Vec<Guess>> {
        let pixels = to_model_input(&open_image(path)?, self.about.shape, self.kind());
        let input = one_image(&pixels, self.about.shape, &self.device);
        let probabilities = softmax(self.model.forward(input), 1).flatten::<1>(0, 1);
        let probabilities = pollster::block_on(metrics::read(probabilities))?;
        let classes = self.about.classes.iter().cloned();
        let mut guesses: Vec<Guess> =
            classes.zip(probabilities).map(|(class, probability)| Guess { class, probability }).collect();
        guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        Ok(guesses)
    }
}
