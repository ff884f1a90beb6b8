//! What is kept of a run: its folder, its checkpoints, and a run from its start to its last file. Nothing here prints.

mod checkpoint;
mod fault;
mod folder;
mod follow;
mod keep;
mod order;
mod resume;
mod session;
pub mod sweep;
mod trained;
pub mod verified;

pub use checkpoint::{Saved, load, newest_whole, older_count, save};
pub use folder::RunDir;
pub use follow::follow;
pub use keep::Checkpoints;
pub use order::{Order, Task, is_pending, settle};
pub use resume::{Start, resume_point};
pub use session::{Job, Session, is_finished};
pub use trained::{Guess, Trained};
