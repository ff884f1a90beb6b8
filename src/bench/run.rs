//! The measurements of a benchmark, one after the other.

use std::sync::Arc;

use super::measure::{Bench, Effort, Progress};
use super::training;
use crate::compute::Devices;
use crate::data::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::training::self_test;

/// Measures a device, and returns the seconds that warming up took. `dataset` is the sample that comes with the program.
///
/// # Errors
/// Device: it failed, was lost, or is out of memory. Training: its results are not those of the CPU.
pub async fn measure(
    devices: &Devices,
    effort: Effort,
    dataset: &Arc<Dataset>,
    tell: &mut dyn FnMut(Progress<'_>),
) -> Result<f64> {
    let mut bench = Bench::new(devices, effort, tell);
    bench.begin("the self-test");
    let test = self_test(devices.main()).await?;
    if !test.passed {
        let message = format!("wrong results: the self-test differs from the CPU by {}", test.difference);
        return Err(Error::new(ErrorKind::Training, message));
    }
    bench.transfers().await?;
    bench.memory().await?;
    bench.arithmetic().await?;
    bench.gather(dataset).await?;
    training::measure(&mut bench, dataset).await?;
    Ok(bench.warmup)
}
