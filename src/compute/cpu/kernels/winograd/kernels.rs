//! What one task of a convolution does.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Winograd;
use super::scheme::{Scheme, both_sides};
use super::tiles::{Grid, Points, to_pixels, to_points};
use crate::memory::{Buffer, LINE};
use crate::product::{MAX_LANES, RowsMut, VECTORS, times_panel, transposed_times, width};
use crate::sizes::Sizes;
use crate::vector::Vector;

/// Tiles that are worked on together: enough to read all weights' points once for many products, and few enough to stay in
/// the cache.
pub(crate) const BLOCK: usize = 48;
/// Outputs whose weights' gradients are summed up together, and inputs: at 36 points they fill half a megabyte.
pub(crate) const ROWS: usize = 32;
const COLUMNS: usize = 128;
/// Weights of a kernel.
pub(crate) const TAPS: usize = 9;

/// The tiles of images before or after a convolution.
pub(crate) fn grid(sizes: Sizes, channels: usize, side: usize) -> Grid {
    Grid { height: sizes.height, width: sizes.width, channels, side }
}

/// A panel of weights at all points.
pub(crate) struct Panel<'a, W> {
    pub scheme: PhantomData<W>,
    pub weights: &'a [f32],
    /// The panel's first column, and where all columns end.
    pub columns: Range<usize>,
    pub depth: usize,
    /// From column to column and from row to row of the panel, in kernels of nine weights.
    pub strides: (usize, usize),
    /// For each point `[depth, width]`.
    pub out: &'a mut [f32],
}

impl<W: Scheme<IN, OUT, P>, const IN: usize, const OUT: usize, const P: usize> WithSimd
    for Panel<'_, Winograd<W, IN, OUT, P>>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, columns, depth, strides, out, .. } = self;
        for row in 0..depth {
            for vector in 0..VECTORS {
                let first = columns.start + vector * S::F32_LANES;
                let mut lanes = [[0.0; MAX_LANES]; TAPS];
                for (lane, column) in (first..columns.end).take(S::F32_LANES).enumerate() {
                    let kernel = &weights[(column * strides.0 + row * strides.1) * TAPS..][..TAPS];
                    for (lanes, &weight) in lanes.iter_mut().zip(kernel) {
                        lanes[lane] = weight;
                    }
                }
                let mut taps = [[Vector::zero(simd); 3]; 3];
                for (tap, lanes) in taps.as_flattened_mut().iter_mut().zip(&lanes) {
                    *tap = Vector::load(simd, lanes);
                }
                let points: [[Vector<S>; P]; P] = both_sides(
                    Vector::zero(simd),
                    #[inline(always)]
                    |w| W::weights(w),
                    taps,
                );
                for (point, v) in points.as_flattened().iter().enumerate() {
                    v.store(&mut out[(point * depth + row) * width::<S>() + vector * S::F32_LANES..]);
                }
            }
        }
    }
}

/// At every point, tiles `[tiles, depth]` times panels of weights.
#[inline(always)]
fn products<S: Simd>(
    simd: S,
    count: usize,
    (values, from, depth): (&[f32], Points, usize),
    panels: &[f32],
    (out, to): (&mut [f32], Points),
) {
    let panel = depth * width::<S>();
    for point in 0..count {
        let a = from.rows(values, point, 0);
        let out = &mut out[point * to.matrix()..][..to.matrix()];
        for (i, panels) in panels.chunks_exact(count * panel).enumerate() {
            let c = RowsMut { values: &mut out[i * width::<S>()..], stride: to.stride, add: false };
            times_panel(simd, from.tiles, depth, a, &panels[point * panel..][..panel], c);
        }
    }
}

/// Some images forward.
pub(crate) struct Forward<'a, W> {
    pub scheme: PhantomData<W>,
    pub sizes: Sizes,
    pub images: &'a [f32],
    pub panels: &'a [f32],
    pub out: &'a mut [f32],
}

impl<W: Scheme<IN, OUT, P>, const IN: usize, const OUT: usize, const P: usize> WithSimd
    for Forward<'_, Winograd<W, IN, OUT, P>>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sizes, images, panels, out, .. } = self;
        let (before, after) = (grid(sizes, sizes.inputs, OUT), grid(sizes, sizes.outputs, OUT));
        let all = images.len() / (sizes.pixels() * sizes.inputs) * before.tiles();
        let block = |tiles| {
            let points = |channels| Points::new(tiles, channels, width::<S>());
            (points(sizes.inputs), points(sizes.outputs))
        };
        let (v, m) = block(BLOCK.min(all));
        let mut memory = Buffer::new(P * P * (v.matrix() + m.matrix()));
        let (v_values, m_values) = memory.values_mut().split_at_mut(P * P * v.matrix());
        for first in (0..all).step_by(BLOCK) {
            let tiles = first..(first + BLOCK).min(all);
            let (v, m) = block(tiles.len());
            let place = (before, W::MARGIN);
            to_points(
                simd,
                #[inline(always)]
                |x| W::input(x),
                place,
                tiles.clone(),
                images,
                v_values,
            );
            products(simd, P * P, (v_values, v, sizes.inputs), panels, (m_values, m));
            to_pixels(
                simd,
                #[inline(always)]
                |m| W::output(m),
                (after, 0),
                tiles,
                m_values,
                (out, false),
            );
        }
    }
}

/// What the gradient of the weights is made of, of some images: at all points their tiles, and the gradients of the outputs.
pub(crate) struct Chunk {
    tiles: usize,
    inputs: Buffer,
    gradients: Buffer,
}

/// Some images backward.
pub(crate) struct Backward<'a, W> {
    pub scheme: PhantomData<W>,
    pub sizes: Sizes,
    pub images: &'a [f32],
    pub gradient: &'a [f32],
    /// Panels of weights, and where the gradient of the images goes.
    pub to_images: Option<(&'a [f32], &'a mut [f32])>,
}

impl<W: Scheme<IN, OUT, P>, const IN: usize, const OUT: usize, const P: usize> WithSimd
    for Backward<'_, Winograd<W, IN, OUT, P>>
{
    type Output = Chunk;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Chunk {
        let Self { sizes, images, gradient, to_images, .. } = self;
        let (before, after) = (grid(sizes, sizes.inputs, OUT), grid(sizes, sizes.outputs, OUT));
        let tiles = images.len() / (sizes.pixels() * sizes.inputs) * before.tiles();
        let (v, m) = (Points::new(tiles, sizes.inputs, width::<S>()), Points::new(tiles, sizes.outputs, width::<S>()));
        let (mut inputs, mut gradients) = (Buffer::new(P * P * v.matrix()), Buffer::new(P * P * m.matrix()));
        let place = (before, W::MARGIN);
        to_points(
            simd,
            #[inline(always)]
            |y| W::output_back(y),
            (after, 0),
            0..tiles,
            gradient,
            gradients.values_mut(),
        );
        if let Some((panels, out)) = to_images {
            let values = inputs.values_mut();
            products(simd, P * P, (gradients.values(), m, sizes.outputs), panels, (values, v));
            // Tiles with a margin overlap, and their gradients add up.
            let overlap = W::MARGIN > 0;
            if overlap {
                out.fill(0.0);
            }
            to_pixels(
                simd,
                #[inline(always)]
                |v| W::input_back(v),
                place,
                0..tiles,
                values,
                (out, overlap),
            );
        }
        to_points(
            simd,
            #[inline(always)]
            |x| W::input(x),
            place,
            0..tiles,
            images,
            inputs.values_mut(),
        );
        Chunk { tiles, inputs, gradients }
    }
}

/// The gradient of the weights of some outputs.
pub(crate) struct BackwardWeights<'a, W> {
    pub scheme: PhantomData<W>,
    pub sizes: Sizes,
    /// The first of them.
    pub first: usize,
    pub chunks: &'a [Chunk],
    pub out: &'a mut [f32],
    /// Whether the gradient of other images is there already.
    pub add: bool,
}

impl<W: Scheme<IN, OUT, P>, const IN: usize, const OUT: usize, const P: usize> WithSimd
    for BackwardWeights<'_, Winograd<W, IN, OUT, P>>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sizes, first, chunks, out, add, .. } = self;
        let (inputs, rows) = (sizes.inputs, out.len() / (sizes.inputs * TAPS));
        let part = COLUMNS.min(inputs.next_multiple_of(width::<S>()));
        let matrix = rows * part + LINE;
        let mut sums = Buffer::new(P * P * matrix);
        for start in (0..inputs).step_by(part) {
            for (point, sums) in sums.values_mut().chunks_mut(matrix).enumerate() {
                for (i, chunk) in chunks.iter().enumerate() {
                    let points = |channels| Points::new(chunk.tiles, channels, width::<S>());
                    let (v, m) = (points(inputs), points(sizes.outputs));
                    let a = m.rows(chunk.gradients.values(), point, first);
                    for panel in (start..(start + part).min(v.stride - LINE)).step_by(width::<S>()) {
                        let b = v.rows(chunk.inputs.values(), point, panel);
                        let c = RowsMut { values: &mut sums[panel - start..], stride: part, add: i > 0 };
                        transposed_times(simd, rows, chunk.tiles, a, b, c);
                    }
                }
            }
            for row in 0..rows {
                for column in (0..part.min(inputs - start)).step_by(S::F32_LANES) {
                    let mut points = [[Vector::zero(simd); P]; P];
                    for (point, v) in points.as_flattened_mut().iter_mut().enumerate() {
                        *v = Vector::load(simd, &sums.values()[point * matrix + row * part + column..]);
                    }
                    let taps: [[Vector<S>; 3]; 3] = both_sides(
                        Vector::zero(simd),
                        #[inline(always)]
                        |u| W::weights_back(u),
                        points,
                    );
                    let kernels = out[(row * inputs + start + column) * TAPS..].chunks_exact_mut(TAPS);
                    scatter(&taps, kernels.take(inputs - start - column), add);
                }
            }
        }
    }
}

/// Every lane of nine vectors becomes a kernel, or is added to it.
#[inline(always)]
fn scatter<'a, S: Simd>(taps: &[[Vector<S>; 3]; 3], kernels: impl Iterator<Item = &'a mut [f32]>, add: bool) {
    let mut lanes = [[0.0; MAX_LANES]; TAPS];
    for (lanes, tap) in lanes.iter_mut().zip(taps.as_flattened()) {
        tap.store(lanes);
    }
    for (lane, kernel) in kernels.take(S::F32_LANES).enumerate() {
        for (weight, lanes) in kernel.iter_mut().zip(&lanes) {
            *weight = if add { *weight + lanes[lane] } else { lanes[lane] };
        }
    }
}
