//! What is measured: the loss of every step, and loss, accuracy and confusion over the test set.

use std::sync::atomic::AtomicUsize;

use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::batches::DeviceSplit;
use super::control::{StepControl, Uninterrupted};
use crate::compute::peers::{Peers, from_bytes, part, to_bytes};
use crate::compute::shaders::VALUES_PER_IMAGE;
use crate::compute::{LossKind, read};
use crate::data::Label;
use crate::error::{Error, Result};
use crate::network::Model;
use crate::recipe::Views;

/// One line of `metrics.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Mean over the train images, each at the step that saw it.
    pub train_loss: f64,
    /// Mean over the test images, after the epoch.
    pub test_loss: f64,
    /// Share of the test images whose class was recognized, in percent.
    pub test_accuracy: f64,
    /// The learning rate of the epoch's first step.
    pub learning_rate: f64,
    /// Wall time of the epoch, test included.
    pub seconds: f64,
    /// Train images by wall time of the training alone.
    pub images_per_second: f64,
}

impl EpochMetrics {
    /// The position of the best test accuracy; of several, that with the lowest test loss, and then the earliest.
    pub fn best(history: &[Self]) -> Option<usize> {
        let better = |a: &usize, b: &usize| {
            let (a, b) = (&history[*a], &history[*b]);
            a.test_accuracy.total_cmp(&b.test_accuracy).then(b.test_loss.total_cmp(&a.test_loss))
        };
        (0..history.len()).rev().max_by(better)
    }
}

/// A model measured on a split.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The mean loss over the images.
    pub loss: f64,
    /// Share of images whose most probable class is theirs, in percent.
    pub accuracy: f64,
    /// The most probable class of every image, in order.
    pub predictions: Vec<Label>,
    /// The probability of that class, of every image.
    pub confidences: Vec<f32>,
    /// `confusion[label][prediction]` images.
    pub confusion: Vec<Vec<u64>>,
}

/// How a model is measured.
#[derive(Debug, Clone, Copy)]
pub struct Measure<'a> {
    /// The loss that is measured.
    pub loss: LossKind,
    /// As many classes as the confusion matrix has.
    pub classes: usize,
    /// Images that are gone through at a time.
    pub batch_size: usize,
    /// The views of each image.
    pub views: Views,
    /// Other processes that measure a share of the images each, at the same time, and have the same weights.
    pub ranks: Option<&'a Peers>,
}

/// Measures `model` (not on an autodiff device) on all of `split`, in order, with one read-back.
///
/// # Errors
/// Device: the result cannot be read. Interrupted: `stop` holds a signal's number before the last batch.
pub async fn evaluate(
    model: &Model,
    split: &DeviceSplit,
    measure: Measure<'_>,
    stop: &AtomicUsize,
) -> Result<Evaluation> {
    evaluate_with(&mut Uninterrupted::default(), model, split, measure, stop).await
}

/// Measures as [`evaluate`] does, with somebody who has their turn before every batch.
///
/// # Errors
/// As [`evaluate`].
pub async fn evaluate_with(
    control: &mut impl StepControl,
    model: &Model,
    split: &DeviceSplit,
    measure: Measure<'_>,
    stop: &AtomicUsize,
) -> Result<Evaluation> {
    let Measure { loss, classes, batch_size, views, ranks } = measure;
    let mut order = split.in_order();
    // Where there are too few for all ranks, each measures all of them.
    let ranks = ranks.filter(|ranks| split.len() >= ranks.count());
    let share = ranks.map_or(0..split.len(), |ranks| part(split.len(), ranks.rank(), ranks.count()));
    let ranges = share.clone().step_by(batch_size).map(|start| start..(start + batch_size).min(share.end));
    split.make_ready(&mut order, &ranges.clone().collect::<Vec<_>>());
    let own = if let Some(wgsl) = split.shaders() {
        let mut results = Tensor::zeros([share.len(), VALUES_PER_IMAGE], &split.device());
        for range in ranges {
            control.before_measuring(range.start - share.start, share.len()).await;
            Error::if_stopped(stop)?;
            let (start, batch) = (range.start - share.start, split.batch(&order, range));
            let logits = views.logits(model, batch.images);
            results = wgsl.evaluate(results, logits, batch.labels, start, loss);
        }
        Measured::of_images(&read(results.flatten(0, 1)).await?)
    } else {
        let (mut sizes, mut parts) = (Vec::new(), [const { Vec::new() }; VALUES_PER_IMAGE]);
        for range in ranges {
            control.before_measuring(range.start - share.start, share.len()).await;
            Error::if_stopped(stop)?;
            sizes.push(range.len());
            let batch = split.batch(&order, range);
            let values = measured(views.logits(model, batch.images), batch.labels, loss);
            for (part, values) in parts.iter_mut().zip(values) {
                part.push(values);
            }
        }
        Measured::of_batches(&read(Tensor::cat(parts.concat(), 0)).await?, &sizes)
    };
    let Measured { loss, predictions, confidences } = match ranks {
        Some(ranks) => own.with_those_of(ranks)?,
        None => own,
    };

    let mut confusion = vec![vec![0; classes]; classes];
    for (&label, &prediction) in split.labels().iter().zip(&predictions) {
        if let Some(cell) = confusion[usize::from(label)].get_mut(usize::from(prediction)) {
            *cell += 1;
        }
    }
    let correct: u64 = (0..classes).map(|c| confusion[c][c]).sum();
    let accuracy = 100.0 * correct as f64 / split.len() as f64;
    Ok(Evaluation { loss, accuracy, predictions, confidences, confusion })
}

/// The batch size for measuring: that of the training, so that no other shape is compiled and tuned, unless it is tiny.
pub fn evaluation_batch(batch_size: usize) -> usize {
    batch_size.clamp(100, 1000)
}

/// What is measured of a batch: the most probable classes `[n]`, their probabilities `[n]`, the mean loss `[1]`. What
/// [`Wgsl::evaluate`](crate::compute::shaders::Wgsl::evaluate) computes, composed of burn's operations.
fn measured(logits: Tensor<2>, labels: Tensor<1, Int>, loss: LossKind) -> [Tensor<1>; VALUES_PER_IMAGE] {
    let predictions = logits.clone().argmax(1).flatten::<1>(0, 1).float();
    let confidences = softmax(logits.clone(), 1).max_dim(1).flatten::<1>(0, 1);
    [predictions, confidences, loss.compute(logits, labels, 0.0)]
}

/// What came back from the device.
struct Measured {
    loss: f64,
    predictions: Vec<Label>,
    confidences: Vec<f32>,
}

impl Measured {
    /// From a class, a probability and a loss for each image.
    fn of_images(values: &[f32]) -> Self {
        let column = |k: usize| values.iter().skip(k).step_by(VALUES_PER_IMAGE);
        let images = values.len() / VALUES_PER_IMAGE;
        Self {
            loss: column(2).map(|&loss| f64::from(loss)).sum::<f64>() / images as f64,
            predictions: column(0).map(|&class| class as Label).collect(),
            confidences: column(1).copied().collect(),
        }
    }

    /// From the classes of all images, then their probabilities, then the mean losses of batches of these sizes.
    fn of_batches(values: &[f32], sizes: &[usize]) -> Self {
        let (images, losses) = values.split_at(values.len() - sizes.len());
        let (predictions, confidences) = images.split_at(images.len() / 2);
        Self {
            loss: weighted_mean(losses, sizes),
            predictions: predictions.iter().map(|&class| class as Label).collect(),
            confidences: confidences.to_vec(),
        }
    }

    /// What all ranks measured, one share behind the other.
    fn with_those_of(self, ranks: &Peers) -> Result<Self> {
        let predictions: Vec<u8> = self.predictions.iter().flat_map(|class| class.to_le_bytes()).collect();
        let bytes = [&self.loss.to_le_bytes(), &predictions[..], &to_bytes(&self.confidences)].concat();
        let mut all = Self { loss: 0.0, predictions: Vec::new(), confidences: Vec::new() };
        for bytes in ranks.gather(bytes)? {
            let (loss, rest) = bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
            // Two bytes for the class of an image, and four for its probability.
            let (predictions, confidences) = rest.split_at(rest.len() / 3);
            let predictions = predictions.as_chunks().0;
            all.loss += f64::from_le_bytes(*loss) * predictions.len() as f64;
            all.predictions.extend(predictions.iter().map(|bytes| Label::from_le_bytes(*bytes)));
            all.confidences.extend(from_bytes(confidences));
        }
        all.loss /= all.predictions.len() as f64;
        Ok(all)
    }
}

/// Mean over all images of batch means.
pub fn weighted_mean(batch_means: &[f32], sizes: &[usize]) -> f64 {
    let sum: f64 = batch_means.iter().zip(sizes).map(|(&mean, &n)| f64::from(mean) * n as f64).sum();
    sum / sizes.iter().sum::<usize>() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageShape, Split};
    use crate::recipe::Recipe;
    use burn::tensor::Device;

    #[test]
    fn the_last_partial_batch_counts_by_its_size() {
        assert!((weighted_mean(&[1.0, 4.0], &[3, 1]) - 1.75).abs() < 1e-12);
    }

    #[test]
    fn evaluation_does_not_depend_on_the_batch_size() {
        let shape = ImageShape { channels: 1, height: 4, width: 4 };
        let split = Split {
            pixels: (0..23 * 16).map(|i| (i * 89 % 256) as u8).collect(),
            labels: (0..23).map(|i| (i % 3) as Label).collect(),
            shape,
        };
        let recipe = Recipe::preset("linear_v1-bn-ce").unwrap();
        let device = Device::flex();
        let model = recipe.model(shape, 3, &device).unwrap();
        let on_device = DeviceSplit::new(&split, &device);
        let measure = |batch_size| {
            let never = AtomicUsize::new(0);
            let how = Measure { loss: LossKind::Ce, classes: 3, batch_size, views: Views::Plain, ranks: None };
            pollster::block_on(evaluate(&model, &on_device, how, &never)).unwrap()
        };
        let whole = measure(23);
        assert!(whole.confidences.iter().all(|&p| (1.0 / 3.0 - 1e-6..=1.0).contains(&p)), "{:?}", whole.confidences);
        assert_eq!(whole.confusion.iter().flatten().sum::<u64>(), 23);
        let correct = whole.predictions.iter().zip(&split.labels).filter(|(p, l)| p == l).count();
        assert!((whole.accuracy - 100.0 * correct as f64 / 23.0).abs() < 1e-9);
        for batch in [1, 7, 22] {
            let parts = measure(batch);
            assert_eq!(parts.predictions, whole.predictions);
            assert!((parts.loss - whole.loss).abs() < 1e-5);
        }
    }
}
