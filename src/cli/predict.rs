//! `tinderbox predict`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::args::{Checkpoint, DeviceArgs};
use super::output::print_json;
use super::terminal::say;
use super::words;
use crate::error::{Error, Result};
use crate::runs::{RunDir, Trained};

/// Ask weights, of a run or in a file, about images: PNG, JPEG or BMP of any size.
///
/// For a run on MNIST the digit may be dark on light or light on dark, anywhere on a drawing or a photo: it is cut out,
/// scaled and centred as MNIST's digits were. Any other run takes the middle of the picture, as in training.
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
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: PredictArgs) -> Result<()> {
    if let Some(run) = args.images.iter().find(|path| RunDir::is_at(path)) {
        return Err(Error::usage(format!("{} is a run: name it first, and the pictures behind it", run.display())));
    }
    let (device, _) = args.device.open()?;
    let trained = Trained::open(&args.run, args.checkpoint.name(), &device)?;
    let (mut rows, mut failed) = (Vec::new(), None);
    for path in &args.images {
        let guesses = match trained.predict(path) {
            Ok(guesses) => guesses,
            Err(e) => {
                rows.push(json!({"image": path, "error": words::error(&e)}));
                if let Some(earlier) = failed.replace(e) {
                    eprintln!("error: {}", words::error(&earlier));
                }
                continue;
            }
        };
        let top = guesses.iter().take(usize::from(args.top));
        if args.json {
            let top: Vec<_> = top.map(|g| json!({"class": g.class, "probability": g.probability})).collect();
            rows.push(json!({"image": path, "top": top}));
        } else {
            let top: Vec<String> = top.map(|g| format!("{} {:.1} %", g.class, 100.0 * g.probability)).collect();
            say!("{}: {}", path.display(), top.join(", "));
        }
    }
    if args.json {
        print_json(&rows)?;
    }
    failed.map_or(Ok(()), Err)
}
