//! Hostile input: every kind of file that is read from outside, damaged in thousands of ways. No panic, and no more
//! memory than a stated multiple of the input.
//!
//! `cargo test --release --test hostile` replays what was found before (`tests/hostile/NAME/`) and tries each kind for a
//! second more with random damage; `TINDERBOX_TEST_FUZZ_SECONDS=300` for five minutes.
#![allow(unsafe_code)] // the allocator that counts

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant, UNIX_EPOCH};

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tinderbox::checkpoint;
use tinderbox::dataset::{DataSource, ImageShape, cifar, load, parse_split};
use tinderbox::error::Result;
use tinderbox::model::Model;
use tinderbox::optimizer::Optimizer;
use tinderbox::picture::{Kind, open_image, to_model_input};
use tinderbox::recipe::{OptimizerConfig, Recipe};
use tinderbox::train::{self, Progress};
use tinderbox::weights::{About, to_burnpack, to_bytes};

/// Counts what a thread allocates.
struct Counting;

thread_local! {
    static USED: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = USED.try_with(|used| {
            used.set(used.get().wrapping_add(layout.size()));
            let _ = PEAK.try_with(|peak| peak.set(peak.get().max(used.get().min(usize::MAX / 2))));
        });
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // What another thread allocated may be freed here: never below nothing.
        let _ = USED.try_with(|used| used.set(used.get().saturating_sub(layout.size())));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `work`, which may not allocate more than `cap` bytes at a time beyond what there was.
fn capped<T>(cap: usize, work: impl FnOnce() -> T) -> T {
    USED.set(0);
    PEAK.set(0);
    let result = work();
    let peak = PEAK.get();
    assert!(peak <= cap, "{peak} bytes allocated at a time, {cap} are allowed");
    result
}

/// `seed` after some edits, each of four bytes of `edits`; what a fuzzer's bytes mean.
fn damaged(seed: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for edit in edits.chunks_exact(4).take(16) {
        let [kind, low, high, value] = [edit[0], edit[1], edit[2], edit[3]];
        // Half of the edits are to the first bytes, where headers are.
        let span = if kind & 1 == 0 { bytes.len().min(64) } else { bytes.len() };
        let at = if span == 0 { 0 } else { (usize::from(high) << 8 | usize::from(low)) * span / 65_536 };
        match kind / 2 % 8 {
            0 | 1 if at < bytes.len() => bytes[at] = value,
            2 if at < bytes.len() => bytes[at] ^= 1 << (value % 8),
            3 => bytes.truncate(at),
            4 if at + 4 <= bytes.len() => {
                let number = [0, 1, u32::MAX, 1 << 31, 1 << 16, u32::MAX >> 1, 255, 256][usize::from(value % 8)];
                let order = if value & 8 == 0 { number.to_be_bytes() } else { number.to_le_bytes() };
                bytes[at..at + 4].copy_from_slice(&order);
            }
            5 => drop(bytes.drain(at..(at + usize::from(value)).min(bytes.len()))),
            6 => {
                let again: Vec<u8> = bytes[at..(at + usize::from(value)).min(bytes.len())].to_vec();
                bytes.splice(at..at, again);
            }
            _ => bytes.insert(at, value),
        }
    }
    bytes
}

/// Hands `try_it` the edits that were found before, and random ones.
fn fuzz(name: &str, mut try_it: impl FnMut(&[u8])) {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile").join(name);
    for entry in fs::read_dir(&found).into_iter().flatten().map(Result::unwrap) {
        try_it(&fs::read(entry.path()).unwrap());
    }
    let seconds = std::env::var("TINDERBOX_TEST_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut random = ChaCha8Rng::seed_from_u64(UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    let mut tried = 0u64;
    while Instant::now() < end {
        let mut edits = vec![0; 4 * (1 + random.next_u32() as usize % 8)];
        random.fill_bytes(&mut edits);
        if std::panic::catch_unwind(AssertUnwindSafe(|| try_it(&edits))).is_err() {
            let path = found.join(format!("{:016x}", random.next_u64()));
            fs::create_dir_all(&found).unwrap();
            fs::write(&path, &edits).unwrap();
            panic!("kept as {}", path.display());
        }
        tried += 1;
    }
    println!("{name}: {tried} inputs in {seconds} s");
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Images and labels of three digits.
fn idx() -> [Vec<u8>; 2] {
    let images = [&[0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5][..], &[7; 60]].concat();
    [images, vec![0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 9]]
}

#[test]
fn idx_files() {
    let [images, labels] = idx();
    fuzz("idx_files", |edits: &[u8]| {
        let (first, second) = edits.split_at(edits.len() / 2);
        let (images, labels) = (damaged(&images, first), damaged(&labels, second));
        let cap = 2 * (images.len() + labels.len()) + 4096;
        if let Ok(split) = capped(cap, || parse_split(&images, &labels)) {
            assert_eq!(split.pixels.len(), split.len() * split.shape.len());
        }
    });
}

#[test]
fn gzipped_idx_files() {
    let dir = tempfile::tempdir().unwrap();
    let [images, labels] = idx().map(|bytes| gzipped(&bytes));
    for prefix in ["train", "t10k"] {
        fs::write(dir.path().join(format!("{prefix}-images-idx3-ubyte.gz")), &images).unwrap();
        fs::write(dir.path().join(format!("{prefix}-labels-idx1-ubyte.gz")), &labels).unwrap();
    }
    let source = DataSource::Idx(dir.path().into());
    assert!(load(&source, None).is_ok());
    fuzz("gzipped_idx_files", |edits: &[u8]| {
        let bytes = damaged(&images, edits);
        fs::write(dir.path().join("train-images-idx3-ubyte.gz"), &bytes).unwrap();
        // deflate packs at most 1,032 to one.
        let cap = (2 * 1032 * bytes.len()).min(256 << 20) + (1 << 20);
        if let Err(e) = capped(cap, || load(&source, None).map(drop)) {
            assert!(e.to_string().contains(dir.path().to_str().unwrap()), "{e}");
        }
    });
}

#[test]
fn cifar_archives() {
    let record = [vec![3], vec![7; 3072]].concat();
    let mut builder = tar::Builder::new(Vec::new());
    for name in cifar::TRAIN_FILES.iter().chain([&cifar::TEST_FILE]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(record.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), &record[..]).unwrap();
    }
    let tar = builder.into_inner().unwrap();
    assert_eq!(cifar::from_archive(&tar[..], "x").unwrap().train.len(), 5);
    fuzz("cifar_archives", |edits: &[u8]| {
        let bytes = damaged(&tar, edits);
        let cap = 4 * bytes.len() + (1 << 20);
        let _ = capped(cap, || cifar::from_archive(&bytes[..], "x").map(drop));
        let file = ("f".to_string(), damaged(&record, edits));
        let _ = capped(cap, || cifar::from_files(std::slice::from_ref(&file), &file).map(drop));
    });
}

const SHAPE: ImageShape = ImageShape { channels: 1, height: 4, width: 5 };

/// On an autodiff device.
fn small() -> (About, Model) {
    let recipe = Recipe::preset("linear_v1-bn-ce").unwrap();
    let recipe = Recipe { optimizer: OptimizerConfig::Adam { weight_decay: 0.0 }, ..recipe };
    let classes = ["a", "b", "c"].map(String::from);
    let model = Model::new(&recipe, SHAPE, classes.len(), &Device::flex().autodiff());
    (About::new(&recipe, SHAPE, &classes), model)
}

#[test]
fn weights_and_their_manifest() {
    let (about, model) = small();
    let model = model.valid();
    let seeds = [to_bytes(&model, &about.to_json()).unwrap(), to_burnpack(&model, &about.to_json()).unwrap()];
    for seed in &seeds {
        About::of(seed).unwrap().load(seed.clone(), &Device::flex()).unwrap();
    }
    fuzz("weights_and_their_manifest", |edits: &[u8]| {
        for seed in &seeds {
            let bytes = damaged(seed, edits);
            let cap = 12 * bytes.len() + (4 << 20);
            let _ = capped(cap, || {
                About::of(&bytes).and_then(|about| about.load(bytes.clone(), &Device::flex())).map(drop)
            });
        }
    });
}

/// A run's first checkpoint, of the small model.
fn saved() -> &'static (TempDir, Recipe) {
    static SAVED: OnceLock<(TempDir, Recipe)> = OnceLock::new();
    SAVED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let (about, model) = small();
        let mut optimizer = Optimizer::new(about.recipe.optimizer);
        let loss = model.forward(Tensor::ones([2, 1, 4, 5], &Device::flex())).sum();
        let model = optimizer.step(0.1, model, loss.backward());
        checkpoint::save(dir.path(), "last", &about.recipe, &model.valid(), &optimizer, &Progress::default()).unwrap();
        (dir, about.recipe)
    })
}

/// A copy of the checkpoint with one part replaced; its hash in the manifest is made to fit.
fn with_part(dir: &Path, part: &str, bytes: &[u8]) {
    let place = dir.join("last");
    fs::create_dir_all(&place).unwrap();
    for entry in fs::read_dir(saved().0.path().join("last")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), place.join(entry.file_name())).unwrap();
    }
    fs::write(place.join(part), bytes).unwrap();
    if part != "manifest.json" {
        let path = place.join("manifest.json");
        let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let listed = manifest["parts"].as_array_mut().unwrap().iter_mut().find(|p| p["name"] == part).unwrap();
        listed["bytes"] = bytes.len().into();
        let hash = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        listed["sha256"] = hash.into();
        fs::write(path, manifest.to_string()).unwrap();
    }
}

fn checkpoints(part: &str, edits: &[u8], dir: &Path) -> Result<()> {
    let seed = fs::read(saved().0.path().join("last").join(part)).unwrap();
    let bytes = damaged(&seed, edits);
    with_part(dir, part, &bytes);
    capped(16 * seed.len() + 12 * bytes.len() + (4 << 20), || {
        let found = checkpoint::load(dir, "last")?;
        let (about, model) = small();
        let optimizer = Optimizer::new(about.recipe.optimizer);
        found.restore(train::TrainState { model, optimizer, progress: Progress::default() }).map(drop)
    })
}

#[test]
fn checkpoint_parts() {
    let names: Vec<String> = fs::read_dir(saved().0.path().join("last"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.len() >= 4, "{names:?}");
    let dir = tempfile::tempdir().unwrap();
    for name in &names {
        checkpoints(name, &[], dir.path()).unwrap(); // as it was saved
    }
    fuzz("checkpoint_parts", |edits: &[u8]| {
        for name in &names {
            let _ = checkpoints(name, edits, dir.path());
        }
    });
}

#[test]
fn recipes() {
    let seeds: Vec<String> =
        tinderbox::recipe::PRESETS.iter().map(|p| toml::to_string_pretty(&p.recipe()).unwrap()).collect();
    fuzz("recipes", |edits: &[u8]| {
        let seed = &seeds[usize::from(edits.first().copied().unwrap_or(0)) % seeds.len()];
        let text = String::from_utf8_lossy(&damaged(seed.as_bytes(), edits)).into_owned();
        let recipe = capped(64 * text.len() + (1 << 20), || toml::from_str::<Recipe>(&text));
        if let Ok(recipe) = recipe
            && recipe.validate().is_ok()
        {
            assert_eq!(toml::from_str::<Recipe>(&toml::to_string(&recipe).unwrap()).unwrap(), recipe);
            let _ = recipe.command();
            let _ = recipe.schedule.learning_rate(recipe.learning_rate, 10, 8, recipe.epochs.min(1000));
        }
    });
}

#[test]
fn pictures() {
    let image = image::RgbImage::from_fn(24, 18, |x, y| image::Rgb([x as u8 * 9, y as u8 * 11, 77]));
    let formats = [image::ImageFormat::Png, image::ImageFormat::Jpeg, image::ImageFormat::Bmp];
    let seeds = formats.map(|format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture");
    fuzz("pictures", |edits: &[u8]| {
        for seed in &seeds {
            fs::write(&path, damaged(seed, edits)).unwrap();
            let colour = ImageShape { channels: 3, height: 8, width: 8 };
            // Decoding, a copy in another format, and a margin.
            let decoded = capped(3 * (256 << 20), || open_image(&path));
            match decoded {
                Ok(image) if u64::from(image.width()) * u64::from(image.height()) < 1 << 20 => {
                    assert_eq!(to_model_input(&image, colour, Kind::Picture).len(), colour.len());
                    assert_eq!(to_model_input(&image, SHAPE, Kind::Digit).len(), SHAPE.len());
                }
                Ok(_) => {}
                Err(e) => assert!(e.to_string().contains("picture"), "{e}"),
            }
        }
    });
}
