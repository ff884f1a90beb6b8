//! Hostile input: every kind of file that is read from outside, damaged in thousands of ways. No panic, and no more
//! memory than a stated multiple of the input.
//!
//! `cargo test --release --test hostile` replays what the fuzzer in `fuzz/` found interesting (`tests/hostile/found/NAME/`) and
//! what once broke a promise (`broken/NAME/`), and tries each kind for a second more with random damage;
//! `TINDERBOX_TEST_FUZZ_SECONDS=300` for five minutes.

mod memory;
mod targets;

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use targets::TARGETS;

/// `seed` after some random edits.
fn damaged(seed: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + random.next_u32() % 8 {
        let [kind, low, high, value] = random.next_u32().to_le_bytes();
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

/// Hands a target its seeds, the bytes that were found before, and damaged seeds.
fn try_target(name: &str) {
    let mut target = TARGETS.iter().find(|(known, _)| *known == name).unwrap().1();
    for seed in &target.seeds {
        (target.try_it)(seed);
    }
    let [found, broken] = ["found", "broken"]
        .map(|kind| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile").join(kind).join(name));
    let mut replayed = 0;
    for entry in [&found, &broken].into_iter().flat_map(fs::read_dir).flatten().map(Result::unwrap) {
        (target.try_it)(&fs::read(entry.path()).unwrap());
        replayed += 1;
    }
    let seconds = std::env::var("TINDERBOX_TEST_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut random = ChaCha8Rng::seed_from_u64(UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    let mut tried = 0u64;
    while Instant::now() < end {
        let seed = &target.seeds[random.next_u32() as usize % target.seeds.len()];
        let bytes = damaged(seed, &mut random);
        if std::panic::catch_unwind(AssertUnwindSafe(|| (target.try_it)(&bytes))).is_err() {
            let path = broken.join(format!("{:016x}", random.next_u64()));
            fs::create_dir_all(&broken).unwrap();
            fs::write(&path, &bytes).unwrap();
            panic!("kept as {}", path.display());
        }
        tried += 1;
    }
    println!("{name}: {replayed} inputs replayed, {tried} tried in {seconds} s");
}

macro_rules! tests {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            try_target(stringify!($name));
        })*

        #[test]
        fn every_target_is_tried() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

tests!(
    idx_files,
    gzipped_idx_files,
    cifar_archives,
    cifar_records,
    weights,
    pytorch_files,
    checkpoint_parts,
    recipes,
    layers,
    pictures,
    zipped_pictures,
    picture_lists,
    packed_pictures
);
