//! What a run shows and leaves for people: the console, tables, TensorBoard files, charts.

pub mod artifacts;
pub mod claims;
pub mod console;
pub mod csv;
pub mod experiment;
pub mod page;
pub mod plots;
pub mod tensorboard;
