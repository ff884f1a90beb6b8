//! Images of a set that does not stay on the device, made ready ahead of the computation, on a thread of its own.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::available_parallelism;
use std::time::Duration;

use bytes::Bytes;
use web_time::Instant;

use super::photo::Photo;
use crate::data::ImageShape;

/// Batches that a thread has ready beyond the one that it makes.
const AHEAD: usize = 2;
/// So many threads copy images. It takes them no time, but a disk that is asked for several things at once is faster.
const READERS: usize = 4;
/// So many threads change images, at most.
const MOST_CHANGERS: usize = 8;
/// All batches that are ready or being made take no more bytes, unless a single thread's do.
const MOST_BYTES: usize = 1 << 29;

/// Images of a set by the bytes of each, which may lie in a mapped file.
#[derive(Clone)]
pub(super) struct Rows {
    /// All images, one behind the other.
    pub pixels: Bytes,
    /// The shape of each.
    pub shape: ImageShape,
    /// Bytes that an image is given in a batch; those beyond its own are zero.
    pub padded: usize,
}

impl Rows {
    /// The images at these indices, one behind the other, changed where there are changes, one for each.
    pub fn gather(&self, indices: &[i32], photos: &[Photo]) -> Vec<u8> {
        let len = self.shape.len();
        let mut rows = vec![0; indices.len() * self.padded];
        for (i, (row, &index)) in rows.chunks_exact_mut(self.padded).zip(indices).enumerate() {
            let image = &self.pixels[index as usize * len..][..len];
            match photos.get(i) {
                Some(photo) => photo.apply(image, self.shape, &mut row[..len]),
                None => row[..len].copy_from_slice(image),
            }
        }
        rows
    }
}

/// A batch that is ready, and where it is in the order.
type Made = (Range<usize>, Vec<u8>);

/// The batches of an epoch that are made ready, in their order.
pub(super) struct Ahead {
    /// What makes every so manieth batch; none once something else was asked for.
    makers: RefCell<VecDeque<Receiver<Made>>>,
    waited: Cell<Duration>,
}

impl Ahead {
    /// Begins to make the batches at these positions of an order, with the changes that it has. None where there are no threads.
    pub fn start(rows: &Rows, indices: &[i32], photos: &Arc<Vec<Photo>>, ranges: &[Range<usize>]) -> Option<Self> {
        let cores = available_parallelism().map_or(1, usize::from);
        let threads = if photos.is_empty() { READERS } else { cores.div_ceil(2).min(MOST_CHANGERS) };
        let largest = ranges.iter().map(ExactSizeIterator::len).max().unwrap_or(0) * rows.padded;
        let threads = threads.min(MOST_BYTES / ((AHEAD + 2) * largest).max(1)).max(1);
        let indices: Arc<[i32]> = indices.into();
        let mut makers = VecDeque::new();
        for first in 0..threads {
            let (rows, indices, photos) = (rows.clone(), Arc::clone(&indices), Arc::clone(photos));
            let ranges: Vec<_> = ranges.iter().skip(first).step_by(threads).cloned().collect();
            let (to, made) = sync_channel(AHEAD);
            let make = move || {
                for range in ranges {
                    let photos = photos.get(range.clone()).unwrap_or_default();
                    let batch = rows.gather(&indices[range.clone()], photos);
                    if to.send((range, batch)).is_err() {
                        return; // nobody waits any more
                    }
                }
            };
            std::thread::Builder::new().name("images".into()).spawn(make).ok()?;
            makers.push_back(made);
        }
        Some(Self { makers: RefCell::new(makers), waited: Cell::default() })
    }

    /// The batch at these positions, if it is the next one that was to be made.
    pub fn take(&self, range: &Range<usize>) -> Option<Vec<u8>> {
        let (mut makers, start) = (self.makers.borrow_mut(), Instant::now());
        let maker = makers.pop_front()?;
        let next = maker.recv().ok();
        self.waited.set(self.waited.get() + start.elapsed());
        match next {
            Some((next, batch)) if next == *range => {
                makers.push_back(maker);
                Some(batch)
            }
            _ => {
                makers.clear();
                None
            }
        }
    }

    /// How long this has been waited for.
    pub fn waited(&self) -> Duration {
        self.waited.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Augment;

    fn rows() -> Rows {
        let shape = ImageShape { channels: 1, height: 1, width: 3 };
        Rows { pixels: (0..30u8).collect(), shape, padded: 4 }
    }

    fn photos(augment: Augment) -> Arc<Vec<Photo>> {
        Arc::new((0..10).map(|position| Photo::new(augment, rows().shape, 1, 2, position, 0)).collect())
    }

    #[test]
    fn batches_come_in_their_order_padded_and_changed() {
        let indices: Vec<i32> = (0..10).rev().collect();
        for photos in [Arc::default(), photos(Augment { part: 50, jitter: 80, ..Augment::OFF })] {
            let ranges = [0..4, 4..6, 6..8, 8..10];
            let ahead = Ahead::start(&rows(), &indices, &photos, &ranges).unwrap();
            for range in ranges {
                let of_range = photos.get(range.clone()).unwrap_or_default();
                assert_eq!(ahead.take(&range).unwrap(), rows().gather(&indices[range], of_range));
            }
            assert!(ahead.take(&(0..4)).is_none());
        }
        assert_eq!(rows().gather(&[9, 0], &[]), [27, 28, 29, 0, 0, 1, 2, 0]);
    }

    #[test]
    fn who_asks_for_something_else_makes_it_by_themselves() {
        let indices: Vec<i32> = (0..10).collect();
        let ahead = Ahead::start(&rows(), &indices, &Arc::default(), &[0..4, 4..8]).unwrap();
        assert!(ahead.take(&(0..4)).is_some() && ahead.take(&(5..6)).is_none() && ahead.take(&(4..8)).is_none());
    }
}
