//! `tinderbox import`

use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

use burn::module::Module;
use burn::tensor::Device;
use clap::Args;

use super::args::{DataArgs, DeviceArgs};
use super::output::write_weights;
use super::terminal::{self, say};
use crate::data::{Identity, load_sized};
use crate::error::{Error, Result};
use crate::files;
use crate::network::Network;
use crate::recipe::Views;
use crate::recipe::{DEFAULT_PRESET, Recipe, change_typed};
use crate::training::batches::DeviceSplit;
use crate::training::metrics::{Measure, evaluate, evaluation_batch};
use crate::weights::{self, Metadata};

/// Take weights that PyTorch saved: measure them, and write them as a file that evaluate, predict and the page use.
///
/// The tensors must have the names of a torch.nn.Sequential of the same layers, as `tinderbox export --to pytorch` writes it:
/// `1.weight`, `2.running_mean` and so on. A .pth file is read without executing anything in it.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tinderbox import model.pth --model linear_v1 --dataset mnist --out model.safetensors\n  \
                        tinderbox import model.pth --layers \"flatten, linear 32, relu, linear classes\""
)]
pub struct ImportArgs {
    /// A .safetensors file, or one that torch.save wrote
    file: PathBuf,
    /// A network of the catalogue; see `tinderbox models`
    #[arg(long, required_unless_present = "layers")]
    model: Option<String>,
    /// The layers of a network of your own
    #[arg(long, conflicts_with = "model")]
    layers: Option<String>,
    /// What the network was trained on: decides the shape of images and the classes, and measures the weights
    #[arg(long, default_value = "mnist")]
    dataset: Identity,
    /// Factor on the channels of a convolutional network
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    width: Option<String>,
    /// max or avg: how a VGG network halves its images
    #[arg(long, value_name = "KIND")]
    pool: Option<String>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    data: DataArgs,
}

impl ImportArgs {
    /// The recipe of the network that the options name.
    fn recipe(&self) -> Result<Recipe> {
        let typed = [
            ("network.name", &self.model),
            ("network.layers", &self.layers),
            ("network.width", &self.width),
            ("network.pool", &self.pool),
        ];
        let base = Recipe { dataset: self.dataset.clone(), ..Recipe::preset(DEFAULT_PRESET)? };
        change_typed(&base, typed.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))))
    }
}

pub fn run(args: ImportArgs) -> Result<()> {
    let invalid = |e: Error| e.in_file(&args.file);
    let bytes = files::read(&args.file)?;
    let mut recipe = args.recipe()?;
    // torch.save writes a zip archive, and before version 1.6 a bare pickle.
    let is_pytorch = bytes.get(8) != Some(&b'{') && (bytes.starts_with(b"PK") || bytes.starts_with(&[0x80]));
    let names = if is_pytorch { weights::pytorch_names(&args.file) } else { weights::safetensors_names(&bytes) };
    let batch_norm = names.map_err(invalid)?.iter().any(|name| name.ends_with("running_mean"));
    recipe.network = recipe.network.with(|settings| settings.batch_norm = batch_norm);
    recipe.validate()?;
    let side = recipe.image_side();
    let dataset = load_sized(&args.dataset, side, args.data.data_dir.as_deref(), &mut terminal::tell)?.dataset;
    let metadata = Metadata::new(&recipe, dataset.shape(), &dataset.classes);
    let built = metadata.network()?;
    metadata.check_size(bytes.len()).map_err(invalid)?;

    let (device, info) = args.device.open()?;
    let load_onto = |device: &Device| {
        let fresh = built.build(recipe.seed, recipe.products(), device);
        let loaded = match is_pytorch {
            true => weights::load_pytorch(fresh, &args.file),
            false => weights::load_bytes(fresh, bytes.clone()),
        };
        loaded.map_err(|e| {
            let expected = expected_names(&built);
            invalid(e.reword(|m| format!("does not fit {}: {m}. Expected {expected}", recipe.network)))
        })
    };
    let trained = load_onto(&device)?;
    let split = DeviceSplit::new(&dataset.test, &device);
    let (loss, classes, never) = (recipe.loss, dataset.classes.len(), AtomicUsize::new(0));
    let how =
        Measure { loss, classes, batch_size: evaluation_batch(recipe.batch_size), views: Views::Plain, ranks: None };
    let measured = pollster::block_on(evaluate(&trained, &split, how, &never))?;
    say!(
        "{} on {} test images: accuracy {:.2} %, {loss} loss {:.5} (on {info})",
        args.file.display(),
        split.len(),
        measured.accuracy,
        measured.loss
    );
    let Some(out) = &args.out else { return Ok(()) };
    write_weights(out, &weights::to_bytes(&load_onto(&Device::flex())?.valid(), &metadata.to_json())?)
}

/// The names of the first tensors that the network has, so that one sees how they are called.
fn expected_names(network: &Network) -> String {
    let names: Vec<String> = network.tensors().take(4).map(|tensor| tensor.name).collect();
    format!("{} and so on, as `tinderbox export --to pytorch` writes them", names.join(", "))
}
