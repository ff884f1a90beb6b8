//! The maximum of every window of pixels.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use tinderbox_kernels::{Pool, max_pool as kernels};

use super::tensors::{Maps, images, track, tracked};

/// The maximum of every `side` x `side` pixels on the CPU backend, training or not; `None` elsewhere, and for sides above 4.
/// Pixels that are left over at the right and below count nowhere.
pub fn max_pool(x: &Tensor<4>, side: usize) -> Option<Tensor<4>> {
    let pool = Pool::of(x.dims(), side)?;
    let maps = Maps::of(x)?;
    let [n, c, h, w] = maps.dims;
    let out = images(kernels::forward(pool, n, maps.values()), [n, c, h / side, w / side]);
    if !x.device().is_autodiff() {
        return Some(Tensor::from_primitive::<Flex>(out));
    }
    Some(track(MaxPool(pool), [&tracked(x)?], maps, out))
}

/// The gradient of a maximum goes to where it came from.
#[derive(Debug)]
struct MaxPool(Pool);

impl Backward<Flex, 1> for MaxPool {
    type State = Maps;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([Some(node)], maps, pool) = (ops.parents, ops.state, self.0) else { return };
        let [n, c, h, w] = maps.dims;
        let gradient = grads.consume::<Flex>(&ops.node);
        let Some(gradient) = Maps::of_primitive(gradient, [n, c, h / pool.side, w / pool.side]) else { return };
        let dx = kernels::backward(pool, n, maps.values(), gradient.values());
        grads.register::<Flex>(node.id, images(dx, maps.dims));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensors::testing::{SHAPES, close, random};
    use super::*;
    use burn::tensor::module::max_pool2d;
    use burn::tensor::ops::MaxPoolOptions;

    #[test]
    fn max_pooling_is_burns_forward_and_backward() {
        for (shape, side) in SHAPES.map(|shape| (shape, 2)).into_iter().chain([
            ([3, 5, 6, 9], 3),
            ([2, 17, 8, 4], 4),
            ([3, 5, 7, 6], 2),
            ([2, 20, 4, 5], 3),
        ]) {
            let x = random(shape, -1.0, 1.0);
            let weight = random([shape[0], shape[1], shape[2] / side, shape[3] / side], -1.0, 1.0);
            let run = |output: Tensor<4>| {
                let gradients = (output.clone() * weight.clone()).sum().backward();
                (output.inner(), x.grad(&gradients).unwrap())
            };
            let expected = run(max_pool2d(x.clone(), MaxPoolOptions::new([side; 2])));
            let found = run(max_pool(&x, side).unwrap());
            close(found.0, expected.0.clone());
            close(found.1, expected.1);
            close(max_pool(&x.clone().inner(), side).unwrap(), expected.0);
        }
        assert!(max_pool(&random([1, 1, 5, 5], 0.0, 1.0), 5).is_none(), "large windows are burn's");
    }
}
