//! Memory that is kept and used again: of tensors, and to work in.
//!
//! The system clears every page of memory that it hands out anew. For the tens of megabytes that a layer writes, that takes
//! as long as the layer's work.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A line of the cache, so that vectors of the largest kind do not lie across two.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
struct Line([f32; LINE]);

/// Values in a line of the cache.
pub(crate) const LINE: usize = 16;

/// What was given back, and how much there is.
struct Pool {
    /// By their lengths.
    kept: BTreeMap<usize, Vec<Vec<Line>>>,
    kept_lines: usize,
    used_lines: usize,
    /// The most that was ever in use. More than twice of that is not kept.
    most_lines: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { kept: BTreeMap::new(), kept_lines: 0, used_lines: 0, most_lines: 0 });

impl Pool {
    /// A piece of this length or a little more.
    fn take(&mut self, lines: usize) -> Option<Vec<Line>> {
        let (&length, pieces) =
            self.kept.range_mut(lines..=lines + lines / 2).find(|(_, pieces)| !pieces.is_empty())?;
        self.kept_lines -= length;
        pieces.pop()
    }

    fn uses(&mut self, lines: usize) {
        self.used_lines += lines;
        self.most_lines = self.most_lines.max(self.used_lines);
    }

    fn give_back(&mut self, piece: Vec<Line>) {
        self.used_lines -= piece.len();
        if self.kept_lines + piece.len() <= 2 * self.most_lines {
            self.kept_lines += piece.len();
            self.kept.entry(piece.len()).or_default().push(piece);
        }
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Values that begin at a line of the cache, in memory that is used again when they are gone. What they are at first is not
/// said.
#[derive(Debug)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// Room for so many values.
    pub fn new(len: usize) -> Self {
        let lines = len.div_ceil(LINE);
        let found = pool().take(lines);
        let lines = found.unwrap_or_else(|| vec![Line([0.0; LINE]); lines]);
        pool().uses(lines.len());
        Self { lines, len }
    }

    /// These values.
    pub fn of(values: &[f32]) -> Self {
        let mut buffer = Self::new(values.len());
        buffer.values_mut().copy_from_slice(values);
        buffer
    }

    /// The values.
    pub fn values(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// The values, to be written.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(self.values())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let piece = std::mem::take(&mut self.lines);
        pool().give_back(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_given_back_is_used_again_where_it_fits() {
        // A size that no other test asks for.
        let size = 12_345_678;
        let mut first = Buffer::new(size);
        first.values_mut().fill(7.0);
        assert!(first.values().len() == size && first.values().as_ptr().align_offset(64) == 0);
        drop(first);
        assert_eq!(Buffer::new(size - 16).values()[5], 7.0);
        assert_eq!(Buffer::new(size / 2).values()[5], 0.0, "not for half of its size");
    }
}
