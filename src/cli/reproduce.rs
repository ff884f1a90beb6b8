//! `tinderbox reproduce`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::train::{Session, Stop};
use super::{DataArgs, DeviceArgs};
use crate::checkpoint;
use crate::dataset::{self, DataSource};
use crate::error::{Error, ErrorKind, Result};
use crate::recipe::{PRESETS, Recipe};
use crate::report::claims;
use crate::report::console::duration;
use crate::report::experiment::{Experiment, Run};
use crate::run_dir::RunDir;

/// What the reference took for its four runs, in seconds: 25:03.
const REFERENCE_SECONDS: f64 = 1503.0;

#[derive(Clone, Copy, ValueEnum)]
enum Exercise {
    /// Four runs of the reference and one with the correct cross-entropy
    Mnist,
}

/// Repeat the reference exercise: train every run of it, and write one report.
///
/// An interrupted reproduction goes on where it stopped when the command is given again.
#[derive(Args)]
#[command(after_help = "Example: tinderbox reproduce mnist --epochs 10")]
pub struct ReproduceArgs {
    /// The exercise
    #[arg(value_enum)]
    exercise: Exercise,
    /// Epochs of every run
    #[arg(long, default_value_t = 50)]
    epochs: usize,
    /// Another data set than the full MNIST, such as mnist-sample
    #[arg(long, default_value = "mnist")]
    dataset: String,
    /// Decides initial weights and the order of images
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for runs and report
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// The folder's name inside it [default: reproduce-mnist]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    data: DataArgs,
}

pub fn run(args: ReproduceArgs) -> Result<()> {
    let Exercise::Mnist = args.exercise;
    let source: DataSource = args.dataset.parse()?;
    let recipe = |preset: &str| -> Result<Recipe> {
        let preset = Recipe::preset(preset)?;
        let recipe = Recipe { dataset: source.to_string(), epochs: args.epochs, seed: args.seed, ..preset };
        recipe.validate()?;
        Ok(recipe)
    };
    let recipes: Vec<Recipe> = PRESETS.iter().map(|preset| recipe(preset.name)).collect::<Result<_>>()?;
    let loaded = dataset::load(&source, args.data.data_dir.as_deref())?;
    crate::train::check(&recipes[0], &loaded.dataset)?;
    let (device, info) = args.device.open()?;
    let experiment = args.name.unwrap_or_else(|| "reproduce-mnist".into());
    let stop = Stop::install()?;

    let mut session = Session { recipe: recipes[0].clone(), loaded, device, info, save_every: None };
    let mut runs = Vec::new();
    for recipe in recipes {
        let path = args.out.join(&experiment).join(recipe.short_name());
        let dir = match RunDir::open(&path) {
            Ok(dir) => dir,
            Err(_) => {
                let data = session.loaded.dataset.info(&session.loaded.origin);
                RunDir::create(&args.out, &experiment, Some(&recipe.short_name()), &recipe, &data, &session.info)?
            }
        };
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
        session.recipe = recipe;
        session.announce();
        if saved.as_ref().is_some_and(|saved| saved.progress.history.len() >= session.recipe.epochs) {
            crate::say!("already finished");
        } else {
            session.train(&dir, saved, &stop).map_err(|e| match e.kind() {
                ErrorKind::Interrupted(_) => {
                    Error::new(e.kind(), "stopped by a signal; give the same command again to go on")
                }
                _ => e,
            })?;
        }
        crate::say!("");
        runs.push(Run::read(&dir)?);
    }
    report(runs, &session, args.out.join(experiment))
}

fn report(runs: Vec<Run>, session: &Session, folder: PathBuf) -> Result<()> {
    let claims = claims::mnist(&runs);
    let mut experiment = Experiment { title: "The MNIST exercise, reproduced".into(), intro: Vec::new(), runs, claims };
    let published: f64 =
        experiment.seconds() - experiment.runs.last().map_or(0.0, |run| run.metrics.iter().map(|m| m.seconds).sum());
    experiment.intro = vec![
        format!(
            "tinderbox {} on {}, {} from {}: SGD at 0.1, batch {}, seed {}.",
            env!("CARGO_PKG_VERSION"),
            session.info,
            session.recipe.dataset,
            session.loaded.origin,
            session.recipe.batch_size,
            session.recipe.seed
        ),
        format!(
            "The four runs of the reference took {} here; its author's PyTorch notebook took {} for 50 epochs each on a \
             CUDA GPU.",
            duration(published),
            duration(REFERENCE_SECONDS)
        ),
        "linear_v1-bn-ce-on-probabilities is the reference's last run as published: it applies softmax, and then a \
         cross-entropy that applies softmax again, which flattens the gradient. linear_v1-bn-ce is the same network with \
         the cross-entropy on logits. The two losses have different scales, so only their accuracies compare."
            .into(),
    ];
    experiment.write(&folder)?;
    crate::say!("{}\n", experiment.text_table());
    for claim in &experiment.claims {
        let mark = if claim.confirmed { "confirmed" } else { "not confirmed" };
        crate::say!("{mark}: {}\n  {}", claim.text, claim.evidence);
    }
    crate::say!("\nreport: {}", folder.join("report.html").display());
    Ok(())
}
