//! `tinderbox import`

use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

use burn::module::Module;
use burn::tensor::Device;
use clap::Args;

use super::export::write;
use super::{DataArgs, DeviceArgs};
use crate::batches::DeviceSplit;
use crate::dataset::{self, DataSource};
use crate::error::{Error, Result};
use crate::metrics::evaluate;
use crate::model::{Model, check_fit};
use crate::recipe::{Architecture, Pool, Recipe};
use crate::train::evaluation_batch;
use crate::weights::{self, About};

/// Take weights that PyTorch saved: measure them, and write them as a file that evaluate, predict and the page use.
///
/// The tensors must have the names of this program's networks, as `tinderbox export --to safetensors` writes them:
/// `fc1.weight`, `bn1.running_mean` and so on. A .pth file is read without executing anything in it.
#[derive(Args)]
#[command(after_help = "Example: tinderbox import model.pth --model linear_v1 --dataset mnist --out model.safetensors")]
pub struct ImportArgs {
    /// A .safetensors file, or one that torch.save wrote
    file: PathBuf,
    /// linear_v0, linear_v1, vgg11, vgg16 or resnet9
    #[arg(long)]
    model: String,
    /// What the network was trained on: decides the shape of images and the classes, and measures the weights
    #[arg(long, default_value = "mnist")]
    dataset: DataSource,
    /// Factor on the channels of a convolutional network
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    width: f64,
    /// max or avg: how a VGG network halves its images
    #[arg(long, default_value = "max")]
    pool: Pool,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    data: DataArgs,
}

pub fn run(args: ImportArgs) -> Result<()> {
    let model: Architecture = args.model.parse()?;
    let invalid = |e: String| Error::invalid(&args.file, e);
    let bytes = std::fs::read(&args.file).map_err(|e| Error::io("read", &args.file, &e))?;
    // torch.save writes a zip archive, and before version 1.6 a bare pickle.
    let is_pytorch = bytes.get(8) != Some(&b'{') && (bytes.starts_with(b"PK") || bytes.starts_with(&[0x80]));
    let names = if is_pytorch { weights::pytorch_names(&args.file) } else { weights::safetensors_names(&bytes) };
    let batch_norm = names.map_err(invalid)?.iter().any(|name| name.ends_with("running_mean"));
    let preset = if model.is_convolutional() { "cifar10-vgg11" } else { "linear_v1-bn-ce" };
    let dataset = args.dataset.to_string();
    let recipe = Recipe { dataset, model, batch_norm, width: args.width, pool: args.pool, ..Recipe::preset(preset)? };
    recipe.validate()?;
    let loaded = dataset::load(&args.dataset, args.data.data_dir.as_deref())?.dataset;
    check_fit(model, loaded.shape())?;
    let about = About::new(&recipe, loaded.shape(), &loaded.classes);
    about.check_size(bytes.len()).map_err(|e| Error::invalid(&args.file, e))?;

    let (device, info) = args.device.open()?;
    let fresh = |device: &Device| Model::new(&recipe, about.shape, about.classes.len(), device);
    let load = |device: &Device| match is_pytorch {
        true => weights::load_pytorch(fresh(device), &args.file),
        false => weights::load_bytes(fresh(device), bytes.clone()),
    };
    let trained = load(&device).map_err(|e| invalid(format!("does not fit {model}: {e}")))?;
    let split = DeviceSplit::new(&loaded.test, &device);
    let (loss, classes, never) = (recipe.loss, loaded.classes.len(), AtomicUsize::new(0));
    let measured = evaluate(&trained, &split, loss, classes, evaluation_batch(&recipe), &never);
    let measured = pollster::block_on(measured)?;
    crate::say!(
        "{} on {} test images: accuracy {:.2} %, {loss} loss {:.5} (on {info})",
        args.file.display(),
        split.len(),
        measured.accuracy,
        measured.loss
    );
    let Some(out) = &args.out else { return Ok(()) };
    let on_cpu = load(&Device::flex()).map_err(invalid)?;
    let packed =
        weights::to_bytes(&on_cpu.valid(), &about.to_json()).map_err(|e| Error::unwritable("the weights", &e))?;
    write(out, &packed)
}
