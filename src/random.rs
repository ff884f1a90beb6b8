//! Choices made from a seed: the same on every machine, and from version to version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// A number below `n`, by Lemire's multiply-shift; its bias, below n / 2^32, is far smaller than an epoch can show.
pub fn below(n: usize, rng: &mut ChaCha8Rng) -> usize {
    ((u64::from(rng.next_u32()) * n as u64) >> 32) as usize
}

/// Shuffles by Fisher and Yates.
pub fn shuffle<T>(values: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..values.len()).rev() {
        values.swap(last, below(last + 1, rng));
    }
}
