//! A run from its start to its last file: observers put together, and what a failure means for the run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicUsize;

use super::checkpoint::{self, Saved};
use super::folder::{RunDir, plain};
use super::keep::Checkpoints;
use super::order::{Order, Task, settle};
use super::resume::{check_same_recipe, resume_point};
use super::verified::verify_once;
use crate::compute::{Devices, failure};
use crate::data::{DatasetInfo, Origin};
use crate::error::{Advice, Error, ErrorKind, Result};
use crate::files;
use crate::network::Model;
use crate::network::layers::AnyLayer;
use crate::notice::{Notice, Notices};
use crate::recipe::Recipe;
use crate::report::artifacts::{FinalWeights, REPORT, Report, WEIGHTS};
use crate::report::console::thousands;
use crate::report::csv::Csv;
use crate::report::run::Run;
use crate::report::tensorboard::TensorBoard;
use crate::training::{Observers, Plan, TrainState, train};
use crate::weights::{Metadata, transfer};

/// Everything that is the same for all runs of a command.
pub struct Session<'a> {
    /// Where the runs train.
    pub devices: Devices,
    /// Where their data came from.
    pub origin: Origin,
    /// Epochs between two checkpoints; none for about every ten seconds.
    pub save_every: Option<usize>,
    /// Older checkpoints that stay.
    pub keep: usize,
    /// A signal's number, once one came.
    pub stop: &'a AtomicUsize,
}

/// A run among several.
pub struct Job {
    /// The name of its folder.
    pub name: String,
    /// What is trained.
    pub plan: Plan,
}

impl<'s> Session<'s> {
    /// Verifies the devices, unless that was done before; a checkpoint is saved about every ten seconds, and one older one
    /// stays.
    ///
    /// # Errors
    /// Device: one computes wrongly, or failed.
    pub fn new(mut devices: Devices, origin: Origin, stop: &'s AtomicUsize, notices: Notices<'_>) -> Result<Self> {
        verify_once(&mut devices, notices)?;
        Ok(Self { devices, origin, save_every: None, keep: 1, stop })
    }

    /// What is about to be trained, in two lines.
    pub fn headline(&self, plan: &Plan) -> String {
        let (recipe, data) = (plan.recipe(), plan.data());
        let images = |split: &crate::data::Split| thousands(split.len() as u64);
        format!(
            "{} ({} parameters) on {}\n{} ({}): {} train and {} test images, {} classes",
            recipe.short_name(),
            thousands(plan.network().summary().parameters()),
            self.devices.info(),
            recipe.dataset,
            self.origin,
            images(&data.train),
            images(&data.test),
            data.classes.len()
        )
    }

    /// What a run keeps of its data set.
    pub fn dataset(&self, plan: &Plan) -> DatasetInfo {
        plan.data().info(&self.origin)
    }

    /// Makes sure that the weights that a run is to begin from are there and fit, before it has a folder.
    ///
    /// # Errors
    /// I/O and invalid data: there are none, which is named. Usage: fewer layers fit than are to be frozen.
    pub fn check_beginning(&self, plan: &Plan) -> Result<()> {
        let recipe = plan.recipe();
        let Some(from) = &recipe.from else { return Ok(()) };
        let model = plan.fresh(self.devices.main());
        begin_from(model, Path::new(from), recipe.freeze, &mut crate::notice::silent).map(drop)
    }

    /// Trains, from a checkpoint if there is one, and leaves everything in `dir`. `observers` hear before those that write.
    ///
    /// # Errors
    /// Whatever ends a run; advises how it goes on.
    pub fn train<'a>(
        &self,
        plan: &'a Plan,
        dir: &RunDir,
        saved: Option<Saved>,
        mut observers: Observers<'a>,
        notices: Notices<'_>,
    ) -> Result<TrainState> {
        self.observe(plan, dir, &mut observers);
        let run = || {
            let mut state = plan.start(self.devices.main());
            if let (None, Some(from)) = (&saved, &plan.recipe().from) {
                state = plan.start_from(begin_from(state.model, Path::new(from), plan.recipe().freeze, notices)?);
            }
            if let Some(saved) = saved {
                state = saved.restore(state)?;
                let progress = &state.progress;
                notices(Notice::Resuming { epochs: progress.history.len(), steps: progress.losses.len() });
            }
            if let Some(ranks) = self.devices.ranks() {
                let (recipe, info) = (plan.recipe(), self.dataset(plan));
                let metadata = Metadata::new(recipe, info.shape, &info.classes);
                let task = Task::new(&metadata, &recipe.dataset, self.origin.folder().map(Path::to_path_buf));
                Order::Train(Box::new(task.keeping_at_most(plan.most_resident()))).give(ranks)?;
            }
            pollster::block_on(train(plan, &self.devices, state, self.stop, &mut observers))
        };
        let trained = if self.devices.are_cpu() {
            run()
        } else {
            // A device that is gone is a panic in some of burn's operations.
            catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(failure::panic(panic.as_ref())))
        };
        // What all ranks run into, none has to be told.
        if trained.as_ref().map_or_else(Error::is_of_all_ranks, |_| true) {
            settle();
        }
        trained.map_err(|e| self.advise(e, dir))
    }

    /// Adds those that write into the run's folder.
    fn observe<'a>(&self, plan: &'a Plan, dir: &RunDir, observers: &mut Observers<'a>) {
        let (recipe, data, info) = (plan.recipe(), plan.data(), self.dataset(plan));
        let metadata = Metadata::new(recipe, info.shape, &info.classes);
        let device = self.devices.info().clone();
        observers.push(Box::new(Csv::new(dir.path())));
        observers.push(Box::new(TensorBoard::new(dir.path(), recipe, data)));
        observers.push(Box::new(Checkpoints::new(dir.checkpoints(), metadata.clone(), self.save_every, self.keep)));
        observers.push(Box::new(FinalWeights::new(dir.path(), metadata)));
        observers.push(Box::new(Report::new(dir.path(), dir.name(), recipe, device, info, data)));
    }

    /// How the run goes on after this failure.
    fn advise(&self, e: Error, dir: &RunDir) -> Error {
        let has_saved = dir.checkpoints().join("last").exists();
        let run = dir.path().to_path_buf();
        match e.kind() {
            ErrorKind::Interrupted(_) => e.advise(Advice::Continue { run, lost: false }),
            // Of several devices one is gone; a single one may come back.
            ErrorKind::Device if has_saved && e.advice().is_none() => {
                e.advise(Advice::Continue { run, lost: self.devices.count() > 1 })
            }
            ErrorKind::Training if has_saved => {
                let place = dir.checkpoints();
                e.reword(|message| format!("{message}. The last good checkpoint is in {}", place.display()))
            }
            _ => e,
        }
    }

    /// Trains jobs one after the other, each into `root/experiment/NAME`. What is finished there stays, and what was
    /// interrupted goes on, so that the same command can be given again. A run that diverges is told and left out.
    ///
    /// # Errors
    /// Usage: there is a run of another recipe, or of other data. Whatever else ends a run.
    pub fn train_each(
        &self,
        root: &Path,
        experiment: &str,
        jobs: &[Job],
        observers: &mut dyn FnMut(&Plan) -> Observers<'static>,
        notices: Notices<'_>,
    ) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for Job { name, plan } in jobs {
            let dir = self.open_or_create(root, experiment, name, plan)?;
            let saved = resume_point(&dir, "last", &mut crate::notice::silent)?.saved();
            let finished = is_finished(&dir, saved.as_ref(), plan.recipe())?;
            dir.write_recipe(plan.recipe())?; // its epochs may be more than before
            notices(Notice::RunStarts(self.headline(plan)));
            let result = if finished {
                notices(Notice::AlreadyFinished);
                Ok(())
            } else {
                self.train(plan, &dir, saved, observers(plan), notices).map(drop)
            };
            match result {
                Ok(()) => runs.push(dir.summary()?),
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted(_)) => return Err(e.advise(Advice::Again)),
                // A rate that is too high says something about that run, not about the others.
                Err(e) if e.kind() == ErrorKind::Training => notices(Notice::RunFailed(dir.name(), e)),
                Err(e) => return Err(e),
            }
        }
        Ok(runs)
    }

    /// The folder of a job, which must be of the same recipe and data if it is there.
    fn open_or_create(&self, root: &Path, experiment: &str, name: &str, plan: &Plan) -> Result<RunDir> {
        let (recipe, data) = (plan.recipe(), self.dataset(plan));
        let dir = match RunDir::open(root.join(plain("experiment", experiment)?).join(name)) {
            Ok(dir) => dir,
            Err(_) => RunDir::create(root, experiment, Some(name), recipe, &data, self.devices.info())?,
        };
        dir.check_same_data(&data)?;
        check_same_recipe(&dir, &dir.recipe()?, recipe)?;
        Ok(dir)
    }
}

/// A model with the first layers of a run, as they were in its best epoch, or of a file.
fn begin_from(model: Model, from: &Path, freeze: usize, notices: Notices<'_>) -> Result<Model> {
    let bytes = match from.is_file() {
        true => files::read(from)?,
        false => checkpoint::load(&RunDir::open(from)?.checkpoints(), "best")?.weights().to_vec(),
    };
    let network = model.network().clone();
    let weighted = |layers: usize| {
        let placed = network.placed().take(layers);
        placed.filter(|(layer, input, _)| !layer.parameters(*input).is_empty()).count()
    };
    let (model, layers) = transfer(model, &bytes).map_err(|e| e.in_file(from))?;
    if weighted(freeze) > layers {
        return Err(Error::usage(format!(
            "{}: only its first {layers} layers with weights fit, but {freeze} layers, {} with weights, are to be frozen",
            from.display(),
            weighted(freeze)
        )));
    }
    let of = weighted(usize::MAX);
    notices(Notice::BeganFrom { from: from.into(), layers, of });
    Ok(model)
}

/// Whether all epochs of a run are done and all its files written.
///
/// # Errors
/// Usage: it has more epochs than the plan asks for, or was trained by another recipe.
pub fn is_finished(dir: &RunDir, saved: Option<&Saved>, recipe: &Recipe) -> Result<bool> {
    let old = saved.map_or_else(|| dir.recipe(), |saved| Ok(saved.recipe().clone()))?;
    check_same_recipe(dir, &old, recipe)?;
    let done = saved.map_or(0, |saved| saved.progress.history.len());
    if done > recipe.epochs_begun() {
        let message = format!("{} has {done} epochs already", dir.path().display());
        return Err(Error::usage(message).advise(Advice::MoreEpochs(done)));
    }
    Ok(done == recipe.epochs_begun() && is_complete(dir))
}

/// Whether a finished run has all its last files: a program may have been killed while it wrote them.
fn is_complete(dir: &RunDir) -> bool {
    [WEIGHTS, REPORT].iter().all(|name| dir.file(name).is_file())
}
