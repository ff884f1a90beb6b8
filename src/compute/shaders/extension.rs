//! The operations that burn learns, on every kind of its wgpu backend.

use std::ops::Range;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchDevice, backend_extension};
use burn::tensor::{Device, Int, Shape, Tensor};
use burn_wgpu::{CubeBackend, CubeTensor};

use super::conv::{self, Pass, Sides};
use super::terms::Dropout;
use super::{dropout, evaluate as evaluation, gather, loss, max_pool, norm};
use crate::compute::LossKind;
use crate::compute::cpu::Activation;
use crate::data::ImageShape;

/// A device that is handed WGSL, and so runs our shaders: wgpu without the features that compile to SPIR-V or Metal's own
/// language.
#[derive(Debug, Clone, Copy)]
pub struct Wgsl(());

impl Wgsl {
    /// What is asked of this device, with autodiff or without, if it is one.
    pub fn of(device: &Device) -> Option<Self> {
        match device.clone().inner().as_dispatch() {
            DispatchDevice::Cube(device @ cubecl::Device::Wgpu(_)) => {
                device.client().name().contains("wgsl").then_some(Self(()))
            }
            _ => None,
        }
    }

    /// Measures a batch: logits `[n, classes]` and labels `[n]` become rows `start..start + n` of `results`, which is
    /// `[images, 3]`: the most probable class, its probability, the loss.
    pub fn evaluate(
        self,
        results: Tensor<2>,
        logits: Tensor<2>,
        labels: Tensor<1, Int>,
        start: usize,
        loss: LossKind,
    ) -> Tensor<2> {
        let (results, logits, labels) = (results.into_dispatch(), logits.into_dispatch(), labels.into_dispatch());
        Tensor::from_dispatch(Dispatch::evaluate(results, logits, labels, start, loss))
    }

    /// Gathers the images at positions `range` of an order, counted from the first number of `position`: values
    /// `[images, channels, height, width]` from 0 to 1, and labels `[images]`.
    ///
    /// `pixels` is `[n, ceil(shape.len() / 4)]`, four a word; `labels` is `[n]`; `order` and `changes` are as long as each
    /// other, the images and what is done to each, as [`encode`](super::encode) writes it.
    pub fn gather_batch(
        self,
        pixels: Tensor<2, Int>,
        labels: Tensor<1, Int>,
        [order, changes]: [Tensor<1, Int>; 2],
        position: Tensor<1, Int>,
        range: Range<usize>,
        shape: ImageShape,
    ) -> (Tensor<4>, Tensor<1, Int>) {
        let (values, labels) = Dispatch::gather(
            pixels.into_dispatch(),
            labels.into_dispatch(),
            order.into_dispatch(),
            changes.into_dispatch(),
            position.into_dispatch(),
            range,
            shape,
        );
        (Tensor::from_dispatch(values), Tensor::from_dispatch(labels))
    }

    /// Values with a share of them zeroed and the others scaled up, in the step that `progress` says: its second number is the step
    /// of the epoch, its third the epoch.
    pub fn dropout<const D: usize>(self, x: Tensor<D>, progress: Tensor<1, Int>, dropout: Dropout) -> Tensor<D> {
        Tensor::from_dispatch(Dispatch::dropout(x.into_dispatch(), progress.into_dispatch(), dropout))
    }
}

/// The operations that burn learns here. [`Wgsl`] is what to call.
#[backend_extension(Cube, Fusion)]
pub trait Shaders: Backend {
    /// See [`Wgsl::gather_batch`].
    #[fusion(meta = gather::output)]
    fn gather(
        pixels: IntTensor<Self>,
        labels: IntTensor<Self>,
        order: IntTensor<Self>,
        changes: IntTensor<Self>,
        position: IntTensor<Self>,
        range: Range<usize>,
        shape: ImageShape,
    ) -> (FloatTensor<Self>, IntTensor<Self>);

    /// See [`Resident::view`](super::Resident::view).
    #[fusion(dtype = values, shape = shape.clone())]
    fn view(values: FloatTensor<Self>, offset: usize, shape: Shape) -> FloatTensor<Self>;

    /// The loss `[1]` of logits and labels, and its gradient; see [`loss`](super::loss).
    #[fusion(meta = loss::output)]
    fn loss(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        kind: LossKind,
        smoothing: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// activation(batch norm(x)), and six vectors of the channels; `numbers` are epsilon and momentum. See
    /// [`norm_train`](super::norm_train).
    #[fusion(meta = norm::output)]
    fn norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        numbers: (f32, f32),
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradient of x, and those of scale and offset, from that of what [`norm`](Self::norm) made.
    #[fusion(meta = norm::gradients)]
    fn norm_gradient(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Images `[n, inputs, h, w]` convolved with weights, with stride 1; see [`convolve`](super::convolve).
    #[fusion(meta = conv::output)]
    fn conv(x: FloatTensor<Self>, weights: FloatTensor<Self>, sides: Sides) -> FloatTensor<Self>;

    /// The gradient of the images of [`conv`](Self::conv) from that of what it made.
    #[fusion(meta = conv::of_images)]
    fn conv_images_gradient(dy: FloatTensor<Self>, weights: FloatTensor<Self>, sides: Sides) -> FloatTensor<Self>;

    /// The gradient of the weights of [`conv`](Self::conv) from that of what it made.
    #[fusion(meta = conv::of_weights)]
    fn conv_weights_gradient(x: FloatTensor<Self>, dy: FloatTensor<Self>, sides: Sides) -> FloatTensor<Self>;

    /// The maxima of windows side by side; see [`max_pool`](super::max_pool()).
    #[fusion(meta = max_pool::output)]
    fn max_pool(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self>;

    /// The gradient of `x` from that of its maxima.
    #[fusion(dtype = x, shape = x)]
    fn max_pool_gradient(x: FloatTensor<Self>, dy: FloatTensor<Self>, size: usize) -> FloatTensor<Self>;

    /// See [`Wgsl::dropout`].
    #[fusion(dtype = x, shape = x)]
    fn dropout(x: FloatTensor<Self>, progress: IntTensor<Self>, dropout: Dropout) -> FloatTensor<Self>;

    /// See [`Wgsl::evaluate`].
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
        position: CubeTensor,
        range: Range<usize>,
        shape: ImageShape,
    ) -> (CubeTensor, CubeTensor) {
        gather::launch([pixels, labels, order, changes, position], range, shape)
    }

    fn view(values: CubeTensor, offset: usize, shape: Shape) -> CubeTensor {
        let (end, all) = (offset + shape.num_elements(), values.meta.shape().num_elements());
        let handle = values.handle.clone().offset_start(4 * offset as u64).offset_end(4 * (all - end) as u64);
        CubeTensor::new_contiguous(values.client.clone(), values.device.clone(), shape, handle, values.dtype)
    }

    fn loss(logits: CubeTensor, labels: CubeTensor, kind: LossKind, smoothing: f32) -> (CubeTensor, CubeTensor) {
        loss::launch([logits, labels], kind, smoothing)
    }

    fn norm(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        mean: CubeTensor,
        variance: CubeTensor,
        numbers: (f32, f32),
        activation: Activation,
    ) -> (CubeTensor, CubeTensor) {
        norm::launch([x, gamma, beta, mean, variance], numbers, activation)
    }

    fn norm_gradient(
        x: CubeTensor,
        dy: CubeTensor,
        statistics: CubeTensor,
        activation: Activation,
    ) -> (CubeTensor, CubeTensor) {
        norm::launch_gradient([x, dy, statistics], activation)
    }

    fn conv(x: CubeTensor, weights: CubeTensor, sides: Sides) -> CubeTensor {
        conv::launch(Pass::Forward, [x, weights], sides)
    }

    fn conv_images_gradient(dy: CubeTensor, weights: CubeTensor, sides: Sides) -> CubeTensor {
        conv::launch(Pass::Images, [dy, weights], sides)
    }

    fn conv_weights_gradient(x: CubeTensor, dy: CubeTensor, sides: Sides) -> CubeTensor {
        conv::launch(Pass::Weights, [x, dy], sides)
    }

    fn max_pool(x: CubeTensor, size: usize) -> CubeTensor {
        max_pool::launch(x, size)
    }

    fn max_pool_gradient(x: CubeTensor, dy: CubeTensor, size: usize) -> CubeTensor {
        max_pool::launch_gradient([x, dy], size)
    }

    fn dropout(x: CubeTensor, progress: CubeTensor, dropout: Dropout) -> CubeTensor {
        dropout::launch([x, progress], &dropout)
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
