//! Linear layers.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use tinderbox_kernels::linear::Layer;

use super::tensors::{Primitive, contiguous, matrix, matrix_of, slice, track, tracked, vector};

/// Batches below this are left to burn, which need not bring the weights into panels first.
const FEW: usize = 8;

/// Vectors `[n, inputs]` times weights `[inputs, outputs]` plus a bias `[outputs]`, on the CPU backend, training or not; `None`
/// elsewhere, and for a few vectors.
pub fn linear(x: &Tensor<2>, weights: &Tensor<2>, bias: &Tensor<1>) -> Option<Tensor<2>> {
    let ([n, inputs], [_, outputs]) = (x.dims(), weights.dims());
    if n < FEW {
        return None;
    }
    let layer = Layer { n, inputs, outputs };
    let (vectors, matrix) = (matrix(x)?, matrix(weights)?);
    let out = contiguous(layer.forward(slice(&vectors), slice(&matrix), &vector(bias)?), [n, outputs]);
    if !weights.device().is_autodiff() {
        return Some(Tensor::from_primitive::<Flex>(out));
    }
    let inputs = [&tracked(x)?, &tracked(weights)?, &tracked(bias)?];
    Some(track(Linear(layer), inputs, (vectors, matrix), out))
}

/// Gradients of a linear layer with respect to vectors, weights and bias.
#[derive(Debug)]
struct Linear(Layer);

impl Backward<Flex, 3> for Linear {
    type State = (Primitive, Primitive);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_x, of_weights, of_bias], (x, weights), layer) = (ops.parents, ops.state, self.0);
        let Layer { n, inputs, outputs } = layer;
        let Some(gradient) = matrix_of(grads.consume::<Flex>(&ops.node)) else { return };
        let dy = slice(&gradient);
        if let Some(node) = of_x {
            grads.register::<Flex>(node.id, contiguous(layer.backward(dy, slice(&weights)), [n, inputs]));
        }
        if let Some(node) = of_weights {
            grads.register::<Flex>(node.id, contiguous(layer.backward_weights(slice(&x), dy), [inputs, outputs]));
        }
        if let Some(node) = of_bias {
            grads.register::<Flex>(node.id, contiguous(layer.backward_bias(dy), [outputs]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensors::testing::{close, random};
    use super::*;

    #[test]
    fn linear_is_burns_forward_and_backward() {
        for [n, inputs, outputs] in [[8, 1, 1], [61, 33, 10], [500, 784, 128], [9, 40, 64]] {
            let (x, weights) = (random([n, inputs], -1.0, 1.0), random([inputs, outputs], -0.1, 0.1));
            let (bias, pick) = (random([outputs], -1.0, 1.0), random([n, outputs], -1.0, 1.0));
            let run = |y: Tensor<2>| {
                let gradients = (y.clone() * pick.clone()).sum().backward();
                let of_matrices = [y.inner(), x.grad(&gradients).unwrap(), weights.grad(&gradients).unwrap()];
                (of_matrices, bias.grad(&gradients).unwrap())
            };
            let expected = run(burn::tensor::module::linear(x.clone(), weights.clone(), Some(bias.clone())));
            let found = run(linear(&x, &weights, &bias).unwrap());
            let plain = linear(&x.clone().inner(), &weights.clone().inner(), &bias.clone().inner()).unwrap();
            close(plain, expected.0[0].clone());
            found.0.into_iter().zip(expected.0).for_each(|(found, expected)| close(found, expected));
            close(found.1, expected.1);
        }
    }
}
