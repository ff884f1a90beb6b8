//! What the loop tells, and who hears of it. Observers know nothing of each other.

use super::batches::DeviceSplit;
use super::metrics::{EpochMetrics, Evaluation};
use super::state::TrainState;
use crate::error::Result;
use crate::notice::Notice;

/// What the loop tells.
pub enum Event<'a> {
    /// Before the first step; the state may be that of a resumed run.
    Started {
        /// Where the run stands.
        state: &'a TrainState,
        /// Steps in an epoch.
        steps: usize,
        /// The train and the test split on the main device.
        splits: [&'a DeviceSplit; 2],
    },
    /// A step was handed to the device, which may still be at an earlier one.
    Step {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step within the epoch, counted from 1.
        step: usize,
        /// Which images of the train split the step sees.
        batch: &'a [i32],
    },
    /// The device has finished some steps.
    Losses {
        /// The step of the first of `losses`, counted from 1 over all epochs.
        first_step: usize,
        /// The loss of every step.
        losses: &'a [f32],
    },
    /// An epoch is done and measured.
    Epoch {
        /// All epochs so far; the last is the one that is done.
        history: &'a [EpochMetrics],
        /// The network measured on the test set.
        evaluation: &'a Evaluation,
        /// The state after the epoch.
        state: &'a TrainState,
    },
    /// Within a long epoch, the device has caught up: the state is whole.
    MidEpoch {
        /// The state after the last step.
        state: &'a TrainState,
    },
    /// The run was asked to stop, or lost a device that helped, and ends now, within an epoch or before its test.
    Interrupted {
        /// The state after the last step.
        state: &'a TrainState,
    },
    /// No epoch follows.
    Finished {
        /// The state after the last epoch.
        state: &'a TrainState,
        /// The network measured on the test set after the last epoch.
        evaluation: &'a Evaluation,
        /// The network measured with test-time augmentation, where the recipe has it.
        augmented: Option<&'a Evaluation>,
    },
}

/// Something that wants to know: a log, a plot, a checkpoint, a window.
pub trait Observer {
    /// Hears of every event, in order.
    ///
    /// # Errors
    /// Ends the run if the observer is essential; otherwise it is dropped, with a notice.
    fn notify(&mut self, event: &Event<'_>) -> Result<()>;

    /// Whether a run without this observer is worth nothing.
    fn essential(&self) -> bool {
        false
    }
}

/// Observers, told in order, and whoever hears of one that failed.
#[derive(Default)]
pub struct Observers<'a> {
    observers: Vec<Box<dyn Observer + 'a>>,
    notices: Option<Box<dyn FnMut(Notice) + 'a>>,
}

impl<'a> Observers<'a> {
    /// Nobody yet; `notices` hears of observers that failed.
    pub fn new(notices: impl FnMut(Notice) + 'a) -> Self {
        Self { observers: Vec::new(), notices: Some(Box::new(notices)) }
    }

    /// Adds one more.
    #[must_use]
    pub fn with(mut self, observer: impl Observer + 'a) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Adds one more that is boxed already.
    pub fn push(&mut self, observer: Box<dyn Observer + 'a>) {
        self.observers.push(observer);
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        if let Some(notices) = &mut self.notices {
            notices(notice);
        }
    }

    pub(super) fn tell(&mut self, event: &Event<'_>) -> Result<()> {
        let (mut failed, notices) = (None, &mut self.notices);
        self.observers.retain_mut(|observer| match observer.notify(event) {
            Ok(()) => true,
            Err(e) if observer.essential() => {
                failed.get_or_insert(e);
                true
            }
            Err(e) => {
                if let Some(notices) = notices {
                    notices(Notice::ObserverDropped(e));
                }
                false
            }
        });
        failed.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::cell::Cell;

    struct Failing {
        essential: bool,
    }

    impl Observer for Failing {
        fn notify(&mut self, _: &Event<'_>) -> Result<()> {
            Err(Error::usage("the log is full"))
        }

        fn essential(&self) -> bool {
            self.essential
        }
    }

    #[test]
    fn an_observer_that_fails_is_dropped_with_one_notice_and_an_essential_one_ends_the_run() {
        let heard = Cell::new(0);
        let mut observers = Observers::new(|notice| match notice {
            Notice::ObserverDropped(e) if e.to_string() == "the log is full" => heard.set(heard.get() + 1),
            other => panic!("{other:?}"),
        })
        .with(Failing { essential: false });
        let event = Event::Losses { first_step: 1, losses: &[] };
        assert!(observers.tell(&event).is_ok() && observers.tell(&event).is_ok());
        assert_eq!(heard.get(), 1);
        observers.push(Box::new(Failing { essential: true }));
        assert!(observers.tell(&event).is_err() && observers.tell(&event).is_err());
    }
}
