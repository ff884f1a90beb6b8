//! `tinderbox train`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::args::{Checkpoint, DataArgs, DeviceArgs};
use super::recipe_args::RecipeArgs;
use super::terminal::{self, say};
use super::{signals, words};
use crate::compute::cpu;
use crate::compute::shaders::Gpu;
use crate::data::{Dataset, Loaded, load_sized};
use crate::error::{Error, ErrorKind, Result};
use crate::recipe::{DEFAULT_PRESET, PRESETS, Recipe, file};
use crate::report::console::{duration, epochs};
use crate::runs::{Job, RunDir, Saved, Session, is_finished, older_count, resume_point, sweep};
use crate::training::{Plan, TrainState};
use crate::window::live::{self, Feed};

/// A train loss so many times that of guessing is no slow start.
const DIVERGED: f64 = 3.0;

/// Train a network and keep the run: recipe, curves, charts, checkpoints and weights.
#[derive(Args, Default)]
#[command(after_help = after_help())]
pub struct TrainArgs {
    /// A named recipe to start from, see below, or a file that `tinderbox init` wrote
    #[arg(value_name = "PRESET|FILE")]
    preset: Option<String>,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten, next_help_heading = "Data")]
    data: Option<DataArgs>,
    #[command(flatten, next_help_heading = "Device")]
    device: Option<DeviceArgs>,
    /// The run's name [default: from the recipe]
    #[arg(long, help_heading = "Run")]
    name: Option<String>,
    /// Folder for all runs
    #[arg(long, value_name = "DIR", default_value = "runs", help_heading = "Run")]
    out: Option<PathBuf>,
    /// Save a checkpoint every so many epochs [default: about every ten seconds, within a long epoch too]
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Run")]
    save_every: Option<u64>,
    /// How many older checkpoints stay beside last and best [default: 1]
    #[arg(long, value_name = "N", help_heading = "Run")]
    keep: Option<u32>,
    /// Continue the run in this folder, with the same numbers as if it had never stopped
    #[arg(long, value_name = "RUN", conflicts_with_all = ["preset", "name"], help_heading = "Run")]
    resume: Option<PathBuf>,
    /// With --resume: from which checkpoint, best, last or epoch-N [default: last]
    #[arg(long, requires = "resume", value_name = "NAME", help_heading = "Run")]
    checkpoint: Option<Checkpoint>,
    /// Keep the images on the device where they take this many MB at most, else stream them to it [default: the device's largest
    /// buffer, and 1,074 MB on the CPU]
    #[arg(long, value_name = "MB", help_heading = "Device")]
    resident: Option<u64>,
    /// Show the run in a window; closing it does not stop the run
    #[arg(long, help_heading = "Run")]
    pub(super) window: bool,
}

fn after_help() -> String {
    let presets: Vec<String> = PRESETS.iter().map(|p| format!("  {:<34}{}", p.name, p.about)).collect();
    format!(
        "What is not given under Data, Network and Optimization is the preset's.\n\n\
         Presets (MNIST: sgd at 0.1, batch 500, 20 epochs; CIFAR-10: adam at 0.001, batch 128, 15 epochs; \
         cifar10-resnet9: batch 512, 24 epochs; cifar10-fast: batch 1024, 9.9 epochs; \
         cifar10-muon: batch 2000, 8 epochs):\n{}\n\nExamples:\n  tinderbox train\n  \
         tinderbox train linear_v1-mse --epochs 50 --device gpu\n  \
         tinderbox train --layers \"conv 16, norm, relu, pool max 2, flatten, linear classes\"\n  \
         tinderbox train --dataset mnist-sample --optimizer adam --patience 3\n  \
         tinderbox train --lr 0.1,0.03 --seed 1,2,3\n  \
         tinderbox train cifar10-vgg11 --fraction 0.1 --width 0.5\n  \
         tinderbox train cifar10-resnet9 --dataset folder:photos\n  \
         tinderbox train --resume runs/mnist/linear_v1-bn-ce --epochs 40",
        presets.join("\n")
    )
}

impl TrainArgs {
    /// The recipe to start from: a preset, or a file.
    fn base(&self) -> Result<Recipe> {
        match self.file() {
            Some(path) => file::read(path),
            None => Recipe::preset(self.preset.as_deref().unwrap_or(DEFAULT_PRESET)),
        }
    }

    /// The file of the recipe, if one is named.
    fn file(&self) -> Option<&Path> {
        let path = Path::new(self.preset.as_deref()?);
        (path.extension().is_some_and(|ending| ending == "toml") || path.is_file()).then_some(path)
    }

    fn device(&self) -> Option<&str> {
        self.device.as_ref()?.device.as_deref()
    }

    /// Bytes of images that may stay on the device, where something is said.
    fn resident(&self) -> Option<u64> {
        self.resident.map(|megabytes| megabytes.saturating_mul(1_000_000))
    }

    fn root(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new("runs"))
    }
}

pub fn run(args: TrainArgs) -> Result<()> {
    match &args.resume {
        Some(folder) => resume(&args, RunDir::open(folder)?),
        None => fresh(&args),
    }
}

/// Starts a run, or several where an option has several values.
fn fresh(args: &TrainArgs) -> Result<()> {
    let mut recipe = args.recipe.apply(&args.base()?)?;
    let sweep = args.recipe.sweep(&recipe)?;
    if !sweep.is_empty() && args.window {
        return Err(Error::usage("several values make several runs: --window is for one"));
    }
    if let Some((shape, classes)) = recipe.dataset.published_shape() {
        recipe.network(shape, classes)?; // before anything is downloaded
    }
    let named = args.recipe.has("dataset") || args.file().is_some() || recipe.dataset.is_of_pictures();
    let data = args.data.clone().unwrap_or_default();
    let Loaded { dataset, origin } = if named {
        load_sized(&recipe.dataset, recipe.image_side(), data.data_dir.as_deref(), &mut terminal::tell)?
    } else {
        data.load_or_sample(&mut recipe.dataset, "train")?
    };
    let dataset = Arc::new(dataset);
    let resident = args.resident();
    let plan = Plan::new(&recipe, &dataset)?.keeping_at_most(resident); // before any device starts
    let jobs = jobs(sweep, &recipe, &dataset, resident)?;
    let (devices, gpu) = args.device.clone().unwrap_or_default().open_all()?;
    plan.check_devices(&devices)?;
    jobs.iter().try_for_each(|job| job.plan.check_devices(&devices))?;
    let stop = signals::install()?;
    let keep = args.keep.map_or(1, |n| n as usize);
    let save_every = args.save_every.map(|n| n as usize);
    let session = Session { save_every, keep, ..Session::new(devices, origin, &stop, &mut terminal::tell)? };
    let experiment = recipe.dataset.plain_name();
    if !jobs.is_empty() {
        let name = args.name.clone().unwrap_or_else(|| format!("sweep-{experiment}-{}", recipe.short_name()));
        return run_sweep(args, &session, &name, &jobs);
    }
    let (data, info) = (session.dataset(&plan), session.devices.info());
    session.check_beginning(&plan)?;
    let dir = RunDir::create(args.root(), &experiment, args.name.as_deref(), &recipe, &data, info)?;
    say!("{}", session.headline(&plan));
    train(args, &session, &plan, &dir, None, gpu)
}

/// Goes on with a run.
fn resume(args: &TrainArgs, dir: RunDir) -> Result<()> {
    let began_with = dir.recipe()?;
    let recipe = args.recipe.apply(&began_with)?;
    if !args.recipe.sweep(&recipe)?.is_empty() {
        return Err(Error::usage("several values make several runs: --resume is for one"));
    }
    let name = args.checkpoint.as_ref().map_or("last", Checkpoint::name);
    let saved = resume_point(&dir, name, &mut terminal::tell)?.saved();
    // Before anything is read or downloaded.
    if is_finished(&dir, saved.as_ref(), &recipe)? {
        say!(
            "{} is finished: {}. To train it longer, give more: --epochs N",
            dir.path().display(),
            epochs(recipe.epochs_begun())
        );
        return Ok(());
    }
    let recorded = dir.data_dir();
    let data_dir = args.data.as_ref().and_then(|data| data.data_dir.as_deref()).or(recorded.as_deref());
    let side = recipe.image_side();
    let Loaded { dataset, origin } = load_sized(&recipe.dataset, side, data_dir, &mut terminal::tell)?;
    let plan = Plan::new(&recipe, &Arc::new(dataset))?.keeping_at_most(args.resident());
    dir.check_same_data(&plan.data().info(&origin))?;
    let (devices, gpu) = args.device.clone().unwrap_or_default().open_all()?;
    plan.check_devices(&devices)?;
    if began_with != recipe {
        dir.write_recipe(&recipe)?; // more epochs than before, say
    }
    let (began_on, info) = (dir.device()?, devices.info());
    if !began_on.is_same(info) {
        eprintln!("notice: this run began on {began_on}; it goes on with numbers a little different there");
        dir.write_device(info)?;
    }
    // A run that goes on keeps as many as it has.
    let keep = args.keep.map_or(older_count(&dir.checkpoints()).max(1), |n| n as usize);
    let stop = signals::install()?;
    let save_every = args.save_every.map(|n| n as usize);
    let session = Session { save_every, keep, ..Session::new(devices, origin, &stop, &mut terminal::tell)? };
    say!("{}", session.headline(&plan));
    train(args, &session, &plan, &dir, saved, gpu)
}

/// Trains one run, in a window if wanted, and says how it went.
fn train(
    args: &TrainArgs,
    session: &Session<'_>,
    plan: &Plan,
    dir: &RunDir,
    saved: Option<Saved>,
    gpu: Option<Gpu>,
) -> Result<()> {
    let trained = if args.window {
        in_window(session, plan, dir, saved, gpu)
    } else {
        session.train(plan, dir, saved, terminal::observers(plan), &mut terminal::tell)
    };
    let state = trained.map_err(|e| words::with_devices(e, args.device()))?;
    summarize(plan, &state, dir)
}

/// Trains on a thread of its own, since a window wants the main one.
fn in_window(
    session: &Session<'_>,
    plan: &Plan,
    dir: &RunDir,
    saved: Option<Saved>,
    gpu: Option<Gpu>,
) -> Result<TrainState> {
    let recipe = plan.recipe();
    let feed = Feed::new(gpu, format!("{} on {}", recipe.short_name(), recipe.dataset));
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            cpu::take_part(0);
            let mut end = End { feed: &feed, well: false }; // told even if the run panics
            let observers = terminal::observers(plan).with(feed.clone());
            let result = session.train(plan, dir, saved, observers, &mut terminal::tell);
            end.well = result.is_ok();
            result
        });
        if let Err(e) = live::show(&feed, plan.data()) {
            eprintln!("warning: {}. Training goes on without it", words::error(&e));
        }
        run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
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

/// The plans of a sweep; all are checked before the first one trains.
fn jobs(
    sweep: Vec<(String, Recipe)>,
    recipe: &Recipe,
    dataset: &Arc<Dataset>,
    resident: Option<u64>,
) -> Result<Vec<Job>> {
    let job = |(name, other): (String, Recipe)| {
        let other = Recipe { dataset: recipe.dataset.clone(), ..other }; // it may be the sample by now
        Ok(Job { name, plan: Plan::new(&other, dataset)?.keeping_at_most(resident) })
    };
    sweep.into_iter().map(job).collect()
}

fn run_sweep(args: &TrainArgs, session: &Session<'_>, name: &str, jobs: &[Job]) -> Result<()> {
    let outcome = sweep::sweep(session, args.root(), name, jobs, &mut terminal::observers, &mut terminal::tell)
        .map_err(|e| words::with_devices(e, args.device()))?;
    say!("{}", outcome.table);
    outcome.summary.iter().for_each(|line| say!("{line}"));
    say!("report: {}", outcome.report.display());
    let (failed, missed) = (outcome.failed, outcome.missed);
    if failed + missed == 0 {
        return Ok(());
    }
    let target = jobs.first().and_then(|job| job.plan.recipe().target_accuracy).unwrap_or(0.0);
    let wanted = jobs.len();
    let message = format!("of {wanted} runs {failed} did not come to their end and {missed} stayed below {target} %");
    Err(Error::new(ErrorKind::Training, message))
}

fn summarize(plan: &Plan, state: &TrainState, dir: &RunDir) -> Result<()> {
    let (recipe, history) = (plan.recipe(), &state.progress.history);
    let seconds: f64 = history.iter().map(|m| m.seconds).sum();
    let Some(best) = state.progress.best().map(|i| &history[i]) else { return Ok(()) };
    if history.len() < recipe.epochs_begun() {
        let patience = recipe.patience.unwrap_or(0);
        say!("stopped early: no lower test loss for {}", epochs(patience));
    }
    say!(
        "finished {} in {}; best test accuracy {:.2} % at epoch {}",
        epochs(history.len()),
        duration(seconds),
        best.test_accuracy,
        best.epoch
    );
    let (guessing, last) = (recipe.loss.of_guessing(plan.data().classes.len()), history[history.len() - 1].train_loss);
    if last > DIVERGED * guessing {
        eprintln!(
            "notice: the train loss is far above {guessing:.2}, that of guessing: training has diverged. A smaller --lr helps"
        );
    }
    say!("report: {}", dir.file("report.html").display());
    let run = words::path(dir.path());
    say!("next:   {}", words::command(&format!("serve {run}")));
    say!("        {}", words::command(&format!("predict {run} PICTURE.png")));
    match recipe.target_accuracy {
        Some(target) if best.test_accuracy < target => Err(Error::new(
            ErrorKind::Training,
            format!("the best test accuracy, {:.2} %, is below the target of {target} %", best.test_accuracy),
        )),
        _ => Ok(()),
    }
}
