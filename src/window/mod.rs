//! Windows: a run while it trains, and a picture of samples.

pub mod live;
pub mod samples;
