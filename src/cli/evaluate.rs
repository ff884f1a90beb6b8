//! `tinderbox evaluate` and `tinderbox predict`

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::AtomicUsize;

use clap::Args;
use serde_json::json;

use super::{DataArgs, DeviceArgs, print_json};
use crate::batches::DeviceSplit;
use crate::dataset::{self, DataSource};
use crate::error::{Error, Result};
use crate::infer::Trained;
use crate::metrics::evaluate;
use crate::recipe::unknown;
use crate::run_dir::RunDir;
use crate::train::evaluation_batch;

/// Which weights of a run: `best`, `last` or `epoch-N`.
#[derive(Clone)]
pub struct Checkpoint(String);

impl Checkpoint {
    /// The folder's name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let numbered = name.strip_prefix("epoch-").is_some_and(|n| n.parse::<usize>().is_ok());
        if numbered || ["best", "last"].contains(&name) {
            return Ok(Self(name.into()));
        }
        Err(unknown("checkpoint", name, ["best", "last", "epoch-N"].into_iter()))
    }
}

/// Measure weights, of a run or in a file, on the test set they were trained with.
#[derive(Args)]
#[command(after_help = "Examples: tinderbox evaluate runs/mnist/linear_v1-bn-ce --checkpoint last
          tinderbox evaluate weights.safetensors --dataset mnist")]
pub struct EvaluateArgs {
    /// Folder of a run, or a file that the page or `export` wrote
    run: PathBuf,
    /// Another data set than that of the training
    #[arg(long)]
    dataset: Option<DataSource>,
    /// Which weights: best, last or epoch-N
    #[arg(long, default_value = "best")]
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
    let dir = args.run.is_dir().then(|| RunDir::open(&args.run)).transpose()?;
    let (device, info) = args.device.open()?;
    let trained = Trained::open(&args.run, args.checkpoint.name(), &device)?;
    let source = args.dataset.clone().map_or_else(|| trained.about.recipe.dataset.parse(), Ok)?;
    let data_dir = args.data.data_dir.or_else(|| dir.as_ref()?.data_dir());
    let loaded = dataset::load(&source, data_dir.as_deref())?;
    match &dir {
        Some(dir) if args.dataset.is_none() => {
            dir.check_same_data(&loaded.dataset.fraction_info(&dir.dataset()?, &loaded.origin))?;
        }
        _ => trained.check_data(&loaded.dataset)?,
    }
    let split = DeviceSplit::new(&loaded.dataset.test, &device);
    let (recipe, classes) = (&trained.about.recipe, loaded.dataset.classes.len());
    let batch = evaluation_batch(recipe);
    let never = AtomicUsize::new(0);
    let measured = pollster::block_on(evaluate(&trained.model, &split, recipe.loss, classes, batch, &never))?;
    if args.json {
        return print_json(&json!({
            "run": args.run, "checkpoint": dir.as_ref().map(|_| args.checkpoint.name()), "epoch": trained.epoch, "device": info,
            "test_images": split.len(), "loss": measured.loss, "accuracy": measured.accuracy,
            "classes": loaded.dataset.classes, "confusion": measured.confusion,
        }));
    }
    crate::say!(
        "{}{} on {} test images: {} loss {:.5}, accuracy {:.2} % (on {info})",
        trained.name,
        trained.epoch.map(|epoch| format!(" after epoch {epoch}")).unwrap_or_default(),
        split.len(),
        recipe.loss,
        measured.loss,
        measured.accuracy
    );
    for (class, (name, row)) in loaded.dataset.classes.iter().zip(&measured.confusion).enumerate() {
        let total: u64 = row.iter().sum();
        crate::say!("  {name:<12} {:>6.2} % of {total}", 100.0 * row[class] as f64 / total.max(1) as f64);
    }
    Ok(())
}

/// Ask weights, of a run or in a file, about images: PNG, JPEG or BMP of any size.
///
/// For a run on MNIST a digit may be dark on light or light on dark, anywhere on the image: it is cut out, scaled and
/// centred as MNIST's digits were. Any other run takes the middle of the picture, as in training.
#[derive(Args)]
#[command(after_help = "Example: tinderbox predict runs/mnist/linear_v1-bn-ce seven.png photo.jpg")]
pub struct PredictArgs {
    /// Folder of a run, or a file that the page or `export` wrote
    run: PathBuf,
    /// PNG, JPEG or BMP files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Which weights: best, last or epoch-N
    #[arg(long, default_value = "best")]
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
    let (device, _) = args.device.open()?;
    let trained = Trained::open(&args.run, args.checkpoint.name(), &device)?;
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
