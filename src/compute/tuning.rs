//! Autotuning: how much of it, where its answers are kept, and how a user hears of it.
//!
//! On a GPU burn tries several kernels for every new operation and size and keeps the fastest. The answers go to the
//! user's cache folder, so that the next start tunes nothing; a software adapter, on which each trial takes long and
//! the kernels differ little, is tuned as little as burn can. `CUBECL_AUTOTUNE_LEVEL` (minimal, balanced, extensive,
//! full) and a `cubecl.toml` overrule both.
//!
//! A page does not tune: a browser refuses some of the kernels that would be tried, and one that computes nothing looks
//! like the fastest.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use cubecl::config::autotune::AutotuneLevel;
use cubecl::config::cache::CacheConfig;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

use super::info::AdapterKind;

/// Where cubecl reports that an operation was tuned.
const TARGET: &str = "cubecl::autotune";

static TUNED: AtomicUsize = AtomicUsize::new(0);
static NOTICE: OnceLock<fn(usize)> = OnceLock::new();

/// Settles how much is tuned on an adapter of this kind, and where the answers are kept. Does nothing once a device
/// was started, or where a program that uses this library has settled it.
pub fn configure(kind: AdapterKind) {
    let mut config = CubeClRuntimeConfig::from_current_dir();
    if kind == AdapterKind::Software && matches!(config.autotune.level, AutotuneLevel::Balanced) {
        config.autotune.level = AutotuneLevel::Minimal;
    }
    if matches!(config.environment.path, CacheConfig::Target) {
        config.environment.path = CacheConfig::Global;
    }
    config.autotune.logger.log = Some(Default::default());
    CubeClRuntimeConfig::try_set(config.override_from_env());
}

/// Counts tunings from now on, and calls `notice` with their number at each. Takes the program's one logger, which is
/// silent otherwise.
pub fn watch(notice: fn(usize)) {
    if NOTICE.set(notice).is_ok() && log::set_logger(&Counter).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

/// How many operations were tuned since [`watch`].
pub fn tuned() -> usize {
    TUNED.load(Ordering::Relaxed)
}

struct Counter;

impl log::Log for Counter {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata())
            && let Some(notice) = NOTICE.get()
        {
            notice(TUNED.fetch_add(1, Ordering::Relaxed) + 1);
        }
    }

    fn flush(&self) {}
}
