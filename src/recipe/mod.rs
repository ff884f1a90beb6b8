//! What to train, completely: a [`Recipe`] holds every choice that decides the numbers of a run.
//!
//! Every choice is a row of one table, [`FIELDS`]: how it is called in files and on the command line, what it means, its
//! range, its default, and when it applies. Validation, recipe files, options, the command that repeats a run and the JSON
//! schema of the page's form all come from that table.

mod augment;
mod change;
mod definition;
mod field;
mod fields;
#[cfg(feature = "native")]
pub mod file;
mod lookahead;
mod optimizer;
mod presets;
mod schedule;
mod schema;
mod views;

pub use augment::{Augment, Flip};
pub use change::{change, change_typed};
pub use definition::Recipe;
pub use field::{Applies, Field, FieldKind, Group};
pub use fields::{FIELDS, field};
pub use lookahead::Lookahead;
pub use optimizer::OptimizerConfig;
pub use presets::{CIFAR10_EXERCISE, DEFAULT_PRESET, MNIST_EXERCISE, PRESETS, Preset};
pub use schedule::Schedule;
pub use schema::schema;
pub use views::Views;
