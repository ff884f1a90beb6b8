//! max pool(relu(batch norm(x))), with the statistics of the batch or with given ones; with a pool of one pixel there is none.
//!
//! What lies between the three is never in memory: the backward pass computes it again from `x`, which it has to read anyway.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{Device, Tensor, TensorData};
use tinderbox_kernels::Pool;
use tinderbox_kernels::norm::{self, Affine};

use super::tensors::{Maps, Primitive, images, track, tracked, vector};

/// max pool(relu(batch norm(x))) by the statistics of the batch, which come along: mean and biased variance.
pub struct Normalized {
    /// `[n, channels, h / side, w / side]`.
    pub output: Tensor<4>,
    /// `[channels]`, not tracked.
    pub mean: Tensor<1>,
    /// `[channels]`, not tracked.
    pub variance: Tensor<1>,
}

/// Normalizes by the batch, applies ReLU and takes the maximum of every `side` x `side` pixels, while training on the CPU
/// backend; `None` elsewhere, for sides above 4, and where pixels are left over.
pub fn norm_relu_train(x: &Tensor<4>, [gamma, beta]: [&Tensor<1>; 2], epsilon: f64, side: usize) -> Option<Normalized> {
    if !x.device().is_autodiff() {
        return None;
    }
    let pool = Pool::of(x.dims(), side)?;
    let maps = Maps::of(x)?;
    let [n, channels, _, _] = maps.dims;
    let [mean, variance] = norm::statistics(maps.values(), n, channels);
    let affine = Affine::new(&mean, &variance, &vector(gamma)?, &vector(beta)?, epsilon);
    let output = normalize(pool, &maps, &affine);
    let inputs = [&tracked(x)?, &tracked(gamma)?, &tracked(beta)?];
    Some(Normalized {
        output: track(NormRelu(pool), inputs, (maps, affine), output),
        mean: Tensor::from_inner(of_channels(&mean)),
        variance: Tensor::from_inner(of_channels(&variance)),
    })
}

/// Normalizes by given scale, offset, mean and variance, applies ReLU and takes the maximum of every `side` x `side` pixels,
/// while not training on the CPU backend; `None` as above.
pub fn norm_relu(x: &Tensor<4>, norm: &[Tensor<1>; 4], epsilon: f64, side: usize) -> Option<Tensor<4>> {
    let pool = Pool::of(x.dims(), side)?;
    let maps = Maps::of(x)?;
    let [gamma, beta, mean, variance] = norm.each_ref().map(vector);
    let exact = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<f64>>();
    let affine = Affine::new(&exact(mean?), &exact(variance?), &gamma?, &beta?, epsilon);
    Some(Tensor::from_primitive::<Flex>(normalize(pool, &maps, &affine)))
}

fn of_channels(values: &[f64]) -> Tensor<1> {
    let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_data(TensorData::new(single, [values.len()]), &Device::flex())
}

fn normalize(pool: Pool, maps: &Maps, affine: &Affine) -> Primitive {
    let [n, c, h, w] = maps.dims;
    images(norm::forward(pool, n, maps.values(), affine), [n, c, h / pool.side, w / pool.side])
}

/// Gradients of max pool(relu(batch norm(x))) with respect to x, gamma and beta.
#[derive(Debug)]
struct NormRelu(Pool);

impl Backward<Flex, 3> for NormRelu {
    type State = (Maps, Affine);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_x, of_gamma, of_beta], (maps, affine), pool) = (ops.parents, ops.state, self.0);
        let [n, c, h, w] = maps.dims;
        let gradient = grads.consume::<Flex>(&ops.node);
        let Some(gradient) = Maps::of_primitive(gradient, [n, c, h / pool.side, w / pool.side]) else { return };
        let found = norm::backward(pool, n, maps.values(), gradient.values(), &affine, of_x.is_some());
        if let Some((node, dx)) = of_x.zip(found.x) {
            grads.register::<Flex>(node.id, images(dx, maps.dims));
        }
        for (node, sums) in [(of_gamma, found.gamma), (of_beta, found.beta)] {
            if let (Some(node), Ok(gradient)) = (node, of_channels(&sums).try_into_primitive::<Flex>()) {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensors::testing::{SHAPES, close, random};
    use super::*;
    use burn::tensor::activation::relu;
    use burn::tensor::module::{batch_norm, batch_norm_train, max_pool2d};
    use burn::tensor::ops::MaxPoolOptions;

    fn pooled(x: Tensor<4>, side: usize) -> Tensor<4> {
        max_pool2d(x, MaxPoolOptions::new([side; 2]))
    }

    #[test]
    fn norm_relu_and_pool_are_burns_forward_and_backward() {
        for (shape, side) in SHAPES.into_iter().flat_map(|shape| [(shape, 1), (shape, 2)]) {
            let x = random(shape, -3.0, 5.0);
            let (gamma, beta) = (random([shape[1]], -1.0, 2.0), random([shape[1]], -0.5, 0.5));
            let weight = random([shape[0], shape[1], shape[2] / side, shape[3] / side], -1.0, 1.0);
            let run = |output: Tensor<4>| {
                let gradients = (output.clone() * weight.clone()).sum().backward();
                let of_affine = [&gamma, &beta].map(|affine| affine.grad(&gradients).unwrap());
                (output.inner(), x.grad(&gradients).unwrap(), of_affine)
            };
            let reference = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), 1e-5);
            let ours = norm_relu_train(&x, [&gamma, &beta], 1e-5, side).unwrap();
            close(ours.mean.inner(), reference.mean.inner());
            close(ours.variance.inner(), reference.variance.inner());
            let (expected, found) = (run(pooled(relu(reference.output), side)), run(ours.output));
            close(found.0, expected.0);
            close(found.1, expected.1);
            found.2.into_iter().zip(expected.2).for_each(|(found, expected)| close(found, expected));
        }
    }

    #[test]
    fn norm_relu_and_pool_infer_as_burn_does() {
        for (shape, side) in SHAPES.into_iter().flat_map(|shape| [(shape, 1), (shape, 2)]) {
            let x = random(shape, -3.0, 5.0).inner();
            let vector = |low, high| random([shape[1]], low, high).inner();
            let norm = [vector(-1.0, 2.0), vector(-0.5, 0.5), vector(-1.0, 1.0), vector(0.1, 2.0)];
            let [gamma, beta, mean, variance] = norm.clone();
            let expected = relu(batch_norm(x.clone(), gamma, beta, mean, variance, 1e-5));
            close(norm_relu(&x, &norm, 1e-5, side).unwrap(), pooled(expected, side));
        }
    }

    #[test]
    fn nan_is_not_lost() {
        let mut pixels = vec![0.5f32; 32];
        pixels[3] = f32::NAN;
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_data(pixels.as_slice(), &device).reshape([2, 4, 2, 2]);
        let (ones, zeros) = (Tensor::ones([4], &device), Tensor::zeros([4], &device));
        let norm = [ones.clone(), zeros.clone(), zeros.clone(), ones.clone()].map(Tensor::inner);
        for side in [1, 2] {
            let output = norm_relu_train(&x, [&ones, &zeros], 1e-5, side).unwrap().output.inner();
            assert!(output.into_data().iter::<f32>().any(f32::is_nan));
            let output = norm_relu(&x.clone().inner(), &norm, 1e-5, side).unwrap();
            assert!(output.into_data().iter::<f32>().any(f32::is_nan));
        }
    }
}
