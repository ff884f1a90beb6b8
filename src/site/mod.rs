//! The page as a set of files, and a server for it.

mod files;
mod serve;

pub use files::{Site, build, page_dir, write};
pub use serve::serve;
