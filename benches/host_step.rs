//! What a training step costs the host on a GPU: milliseconds, dispatches and submissions, on an adapter whose dispatches do
//! nothing. `benches/host_step/run` makes that adapter and runs this; `benches/peers/host_step.py` is PyTorch's beside it.
//!
//!     benches/host_step/run [NETWORK ...]

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tinderbox::compute::{Devices, Request, choose, list};
use tinderbox::data::{Dataset, ImageShape};
use tinderbox::error::{Error, Result};
use tinderbox::recipe::Recipe;
use tinderbox::training::{Event, Observer, Observers, Plan, train};

/// Steps in an epoch.
const STEPS: usize = 100;
/// Epochs; the first half warms up.
const EPOCHS: usize = 10;

fn main() {
    if let Err(e) = measure() {
        eprintln!("host_step: {e}");
        std::process::exit(1);
    }
}

fn measure() -> Result<()> {
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let request = Request::from("vulkan");
    let mut candidates = list(&request);
    let chosen = candidates.swap_remove(choose(&candidates, &request)?);
    let info = chosen.info.clone();
    let device = chosen.open()?;
    for (preset, shape, batch) in [
        ("linear_v1-bn-ce", ImageShape { channels: 1, height: 28, width: 28 }, 500),
        ("cifar10-vgg11", ImageShape { channels: 3, height: 32, width: 32 }, 128),
    ] {
        if !named.is_empty() && !named.iter().any(|name| preset.contains(name.as_str())) {
            continue;
        }
        let recipe = Recipe {
            batch_size: batch,
            epochs: EPOCHS as f64,
            patience: None,
            fraction: 1.0,
            ..Recipe::preset(preset)?
        };
        let data = Arc::new(Dataset::made_up(shape, STEPS * batch, 100));
        let plan = Plan::new(&recipe, &data)?;
        let devices = Devices::one(device.clone(), info.clone());
        let counts = Counts::default();
        let mut observers = Observers::default().with(&counts);
        let state = plan.start(devices.main());
        let trained = pollster::block_on(train(&plan, &devices, state, &AtomicUsize::new(0), &mut observers))?;
        let seconds = trained.progress.history[EPOCHS / 2..].iter().map(|epoch| batch as f64 / epoch.images_per_second);
        let mut milliseconds: Vec<f64> = seconds.map(|seconds| 1e3 * seconds).collect();
        milliseconds.sort_by(f64::total_cmp);
        let [dispatches, submissions] = counts.a_step.get();
        println!(
            "{preset}, batch {batch}: {:.3} ms a step (from {:.3} to {:.3}), {dispatches:.1} dispatches, {submissions:.2} submissions",
            milliseconds[milliseconds.len() / 2],
            milliseconds[0],
            milliseconds[milliseconds.len() - 1]
        );
    }
    Ok(())
}

/// Reads what the driver has counted, from the first step of an epoch to when its losses are there.
#[derive(Default)]
struct Counts {
    before: RefCell<Option<[f64; 2]>>,
    a_step: Cell<[f64; 2]>,
}

impl Counts {
    fn now() -> Result<[f64; 2]> {
        let path = std::env::var("DRIVER_COUNTS").map_err(|_| Error::usage("run benches/host_step/run"))?;
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", path.as_ref(), e))?;
        let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or(f64::NAN));
        Ok([numbers.next().unwrap_or(f64::NAN), numbers.next().unwrap_or(f64::NAN)])
    }
}

impl Observer for &Counts {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Epoch { history, .. } if history.len() >= EPOCHS / 2 => {
                *self.before.borrow_mut() = Some(Counts::now()?)
            }
            Event::Losses { losses, .. } => {
                if let Some(before) = self.before.take() {
                    let now = Counts::now()?;
                    self.a_step.set([0, 1].map(|i| (now[i] - before[i]) / losses.len() as f64));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn essential(&self) -> bool {
        true
    }
}
