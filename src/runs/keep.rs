//! Which checkpoints a run keeps while it trains.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use burn::module::Module;

use super::checkpoint::{older, places, remove, rename, save, write};
use super::fault;
use crate::error::Result;
use crate::training::{Event, Observer, TrainState};
use crate::weights::Metadata;

/// Saving more often than this would cost a short epoch more than the epoch.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);

/// Keeps `last` and `best`: every `every` epochs, or when ten seconds have passed (in a long epoch at the next
/// read-back), and at the end; and beside them the latest of those that `last` replaced, as `epoch-N`.
pub struct Checkpoints {
    dir: PathBuf,
    metadata: Metadata,
    every: Option<usize>,
    keep: usize,
    /// The epochs done in `last`, if it was saved here and between two epochs.
    saved: Option<usize>,
    /// Whether `last` was saved within an epoch.
    within_epoch: bool,
    last_save: Instant,
    /// The best state so far, its network in inference mode, where it is not yet on disk.
    best: Option<TrainState>,
}

impl Checkpoints {
    /// Saves into `dir`, which need not exist; `keep` older ones stay.
    pub fn new(dir: PathBuf, metadata: Metadata, every: Option<usize>, keep: usize) -> Self {
        Self { dir, metadata, every, keep, saved: None, within_epoch: false, last_save: Instant::now(), best: None }
    }

    fn save(&mut self, state: &TrainState) -> Result<()> {
        if let Some(best) = self.best.take() {
            save(&self.dir, "best", &self.metadata, &best)?;
        }
        write(&self.dir, "last", &self.metadata, state)?;
        self.last_save = Instant::now();
        let progress = &state.progress;
        self.within_epoch = !progress.losses.is_empty();
        let between = (!self.within_epoch).then_some(progress.history.len());
        let replaced = std::mem::replace(&mut self.saved, between);
        let _ = self.retire(replaced); // the new one is in place; the next save tries again
        Ok(())
    }

    /// Keeps what `last` replaced under its epoch's name, or not, and of those no more than wanted.
    fn retire(&self, replaced: Option<usize>) -> Result<()> {
        let [_, _, old] = places(&self.dir, "last");
        match replaced.filter(|_| self.keep > 0) {
            Some(epoch) if old.exists() => {
                let place = self.dir.join(format!("epoch-{epoch}"));
                remove(&place)?;
                fault::point();
                rename(&old, &place)?;
                fault::point();
            }
            _ => remove(&old)?,
        }
        let older = older(&self.dir);
        older.iter().rev().skip(self.keep).try_for_each(|(_, name)| remove(&self.dir.join(name)))
    }
}

impl Observer for Checkpoints {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Epoch { history, state, .. } => {
                if state.progress.best() == Some(history.len() - 1) {
                    let (optimizer, progress) = (state.optimizer.clone(), state.progress.clone());
                    self.best = Some(TrainState { model: state.model.valid(), optimizer, progress });
                }
                let due = match self.every {
                    Some(every) => history.len().is_multiple_of(every),
                    // After a save within the epoch its end is saved in any case: such a checkpoint can be kept.
                    None => self.within_epoch || self.last_save.elapsed() >= SAVE_INTERVAL,
                };
                if due { self.save(state) } else { Ok(()) }
            }
            Event::MidEpoch { state } if self.every.is_none() && self.last_save.elapsed() >= SAVE_INTERVAL => {
                self.save(state)
            }
            // The last epoch may just have been saved.
            Event::Finished { state, .. }
                if self.best.is_none() && self.saved == Some(state.progress.history.len()) =>
            {
                Ok(())
            }
            Event::Interrupted { state } | Event::Finished { state, .. } => self.save(state),
            _ => Ok(()),
        }
    }

    fn essential(&self) -> bool {
        true
    }
}
