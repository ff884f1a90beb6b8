//! The operations that burn learns, on every kind of its wgpu backend.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchDevice, backend_extension};
use burn::tensor::{Device, Int, Tensor};
use burn_wgpu::{CubeBackend, CubeTensor};

use super::{evaluate as evaluation, gather};
use crate::compute::LossKind;
use crate::data::ImageShape;

/// Measures a batch: logits `[n, classes]` and labels `[n]` become rows `start..start + n` of `results`, which is
/// `[images, 3]`: the most probable class, its probability, the loss. The device must
/// [run shaders](runs_shaders).
pub fn evaluate(
    results: Tensor<2>,
    logits: Tensor<2>,
    labels: Tensor<1, Int>,
    start: usize,
    loss: LossKind,
) -> Tensor<2> {
    let (results, logits, labels) = (results.into_dispatch(), logits.into_dispatch(), labels.into_dispatch());
    Tensor::from_dispatch(Dispatch::evaluate(results, logits, labels, start, loss))
}

/// Gathers the images at positions `start..start + images` of an order: values `[images, channels, height, width]` from
/// 0 to 1, and labels `[images]`.
///
/// `pixels` is `[n, ceil(shape.len() / 4)]`, four a word; `labels` is `[n]`; `order` and `changes` are as long as each
/// other, the images and what is done to each, as [`encode`](super::encode) writes it. The device must
/// [run shaders](runs_shaders).
pub fn gather_batch(
    pixels: Tensor<2, Int>,
    labels: Tensor<1, Int>,
    order: Tensor<1, Int>,
    changes: Tensor<1, Int>,
    start: usize,
    images: usize,
    shape: ImageShape,
) -> (Tensor<4>, Tensor<1, Int>) {
    let (values, labels) = Dispatch::gather(
        pixels.into_dispatch(),
        labels.into_dispatch(),
        order.into_dispatch(),
        changes.into_dispatch(),
        start,
        images,
        shape,
    );
    (Tensor::from_dispatch(values), Tensor::from_dispatch(labels))
}

/// The operations that burn learns here. [`gather_batch`] and [`evaluate()`] are what to call.
#[backend_extension(Cube, Fusion)]
pub trait Shaders: Backend {
    /// See [`gather_batch`].
    #[fusion(meta = gather::output)]
    fn gather(
        pixels: IntTensor<Self>,
        labels: IntTensor<Self>,
        order: IntTensor<Self>,
        changes: IntTensor<Self>,
        start: usize,
        images: usize,
        shape: ImageShape,
    ) -> (FloatTensor<Self>, IntTensor<Self>);

    /// See [`evaluate()`].
    #[fusion(dtype = results, shape = results)]
    fn evaluate(
        results: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        start: usize,
        loss: LossKind,
    ) -> FloatTensor<Self>;
}

impl Shaders for CubeBackend {
    fn gather(
        pixels: CubeTensor,
        labels: CubeTensor,
        order: CubeTensor,
        changes: CubeTensor,
        start: usize,
        images: usize,
        shape: ImageShape,
    ) -> (CubeTensor, CubeTensor) {
        gather::launch([pixels, labels, order, changes], start, images, shape)
    }

    fn evaluate(
        results: CubeTensor,
        logits: CubeTensor,
        labels: CubeTensor,
        start: usize,
        loss: LossKind,
    ) -> CubeTensor {
        evaluation::launch(results, [logits, labels], start, loss)
    }
}

/// Whether this device, with autodiff or without, is handed WGSL: wgpu without the features that compile to SPIR-V or
/// Metal's own language.
pub fn runs_shaders(device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device @ cubecl::Device::Wgpu(_)) => device.client().name().contains("wgsl"),
        _ => false,
    }
}
