//! `tinderbox evaluate` and `tinderbox predict`

use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{DataArgs, DeviceArgs, print_json};
use crate::batches::DeviceSplit;
use crate::dataset;
use crate::error::Result;
use crate::infer::Trained;
use crate::metrics::evaluate;
use crate::run_dir::RunDir;
use crate::train::evaluation_batch;

/// Which weights of a run.
#[derive(Clone, Copy, ValueEnum)]
pub enum Checkpoint {
    /// Of the epoch with the best test accuracy
    Best,
    /// Of the last epoch
    Last,
}

impl Checkpoint {
    /// The folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Last => "last",
        }
    }
}

/// Measure a run's weights on the test set it was trained with.
#[derive(Args)]
#[command(after_help = "Example: tinderbox evaluate runs/mnist/linear_v1-bn-ce --checkpoint last")]
pub struct EvaluateArgs {
    /// Folder of a run
    run: PathBuf,
    /// Which weights
    #[arg(long, value_enum, default_value_t = Checkpoint::Best)]
    checkpoint: Checkpoint,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    data: DataArgs,
}

pub fn run(args: EvaluateArgs) -> Result<()> {
    let dir = RunDir::open(args.run)?;
    let (device, info) = args.device.open()?;
    let trained = Trained::load(&dir, args.checkpoint.name(), &device)?;
    let loaded =
        dataset::load(&trained.recipe.dataset.parse()?, args.data.data_dir.or_else(|| dir.data_dir()).as_deref())?;
    dir.check_same_data(&loaded.dataset.fraction_info(&trained.dataset, &loaded.origin))?;
    let split = DeviceSplit::new(&loaded.dataset.test, &device);
    let (loss, classes) = (trained.recipe.loss, loaded.dataset.classes.len());
    let batch = evaluation_batch(&trained.recipe);
    let measured = pollster::block_on(evaluate(&trained.model, &split, loss, classes, batch, &AtomicUsize::new(0)))?;
    if args.json {
        return print_json(&json!({
            "run": dir.path(), "checkpoint": args.checkpoint.name(), "epoch": trained.epoch, "device": info,
            "test_images": split.len(), "loss": measured.loss, "accuracy": measured.accuracy,
            "classes": loaded.dataset.classes, "confusion": measured.confusion,
        }));
    }
    crate::say!(
        "{} after epoch {} on {} test images: {} loss {:.5}, accuracy {:.2} % (on {info})",
        dir.name(),
        trained.epoch,
        split.len(),
        trained.recipe.loss,
        measured.loss,
        measured.accuracy
    );
    for (class, (name, row)) in loaded.dataset.classes.iter().zip(&measured.confusion).enumerate() {
        let total: u64 = row.iter().sum();
        crate::say!("  {name:<12} {:>6.2} % of {total}", 100.0 * row[class] as f64 / total.max(1) as f64);
    }
    Ok(())
}

/// Ask a run about images: PNG, JPEG or BMP of any size.
///
/// For a run on MNIST a digit may be dark on light or light on dark, anywhere on the image: it is cut out, scaled and
/// centred as MNIST's digits were. Any other run takes the middle of the picture, as in training.
#[derive(Args)]
#[command(after_help = "Example: tinderbox predict runs/mnist/linear_v1-bn-ce seven.png photo.jpg")]
pub struct PredictArgs {
    /// Folder of a run
    run: PathBuf,
    /// PNG, JPEG or BMP files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Which weights
    #[arg(long, value_enum, default_value_t = Checkpoint::Best)]
    checkpoint: Checkpoint,
    /// How many classes to name
    #[arg(long, default_value_t = 3)]
    top: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn predict(args: PredictArgs) -> Result<()> {
    let dir = RunDir::open(args.run)?;
    let (device, _) = args.device.open()?;
    let trained = Trained::load(&dir, args.checkpoint.name(), &device)?;
    let (mut rows, mut failed) = (Vec::new(), None);
    for path in &args.images {
        let guesses = match trained.predict(path) {
            Ok(guesses) => guesses,
            Err(e) => {
                rows.push(json!({"image": path, "error": e.to_string()}));
                if let Some(earlier) = failed.replace(e) {
                    eprintln!("error: {earlier}");
                }
                continue;
            }
        };
        let top = guesses.iter().take(args.top.max(1));
        if args.json {
            let top: Vec<_> = top.map(|g| json!({"class": g.class, "probability": g.probability})).collect();
            rows.push(json!({"image": path, "top": top}));
        } else {
            let top: Vec<String> = top.map(|g| format!("{} {:.1} %", g.class, 100.0 * g.probability)).collect();
            crate::say!("{}: {}", path.display(), top.join(", "));
        }
    }
    if args.json {
        print_json(&rows)?;
    }
    failed.map_or(Ok(()), Err)
}
