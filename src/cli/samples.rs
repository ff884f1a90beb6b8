//! `tinderbox samples`

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use super::args::DataArgs;
use super::terminal::{self, say};
use crate::data::{Identity, load};
use crate::error::Result;
use crate::files::write_atomically;
use crate::report::plots::encode_png;
use crate::report::samples::grid;
use crate::window::samples;

/// Show a grid of random images of a data set with their labels.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tinderbox samples mnist-sample\n  tinderbox samples mnist --seed 1 --png digits.png"
)]
pub struct SamplesArgs {
    /// mnist, mnist-sample, cifar10, idx:DIR or folder:DIR
    dataset: String,
    /// Write a PNG file instead of opening a window
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Picks the images [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// Images in a row
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=40))]
    columns: u32,
    /// Images in a column
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=40))]
    rows: u32,
    #[command(flatten)]
    data: DataArgs,
}

pub fn run(args: SamplesArgs) -> Result<()> {
    let identity: Identity = args.dataset.parse()?;
    let dataset = load(&identity, args.data.data_dir.as_deref(), &mut terminal::tell)?.dataset;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seed = args.seed.unwrap_or(now);
    let picture = grid(&dataset.train, &dataset.classes, args.columns, args.rows, seed)?;
    match args.png {
        Some(path) => {
            write_atomically(&path, &encode_png(&picture)?)?;
            say!("wrote {} (seed {seed})", path.display());
            Ok(())
        }
        None => samples::show(&format!("{identity} samples, seed {seed} (Esc closes)"), &picture),
    }
}
