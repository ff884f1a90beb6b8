//! Training and inference measured.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Device, Tensor, TensorData};
use web_time::Instant;

use super::measure::{Bench, with_batch};
use super::steps::Steps;
use crate::compute::Devices;
use crate::data::{Dataset, Identity, ImageShape};
use crate::error::{Error, ErrorKind, Result};
use crate::network::Model;
use crate::recipe::Recipe;
use crate::training::{Event, Observer, Observers, Plan, TrainState, train};

/// Test accuracy that the sample is trained to, in percent.
const TARGET: f64 = 95.0;
/// A batch and a width of channels with hardly anything to compute, where what is left is the host's part.
const TINY_BATCH: usize = 4;
const TINY: f64 = 0.0625;

/// Seconds after which training to an accuracy is not repeated.
const LONG: f64 = 60.0;

/// Training and inference of the sample's networks and of a convolutional one.
pub(super) async fn measure(bench: &mut Bench<'_>, dataset: &Arc<Dataset>) -> Result<()> {
    linear(bench, dataset.shape()).await?;
    inference(bench, dataset).await?;
    time_to_accuracy(bench, dataset).await?;
    vgg(bench).await
}

/// Steps of `linear_v1` with batch normalization.
async fn linear(bench: &mut Bench<'_>, shape: ImageShape) -> Result<()> {
    let recipe = Recipe::preset("linear_v1-bn-ce")?;
    let tiny = Recipe { batch_size: TINY_BATCH, ..recipe.clone() };
    Steps { name: "linear_v1", recipe, shape, steps: 8, note: None }.rate(bench).await?;
    Steps { name: "linear_v1", recipe: tiny, shape, steps: 100, note: None }.host(bench).await
}

/// Wall time from the first step until the test accuracy is reached, from one and the same seed.
async fn time_to_accuracy(bench: &mut Bench<'_>, dataset: &Arc<Dataset>) -> Result<()> {
    let name = format!("time_to_{TARGET}_percent");
    bench.begin(&name);
    let recipe = Recipe { batch_size: 100, epochs: 40.0, ..sample("linear_v1-bn-ce")? };
    let warming = Instant::now();
    run(&Recipe { epochs: 1.0, ..recipe.clone() }, dataset, &bench.devices).await?;
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

/// Wall time of the recipe `cifar10-fast`, once, with a test after every epoch: a time to 94 % where that is reached, with test-time
/// augmentation.
pub(super) async fn time_to_94(bench: &mut Bench<'_>, dataset: &Arc<Dataset>) -> Result<()> {
    bench.begin("cifar10-fast");
    let plan = Plan::new(&Recipe::preset("cifar10-fast")?, dataset)?;
    let (last, never) = (Cell::new(None), AtomicUsize::new(0));
    let mut observers = Observers::default().with(Last(&last));
    train(&plan, &bench.devices, plan.start(&bench.device), &never, &mut observers).await?;
    if let Some((seconds, accuracy)) = last.get() {
        let note = format!("cifar10-fast, seed 0: {accuracy:.2} % with test-time augmentation");
        let name = if accuracy >= 94.0 { "time_to_94_percent" } else { "train_cifar10_fast" };
        bench.time(name, "s", vec![seconds], Some(note));
    }
    Ok(())
}

/// Remembers the seconds of training and the accuracy at the end.
struct Last<'a>(&'a Cell<Option<(f64, f64)>>);

impl Observer for Last<'_> {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Finished { state, evaluation, augmented } = event {
            let seconds = state.progress.history.iter().map(|epoch| epoch.seconds).sum();
            self.0.set(Some((seconds, augmented.unwrap_or(evaluation).accuracy)));
        }
        Ok(())
    }
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
        let images = made_up(batch, shape, &bench.device);
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

/// Steps of `vgg11` with Adam; narrow and in small batches on a software adapter, and then under another name.
async fn vgg(bench: &mut Bench<'_>) -> Result<()> {
    let narrow = bench.effort.software;
    let (name, width, batch) = if narrow { ("vgg11_narrow", 0.125, 16) } else { ("vgg11", 1.0, 128) };
    let note = if narrow { Some(format!("width {width}")) } else { None };
    let shape = ImageShape { channels: 3, height: 32, width: 32 };
    let wide = |width: f64, batch_size| -> Result<Recipe> {
        let base = Recipe::preset("cifar10-vgg11")?;
        let network = base.network.clone().with(|settings| settings.width = width);
        Ok(Recipe { network, batch_size, ..base })
    };
    let recipe = wide(width, batch)?;
    Steps { name, recipe: recipe.clone(), shape, steps: 2, note: note.clone() }.rate(bench).await?;
    infer(bench, name, note, &recipe.model(shape, 10, &bench.device)?, shape).await?;
    let tiny = wide(TINY, TINY_BATCH)?;
    Steps { name: "vgg11", recipe: tiny, shape, steps: 20, note: Some(format!("width {TINY}")) }.host(bench).await
}

/// A preset on the sample.
fn sample(preset: &str) -> Result<Recipe> {
    Ok(Recipe { dataset: Identity::MnistSample, ..Recipe::preset(preset)? })
}

async fn run(recipe: &Recipe, dataset: &Arc<Dataset>, devices: &Devices) -> Result<TrainState> {
    let (plan, mut observers) = (Plan::new(recipe, dataset)?, Observers::default());
    train(&plan, devices, plan.start(devices.main()), &AtomicUsize::new(0), &mut observers).await
}

/// Images `[n, channels, h, w]` that look like nothing.
fn made_up(n: usize, shape: ImageShape, device: &Device) -> Tensor<4> {
    let ImageShape { channels, height, width } = shape;
    let pixels: Vec<f32> = (0..n * shape.len()).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
    Tensor::from_data(TensorData::new(pixels, [n, channels, height, width]), device)
}
