//! Batch normalization over a batch that several devices share.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, Flex};
use burn::tensor::Tensor;

use super::peers::Peers;
use super::read::write;

/// What a normalization makes of a share of a batch, with the statistics of the whole.
pub struct SharedNorm<const D: usize> {
    /// As the input.
    pub output: Tensor<D>,
    /// The mean of the whole batch, `[channels]`.
    pub mean: Tensor<1>,
    /// Its biased variance, `[channels]`.
    pub variance: Tensor<1>,
    /// Over so many values of a channel.
    pub values: usize,
}

/// Normalizes a share `[n, channels, ...]` of a batch by the mean and variance of the whole batch, while training. `None` on a
/// backend that cannot.
///
/// As PyTorch's `SyncBatchNorm`: every device tells its count, mean and sum of squares about that mean, which are put together
/// as Chan et al. (1979) do, so that nothing is lost where the mean is far from zero. There is one exchange forwards, and one
/// backwards.
///
/// # Panics
/// Panics where another device of the run is gone.
pub fn shared_norm<const D: usize>(
    x: &Tensor<D>,
    [gamma, beta]: [Tensor<1>; 2],
    epsilon: f64,
    peers: &Peers,
) -> Option<SharedNorm<D>> {
    let channels = x.dims()[1];
    let n = x.shape().num_elements() / channels;
    let mut per_channel = [1; D];
    per_channel[1] = channels;
    let wide = |vector: Tensor<1>| vector.reshape(per_channel);
    let total = |x: Tensor<D>| {
        let images = x.dims()[0];
        x.reshape([images, channels, n / images]).sum_dim(2).sum_dim(0).reshape([channels])
    };
    let own_mean = total(x.clone()) / n as f64;
    let own_squares = total((x.clone() - wide(own_mean.clone())).square());
    let own = Tensor::cat(vec![own_mean, own_squares, Tensor::full([channels], n as f64, &x.device())], 0);
    // Every device has a place of its own in the sum, so that it gathers.
    let (before, after) = (peers.rank(), peers.count() - 1 - peers.rank());
    let zeros = |devices: usize| (devices > 0).then(|| Tensor::zeros([3 * channels * devices], &x.device()));
    let places = [zeros(before), Some(own), zeros(after)].into_iter().flatten().collect();
    let all = sum(&Tensor::cat(places, 0), peers)?.reshape([peers.count(), 3, channels]);
    let [means, squares, counts] =
        [0, 1, 2].map(|row| all.clone().narrow(1, row, 1).reshape([peers.count(), channels]));
    let over_devices = |x: Tensor<2>| x.sum_dim(0);
    let count = over_devices(counts.clone().detach());
    let mean = over_devices(means.clone() * counts.clone()) / count.clone();
    let apart = (means - mean.clone()).square() * counts;
    let variance = (over_devices(squares) + over_devices(apart)) / count.clone();
    let [mean, variance] = [mean, variance].map(|row| row.reshape([channels]));
    let scale = gamma / (variance.clone() + epsilon).sqrt();
    let output = (x.clone() - wide(mean.clone())) * wide(scale) + wide(beta);
    let values = count.narrow(1, 0, 1).into_scalar::<f32>() as usize;
    Some(SharedNorm { output, mean: mean.detach(), variance: variance.detach(), values })
}

/// The sum of a tracked vector over all peers. What a value adds to it counts for all of them, so its gradient is the sum
/// of theirs.
fn sum(vector: &Tensor<1>, peers: &Peers) -> Option<Tensor<1>> {
    let sum = sum_on_cpu(vector, peers);
    #[cfg(feature = "gpu")]
    let sum = sum.or_else(|| sum_on_gpu(vector, peers));
    sum
}

/// The sum of a vector without gradients, by way of the host.
fn exchanged(vector: Tensor<1>, peers: &Peers) -> Tensor<1> {
    let device = vector.device();
    let values = vector.into_data().convert::<f32>().try_to_vec::<f32>();
    let sums = peers.sum(values.unwrap_or_default());
    let sums = sums.unwrap_or_else(|e| panic!("{e}")); // an operation of burn's has no other way to fail
    write(sums, &device)
}

/// Makes the sum on a backend; none where the vector is of another one.
macro_rules! sum_on {
    ($name:ident, $backend:ty) => {
        fn $name(vector: &Tensor<1>, peers: &Peers) -> Option<Tensor<1>> {
            #[derive(Debug)]
            struct Sum;

            impl Backward<$backend, 1> for Sum {
                type State = Peers;

                fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                    let [node] = ops.parents;
                    let gradient = Tensor::<1>::from_primitive::<$backend>(grads.consume::<$backend>(&ops.node));
                    let gradient = exchanged(gradient, &ops.state).try_into_primitive::<$backend>();
                    if let (Some(node), Ok(gradient)) = (node, gradient) {
                        grads.register::<$backend>(node.id, gradient);
                    }
                }
            }

            let tracked = vector.clone().try_into_primitive::<Autodiff<$backend, NoCheckpointing>>().ok()?;
            let sums = exchanged(vector.clone().inner(), peers).try_into_primitive::<$backend>().ok()?;
            let prepared = Sum.prepare::<NoCheckpointing>([tracked.node()]).compute_bound().stateful();
            Some(Tensor::from_primitive::<Autodiff<$backend, NoCheckpointing>>(match prepared {
                OpsKind::Tracked(prep) => prep.finish(peers.clone(), sums),
                OpsKind::UnTracked(prep) => prep.finish(sums),
            }))
        }
    };
}

sum_on!(sum_on_cpu, Flex);
#[cfg(feature = "gpu")]
sum_on!(sum_on_gpu, burn::backend::Wgpu);

#[cfg(test)]
mod tests {
    use super::super::peers::threads;
    use super::*;
    use burn::tensor::module::batch_norm_train;
    use burn::tensor::{Device, TensorData, Tolerance};

    #[test]
    fn shares_are_normalized_as_the_whole_and_their_gradients_are_its() {
        let device = Device::flex().autodiff();
        // Values between two bounds that look like noise and are the same in every run.
        let values = |low: f32, high: f32, pitch: f32| {
            let value = |i| low + (high - low) * (0.5 + 0.5 * (i as f32 * pitch).sin());
            Tensor::<4>::from_data(TensorData::new((0..7 * 48).map(value).collect(), [7, 3, 4, 4]), &device)
        };
        let (x, weights) = (values(100.0, 103.0, 1.7), values(-1.0, 1.0, 2.3));
        let affine = || [[0.5, 1.5, -1.0], [0.1, -0.2, 0.3]].map(|v| Tensor::<1>::from_data(v, &device).require_grad());
        let data = |tensor: Tensor<4>| tensor.into_data();
        let whole = x.clone().require_grad();
        let [gamma, beta] = affine();
        let found = batch_norm_train(whole.clone(), gamma.clone(), beta.clone(), 1e-5);
        let gradients = (found.output.clone() * weights.clone()).sum().backward();
        let expected = [found.output.inner(), whole.grad(&gradients).unwrap()];
        let expected_affine = [gamma, beta].map(|tensor| tensor.grad(&gradients).unwrap());

        let ranges = [0..2usize, 2..3, 3..7];
        let shares: Vec<_> = std::thread::scope(|scope| {
            let members = threads(3).into_iter().zip(&ranges).map(|(peers, range)| {
                let share = |tensor: &Tensor<4>| tensor.clone().slice([range.clone()]).detach();
                let (x, weights) = (share(&x).require_grad(), share(&weights));
                let [gamma, beta] = affine();
                scope.spawn(move || {
                    let affine = [gamma.clone(), beta.clone()];
                    let found = shared_norm(&x, affine, 1e-5, &peers).unwrap();
                    let gradients = (found.output.clone() * weights).sum().backward();
                    let of_affine = [gamma, beta].map(|tensor| tensor.grad(&gradients).unwrap());
                    assert_eq!(found.values, 7 * 16);
                    ([found.output.inner(), x.grad(&gradients).unwrap()], of_affine, found.mean, found.variance)
                })
            });
            members.collect::<Vec<_>>().into_iter().map(|member| member.join().unwrap()).collect()
        });
        // Of a value near 100 an f32 keeps five digits behind the point, and the deviation here is about 1.
        let tolerance = || Tolerance::<f32>::rel_abs(1e-3, 1e-4);
        for (i, expected) in expected.into_iter().enumerate() {
            let parts = shares.iter().map(|(tensors, ..)| tensors[i].clone()).collect();
            data(Tensor::cat(parts, 0)).assert_approx_eq(&data(expected), tolerance());
        }
        for (i, expected) in expected_affine.into_iter().enumerate() {
            let total = shares.iter().map(|(_, affine, ..)| affine[i].clone()).reduce(|a, b| a + b).unwrap();
            total.into_data().assert_approx_eq::<f32>(&expected.into_data(), tolerance());
        }
        for (_, _, mean, variance) in shares {
            mean.into_data().assert_approx_eq::<f32>(&found.mean.clone().into_data(), tolerance());
            variance.into_data().assert_approx_eq::<f32>(&found.variance.clone().into_data(), tolerance());
        }
    }
}
