//! The maximum of every window of pixels.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};

use super::memory::Buffer;
use super::tensors::{Maps, images, track, tracked};
use super::threads::{each, share};
use super::vector::Vector;
use super::windows::{Block, Maximum, Windows};

/// The maximum of every `side` x `side` pixels on the CPU backend, training or not; `None` elsewhere, for sides above 4, and
/// where pixels are left over.
pub fn max_pool(x: &Tensor<4>, side: usize) -> Option<Tensor<4>> {
    match side {
        2 => pooled::<2>(x),
        3 => pooled::<3>(x),
        4 => pooled::<4>(x),
        _ => None,
    }
}

fn pooled<const SIDE: usize>(x: &Tensor<4>) -> Option<Tensor<4>> {
    let windows = Windows::<SIDE>::of(x.dims())?;
    let maps = Maps::of(x)?;
    let [n, c, h, w] = maps.dims;
    let mut out = Buffer::new(n * windows.pooled());
    let share = share(n, 1);
    let tasks =
        maps.values().chunks(share * windows.image()).zip(out.values_mut().chunks_mut(share * windows.pooled()));
    each(tasks.collect(), |(x, out)| Arch::new().dispatch(Pooling { windows, x, out }));
    let out = images(out, [n, c, h / SIDE, w / SIDE]);
    if !x.device().is_autodiff() {
        return Some(Tensor::from_primitive::<Flex>(out));
    }
    Some(track(MaxPool(windows), [&tracked(x)?], maps, out))
}

struct Pooling<'a, const SIDE: usize> {
    windows: Windows<SIDE>,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl<const SIDE: usize> WithSimd for Pooling<'_, SIDE> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { windows, x, out } = self;
        let images = out.len() / windows.pooled();
        windows.each(
            simd,
            images,
            #[inline(always)]
            |block| maximum(simd, windows, x, block).value.store_first(&mut out[block.to..], block.lanes),
        );
    }
}

#[inline(always)]
fn maximum<S: Simd, const SIDE: usize>(simd: S, windows: Windows<SIDE>, x: &[f32], block: Block) -> Maximum<S> {
    windows.maximum(
        simd,
        #[inline(always)]
        |k| {
            let x = Vector::load_first(simd, &x[block.from + windows.pixel(k)..], block.lanes);
            (x, x)
        },
    )
}

struct Spreading<'a, const SIDE: usize> {
    windows: Windows<SIDE>,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl<const SIDE: usize> WithSimd for Spreading<'_, SIDE> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { windows, x, dy, dx } = self;
        windows.each(
            simd,
            dy.len() / windows.pooled(),
            #[inline(always)]
            |block| {
                let at = maximum(simd, windows, x, block).at;
                let dy = Vector::load_first(simd, &dy[block.to..], block.lanes);
                for k in 0..SIDE * SIDE {
                    let part = at.if_equal(Vector::splat(simd, k as f32), dy, Vector::zero(simd));
                    part.store_first(&mut dx[block.from + windows.pixel(k)..], block.lanes);
                }
            },
        );
    }
}

/// The gradient of a maximum goes to where it came from.
#[derive(Debug)]
struct MaxPool<const SIDE: usize>(Windows<SIDE>);

impl<const SIDE: usize> Backward<Flex, 1> for MaxPool<SIDE> {
    type State = Maps;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([Some(node)], maps, windows) = (ops.parents, ops.state, self.0) else { return };
        let [n, c, h, w] = maps.dims;
        let gradient = grads.consume::<Flex>(&ops.node);
        let Some(gradient) = Maps::of_primitive(gradient, [n, c, h / SIDE, w / SIDE]) else { return };
        let mut dx = Buffer::new(maps.values().len());
        let share = share(n, 1);
        let (image, pooled) = (share * windows.image(), share * windows.pooled());
        let tasks =
            maps.values().chunks(image).zip(gradient.values().chunks(pooled)).zip(dx.values_mut().chunks_mut(image));
        each(tasks.collect(), |((x, dy), dx)| Arch::new().dispatch(Spreading { windows, x, dy, dx }));
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
        for (shape, side) in SHAPES.map(|shape| (shape, 2)).into_iter().chain([([3, 5, 6, 9], 3), ([2, 17, 8, 4], 4)]) {
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
        assert!(max_pool(&random([1, 1, 3, 2], 0.0, 1.0), 2).is_none(), "pixels that are left over are burn's");
        assert!(max_pool(&random([1, 1, 5, 5], 0.0, 1.0), 5).is_none(), "large windows are burn's");
    }
}
