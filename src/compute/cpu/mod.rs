//! Operations of our own on the CPU backend: 3x3 convolutions, batch normalization with ReLU and max pooling, and max
//! pooling, forward and backward, each in as few passes over memory as it needs, on all cores.
//!
//! Each is a differentiable operation on burn's own primitives, for the layers of [`network`](crate::network); on every
//! other device those fall back to burn's operations, against which the tests hold these. Instructions for vectors are
//! chosen when the program runs, by the crate `pulp`; one source is compiled for AVX-512, AVX2, NEON, a browser's SIMD and
//! none.

mod conv;
mod direct;
mod linear;
mod loss;
mod max_pool;
mod memory;
mod norm_kernels;
mod norm_relu;
mod product;
mod sizes;
mod tensors;
pub(crate) mod threads;
mod vector;
mod windows;
mod winograd;

pub use conv::{Prepared, convolve};
pub use linear::linear;
pub use loss::loss;
pub use max_pool::max_pool;
pub use norm_relu::{norm_relu, norm_relu_train};
pub(crate) use vector::on_this_machine;
