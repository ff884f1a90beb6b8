//! Training: a recipe resolved once into a [`Plan`], the one [`Step`], the loop over it, and what the loop tells.

mod augmentation;
pub mod batches;
mod clock;
mod events;
mod loss;
pub mod metrics;
pub mod optimizer;
pub mod parallel;
mod plan;
mod resident;
mod rule;
mod run;
mod self_test;
mod state;
mod step;

pub use events::{Event, Observer, Observers};
pub use plan::Plan;
pub use run::{StepControl, train, train_with};
pub use self_test::{SelfTest, self_test};
pub use state::{Progress, TrainState};
pub use step::Step;
