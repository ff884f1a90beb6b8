//! Those who compute a run together, and what they exchange: threads of this process, or the ranks of an MPI job.

use std::fmt;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// The exchange of values between the members of a group. All members call the same methods in the same order; each call but
/// [`post`](Self::post) returns when all have made it.
pub trait Exchange: fmt::Debug + Send + Sync {
    /// The place of this member in the group, counted from 0.
    fn rank(&self) -> usize;

    /// How many members there are.
    fn count(&self) -> usize;

    /// Adds up, value by value, what the members give. All get the same sums, bit for bit.
    ///
    /// # Errors
    /// Device: another member is gone.
    fn sum(&self, values: Vec<f32>) -> Result<Vec<f32>>;

    /// Begins a [`sum`](Self::sum), to be [collected](Self::collect) later. A member that can adds up while it does something
    /// else.
    ///
    /// # Errors
    /// Device: another member is gone.
    fn post(&self, values: Vec<f32>) -> Result<Posted> {
        let (sums, posted) = channel();
        let _ = sums.send(self.sum(values)?); // who does not collect them has no use for them
        Ok(posted)
    }

    /// Waits for the sums that were begun.
    ///
    /// # Errors
    /// Device: another member is gone.
    fn collect(&self, posted: &Posted) -> Result<Vec<f32>> {
        posted.recv().map_err(|_| gone())
    }

    /// What every member gives, in the order of their places.
    ///
    /// # Errors
    /// Device: another member is gone.
    fn gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>>;

    /// Leaves the group: whoever waits for this member gets an error.
    fn leave(&self) {}

    /// What the first member gives; that of the others is ignored.
    ///
    /// # Errors
    /// Device: another member is gone.
    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let first = if self.rank() == 0 { bytes } else { Vec::new() };
        Ok(self.gather(first)?.swap_remove(0))
    }
}

/// Sums that were [begun](Exchange::post).
pub type Posted = Receiver<Vec<f32>>;

fn gone() -> Error {
    Error::new(ErrorKind::Device, "another device of this run is gone")
}

/// A member's access to its group.
pub type Peers = Arc<dyn Exchange>;

/// A group of so many threads of this process; each takes one of these.
pub fn threads(count: usize) -> Vec<Peers> {
    let room = Arc::new(Room { round: Mutex::default(), changed: Condvar::new(), count });
    (0..count).map(|rank| Arc::new(Thread { rank, room: Arc::clone(&room) }) as Peers).collect()
}

/// Where threads meet.
struct Room {
    round: Mutex<Round>,
    changed: Condvar,
    count: usize,
}

#[derive(Default)]
struct Round {
    /// What is brought, by place; emptied by the last to leave.
    brought: Vec<Option<Vec<u8>>>,
    /// How many have taken everything.
    left: usize,
    /// Whether a member is gone for good.
    broken: bool,
}

struct Thread {
    rank: usize,
    room: Arc<Room>,
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} of {}", self.rank, self.room.count)
    }
}

impl Exchange for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.room.count
    }

    fn sum(&self, values: Vec<f32>) -> Result<Vec<f32>> {
        let mut sums = vec![0.0; values.len()];
        for bytes in self.gather(to_bytes(&values))? {
            let values = from_bytes(&bytes);
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        Ok(sums)
    }

    fn leave(&self) {
        self.room.round.lock().unwrap_or_else(PoisonError::into_inner).broken = true;
        self.room.changed.notify_all();
    }

    fn gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let Room { round, changed, count } = &*self.room;
        let full = |round: &Round| round.brought.iter().flatten().count() == *count;
        let wait = |guard, until: &dyn Fn(&Round) -> bool| {
            let waited = changed.wait_while(guard, |round: &mut Round| !round.broken && !until(round));
            waited.unwrap_or_else(PoisonError::into_inner)
        };
        // The round before is over when all have left it.
        let mut guard = wait(round.lock().unwrap_or_else(PoisonError::into_inner), &|round| !full(round));
        if full(&guard) {
            return Err(gone());
        }
        guard.brought.resize(*count, None);
        guard.brought[self.rank] = Some(bytes);
        changed.notify_all();
        let mut guard = wait(guard, &full);
        if !full(&guard) {
            return Err(gone());
        }
        let all = guard.brought.iter().flatten().cloned().collect();
        guard.left += 1;
        if guard.left == *count {
            *guard = Round { broken: guard.broken, ..Round::default() };
            changed.notify_all();
        }
        Ok(all)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Values as bytes, four each, as members [gather](Exchange::gather) and [broadcast](Exchange::broadcast) them.
pub fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The values of [`to_bytes`].
pub fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The part of `0..n` that a member has when it is shared out evenly, in the order of places.
pub fn part(n: usize, rank: usize, count: usize) -> std::ops::Range<usize> {
    rank * n / count..(rank + 1) * n / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn together<T: Send>(count: usize, work: impl Fn(Peers) -> T + Sync) -> Vec<T> {
        let work = &work;
        std::thread::scope(|scope| {
            let members: Vec<_> = threads(count).into_iter().map(|peers| scope.spawn(move || work(peers))).collect();
            members.into_iter().map(|member| member.join().unwrap()).collect()
        })
    }

    #[test]
    fn all_get_what_all_give_round_after_round() {
        for found in together(3, |peers| {
            let rank = peers.rank();
            (0..100).map(|round| peers.sum(vec![rank as f32, round as f32]).unwrap()).collect::<Vec<_>>()
        }) {
            assert!((0..100).all(|round| found[round] == [3.0, 3.0 * round as f32]));
        }
        let gathered = together(3, |peers| peers.gather(vec![peers.rank() as u8; peers.rank()]).unwrap());
        assert_eq!(gathered, vec![vec![vec![], vec![1], vec![2, 2]]; 3]);
        assert_eq!(together(3, |peers| peers.broadcast(vec![7 + peers.rank() as u8]).unwrap()), vec![vec![7]; 3]);
    }

    #[test]
    fn who_waits_for_one_that_is_gone_gets_an_error() {
        let found = together(2, |peers| (peers.rank() == 0).then(|| peers.sum(vec![1.0]).is_err()));
        assert_eq!(found, [Some(true), None]);
    }

    #[test]
    fn parts_are_even_and_cover_everything() {
        let parts = |n, count| (0..count).map(|rank| part(n, rank, count)).collect::<Vec<_>>();
        assert_eq!(parts(10, 3), [0..3, 3..6, 6..10]);
        assert_eq!(parts(1, 2), [0..0, 0..1]);
    }
}
