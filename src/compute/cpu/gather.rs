//! Batches of images.

use burn::backend::Flex;
use burn::tensor::Tensor;
use tinderbox_kernels::gather::scaled;

use super::tensors::contiguous;

/// The images at `indices` on the CPU, each byte times `scale`. `dims` are those of the batch: `[n, channels, height, width]`.
pub fn gather(images: &[u8], indices: &[i32], scale: f32, dims: [usize; 4]) -> Tensor<4> {
    let len = dims[1..].iter().product();
    Tensor::from_primitive::<Flex>(contiguous(scaled(images, len, indices, scale), dims))
}
