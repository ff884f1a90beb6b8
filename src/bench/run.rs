//! The measurements of a benchmark, one after the other.

use std::sync::Arc;

use super::measure::{Bench, Effort, Progress};
use super::training;
use crate::compute::Devices;
use crate::compute::shaders::Gpu;
use crate::data::Dataset;
use crate::error::Result;
use crate::training::verify;

/// Measures a device, and returns the seconds that warming up took. `gpu` counts submissions, where it is known. `dataset` is
/// the sample that comes with the program; on CIFAR-10, where that is given, a recipe is trained to its end.
///
/// # Errors
/// Device: it failed, was lost, is out of memory, or computes wrongly.
pub async fn measure(
    devices: &Devices,
    gpu: Option<Gpu>,
    effort: Effort,
    dataset: &Arc<Dataset>,
    cifar10: Option<&Arc<Dataset>>,
    tell: &mut dyn FnMut(Progress<'_>),
) -> Result<f64> {
    let mut bench = Bench::new(devices, gpu, effort, tell);
    bench.begin("the comparison with the CPU");
    verify(devices.main()).await?.refuse(&devices.info().name)?; // fast and wrong is a failure
    bench.transfers().await?;
    bench.memory().await?;
    bench.arithmetic().await?;
    bench.gather(dataset).await?;
    training::measure(&mut bench, dataset).await?;
    if let Some(cifar10) = cifar10 {
        training::time_to_94(&mut bench, cifar10).await?;
    }
    Ok(bench.warmup)
}
