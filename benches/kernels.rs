//! The kernels of a training step on a GPU: how often each is launched, and how long it takes on the device.
//!
//!     cargo bench --bench kernels -- DEVICE [PRESET [WIDTH]]
//!
//! Steps are handed on operation by operation, as the one that is recorded is. Times are the device's own where it tells them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cubecl::config::{TypeNameFormatLevel, type_name_format};
use cubecl::logging::{Duration, LaunchObservation, LaunchObserver, ProfileDuration, TimingMethod, TimingRequest};
use tinderbox::compute::{Devices, Request, choose, list};
use tinderbox::data::{Dataset, ImageShape};
use tinderbox::error::Result;
use tinderbox::recipe::Recipe;
use tinderbox::training::{Event, Observer, Observers, Plan, Uninterrupted, train_with};

/// Steps of an epoch; the second epoch is what is listed.
const STEPS: usize = 8;

fn main() {
    if let Err(e) = measure() {
        eprintln!("kernels: {e}");
        std::process::exit(1);
    }
}

/// Launches and seconds by the kernel's name.
#[derive(Default)]
struct Kernels {
    listed: AtomicBool,
    steps: AtomicUsize,
    profiles: Mutex<Vec<(&'static str, ProfileDuration)>>,
    found: Mutex<BTreeMap<&'static str, (usize, f64)>>,
}

impl LaunchObserver for Kernels {
    fn launched(&self, kernel: &'static str) {
        if self.listed.load(Ordering::Relaxed) {
            self.found.lock().unwrap().entry(kernel).or_default().0 += 1;
        }
    }

    fn timing(&self) -> TimingRequest {
        TimingRequest::Deferred
    }

    fn profiled(&self, kernel: &'static str, profile: ProfileDuration) {
        if self.listed.load(Ordering::Relaxed) {
            self.profiles.lock().unwrap().push((kernel, profile));
        }
    }

    fn timed(&self, kernel: &'static str, duration: Duration, _: TimingMethod) {
        self.found.lock().unwrap().entry(kernel).or_default().1 += duration.as_secs_f64();
    }
}

/// Lists from the end of the first epoch to when the losses of the second are read.
impl Observer for &Kernels {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Epoch { .. } => self.listed.store(true, Ordering::Relaxed),
            Event::Losses { losses, .. } if self.listed.swap(false, Ordering::Relaxed) => {
                self.steps.store(losses.len(), Ordering::Relaxed); // of a long epoch these are not all
            }
            _ => {}
        }
        Ok(())
    }
}

fn measure() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let request = Request::from(args.first().map_or("gpu", String::as_str));
    let mut candidates = list(&request);
    let chosen = candidates.swap_remove(choose(&candidates, &request)?);
    let info = chosen.info.clone();
    let devices = Devices::one(chosen.open()?, info.clone());

    let base = Recipe::preset(args.get(1).map_or("cifar10-vgg11", String::as_str))?;
    let mut network = base.network.clone();
    if let Some(width) = args.get(2).and_then(|text| text.parse().ok()) {
        network = network.with(|settings| settings.width = width);
    }
    let recipe = Recipe { epochs: 2.0, patience: None, fraction: 1.0, network, ..base };
    let shape = match recipe.dataset.plain_name().starts_with("cifar") {
        true => ImageShape { channels: 3, height: 32, width: 32 },
        false => ImageShape { channels: 1, height: 28, width: 28 },
    };
    let data = Arc::new(Dataset::made_up(shape, STEPS * recipe.batch_size, 1));
    let plan = Plan::new(&recipe, &data)?;

    let kernels = Arc::new(Kernels::default());
    let watching = LaunchObservation::new(kernels.clone());
    let mut observers = Observers::default().with(&*kernels);
    let (state, never) = (plan.start(devices.main()), AtomicUsize::new(0));
    let control = &mut Uninterrupted { plain: true };
    pollster::block_on(train_with(control, &plan, &devices, state, &never, &mut observers))?;
    drop(watching);
    for (kernel, profile) in std::mem::take(&mut *kernels.profiles.lock().unwrap()) {
        if let Some(ticks) = pollster::block_on(profile.resolve()) {
            kernels.found.lock().unwrap().entry(kernel).or_default().1 += ticks.duration().as_secs_f64();
        }
    }

    let found = kernels.found.lock().unwrap();
    let mut rows: Vec<(String, f64, f64)> = found
        .iter()
        .map(|(name, (count, seconds))| {
            let steps = kernels.steps.load(Ordering::Relaxed) as f64;
            (type_name_format(name, TypeNameFormatLevel::Balanced), *count as f64 / steps, 1e3 * seconds / steps)
        })
        .collect();
    rows.sort_by(|a, b| b.2.total_cmp(&a.2));
    let (count, milliseconds) = rows.iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.1, sum.1 + row.2));
    println!("{} on {}, batch {}, one step\n", recipe.short_name(), info, recipe.batch_size);
    println!("| kernel | launches | ms |\n|---|--:|--:|");
    for (name, count, milliseconds) in &rows {
        println!("| {name} | {count:.1} | {milliseconds:.3} |");
    }
    println!("| all | {count:.1} | {milliseconds:.3} |");
    Ok(())
}
