//! Training and inference measured.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use web_time::Instant;

use super::measure::{Bench, finish};
use crate::compute::Devices;
use crate::data::{Dataset, Identity, ImageShape};
use crate::error::{Error, ErrorKind, Result};
use crate::network::Model;
use crate::recipe::Recipe;
use crate::training::batches::Batch;
use crate::training::{Event, Observer, Observers, Plan, Step, TrainState, train};

/// Test accuracy that the sample is trained to, in percent.
const TARGET: f64 = 95.0;
/// Seconds after which training to an accuracy is not repeated.
const LONG: f64 = 60.0;

/// Training and inference of the sample's networks and of a convolutional one.
pub(super) async fn measure(bench: &mut Bench<'_>, dataset: &Arc<Dataset>) -> Result<()> {
    linear(bench, dataset).await?;
    inference(bench, dataset).await?;
    time_to_accuracy(bench, dataset).await?;
    vgg(bench).await
}

/// Epochs of `linear_v1` with batch normalization on the sample, batch 500.
async fn linear(bench: &mut Bench<'_>, dataset: &Arc<Dataset>) -> Result<()> {
    bench.begin("train_linear_v1");
    let recipe = Recipe { epochs: bench.effort.repeats + 1, ..sample("linear_v1-bn-ce")? };
    let trained = run(&recipe, dataset, &bench.devices).await?;
    let history = &trained.progress.history;
    let seconds = |i: usize| dataset.train.len() as f64 / history[i].images_per_second;
    bench.warmup += (seconds(0) - seconds(1)).max(0.0);
    let rest: Vec<f64> = (1..history.len()).map(seconds).collect();
    bench.rate("train_linear_v1", "images/s", dataset.train.len() as f64, &rest, Some("batch 500".into()));
    Ok(())
}

/// Wall time from the first step until the test accuracy is reached, from one and the same seed.
async fn time_to_accuracy(bench: &mut Bench<'_>, dataset: &Arc<Dataset>) -> Result<()> {
    let name = format!("time_to_{TARGET}_percent");
    bench.begin(&name);
    let recipe = Recipe { batch_size: 100, epochs: 40, ..sample("linear_v1-bn-ce")? };
    let warming = Instant::now();
    run(&Recipe { epochs: 1, ..recipe.clone() }, dataset, &bench.devices).await?;
    let first = warming.elapsed().as_secs_f64();
    let mut times = Vec::new();
    for _ in 0..bench.effort.repeats {
        let (reached, stop) = (Cell::new(None), AtomicUsize::new(0));
        let until = Until { reached: &reached, stop: &stop };
        let plan = Plan::new(&recipe, dataset)?;
        let mut observers = Observers::default().with(until);
        match train(&plan, &bench.devices, plan.start(&bench.device), &stop, &mut observers).await {
            Err(e) if reached.get().is_none() => return Err(e),
            Ok(_) if reached.get().is_none() => {
                let message = format!("{TARGET} % was not reached within {} epochs", recipe.epochs);
                return Err(Error::new(ErrorKind::Training, message));
            }
            _ => times.extend(reached.get().map(|(_, seconds)| seconds)),
        }
        if let (1, Some((epoch, seconds))) = (times.len(), reached.get()) {
            bench.warmup += (first - seconds / epoch).max(0.0);
        }
        if times.iter().sum::<f64>() > LONG {
            break;
        }
    }
    let note = format!("linear_v1 on {} digits, batch {}, seed 0", dataset.train.len(), recipe.batch_size);
    bench.time(&name, "s", times, Some(note));
    Ok(())
}

/// Stops a run that has reached the target, and remembers the epoch and the seconds until then.
struct Until<'a> {
    reached: &'a Cell<Option<(f64, f64)>>,
    stop: &'a AtomicUsize,
}

impl Observer for Until<'_> {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Epoch { history, .. } = event
            && let Some(last) = history.last()
            && last.test_accuracy >= TARGET
            && self.reached.get().is_none()
        {
            self.reached.set(Some((last.epoch as f64, history.iter().map(|m| m.seconds).sum())));
            self.stop.store(usize::MAX, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// How long a network takes to answer.
async fn inference(bench: &mut Bench<'_>, dataset: &Arc<Dataset>) -> Result<()> {
    let model = sample("linear_v1-bn-ce")?.model(dataset.shape(), 10, &bench.device)?;
    infer(bench, "linear_v1", None, &model, dataset.shape()).await
}

async fn infer(
    bench: &mut Bench<'_>,
    name: &str,
    note: Option<String>,
    model: &Model,
    shape: ImageShape,
) -> Result<()> {
    for batch in [1, 256] {
        let name = format!("infer_{name}_{batch}");
        bench.begin(&name);
        let (images, _) = made_up(batch, shape, &bench.device);
        let seconds = bench.seconds(|| model.forward(images.clone()).flatten(0, 1)).await?;
        let note = with_batch(&note, batch);
        if batch == 1 {
            bench.time(&name, "ms", seconds.iter().map(|s| 1000.0 * s).collect(), Some(note));
        } else {
            bench.rate(&name, "images/s", batch as f64, &seconds, Some(note));
        }
    }
    Ok(())
}

/// Steps of `vgg11` with Adam on made-up images; narrow and in small batches on a software adapter, and then under
/// another name.
async fn vgg(bench: &mut Bench<'_>) -> Result<()> {
    let narrow = bench.effort.software;
    let (name, width, batch) = if narrow { ("vgg11_narrow", 0.125, 16) } else { ("vgg11", 1.0, 128) };
    let note = if narrow { Some(format!("width {width}")) } else { None };
    let shape = ImageShape { channels: 3, height: 32, width: 32 };
    let base = Recipe::preset("cifar10-vgg11")?;
    let recipe = Recipe { network: base.network.clone().with(|settings| settings.width = width), ..base };
    let full = format!("train_{name}");
    bench.begin(&full);
    let device = bench.device.clone().autodiff();
    let step = Step::new(recipe.loss, recipe.label_smoothing, recipe.precision);
    let mut optimizer = step.optimizer(recipe.optimizer);
    let mut model = recipe.model(shape, 10, &device)?;
    let (images, labels) = made_up(batch, shape, &bench.device);
    let mut seconds = Vec::new();
    for _ in 0..bench.effort.repeats + 2 {
        let start = Instant::now();
        let made_up = Batch { images: images.clone(), labels: labels.clone() };
        let (next, loss) = step.run(model, &mut optimizer, made_up, recipe.learning_rate);
        model = next;
        finish(loss).await?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let rest = seconds.split_off(2); // the first two compile, tune, and fill caches
    bench.warmup += seconds.iter().map(|s| (s - rest[0]).max(0.0)).sum::<f64>();
    let about = with_batch(&note, batch);
    bench.rate(&full, "images/s", batch as f64, &rest, Some(about));
    infer(bench, name, note, &model.valid(), shape).await
}

/// A note, if there is one, and the batch size.
fn with_batch(note: &Option<String>, batch: usize) -> String {
    note.iter().cloned().chain([format!("batch {batch}")]).collect::<Vec<_>>().join(", ")
}

/// A preset on the sample.
fn sample(preset: &str) -> Result<Recipe> {
    Ok(Recipe { dataset: Identity::MnistSample, ..Recipe::preset(preset)? })
}

async fn run(recipe: &Recipe, dataset: &Arc<Dataset>, devices: &Devices) -> Result<TrainState> {
    let (plan, mut observers) = (Plan::new(recipe, dataset)?, Observers::default());
    train(&plan, devices, plan.start(devices.main()), &AtomicUsize::new(0), &mut observers).await
}

/// Images `[n, channels, h, w]` and labels `[n]` that look like nothing.
fn made_up(n: usize, shape: ImageShape, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let ImageShape { channels, height, width } = shape;
    let pixels: Vec<f32> = (0..n * shape.len()).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
    let labels: Vec<i32> = (0..n as i32).map(|i| i % 10).collect();
    (
        Tensor::from_data(TensorData::new(pixels, [n, channels, height, width]), device),
        Tensor::from_data(TensorData::new(labels, [n]), device),
    )
}
