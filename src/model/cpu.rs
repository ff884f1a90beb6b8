//! Batch normalization with ReLU, and 2x2 max pooling, in as few passes over memory as they need, on the CPU backend.
//!
//! Burn composes both of tensor operations, each a pass over memory on one thread; on a CPU that costs a small
//! convolutional network as much time as its convolutions. These are differentiable operations of our own on burn's
//! primitives, for [`ConvBlock`](super::ConvBlock) and [`pool`](super::conv::pool); on every other device these fall
//! back to burn's operations, which the tests hold them against.

use std::ops::Range;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, BackendTypes, Flex};
use burn::tensor::{DType, Tensor, TensorData};

/// burn-flex's tensor.
type Primitive = <Flex as BackendTypes>::FloatTensorPrimitive;
type Tracked = Autodiff<Flex, NoCheckpointing>;

/// relu(batch norm(x)) by the statistics of the batch, which come along: mean and biased variance.
pub struct Normalized {
    /// `[n, channels, h, w]`.
    pub output: Tensor<4>,
    /// `[channels]`, not tracked.
    pub mean: Tensor<1>,
    /// `[channels]`, not tracked.
    pub variance: Tensor<1>,
}

/// Normalizes by the batch and applies ReLU, while training on the CPU backend; `None` elsewhere.
pub fn norm_relu_train(x: &Tensor<4>, gamma: &Tensor<1>, beta: &Tensor<1>, epsilon: f64) -> Option<Normalized> {
    let tracked_x = x.clone().try_into_primitive::<Tracked>().ok()?;
    let tracked_gamma = gamma.clone().try_into_primitive::<Tracked>().ok()?;
    let tracked_beta = beta.clone().try_into_primitive::<Tracked>().ok()?;
    let x = plain(x.clone().inner())?;
    let planes = Planes::of(x.dims);
    let statistics = planes.statistics(x.values());
    let affine = Affine::new(&statistics, &values(gamma.clone().inner())?, &values(beta.clone().inner())?, epsilon);
    let output = planes.normalize(x.values(), &affine);

    let prepared = NormRelu
        .prepare::<NoCheckpointing>([tracked_x.node(), tracked_gamma.node(), tracked_beta.node()])
        .compute_bound()
        .stateful();
    let output = primitive(output, x.dims);
    let output = match prepared {
        OpsKind::Tracked(prep) => prep.finish((x, affine), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    let device = &burn::tensor::Device::flex();
    let vector = |values: Vec<f32>| {
        let n = values.len();
        Tensor::from_inner(Tensor::<1>::from_data(TensorData::new(values, [n]), device))
    };
    Some(Normalized {
        output: Tensor::from_primitive::<Tracked>(output),
        mean: vector(statistics.iter().map(|s| s.mean as f32).collect()),
        variance: vector(statistics.iter().map(|s| s.variance as f32).collect()),
    })
}

/// Normalizes by given statistics and applies ReLU, while not training on the CPU backend; `None` elsewhere.
pub fn norm_relu(x: &Tensor<4>, norm: [Tensor<1>; 4], epsilon: f64) -> Option<Tensor<4>> {
    let x = plain(x.clone())?;
    let [gamma, beta, mean, variance] = norm.map(values);
    let (mean, variance) = (mean?, variance?);
    let statistics: Vec<Statistics> = mean
        .iter()
        .zip(&variance)
        .map(|(&mean, &variance)| Statistics { mean: f64::from(mean), variance: f64::from(variance) })
        .collect();
    let affine = Affine::new(&statistics, &gamma?, &beta?, epsilon);
    let output = Planes::of(x.dims).normalize(x.values(), &affine);
    Some(Tensor::from_primitive::<Flex>(primitive(output, x.dims)))
}

/// The maximum of every 2x2 pixels on the CPU backend, training or not; `None` elsewhere, or where a side is odd.
pub fn max_pool(x: &Tensor<4>) -> Option<Tensor<4>> {
    let [n, c, h, w] = x.dims();
    if h % 2 != 0 || w % 2 != 0 {
        return None;
    }
    let pooled = |x: &Plain| {
        let mut output = vec![0.0; n * c * h * w / 4];
        in_parallel(&mut output, h * w / 4, |first, part| {
            let planes = x.values()[first * h * w..].chunks_exact(h * w);
            for (plane, out) in planes.zip(part.chunks_exact_mut(h * w / 4)) {
                for (rows, out) in plane.chunks_exact(2 * w).zip(out.chunks_exact_mut(w / 2)) {
                    let (upper, lower) = rows.split_at(w);
                    for (i, out) in out.iter_mut().enumerate() {
                        let columns = 2 * i..2 * i + 2;
                        *out = first_maximum(&upper[columns.clone()], &lower[columns]).1;
                    }
                }
            }
        });
        primitive(output, [n, c, h / 2, w / 2])
    };
    if let Some(x) = plain(x.clone()) {
        return Some(Tensor::from_primitive::<Flex>(pooled(&x)));
    }
    let tracked = x.clone().try_into_primitive::<Tracked>().ok()?;
    let x = plain(x.clone().inner())?;
    let output = pooled(&x);
    let output = match MaxPool.prepare::<NoCheckpointing>([tracked.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(x, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Some(Tensor::from_primitive::<Tracked>(output))
}

/// Values on the host, contiguous; clones share them.
#[derive(Debug, Clone)]
struct Plain {
    tensor: Primitive,
    dims: [usize; 4],
}

impl Plain {
    fn values(&self) -> &[f32] {
        self.tensor.storage()
    }
}

/// The values of a tensor of the CPU backend that is not tracked.
fn plain(tensor: Tensor<4>) -> Option<Plain> {
    let dims = tensor.dims();
    let primitive = tensor.try_into_primitive::<Flex>().ok()?;
    (primitive.dtype() == DType::F32).then(|| Plain { tensor: primitive.to_contiguous(), dims })
}

fn values(tensor: Tensor<1>) -> Option<Vec<f32>> {
    tensor.try_into_primitive::<Flex>().ok()?.into_data().try_to_vec().ok()
}

fn primitive(values: Vec<f32>, dims: [usize; 4]) -> Primitive {
    Primitive::from_data(TensorData::new(values, dims))
}

/// Mean and biased variance of a channel.
struct Statistics {
    mean: f64,
    variance: f64,
}

/// What batch norm does to a channel: x -> (x - mean) * inv_std * gamma + beta.
#[derive(Debug, Clone)]
struct Affine {
    channels: Vec<Channel>,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    mean: f32,
    inv_std: f32,
    gamma: f32,
    beta: f32,
}

impl Affine {
    fn new(statistics: &[Statistics], gamma: &[f32], beta: &[f32], epsilon: f64) -> Self {
        let channel = |((s, &gamma), &beta): ((&Statistics, &f32), &f32)| Channel {
            mean: s.mean as f32,
            inv_std: (1.0 / (s.variance + epsilon).sqrt()) as f32,
            gamma,
            beta,
        };
        Self { channels: statistics.iter().zip(gamma).zip(beta).map(channel).collect() }
    }
}

/// How `[n, channels, h, w]` lies in memory.
#[derive(Clone, Copy)]
struct Planes {
    images: usize,
    channels: usize,
    plane: usize,
}

impl Planes {
    fn of([n, c, h, w]: [usize; 4]) -> Self {
        Self { images: n, channels: c, plane: h * w }
    }

    /// The plane of every image for one channel.
    fn of_channel<'a>(&self, values: &'a [f32], channel: usize) -> impl Iterator<Item = &'a [f32]> + Clone + use<'a> {
        let Self { images, channels, plane } = *self;
        (0..images).map(move |image| &values[(image * channels + channel) * plane..][..plane])
    }

    /// Each channel in two passes, the second of which finds it in the cache.
    fn statistics(&self, x: &[f32]) -> Vec<Statistics> {
        let n = (self.images * self.plane) as f64;
        map_in_parallel(self.channels, |channel| {
            let planes = self.of_channel(x, channel);
            let mean = planes.clone().map(|plane| sum(plane, |v| v)).sum::<f64>() / n;
            let centre = mean as f32;
            let variance = planes.map(|plane| sum(plane, |v| (v - centre) * (v - centre))).sum::<f64>() / n;
            Statistics { mean, variance }
        })
    }

    fn normalize(&self, x: &[f32], affine: &Affine) -> Vec<f32> {
        let mut output = vec![0.0; x.len()];
        in_parallel(&mut output, self.plane, |first, part| {
            for (i, out) in part.chunks_exact_mut(self.plane).enumerate() {
                let Channel { mean, inv_std, gamma, beta } = affine.channels[(first + i) % self.channels];
                let (scale, shift) = (inv_std * gamma, beta - mean * inv_std * gamma);
                let x = &x[(first + i) * self.plane..][..self.plane];
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = (x * scale + shift).max(0.0);
                }
            }
        });
        output
    }
}

/// A sum in eight lanes, which the compiler turns into vector instructions.
fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0.0f32; 8];
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|&v| f64::from(term(v))).sum();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += term(v);
        }
    }
    rest + lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()
}

/// Gradients of relu(batch norm(x)) with respect to x, gamma and beta.
#[derive(Debug)]
struct NormRelu;

impl Backward<Flex, 3> for NormRelu {
    type State = (Plain, Affine);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node_x, node_gamma, node_beta] = ops.parents;
        let (x, affine) = ops.state;
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (dy, planes) = (gradient.storage::<f32>(), Planes::of(x.dims));
        let n = (planes.images * planes.plane) as f64;
        // What reaches the normalization: the gradient where ReLU let the value pass.
        let passed = |channel: &Channel, x: f32, dy: f32| {
            let normalized = (x - channel.mean) * channel.inv_std;
            (normalized, if normalized * channel.gamma + channel.beta > 0.0 { dy } else { 0.0 })
        };
        let sums: Vec<(f64, f64)> = map_in_parallel(planes.channels, |c| {
            let channel = affine.channels[c];
            let pairs = planes.of_channel(x.values(), c).zip(planes.of_channel(dy, c));
            pairs.fold((0.0, 0.0), |(beta, gamma), (x, dy)| {
                let (mut beta_lanes, mut gamma_lanes) = ([0.0f32; 8], [0.0f32; 8]);
                for (i, (&x, &dy)) in x.iter().zip(dy).enumerate() {
                    let (normalized, g) = passed(&channel, x, dy);
                    beta_lanes[i % 8] += g;
                    gamma_lanes[i % 8] += g * normalized;
                }
                let total = |lanes: [f32; 8]| lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
                (beta + total(beta_lanes), gamma + total(gamma_lanes))
            })
        });
        if let Some(node) = node_x {
            let mut dx = vec![0.0; dy.len()];
            in_parallel(&mut dx, planes.plane, |first, part| {
                for (i, dx) in part.chunks_exact_mut(planes.plane).enumerate() {
                    let (c, start) = ((first + i) % planes.channels, (first + i) * planes.plane);
                    let channel = affine.channels[c];
                    let (mean_g, mean_gx) = ((sums[c].0 / n) as f32, (sums[c].1 / n) as f32);
                    let scale = channel.gamma * channel.inv_std;
                    let (x, dy) = (&x.values()[start..][..planes.plane], &dy[start..][..planes.plane]);
                    for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                        let (normalized, g) = passed(&channel, x, dy);
                        *dx = scale * (g - mean_g - normalized * mean_gx);
                    }
                }
            });
            grads.register::<Flex>(node.id, primitive(dx, x.dims));
        }
        let vector = |values: Vec<f32>| {
            let n = values.len();
            Primitive::from_data(TensorData::new(values, [n]))
        };
        if let Some(node) = node_gamma {
            grads.register::<Flex>(node.id, vector(sums.iter().map(|s| s.1 as f32).collect()));
        }
        if let Some(node) = node_beta {
            grads.register::<Flex>(node.id, vector(sums.iter().map(|s| s.0 as f32).collect()));
        }
    }
}

/// The gradient of a 2x2 maximum goes to where it came from.
#[derive(Debug)]
struct MaxPool;

impl Backward<Flex, 1> for MaxPool {
    type State = Plain;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [Some(node)] = ops.parents else { return };
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (dy, x) = (gradient.storage::<f32>(), ops.state);
        let [.., h, w] = x.dims;
        let mut dx = vec![0.0; x.values().len()];
        in_parallel(&mut dx, h * w, |first, part| {
            for (i, dx) in part.chunks_exact_mut(h * w).enumerate() {
                let x = &x.values()[(first + i) * h * w..][..h * w];
                let dy = &dy[(first + i) * h * w / 4..][..h * w / 4];
                for ((rows, dx), dy) in
                    x.chunks_exact(2 * w).zip(dx.chunks_exact_mut(2 * w)).zip(dy.chunks_exact(w / 2))
                {
                    let (upper, lower) = rows.split_at(w);
                    for (i, &dy) in dy.iter().enumerate() {
                        let columns = 2 * i..2 * i + 2;
                        let (at, _) = first_maximum(&upper[columns.clone()], &lower[columns]);
                        dx[(at / 2) * w + 2 * i + at % 2] = dy;
                    }
                }
            }
        });
        grads.register::<Flex>(node.id, primitive(dx, x.dims));
    }
}

/// Position (0 and 1 above, 2 and 3 below) and value of the first maximum; NaN counts as the largest, as in PyTorch.
fn first_maximum(upper: &[f32], lower: &[f32]) -> (usize, f32) {
    let mut best = (0, upper[0]);
    for (i, v) in [(1, upper[1]), (2, lower[0]), (3, lower[1])] {
        if v > best.1 || v.is_nan() {
            best = (i, v);
        }
    }
    best
}

/// Calls `work` on contiguous parts of `out`, each of whole chunks, on all cores; it gets the number of its first chunk.
fn in_parallel(out: &mut [f32], chunk: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
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
fn map_in_parallel<T: Send>(n: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
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
fn threads() -> usize {
    if cfg!(target_family = "wasm") { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::relu;
    use burn::tensor::module::{batch_norm, batch_norm_train, max_pool2d};
    use burn::tensor::ops::MaxPoolOptions;
    use burn::tensor::{Device, Distribution, Tolerance};

    const SHAPES: [[usize; 4]; 5] = [[4, 3, 6, 6], [2, 1, 2, 2], [7, 5, 4, 2], [1, 9, 8, 8], [128, 2, 2, 2]];

    fn random<const D: usize>(shape: [usize; D], low: f64, high: f64) -> Tensor<D> {
        let device = Device::flex().autodiff();
        Tensor::random(shape, Distribution::Uniform(low, high), &device).require_grad()
    }

    fn close<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
        found.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::rel_abs(1e-3, 1e-4));
    }

    #[test]
    fn norm_and_relu_are_burns_forward_and_backward() {
        for shape in SHAPES {
            let x = random(shape, -3.0, 5.0);
            let (gamma, beta) = (random([shape[1]], -1.0, 2.0), random([shape[1]], -0.5, 0.5));
            let weight = random(shape, -1.0, 1.0);
            let run = |output: Tensor<4>| {
                let gradients = (output.clone() * weight.clone()).sum().backward();
                let (dgamma, dbeta) = (gamma.grad(&gradients).unwrap(), beta.grad(&gradients).unwrap());
                (output.inner(), x.grad(&gradients).unwrap(), dgamma, dbeta)
            };
            let reference = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), 1e-5);
            let ours = norm_relu_train(&x, &gamma, &beta, 1e-5).unwrap();
            close(ours.mean.inner(), reference.mean.inner());
            close(ours.variance.inner(), reference.variance.inner());
            let (expected, found) = (run(relu(reference.output)), run(ours.output));
            close(found.0, expected.0);
            close(found.1, expected.1);
            close(found.2, expected.2);
            close(found.3, expected.3);
        }
    }

    #[test]
    fn norm_and_relu_infer_as_burn_does() {
        for shape in SHAPES {
            let x = random(shape, -3.0, 5.0).inner();
            let vector = |low, high| random([shape[1]], low, high).inner();
            let norm = [vector(-1.0, 2.0), vector(-0.5, 0.5), vector(-1.0, 1.0), vector(0.1, 2.0)];
            let [gamma, beta, mean, variance] = norm.clone();
            close(norm_relu(&x, norm, 1e-5).unwrap(), relu(batch_norm(x, gamma, beta, mean, variance, 1e-5)));
        }
    }

    #[test]
    fn max_pooling_is_burns_forward_and_backward() {
        for shape in SHAPES {
            let x = random(shape, -1.0, 1.0);
            let weight = random([shape[0], shape[1], shape[2] / 2, shape[3] / 2], -1.0, 1.0);
            let run = |output: Tensor<4>| {
                let gradients = (output.clone() * weight.clone()).sum().backward();
                (output.inner(), x.grad(&gradients).unwrap())
            };
            let expected = run(max_pool2d(x.clone(), MaxPoolOptions::new([2, 2])));
            let found = run(max_pool(&x).unwrap());
            close(found.0, expected.0.clone());
            close(found.1, expected.1);
            close(max_pool(&x.clone().inner()).unwrap(), expected.0);
        }
        assert!(max_pool(&random([1, 1, 3, 2], 0.0, 1.0)).is_none(), "an odd side is left to burn");
    }

    #[test]
    fn equal_values_give_the_gradient_to_the_first_and_nan_is_not_lost() {
        assert_eq!(first_maximum(&[1.0, 1.0], &[1.0, 1.0]).0, 0);
        assert_eq!(first_maximum(&[0.0, 2.0], &[3.0, 3.0]).0, 2);
        assert!(first_maximum(&[0.0, f32::NAN], &[3.0, 3.0]).1.is_nan());
    }
}
