//! Operations of our own on the CPU backend: batch normalization with ReLU, and 2x2 max pooling, each in as few passes
//! over memory as it needs, on all cores.
//!
//! Burn composes both of tensor operations, each a pass over memory on one thread; on a CPU that costs a small
//! convolutional network a good part of what its convolutions cost. These are differentiable operations on burn's own
//! primitives, for the layers `norm` and `pool` of [`network`](crate::network); on every other device those fall
//! back to burn's operations, against which the tests hold these.

mod max_pool;
mod norm_relu;
mod tensors;

pub use max_pool::max_pool;
pub use norm_relu::{norm_relu, norm_relu_train};
