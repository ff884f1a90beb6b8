//! Training steps through the ordinary loop: how long they take, what the device is given for each, and how close they come to
//! the most that the device can do.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::measure::{Bench, with_batch};
use crate::compute::is_cpu;
use crate::compute::launches::Launches;
use crate::compute::shaders::Gpu;
use crate::data::{Dataset, ImageShape};
use crate::error::Result;
use crate::network::layers::AnyLayer;
use crate::network::{Layer, Network, Shape};
use crate::recipe::Recipe;
use crate::training::{Event, Observer, Observers, Plan, Uninterrupted, train_with};

/// Epochs before the measured ones: in these everything is compiled and tuned, and a step is recorded.
const WARM_UP: usize = 2;

/// Steps of a network on made-up images.
pub(super) struct Steps<'a> {
    /// What the measurements are called after, such as `vgg11`.
    pub name: &'a str,
    pub recipe: Recipe,
    pub shape: ImageShape,
    /// Steps of an epoch; two epochs are enough for a step to be recorded.
    pub steps: usize,
    /// What is unlike the full size.
    pub note: Option<String>,
}

impl Steps<'_> {
    fn plan(&self, epochs: usize) -> Result<Plan> {
        let recipe = Recipe { epochs: epochs as f64, fraction: 1.0, patience: None, ..self.recipe.clone() };
        Plan::new(&recipe, &Arc::new(Dataset::made_up(self.shape, self.steps * recipe.batch_size, 1)))
    }

    /// Seconds of a step, one value an epoch.
    async fn run(
        &self,
        bench: &Bench<'_>,
        plan: &Plan,
        mut observers: Observers<'_>,
        mut control: Uninterrupted,
    ) -> Result<Vec<f64>> {
        let (state, never) = (plan.start(&bench.device), AtomicUsize::new(0));
        let trained = train_with(&mut control, plan, &bench.devices, state, &never, &mut observers).await?;
        let batch = plan.recipe().batch_size as f64;
        Ok(trained.progress.history.iter().map(|epoch| batch / epoch.images_per_second).collect())
    }

    /// `train_NAME`: images a second, and how close that is to the most that the device can do.
    pub async fn rate(&self, bench: &mut Bench<'_>) -> Result<()> {
        let name = format!("train_{}", self.name);
        bench.begin(&name);
        let (plan, batch) = (self.plan(bench.effort.repeats + WARM_UP)?, self.recipe.batch_size);
        let mut warming = self.run(bench, &plan, Observers::default(), Uninterrupted::default()).await?;
        let seconds = warming.split_off(WARM_UP);
        bench.warmup += warming.iter().map(|s| (s - seconds[0]).max(0.0) * self.steps as f64).sum::<f64>();
        bench.rate(&name, "images/s", batch as f64, &seconds, Some(with_batch(&self.note, batch)));
        let network = plan.network();
        for (part, work, peak, of) in [
            ("compute", network.step_flop(batch), bench.peaks.flops, "of what matmul_f32 reaches"),
            ("memory", least_bytes(network, batch), bench.peaks.bytes, "of what memory reaches; above 100 in a cache"),
        ] {
            if let Some(peak) = peak {
                let name = format!("{part}_share_{}", self.name);
                bench.rate(&name, "%", 100.0 * work / peak, &seconds, Some(of.into()));
            }
        }
        Ok(())
    }

    /// `host_NAME`, `dispatches_NAME` and `submissions_NAME`, of one step: milliseconds, and what the device is given. On the
    /// CPU there is no host beside the device.
    pub async fn host(&self, bench: &mut Bench<'_>) -> Result<()> {
        if is_cpu(&bench.device) {
            return Ok(());
        }
        let name = format!("host_{}", self.name);
        bench.begin(&name);
        let batch = self.recipe.batch_size;
        let (plan, counts) = (self.plan(bench.effort.repeats + WARM_UP)?, Counts::default());
        let replayed = Uninterrupted::default();
        let mut seconds = self.run(bench, &plan, counts.watched(bench), replayed).await?;
        let milliseconds = seconds.split_off(WARM_UP).iter().map(|s| 1e3 * s).collect();
        let computed =
            if bench.effort.software { ", computed by the host as well" } else { ", hardly anything to compute" };
        let note = with_batch(&self.note, batch) + computed;
        bench.time(&name, "ms", milliseconds, Some(note));
        let submissions = counts.submissions.get();
        self.run(bench, &self.plan(WARM_UP)?, counts.watched(bench), Uninterrupted { plain: true }).await?;
        for (part, count) in [("dispatches", Some(counts.launches.get())), ("submissions", submissions)] {
            if let Some(count) = count {
                bench.time(&format!("{part}_{}", self.name), "a step", vec![count], None);
            }
        }
        Ok(())
    }
}

/// Bytes that a step cannot but move, in single precision, where normalization is done on the way. What a layer makes is
/// written and read forward, and read backward; its gradient is written and read. A parameter is read in both directions and
/// by the update, which writes it; its gradient is written and read.
fn least_bytes(network: &Network, batch: usize) -> f64 {
    let kept = |(layer, input, output): (&Layer, Shape, Shape)| {
        let changes = layer.is_activation() || output.len() != input.len();
        let multiplies = layer.multiply_adds(input) > 0 && !layer.normalizes();
        if changes || multiplies { output.len() } else { 0 }
    };
    let made: usize = network.placed().map(kept).sum();
    4.0 * (5.0 * (made * batch) as f64 + 6.0 * network.summary().parameters() as f64)
}

/// What the device was given for a step of the newest epoch.
#[derive(Default)]
struct Counts {
    launches: Cell<f64>,
    submissions: Cell<Option<f64>>,
}

impl Counts {
    /// Somebody who counts in a run.
    fn watched<'a>(&'a self, bench: &'a Bench<'_>) -> Observers<'a> {
        let gpu = bench.gpu.as_ref();
        Observers::default().with(Watch { counts: self, launches: Launches::watch(), gpu, before: None })
    }
}

/// Counts from the end of an epoch to when the losses of the next are read.
struct Watch<'a> {
    counts: &'a Counts,
    launches: Launches,
    gpu: Option<&'a Gpu>,
    before: Option<(usize, Option<u64>)>,
}

impl Watch<'_> {
    fn now(&self) -> (usize, Option<u64>) {
        (self.launches.so_far(), self.gpu.and_then(Gpu::submissions))
    }
}

impl Observer for Watch<'_> {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Epoch { .. } => self.before = Some(self.now()),
            Event::Losses { losses, .. } => {
                if let Some((launches, submissions)) = self.before.take() {
                    let (now, steps) = (self.now(), losses.len() as f64);
                    self.counts.launches.set((now.0 - launches) as f64 / steps);
                    // Asking made one of them.
                    let made = now.1.zip(submissions).map(|(now, before)| (now - before).saturating_sub(1) as f64);
                    self.counts.submissions.set(made.map(|made| made / steps));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
