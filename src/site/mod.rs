//! The page as a set of files, and a server for it and for what there is of runs.

mod files;
mod runs;
mod serve;

pub use files::{Site, add_samples, build, is_unoptimized, page_dir, write};
pub use runs::{Answer, Watched};
pub use serve::serve;
