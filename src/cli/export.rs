//! `tinderbox export`

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use clap::{Args, ValueEnum};

use super::evaluate::Checkpoint;
use crate::error::{Error, Result};
use crate::infer::Trained;
use crate::run_dir::{RunDir, write_atomically};
use crate::{onnx, site, weights};

/// Write a run's weights for use elsewhere.
#[derive(Args)]
#[command(after_help = "Examples: tinderbox export runs/mnist/linear_v1-bn-ce --to web --out site
          tinderbox export runs/mnist/linear_v1-bn-ce --to safetensors --out mnist.safetensors")]
pub struct ExportArgs {
    /// Folder of a run, or a file of weights
    run: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    to: Target,
    /// Which weights: best, last or epoch-N
    #[arg(long, default_value = "best")]
    checkpoint: Checkpoint,
    /// The file to write, or for the web a folder, which is made, and must be empty if it is there
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// With safetensors: layers in half precision, half the size
    #[arg(long)]
    half: bool,
    /// For the web: folder of the page [default: web, here or in the source folder]
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// The page with these weights, a folder for any static host
    Web,
    /// Weights under PyTorch's names and in its layouts, with recipe and classes in the header
    Safetensors,
    /// Weights as other programs on burn read them
    Burnpack,
    /// The network itself, for ONNX Runtime and others: images in [0, 1] in, logits out
    Onnx,
}

pub fn run(args: ExportArgs) -> Result<()> {
    if args.half && args.to != Target::Safetensors {
        return Err(Error::usage("--half is for --to safetensors"));
    }
    if args.to == Target::Web {
        return web(&args);
    }
    let trained = Trained::open(&args.run, args.checkpoint.name(), &Device::flex())?;
    let (model, about) = (trained.model.valid(), trained.about.to_json());
    let bytes = match args.to {
        Target::Burnpack => weights::to_burnpack(&model, &about),
        Target::Onnx => onnx::to_bytes(&model, &trained.about),
        Target::Safetensors if args.half => weights::to_half_bytes(&model, &about),
        Target::Safetensors | Target::Web => weights::to_bytes(&model, &about),
    };
    let bytes = bytes.map_err(|e| Error::unwritable("the weights", &e))?;
    write(&args.out, &bytes)
}

/// Writes a file of weights, and says so.
pub(super) fn write(out: &Path, bytes: &[u8]) -> Result<()> {
    if out.is_dir() {
        return Err(Error::usage(format!("{} is a folder: --out names the file to write", out.display())));
    }
    write_atomically(out, bytes)?;
    crate::say!("{}: {} bytes", out.display(), bytes.len());
    Ok(())
}

fn web(args: &ExportArgs) -> Result<()> {
    if args.run.is_file() {
        return Err(Error::usage("--to web takes the folder of a run, not a file: its page tells how the run went"));
    }
    let dir = RunDir::open(&args.run)?;
    if std::fs::read_dir(&args.out).is_ok_and(|mut files| files.next().is_some()) {
        return Err(Error::usage(format!("{} is not empty: choose another --out", args.out.display())));
    }
    let site = site::build(&site::page_dir(args.page.clone()), Some((&dir, args.checkpoint.name())))?;
    eprintln!("notice: compressing the page, once, as small as it gets; this may take a minute");
    let [gzip, brotli] = site::write(&site, &args.out)?;
    crate::say!(
        "{}: {} files; a host sends {:.1} MB with gzip, {:.1} MB with brotli",
        args.out.display(),
        site.len(),
        gzip as f64 / 1e6,
        brotli as f64 / 1e6
    );
    Ok(())
}
