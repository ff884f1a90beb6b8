//! The maximum of every window of pixels.

use pulp::{Arch, Simd, WithSimd};

use crate::memory::Buffer;
use crate::threads::{each, share};
use crate::vector::Vector;
use crate::windows::{Block, Maximum, Pool, Windows, by_side};

/// The maximum of every window of `n` images.
pub fn forward(pool: Pool, n: usize, x: &[f32]) -> Buffer {
    let mut out = Buffer::new(n * pool.pooled());
    let share = share(n, 1);
    let tasks = x.chunks(share * pool.image()).zip(out.values_mut().chunks_mut(share * pool.pooled()));
    each(tasks.collect(), |(x, out)| by_side!(pool, windows => Arch::new().dispatch(Pooling { windows, x, out })));
    out
}

/// The gradient of `x` by that of the maxima: each goes to the pixel that the maximum came from, and the others have none.
pub fn backward(pool: Pool, n: usize, x: &[f32], gradient: &[f32]) -> Buffer {
    let mut dx = Buffer::new(x.len());
    let share = share(n, 1);
    let (image, pooled) = (share * pool.image(), share * pool.pooled());
    let tasks = x.chunks(image).zip(gradient.chunks(pooled)).zip(dx.values_mut().chunks_mut(image));
    each(
        tasks.collect(),
        |((x, dy), dx)| by_side!(pool, windows => Arch::new().dispatch(Spreading { windows, x, dy, dx })),
    );
    dx
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
        windows.left_over(dx.len() / windows.image(), |values| dx[values].fill(0.0));
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
