//! GELU of images.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use tinderbox_kernels::gelu as kernels;

use super::tensors::{Maps, images, track, tracked};

/// Every value times the share of a normal distribution below it, on the CPU backend, training or not; `None` elsewhere.
pub fn gelu(x: &Tensor<4>) -> Option<Tensor<4>> {
    let maps = Maps::of(x)?;
    let out = images(kernels::forward(maps.values()), maps.dims);
    if !x.device().is_autodiff() {
        return Some(Tensor::from_primitive::<Flex>(out));
    }
    Some(track(Gelu, [&tracked(x)?], maps, out))
}

#[derive(Debug)]
struct Gelu;

impl Backward<Flex, 1> for Gelu {
    type State = Maps;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([Some(node)], maps) = (ops.parents, ops.state) else { return };
        let gradient = grads.consume::<Flex>(&ops.node);
        let Some(gradient) = Maps::of_primitive(gradient, maps.dims) else { return };
        grads.register::<Flex>(node.id, images(kernels::backward(maps.values(), gradient.values()), maps.dims));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensors::testing::{SHAPES, close, random};
    use super::*;
    use burn::tensor::activation::gelu as burns;

    #[test]
    fn gelu_is_burns_forward_and_backward() {
        for shape in SHAPES {
            let (x, weight) = (random(shape, -4.0, 4.0), random(shape, -1.0, 1.0));
            let run = |output: Tensor<4>| {
                let gradients = (output.clone() * weight.clone()).sum().backward();
                [output.inner(), x.grad(&gradients).unwrap()]
            };
            let (expected, found) = (run(burns(x.clone())), run(gelu(&x).unwrap()));
            close(gelu(&x.clone().inner()).unwrap(), expected[0].clone());
            found.into_iter().zip(expected).for_each(|(found, expected)| close(found, expected));
        }
    }
}
