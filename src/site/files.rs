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

use crate::data::{SAMPLE_FILES, cifar10_sample};
use crate::error::{Advice, Error, ErrorKind, Result};
use crate::files::{make_folder, sha256, write_atomically};
use crate::report::page::CHART_LIBRARY;
use crate::runs::{RunDir, Trained};
use crate::weights;

/// Where the page's own files are, within its folder; a new one need not be listed anywhere.
const PAGE: &str = "page";
/// The version of the site and the names of its files, for `offline.js`.
const VERSION: &str = "version.json";
/// Which data sets the page can fetch beside the digits.
const SAMPLES: &str = "data/samples.json";
/// Where `wasm-pack` builds the program.
const PROGRAM: &str = "pkg";
/// Where it is built for the CPU alone, which is small. The whole program stands in for it where it was not built.
const SMALL_PROGRAM: &str = "pkg/cpu";
/// The files of either.
const BUILT: [&str; 2] = ["tinderbox_web.js", "tinderbox_web_bg.wasm"];

/// A file by its path within the site, with forward slashes.
pub type Site = BTreeMap<String, Vec<u8>>;

/// The folder of the page: the one given, or `web` here, or beside the program, as in a release's archive, or in the
/// source folder that this program was built from.
pub fn page_dir(given: Option<PathBuf>) -> PathBuf {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let program = std::env::current_exe().and_then(std::fs::canonicalize).unwrap_or_default();
    let places = [PathBuf::from("web"), program.with_file_name("web")];
    let there = || places.into_iter().find(|dir| dir.join(PAGE).join("index.html").is_file());
    given.or_else(there).unwrap_or(built_from)
}

/// All files of the site, with the weights of a run first among its models.
///
/// # Errors
/// Missing data: the page is not there, or not built; advises to build it. Whatever is wrong with the run.
pub fn build(page: &Path, run: Option<(&RunDir, &str)>) -> Result<Site> {
    let mut site = Site::new();
    take_folder(&page.join(PAGE), "", &mut site)?;
    let small = if page.join(SMALL_PROGRAM).is_dir() { SMALL_PROGRAM } else { PROGRAM };
    for (folder, built) in [(PROGRAM, PROGRAM), (SMALL_PROGRAM, small)] {
        for name in BUILT {
            site.insert(format!("{folder}/{name}"), read(page, &format!("{built}/{name}"))?);
        }
    }
    for (name, bytes) in SAMPLE_FILES {
        site.insert(format!("data/{name}.gz"), bytes.to_vec());
    }
    for (name, text) in CHART_LIBRARY {
        site.insert(format!("vendor/{name}"), text.as_bytes().to_vec());
    }
    let list = read(page, "models/models.json")?;
    let invalid = |e: String| Error::invalid_file(&page.join("models/models.json"), e);
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
    site.insert(VERSION.into(), version_of(&site).to_string().into_bytes());
    // Where nobody looks at runs there are none; `serve` answers for this name.
    site.insert("runs.json".into(), json!({"live": false, "count": 0, "runs": []}).to_string().into_bytes());
    site.insert(SAMPLES.into(), b"[]".to_vec());
    Ok(site)
}

/// Whether a program of the site still has the names of its functions, which `wasm-opt` drops. `wasm-pack` leaves `wasm-opt` out,
/// without a word, where it cannot download it.
pub fn is_unoptimized(site: &Site) -> bool {
    site.iter().any(|(name, bytes)| name.ends_with(".wasm") && has_names(bytes).unwrap_or(false))
}

/// Whether a WebAssembly has a section of names; none where it is no WebAssembly. Its sections are a byte, the length of the rest
/// in seven bits a byte, and the rest.
fn has_names(wasm: &[u8]) -> Option<bool> {
    let mut rest = wasm.strip_prefix(b"\0asm")?.get(4..)?;
    while let [id, after @ ..] = rest {
        let digits = after.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1;
        let size = after[..digits].iter().rev().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        let (section, next) = after[digits..].split_at_checked(size)?;
        if *id == 0 && section.starts_with(b"\x04name") {
            return Some(true);
        }
        rest = next;
    }
    Some(false)
}

/// Adds a few images of CIFAR-10, where this machine has it. They are not ours to put on the web, so an exported site has none.
pub fn add_samples(site: &mut Site) {
    let Some(files) = cifar10_sample() else { return };
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    site.insert(SAMPLES.into(), json!([{"name": "cifar10-sample", "files": names, "bytes": bytes}]).to_string().into());
    site.extend(files.into_iter().map(|(name, bytes)| (format!("data/cifar10-sample/{name}"), bytes)));
}

/// All files of the site, and a version that is another one whenever one of them was changed.
fn version_of(site: &Site) -> Value {
    let sums: String = site.iter().map(|(name, bytes)| format!("{} {name}\n", sha256(bytes))).collect();
    json!({"version": sha256(sums.as_bytes()), "files": site.keys().collect::<Vec<_>>()})
}

/// Takes all files of a folder and of those within it, under their paths; hidden ones are left out.
fn take_folder(folder: &Path, prefix: &str, site: &mut Site) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|e| missing(folder, e))?;
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        if entry.path().is_dir() {
            take_folder(&entry.path(), &format!("{prefix}{name}/"), site)?;
        } else {
            site.insert(format!("{prefix}{name}"), read(folder, &name)?);
        }
    }
    Ok(())
}

fn read(page: &Path, name: &str) -> Result<Vec<u8>> {
    let path = page.join(name);
    std::fs::read(&path).map_err(|e| missing(&path, e))
}

fn missing(path: &Path, e: std::io::Error) -> Error {
    let message = format!("{} cannot be read: {e}", path.display());
    Error::new(ErrorKind::MissingData, message).caused_by(e).advise(Advice::BuildPage)
}

/// The manifest of a run's weights, as the page reads it, and the weights.
fn model_of(dir: &RunDir, checkpoint: &str) -> Result<(Value, Vec<u8>)> {
    let trained = Trained::load(dir, checkpoint, &Device::flex())?;
    let bytes = weights::to_bytes(&trained.model.valid(), &trained.metadata.to_json())?;
    let epoch = trained.epoch.unwrap_or_default();
    let accuracy = dir.metrics()?.iter().find(|m| m.epoch == epoch).map(|m| m.test_accuracy);
    let mut manifest = json!(trained.metadata);
    manifest["name"] = json!(format!("{}, epoch {epoch}", dir.name()));
    manifest["file"] = json!("run.safetensors");
    manifest["sha256"] = json!(sha256(&bytes));
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

/// The bytes as brotli, where that makes them smaller by a tenth or more; the best it can do takes a minute for the WebAssembly.
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
        make_folder(folder)?;
        write_atomically(&path, bytes)?;
        for (sent, (packed, ending)) in sent.iter_mut().zip([(gzip(bytes), ".gz"), (brotli(bytes), ".br")]) {
            *sent += packed.as_ref().map_or(bytes.len(), Vec::len);
            if let Some(packed) = packed {
                let mut beside = path.clone().into_os_string();
                beside.push(ending);
                write_atomically(Path::new(&beside), &packed)?;
            }
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    const WHOLE: [&str; 2] = ["pkg/tinderbox_web.js", "pkg/tinderbox_web_bg.wasm"];

    fn page(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, if name.ends_with("json") { "[]" } else { "x" }).unwrap();
        }
        dir
    }

    #[test]
    fn a_site_has_every_file_of_the_page_and_no_other() {
        let own = ["page/index.html", "page/views/new.js", "page/.swp", "models/models.json", "src/lib.rs"];
        let dir = page(&[&own[..], &WHOLE].concat());
        let site = build(dir.path(), None).unwrap();
        for name in ["index.html", "views/new.js", WHOLE[1], "models/models.json", "vendor/uPlot.min.css"] {
            assert!(site.contains_key(name), "{name}");
        }
        assert!(site.keys().all(|name| !name.contains(".swp") && !name.contains(".rs")), "{:?}", site.keys());
        let told: Value = serde_json::from_slice(&site[VERSION]).unwrap();
        let names = told["files"].as_array().unwrap().iter().filter_map(Value::as_str);
        assert!(names.eq(site.keys().filter(|name| ![VERSION, "runs.json", SAMPLES].contains(&name.as_str()))));
        std::fs::write(dir.path().join("page/index.html"), "other").unwrap();
        assert_ne!(build(dir.path(), None).unwrap()[VERSION], site[VERSION]);
        // A small program is taken where it was built, and then whole.
        let small = "pkg/cpu/tinderbox_web.js";
        assert_eq!(site[small], b"x");
        std::fs::create_dir(dir.path().join(SMALL_PROGRAM)).unwrap();
        std::fs::write(dir.path().join(small), "small").unwrap();
        assert_eq!(build(dir.path(), None).unwrap_err().advice(), Some(&Advice::BuildPage));
        std::fs::write(dir.path().join("pkg/cpu/tinderbox_web_bg.wasm"), "small").unwrap();
        assert_eq!(build(dir.path(), None).unwrap()[small], b"small");
    }

    #[test]
    fn a_page_that_is_not_there_or_not_built_says_how_to_build_it() {
        for files in [&[][..], &["page/index.html", "models/models.json"]] {
            let error = build(page(files).path(), None).unwrap_err();
            assert_eq!((error.kind(), error.advice()), (ErrorKind::MissingData, Some(&Advice::BuildPage)), "{error}");
        }
    }

    #[test]
    fn a_list_of_models_names_files_and_no_paths() {
        let dir = page(&[&["page/index.html"][..], &WHOLE].concat());
        std::fs::create_dir(dir.path().join("models")).unwrap();
        for list in [r#"[{"file": "../../secret"}]"#, r#"[{}]"#, "{"] {
            std::fs::write(dir.path().join("models/models.json"), list).unwrap();
            let error = build(dir.path(), None).unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidData && error.to_string().contains("models.json"), "{error}");
        }
    }

    #[test]
    fn a_program_that_kept_its_names_is_told_from_one_that_was_optimized() {
        let header = b"\0asm\x01\0\0\0";
        let wasm = |sections: &[&[u8]]| [header, &sections.concat()[..]].concat();
        let (long, names) = ([&[1, 0x80, 0x01][..], &[7; 128]].concat(), b"\0\x06\x04name\0");
        assert_eq!(has_names(&wasm(&[&long, b"\0\x05\x04nami"])), Some(false));
        assert_eq!(has_names(&wasm(&[&long, names])), Some(true));
        for cut in [&b""[..], b"\0asm", &wasm(&[&long])[..60], &wasm(&[b"\0\xff\xff\xff\xff\xff"])] {
            assert_eq!(has_names(cut), None);
        }
        let site = |bytes: Vec<u8>| Site::from([("pkg/cpu/a.wasm".to_string(), bytes)]);
        assert!(is_unoptimized(&site(wasm(&[names]))) && !is_unoptimized(&site(wasm(&[]))));
    }

    #[test]
    fn files_are_packed_where_that_pays() {
        let text = vec![b'a'; 10_000];
        for packed in [gzip(&text), brotli(&text)] {
            assert!(packed.is_some_and(|packed| packed.len() < 200));
        }
        let mut noise = vec![0; 1000];
        ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut noise);
        assert!(gzip(&noise).is_none() && brotli(&noise).is_none());
    }
}
