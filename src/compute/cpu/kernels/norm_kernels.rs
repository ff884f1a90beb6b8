//! What one task of a normalization does.

use pulp::{Simd, WithSimd};

use crate::gelu;
use crate::vector::Vector;
use crate::windows::{Block, Maximum, Windows};

/// Pixels whose values are added up in single precision.
const PIXELS: usize = 64;

/// Sums of `x - centre` and of its square, of every channel.
pub(crate) struct Sums<'a> {
    pub x: &'a [f32],
    pub centre: &'a [f32],
}

impl WithSimd for Sums<'_> {
    type Output = [Vec<f64>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [Vec<f64>; 2] {
        let Self { x, centre } = self;
        let channels = centre.len();
        let (mut total, mut some) =
            ([vec![0.0; channels], vec![0.0; channels]], [vec![0.0; channels], vec![0.0; channels]]);
        for pixels in x.chunks(PIXELS * channels) {
            for channel in (0..channels).step_by(S::F32_LANES) {
                let lanes = S::F32_LANES.min(channels - channel);
                let centre = Vector::load_first(simd, &centre[channel..], lanes);
                let (mut first, mut second) = (Vector::zero(simd), Vector::zero(simd));
                let mut at = channel;
                while at < pixels.len() {
                    let distance = Vector::load_first(simd, &pixels[at..], lanes) - centre;
                    (first, second) = (first + distance, second.plus_product(distance, distance));
                    at += channels;
                }
                first.store_first(&mut some[0][channel..], lanes);
                second.store_first(&mut some[1][channel..], lanes);
            }
            take(&mut some, &mut total);
        }
        total
    }
}

/// The sums of all parts, of every channel.
pub(crate) fn added(parts: &[[Vec<f64>; 2]], channels: usize) -> [Vec<f64>; 2] {
    [0, 1].map(|which| (0..channels).map(|channel| parts.iter().map(|part| part[which][channel]).sum()).collect())
}

/// Adds up in double precision, and begins anew.
#[inline(always)]
fn take(some: &mut [Vec<f32>; 2], total: &mut [Vec<f64>; 2]) {
    for (some, total) in some.iter_mut().zip(total) {
        for (some, total) in some.iter_mut().zip(total) {
            *total += f64::from(std::mem::take(some));
        }
    }
}

/// What batch norm does to every channel: x -> (x - mean) * inv_std * gamma + beta.
#[derive(Debug, Clone)]
pub struct Affine {
    mean: Vec<f32>,
    inv_std: Vec<f32>,
    /// `inv_std * gamma`.
    scale: Vec<f32>,
    /// `beta - mean * scale`.
    shift: Vec<f32>,
}

impl Affine {
    /// By mean and variance of every channel, and batch norm's gamma and beta.
    pub fn new(mean: &[f64], variance: &[f64], gamma: &[f32], beta: &[f32], epsilon: f64) -> Self {
        let mean: Vec<f32> = mean.iter().map(|&v| v as f32).collect();
        let inv_std: Vec<f32> = variance.iter().map(|v| (1.0 / (v + epsilon).sqrt()) as f32).collect();
        let scale: Vec<f32> = inv_std.iter().zip(gamma).map(|(a, b)| a * b).collect();
        let shift = beta.iter().zip(&mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale).collect();
        Self { mean, inv_std, scale, shift }
    }

    /// batch norm(x) of some channels.
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, x: Vector<S>, block: Block) -> Vector<S> {
        block.of(simd, &self.shift).plus_product(x, block.of(simd, &self.scale))
    }

    /// `(x - mean) * inv_std` of some channels.
    #[inline(always)]
    fn normalized<S: Simd>(&self, simd: S, x: Vector<S>, block: Block) -> Vector<S> {
        (x - block.of(simd, &self.mean)) * block.of(simd, &self.inv_std)
    }

    /// The largest of activation(batch norm(x)) in a window, with the `x` it is of.
    #[inline(always)]
    fn maximum<S: Simd, const SIDE: usize>(
        &self,
        simd: S,
        (windows, activation): (Windows<SIDE>, impl Activation),
        x: &[f32],
        block: Block,
    ) -> Maximum<S> {
        windows.maximum(
            simd,
            #[inline(always)]
            |k| {
                let x = Vector::load_first(simd, &x[block.from + windows.pixel(k)..], block.lanes);
                (activation.of(simd, self.of(simd, x, block)), x)
            },
        )
    }
}

/// What follows batch normalization.
pub(crate) trait Activation: Copy + Send + Sync {
    /// Of values.
    fn of<S: Simd>(self, simd: S, y: Vector<S>) -> Vector<S>;

    /// The gradient of values by that of what became of them, which is `value`.
    fn back<S: Simd>(self, simd: S, value: Vector<S>, y: impl FnOnce() -> Vector<S>, dy: Vector<S>) -> Vector<S>;
}

/// It lets NaN pass, as burn's does: a network that diverges must not look well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relu;

impl Activation for Relu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, y: Vector<S>) -> Vector<S> {
        let zero = Vector::zero(simd);
        y.if_at_most(zero, zero, y)
    }

    #[inline(always)]
    fn back<S: Simd>(self, simd: S, value: Vector<S>, _: impl FnOnce() -> Vector<S>, dy: Vector<S>) -> Vector<S> {
        let zero = Vector::zero(simd);
        value.if_at_most(zero, zero, dy)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Gelu;

impl Activation for Gelu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, y: Vector<S>) -> Vector<S> {
        gelu::value(simd, y)
    }

    #[inline(always)]
    fn back<S: Simd>(self, simd: S, _: Vector<S>, y: impl FnOnce() -> Vector<S>, dy: Vector<S>) -> Vector<S> {
        dy * gelu::slope(simd, y())
    }
}

pub(crate) struct Normalize<'a, A, const SIDE: usize> {
    pub windows: Windows<SIDE>,
    pub activation: A,
    pub affine: &'a Affine,
    pub x: &'a [f32],
    pub out: &'a mut [f32],
}

impl<A: Activation, const SIDE: usize> WithSimd for Normalize<'_, A, SIDE> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { windows, activation, affine, x, out } = self;
        let images = out.len() / windows.pooled();
        windows.each(
            simd,
            images,
            #[inline(always)]
            |block| {
                let best = affine.maximum(simd, (windows, activation), x, block);
                best.value.store_first(&mut out[block.to..], block.lanes);
            },
        );
    }
}

/// Some images backward.
#[derive(Clone, Copy)]
pub(crate) struct Images<'a, A, const SIDE: usize> {
    pub windows: Windows<SIDE>,
    pub activation: A,
    pub affine: &'a Affine,
    pub x: &'a [f32],
    pub dy: &'a [f32],
}

impl<A: Activation, const SIDE: usize> Images<'_, A, SIDE> {
    /// The largest value of a window, with the `x` it is of; and what reaches the normalization there.
    #[inline(always)]
    fn passed<S: Simd>(&self, simd: S, block: Block) -> (Maximum<S>, Vector<S>) {
        let Self { windows, activation, affine, x, dy } = *self;
        let best = affine.maximum(simd, (windows, activation), x, block);
        let dy = Vector::load_first(simd, &dy[block.to..], block.lanes);
        let back = activation.back(
            simd,
            best.value,
            #[inline(always)]
            || affine.of(simd, best.companion, block),
            dy,
        );
        (best, back)
    }
}

/// Sums of the gradients of beta and of gamma, of every channel.
pub(crate) struct GradientSums<'a, A, const SIDE: usize>(pub Images<'a, A, SIDE>);

impl<A: Activation, const SIDE: usize> WithSimd for GradientSums<'_, A, SIDE> {
    type Output = [Vec<f64>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [Vec<f64>; 2] {
        let Images { windows, affine, x, dy, .. } = self.0;
        let channels = windows.channels;
        let (mut total, mut some) =
            ([vec![0.0; channels], vec![0.0; channels]], [vec![0.0; channels], vec![0.0; channels]]);
        let images = PIXELS.div_ceil(windows.pooled() / channels);
        for (x, dy) in x.chunks(images * windows.image()).zip(dy.chunks(images * windows.pooled())) {
            let image = Images { x, dy, ..self.0 };
            windows.each(
                simd,
                dy.len() / windows.pooled(),
                #[inline(always)]
                |block| {
                    let (best, g) = image.passed(simd, block);
                    let normalized = affine.normalized(simd, best.companion, block);
                    let [beta, gamma] = some.each_mut().map(|sums| &mut sums[block.channel..]);
                    (Vector::load_first(simd, beta, block.lanes) + g).store_first(beta, block.lanes);
                    let sum = Vector::load_first(simd, gamma, block.lanes).plus_product(g, normalized);
                    sum.store_first(gamma, block.lanes);
                },
            );
            take(&mut some, &mut total);
        }
        total
    }
}

/// The gradient of `x`.
pub(crate) struct GradientOfX<'a, A, const SIDE: usize> {
    pub images: Images<'a, A, SIDE>,
    /// Means over every channel of what reaches the normalization, and of that times the normalized value.
    pub means: &'a [Vec<f32>; 2],
    pub dx: &'a mut [f32],
}

impl<A: Activation, const SIDE: usize> WithSimd for GradientOfX<'_, A, SIDE> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { images, means, dx } = self;
        let Images { windows, affine, x, dy, .. } = images;
        windows.each(
            simd,
            dy.len() / windows.pooled(),
            #[inline(always)]
            |block| {
                let ((best, g), zero) = (images.passed(simd, block), Vector::zero(simd));
                let (mean, of_normalized) = (block.of(simd, &means[0]), block.of(simd, &means[1]));
                let scale = block.of(simd, &affine.scale);
                for k in 0..SIDE * SIDE {
                    let place = block.from + windows.pixel(k);
                    let x = Vector::load_first(simd, &x[place..], block.lanes);
                    let g = best.at.if_equal(Vector::splat(simd, k as f32), g, zero);
                    let normalized = affine.normalized(simd, x, block);
                    let out = scale * (g - mean - normalized * of_normalized);
                    out.store_first(&mut dx[place..], block.lanes);
                }
            },
        );
    }
}
