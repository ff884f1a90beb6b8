//! The page as a set of files: its own, the built WebAssembly, the sample, and models.
//!
//! The same set is served by `tinderbox serve` and written by `tinderbox export --to web`. Nothing but these names
//! exists, so no request can reach another file.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use brotli::enc::BrotliEncoderParams;
use burn::module::Module;
use burn::tensor::Device;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::dataset::SAMPLE_FILES;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::hex;
use crate::infer::Trained;
use crate::run_dir::RunDir;
use crate::weights;

/// Files of the page's folder.
const PAGE: [&str; 14] = [
    "index.html",
    "app.js",
    "common.js",
    "charts.js",
    "data.js",
    "lab.js",
    "models.js",
    "pad.js",
    "training.js",
    "worker.js",
    "style.css",
    "icon.svg",
    "pkg/tinderbox_web.js",
    "pkg/tinderbox_web_bg.wasm",
];

/// A file by its path within the site, with forward slashes.
pub type Site = BTreeMap<String, Vec<u8>>;

/// The folder of the page: the one given, or `web` here, or in the source folder that this program was built from.
pub fn page_dir(given: Option<PathBuf>) -> PathBuf {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let here = || Some(PathBuf::from("web")).filter(|dir| dir.join("index.html").is_file());
    given.or_else(here).unwrap_or(built_from)
}

/// All files of the site, with the weights of a run first among its models.
///
/// # Errors
/// Missing data: the page is not there, or not built; says how to build it. Whatever is wrong with the run.
pub fn build(page: &Path, run: Option<(&RunDir, &str)>) -> Result<Site> {
    let mut site = Site::new();
    for name in PAGE {
        site.insert(name.into(), read(page, name)?);
    }
    for (name, bytes) in SAMPLE_FILES {
        site.insert(format!("data/{name}.gz"), bytes.to_vec());
    }
    for (name, text) in crate::report::page::CHART_LIBRARY {
        site.insert(format!("vendor/{name}"), text.as_bytes().to_vec());
    }
    let list = read(page, "models/models.json")?;
    let invalid = |e: String| Error::invalid(&page.join("models/models.json"), e);
    let mut models: Vec<Value> = serde_json::from_slice(&list).map_err(|e| invalid(e.to_string()))?;
    for model in &models {
        let file = model["file"].as_str().filter(|file| !file.contains(['/', '\\']));
        let file = file.ok_or_else(|| invalid("expected a file name for every model".into()))?;
        let name = format!("models/{file}");
        let bytes = read(page, &name)?;
        site.insert(name, bytes);
    }
    if let Some((dir, checkpoint)) = run {
        let (about, bytes) = model_of(dir, checkpoint)?;
        models.insert(0, about);
        site.insert("models/run.safetensors".into(), bytes);
    }
    site.insert("models/models.json".into(), Value::Array(models).to_string().into_bytes());
    Ok(site)
}

fn read(page: &Path, name: &str) -> Result<Vec<u8>> {
    let path = page.join(name);
    std::fs::read(&path).map_err(|e| {
        let message = format!(
            "{} cannot be read ({e}): the page is built by `wasm-pack build web --target web --release` in the source \
             folder; --page names the folder with index.html",
            path.display()
        );
        Error::new(ErrorKind::MissingData, message)
    })
}

/// The manifest of a run's weights, as the page reads it, and the weights.
fn model_of(dir: &RunDir, checkpoint: &str) -> Result<(Value, Vec<u8>)> {
    let trained = Trained::load(dir, checkpoint, &Device::flex())?;
    let text = trained.about.to_json();
    let bytes = weights::to_bytes(&trained.model.valid(), &text).map_err(|e| Error::unwritable("the weights", &e))?;
    let epoch = trained.epoch.unwrap_or_default();
    let accuracy = dir.metrics()?.iter().find(|m| m.epoch == epoch).map(|m| m.test_accuracy);
    let mut manifest = json!(trained.about);
    manifest["name"] = json!(format!("{}, epoch {epoch}", dir.name()));
    manifest["file"] = json!("run.safetensors");
    manifest["sha256"] = json!(hex(&Sha256::digest(&bytes)));
    manifest["accuracy"] = json!(accuracy);
    manifest["run"] = json!(dir.name());
    Ok((manifest, bytes))
}

/// The bytes as gzip, where that makes them smaller by a tenth or more.
pub fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish()).ok()?;
    (packed.len() * 10 < bytes.len() * 9).then_some(packed)
}

/// The bytes as brotli, under the same condition; the best it can do takes a minute for the WebAssembly.
fn brotli(bytes: &[u8]) -> Option<Vec<u8>> {
    let best = BrotliEncoderParams { quality: 11, lgwin: 24, size_hint: bytes.len(), ..Default::default() };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut &bytes[..], &mut packed, &best).ok()?;
    (packed.len() * 10 < bytes.len() * 9).then_some(packed)
}

/// Writes the site into a folder, each file beside its gzip and brotli forms, as static hosts serve them. Returns how many
/// bytes a visitor gets with either.
///
/// # Errors
/// Io.
pub fn write(site: &Site, out: &Path) -> Result<[usize; 2]> {
    let mut sent = [0; 2];
    for (name, bytes) in site {
        let path = out.join(name);
        let folder = path.parent().unwrap_or(out);
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, &e))?;
        crate::run_dir::write_atomically(&path, bytes)?;
        for (sent, (packed, ending)) in sent.iter_mut().zip([(gzip(bytes), ".gz"), (brotli(bytes), ".br")]) {
            *sent += packed.as_ref().map_or(bytes.len(), Vec::len);
            if let Some(packed) = packed {
                let mut beside = path.clone().into_os_string();
                beside.push(ending);
                crate::run_dir::write_atomically(Path::new(&beside), &packed)?;
            }
        }
    }
    Ok(sent)
}
