//! `tinderbox export`

use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::Device;
use clap::{Args, ValueEnum};

use super::args::Checkpoint;
use super::output::{built_site, write_weights};
use super::terminal::say;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::network::pytorch;
use crate::runs::{RunDir, Trained};
use crate::{site, weights};

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
    /// The file to write, or for web and pytorch a folder, which is made, and must be empty if it is there
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// With safetensors: layers in half precision, half the size
    #[arg(long)]
    half: bool,
    /// For the web: folder of the page [default: web, here, beside the program, or in the source folder]
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
    /// A folder with the network as Python (network.py, a torch.nn.Sequential) and its weights (model.safetensors)
    Pytorch,
}

pub fn run(args: ExportArgs) -> Result<()> {
    if args.half && args.to != Target::Safetensors {
        return Err(Error::usage("--half is for --to safetensors"));
    }
    if args.to == Target::Web {
        return web(&args);
    }
    let trained = Trained::open(&args.run, args.checkpoint.name(), &Device::flex())?;
    let (model, metadata) = (trained.model.valid(), trained.metadata.to_json());
    let bytes = match args.to {
        Target::Burnpack => weights::to_burnpack(&model, &metadata),
        Target::Onnx => weights::to_onnx(&model, &trained.metadata),
        Target::Safetensors if args.half => weights::to_half_bytes(&model, &metadata),
        Target::Safetensors | Target::Pytorch | Target::Web => weights::to_bytes(&model, &metadata),
    }?;
    if args.to == Target::Pytorch {
        return python(&args, &trained, &bytes);
    }
    write_weights(&args.out, &bytes)
}

/// The network as Python beside its weights.
fn python(args: &ExportArgs, trained: &Trained, bytes: &[u8]) -> Result<()> {
    check_empty(args)?;
    crate::files::make_folder(&args.out)?;
    let source = pytorch::source(trained.model.network(), &trained.metadata.recipe.short_name());
    write_atomically(&args.out.join("network.py"), source.as_bytes())?;
    write_weights(&args.out.join("model.safetensors"), bytes)
}

fn check_empty(args: &ExportArgs) -> Result<()> {
    if std::fs::read_dir(&args.out).is_ok_and(|mut files| files.next().is_some()) {
        return Err(Error::usage(format!("{} is not empty: choose another --out", args.out.display())));
    }
    Ok(())
}

fn web(args: &ExportArgs) -> Result<()> {
    if args.run.is_file() {
        return Err(Error::usage("--to web takes the folder of a run, not a file: its page tells how the run went"));
    }
    let dir = RunDir::open(&args.run)?;
    check_empty(args)?;
    let site = built_site(args.page.clone(), Some((&dir, args.checkpoint.name())))?;
    eprintln!("notice: compressing the page, once, as small as it gets; this may take a minute");
    let [gzip, brotli] = site::write(&site, &args.out)?;
    say!(
        "{}: {} files; a host sends {:.1} MB with gzip, {:.1} MB with brotli",
        args.out.display(),
        site.len(),
        gzip as f64 / 1e6,
        brotli as f64 / 1e6
    );
    Ok(())
}
