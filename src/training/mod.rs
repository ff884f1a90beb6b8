//! Training: a recipe resolved once into a [`Plan`], the one [`Step`], the loop over it, and what the loop tells.

mod ahead;
mod augmentation;
pub mod batches;
mod buckets;
mod clock;
mod control;
mod events;
mod loss;
pub mod metrics;
mod moments;
mod muon;
pub mod optimizer;
mod order;
pub mod parallel;
mod photo;
mod plan;
mod resident;
mod rule;
mod run;
mod share;
mod state;
mod step;
mod together;
mod verify;
mod views;
mod walk;

pub use control::{StepControl, Uninterrupted};
pub use events::{Event, Observer, Observers};
pub use plan::Plan;
pub use run::{train, train_with};
pub use state::{Progress, TrainState};
pub use step::Step;
pub use verify::{Check, Verification, verify};
