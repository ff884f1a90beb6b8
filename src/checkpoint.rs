//! Checkpoints: a folder of parts and a manifest with their hashes, written last; complete, or not there.
//!
//! A save goes to `NAME.new`, is synced, and takes the place of `NAME` by renames, so that at every moment a whole
//! checkpoint is on disk; `load` finds it wherever a crash left it. Nothing of a part reaches a tensor before all
//! hashes agree.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::module::Module;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::fetch::hex;
use crate::model::Model;
use crate::optimizer::Optimizer;
use crate::recipe::Recipe;
use crate::train::{Event, Observer, Progress, TrainState};
use crate::weights;

/// Raised whenever a reader of the old format could not read the new one.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.burnpack";
const PROGRESS: &str = "progress.json";
/// Saving more often than this would cost a short epoch more than the epoch.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    tinderbox: String,
    recipe: Recipe,
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
    /// What was trained.
    pub recipe: Recipe,
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
        let invalid = |name: &str, e: String| Error::invalid(&self.path.join(name), e);
        let device = state.model.devices().into_iter().next().unwrap_or_default().inner();
        state.model = weights::load_bytes(state.model, self.model).map_err(|e| invalid(MODEL, e))?;
        state.optimizer.load_bytes(self.optimizer, &device).map_err(|e| invalid(OPTIMIZER, e))?;
        state.progress = self.progress;
        Ok(state)
    }

    /// `model` with the checkpoint's weights.
    ///
    /// # Errors
    /// Invalid data: the weights do not fit the model.
    pub fn restore_model(self, model: Model) -> Result<Model> {
        weights::load_bytes(model, self.model).map_err(|e| Error::invalid(&self.path.join(MODEL), e))
    }
}

/// Writes the checkpoint `dir/name`, in place of the one that is there; `model` must not be on an autodiff device.
///
/// # Errors
/// Io: the previous checkpoint is still there.
pub fn save(
    dir: &Path,
    name: &str,
    recipe: &Recipe,
    model: &Model,
    optimizer: &Optimizer,
    progress: &Progress,
) -> Result<()> {
    write(dir, name, recipe, model, optimizer, progress)?;
    let _ = remove(&places(dir, name)[2]); // the new one is in place; the next save tries again
    Ok(())
}

/// The same, but what was there stays beside it, in the third of its [`places`].
fn write(
    dir: &Path,
    name: &str,
    recipe: &Recipe,
    model: &Model,
    optimizer: &Optimizer,
    progress: &Progress,
) -> Result<()> {
    let failed = |e: String| Error::unwritable("the checkpoint", &e);
    let recipe_json = serde_json::to_string(recipe).map_err(|e| failed(e.to_string()))?;
    let parts = [
        (MODEL, weights::to_bytes(model, &recipe_json).map_err(failed)?),
        (OPTIMIZER, optimizer.to_bytes().map_err(failed)?),
        (PROGRESS, serde_json::to_vec(progress).map_err(|e| failed(e.to_string()))?),
    ];
    let manifest = Manifest {
        format: FORMAT,
        tinderbox: env!("CARGO_PKG_VERSION").into(),
        recipe: recipe.clone(),
        parts: parts
            .iter()
            .map(|(name, bytes)| Part {
                name: (*name).into(),
                bytes: bytes.len() as u64,
                sha256: hex(&Sha256::digest(bytes)),
            })
            .collect(),
    };
    let manifest = serde_json::to_vec_pretty(&manifest).map_err(|e| failed(e.to_string()))?;

    let [place, new, old] = places(dir, name);
    let io = |action: &'static str, path: PathBuf| move |e: std::io::Error| Error::io(action, &path, &e);
    remove(&new)?;
    fs::create_dir_all(&new).map_err(io("create the folder", new.clone()))?;
    for (name, bytes) in parts.iter().map(|(n, b)| (*n, b)).chain([(MANIFEST, &manifest)]) {
        let path = new.join(name);
        let written = File::create(&path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.map_err(io("write", path))?;
    }
    sync(&new);
    // From here on `new` is whole, so that `place` may go.
    remove(&old)?;
    if place.exists() {
        fs::rename(&place, &old).map_err(io("rename", place.clone()))?;
    }
    fs::rename(&new, &place).map_err(io("rename", new.clone()))?;
    sync(dir);
    Ok(())
}

/// Reads and verifies the checkpoint `dir/name`, or what an interrupted save left of it.
///
/// # Errors
/// Missing data: there is none. Invalid data: it is damaged, or of a later version; says which part.
pub fn load(dir: &Path, name: &str) -> Result<Saved> {
    let places = places(dir, name);
    let mut first_error = None;
    for place in places.iter().filter(|place| place.exists()) {
        match read(place) {
            Ok(saved) => return Ok(saved),
            Err(e) => first_error = first_error.or(Some(e)),
        }
    }
    Err(first_error.unwrap_or_else(|| {
        Error::new(ErrorKind::MissingData, format!("there is no checkpoint '{name}' in {}", dir.display()))
    }))
}

/// The checkpoints `epoch-N` in a folder, oldest first.
fn older(dir: &Path) -> Vec<(usize, String)> {
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
fn places(dir: &Path, name: &str) -> [PathBuf; 3] {
    [dir.join(name), dir.join(format!("{name}.new")), dir.join(format!("{name}.old"))]
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, &e)),
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
    let text = fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
    let format = serde_json::from_slice::<serde_json::Value>(&text)
        .ok()
        .and_then(|value| value.get("format")?.as_u64())
        .ok_or_else(|| Error::invalid(&path, "no checkpoint manifest"))?;
    if format != u64::from(FORMAT) {
        let message =
            format!("checkpoint format {format}, but this program reads format {FORMAT}: use a newer tinderbox");
        return Err(Error::invalid(&path, message));
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| Error::invalid(&path, e))?;
    let part = |name: &str| -> Result<Vec<u8>> {
        let listed = manifest.parts.iter().find(|part| part.name == name);
        let listed = listed.ok_or_else(|| Error::invalid(&path, format!("lists no {name}")))?;
        let path = place.join(name);
        let found = fs::metadata(&path).map_err(|e| Error::io("read", &path, &e))?.len();
        if found != listed.bytes {
            return Err(Error::invalid(&path, format!("expected {} bytes, found {found}", listed.bytes)));
        }
        let bytes = fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
        let hash = hex(&Sha256::digest(&bytes));
        if hash != listed.sha256 {
            return Err(Error::invalid(
                &path,
                format!("expected SHA-256 {}, found {hash}: it was altered", listed.sha256),
            ));
        }
        Ok(bytes)
    };
    let (model, optimizer, progress) = (part(MODEL)?, part(OPTIMIZER)?, part(PROGRESS)?);
    let progress = serde_json::from_slice(&progress).map_err(|e| Error::invalid(&place.join(PROGRESS), e))?;
    Ok(Saved { recipe: manifest.recipe, progress, model, optimizer, path: place.to_path_buf() })
}

/// Keeps `last` and `best`: every `every` epochs, or when ten seconds have passed (in a long epoch at the next
/// read-back), and at the end; and beside them the latest of those that `last` replaced, as `epoch-N`.
pub struct Checkpoints {
    dir: PathBuf,
    recipe: Recipe,
    every: Option<usize>,
    keep: usize,
    /// The epochs done in `last`, if it was saved here and between two epochs.
    saved: Option<usize>,
    /// Whether `last` was saved within an epoch.
    within_epoch: bool,
    last_save: Instant,
    /// The best model so far, where it is not yet on disk.
    best: Option<(Model, Optimizer, Progress)>,
}

impl Checkpoints {
    /// Saves into `dir`, which need not exist; `keep` older ones stay.
    pub fn new(dir: PathBuf, recipe: Recipe, every: Option<usize>, keep: usize) -> Self {
        Self { dir, recipe, every, keep, saved: None, within_epoch: false, last_save: Instant::now(), best: None }
    }

    fn save(&mut self, state: &TrainState) -> Result<()> {
        if let Some((model, optimizer, progress)) = self.best.take() {
            save(&self.dir, "best", &self.recipe, &model, &optimizer, &progress)?;
        }
        write(&self.dir, "last", &self.recipe, &state.model.valid(), &state.optimizer, &state.progress)?;
        self.last_save = Instant::now();
        let progress = &state.progress;
        self.within_epoch = !progress.losses.is_empty();
        let between = (!self.within_epoch).then_some(progress.history.len());
        let replaced = std::mem::replace(&mut self.saved, between);
        let _ = self.retire(replaced); // the new one is in place; the next save tries again
        Ok(())
    }

    /// Keeps what `last` replaced under its epoch's name, or not, and of those no more than wanted.
    fn retire(&self, replaced: Option<usize>) -> Result<()> {
        let [_, _, old] = places(&self.dir, "last");
        match replaced.filter(|_| self.keep > 0) {
            Some(epoch) if old.exists() => {
                let place = self.dir.join(format!("epoch-{epoch}"));
                remove(&place)?;
                fs::rename(&old, &place).map_err(|e| Error::io("rename", &old, &e))?;
            }
            _ => remove(&old)?,
        }
        let older = older(&self.dir);
        older.iter().rev().skip(self.keep).try_for_each(|(_, name)| remove(&self.dir.join(name)))
    }
}

impl Observer for Checkpoints {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Epoch { history, state, .. } => {
                if state.progress.best() == Some(history.len() - 1) {
                    self.best = Some((state.model.valid(), state.optimizer.clone(), state.progress.clone()));
                }
                let due = match self.every {
                    Some(every) => history.len().is_multiple_of(every),
                    // After a save within the epoch its end is saved in any case: such a checkpoint can be kept.
                    None => self.within_epoch || self.last_save.elapsed() >= SAVE_INTERVAL,
                };
                if due { self.save(state) } else { Ok(()) }
            }
            Event::MidEpoch { state } if self.every.is_none() && self.last_save.elapsed() >= SAVE_INTERVAL => {
                self.save(state)
            }
            // The last epoch may just have been saved.
            Event::Finished { state, .. }
                if self.best.is_none() && self.saved == Some(state.progress.history.len()) =>
            {
                Ok(())
            }
            Event::Interrupted { state } | Event::Finished { state, .. } => self.save(state),
            _ => Ok(()),
        }
    }

    fn essential(&self) -> bool {
        true
    }
}
