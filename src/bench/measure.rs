//! One device measured: memory, arithmetic, shaders, training, inference.

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use web_time::Instant;

use super::schema::Measurement;
use crate::compute::cpu::{self, Prepared};
use crate::compute::shaders::{self, Gpu, Way};
use crate::compute::{AdapterKind, DeviceInfo, Devices, failure, is_cpu, read};
use crate::data::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::network::Precision;
use crate::recipe::Augment;
use crate::training::batches::DeviceSplit;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Smaller sizes.
    pub quick: bool,
    /// How often each measurement is made, at least.
    pub repeats: usize,
    /// Smaller sizes and narrower networks, for a GPU that a CPU imitates.
    pub software: bool,
}

impl Effort {
    /// The effort that suits a device.
    pub fn new(quick: bool, info: &DeviceInfo) -> Self {
        let software = info.kind == AdapterKind::Software;
        Self { quick, repeats: if quick || software { 5 } else { 9 }, software }
    }

    /// `full`, or `small` on a software adapter or in a hurry, with a note where the sizes decide the number.
    fn size(&self, full: usize, small: usize) -> usize {
        if self.software || self.quick { small } else { full }
    }
}

/// A benchmark of one device that is under way.
pub(super) struct Bench<'a> {
    /// The device as training takes it.
    pub devices: Devices,
    /// The device itself.
    pub device: Device,
    /// What it takes to ask it for more than burn does, where it is a GPU.
    pub gpu: Option<Gpu>,
    /// The most that was seen of it.
    pub peaks: Peaks,
    /// How much is measured.
    pub effort: Effort,
    /// Seconds of warming up so far.
    pub warmup: f64,
    tell: &'a mut dyn FnMut(Progress<'_>),
}

/// The most that was seen of a device, a second.
#[derive(Default)]
pub(super) struct Peaks {
    /// Floating point operations in single precision, of a product of matrices.
    pub flops: Option<f64>,
    /// Bytes, read and written.
    pub bytes: Option<f64>,
}

/// How far a benchmark is.
pub enum Progress<'a> {
    /// The next measurement is under way.
    Begin(&'a str),
    /// It is done.
    Done(Measurement),
}

impl<'a> Bench<'a> {
    /// Nothing is measured yet.
    pub fn new(devices: &Devices, gpu: Option<Gpu>, effort: Effort, tell: &'a mut dyn FnMut(Progress<'_>)) -> Self {
        let device = devices.main().clone().inner();
        Self { devices: devices.clone(), device, gpu, peaks: Peaks::default(), effort, warmup: 0.0, tell }
    }

    /// Says what is measured next.
    pub fn begin(&mut self, name: &str) {
        (self.tell)(Progress::Begin(name));
    }

    /// Says what was measured: `amount / seconds` of every repeat, in `unit`.
    pub fn rate(&mut self, name: &str, unit: &str, amount: f64, seconds: &[f64], note: Option<String>) {
        let values = seconds.iter().map(|s| amount / s).collect();
        (self.tell)(Progress::Done(Measurement::new(name, unit, values, true, note)));
    }

    /// Says how long something took.
    pub fn time(&mut self, name: &str, unit: &str, values: Vec<f64>, note: Option<String>) {
        (self.tell)(Progress::Done(Measurement::new(name, unit, values, false, note)));
    }

    /// Seconds of `work`, which starts something on the device and ends with what to wait for; each repeat is of as
    /// many as fill 20 ms. Two rounds before are not measured.
    pub async fn seconds(&mut self, mut work: impl FnMut() -> Tensor<1>) -> Result<Vec<f64>> {
        let start = Instant::now();
        finish(work()).await?;
        let first = start.elapsed().as_secs_f64();
        let once = Instant::now();
        finish(work()).await?;
        let second = once.elapsed().as_secs_f64();
        self.warmup += (first - second).max(0.0);
        let rounds = (0.02 / second.max(1e-7)).clamp(1.0, 1000.0) as usize;
        let mut seconds = Vec::new();
        for _ in 0..self.effort.repeats {
            let start = Instant::now();
            for _ in 1..rounds {
                // Else a fusing backend would see that nobody wants the result, and not compute it.
                let result = work();
                self.device.flush().map_err(|e| failure::device(&e))?;
                drop(result);
            }
            finish(work()).await?;
            seconds.push(start.elapsed().as_secs_f64() / rounds as f64);
        }
        Ok(seconds)
    }

    pub async fn transfers(&mut self) -> Result<()> {
        let n = self.effort.size(16 << 20, 4 << 20);
        let gigabytes = 4e-9 * n as f64;
        let data = TensorData::new(vec![1.0f32; n], [n]);
        let device = self.device.clone();
        if !is_cpu(&device) {
            self.begin("upload");
            let seconds = self.seconds(|| Tensor::<1>::from_data(data.clone(), &device)).await?;
            self.rate("upload", "GB/s", gigabytes, &seconds, Some(format!("{} MB", (4 * n) >> 20)));
            self.begin("download");
            let tensor = Tensor::<1>::from_data(data, &device);
            let mut seconds = Vec::new();
            for _ in 0..=self.effort.repeats {
                let start = Instant::now();
                read(tensor.clone()).await?;
                seconds.push(start.elapsed().as_secs_f64());
            }
            self.rate("download", "GB/s", gigabytes, &seconds[1..], None);
        }
        self.begin("launch");
        let small = Tensor::<1>::ones([1], &device);
        let mut micros = Vec::new();
        for _ in 0..50 {
            let start = Instant::now();
            finish(small.clone() + 1.0).await?;
            micros.push(1e6 * start.elapsed().as_secs_f64());
        }
        self.time("launch", "µs", micros.split_off(10), Some("one small operation, and waiting for it".into()));
        Ok(())
    }

    pub async fn memory(&mut self) -> Result<()> {
        self.begin("memory");
        let n = if self.effort.software { 4 << 20 } else { 16 << 20 }; // 64 MB are in nobody's cache
        let values = Tensor::<1>::ones([n], &self.device);
        let seconds = self.seconds(|| values.clone() * 2.0).await?;
        // Read once, written once.
        let bytes = 8.0 * n as f64;
        self.peaks.bytes = seconds.iter().map(|s| bytes / s).reduce(f64::max);
        self.rate("memory", "GB/s", 1e-9 * bytes, &seconds, Some(format!("{} MB, times 2", (4 * n) >> 20)));
        Ok(())
    }

    pub async fn arithmetic(&mut self) -> Result<()> {
        let half = Precision::F16.on(&self.device) == Precision::F16;
        let n = self.effort.size(2048, 512);
        let (images, channels, side) = (self.effort.size(64, 16), 64, 32);
        for (dtype, suffix) in [(FloatDType::F32, "f32"), (FloatDType::F16, "f16")] {
            if dtype == FloatDType::F16 && !half {
                continue;
            }
            let name = format!("matmul_{suffix}");
            self.begin(&name);
            let matrix = Tensor::<2>::ones([n, n], &self.device).cast(dtype);
            let product = || matrix.clone().matmul(matrix.clone()).flatten::<1>(0, 1);
            let seconds = self.seconds(product).await?;
            check_ones(&name, product().narrow(0, n * n / 2, 1), n).await?;
            let flop = 2.0 * (n as f64).powi(3);
            if dtype == FloatDType::F32 {
                self.peaks.flops = seconds.iter().map(|s| flop / s).reduce(f64::max);
            }
            self.rate(&name, "GFLOP/s", 1e-9 * flop, &seconds, Some(format!("{n}x{n}")));

            let name = format!("conv_{suffix}");
            self.begin(&name);
            // As the layer does, and with images as layers leave them: on the CPU their channels are last in memory.
            let on_cpu = is_cpu(&self.device);
            let shape = if on_cpu { [images, side, side, channels] } else { [images, channels, side, side] };
            let x = Tensor::<4>::ones(shape, &self.device).cast(dtype);
            let x = if on_cpu { x.permute([0, 3, 1, 2]) } else { x };
            let prepared = Prepared::default();
            let w = Tensor::<4>::ones([channels, channels, 3, 3], &self.device).cast(dtype);
            let options = || ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
            let maps = || {
                let on_gpu = || shaders::convolve(&x, &w, 1, Way::Fastest);
                let ours = cpu::convolve(&x, &w, None, (1, 1), false, &prepared).or_else(on_gpu);
                let maps = ours.unwrap_or_else(|| conv2d(x.clone(), w.clone(), None, options()));
                if on_cpu { maps.permute([0, 2, 3, 1]) } else { maps }.flatten::<1>(0, 3)
            };
            let seconds = self.seconds(maps).await?;
            let middle = (side * side / 2 + side / 2) * if on_cpu { channels } else { 1 };
            check_ones(&name, maps().narrow(0, middle, 1), 9 * channels).await?;
            let work = 2e-9 * (images * side * side * channels * channels * 9) as f64;
            let note = format!("3x3, {channels} to {channels} channels, {side}x{side}, batch {images}");
            self.rate(&name, "GFLOP/s", work, &seconds, Some(note));
        }
        Ok(())
    }

    pub async fn gather(&mut self, dataset: &Dataset) -> Result<()> {
        let batch = dataset.train.len().min(500);
        let split = DeviceSplit::new(&dataset.train, &self.device);
        let order = split.shuffled(0, 0, Augment::OFF);
        self.begin("gather");
        let shaders = split.shaders().is_some();
        let note = if shaders { "gather_batch.wgsl" } else { "no shader" };
        let seconds = self.seconds(|| split.batch(&order, 0..batch).images.flatten(0, 3)).await?;
        self.rate("gather", "images/s", batch as f64, &seconds, Some(note.into()));
        if shaders {
            self.begin("gather_by_burn");
            let split = split.without_shaders();
            let seconds = self.seconds(|| split.batch(&order, 0..batch).images.flatten(0, 3)).await?;
            let note = Some("the same of burn's operations".into());
            self.rate("gather_by_burn", "images/s", batch as f64, &seconds, note);
        }
        Ok(())
    }
}

/// Checks a sum over ones: a kernel that was not run is fast.
async fn check_ones(name: &str, sum: Tensor<1>, expected: usize) -> Result<()> {
    match read(sum).await?.first() {
        Some(&found) if (found - expected as f32).abs() < 0.5 => Ok(()),
        found => {
            let message = format!("wrong results: {name} of ones gives {found:?}, expected {expected}");
            Err(Error::new(ErrorKind::Training, message))
        }
    }
}

/// Waits until the device has computed a tensor and everything before it.
///
/// # Errors
/// Device: it failed.
async fn finish(result: Tensor<1>) -> Result<()> {
    let device = result.device();
    if cfg!(target_family = "wasm") {
        return read(result.narrow(0, 0, 1)).await.map(drop); // a browser cannot wait without reading
    }
    device.sync().map_err(|e| failure::device(&e))
}

/// A note, if there is one, and the batch size.
pub(super) fn with_batch(note: &Option<String>, batch: usize) -> String {
    note.iter().cloned().chain([format!("batch {batch}")]).collect::<Vec<_>>().join(", ")
}
