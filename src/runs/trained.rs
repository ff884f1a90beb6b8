//! A trained run put to use: measured on its test set, or asked about images.

use std::path::Path;
use std::sync::atomic::AtomicUsize;

use burn::tensor::Device;
use burn::tensor::activation::softmax;

use super::checkpoint;
use super::folder::RunDir;
use super::order::{Order, Task, settle};
use crate::compute::peers::Peers;
use crate::compute::{Devices, read};
use crate::data::picture::{open_image, to_model_input};
use crate::data::{Dataset, Identity, Loaded};
use crate::error::{Advice, Error, Result};
use crate::files;
use crate::network::Model;
use crate::recipe::Views;
use crate::training::batches::{DeviceSplit, one_image};
use crate::training::metrics::{Evaluation, Measure, evaluate, evaluation_batch};
use crate::weights::{self, Metadata};

/// A model with what is needed to use it.
pub struct Trained {
    /// The name of the run, or of the file.
    pub name: String,
    /// What was trained, for which images.
    pub metadata: Metadata,
    /// The epoch whose weights these are, if known.
    pub epoch: Option<usize>,
    /// The network in inference mode.
    pub model: Model,
    device: Device,
}

/// How weights are measured on a data set.
pub(super) fn measure<'a>(metadata: &Metadata, data: &Dataset, views: Views, ranks: Option<&'a Peers>) -> Measure<'a> {
    let batch_size = evaluation_batch(metadata.recipe.batch_size);
    Measure { loss: metadata.recipe.loss, classes: data.classes.len(), batch_size, views, ranks }
}

/// A class and how probable it is.
pub struct Guess {
    /// The name of the class.
    pub class: String,
    /// The probability, from 0 to 1.
    pub probability: f32,
}

impl Trained {
    /// Loads a run's checkpoint, `best` or `last`, or a file of weights, onto a device.
    ///
    /// # Errors
    /// Missing or invalid data.
    pub fn open(path: &Path, checkpoint: &str, device: &Device) -> Result<Self> {
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
        let saved = checkpoint::load(&dir.checkpoints(), checkpoint)?;
        let (metadata, epoch) = (saved.metadata.clone(), Some(saved.progress.history.len()));
        Ok(Self { name: dir.name(), metadata, epoch, model: saved.model(&device)?, device })
    }

    fn from_file(path: &Path, device: &Device) -> Result<Self> {
        let device = device.clone().inner();
        let bytes = files::read(path)?;
        let invalid = |e: Error| Error::invalid_file(path, &e).caused_by(e);
        let metadata = weights::read_metadata(&bytes).map_err(invalid)?;
        let model = weights::load(&metadata, bytes, &device).map_err(invalid)?;
        Ok(Self { name: path.display().to_string(), metadata, epoch: None, model, device })
    }

    /// Loss, accuracy and confusion on the test images of a data set. Where a job has several ranks, the others take part.
    ///
    /// # Errors
    /// Device: the result cannot be read, or a rank is gone.
    pub fn evaluate(&self, devices: &Devices, dataset: &Identity, loaded: &Loaded, views: Views) -> Result<Evaluation> {
        let Loaded { dataset: data, origin } = loaded;
        if let Some(ranks) = devices.ranks() {
            let task = Task::new(&self.metadata, dataset, origin.folder().map(Path::to_path_buf));
            Order::Evaluate(Box::new(task), views).give(ranks)?;
            ranks.broadcast(weights::to_bytes(&self.model, &self.metadata.to_json())?)?;
        }
        let split = DeviceSplit::placed(&data.test, &self.device, devices.info(), None);
        let how = measure(&self.metadata, data, views, devices.ranks());
        let measured = pollster::block_on(evaluate(&self.model, &split, how, &AtomicUsize::new(0)))?;
        settle();
        Ok(measured)
    }

    /// Checks that the weights can be measured on these images.
    ///
    /// # Errors
    /// Usage: images of another shape, or more classes.
    pub fn check_data(&self, dataset: &Dataset) -> Result<()> {
        let (expected, found) = (self.metadata.shape, dataset.shape());
        if expected == found && dataset.classes.len() <= self.metadata.classes.len() {
            return Ok(());
        }
        let (classes, found_classes) = (self.metadata.classes.len(), dataset.classes.len());
        let message = format!(
            "{} is for images of {expected} in {classes} classes, these are {found} in {found_classes} classes",
            self.name
        );
        Err(Error::usage(message).advise(Advice::OtherDataset))
    }

    /// The classes of an image by falling probability.
    ///
    /// # Errors
    /// Io or invalid data: the file is no image. Device: the result cannot be read.
    pub fn predict(&self, path: &Path) -> Result<Vec<Guess>> {
        let Metadata { shape, preprocessing, .. } = self.metadata;
        let pixels = to_model_input(&open_image(path)?, shape, preprocessing).map_err(|e| e.in_file(path))?;
        let input = one_image(&pixels, self.metadata.shape, &self.device);
        let probabilities = softmax(self.model.forward(input), 1).flatten::<1>(0, 1);
        let probabilities = pollster::block_on(read(probabilities))?;
        let classes = self.metadata.classes.iter().cloned();
        let mut guesses: Vec<Guess> =
            classes.zip(probabilities).map(|(class, probability)| Guess { class, probability }).collect();
        guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        Ok(guesses)
    }
}
