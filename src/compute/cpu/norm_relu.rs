//! relu(batch norm(x)), with the statistics of the batch or with given ones.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::{Tensor, TensorData};

use super::tensors::{Plain, Primitive, Tracked, in_parallel, map_in_parallel, plain, primitive, values};

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
                    let y = x * scale + shift;
                    *out = if lets_pass(y) { y } else { 0.0 };
                }
            }
        });
        output
    }
}

/// ReLU lets NaN pass, as burn's does: a network that diverges must not look well.
fn lets_pass(y: f32) -> bool {
    y > 0.0 || y.is_nan()
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
            (normalized, if lets_pass(normalized * channel.gamma + channel.beta) { dy } else { 0.0 })
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

#[cfg(test)]
mod tests {
    use super::super::tensors::testing::{SHAPES, close, random};
    use super::*;
    use burn::tensor::Device;
    use burn::tensor::activation::relu;
    use burn::tensor::module::{batch_norm, batch_norm_train};

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
    fn nan_is_not_lost() {
        let mut pixels = vec![0.5f32; 32];
        pixels[3] = f32::NAN;
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_data(pixels.as_slice(), &device).reshape([2, 4, 2, 2]);
        let (ones, zeros) = (Tensor::ones([4], &device), Tensor::zeros([4], &device));
        let output = norm_relu_train(&x, &ones, &zeros, 1e-5).unwrap().output.inner();
        assert!(output.into_data().iter::<f32>().any(f32::is_nan));
        let norm = [ones.clone(), zeros.clone(), zeros, ones].map(Tensor::inner);
        assert!(norm_relu(&x.inner(), norm, 1e-5).unwrap().into_data().iter::<f32>().any(f32::is_nan));
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
}
