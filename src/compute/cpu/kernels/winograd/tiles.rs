//! Images cut into tiles, and tiles put together to images.

use std::ops::Range;

use pulp::Simd;

use super::scheme::both_sides;
use crate::memory::LINE;
use crate::product::{Rows, row_stride, width};
use crate::vector::Vector;

/// Where the tiles of images `[images, height, width, channels]` are: each is of a square of `side` x `side` outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub side: usize,
}

impl Grid {
    /// Tiles of an image.
    pub fn tiles(&self) -> usize {
        self.height.div_ceil(self.side) * self.width.div_ceil(self.side)
    }

    /// Where the first channels of `K` x `K` pixels of a tile are in memory, from `margin` pixels above and left of its
    /// outputs on; none where the image has no pixel.
    #[inline(always)]
    fn pixels<const K: usize>(&self, tile: usize, margin: usize) -> [[Option<usize>; K]; K] {
        let across = self.width.div_ceil(self.side);
        let (image, place) = (tile / self.tiles(), tile % self.tiles());
        let (top, left) = (place / across * self.side, place % across * self.side);
        let mut pixels = [[None; K]; K];
        for (y, row) in pixels.iter_mut().enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (y, x) = ((top + y).wrapping_sub(margin), (left + x).wrapping_sub(margin));
                let inside = y < self.height && x < self.width;
                *pixel = inside.then(|| ((image * self.height + y) * self.width + x) * self.channels);
            }
        }
        pixels
    }
}

/// Tiles as products want them: for each of their points a matrix `[tiles, channels]`, its rows of whole panels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Points {
    pub tiles: usize,
    /// Values from tile to tile.
    pub stride: usize,
}

impl Points {
    pub fn new(tiles: usize, channels: usize, panel_width: usize) -> Self {
        Self { tiles, stride: row_stride(channels, panel_width) }
    }

    /// Values from point to point, a line more than the matrix has: all points of a tile are written one after the other.
    pub fn matrix(&self) -> usize {
        self.tiles * self.stride + LINE
    }

    /// The matrix of a point, from some column on.
    #[inline(always)]
    pub fn rows<'a>(&self, values: &'a [f32], point: usize, column: usize) -> Rows<'a> {
        Rows { values: &values[point * self.matrix() + column..], stride: self.stride }
    }
}

/// The pixels of tiles, `map`ped from both sides, become points.
#[inline(always)]
pub(crate) fn to_points<S: Simd, const P: usize, const K: usize>(
    simd: S,
    map: impl Fn([Vector<S>; K]) -> [Vector<S>; P] + Copy,
    (grid, margin): (Grid, usize),
    tiles: Range<usize>,
    images: &[f32],
    out: &mut [f32],
) {
    let points = Points::new(tiles.len(), grid.channels, width::<S>());
    for (row, tile) in tiles.enumerate() {
        let pixels = grid.pixels::<K>(tile, margin);
        for channel in (0..grid.channels).step_by(S::F32_LANES) {
            let lanes = S::F32_LANES.min(grid.channels - channel);
            let mut v = [[Vector::zero(simd); K]; K];
            for (v, pixels) in v.iter_mut().zip(&pixels) {
                for (v, pixel) in v.iter_mut().zip(pixels) {
                    if let Some(pixel) = pixel {
                        *v = Vector::load_first(simd, &images[pixel + channel..], lanes);
                    }
                }
            }
            let v: [[Vector<S>; P]; P] = both_sides(Vector::zero(simd), map, v);
            for (point, v) in v.as_flattened().iter().enumerate() {
                v.store(&mut out[point * points.matrix() + row * points.stride + channel..]);
            }
        }
    }
}

/// The points of tiles, `map`ped from both sides, become pixels, or are added to them.
#[inline(always)]
pub(crate) fn to_pixels<S: Simd, const P: usize, const K: usize>(
    simd: S,
    map: impl Fn([Vector<S>; P]) -> [Vector<S>; K] + Copy,
    (grid, margin): (Grid, usize),
    tiles: Range<usize>,
    values: &[f32],
    (images, add): (&mut [f32], bool),
) {
    let points = Points::new(tiles.len(), grid.channels, width::<S>());
    for (row, tile) in tiles.enumerate() {
        let pixels = grid.pixels::<K>(tile, margin);
        for channel in (0..grid.channels).step_by(S::F32_LANES) {
            let lanes = S::F32_LANES.min(grid.channels - channel);
            let mut v = [[Vector::zero(simd); P]; P];
            for (point, v) in v.as_flattened_mut().iter_mut().enumerate() {
                *v = Vector::load(simd, &values[point * points.matrix() + row * points.stride + channel..]);
            }
            let v: [[Vector<S>; K]; K] = both_sides(Vector::zero(simd), map, v);
            for (v, pixels) in v.iter().zip(&pixels) {
                for (&v, pixel) in v.iter().zip(pixels) {
                    if let Some(pixel) = pixel {
                        let out = &mut images[pixel + channel..];
                        let v = if add { v + Vector::load_first(simd, out, lanes) } else { v };
                        v.store_first(out, lanes);
                    }
                }
            }
        }
    }
}
