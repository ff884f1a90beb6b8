//! `tinderbox evaluate`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::args::{Checkpoint, DataArgs, DeviceArgs};
use super::output::print_json;
use super::terminal::{self, say};
use crate::data::{Identity, load_sized};
use crate::error::Result;
use crate::recipe::Views;
use crate::runs::{RunDir, Trained};

/// Measure weights, of a run or in a file, on the test set they were trained with.
#[derive(Args)]
#[command(after_help = "Examples: tinderbox evaluate runs/mnist/linear_v1-bn-ce --checkpoint last
          tinderbox evaluate weights.safetensors --dataset mnist
          tinderbox evaluate runs/cifar10/resnet9-ce --tta mirror")]
pub struct EvaluateArgs {
    /// Folder of a run, or a file that the page or `export` wrote
    run: PathBuf,
    /// Another data set than that of the training
    #[arg(long)]
    dataset: Option<Identity>,
    /// Which weights: best, last or epoch-N
    #[arg(long, default_value = "best")]
    checkpoint: Checkpoint,
    /// Test-time augmentation, which views of an image are averaged: off, mirror or mirror+shift; not for digits
    #[arg(long, value_name = "VIEWS", default_value_t = Views::Plain)]
    tta: Views,
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
    let devices = args.device.open_ranks()?;
    let trained = Trained::open(&args.run, args.checkpoint.name(), devices.main())?;
    let recipe = &trained.metadata.recipe;
    let identity = args.dataset.clone().unwrap_or_else(|| recipe.dataset.clone());
    let data_dir = args.data.data_dir.or_else(|| dir.as_ref()?.data_dir());
    let loaded = load_sized(&identity, trained.metadata.shape.height, data_dir.as_deref(), &mut terminal::tell)?;
    match &dir {
        Some(dir) if args.dataset.is_none() => dir.check_same_test_data(&loaded.dataset.info(&loaded.origin))?,
        _ => trained.check_data(&loaded.dataset)?,
    }
    let measured = trained.evaluate(&devices, &identity, &loaded, args.tta)?;
    let (info, dataset) = (devices.info(), &loaded.dataset);
    if args.json {
        return print_json(&json!({
            "run": args.run, "checkpoint": dir.as_ref().map(|_| args.checkpoint.name()), "epoch": trained.epoch, "device": info,
            "tta": args.tta.to_string(), "test_images": dataset.test.len(), "loss": measured.loss, "accuracy": measured.accuracy,
            "classes": dataset.classes, "confusion": measured.confusion,
        }));
    }
    say!(
        "{}{} on {} test images{}: {} loss {:.5}, accuracy {:.2} % (on {info})",
        trained.name,
        trained.epoch.map(|epoch| format!(" after epoch {epoch}")).unwrap_or_default(),
        dataset.test.len(),
        if args.tta == Views::Plain { String::new() } else { format!(", tta {}", args.tta) },
        recipe.loss,
        measured.loss,
        measured.accuracy
    );
    for (class, (name, row)) in dataset.classes.iter().zip(&measured.confusion).enumerate() {
        let total: u64 = row.iter().sum();
        say!("  {name:<12} {:>6.2} % of {total}", 100.0 * row[class] as f64 / total.max(1) as f64);
    }
    Ok(())
}
