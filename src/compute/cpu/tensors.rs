//! burn-flex's tensors as plain values, and work on all cores.

use std::ops::Range;

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::{Autodiff, BackendTypes, Flex};
use burn::tensor::{DType, Tensor, TensorData};

/// burn-flex's tensor.
pub(super) type Primitive = <Flex as BackendTypes>::FloatTensorPrimitive;
pub(super) type Tracked = Autodiff<Flex, NoCheckpointing>;

/// Values on the host, contiguous; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    pub(super) tensor: Primitive,
    pub(super) dims: [usize; 4],
}

impl Plain {
    pub(super) fn values(&self) -> &[f32] {
        self.tensor.storage()
    }
}

/// The values of a tensor of the CPU backend that is not tracked.
pub(super) fn plain(tensor: Tensor<4>) -> Option<Plain> {
    let dims = tensor.dims();
    let primitive = tensor.try_into_primitive::<Flex>().ok()?;
    (primitive.dtype() == DType::F32).then(|| Plain { tensor: primitive.to_contiguous(), dims })
}

pub(super) fn values(tensor: Tensor<1>) -> Option<Vec<f32>> {
    tensor.try_into_primitive::<Flex>().ok()?.into_data().try_to_vec().ok()
}

pub(super) fn primitive(values: Vec<f32>, dims: [usize; 4]) -> Primitive {
    Primitive::from_data(TensorData::new(values, dims))
}

/// Calls `work` on contiguous parts of `out`, each of whole chunks, on all cores; it gets the number of its first chunk.
pub(super) fn in_parallel(out: &mut [f32], chunk: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let chunks = out.len() / chunk.max(1);
    let per_thread = chunks.div_ceil(threads()).max(1);
    if per_thread >= chunks {
        return work(0, out);
    }
    std::thread::scope(|scope| {
        let work = &work;
        for (i, part) in out.chunks_mut(per_thread * chunk).enumerate() {
            scope.spawn(move || work(i * per_thread, part));
        }
    });
}

/// `work` of every number below `n`, on all cores.
pub(super) fn map_in_parallel<T: Send>(n: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let per_thread = n.div_ceil(threads()).max(1);
    let part = |range: Range<usize>| range.map(&work).collect::<Vec<T>>();
    if per_thread >= n {
        return part(0..n);
    }
    std::thread::scope(|scope| {
        let part = &part;
        let ranges = (0..n).step_by(per_thread).map(|start| start..(start + per_thread).min(n));
        let running: Vec<_> = ranges.map(|range| scope.spawn(move || part(range))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<T>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().flat_map(join).collect()
    })
}

/// One in a browser, where there are no threads to start.
pub(super) fn threads() -> usize {
    if cfg!(target_family = "wasm") { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

#[cfg(test)]
pub(super) mod testing {
    use burn::tensor::{Device, Distribution, Tensor, Tolerance};

    pub const SHAPES: [[usize; 4]; 5] = [[4, 3, 6, 6], [2, 1, 2, 2], [7, 5, 4, 2], [1, 9, 8, 8], [128, 2, 2, 2]];

    pub fn random<const D: usize>(shape: [usize; D], low: f64, high: f64) -> Tensor<D> {
        let device = Device::flex().autodiff();
        Tensor::random(shape, Distribution::Uniform(low, high), &device).require_grad()
    }

    pub fn close<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
        found.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::rel_abs(1e-3, 1e-4));
    }
}
