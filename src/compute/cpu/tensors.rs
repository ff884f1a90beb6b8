//! burn-flex's tensors as plain values.
//!
//! Our operations keep the channels of images last in memory: then a vector of the processor is of neighbouring channels,
//! however small the images are. To burn such a tensor is `[n, channels, height, width]` with strides to match, so that
//! between two of our operations nothing is copied, and every other operation of burn's works too.

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, BackendTypes, Flex};
use burn::tensor::{Bytes, DType, Tensor, TensorData};
use burn_std::AllocationProperty;
use tinderbox_kernels::Buffer;

/// burn-flex's tensor.
pub(super) type Primitive = <Flex as BackendTypes>::FloatTensorPrimitive;
/// The backend that tracks gradients.
pub(super) type Tracked = Autodiff<Flex, NoCheckpointing>;

/// Images with their channels last in memory; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Maps {
    tensor: Primitive,
    /// `[images, channels, height, width]`.
    pub dims: [usize; 4],
}

impl Maps {
    /// The values of a tensor of the CPU backend, tracked or not; none elsewhere.
    pub fn of(tensor: &Tensor<4>) -> Option<Self> {
        Self::of_primitive(untracked(tensor)?, tensor.dims())
    }

    /// The images of burn-flex's tensor; none where its values are not in single precision.
    pub fn of_primitive(tensor: Primitive, dims: [usize; 4]) -> Option<Self> {
        (tensor.dtype() == DType::F32).then(|| Self { tensor: tensor.permute(&[0, 2, 3, 1]).to_contiguous(), dims })
    }

    /// `[images, height, width, channels]`.
    pub fn values(&self) -> &[f32] {
        slice(&self.tensor)
    }
}

/// A matrix of the CPU backend, tracked or not, its rows one after the other; none elsewhere.
pub(super) fn matrix(tensor: &Tensor<2>) -> Option<Primitive> {
    matrix_of(untracked(tensor)?)
}

/// The matrix of burn-flex's tensor; none where its values are not in single precision.
pub(super) fn matrix_of(tensor: Primitive) -> Option<Primitive> {
    (tensor.dtype() == DType::F32).then(|| tensor.to_contiguous())
}

/// The values of a contiguous tensor.
pub(super) fn slice(tensor: &Primitive) -> &[f32] {
    let (start, end) = tensor.layout().contiguous_offsets().unwrap_or_default();
    &tensor.storage()[start..end]
}

/// Values `[images, height, width, channels]` as burn-flex's tensor of `dims`, which are `[images, channels, height, width]`.
pub(super) fn images(values: Buffer, [n, c, h, w]: [usize; 4]) -> Primitive {
    contiguous(values, [n, h, w, c]).permute(&[0, 3, 1, 2])
}

/// Values as burn-flex's tensor of `dims`.
pub(super) fn contiguous<const D: usize>(values: Buffer, dims: [usize; D]) -> Primitive {
    // The memory comes back when the tensor is gone.
    let bytes = Bytes::from_shared(bytes::Bytes::from_owner(values), AllocationProperty::Native);
    Primitive::from_data(TensorData::from_bytes(bytes, dims, DType::F32))
}

/// The values of a vector on the CPU backend, tracked or not.
pub(super) fn vector(tensor: &Tensor<1>) -> Option<Vec<f32>> {
    untracked(tensor)?.into_data().try_to_vec().ok()
}

/// A tensor of the CPU backend without what burn tracks of it; none elsewhere.
pub(super) fn untracked<const D: usize>(tensor: &Tensor<D>) -> Option<Primitive> {
    let plain = if tensor.device().is_autodiff() { tensor.clone().inner() } else { tensor.clone() };
    plain.try_into_primitive::<Flex>().ok()
}

/// The tensor as burn tracks it; one that is not is a constant.
pub(super) fn tracked<const D: usize>(tensor: &Tensor<D>) -> Option<FloatTensor<Tracked>> {
    let is_tracked = tensor.device().is_autodiff();
    let tensor = if is_tracked { tensor.clone() } else { Tensor::from_inner(tensor.clone()) };
    tensor.try_into_primitive::<Tracked>().ok()
}

/// What an operation made of `inputs`, with what its backward pass wants to know.
pub(super) fn track<O: Backward<Flex, N>, const N: usize, const D: usize>(
    operation: O,
    inputs: [&FloatTensor<Tracked>; N],
    state: O::State,
    output: Primitive,
) -> Tensor<D> {
    let nodes = inputs.map(|input| input.node());
    Tensor::from_primitive::<Tracked>(match operation.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    })
}

#[cfg(test)]
pub(super) mod testing {
    use burn::tensor::{Device, Distribution, Tensor, Tolerance};

    pub const SHAPES: [[usize; 4]; 6] =
        [[4, 3, 6, 6], [2, 1, 2, 2], [7, 5, 4, 2], [1, 19, 8, 8], [128, 2, 2, 2], [3, 16, 4, 4]];

    pub fn random<const D: usize>(shape: [usize; D], low: f64, high: f64) -> Tensor<D> {
        let device = Device::flex().autodiff();
        Tensor::random(shape, Distribution::Uniform(low, high), &device).require_grad()
    }

    pub fn close<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
        found.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::rel_abs(1e-3, 1e-4));
    }
}
