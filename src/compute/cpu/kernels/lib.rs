//! The arithmetic of `tinderbox` on the CPU, on plain values in memory: convolutions, batch normalization with ReLU and max
//! pooling or with GELU, GELU, max pooling, linear layers and softmax, forward and backward, and the steps of optimizers; each in
//! as few passes over memory as it needs, and all that takes long on all cores.
//!
//! Images are `[images, height, width, channels]`: with their channels last, a vector of the processor is of neighbouring
//! channels, however small the images are. Instructions for vectors are chosen when the program runs, by the crate `pulp`;
//! one source is compiled for AVX-512, AVX2, NEON, a browser's SIMD and none.
//!
//! All that a loop over vectors calls has to be compiled into it, or each vector goes through memory. So nothing that other
//! crates call is generic over vectors or windows, this crate is compiled as one unit, and small functions are always inlined.

pub mod conv;
mod direct;
pub mod gather;
pub mod gelu;
pub mod linear;
pub mod max_pool;
mod memory;
mod nonzeros;
pub mod norm;
mod norm_kernels;
mod product;
mod sizes;
pub mod softmax;
pub mod threads;
pub mod update;
mod vector;
mod windows;
mod winograd;

pub use memory::Buffer;
pub use sizes::{Kernel, Sizes};
pub use windows::Pool;
