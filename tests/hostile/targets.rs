//! Every kind of file that is read from outside: bytes to begin with, and what must hold whatever becomes of them.
//!
//! Shared by the test beside this file and by the fuzzer in `fuzz/`.

#[path = "pictures.rs"]
mod pictures;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tinderbox::data::{Identity, ImageShape, cifar, load, parse_split};
use tinderbox::network::{Architecture, Model};
use tinderbox::notice::silent;
use tinderbox::recipe::{OptimizerConfig, PRESETS, Recipe, file};
use tinderbox::runs;
use tinderbox::training::optimizer::Optimizer;
use tinderbox::training::{Progress, TrainState};
use tinderbox::weights::{self, Metadata, to_burnpack, to_bytes, to_half_bytes};

use crate::memory::capped;

/// What is done with any bytes.
pub type Attempt = Box<dyn FnMut(&[u8])>;
/// A name, and how to make the target.
pub type Named = (&'static str, fn() -> Target);

/// One kind of file.
pub struct Target {
    /// Files as they should be.
    pub seeds: Vec<Vec<u8>>,
    /// Takes any bytes; panics if a promise is broken.
    pub try_it: Attempt,
}

impl Target {
    fn new(seeds: Vec<Vec<u8>>, try_it: impl FnMut(&[u8]) + 'static) -> Self {
        Self { seeds, try_it: Box::new(try_it) }
    }
}

/// All of them.
pub const TARGETS: [Named; 13] = [
    ("idx_files", idx_files),
    ("gzipped_idx_files", gzipped_idx_files),
    ("cifar_archives", cifar_archives),
    ("cifar_records", cifar_records),
    ("weights", weights_files),
    ("pytorch_files", pytorch_files),
    ("checkpoint_parts", checkpoint_parts),
    ("recipes", recipes),
    ("layers", layers),
    ("pictures", pictures::pictures),
    ("zipped_pictures", pictures::zipped_pictures),
    ("picture_lists", pictures::picture_lists),
    ("packed_pictures", pictures::packed_pictures),
];

/// Images and labels of three digits.
fn idx() -> [Vec<u8>; 2] {
    let images = [&[0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5][..], &[7; 60]].concat();
    [images, vec![0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 9]]
}

/// The first byte says how long the labels are, which come next; the rest are images.
fn idx_files() -> Target {
    let [images, labels] = idx();
    let seed = [&[labels.len() as u8][..], &labels, &images].concat();
    Target::new(vec![seed], |bytes| {
        let Some((&n, rest)) = bytes.split_first() else { return };
        let (labels, images) = rest.split_at(usize::from(n).min(rest.len()));
        let cap = 2 * (images.len() + labels.len()) + 4096;
        if let Ok(split) = capped(cap, || parse_split(images, labels)) {
            assert_eq!(split.pixels.len(), split.len() * split.shape.len());
        }
    })
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The train images of a folder whose other files are as they should be.
fn gzipped_idx_files() -> Target {
    let dir = tempfile::tempdir().unwrap();
    let [images, labels] = idx().map(|bytes| gzipped(&bytes));
    for prefix in ["train", "t10k"] {
        fs::write(dir.path().join(format!("{prefix}-images-idx3-ubyte.gz")), &images).unwrap();
        fs::write(dir.path().join(format!("{prefix}-labels-idx1-ubyte.gz")), &labels).unwrap();
    }
    let source = Identity::Idx(dir.path().into());
    assert!(load(&source, None, &mut silent).is_ok());
    Target::new(vec![images], move |bytes| {
        fs::write(dir.path().join("train-images-idx3-ubyte.gz"), bytes).unwrap();
        // deflate packs at most 1,032 to one.
        let cap = (2 * 1032 * bytes.len()).min(256 << 20) + (1 << 20);
        if let Err(e) = capped(cap, || load(&source, None, &mut silent).map(drop)) {
            assert!(e.to_string().contains(dir.path().to_str().unwrap()), "{e}");
        }
    })
}

fn record() -> Vec<u8> {
    [vec![3], vec![7; 3072]].concat()
}

fn cifar_archives() -> Target {
    let mut builder = tar::Builder::new(Vec::new());
    for name in cifar::TRAIN_FILES.iter().chain([&cifar::TEST_FILE]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(record().len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), &record()[..]).unwrap();
    }
    let tar = builder.into_inner().unwrap();
    assert_eq!(cifar::from_archive(&tar[..], "x").unwrap().train.len(), 5);
    Target::new(vec![tar], |bytes| {
        let _ = capped(4 * bytes.len() + (1 << 20), || cifar::from_archive(bytes, "x").map(drop));
    })
}

fn cifar_records() -> Target {
    Target::new(vec![record()], |bytes| {
        let file = ("f".to_string(), bytes.to_vec());
        let cap = 4 * bytes.len() + (1 << 20);
        let _ =
            capped(cap, || cifar::from_files(vec![file.clone(), (cifar::TEST_FILE.into(), file.1.clone())]).map(drop));
    })
}

const DIGIT: ImageShape = ImageShape { channels: 1, height: 4, width: 5 };
const PHOTO: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

/// A network of a preset, as small as it can be, on an autodiff device.
fn small(preset: &str, shape: ImageShape) -> (Metadata, Model) {
    let recipe = Recipe::preset(preset).unwrap();
    let network = recipe.network.clone().with(|settings| settings.width = 1.0 / 512.0);
    let recipe = Recipe { optimizer: OptimizerConfig::Adam { weight_decay: 0.0 }, network, ..recipe };
    let classes = ["a", "b", "c"].map(String::from);
    let model = recipe.model(shape, classes.len(), &Device::flex().autodiff()).unwrap();
    (Metadata::new(&recipe, shape, &classes), model)
}

/// In every format that this program writes. What loads must also run.
fn weights_files() -> Target {
    let mut seeds = Vec::new();
    for (preset, shape) in [("linear_v0-mse", DIGIT), ("cifar10-vgg11", PHOTO)] {
        let (metadata, model) = small(preset, shape);
        let (model, metadata) = (model.valid(), metadata.to_json());
        seeds.extend([to_bytes, to_half_bytes, to_burnpack].map(|format| format(&model, &metadata).unwrap()));
    }
    for seed in &seeds {
        weights::load(&weights::read_metadata(seed).unwrap(), seed.clone(), &Device::flex()).unwrap();
    }
    Target::new(seeds, |bytes| {
        let cap = 12 * bytes.len() + (4 << 20);
        let loaded = capped(cap, || {
            let metadata = weights::read_metadata(bytes)?;
            let model = weights::load(&metadata, bytes.to_vec(), &Device::flex())?;
            tinderbox::error::Result::<_>::Ok((model, metadata.shape, metadata.classes.len()))
        });
        if let Ok((model, shape, classes)) = loaded
            && shape.len() <= 1 << 14
        {
            let images = Tensor::ones([2, shape.channels, shape.height, shape.width], &Device::flex());
            assert_eq!(model.forward(images).dims(), [2, classes]);
        }
    })
}

/// What `torch.save({"1.weight": torch.ones(3, 20), "1.bias": torch.ones(3)}, file)` writes: a zip archive, and with
/// `_use_new_zipfile_serialization=False` the bare pickle of before version 1.6.
const PYTORCH: [&[u8]; 2] =
    [include_bytes!("../fixtures/linear_v0.pth"), include_bytes!("../fixtures/linear_v0_legacy.pth")];

fn pytorch_files() -> Target {
    let dir = tempfile::tempdir().unwrap();
    let (_, model) = small("linear_v0-mse", DIGIT);
    let model = model.valid();
    for seed in PYTORCH {
        pytorch(dir.path(), seed, &model).unwrap();
    }
    Target::new(PYTORCH.map(<[u8]>::to_vec).to_vec(), move |bytes| {
        // burn's reader lets a pickle copy a million of its values, or 64 MB.
        let _ = capped(64 * bytes.len() + (256 << 20), || pytorch(dir.path(), bytes, &model));
    })
}

fn pytorch(dir: &Path, bytes: &[u8], model: &Model) -> tinderbox::error::Result<Vec<String>> {
    let path = dir.join("model.pth");
    fs::write(&path, bytes).unwrap();
    weights::load_pytorch(model.clone(), &path)?;
    weights::pytorch_names(&path)
}

/// A run's first checkpoint, of a small network, and a place for damaged copies of it.
struct Checkpoint {
    saved: PathBuf,
    dir: TempDir,
    optimizer: OptimizerConfig,
    model: Model,
    /// Sorted.
    parts: Vec<String>,
}

impl Checkpoint {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (metadata, model) = small("cifar10-vgg11", PHOTO);
        let config = metadata.recipe.optimizer;
        let mut optimizer = Optimizer::new(config);
        let loss = model.forward(Tensor::ones([2, 3, 32, 32], &Device::flex())).sum();
        let model = optimizer.step(0.1, model, loss.backward());
        let saved = dir.path().join("saved");
        let state = TrainState { model, optimizer, progress: Progress::default() };
        runs::save(&saved, "last", &metadata, &state).unwrap();
        let model = state.model;
        let entries = fs::read_dir(saved.join("last")).unwrap();
        let mut parts: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        parts.sort();
        assert!(parts.len() >= 4, "{parts:?}");
        Self { saved: saved.join("last"), dir, optimizer: config, model, parts }
    }

    fn part(&self, index: usize) -> Vec<u8> {
        fs::read(self.saved.join(&self.parts[index])).unwrap()
    }

    /// Loads a copy with one part replaced, whose size and hash in the manifest are made to fit.
    fn load_with(&self, index: usize, bytes: &[u8]) -> tinderbox::error::Result<()> {
        let (part, dir) = (&self.parts[index], self.dir.path());
        let place = dir.join("last");
        fs::create_dir_all(&place).unwrap();
        for name in &self.parts {
            fs::copy(self.saved.join(name), place.join(name)).unwrap();
        }
        fs::write(place.join(part), bytes).unwrap();
        if part != "manifest.json" {
            let path = place.join("manifest.json");
            let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let listed = manifest["parts"].as_array_mut().unwrap().iter_mut().find(|p| p["name"] == **part).unwrap();
            listed["bytes"] = bytes.len().into();
            let hash = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            listed["sha256"] = hash.into();
            fs::write(path, manifest.to_string()).unwrap();
        }
        capped(16 * self.part(index).len() + 12 * bytes.len() + (4 << 20), || {
            let found = runs::load(dir, "last")?;
            let model = self.model.clone();
            let optimizer = Optimizer::new(self.optimizer);
            found.restore(TrainState { model, optimizer, progress: Progress::default() }).map(drop)
        })
    }
}

/// The first byte says which part, the rest replaces it.
fn checkpoint_parts() -> Target {
    let checkpoint = Checkpoint::new();
    let seed = |index: usize| {
        let part = checkpoint.part(index);
        checkpoint.load_with(index, &part).unwrap(); // as it was saved
        [&[index as u8][..], &part].concat()
    };
    let seeds = (0..checkpoint.parts.len()).map(seed).collect();
    Target::new(seeds, move |bytes| {
        let Some((&part, bytes)) = bytes.split_first() else { return };
        let _ = checkpoint.load_with(usize::from(part) % checkpoint.parts.len(), bytes);
    })
}

/// As a run keeps it, and as people write it.
fn recipes() -> Target {
    let all = PRESETS.iter().map(|preset| preset.recipe());
    let seeds = all.flat_map(|recipe| [toml::to_string_pretty(&recipe).unwrap(), file::commented(&recipe)]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recipe.toml");
    Target::new(seeds.map(String::into_bytes).collect(), move |bytes| {
        let _keep = &dir;
        let text = String::from_utf8_lossy(bytes);
        let kept = capped(64 * text.len() + (1 << 20), || toml::from_str::<Recipe>(&text)).ok();
        fs::write(&path, bytes).unwrap();
        let written = match capped(64 * text.len() + (1 << 20), || file::read(&path)) {
            Ok(recipe) => Some(recipe),
            Err(e) => {
                assert!(e.to_string().contains("recipe.toml"), "{e}");
                None
            }
        };
        for recipe in kept.into_iter().chain(written).filter(|recipe| recipe.validate().is_ok()) {
            assert_eq!(toml::from_str::<Recipe>(&toml::to_string(&recipe).unwrap()).unwrap(), recipe);
            let _ = recipe.command(None);
            let _ = recipe.schedule.learning_rate(recipe.learning_rate, 10, 8, recipe.steps(8));
        }
    })
}

/// Layers as people write them; what fits is built, if it is small, and computes.
fn layers() -> Target {
    let seeds = [
        "conv 4, norm, relu, pool max 2, flatten, dropout 0.2, linear classes, scale 0.5",
        "residual [conv 1 kernel 5, residual [norm, gelu]], global_pool avg, flatten, linear 3 bias off",
    ];
    Target::new(seeds.map(|text| text.as_bytes().to_vec()).to_vec(), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(architecture) = capped(64 * text.len() + (1 << 20), || text.parse::<Architecture>()) else { return };
        assert_eq!(architecture.to_string().parse::<Architecture>().unwrap(), architecture);
        let network =
            capped(256 * text.len() + (1 << 20), || tinderbox::network::Network::new(&architecture, DIGIT, 3));
        if let Ok(network) = network
            && network.values() < 1 << 16
            && network.summary().multiply_adds() < 1 << 22
        {
            let model = network.build(0, tinderbox::network::Precision::F32, &Device::flex());
            assert_eq!(model.forward(Tensor::ones([2, 1, 4, 5], &Device::flex())).dims(), [2, 3]);
        }
    })
}
