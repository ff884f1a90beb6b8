//! What a run leaves for people: lines for the terminal, tables, TensorBoard files, charts, pages.

pub mod artifacts;
pub mod claims;
pub mod console;
pub mod csv;
mod curves;
pub mod experiment;
pub mod page;
pub mod plots;
pub mod run;
pub mod samples;
pub mod tensorboard;
pub mod write;
