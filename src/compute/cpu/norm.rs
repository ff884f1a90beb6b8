//! max pool(relu(batch norm(x))) and gelu(batch norm(x)), with the statistics of the batch or with given ones.
//!
//! What lies between the three is never in memory: the backward pass computes it again from `x`, which it has to read anyway.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{Device, Tensor, TensorData};
use tinderbox_kernels::Pool;
pub use tinderbox_kernels::norm::Activation;
use tinderbox_kernels::norm::{self, Affine};

use super::tensors::{Maps, Primitive, images, track, tracked, vector};

/// max pool(activation(batch norm(x))) by the statistics of the batch, which come along: mean and biased variance.
pub struct Normalized {
    /// `[n, channels, h / side, w / side]`.
    pub output: Tensor<4>,
    /// `[channels]`, not tracked.
    pub mean: Tensor<1>,
    /// `[channels]`, not tracked.
    pub variance: Tensor<1>,
}

/// An activation after normalization, and a pool of the largest value of `side` x `side` pixels after that; none with a side of
/// 1, and none after GELU, whose largest value need not be that of the largest x.
#[derive(Debug, Clone, Copy)]
pub struct After {
    /// The activation.
    pub activation: Activation,
    /// Pixels of a side.
    pub side: usize,
}

impl After {
    fn pool(self, dims: [usize; 4]) -> Option<Pool> {
        let fits = self.side == 1 || self.activation == Activation::Relu;
        Pool::of(dims, self.side).filter(|pool| fits && pool.covers_all())
    }
}

/// Normalizes by the batch while training on the CPU backend; `None` elsewhere, for pools with sides above 4, and where they
/// leave pixels over.
pub fn norm_train(x: &Tensor<4>, [gamma, beta]: [&Tensor<1>; 2], epsilon: f64, after: After) -> Option<Normalized> {
    if !x.device().is_autodiff() {
        return None;
    }
    let pool = after.pool(x.dims())?;
    let maps = Maps::of(x)?;
    let [n, channels, _, _] = maps.dims;
    let [mean, variance] = norm::statistics(maps.values(), n, channels);
    let affine = Affine::new(&mean, &variance, &vector(gamma)?, &vector(beta)?, epsilon);
    let norm = Norm(pool, after.activation);
    let output = norm.forward(&maps, &affine);
    let inputs = [&tracked(x)?, &tracked(gamma)?, &tracked(beta)?];
    Some(Normalized {
        output: track(norm, inputs, (maps, affine), output),
        mean: Tensor::from_inner(of_channels(&mean)),
        variance: Tensor::from_inner(of_channels(&variance)),
    })
}

/// Normalizes by given scale, offset, mean and variance while not training on the CPU backend; `None` as above.
pub fn norm(x: &Tensor<4>, norm: &[Tensor<1>; 4], epsilon: f64, after: After) -> Option<Tensor<4>> {
    let pool = after.pool(x.dims())?;
    let maps = Maps::of(x)?;
    let [gamma, beta, mean, variance] = norm.each_ref().map(vector);
    let exact = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<f64>>();
    let affine = Affine::new(&exact(mean?), &exact(variance?), &gamma?, &beta?, epsilon);
    Some(Tensor::from_primitive::<Flex>(Norm(pool, after.activation).forward(&maps, &affine)))
}

fn of_channels(values: &[f64]) -> Tensor<1> {
    let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_data(TensorData::new(single, [values.len()]), &Device::flex())
}

/// What is computed of x, gamma and beta, and its gradients.
#[derive(Debug)]
struct Norm(Pool, Activation);

impl Norm {
    fn forward(&self, maps: &Maps, affine: &Affine) -> Primitive {
        let (Self(pool, activation), [n, c, h, w]) = (self, maps.dims);
        images(norm::forward(*pool, *activation, n, maps.values(), affine), [n, c, h / pool.side, w / pool.side])
    }
}

impl Backward<Flex, 3> for Norm {
    type State = (Maps, Affine);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_x, of_gamma, of_beta], (maps, affine), Self(pool, activation)) = (ops.parents, ops.state, self);
        let [n, c, h, w] = maps.dims;
        let gradient = grads.consume::<Flex>(&ops.node);
        let Some(gradient) = Maps::of_primitive(gradient, [n, c, h / pool.side, w / pool.side]) else { return };
        let found = norm::backward(pool, activation, n, [maps.values(), gradient.values()], &affine, of_x.is_some());
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
    use burn::tensor::activation::{gelu, relu};
    use burn::tensor::module::{batch_norm, batch_norm_train, max_pool2d};
    use burn::tensor::ops::MaxPoolOptions;

    fn pooled(x: Tensor<4>, side: usize) -> Tensor<4> {
        max_pool2d(x, MaxPoolOptions::new([side; 2]))
    }

    const AFTER: [After; 3] = [
        After { activation: Activation::Relu, side: 1 },
        After { activation: Activation::Relu, side: 2 },
        After { activation: Activation::Gelu, side: 1 },
    ];

    fn burns(after: After, x: Tensor<4>) -> Tensor<4> {
        pooled(if after.activation == Activation::Relu { relu(x) } else { gelu(x) }, after.side)
    }

    #[test]
    fn norm_activation_and_pool_are_burns_forward_and_backward() {
        for (shape, after) in SHAPES.into_iter().flat_map(|shape| AFTER.map(|after| (shape, after))) {
            let side = after.side;
            let x = random(shape, -3.0, 5.0);
            let (gamma, beta) = (random([shape[1]], -1.0, 2.0), random([shape[1]], -0.5, 0.5));
            let weight = random([shape[0], shape[1], shape[2] / side, shape[3] / side], -1.0, 1.0);
            let run = |output: Tensor<4>| {
                let gradients = (output.clone() * weight.clone()).sum().backward();
                let of_affine = [&gamma, &beta].map(|affine| affine.grad(&gradients).unwrap());
                (output.inner(), x.grad(&gradients).unwrap(), of_affine)
            };
            let reference = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), 1e-5);
            let ours = norm_train(&x, [&gamma, &beta], 1e-5, after).unwrap();
            close(ours.mean.inner(), reference.mean.inner());
            close(ours.variance.inner(), reference.variance.inner());
            let (expected, found) = (run(burns(after, reference.output)), run(ours.output));
            close(found.0, expected.0);
            close(found.1, expected.1);
            found.2.into_iter().zip(expected.2).for_each(|(found, expected)| close(found, expected));
        }
    }

    #[test]
    fn norm_activation_and_pool_infer_as_burn_does() {
        for (shape, after) in SHAPES.into_iter().flat_map(|shape| AFTER.map(|after| (shape, after))) {
            let x = random(shape, -3.0, 5.0).inner();
            let vector = |low, high| random([shape[1]], low, high).inner();
            let given = [vector(-1.0, 2.0), vector(-0.5, 0.5), vector(-1.0, 1.0), vector(0.1, 2.0)];
            let [gamma, beta, mean, variance] = given.clone();
            let expected = burns(after, batch_norm(x.clone(), gamma, beta, mean, variance, 1e-5));
            close(norm(&x, &given, 1e-5, after).unwrap(), expected);
        }
    }

    #[test]
    fn nan_is_not_lost() {
        let mut pixels = vec![0.5f32; 32];
        pixels[3] = f32::NAN;
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_data(pixels.as_slice(), &device).reshape([2, 4, 2, 2]);
        let (ones, zeros) = (Tensor::ones([4], &device), Tensor::zeros([4], &device));
        let given = [ones.clone(), zeros.clone(), zeros.clone(), ones.clone()].map(Tensor::inner);
        for after in AFTER {
            let output = norm_train(&x, [&ones, &zeros], 1e-5, after).unwrap().output.inner();
            assert!(output.into_data().iter::<f32>().any(f32::is_nan));
            let output = norm(&x.clone().inner(), &given, 1e-5, after).unwrap();
            assert!(output.into_data().iter::<f32>().any(f32::is_nan));
        }
    }
}
