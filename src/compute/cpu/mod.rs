//! Operations of our own on the CPU backend: 3x3 convolutions, batch normalization with ReLU and max pooling, max pooling,
//! linear layers and the loss.
//!
//! Each is a differentiable operation on burn's own primitives, for the layers of [`network`](crate::network); on every
//! other device those fall back to burn's operations, against which the tests hold these. What they compute with is a crate
//! of its own, [`tinderbox_kernels`], which knows nothing of burn.

mod conv;
mod gather;
mod linear;
mod loss;
mod max_pool;
mod norm_relu;
mod tensors;

pub use conv::{Prepared, convolve};
pub use gather::gather;
pub use linear::linear;
pub use loss::loss;
pub use max_pool::max_pool;
pub use norm_relu::{norm_relu, norm_relu_train};
#[cfg(feature = "native")]
pub use tinderbox_kernels::threads::take_part;
