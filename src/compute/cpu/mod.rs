//! Operations of our own on the CPU backend: convolutions, batch normalization with ReLU and max pooling or with GELU, GELU,
//! max pooling, linear layers and the loss.
//!
//! Each is a differentiable operation on burn's own primitives, for the layers of [`network`](crate::network); on every
//! other device those fall back to burn's operations, against which the tests hold these. What they compute with is a crate
//! of its own, [`tinderbox_kernels`], which knows nothing of burn.

mod conv;
mod early;
mod gather;
mod gelu;
mod linear;
mod loss;
mod max_pool;
mod norm;
mod tensors;

pub use conv::{Prepared, convolve};
pub use early::{Announcement, Listener};
pub use gather::gather;
pub use gelu::gelu;
pub use linear::linear;
pub use loss::loss;
pub use max_pool::max_pool;
pub use norm::{Activation, After, norm, norm_train};
#[cfg(feature = "native")]
pub use tinderbox_kernels::threads::take_part;
