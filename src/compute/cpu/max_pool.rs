//! The maximum of every 2x2 pixels.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;

use super::tensors::{Plain, Tracked, in_parallel, plain, primitive};

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

#[cfg(test)]
mod tests {
    use super::super::tensors::testing::{SHAPES, close, random};
    use super::*;
    use burn::tensor::module::max_pool2d;
    use burn::tensor::ops::MaxPoolOptions;

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
