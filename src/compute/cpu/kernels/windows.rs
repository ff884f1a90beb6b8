//! Windows of pixels, channel by channel: what pooling looks at.

use std::ops::{Deref, Range};

use pulp::Simd;

use crate::vector::Vector;

/// Images `[images, height, width, channels]`, cut into windows of `side` x `side` pixels.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// 1 to 4.
    pub side: usize,
    height: usize,
    width: usize,
    pub(crate) channels: usize,
}

impl Pool {
    /// The windows of images with these dims `[images, channels, height, width]`; none for sides that there are no kernels
    /// for, and where a window does not fit in. What is left over at the right and below is in no window.
    pub fn of([_, channels, height, width]: [usize; 4], side: usize) -> Option<Self> {
        let fits = (1..=4).contains(&side) && height.min(width) >= side;
        fits.then_some(Self { side, height, width, channels })
    }

    /// Whether every pixel is in a window.
    pub fn covers_all(&self) -> bool {
        self.height.is_multiple_of(self.side) && self.width.is_multiple_of(self.side)
    }

    /// Values of an image.
    pub fn image(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Values of an image of which every window became a pixel.
    pub fn pooled(&self) -> usize {
        (self.height / self.side) * (self.width / self.side) * self.channels
    }

    /// The same with the side known to the compiler.
    pub(crate) fn windows<const SIDE: usize>(&self) -> Windows<SIDE> {
        Windows(*self)
    }
}

/// Calls what is written for windows of every side.
macro_rules! by_side {
    ($pool:expr, $windows:ident => $call:expr) => {
        match $pool.side {
            1 => {
                let $windows = $pool.windows::<1>();
                $call
            }
            2 => {
                let $windows = $pool.windows::<2>();
                $call
            }
            3 => {
                let $windows = $pool.windows::<3>();
                $call
            }
            _ => {
                let $windows = $pool.windows::<4>();
                $call
            }
        }
    };
}
pub(crate) use by_side;

/// A [`Pool`] with the side known to the compiler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows<const SIDE: usize>(Pool);

impl<const SIDE: usize> Deref for Windows<SIDE> {
    type Target = Pool;

    #[inline(always)]
    fn deref(&self) -> &Pool {
        &self.0
    }
}

/// Some channels of a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// Where they are in the window's first pixel.
    pub from: usize,
    /// Where they are in images of which every window is a pixel.
    pub to: usize,
    /// The first of them.
    pub channel: usize,
    /// How many there are: of a vector's lanes, or what is left.
    pub lanes: usize,
}

impl Block {
    /// Its channels' values, of one value a channel.
    #[inline(always)]
    pub fn of<S: Simd>(self, simd: S, channels: &[f32]) -> Vector<S> {
        Vector::load_first(simd, &channels[self.channel..], self.lanes)
    }
}

/// The largest value of a window.
#[derive(Clone, Copy)]
pub(crate) struct Maximum<S: Simd> {
    pub value: Vector<S>,
    /// What came with it.
    pub companion: Vector<S>,
    /// Which pixel of the window it is of, counted from 0.
    pub at: Vector<S>,
}

impl<S: Simd> Maximum<S> {
    /// `new` where `value` is larger than the largest so far, else `old`. NaN is larger than all, and stays.
    #[inline(always)]
    fn better(self, value: Vector<S>, old: Vector<S>, new: Vector<S>) -> Vector<S> {
        self.value.if_equal(self.value, value.if_at_most(self.value, old, new), old)
    }
}

impl<const SIDE: usize> Windows<SIDE> {
    /// Calls `work` for every window of so many images, and every vector of channels.
    #[inline(always)]
    pub fn each<S: Simd>(&self, _: S, images: usize, mut work: impl FnMut(Block)) {
        let (down, across) = (self.height / SIDE, self.width / SIDE);
        for window in 0..images * down * across {
            let (image, row, column) = (window / across / down, window / across % down, window % across);
            let first = (image * self.height + row * SIDE) * self.width + column * SIDE;
            let (from, to) = (first * self.channels, window * self.channels);
            let mut channel = 0;
            while channel < self.channels {
                let lanes = S::F32_LANES.min(self.channels - channel);
                work(Block { from: from + channel, to: to + channel, channel, lanes });
                channel += S::F32_LANES;
            }
        }
    }

    /// Calls `work` for the values of so many images that are in no window, some at a time.
    pub fn left_over(&self, images: usize, mut work: impl FnMut(Range<usize>)) {
        let (row, inside) = (self.width * self.channels, self.width / SIDE * SIDE * self.channels);
        for image in (0..images).map(|image| image * self.image()) {
            for y in (0..self.height).map(|y| image + y * row) {
                let whole = y - image >= self.height / SIDE * SIDE * row;
                let from = if whole { 0 } else { inside };
                if from < row {
                    work(y + from..y + row);
                }
            }
        }
    }

    /// From the first pixel of a window to another.
    #[inline(always)]
    pub fn pixel(&self, k: usize) -> usize {
        (k / SIDE * self.width + k % SIDE) * self.channels
    }

    /// The first of the largest values of a window, whose pixels are each `(value, companion)`. NaN counts as the largest, as
    /// in PyTorch.
    #[inline(always)]
    pub fn maximum<S: Simd>(&self, simd: S, pixel: impl Fn(usize) -> (Vector<S>, Vector<S>)) -> Maximum<S> {
        let (value, companion) = pixel(0);
        let mut best = Maximum { value, companion, at: Vector::zero(simd) };
        for k in 1..SIDE * SIDE {
            let (value, companion) = pixel(k);
            best = Maximum {
                value: best.better(value, best.value, value),
                companion: best.better(value, best.companion, companion),
                at: best.better(value, best.at, Vector::splat(simd, k as f32)),
            };
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct Of([f32; 4]);

    impl WithSimd for Of {
        type Output = [f32; 3];

        fn with_simd<S: Simd>(self, simd: S) -> [f32; 3] {
            let windows = Pool::of([1, 1, 2, 2], 2).unwrap().windows::<2>();
            let splat = |value| Vector::splat(simd, value);
            let best = windows.maximum(simd, |k| (splat(self.0[k]), splat(10.0 + k as f32)));
            [best.value, best.companion, best.at].map(|vector| {
                let mut lanes = [0.0; 64];
                vector.store(&mut lanes);
                lanes[S::F32_LANES - 1]
            })
        }
    }

    #[test]
    fn the_first_of_equal_values_counts_and_nan_is_not_lost() {
        let of = |values| Arch::new().dispatch(Of(values));
        assert_eq!(of([1.0, 1.0, 1.0, 1.0]), [1.0, 10.0, 0.0]);
        assert_eq!(of([0.0, 2.0, 3.0, 3.0]), [3.0, 12.0, 2.0]);
        for place in 0..4 {
            let mut values = [1.0, 2.0, 3.0, 4.0];
            values[place] = f32::NAN;
            assert!(of(values)[0].is_nan(), "{place}");
        }
    }
}
