//! How a batch is shared out among devices.

use std::ops::Range;

use crate::compute::peers::part;

/// A device's part of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The positions of its images in the epoch's order.
    pub range: Range<usize>,
    /// What its loss and its gradients count of those of the batch.
    pub weight: f64,
}

/// The parts of the batch at positions `range` for so many devices: as even as can be, and none smaller than `least`. A batch
/// that is too small for that is computed by every device as a whole, so that all have something to do.
pub fn shares(range: &Range<usize>, devices: usize, least: usize) -> Vec<Share> {
    let n = range.len();
    if n < devices * least {
        return vec![Share { range: range.clone(), weight: 1.0 / devices as f64 }; devices];
    }
    let part = |i: usize| part(n, i, devices);
    let share = |i| Share {
        range: range.start + part(i).start..range.start + part(i).end,
        weight: part(i).len() as f64 / n as f64,
    };
    (0..devices).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_none_is_too_small() {
        let ranges = |range, devices, least| {
            let shares = shares(&range, devices, least);
            assert!((shares.iter().map(|share| share.weight).sum::<f64>() - 1.0).abs() < 1e-12);
            shares.into_iter().map(|share| share.range).collect::<Vec<_>>()
        };
        assert_eq!(ranges(10..20, 1, 1), vec![10..20; 1]);
        assert_eq!(ranges(10..20, 3, 1), [10..13, 13..16, 16..20]);
        assert_eq!(ranges(0..5, 2, 2), [0..2, 2..5]);
        assert_eq!(ranges(0..5, 4, 2), vec![0..5; 4], "too few for all");
    }
}
