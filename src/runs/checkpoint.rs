//! Checkpoints: a folder of parts and a manifest with their hashes, written last; complete, or not there.
//!
//! A save goes to `NAME.new`, is synced, and takes the place of `NAME` by renames, so that at every moment a whole
//! checkpoint is on disk; `load` finds it wherever a crash left it. A save that was never finished counts as not there.
//! Nothing of a part reaches a tensor before all hashes agree.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::fault;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{read as read_bytes, sha256};
use crate::network::Model;
use crate::recipe::Recipe;
use crate::training::{Progress, TrainState};
use crate::weights::{self, Metadata};

/// Raised whenever a reader of the old format could not read the new one.
const FORMAT: u32 = 3;
const MANIFEST: &str = "manifest.json";
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.burnpack";
const PROGRESS: &str = "progress.json";

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    tinderbox: String,
    metadata: Metadata,
    parts: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
struct Part {
    name: String,
    bytes: u64,
    sha256: String,
}

/// A checkpoint, read and verified.
pub struct Saved {
    /// What was trained, on which images.
    pub metadata: Metadata,
    /// How far it was.
    pub progress: Progress,
    model: Vec<u8>,
    optimizer: Vec<u8>,
    path: PathBuf,
}

impl Saved {
    /// `state`, a fresh start of the same recipe, carried forward to the checkpoint.
    ///
    /// # Errors
    /// Invalid data: the weights do not fit the model.
    pub fn restore(self, mut state: TrainState) -> Result<TrainState> {
        let invalid = |name: &str, e: Error| e.in_file(&self.path.join(name));
        state.model = weights::load_bytes(state.model, self.model).map_err(|e| invalid(MODEL, e))?;
        state.load_optimizer(self.optimizer).map_err(|e| invalid(OPTIMIZER, e))?;
        state.progress = self.progress;
        Ok(state)
    }

    /// The weights, as a safetensors file.
    pub fn weights(&self) -> &[u8] {
        &self.model
    }

    /// The recipe that was trained.
    pub fn recipe(&self) -> &Recipe {
        &self.metadata.recipe
    }

    /// The model alone, on a device that infers.
    ///
    /// # Errors
    /// Invalid data: the weights do not fit their network.
    pub fn model(self, device: &burn::tensor::Device) -> Result<Model> {
        weights::load(&self.metadata, self.model, device).map_err(|e| e.in_file(&self.path.join(MODEL)))
    }
}

/// Writes the checkpoint `dir/name`, in place of the one that is there.
///
/// # Errors
/// Io: the previous checkpoint is still there.
pub fn save(dir: &Path, name: &str, metadata: &Metadata, state: &TrainState) -> Result<()> {
    write(dir, name, metadata, state)?;
    let _ = remove(&places(dir, name)[2]); // the new one is in place; the next save tries again
    Ok(())
}

/// Writes a checkpoint as [`save`] does, but what was there stays beside it, in the third of its [`places`].
pub(super) fn write(dir: &Path, name: &str, metadata: &Metadata, state: &TrainState) -> Result<()> {
    let json = |e: serde_json::Error| Error::invalid(format!("the checkpoint cannot be written: {e}")).caused_by(e);
    let parts = [
        (MODEL, weights::to_bytes(&state.model.valid(), &metadata.to_json())?),
        (OPTIMIZER, state.optimizer.to_bytes()?),
        (PROGRESS, serde_json::to_vec(&state.progress).map_err(json)?),
    ];
    let part = |(name, bytes): &(&str, Vec<u8>)| Part {
        name: (*name).into(),
        bytes: bytes.len() as u64,
        sha256: sha256(bytes),
    };
    let manifest = Manifest {
        format: FORMAT,
        tinderbox: env!("CARGO_PKG_VERSION").into(),
        metadata: metadata.clone(),
        parts: parts.iter().map(part).collect(),
    };
    let manifest = serde_json::to_vec_pretty(&manifest).map_err(json)?;
    put(dir, name, &parts, &manifest)
}

/// The file operations of a save, with a fault point between any two.
fn put(dir: &Path, name: &str, parts: &[(&str, Vec<u8>)], manifest: &[u8]) -> Result<()> {
    let [place, new, old] = places(dir, name);
    remove(&new)?;
    fault::point();
    crate::files::make_folder(&new)?;
    fault::point();
    for (name, bytes) in parts.iter().map(|(n, b)| (*n, &b[..])).chain([(MANIFEST, manifest)]) {
        write_synced(&new.join(name), bytes)?;
    }
    sync(&new);
    // From here on `new` is whole, so that `place` may go.
    fault::point();
    remove(&old)?;
    fault::point();
    if place.exists() {
        rename(&place, &old)?;
        fault::point();
    }
    rename(&new, &place)?;
    fault::point();
    sync(dir);
    Ok(())
}

/// Writes a file to the disk itself. A program that is killed halfway leaves half of it.
fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let written = File::create(path).and_then(|mut file| {
        fault::point();
        file.write_all(first)?;
        fault::point();
        file.write_all(second)?;
        fault::point();
        file.sync_all()
    });
    fault::point();
    written.map_err(|e| Error::io("write", path, e))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| Error::io("rename", from, e))
}

/// Reads and verifies the checkpoint `dir/name`, or what an interrupted save left of it.
///
/// # Errors
/// Missing data: there is none. Invalid data: it is damaged, or of a later version; says which part.
pub fn load(dir: &Path, name: &str) -> Result<Saved> {
    let [place, new, old] = places(dir, name);
    let mut damaged = None;
    if place.exists() {
        match read(&place) {
            Ok(saved) => return Ok(saved),
            Err(e) => damaged = Some(e),
        }
    }
    // A save that was never finished is not damaged: it is not there.
    if let Ok(saved) = read(&new) {
        return Ok(saved);
    }
    if old.exists() {
        match read(&old) {
            Ok(saved) => return Ok(saved),
            Err(e) => damaged = damaged.or(Some(e)),
        }
    }
    Err(damaged.unwrap_or_else(|| {
        Error::new(ErrorKind::MissingData, format!("there is no checkpoint '{name}' in {}", dir.display()))
    }))
}

/// The checkpoints `epoch-N` in a folder, oldest first.
pub(super) fn older(dir: &Path) -> Vec<(usize, String)> {
    let names =
        fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<(usize, String)> =
        names.filter_map(|name| Some((name.strip_prefix("epoch-")?.parse().ok()?, name))).collect();
    found.sort();
    found
}

/// The checkpoint of a folder, apart from `broken`, that can be loaded and has come furthest.
pub fn newest_whole(dir: &Path, broken: &str) -> Option<String> {
    let names = ["best".into(), "last".into()].into_iter().chain(older(dir).into_iter().map(|(_, name)| name));
    let loaded = names.filter(|name| name != broken).filter_map(|name| Some((load(dir, &name).ok()?.progress, name)));
    loaded.max_by_key(|(progress, _)| (progress.history.len(), progress.losses.len())).map(|(_, name)| name)
}

/// How many checkpoints `epoch-N` a folder holds.
pub fn older_count(dir: &Path) -> usize {
    older(dir).len()
}

/// Where a checkpoint is, where a new one is written, and where the old one waits while they change places.
pub(super) fn places(dir: &Path, name: &str) -> [PathBuf; 3] {
    [dir.join(name), dir.join(format!("{name}.new")), dir.join(format!("{name}.old"))]
}

pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Makes renames durable where folders can be opened; elsewhere the system does so by itself.
fn sync(dir: &Path) {
    if let Ok(folder) = File::open(dir) {
        let _ = folder.sync_all();
    }
}

fn read(place: &Path) -> Result<Saved> {
    let path = place.join(MANIFEST);
    let text = read_bytes(&path)?;
    let format = serde_json::from_slice::<serde_json::Value>(&text)
        .ok()
        .and_then(|value| value.get("format")?.as_u64())
        .ok_or_else(|| Error::invalid_file(&path, "no checkpoint manifest"))?;
    if format != u64::from(FORMAT) {
        let other = if format > u64::from(FORMAT) { "a newer" } else { "an older" };
        let message =
            format!("checkpoint format {format}, but this program reads format {FORMAT}: use {other} tinderbox");
        return Err(Error::invalid_file(&path, message));
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| Error::invalid_file(&path, &e).caused_by(e))?;
    manifest.metadata.check().map_err(|e| Error::invalid_file(&path, &e).caused_by(e))?;
    let part = |name: &str| -> Result<Vec<u8>> {
        let listed = manifest.parts.iter().find(|part| part.name == name);
        read_part(place, listed.ok_or_else(|| Error::invalid_file(&path, format!("lists no {name}")))?)
    };
    let (model, optimizer, progress) = (part(MODEL)?, part(OPTIMIZER)?, part(PROGRESS)?);
    let progress =
        serde_json::from_slice(&progress).map_err(|e| Error::invalid_file(&place.join(PROGRESS), &e).caused_by(e))?;
    Ok(Saved { metadata: manifest.metadata, progress, model, optimizer, path: place.to_path_buf() })
}

/// A part that is as long as the manifest says, and has its hash.
fn read_part(place: &Path, listed: &Part) -> Result<Vec<u8>> {
    let path = place.join(&listed.name);
    let found = fs::metadata(&path).map_err(|e| Error::io("read", &path, e))?.len();
    if found != listed.bytes {
        return Err(Error::invalid_file(&path, format!("expected {} bytes, found {found}", listed.bytes)));
    }
    let bytes = read_bytes(&path)?;
    let hash = sha256(&bytes);
    if hash != listed.sha256 {
        let message = format!("expected SHA-256 {}, found {hash}: it was altered", listed.sha256);
        return Err(Error::invalid_file(&path, message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::training::optimizer::Optimizer;
    use burn::tensor::Device;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 2, width: 2 };

    fn saved(dir: &Path, name: &str, epochs: usize) -> Metadata {
        let recipe = Recipe::preset("linear_v0-mse").unwrap();
        let metadata = Metadata::new(&recipe, SHAPE, &["a".into(), "b".into()]);
        let model = recipe.model(SHAPE, 2, &Device::flex()).unwrap();
        let progress = Progress { losses: vec![0.5; epochs], ..Progress::default() };
        let state = TrainState { model, optimizer: Optimizer::new(recipe.optimizer), progress };
        save(dir, name, &metadata, &state).unwrap();
        metadata
    }

    #[test]
    fn a_save_that_was_never_finished_is_not_there_and_a_damaged_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let missing = |name: &str| load(dir.path(), name).err().unwrap().kind();
        assert_eq!(missing("last"), ErrorKind::MissingData);
        fs::create_dir(dir.path().join("last.new")).unwrap();
        assert_eq!(missing("last"), ErrorKind::MissingData, "an empty folder");
        fs::write(dir.path().join("last.new").join(MANIFEST), b"{\"format\": 2, \"par").unwrap();
        assert_eq!(missing("last"), ErrorKind::MissingData, "half a manifest");
        let metadata = saved(dir.path(), "last", 1);
        assert_eq!(load(dir.path(), "last").unwrap().metadata, metadata);
        assert!(!dir.path().join("last.new").exists());
        fs::write(dir.path().join("last").join(MODEL), b"x").unwrap();
        let error = load(dir.path(), "last").err().unwrap();
        assert!(error.kind() == ErrorKind::InvalidData && error.to_string().contains(MODEL), "{error}");
    }

    #[test]
    fn what_a_crash_left_between_two_renames_is_found() {
        let dir = tempfile::tempdir().unwrap();
        for (left, expected) in [("last.old", 1), ("last.new", 2)] {
            saved(dir.path(), "last", expected);
            fs::rename(dir.path().join("last"), dir.path().join(left)).unwrap();
            assert_eq!(load(dir.path(), "last").unwrap().progress.losses.len(), expected, "{left}");
            fs::create_dir_all(dir.path().join("kept")).unwrap();
            fs::rename(dir.path().join(left), dir.path().join("kept").join(left)).unwrap();
        }
        for left in ["last.old", "last.new"] {
            fs::rename(dir.path().join("kept").join(left), dir.path().join(left)).unwrap();
        }
        assert_eq!(load(dir.path(), "last").unwrap().progress.losses.len(), 2, "of both, the newer one");
    }

    #[test]
    fn the_furthest_whole_checkpoint_is_offered() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest_whole(dir.path(), "last"), None);
        saved(dir.path(), "best", 1);
        saved(dir.path(), "epoch-3", 3);
        assert_eq!(newest_whole(dir.path(), "last").as_deref(), Some("epoch-3"));
        assert_eq!(newest_whole(dir.path(), "epoch-3").as_deref(), Some("best"));
        assert_eq!(older_count(dir.path()), 1);
    }
}
