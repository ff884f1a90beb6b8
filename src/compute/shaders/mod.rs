//! Shaders of our own (`shaders/*.wgsl`), as operations of burn.
//!
//! They are launched through burn's extension interface, so that burn orders, fuses around and frees as with its own
//! kernels. They are written in WGSL and so run wherever wgpu is handed WGSL; [`Wgsl::of`] tells. Everywhere else
//! [`batches`](crate::training::batches) and [`metrics`](crate::training::metrics) compose the same of burn's operations, and the tests
//! hold one against the other.
//!
//! A build without the feature `gpu` has none of them: there [`Wgsl`] has no value, and so nothing can be asked of it.

#[cfg(not(feature = "gpu"))]
mod absent;
#[cfg(feature = "gpu")]
mod conv;
#[cfg(feature = "gpu")]
mod differentiable;
#[cfg(feature = "gpu")]
mod dropout;
#[cfg(feature = "gpu")]
mod evaluate;
#[cfg(feature = "gpu")]
mod extension;
#[cfg(feature = "gpu")]
mod gather;
mod grid;
#[cfg(feature = "gpu")]
mod kernel;
#[cfg(feature = "gpu")]
mod loss;
#[cfg(feature = "gpu")]
mod max_pool;
#[cfg(feature = "gpu")]
mod norm;
#[cfg(feature = "gpu")]
mod resident;
mod terms;
#[cfg(feature = "gpu")]
mod tile_grid;

#[cfg(not(feature = "gpu"))]
pub use absent::*;
#[cfg(feature = "gpu")]
pub use differentiable::{convolve, drop_out, loss, max_pool, norm_train, product};
#[cfg(feature = "gpu")]
pub use extension::{Shaders, Wgsl};
pub use grid::{Layout, Tile, draw_on_cpu};
#[cfg(feature = "gpu")]
pub use resident::{Resident, write, write_values};
pub use terms::{Dropout, Normalized, Place, Rule, VALUES_PER_IMAGE, Way, encode, progress_words};
#[cfg(feature = "gpu")]
pub use tile_grid::{Gpu, Source, TileGrid};
