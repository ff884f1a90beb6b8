//! How many kernels a device is given, counted where they are launched.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(feature = "gpu")]
use cubecl::logging::{LaunchObservation, LaunchObserver};

/// Counts the kernels that are launched on all GPUs as long as it lives. What is replayed is launched once, when it is recorded.
pub struct Launches {
    count: Arc<Count>,
    #[cfg(feature = "gpu")]
    _observation: LaunchObservation,
}

#[derive(Default)]
struct Count(AtomicUsize);

#[cfg(feature = "gpu")]
impl LaunchObserver for Count {
    fn launched(&self, _: &'static str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Launches {
    /// Counts from now on. There is one such count at a time; a second one replaces the first as long as it lives.
    pub fn watch() -> Self {
        let count = Arc::<Count>::default();
        Self {
            #[cfg(feature = "gpu")]
            _observation: LaunchObservation::new(count.clone()),
            count,
        }
    }

    /// Kernels so far.
    pub fn so_far(&self) -> usize {
        self.count.0.load(Ordering::Relaxed)
    }
}
