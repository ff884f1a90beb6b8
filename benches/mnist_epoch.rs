//! An MNIST epoch of linear_v1 with batch normalization, cross-entropy, SGD 0.1, batch 500, train and test.
//!
//!     TINDERBOX_DATA=DIR cargo bench --bench mnist_epoch [-- DEVICE [EPOCHS]]
//!
//! Beside this program's loop runs a plain one as burn's guide has it, on the same device in the same process, and on
//! Linux the program itself from its start to its end with one epoch. `benches/peers/pytorch_mnist.py` is the same in
//! PyTorch.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use tinderbox::compute::cpu::take_part;
use tinderbox::compute::{Devices, Request, choose, list};
use tinderbox::data::{Dataset, Identity, Split, load};
use tinderbox::error::Result;
use tinderbox::notice::silent;
use tinderbox::recipe::Recipe;
use tinderbox::training::{Event, Observer, Observers, Plan, train};

const BATCH: usize = 500;

fn main() {
    take_part(0);
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let request = Request::from(args.first().map_or("cpu", String::as_str));
    let epochs = args.get(1).map_or(10, |text| text.parse().expect("EPOCHS is a number"));
    let loaded = load(&Identity::Mnist, None, &mut silent).expect("TINDERBOX_DATA names the folder with MNIST");
    let dataset = Arc::new(loaded.dataset);
    let mut candidates = list(&request);
    let chosen = candidates.swap_remove(choose(&candidates, &request).expect("such a device"));
    println!("{epochs} epochs on {}\n", chosen.info);
    let info = chosen.info.clone();
    let devices = Devices::one(chosen.open().expect("the device starts"), info);

    println!("| loop | first epoch | median of the rest | fastest |\n|---|---|---|---|");
    row("plain burn loop", plain(&dataset, devices.main(), epochs));
    row("tinderbox", ours(&dataset, &devices, epochs));
    if cfg!(target_os = "linux") && request == Request::Cpu {
        let (seconds, megabytes) = program();
        println!("\nthe program with one epoch, start to end: {seconds:.2} s, peak memory {megabytes} MB");
    }
}

fn row(name: &str, seconds: Vec<f64>) {
    let mut rest = seconds[1..].to_vec();
    rest.sort_by(f64::total_cmp);
    println!("| {name} | {:.3} s | {:.3} s | {:.3} s |", seconds[0], rest[rest.len() / 2], rest[0]);
}

struct Clock(Arc<std::sync::Mutex<Vec<f64>>>);

impl Observer for Clock {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Epoch { history, .. } = event {
            self.0.lock().unwrap().extend(history.last().map(|m| m.seconds));
        }
        Ok(())
    }
}

fn ours(dataset: &Arc<Dataset>, devices: &Devices, epochs: usize) -> Vec<f64> {
    let recipe = Recipe { epochs: epochs as f64, ..Recipe::preset("linear_v1-bn-ce").unwrap() };
    let seconds = Arc::default();
    let mut observers = Observers::default().with(Clock(Arc::clone(&seconds)));
    let (plan, never) = (Plan::new(&recipe, dataset).unwrap(), AtomicUsize::new(0));
    pollster::block_on(train(&plan, devices, plan.start(devices.main()), &never, &mut observers)).unwrap();
    let seconds = seconds.lock().unwrap();
    seconds.clone()
}

#[derive(Module, Debug)]
struct Plain {
    fc1: Linear,
    bn1: BatchNorm,
    fc2: Linear,
    bn2: BatchNorm,
    fc3: Linear,
}

impl Plain {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = relu(self.bn1.forward(self.fc1.forward(x)));
        let x = relu(self.bn2.forward(self.fc2.forward(x)));
        self.fc3.forward(x)
    }
}

/// Batches put together on the host and uploaded, burn's layers, loss and optimizer; the loss is never read.
fn plain(dataset: &Dataset, device: &Device, epochs: usize) -> Vec<f64> {
    let autodiff = device.clone().autodiff();
    let batch = |split: &Split, indices: &[usize]| {
        let pixels: Vec<f32> =
            indices.iter().flat_map(|&i| split.image(i).unwrap()).map(|&p| f32::from(p) / 255.0).collect();
        let labels: Vec<i32> = indices.iter().map(|&i| i32::from(split.labels[i])).collect();
        let n = indices.len();
        (
            Tensor::<2>::from_data(TensorData::new(pixels, [n, split.shape.len()]), device),
            Tensor::<1, Int>::from_data(TensorData::new(labels, [n]), device),
        )
    };
    let mut model = Plain {
        fc1: LinearConfig::new(784, 128).init(&autodiff),
        bn1: BatchNormConfig::new(128).init(&autodiff),
        fc2: LinearConfig::new(128, 64).init(&autodiff),
        bn2: BatchNormConfig::new(64).init(&autodiff),
        fc3: LinearConfig::new(64, 10).init(&autodiff),
    };
    let mut optimizer = SgdConfig::new().init();
    let loss = CrossEntropyLossConfig::new().init(&autodiff);
    let n = dataset.train.len();
    let epoch = |number: usize| {
        let start = Instant::now();
        // Any permutation costs the same: multiplication by a number prime to n.
        let order: Vec<usize> = (0..n).map(|i| i * 7919 % n).collect();
        for indices in order.chunks(BATCH) {
            let (x, y) = batch(&dataset.train, indices);
            let gradients = loss.forward(model.forward(x), y).backward();
            model = optimizer.step(0.1, model.clone(), GradientsParams::from_grads(gradients, &model));
        }
        let valid = model.valid();
        let mut correct = Tensor::<1, Int>::zeros([1], device);
        for indices in (0..dataset.test.len()).collect::<Vec<_>>().chunks(BATCH) {
            let (x, y) = batch(&dataset.test, indices);
            let hits = valid.forward(x).argmax(1).flatten::<1>(0, 1).equal(y);
            correct = correct + hits.int().sum();
        }
        let correct: i64 = correct.into_data().iter().next().expect("one value");
        assert!(correct > 5000, "epoch {number}: {correct} of 10,000 correct");
        start.elapsed().as_secs_f64()
    };
    (0..epochs).map(epoch).collect()
}

/// Wall time and peak resident memory of the program with one epoch.
fn program() -> (f64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let data = std::env::var("TINDERBOX_DATA").unwrap_or_else(|_| "data/mnist".into());
    let data = Path::new(&data).canonicalize().expect("the folder with MNIST");
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tinderbox"))
        .current_dir(folder.path())
        .args(["train", "--epochs", "1", "--device", "cpu", "--data-dir"])
        .arg(data)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        peak = line.split_whitespace().next().and_then(|kb| kb.parse().ok()).unwrap_or(0u64).max(peak);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    (start.elapsed().as_secs_f64(), peak / 1024)
}
