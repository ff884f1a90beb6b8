//! A run from its start to its last file: observers put together, signals heard, a window beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use burn::tensor::Device;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::checkpoint::{self, Checkpoints, Saved};
use crate::dataset::Loaded;
use crate::device::{DeviceInfo, is_cpu};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::live::{self, Feed};
use crate::model::Model;
use crate::recipe::{Recipe, quote};
use crate::report::artifacts::{FinalWeights, Report, is_complete};
use crate::report::console::{Console, thousands};
use crate::report::csv::Csv;
use crate::report::experiment::Run;
use crate::report::tensorboard::TensorBoard;
use crate::run_dir::{RunDir, plain};
use crate::train::{self, Observers, TrainState};

/// Everything a run needs that is the same whether it is fresh or resumed.
pub struct Session {
    /// What to train.
    pub recipe: Recipe,
    /// On which images; the train split is already cut to the recipe's fraction.
    pub loaded: Loaded,
    /// Where; the first is the main one.
    pub devices: Vec<Device>,
    /// What they are.
    pub info: DeviceInfo,
    /// The `--device` that was given.
    pub device_arg: Option<String>,
    /// Epochs between two checkpoints.
    pub save_every: Option<usize>,
    /// Older checkpoints that stay.
    pub keep: usize,
}

impl Session {
    /// Says in a few lines what is about to happen.
    pub fn announce(&self) {
        let (recipe, data) = (&self.recipe, &self.loaded.dataset);
        let model = Model::new(recipe, data.shape(), data.classes.len(), &Device::flex());
        let parameters = model.summary(data.shape()).parameters();
        crate::say!("{} ({} parameters) on {}", recipe.short_name(), thousands(parameters), self.info);
        crate::say!(
            "{} ({}): {} train and {} test images, {} classes",
            recipe.dataset,
            self.loaded.origin,
            thousands(data.train.len() as u64),
            thousands(data.test.len() as u64),
            data.classes.len()
        );
    }

    /// Trains, from a checkpoint if there is one, and leaves everything in `dir`.
    pub fn train(&self, dir: &RunDir, saved: Option<Saved>, stop: &Stop, window: Option<Feed>) -> Result<TrainState> {
        let (recipe, data) = (&self.recipe, &self.loaded.dataset);
        let info = data.info(&self.loaded.origin);
        let weights = FinalWeights::new(dir, recipe, &info);
        let mut observers = Observers(vec![
            Box::new(Console::new(recipe)),
            Box::new(Csv::new(dir)),
            Box::new(TensorBoard::new(dir, recipe, data)),
            Box::new(Checkpoints::new(dir.checkpoints(), recipe.clone(), self.save_every, self.keep)),
            Box::new(weights),
            Box::new(Report::new(dir, recipe, &self.info, info.clone(), data)),
        ]);
        if let Some(feed) = window {
            observers.0.push(Box::new(feed));
        }
        let run = || {
            let mut state = train::start(recipe, data, &self.devices[0]);
            if let Some(saved) = saved {
                state = saved.restore(state)?;
                let progress = &state.progress;
                crate::say!("resuming after epoch {}, step {}", progress.history.len(), progress.losses.len());
            }
            pollster::block_on(train::train(recipe, data, &self.devices, state, &stop.signal, &mut observers))
        };
        let trained = if self.devices.iter().all(is_cpu) {
            run()
        } else {
            // A device that is gone is a panic in some of burn's operations.
            catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(Error::of_panic(panic.as_ref())))
        };
        let device = self.device_arg.as_ref().map(|name| format!(" --device {}", quote(name))).unwrap_or_default();
        let run = quote(&dir.path().to_string_lossy());
        trained.map_err(|e| match e.kind() {
            ErrorKind::Interrupted(_) => {
                Error::new(e.kind(), format!("{e}; continue with: tinderbox train --resume {run}{device}"))
            }
            ErrorKind::Device if dir.checkpoints().join("last").exists() => {
                // Of several, one is gone; of one, it may come back.
                let several = self.devices.len() > 1;
                let device = if several { " --device DEVICE, one that is left".into() } else { device };
                Error::new(
                    e.kind(),
                    format!("{e}. What was saved goes on with: tinderbox train --resume {run}{device}"),
                )
            }
            ErrorKind::Training if dir.checkpoints().join("last").exists() => {
                Error::new(e.kind(), format!("{e}. The last good checkpoint is in {}", dir.checkpoints().display()))
            }
            _ => e,
        })
    }

    /// Trains recipes on the same data one after the other, each into `root/experiment/NAME`. What is finished there stays,
    /// and what was interrupted goes on, so that the same command can be given again.
    ///
    /// A run that diverges is told and left out.
    ///
    /// # Errors
    /// Usage: there is a run of another recipe, or of other data. Whatever else ends a run.
    pub fn train_each(
        &mut self,
        root: &Path,
        experiment: &str,
        recipes: Vec<(String, Recipe)>,
        stop: &Stop,
    ) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for (name, recipe) in recipes {
            let path = root.join(plain("name", experiment)?).join(&name);
            let dir = match RunDir::open(&path) {
                Ok(dir) => dir,
                Err(_) => {
                    let data = self.loaded.dataset.info(&self.loaded.origin);
                    RunDir::create(root, experiment, Some(&name), &recipe, &data, &self.info)?
                }
            };
            dir.check_same_data(&self.loaded.dataset.info(&self.loaded.origin))?;
            let difference = dir.recipe()?.difference(&recipe);
            if !difference.is_empty() {
                let message = format!(
                    "{} holds a run of another recipe:\n  {}\nChoose another --name",
                    path.display(),
                    difference.join("\n  ")
                );
                return Err(Error::usage(message));
            }
            let saved = match checkpoint::load(&dir.checkpoints(), "last") {
                Ok(saved) => Some(saved),
                Err(e) if e.kind() == ErrorKind::MissingData => None,
                Err(e) => return Err(e),
            };
            let finished = is_finished(&dir, saved.as_ref(), &recipe)?;
            dir.write_recipe(&recipe)?; // its epochs may be more than before
            self.recipe = recipe;
            self.announce();
            let result = if finished {
                crate::say!("already finished");
                Ok(())
            } else {
                self.train(&dir, saved, stop, None).map(drop)
            };
            match result {
                Ok(()) => runs.push(Run::read(&dir)?),
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted(_)) => {
                    return Err(Error::new(e.kind(), "stopped by a signal; give the same command again to go on"));
                }
                // A rate that is too high says something about that run, not about the others.
                Err(e) if e.kind() == ErrorKind::Training => eprintln!("error: {}: {e}", dir.name()),
                Err(e) => return Err(e),
            }
            crate::say!("");
        }
        Ok(runs)
    }

    /// The same as [`train`](Self::train), shown in a window. It trains on a thread of its own, since a window wants the main one.
    pub fn train_in_window(
        &self,
        dir: &RunDir,
        saved: Option<Saved>,
        stop: &Stop,
        gpu: Option<Gpu>,
    ) -> Result<TrainState> {
        let feed = Feed::new(gpu);
        std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                let mut end = End { feed: &feed, well: false }; // told even if the run panics
                let result = self.train(dir, saved, stop, Some(feed.clone()));
                end.well = result.is_ok();
                result
            });
            if let Err(e) = live::show(&feed, &self.loaded.dataset) {
                eprintln!("warning: {e}. Training goes on without it");
            }
            run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// Whether all epochs of a run are done and all its files written.
///
/// # Errors
/// Usage: it has more epochs than the recipe asks for.
pub fn is_finished(dir: &RunDir, saved: Option<&Saved>, recipe: &Recipe) -> Result<bool> {
    let done = saved.map_or(0, |saved| saved.progress.history.len());
    if done > recipe.epochs {
        let name = dir.path().display();
        return Err(Error::usage(format!("{name} has {done} epochs already: --epochs must be at least {done}")));
    }
    Ok(done == recipe.epochs && is_complete(dir))
}

/// Tells the window of the run's end, whatever ends it.
struct End<'a> {
    feed: &'a Feed,
    well: bool,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.feed.finish(self.well);
    }
}

/// The first SIGINT or SIGTERM asks the run to finish its step and save; a second one ends the program at once.
pub struct Stop {
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Installs the handlers.
    ///
    /// # Errors
    /// Io: the system refuses.
    pub fn install() -> Result<Self> {
        let (signal, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for number in [SIGINT, SIGTERM] {
            // In this order: the shutdown looks at what earlier signals have set.
            signal_hook::flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&seen))
                .and_then(|_| signal_hook::flag::register(number, Arc::clone(&seen)))
                .and_then(|_| signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize))
                .map_err(|e| Error::new(ErrorKind::Io, format!("signals cannot be handled: {e}")))?;
        }
        Ok(Self { signal })
    }
}
