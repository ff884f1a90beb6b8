//! The training of `tinderbox bench` in candle, written as the same JSON.
//!
//!     cd benches/peers/candle && cargo run --release > candle.json     (features: cuda, metal)
//!     tinderbox bench --compare mine.json candle.json
//!
//! Each number is the median of nine after two rounds of warming up; what is measured is described in src/bench/.

use std::io::Read;
use std::time::Instant;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{AdamW, BatchNorm, Conv2d, Conv2dConfig, Linear, Module, ModuleT, Optimizer, ParamsAdamW, SGD};
use candle_nn::{VarBuilder, VarMap, batch_norm, conv2d_no_bias, linear, loss, ops};
use serde_json::{Value, json};

const REPEATS: usize = 9;
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../data/mnist-sample");

#[derive(Default)]
struct Bench {
    measurements: Vec<Value>,
    warmup: f64,
}

impl Bench {
    fn record(&mut self, name: &str, unit: &str, mut values: Vec<f64>, higher_is_better: bool, note: &str) {
        values.sort_by(f64::total_cmp);
        let (low, median, high) = (values[0], values[values.len() / 2], values[values.len() - 1]);
        eprintln!("  {name} {median:.4} {unit}");
        self.measurements.push(json!({
            "name": name, "unit": unit, "median": median, "low": low, "high": high, "repeats": values.len(),
            "higher_is_better": higher_is_better, "note": note,
        }));
    }

    fn rate(&mut self, name: &str, unit: &str, amount: f64, seconds: &[f64], note: &str) {
        self.record(name, unit, seconds.iter().map(|s| amount / s).collect(), true, note);
    }

    /// Seconds of one call; each repeat is of as many as fill 20 ms.
    fn seconds(&mut self, device: &Device, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
        let mut timed = |rounds: usize| -> Result<f64> {
            let start = Instant::now();
            for _ in 0..rounds {
                work()?;
            }
            device.synchronize()?;
            Ok(start.elapsed().as_secs_f64() / rounds as f64)
        };
        let (first, second) = (timed(1)?, timed(1)?);
        self.warmup += (first - second).max(0.0);
        let rounds = (0.02 / second.max(1e-7)).clamp(1.0, 1000.0) as usize;
        (0..REPEATS).map(|_| timed(rounds)).collect()
    }
}

fn idx(name: &str, offset: usize) -> Vec<u8> {
    let file = std::fs::File::open(format!("{SAMPLE}/{name}.gz")).expect("the sample is in data/mnist-sample");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("the sample is a gzip file");
    bytes.split_off(offset)
}

fn split(prefix: &str, device: &Device) -> Result<(Tensor, Tensor)> {
    let images: Vec<f32> = idx(&format!("{prefix}-images-idx3-ubyte"), 16).iter().map(|&b| f32::from(b) / 255.0).collect();
    let labels: Vec<u32> = idx(&format!("{prefix}-labels-idx1-ubyte"), 8).iter().map(|&b| u32::from(b)).collect();
    let n = labels.len();
    Ok((Tensor::from_vec(images, (n, 784), device)?, Tensor::from_vec(labels, n, device)?))
}

struct LinearV1 {
    layers: [Linear; 3],
    norms: [BatchNorm; 2],
}

impl LinearV1 {
    fn new(vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            layers: [linear(784, 128, vb.pp("fc1"))?, linear(128, 64, vb.pp("fc2"))?, linear(64, 10, vb.pp("fc3"))?],
            norms: [batch_norm(128, 1e-5, vb.pp("bn1"))?, batch_norm(64, 1e-5, vb.pp("bn2"))?],
        })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.norms[0].forward_t(&self.layers[0].forward(x)?, train)?.relu()?;
        let x = self.norms[1].forward_t(&self.layers[1].forward(&x)?, train)?.relu()?;
        self.layers[2].forward(&x)
    }
}

struct Vgg11 {
    stages: Vec<Vec<(Conv2d, BatchNorm)>>,
    head: Linear,
}

impl Vgg11 {
    fn new(vb: VarBuilder<'_>) -> Result<Self> {
        let mut inputs = 3;
        let mut stages = Vec::new();
        for (s, plan) in [&[64][..], &[128], &[256, 256], &[512, 512], &[512, 512]].iter().enumerate() {
            let mut stage = Vec::new();
            for (b, &outputs) in plan.iter().enumerate() {
                let config = Conv2dConfig { padding: 1, ..Default::default() };
                let vb = vb.pp(format!("{s}.{b}"));
                stage.push((conv2d_no_bias(inputs, outputs, 3, config, vb.pp("conv"))?, batch_norm(outputs, 1e-5, vb.pp("norm"))?));
                inputs = outputs;
            }
            stages.push(stage);
        }
        Ok(Self { stages, head: linear(512, 10, vb.pp("head"))? })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = x.clone();
        for stage in &self.stages {
            for (conv, norm) in stage {
                x = norm.forward_t(&conv.forward(&x)?, train)?.relu()?;
            }
            x = x.max_pool2d(2)?;
        }
        self.head.forward(&x.flatten_from(1)?)
    }
}

fn sgd(device: &Device) -> Result<(LinearV1, SGD)> {
    let vars = VarMap::new();
    let model = LinearV1::new(VarBuilder::from_varmap(&vars, DType::F32, device))?;
    Ok((model, SGD::new(vars.all_vars(), 0.1)?))
}

/// A permutation from a linear congruential generator; any costs the same.
fn permutation(n: usize, seed: u64) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut order: Vec<u32> = (0..n as u32).collect();
    for i in (1..n).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, ((state >> 33) % (i as u64 + 1)) as usize);
    }
    order
}

fn epoch(model: &LinearV1, optimizer: &mut SGD, data: &(Tensor, Tensor), batch: usize, seed: u64) -> Result<()> {
    let order = permutation(data.1.dim(0)?, seed);
    for indices in order.chunks(batch) {
        let indices = Tensor::from_slice(indices, indices.len(), data.0.device())?;
        let logits = model.forward(&data.0.index_select(&indices, 0)?, true)?;
        optimizer.backward_step(&loss::cross_entropy(&logits, &data.1.index_select(&indices, 0)?)?)?;
    }
    data.0.device().synchronize()
}

fn accuracy(model: &LinearV1, (images, labels): &(Tensor, Tensor)) -> Result<f32> {
    let hits = model.forward(images, false)?.argmax(D::Minus1)?.eq(labels)?.to_dtype(DType::F32)?;
    hits.mean_all()?.to_scalar::<f32>().map(|share| 100.0 * share)
}

fn infer(bench: &mut Bench, name: &str, shape: &[usize], device: &Device, forward: impl Fn(&Tensor) -> Result<Tensor>) -> Result<()> {
    for batch in [1, 256] {
        let x = Tensor::rand(0f32, 1.0, [&[batch], shape].concat(), device)?;
        let seconds = bench.seconds(device, || forward(&x).map(drop))?;
        if batch == 1 {
            bench.record(&format!("infer_{name}_1"), "ms", seconds.iter().map(|s| 1000.0 * s).collect(), false, "batch 1");
        } else {
            bench.rate(&format!("infer_{name}_256"), "images/s", 256.0, &seconds, "batch 256");
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let device = if cfg!(feature = "cuda") {
        Device::new_cuda(0)?
    } else if cfg!(feature = "metal") {
        Device::new_metal(0)?
    } else {
        Device::Cpu
    };
    let mut bench = Bench::default();
    let big = Tensor::ones(16 << 20, DType::F32, &device)?;
    let seconds = bench.seconds(&device, || (&big * 2.0).map(drop))?;
    bench.rate("memory", "GB/s", 8e-9 * f64::from(16 << 20), &seconds, "64 MB, times 2");
    let matrix = Tensor::ones((2048, 2048), DType::F32, &device)?;
    let seconds = bench.seconds(&device, || matrix.matmul(&matrix).map(drop))?;
    bench.rate("matmul_f32", "GFLOP/s", 2e-9 * 2048f64.powi(3), &seconds, "2048x2048");
    let (x, w) = (Tensor::ones((64, 64, 32, 32), DType::F32, &device)?, Tensor::ones((64, 64, 3, 3), DType::F32, &device)?);
    let seconds = bench.seconds(&device, || x.conv2d(&w, 1, 1, 1, 1).map(drop))?;
    let work = 2e-9 * (64.0 * 32.0 * 32.0) * (64.0 * 64.0 * 9.0);
    bench.rate("conv_f32", "GFLOP/s", work, &seconds, "3x3, 64 to 64 channels, 32x32, batch 64");

    let (train, test) = (split("train", &device)?, split("t10k", &device)?);
    let n = train.1.dim(0)?;
    let (model, mut optimizer) = sgd(&device)?;
    let mut times = Vec::new();
    for seed in 0..=REPEATS as u64 {
        let start = Instant::now();
        epoch(&model, &mut optimizer, &train, 500, seed)?;
        times.push(start.elapsed().as_secs_f64());
    }
    bench.warmup += (times[0] - times[1]).max(0.0);
    bench.rate("train_linear_v1", "images/s", n as f64, &times[1..], "batch 500");
    infer(&mut bench, "linear_v1", &[784], &device, |x| model.forward(x, false))?;

    let mut times = Vec::new();
    for repeat in 0..REPEATS {
        let (model, mut optimizer) = sgd(&device)?;
        let start = Instant::now();
        for seed in 0..40 {
            epoch(&model, &mut optimizer, &train, 100, (40 * repeat) as u64 + seed)?;
            if accuracy(&model, &test)? >= 95.0 {
                times.push(start.elapsed().as_secs_f64());
                break;
            }
        }
    }
    if !times.is_empty() {
        bench.record("time_to_95_percent", "s", times, false, "linear_v1 on 4000 digits, batch 100, not seeded");
    }

    let vars = VarMap::new();
    let model = Vgg11::new(VarBuilder::from_varmap(&vars, DType::F32, &device))?;
    let mut adam = AdamW::new(vars.all_vars(), ParamsAdamW { lr: 0.001, weight_decay: 0.0, ..Default::default() })?;
    let x = Tensor::rand(0f32, 1.0, (128, 3, 32, 32), &device)?;
    let y = Tensor::from_vec((0..128u32).map(|i| i % 10).collect(), 128, &device)?;
    let seconds = bench.seconds(&device, || {
        let log_probabilities = ops::log_softmax(&model.forward(&x, true)?, 1)?;
        adam.backward_step(&loss::nll(&log_probabilities, &y)?)
    })?;
    bench.rate("train_vgg11", "images/s", 128.0, &seconds, "batch 128");
    infer(&mut bench, "vgg11", &[3, 32, 32], &device, |x| model.forward(x, false))?;

    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("CPU", |(_, name)| name);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (kind, api) = match device {
        Device::Cuda(_) => ("discrete", "candle CUDA"),
        Device::Metal(_) => ("integrated", "candle Metal"),
        Device::Cpu => ("cpu", "candle CPU"),
    };
    let name = if kind == "cpu" { format!("{cpu}, {threads} threads") } else { "GPU 0".into() };
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    let date = date.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_string()).unwrap_or_default();
    let report = json!({
        "schema": "tinderbox-bench/1",
        "tool": {"name": "candle", "version": "0.11"},
        "machine": {"os": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH), "cpu": cpu, "threads": threads},
        "date": date,
        "quick": false,
        "rows": [{
            "name": "candle 0.11",
            "device": {
                "name": name, "kind": kind, "api": api, "driver": "candle-core 0.11", "f16": kind != "cpu",
                "subgroup_sizes": null, "max_buffer_bytes": null,
            },
            "warmup_seconds": bench.warmup,
            "tuned": 0,
            "measurements": bench.measurements,
        }],
    });
    println!("{}", serde_json::to_string_pretty(&report).expect("plain data"));
    Ok(())
}
