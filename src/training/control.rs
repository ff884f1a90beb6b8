//! Who has a say in a run while it trains.

/// Lets others have their turn between two steps: a browser, whose one thread also listens to the visitor.
pub trait StepControl {
    /// Awaited before every step.
    fn before_step(&mut self) -> impl Future<Output = ()>;

    /// Awaited before every batch of a measurement, of which `done` of `images` are measured.
    fn before_measuring(&mut self, _done: usize, _images: usize) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// The learning rate of the next step, where the schedule says `scheduled`.
    fn learning_rate(&self, scheduled: f64) -> f64 {
        scheduled
    }

    /// How many steps a device may be given in one go, where it records them; what is asked before a step is asked of all of
    /// them then. With 0 none is recorded: every step is handed on operation by operation.
    fn most_at_once(&self) -> usize {
        usize::MAX
    }
}

/// One step after the other, as fast as the device goes.
#[derive(Debug, Default)]
pub struct Uninterrupted {
    /// Whether every step is handed on operation by operation.
    pub plain: bool,
}

impl StepControl for Uninterrupted {
    async fn before_step(&mut self) {}

    fn most_at_once(&self) -> usize {
        if self.plain { 0 } else { usize::MAX }
    }
}
