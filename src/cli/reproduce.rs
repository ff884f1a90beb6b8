//! `tinderbox reproduce`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::args::{DataArgs, DeviceArgs};
use super::terminal::{self, say};
use super::{signals, words};
use crate::data::{Identity, Loaded, load};
use crate::error::{Error, ErrorKind, Result};
use crate::recipe::{CIFAR10_EXERCISE, MNIST_EXERCISE, Recipe};
use crate::report::claims::{self, Claim};
use crate::report::console::{duration, thousands};
use crate::report::experiment::Experiment;
use crate::report::run::Run;
use crate::report::write::write;
use crate::runs::{Job, Session};
use crate::training::Plan;

#[derive(Clone, Copy, ValueEnum)]
enum Exercise {
    /// Four runs of the reference and one with the correct cross-entropy
    Mnist,
    /// VGG-11 against a linear model
    Cifar10,
}

/// What the reference did, and how its report reads.
struct Reference {
    dataset: &'static str,
    presets: &'static [&'static str],
    epochs: usize,
    /// Train images there.
    images: usize,
    title: &'static str,
    /// The runs that were timed there.
    timed: &'static [&'static str],
    /// How long that took there, in seconds.
    seconds: f64,
    told: &'static str,
    note: &'static str,
    claims: fn(&[Run]) -> Vec<Claim>,
}

const MNIST: Reference = Reference {
    dataset: "mnist",
    presets: &MNIST_EXERCISE,
    epochs: 50,
    images: 60_000,
    title: "The MNIST exercise, reproduced",
    timed: &["linear_v0-mse", "linear_v1-mse", "linear_v1-bn-mse", "linear_v1-bn-ce-on-probabilities"],
    seconds: 1503.0,
    told: "for its four runs of 50 epochs",
    note: "linear_v1-bn-ce-on-probabilities is the reference's last run as published: it applies softmax, and then a \
           cross-entropy that applies softmax again, which flattens the gradient. linear_v1-bn-ce is the same network \
           with the cross-entropy on logits. The two losses have different scales, so only their accuracies compare.",
    claims: claims::mnist,
};

const CIFAR10: Reference = Reference {
    dataset: "cifar10",
    presets: &CIFAR10_EXERCISE,
    epochs: 15,
    images: 50_000,
    title: "The CIFAR-10 exercise, reproduced",
    timed: &["vgg11-ce"],
    seconds: 335.0,
    told: "for its convolutional network, 15 epochs on all images",
    note: "The reference's network is VGG-style; vgg11 is this program's reading of it: 3x3 convolutions with zero padding, \
           each followed by batch normalization and ReLU, 2x2 pooling, doubling channels, a linear head.",
    claims: claims::cifar10,
};

/// Repeat the reference exercise: train every run of it, and write one report.
///
/// An interrupted reproduction goes on where it stopped when the command is given again.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tinderbox reproduce mnist --epochs 10\n  tinderbox reproduce cifar10 --fraction 0.2"
)]
pub struct ReproduceArgs {
    /// The exercise
    #[arg(value_enum)]
    exercise: Exercise,
    /// Epochs of every run [default: the reference's, 50 for mnist and 15 for cifar10]
    #[arg(long)]
    epochs: Option<usize>,
    /// Share of the train set to use, the first images of every class
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    fraction: f64,
    /// Factor on the channels of the convolutional networks
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    width: f64,
    /// Another data set than the reference's, such as mnist-sample [default: the exercise's]
    #[arg(long)]
    dataset: Option<String>,
    /// Decides initial weights and the order of images
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for runs and report
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// The folder's name inside it [default: reproduce-mnist or reproduce-cifar10]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    data: DataArgs,
}

pub fn run(args: ReproduceArgs) -> Result<()> {
    let (reference, folder) = match args.exercise {
        Exercise::Mnist => (MNIST, "reproduce-mnist"),
        Exercise::Cifar10 => (CIFAR10, "reproduce-cifar10"),
    };
    let mut identity: Identity = args.dataset.as_deref().unwrap_or(reference.dataset).parse()?;
    let recipe = |preset: &&str| -> Result<Recipe> {
        let preset = Recipe::preset(preset)?;
        let takes_width = preset.network.entry().is_some_and(|entry| entry.takes.contains(&"width"));
        let network = preset.network.clone();
        let recipe = Recipe {
            dataset: identity.clone(),
            epochs: args.epochs.unwrap_or(reference.epochs) as f64,
            seed: args.seed,
            fraction: args.fraction,
            network: if takes_width { network.with(|settings| settings.width = args.width) } else { network },
            ..preset
        };
        recipe.validate()?;
        Ok(recipe)
    };
    let recipes: Vec<Recipe> = reference.presets.iter().map(recipe).collect::<Result<_>>()?;
    let Loaded { dataset, origin } = match args.dataset {
        Some(_) => load(&identity, args.data.data_dir.as_deref(), &mut terminal::tell)?,
        None => args.data.load_or_sample(&mut identity, &format!("reproduce {}", reference.dataset))?,
    };
    let dataset = Arc::new(dataset);
    let job = |recipe: Recipe| {
        let recipe = Recipe { dataset: identity.clone(), ..recipe }; // it may be the sample by now
        Ok(Job { name: recipe.short_name(), plan: Plan::new(&recipe, &dataset)? })
    };
    let jobs: Vec<Job> = recipes.into_iter().map(job).collect::<Result<_>>()?;
    let (devices, _) = args.device.open_all()?;
    jobs.iter().try_for_each(|job| job.plan.check_devices(&devices))?;
    let experiment = args.name.unwrap_or_else(|| folder.into());
    let stop = signals::install()?;
    let session = Session { keep: 0, ..Session::new(devices, origin, &stop, &mut terminal::tell)? };
    let runs = session.train_each(&args.out, &experiment, &jobs, &mut terminal::observers, &mut terminal::tell);
    let runs = runs.map_err(|e| words::with_devices(e, args.device.device.as_deref()))?;
    if runs.len() < jobs.len() {
        return Err(Error::new(ErrorKind::Training, "not every run of the exercise came to its end"));
    }
    let Some(job) = jobs.first() else { return Ok(()) };
    report(runs, &session, &job.plan, &reference, &args.out.join(experiment))
}

fn report(runs: Vec<Run>, session: &Session<'_>, plan: &Plan, reference: &Reference, folder: &Path) -> Result<()> {
    let timed = runs.iter().filter(|run| reference.timed.contains(&run.name.as_str()));
    let seconds: f64 = timed.map(Run::seconds).sum();
    let (recipe, data) = (plan.recipe(), plan.data());
    let train_images = thousands(data.train.len() as u64);
    let mut intro = vec![
        format!(
            "tinderbox {} on {}; {} ({}), {train_images} train and {} test images; batch {}, {} epochs, seed {}.",
            env!("CARGO_PKG_VERSION"),
            session.devices.info(),
            recipe.dataset,
            session.origin,
            thousands(data.test.len() as u64),
            recipe.batch_size,
            recipe.epochs,
            recipe.seed
        ),
        format!(
            "The author's PyTorch notebook on a CUDA GPU took {} {}; here {} epochs on {train_images} images took {}.",
            duration(reference.seconds),
            reference.told,
            recipe.epochs,
            duration(seconds)
        ),
        reference.note.into(),
    ];
    if recipe.epochs < reference.epochs as f64 || data.train.len() < reference.images {
        intro.push(format!(
            "The reference's claims are about {} epochs on {} images. These runs are smaller, and may not show them.",
            reference.epochs,
            thousands(reference.images as u64)
        ));
    }
    let claims = (reference.claims)(&runs);
    let experiment = Experiment { title: reference.title.into(), intro, runs, claims };
    let page = write(&experiment, folder)?;
    say!("{}\n", experiment.text_table());
    for claim in &experiment.claims {
        say!("{}: {}\n  {}", claim.verdict(), claim.text, claim.evidence);
    }
    say!("\nreport: {}", page.display());
    Ok(())
}
