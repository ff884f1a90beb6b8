//! How fast a device really is: the parts of training, training itself, and whether its results are right.
//!
//! [`measure`](measure()) works on one device, natively and in a browser, and tells a listener of every measurement as
//! it is made. [`Report`] is the JSON that all of them are written as, also by the scripts in `benches/peers`.

mod measure;
#[cfg(feature = "native")]
mod render;
mod run;
mod schema;
mod steps;
mod training;

pub use measure::{Effort, Progress};
#[cfg(feature = "native")]
pub use render::{csv, html, markdown};
pub use run::measure;
pub use schema::{Machine, Measurement, Report, Row, SCHEMA, Tool};
