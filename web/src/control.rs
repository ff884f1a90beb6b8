//! What a visitor wants of a run while it trains.

use std::cell::Cell;
use std::sync::atomic::AtomicUsize;

/// What the visitor wants of the run.
#[derive(Default)]
pub(crate) struct Control {
    pub stop: AtomicUsize,
    pub paused: Cell<bool>,
    /// Steps to make although paused.
    pub steps: Cell<u32>,
    pub learning_rate: Cell<Option<f64>>,
}
