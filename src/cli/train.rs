//! `tinderbox train`

use std::path::{Path, PathBuf};

use clap::Args;

use super::evaluate::Checkpoint;
use super::session::{Session, Stop, is_finished};
use super::{DataArgs, DeviceArgs, sweep};
use crate::batches;
use crate::checkpoint::{self, Saved};
use crate::dataset::{self, DataSource, Loaded};
use crate::error::{Error, ErrorKind, Result};
use crate::recipe::{Architecture, Augment, DEFAULT_PRESET, OptimizerConfig, PRESETS, Recipe, file, unknown};
use crate::report::console::duration;
use crate::run_dir::RunDir;
use crate::train::{self, TrainState};

/// Train a network and keep the run: recipe, curves, charts, checkpoints and weights.
#[derive(Args, Default)]
#[command(after_help = after_help())]
pub struct TrainArgs {
    /// A named recipe to start from, see below, or a file that `tinderbox init` wrote
    #[arg(value_name = "PRESET|FILE")]
    preset: Option<String>,
    /// linear_v0, linear_v1, vgg11, vgg16 or resnet9; see `tinderbox models`
    #[arg(long)]
    model: Option<String>,
    /// Batch normalization after every hidden layer
    #[arg(long, value_name = "on|off", value_parser = parse_switch)]
    batch_norm: Option<bool>,
    /// mnist, mnist-sample, cifar10, idx:DIR (files named as MNIST's), or folder:DIR (a subfolder of images a class)
    #[arg(long)]
    dataset: Option<String>,
    /// Factor on the channels of a convolutional network [default: 1]
    #[arg(long, allow_negative_numbers = true)]
    width: Option<f64>,
    /// max or avg: how a VGG network halves its images [default: max]
    #[arg(long)]
    pool: Option<String>,
    /// Share of values zeroed before a convolutional network's last layer while training [default: 0]
    #[arg(long, allow_negative_numbers = true)]
    dropout: Option<f64>,
    /// mse, ce, or ce-on-probabilities [default: the preset's]
    #[arg(long)]
    loss: Option<String>,
    /// Share of the target that ce spreads over all classes [default: the preset's]
    #[arg(long, allow_negative_numbers = true)]
    label_smoothing: Option<f64>,
    /// sgd, adam or adamw
    #[arg(long)]
    optimizer: Option<String>,
    /// Momentum of sgd [default: the preset's]
    #[arg(long, allow_negative_numbers = true)]
    momentum: Option<f64>,
    /// Nesterov's momentum for sgd
    #[arg(long)]
    nesterov: bool,
    /// Weight decay [default: the preset's; with --optimizer 0, for adamw 0.01]
    #[arg(long, allow_negative_numbers = true)]
    weight_decay: Option<f64>,
    /// Learning rate, or several: a run for each [default: the preset's; with --optimizer 0.1 for sgd, 0.001 for adam and
    /// adamw]
    #[arg(long, allow_negative_numbers = true, value_delimiter = ',')]
    lr: Vec<f64>,
    /// constant, step:SIZE:GAMMA (times GAMMA after every SIZE epochs), cosine, or one-cycle:WARMUP
    /// [default: the preset's]
    #[arg(long)]
    schedule: Option<String>,
    /// Random shifts and mirroring of the train images: on (crop4-flip), off, or for example crop2 [default: the preset's]
    #[arg(long)]
    augment: Option<Augment>,
    /// f32, or f16: products in half precision, on adapters that have it [default: f32]
    #[arg(long)]
    precision: Option<String>,
    /// Passes over the train set [default: the preset's]
    #[arg(long)]
    epochs: Option<usize>,
    /// Images per step, or several sizes [default: the preset's]
    #[arg(long, value_name = "SIZE", value_delimiter = ',')]
    batch: Vec<usize>,
    /// Share of the train set to use, the first images of every class
    #[arg(long, allow_negative_numbers = true)]
    fraction: Option<f64>,
    /// Decides initial weights and the order of images; several give mean and spread [default: 0]
    #[arg(long, value_delimiter = ',')]
    seed: Vec<u64>,
    /// Stop after this many epochs without a lower test loss
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<usize>,
    /// Fail (exit code 1) if the best test accuracy, in percent, stays below this
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    target_accuracy: Option<f64>,
    /// Save a checkpoint every so many epochs [default: about every ten seconds, within a long epoch too]
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u64).range(1..))]
    save_every: Option<u64>,
    /// How many older checkpoints stay beside last and best [default: 1]
    #[arg(long, value_name = "N")]
    keep: Option<u32>,
    /// The run's name [default: from the recipe]
    #[arg(long)]
    name: Option<String>,
    /// Folder for all runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: Option<PathBuf>,
    /// Continue the run in this folder, with the same numbers as if it had never stopped
    #[arg(long, value_name = "RUN", conflicts_with_all = ["preset", "name"])]
    resume: Option<PathBuf>,
    /// With --resume: from which checkpoint, best, last or epoch-N [default: last]
    #[arg(long, requires = "resume", value_name = "NAME")]
    checkpoint: Option<Checkpoint>,
    /// Show the run in a window; closing it does not stop the run
    #[arg(long)]
    window: bool,
    #[command(flatten)]
    device: Option<DeviceArgs>,
    #[command(flatten)]
    data: Option<DataArgs>,
}

fn after_help() -> String {
    let presets: Vec<String> = PRESETS.iter().map(|p| format!("  {:<34}{}", p.name, p.about)).collect();
    format!(
        "Presets (MNIST: sgd at 0.1, batch 500, 20 epochs; CIFAR-10: adam at 0.001, batch 128, 15 epochs; \
         cifar10-resnet9: batch 512, 24 epochs):\n{}\n\nExamples:\n  tinderbox train\n  \
         tinderbox train linear_v1-mse --epochs 50 --device gpu\n  \
         tinderbox train --dataset mnist-sample --optimizer adam --patience 3\n  \
         tinderbox train --lr 0.1,0.03 --seed 1,2,3\n  \
         tinderbox train cifar10-vgg11 --fraction 0.1 --width 0.5\n  \
         tinderbox train cifar10-resnet9 --dataset folder:photos\n  \
         tinderbox train --resume runs/mnist/linear_v1-bn-ce --epochs 40",
        presets.join("\n")
    )
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        _ => Err("expected on or off".into()),
    }
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

    /// `base` with everything replaced that was said.
    fn apply(&self, base: Recipe) -> Result<Recipe> {
        fn set<T: Clone>(target: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                *target = value.clone();
            }
        }
        let mut recipe = base;
        if let Some(model) = &self.model {
            recipe.model = model.parse()?;
            // Convolutional networks are batch-normalized; linear_v0 has nothing to normalize.
            recipe.batch_norm |= recipe.model.is_convolutional();
            recipe.batch_norm &= recipe.model != Architecture::LinearV0;
        }
        if let Some(dataset) = &self.dataset {
            recipe.dataset = dataset.parse::<DataSource>()?.to_string();
        }
        if let Some(loss) = &self.loss {
            recipe.loss = loss.parse()?;
        }
        if let Some(pool) = &self.pool {
            recipe.pool = pool.parse()?;
        }
        if let Some(schedule) = &self.schedule {
            recipe.schedule = schedule.parse()?;
        }
        if let Some(precision) = &self.precision {
            recipe.precision = precision.parse()?;
        }
        self.apply_optimizer(&mut recipe)?;
        set(&mut recipe.batch_norm, &self.batch_norm);
        set(&mut recipe.width, &self.width);
        set(&mut recipe.dropout, &self.dropout);
        set(&mut recipe.label_smoothing, &self.label_smoothing);
        set(&mut recipe.learning_rate, &self.lr.first().copied());
        set(&mut recipe.epochs, &self.epochs);
        set(&mut recipe.batch_size, &self.batch.first().copied());
        set(&mut recipe.fraction, &self.fraction);
        set(&mut recipe.seed, &self.seed.first().copied());
        recipe.patience = self.patience.or(recipe.patience);
        recipe.target_accuracy = self.target_accuracy.or(recipe.target_accuracy);
        set(&mut recipe.augment, &self.augment);
        recipe.validate()?;
        Ok(recipe)
    }

    fn apply_optimizer(&self, recipe: &mut Recipe) -> Result<()> {
        if let Some(optimizer) = &self.optimizer {
            (recipe.optimizer, recipe.learning_rate) = match optimizer.as_str() {
                "sgd" => (OptimizerConfig::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 }, 0.1),
                "adam" => (OptimizerConfig::Adam { weight_decay: 0.0 }, 0.001),
                "adamw" => (OptimizerConfig::AdamW { weight_decay: 0.01 }, 0.001),
                other => return Err(unknown("optimizer", other, ["sgd", "adam", "adamw"].into_iter())),
            };
        }
        match &mut recipe.optimizer {
            OptimizerConfig::Sgd { momentum, nesterov, weight_decay } => {
                *momentum = self.momentum.unwrap_or(*momentum);
                *nesterov |= self.nesterov;
                *weight_decay = self.weight_decay.unwrap_or(*weight_decay);
            }
            OptimizerConfig::Adam { weight_decay } | OptimizerConfig::AdamW { weight_decay } => {
                if self.momentum.is_some() || self.nesterov {
                    return Err(Error::usage("--momentum and --nesterov are for sgd; adam has its own moments"));
                }
                *weight_decay = self.weight_decay.unwrap_or(*weight_decay);
            }
        }
        Ok(())
    }

    /// Every combination of learning rates, batch sizes and seeds where several were given, with a name for each; else
    /// nothing.
    fn sweep(&self, recipe: &Recipe) -> Result<Vec<(String, Recipe)>> {
        let (rates, sizes, seeds) = (self.lr.len() > 1, self.batch.len() > 1, self.seed.len() > 1);
        if !(rates || sizes || seeds) {
            return Ok(Vec::new());
        }
        if self.resume.is_some() || self.window {
            return Err(Error::usage("several values make several runs: --resume and --window are for one"));
        }
        fn all<T: Copy>(given: &[T], own: T) -> Vec<T> {
            if given.is_empty() { vec![own] } else { given.to_vec() }
        }
        let mut recipes: Vec<(String, Recipe)> = Vec::new();
        for learning_rate in all(&self.lr, recipe.learning_rate) {
            for batch_size in all(&self.batch, recipe.batch_size) {
                for seed in all(&self.seed, recipe.seed) {
                    let recipe = Recipe { learning_rate, batch_size, seed, ..recipe.clone() };
                    recipe.validate()?;
                    let parts = [
                        rates.then(|| format!("lr{learning_rate}")),
                        sizes.then(|| format!("batch{batch_size}")),
                        seeds.then(|| format!("seed{seed}")),
                    ];
                    let name = parts.into_iter().flatten().collect::<Vec<_>>().join("-");
                    if recipes.iter().any(|(other, _)| *other == name) {
                        return Err(Error::usage(format!("{name} is given twice")));
                    }
                    recipes.push((name, recipe));
                }
            }
        }
        Ok(recipes)
    }

    fn data_dir(&self) -> Option<&Path> {
        self.data.as_ref()?.data_dir.as_deref()
    }
}

pub fn run(args: TrainArgs) -> Result<()> {
    let resumed = args.resume.as_ref().map(RunDir::open).transpose()?;
    let mut recipe = match &resumed {
        Some(dir) => args.apply(dir.recipe()?)?,
        None => args.apply(args.base()?)?,
    };
    let sweep = args.sweep(&recipe)?;
    let saved = resumed
        .as_ref()
        .map(|dir| resume_point(dir, args.checkpoint.as_ref().map_or("last", Checkpoint::name), &recipe))
        .transpose()?
        .flatten();
    if let Some(dir) = &resumed
        && is_finished(dir, saved.as_ref(), &recipe)?
    {
        crate::say!("{} is finished: {} epochs; --epochs N trains on", dir.path().display(), recipe.epochs);
        return Ok(());
    }
    let recorded = resumed.as_ref().and_then(RunDir::data_dir);
    let data_dir = args.data_dir().or(recorded.as_deref());
    let named = args.dataset.is_some() || resumed.is_some() || args.file().is_some();
    let loaded = load_data(&mut recipe, data_dir, !named)?;
    train::check(&recipe, &loaded.dataset)?; // before any device starts
    if let Some(dir) = &resumed {
        dir.check_same_data(&loaded.dataset.info(&loaded.origin))?;
    }
    let (devices, info, gpu) = args.device.clone().unwrap_or(DeviceArgs { device: None }).open_all()?;
    for info in info.each() {
        info.check_precision(recipe.precision)?;
        batches::check_fit(&loaded.dataset, &info)?;
    }
    let device_arg = args.device.as_ref().and_then(|args| args.device.clone());
    // A run that goes on keeps as many as it has.
    let kept = resumed.as_ref().map_or(0, |dir| checkpoint::older_count(&dir.checkpoints()));
    let keep = args.keep.map_or(kept.max(1), |n| n as usize);
    let save_every = args.save_every.map(|n| n as usize);
    if !sweep.is_empty() {
        let recipes: Vec<_> = sweep
            .into_iter()
            .map(|(name, other)| (name, Recipe { dataset: recipe.dataset.clone(), ..other })) // it may be the sample by now
            .collect();
        recipes.iter().try_for_each(|(_, recipe)| train::check(recipe, &loaded.dataset))?;
        let root = args.out.clone().unwrap_or_else(|| "runs".into());
        let experiment =
            args.name.clone().unwrap_or_else(|| format!("sweep-{}-{}", experiment_of(&recipe), recipe.short_name()));
        let session = Session { recipe, loaded, devices, info, device_arg, save_every, keep };
        return sweep::run(session, &root, &experiment, recipes);
    }
    let dir = match resumed {
        Some(dir) => {
            if dir.recipe()? != recipe {
                dir.write_recipe(&recipe)?; // more epochs than before, say
            }
            let began_on = dir.device()?;
            if began_on != info {
                eprintln!("notice: this run began on {began_on}; it goes on with numbers a little different there");
                dir.write_device(&info)?;
            }
            dir
        }
        None => {
            let root = args.out.clone().unwrap_or_else(|| "runs".into());
            let (experiment, data) = (experiment_of(&recipe), loaded.dataset.info(&loaded.origin));
            RunDir::create(&root, &experiment, args.name.as_deref(), &recipe, &data, &info)?
        }
    };
    let session = Session { recipe, loaded, devices, info, device_arg, save_every, keep };
    session.announce();
    let stop = Stop::install()?;
    let state = if args.window {
        session.train_in_window(&dir, saved, &stop, gpu)?
    } else {
        session.train(&dir, saved, &stop, None)?
    };
    summarize(&session.recipe, &state, &dir)
}

/// The checkpoint to go on from, where the recipe is still the same; none where the run ended before its first.
fn resume_point(dir: &RunDir, name: &str, recipe: &Recipe) -> Result<Option<Saved>> {
    let saved = match checkpoint::load(&dir.checkpoints(), name) {
        Ok(saved) => Some(saved),
        Err(e) if e.kind() == ErrorKind::MissingData && name == "last" => {
            eprintln!("notice: {e}: starting from the beginning");
            None
        }
        Err(e) => {
            let Some(whole) = checkpoint::newest_whole(&dir.checkpoints(), name) else { return Err(e) };
            return Err(Error::new(
                e.kind(),
                format!("{e}. Another one is whole: go on from it with --checkpoint {whole}"),
            ));
        }
    };
    let old = match &saved {
        Some(saved) => saved.recipe.clone(),
        None => dir.recipe()?,
    };
    let difference = old.difference(recipe);
    if difference.is_empty() {
        return Ok(saved);
    }
    Err(Error::usage(format!(
        "{} cannot be resumed with another recipe:\n  {}\nStart a new run for that",
        dir.path().display(),
        difference.join("\n  ")
    )))
}

/// Loads the recipe's data. A run that named none falls back to the sample where MNIST is not to be had.
fn load_data(recipe: &mut Recipe, data_dir: Option<&Path>, may_fall_back: bool) -> Result<Loaded> {
    let mut loaded = match dataset::load(&recipe.dataset.parse()?, data_dir) {
        Err(e)
            if may_fall_back
                && recipe.dataset == "mnist"
                && data_dir.is_none()
                && e.kind() == ErrorKind::MissingData =>
        {
            eprintln!("notice: {e}");
            eprintln!("notice: training on the bundled sample of 5,000 digits instead (--dataset mnist-sample)");
            recipe.dataset = DataSource::MnistSample.to_string();
            dataset::load(&DataSource::MnistSample, None)?
        }
        other => other?,
    };
    let classes = loaded.dataset.classes.len();
    loaded.dataset.train = loaded.dataset.train.fraction(recipe.fraction, classes);
    Ok(loaded)
}

/// `mnist`, `cifar10`, or `idx-` or `folder-` and the folder's name, reduced to plain characters.
fn experiment_of(recipe: &Recipe) -> String {
    match recipe.dataset.split_once(':') {
        None => recipe.dataset.clone(),
        Some((kind, dir)) => {
            let name = Path::new(dir).file_name().unwrap_or_default().to_string_lossy();
            let plain: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(80).collect();
            format!("{kind}-{plain}")
        }
    }
}

fn summarize(recipe: &Recipe, state: &TrainState, dir: &RunDir) -> Result<()> {
    let history = &state.progress.history;
    let seconds: f64 = history.iter().map(|m| m.seconds).sum();
    let Some(best) = state.progress.best().map(|i| &history[i]) else { return Ok(()) };
    if history.len() < recipe.epochs {
        let patience = recipe.patience.unwrap_or(0);
        crate::say!("stopped early: no lower test loss for {patience} epochs");
    }
    crate::say!(
        "finished {} epochs in {}; best test accuracy {:.2} % at epoch {}",
        history.len(),
        duration(seconds),
        best.test_accuracy,
        best.epoch
    );
    crate::say!("report: {}", dir.file("report.html").display());
    match recipe.target_accuracy {
        Some(target) if best.test_accuracy < target => Err(Error::new(
            ErrorKind::Training,
            format!("the best test accuracy, {:.2} %, is below the target of {target} %", best.test_accuracy),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: TrainArgs,
    }

    #[test]
    fn the_command_of_a_recipe_gives_the_recipe() {
        for preset in &PRESETS {
            let recipe = Recipe { seed: 7, patience: Some(3), ..Recipe::preset(preset.name).unwrap() };
            let words = recipe.command();
            let line = Line::try_parse_from(words.split(' ').skip(1)).unwrap();
            assert_eq!(line.args.apply(Recipe::preset(DEFAULT_PRESET).unwrap()).unwrap(), recipe, "{words}");
        }
    }
}
