//! A fuzzer for what is read from outside, guided by coverage: `TARGET=weights cargo fuzz run -s none hostile CORPUS`.
//! `fuzz/run` tries every target and keeps what it finds.
#![no_main]

#[path = "../../tests/hostile/memory.rs"]
mod memory;
#[path = "../../tests/hostile/targets.rs"]
mod targets;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use targets::{TARGETS, Target};

thread_local! {
    static CHOSEN: RefCell<Target> = RefCell::new(chosen());
}

/// The target that the environment names. With `SEEDS`, its seeds are written to that folder first.
fn chosen() -> Target {
    let name = std::env::var("TARGET").unwrap_or_default();
    let names = TARGETS.map(|(name, _)| name).join(", ");
    let (_, make) = TARGETS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("TARGET is one of {names}"));
    let target = make();
    if let Ok(dir) = std::env::var("SEEDS") {
        for (i, seed) in target.seeds.iter().enumerate() {
            std::fs::write(format!("{dir}/seed-{i}"), seed).unwrap();
        }
    }
    target
}

fuzz_target!(
    init: CHOSEN.with(|_| ()),
    |bytes: &[u8]| CHOSEN.with_borrow_mut(|target| (target.try_it)(bytes))
);
