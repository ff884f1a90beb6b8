//! Linear layers.

use pulp::{Arch, Simd, WithSimd};

use crate::memory::Buffer;
use crate::product::{Rows, RowsMut, panel_width, row_stride, times_panel, transposed_times, width};
use crate::threads::{each, share};

/// Multiply-adds that a task has at least: waking another core takes as long as some hundred thousand.
const TASK: usize = 1 << 20;
/// Rows that are worked on together: a multiple of what the registers hold.
const BLOCK: usize = 48;

/// A linear layer of `n` vectors `[n, inputs]` to `[n, outputs]`, with weights `[inputs, outputs]`.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    pub n: usize,
    pub inputs: usize,
    pub outputs: usize,
}

impl Layer {
    /// Vectors `x` times weights, plus a bias `[outputs]`.
    pub fn forward(self, x: &[f32], weights: &[f32], bias: &[f32]) -> Buffer {
        multiply(self, x, &panels(weights, (self.outputs, 1), (self.inputs, self.outputs)), bias)
    }

    /// The gradient of the vectors by that of the outputs.
    pub fn backward(self, gradient: &[f32], weights: &[f32]) -> Buffer {
        let back = Self { inputs: self.outputs, outputs: self.inputs, ..self };
        multiply(back, gradient, &panels(weights, (self.inputs, self.outputs), (self.outputs, 1)), &[])
    }

    /// The gradient `[inputs, outputs]` of the weights by that of the outputs.
    pub fn backward_weights(self, x: &[f32], gradient: &[f32]) -> Buffer {
        let Self { n, inputs, outputs } = self;
        let stride = row_stride(outputs, panel_width());
        let mut padded = Buffer::new(n * stride);
        for (padded, dy) in padded.values_mut().chunks_exact_mut(stride).zip(gradient.chunks_exact(outputs)) {
            padded[..outputs].copy_from_slice(dy);
            padded[outputs..].fill(0.0);
        }
        let mut out = Buffer::new(inputs * outputs);
        let share = share(inputs, TASK.div_ceil(n * outputs)).next_multiple_of(BLOCK);
        let tasks = out.values_mut().chunks_mut(share * outputs).enumerate();
        each(tasks.collect(), |(i, out)| {
            let x = Rows { values: &x[i * share..], stride: inputs };
            let dy = Rows { values: padded.values(), stride };
            Arch::new().dispatch(Transposed { n, outputs, x, dy, out });
        });
        out
    }
}

/// A matrix as panels, by how many columns and rows it has, and how far apart each are.
fn panels(values: &[f32], (columns, across): (usize, usize), (depth, down): (usize, usize)) -> Buffer {
    let width = panel_width();
    let mut panels = Buffer::new(depth * columns.next_multiple_of(width));
    for (i, out) in panels.values_mut().chunks_exact_mut(depth * width).enumerate() {
        let n = width.min(columns - i * width);
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let (filled, rest) = out.split_at_mut(n);
            let values = &values[i * width * across + row * down..];
            match across {
                1 => filled.copy_from_slice(&values[..n]),
                _ => filled.iter_mut().zip(values.iter().step_by(across)).for_each(|(out, value)| *out = *value),
            }
            rest.fill(0.0);
        }
    }
    panels
}

/// `x [n, inputs]` times panels, plus a bias, or none if that is empty: `[n, outputs]`.
fn multiply(Layer { n, inputs, outputs }: Layer, x: &[f32], panels: &Buffer, bias: &[f32]) -> Buffer {
    let (panels, mut out) = (panels.values(), Buffer::new(n * outputs));
    let share = share(n, TASK.div_ceil(inputs * outputs)).next_multiple_of(BLOCK);
    let tasks = x.chunks(share * inputs).zip(out.values_mut().chunks_mut(share * outputs));
    each(tasks.collect(), |(x, out)| Arch::new().dispatch(Multiply { inputs, outputs, x, panels, bias, out }));
    out
}

struct Multiply<'a> {
    inputs: usize,
    outputs: usize,
    x: &'a [f32],
    panels: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { inputs, outputs, x, panels, bias, out } = self;
        let stride = row_stride(outputs, width::<S>());
        let mut products = Buffer::new(BLOCK * stride);
        for (x, out) in x.chunks(BLOCK * inputs).zip(out.chunks_mut(BLOCK * outputs)) {
            let a = Rows { values: x, stride: inputs };
            for (i, panel) in panels.chunks_exact(inputs * width::<S>()).enumerate() {
                let c = RowsMut { values: &mut products.values_mut()[i * width::<S>()..], stride, add: false };
                times_panel(simd, x.len() / inputs, inputs, a, panel, c);
            }
            for (out, products) in out.chunks_exact_mut(outputs).zip(products.values().chunks_exact(stride)) {
                out.copy_from_slice(&products[..outputs]);
                out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
            }
        }
    }
}

/// `out [.., outputs]` is the transpose of `x [n, ..]` times `dy [n, outputs]`.
struct Transposed<'a> {
    n: usize,
    outputs: usize,
    x: Rows<'a>,
    dy: Rows<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Transposed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { n, outputs, x, dy, out } = self;
        let mut products = Buffer::new(BLOCK * dy.stride);
        for (i, out) in out.chunks_mut(BLOCK * outputs).enumerate() {
            let (rows, a) = (out.len() / outputs, Rows { values: &x.values[i * BLOCK..], stride: x.stride });
            for start in (0..outputs).step_by(width::<S>()) {
                let b = Rows { values: &dy.values[start..], stride: dy.stride };
                let c = RowsMut { values: &mut products.values_mut()[start..], stride: dy.stride, add: false };
                transposed_times(simd, rows, n, a, b, c);
            }
            for (out, products) in out.chunks_exact_mut(outputs).zip(products.values().chunks_exact(dy.stride)) {
                out.copy_from_slice(&products[..outputs]);
            }
        }
    }
}
