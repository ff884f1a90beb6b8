//! A batch from the images on the device, in one dispatch: `shaders/gather_batch.wgsl`.

use std::ops::Range;

use burn::backend::fusion::custom::TensorSpec;
use burn::tensor::{DType, Shape};
use burn_wgpu::{CubeTensor, into_contiguous};

use super::kernel::{in_rows, run, wgsl};
use crate::data::ImageShape;

/// Threads in a workgroup, as in the shader.
const THREADS: u32 = 256;

wgsl!(GatherBatch, "../../../shaders/gather_batch.wgsl");

/// Shapes and types of what comes out, for the fused backend, which wants to know before it runs.
pub(super) fn output(
    _pixels: &TensorSpec,
    labels: &TensorSpec,
    _order: &TensorSpec,
    _changes: &TensorSpec,
    _position: &TensorSpec,
    range: &Range<usize>,
    &shape: &ImageShape,
) -> (TensorSpec, TensorSpec) {
    let images = range.len();
    (TensorSpec::new(values_shape(images, shape), DType::F32), TensorSpec::new(Shape::new([images]), labels.dtype))
}

fn values_shape(images: usize, ImageShape { channels, height, width }: ImageShape) -> Shape {
    Shape::new([images, channels, height, width])
}

pub(super) fn launch(inputs: [CubeTensor; 5], range: Range<usize>, shape: ImageShape) -> (CubeTensor, CubeTensor) {
    let (start, images) = (range.start, range.len());
    let [pixels, all_labels, order, changes, position] = inputs.map(into_contiguous);
    let output = |shape, dtype| {
        let (client, device) = (pixels.client.clone(), pixels.device.clone());
        burn_cubecl::ops::numeric::empty_device_contiguous_dtype(client, device, shape, dtype)
    };
    let values = output(values_shape(images, shape), DType::F32);
    let labels = output(Shape::new([images]), all_labels.dtype);
    let groups = in_rows((images * shape.len().div_ceil(4)).div_ceil(THREADS as usize));
    let params = [start, images, shape.channels, shape.height, shape.width].map(|n| n as u32);
    let params = [&params[..], &[groups.0]].concat();
    let tensors = [&pixels, &all_labels, &order, &changes, &values, &labels, &position];
    run(GatherBatch, THREADS, groups, &tensors, &params);
    (values, labels)
}
