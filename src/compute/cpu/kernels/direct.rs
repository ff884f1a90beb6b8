//! Convolutions as they are defined: each pixel's neighbourhood is laid out as a row, and multiplied with all weights.
//!
//! For images of few channels, where there is too little to multiply for Winograd's schemes to pay; where their rounding is
//! not wanted; and for kernels that have no scheme.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::memory::Buffer;
use crate::product::{Rows, RowsMut, panel_width, row_stride, times_panel, transposed_times, width};
use crate::sizes::{Kernel, Sizes};
use crate::threads::{each, map, share, threads};

/// Values of neighbourhoods that are worked on together: they stay in the cache.
const BLOCK: usize = 64 * 1024;
/// Pixels that a task has at least.
const PIXELS: usize = 1024;

/// Weights `[outputs, inputs, side, side]` as panels of outputs; or, to take gradients back, of inputs, turned by half a turn. Where
/// the stride is not 1, these are of a neighbourhood's values as they are.
pub(crate) fn panels(weights: &[f32], sizes: Sizes, back: bool) -> Buffer {
    let Sizes { outputs, inputs, kernel, .. } = sizes;
    if back && kernel.stride > 1 {
        return scattering_panels(weights, sizes);
    }
    let (columns, channels) = if back { (inputs, outputs) } else { (outputs, inputs) };
    let (width, taps) = (panel_width(), kernel.taps());
    let mut panels = Buffer::new(taps * channels * columns.next_multiple_of(width));
    let parts = panels.values_mut().chunks_mut(taps * channels * width).enumerate();
    each(parts.collect(), |(i, out)| {
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let (tap, channel) = (row / channels, row % channels);
            for (column, out) in (i * width..).zip(out) {
                let at = if back {
                    (channel * inputs + column) * taps + taps - 1 - tap
                } else {
                    (column * inputs + channel) * taps + tap
                };
                *out = if column < columns { weights[at] } else { 0.0 };
            }
        }
    });
    panels
}

/// Weights `[outputs, inputs, taps]` as panels of neighbourhoods `[tap, input]`, a row an output.
fn scattering_panels(weights: &[f32], sizes: Sizes) -> Buffer {
    let (width, inputs, taps) = (panel_width(), sizes.inputs, sizes.kernel.taps());
    let (columns, outputs) = (depth(sizes), sizes.outputs);
    let mut panels = Buffer::new(outputs * columns.next_multiple_of(width));
    each(panels.values_mut().chunks_mut(outputs * width).enumerate().collect(), |(i, out)| {
        for (output, out) in out.chunks_exact_mut(width).enumerate() {
            for (column, out) in (i * width..).zip(out) {
                let at = (output * inputs + column % inputs) * taps + column / inputs;
                *out = if column < columns { weights[at] } else { 0.0 };
            }
        }
    });
    panels
}

/// The images after the convolution, by [`panels`] of outputs; or the gradient of the images by that of the outputs, by
/// panels of inputs and [turned](Sizes::turned) sizes.
pub(crate) fn forward(sizes: Sizes, images: &[f32], panels: &[f32], out: &mut [f32]) {
    let outputs = sizes.outputs;
    if sizes.images < tasks(sizes).min(threads()) {
        return few_images(sizes, images, panels, out);
    }
    let share = share(sizes.images, PIXELS.div_ceil(sizes.pixels_after()));
    let tasks = images
        .chunks(share * sizes.pixels() * sizes.inputs)
        .zip(out.chunks_mut(share * sizes.pixels_after() * outputs));
    each(tasks.collect(), |(images, out)| Arch::new().dispatch(Forward { sizes, images, panels, outputs, out }));
}

/// How many tasks [`forward`] can have: of images, or of panels.
pub(crate) fn tasks(sizes: Sizes) -> usize {
    sizes.images.max(sizes.outputs.div_ceil(panel_width()))
}

/// [`forward`] of fewer images than there are cores: a task is for some of the outputs of all images.
fn few_images(sizes: Sizes, images: &[f32], panels: &[f32], out: &mut [f32]) {
    let width = panel_width();
    let share = sizes.outputs.div_ceil(width).div_ceil(threads());
    let tasks = panels.chunks(share * depth(sizes) * width).enumerate();
    let parts = map(tasks.collect(), |(i, panels)| {
        let first = i * share * width;
        let outputs = (sizes.outputs - first).min(share * width);
        let mut part = Buffer::new(sizes.images * sizes.pixels_after() * outputs);
        Arch::new().dispatch(Forward { sizes, images, panels, outputs, out: part.values_mut() });
        (first, outputs, part)
    });
    for (first, outputs, part) in &parts {
        for (out, part) in out.chunks_exact_mut(sizes.outputs).zip(part.values().chunks_exact(*outputs)) {
            out[*first..first + outputs].copy_from_slice(part);
        }
    }
}

/// The gradient `[outputs, inputs, side, side]` of the weights by that of the outputs.
pub(crate) fn backward_weights(sizes: Sizes, images: &[f32], gradient: &[f32], out: &mut [f32]) {
    let share = share(sizes.images, PIXELS.div_ceil(sizes.pixels_after()));
    let tasks = images
        .chunks(share * sizes.pixels() * sizes.inputs)
        .zip(gradient.chunks(share * sizes.pixels_after() * sizes.outputs));
    let sums =
        map(tasks.collect(), |(images, gradient)| Arch::new().dispatch(BackwardWeights { sizes, images, gradient }));
    let (stride, taps) = (depth(sizes).next_multiple_of(panel_width()), sizes.kernel.taps());
    for (i, weight) in out.iter_mut().enumerate() {
        let (output, input, tap) = (i / (sizes.inputs * taps), i / taps % sizes.inputs, i % taps);
        *weight = sums.iter().map(|sum| sum.values()[output * stride + tap * sizes.inputs + input]).sum();
    }
}

/// Values of a pixel's neighbourhood.
fn depth(sizes: Sizes) -> usize {
    sizes.kernel.taps() * sizes.inputs
}

/// Pixels that are worked on together.
fn block(stride: usize) -> usize {
    (BLOCK / stride).clamp(24, 1024)
}

/// The neighbourhoods `[pixels, tap, channel]` of some pixels, in rows of `stride` values.
fn neighbourhoods(sizes: Sizes, images: &[f32], pixels: Range<usize>, stride: usize, out: &mut [f32]) {
    let Sizes { height, width, inputs, kernel, .. } = sizes;
    let Kernel { side, padding, stride: step } = kernel;
    let [height_after, width_after] = sizes.sides_after().unwrap_or([1, 1]);
    for (pixel, row) in pixels.zip(out.chunks_exact_mut(stride)) {
        let (row_after, x) = (pixel / width_after, pixel % width_after);
        let (image, y) = (row_after / height_after, row_after % height_after * step);
        let x = x * step;
        let (taps, rest) = row.split_at_mut(kernel.taps() * inputs);
        rest.fill(0.0);
        for (dy, out) in taps.chunks_exact_mut(side * inputs).enumerate() {
            let y = (y + dy).wrapping_sub(padding);
            if y >= height {
                out.fill(0.0);
                continue;
            }
            let row = &images[(image * height + y) * width * inputs..][..width * inputs];
            let left = x.wrapping_sub(padding);
            if left < width && left + side <= width {
                out.copy_from_slice(&row[left * inputs..][..side * inputs]);
                continue;
            }
            for (dx, out) in out.chunks_exact_mut(inputs).enumerate() {
                let x = left.wrapping_add(dx);
                if x < width {
                    out.copy_from_slice(&row[x * inputs..][..inputs]);
                } else {
                    out.fill(0.0);
                }
            }
        }
    }
}

/// The gradient of the images by that of the outputs, by [`panels`] to go back, where the stride is not 1: what a pixel after the
/// convolution gives to its neighbourhood is added up where it came from.
pub(crate) fn backward_images(sizes: Sizes, gradient: &[f32], panels: &[f32], out: &mut [f32]) {
    let share = share(sizes.images, PIXELS.div_ceil(sizes.pixels_after()));
    let tasks = gradient
        .chunks(share * sizes.pixels_after() * sizes.outputs)
        .zip(out.chunks_mut(share * sizes.pixels() * sizes.inputs));
    each(tasks.collect(), |(gradient, out)| Arch::new().dispatch(BackwardImages { sizes, gradient, panels, out }));
}

/// Adds neighbourhoods, as [`neighbourhoods`] makes them, to the pixels that they are of.
#[inline(always)]
fn scatter(sizes: Sizes, rows: &[f32], stride: usize, pixels: Range<usize>, images: &mut [f32]) {
    let Sizes { height, width, inputs, kernel, .. } = sizes;
    let Kernel { side, padding, stride: step } = kernel;
    let [height_after, width_after] = sizes.sides_after().unwrap_or([1, 1]);
    for (pixel, row) in pixels.zip(rows.chunks_exact(stride)) {
        let (row_after, x) = (pixel / width_after, pixel % width_after * step);
        let (image, y) = (row_after / height_after, row_after % height_after * step);
        for (tap, values) in row.chunks_exact(inputs).take(kernel.taps()).enumerate() {
            let (y, x) = ((y + tap / side).wrapping_sub(padding), (x + tap % side).wrapping_sub(padding));
            if y < height && x < width {
                let at = ((image * height + y) * width + x) * inputs;
                images[at..][..inputs].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
    }
}

struct BackwardImages<'a> {
    sizes: Sizes,
    gradient: &'a [f32],
    panels: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for BackwardImages<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sizes, gradient, panels, out } = self;
        let (outputs, all) = (sizes.outputs, gradient.len() / sizes.outputs);
        let stride = row_stride(depth(sizes), width::<S>());
        let block = block(stride);
        let mut rows = Buffer::new(block * stride);
        out.fill(0.0);
        for first in (0..all).step_by(block) {
            let pixels = first..(first + block).min(all);
            let a = Rows { values: &gradient[first * outputs..], stride: outputs };
            for (i, panel) in panels.chunks_exact(outputs * width::<S>()).enumerate() {
                let c = RowsMut { values: &mut rows.values_mut()[i * width::<S>()..], stride, add: false };
                times_panel(simd, pixels.len(), outputs, a, panel, c);
            }
            scatter(sizes, rows.values(), stride, pixels, out);
        }
    }
}

struct Forward<'a> {
    sizes: Sizes,
    images: &'a [f32],
    panels: &'a [f32],
    /// How many outputs the panels are of, and `out` has.
    outputs: usize,
    out: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sizes, images, panels, outputs, out } = self;
        let (depth, all) = (depth(sizes), out.len() / outputs);
        let (block, stride) = (block(depth), row_stride(outputs, width::<S>()));
        let mut rows = Buffer::new(block * depth);
        let mut products = Buffer::new(block * stride);
        for first in (0..all).step_by(block) {
            let pixels = first..(first + block).min(all);
            neighbourhoods(sizes, images, pixels.clone(), depth, rows.values_mut());
            let a = Rows { values: rows.values(), stride: depth };
            for (i, panel) in panels.chunks_exact(depth * width::<S>()).enumerate() {
                let c = RowsMut { values: &mut products.values_mut()[i * width::<S>()..], stride, add: false };
                times_panel(simd, pixels.len(), depth, a, panel, c);
            }
            let out = out[first * outputs..].chunks_exact_mut(outputs).take(pixels.len());
            for (out, products) in out.zip(products.values().chunks_exact(stride)) {
                out.copy_from_slice(&products[..outputs]);
            }
        }
    }
}

struct BackwardWeights<'a> {
    sizes: Sizes,
    images: &'a [f32],
    gradient: &'a [f32],
}

impl WithSimd for BackwardWeights<'_> {
    type Output = Buffer;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Buffer {
        let Self { sizes, images, gradient } = self;
        let (outputs, all) = (sizes.outputs, gradient.len() / sizes.outputs);
        let stride = depth(sizes).next_multiple_of(width::<S>());
        let block = block(stride);
        let mut rows = Buffer::new(block * stride);
        let mut sums = Buffer::new(outputs * stride);
        for first in (0..all).step_by(block) {
            let pixels = first..(first + block).min(all);
            neighbourhoods(sizes, images, pixels.clone(), stride, rows.values_mut());
            let a = Rows { values: &gradient[first * outputs..], stride: outputs };
            for panel in (0..stride).step_by(width::<S>()) {
                let b = Rows { values: &rows.values()[panel..], stride };
                let c = RowsMut { values: &mut sums.values_mut()[panel..], stride, add: first > 0 };
                transposed_times(simd, outputs, pixels.len(), a, b, c);
            }
        }
        sums
    }
}
