//! A training step at 32x32, batch 128, with the optimizer of a preset.
//!
//!     cargo bench --bench training_step [-- DEVICE [STEPS [cifar10-vgg11|cifar10-resnet9|...]]]
//!
//! Forward, backward and optimizer of this program's model on made-up images; each part ends with a synchronisation.
//! `benches/peers/training_step.py` is the same step of vgg11 and resnet9 in PyTorch.

use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use tinderbox::compute::cpu::take_part;
use tinderbox::compute::{Request, choose, list};
use tinderbox::data::ImageShape;
use tinderbox::network::Noise;
use tinderbox::recipe::Recipe;
use tinderbox::training::Step;
use tinderbox::training::batches::Batch;

const BATCH: usize = 128;
const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

fn main() {
    take_part(0);
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let request = Request::from(args.first().map_or("cpu", String::as_str));
    let steps: usize = args.get(1).map_or(8, |text| text.parse().expect("STEPS is a number"));
    let mut candidates = list(&request);
    let chosen = candidates.swap_remove(choose(&candidates, &request).expect("such a device"));
    let preset = args.get(2).map_or("cifar10-vgg11", String::as_str);
    println!("{preset}, batch {BATCH}, on {}\n", chosen.info);
    let plain = chosen.open().expect("the device starts");
    let device = plain.clone().autodiff();

    let recipe = Recipe::preset(preset).expect("PRESET names one, see `tinderbox models`");
    let mut model = recipe.model(SHAPE, 10, &device).unwrap();
    let step = Step::new(recipe.loss, recipe.label_smoothing, recipe.precision);
    let mut optimizer = step.optimizer(recipe.optimizer);
    let pixels: Vec<f32> = (0..BATCH * SHAPE.len()).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
    let images = Tensor::<4>::from_data(TensorData::new(pixels, [BATCH, 3, 32, 32]), &plain);
    let labels: Vec<i32> = (0..BATCH as i32).map(|i| i % 10).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [BATCH]), &plain);

    let mut parts: [Vec<f64>; 4] = Default::default();
    for _ in 0..steps {
        let start = Instant::now();
        drop(model.forward(images.clone()));
        let forward = finish(&plain, start);
        let start = Instant::now();
        let (_, gradients) =
            step.gradients(&model, Batch { images: images.clone(), labels: labels.clone() }, Noise::none(), 1.0);
        let backward = finish(&plain, start);
        model = optimizer.step(0.001, model, gradients);
        let whole = finish(&plain, start);
        for (part, seconds) in parts.iter_mut().zip([forward, backward - forward, whole - backward, whole]) {
            part.push(seconds);
        }
    }
    let [forward, backward, update, whole] = parts.map(|mut seconds| {
        seconds.drain(..2.min(steps - 1)); // the first steps warm up, and tune
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    });
    println!("| part | median |\n|---|---|");
    for (name, seconds) in [("forward", forward), ("backward", backward), ("optimizer", update), ("step", whole)] {
        println!("| {name} | {:.0} ms |", 1000.0 * seconds);
    }
    println!("\n{:.0} images/s; peak memory {}", BATCH as f64 / whole, peak_memory());
}

/// The most that this process had in memory, where the system tells it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.trim().parse::<u64>().ok());
    kilobytes.map_or("unknown".into(), |kilobytes| format!("{} MB", kilobytes / 1024))
}

fn finish(device: &Device, start: Instant) -> f64 {
    device.sync().expect("the device works");
    start.elapsed().as_secs_f64()
}
