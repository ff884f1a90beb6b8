//! Shaders of our own (`shaders/*.wgsl`), as operations of burn.
//!
//! They are launched through burn's extension interface, so that burn orders, fuses around and frees as with its own
//! kernels. They are written in WGSL and so run wherever wgpu is handed WGSL; [`runs_shaders`] tells. Everywhere else
//! [`batches`](crate::training::batches) and [`metrics`](crate::training::metrics) compose the same of burn's operations, and the tests
//! hold one against the other.

mod conv;
mod differentiable;
mod dropout;
mod evaluate;
mod extension;
mod gather;
mod kernel;
mod loss;
mod max_pool;
mod norm;
mod resident;
mod tile_grid;

pub use conv::Way;
pub use differentiable::{Normalized, convolve, drop_out, loss, max_pool, norm_train};
pub use dropout::Dropout;
pub use evaluate::VALUES_PER_IMAGE;
pub use extension::{Shaders, apply_dropout, evaluate, gather_batch, runs_shaders, view};
pub use gather::encode;
pub use resident::{Place, Resident, Rule, progress_words, write, write_values};
pub use tile_grid::{Gpu, Layout, Source, Tile, TileGrid, draw_on_cpu};
