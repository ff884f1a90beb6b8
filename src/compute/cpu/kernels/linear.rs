//! Linear layers.

use pulp::{Arch, Simd, WithSimd};

use crate::memory::Buffer;
use crate::nonzeros::{COLUMNS, List, TOGETHER, mostly_zeros, of_columns, sums};
use crate::product::{Rows, RowsMut, panel_width, row_stride, times_panel, transposed_times, width};
use crate::threads::{each, share};

/// Multiply-adds that a task has at least: waking another core takes as long as some hundred thousand.
const TASK: usize = 1 << 20;
/// Values that a task copies at least.
const COPIES: usize = 1 << 15;
/// Rows that are worked on together: a multiple of what the registers hold.
const BLOCK: usize = 48;
/// Of so many panels it pays to bring together what all of them are multiplied with.
const MANY: usize = 16;

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
        let sparse = mostly_zeros(x, inputs);
        let tasks = out.values_mut().chunks_mut(share * outputs).enumerate();
        each(tasks.collect(), |(i, out)| {
            let x = Rows { values: &x[i * share..], stride: inputs };
            let dy = Rows { values: padded.values(), stride };
            Arch::new().dispatch(Transposed { n, outputs, sparse, x, dy, out });
        });
        out
    }

    /// The gradient `[outputs]` of the bias by that of the outputs.
    pub fn backward_bias(self, gradient: &[f32]) -> Buffer {
        let mut out = Buffer::new(self.outputs);
        let sums = out.values_mut();
        sums.fill(0.0);
        for row in gradient.chunks_exact(self.outputs) {
            sums.iter_mut().zip(row).for_each(|(sum, dy)| *sum += dy);
        }
        out
    }
}

/// A matrix as panels, by how many columns and rows it has, and how far apart each are.
fn panels(values: &[f32], (columns, across): (usize, usize), (depth, down): (usize, usize)) -> Buffer {
    let width = panel_width();
    let mut panels = Buffer::new(depth * columns.next_multiple_of(width));
    let share = share(columns.div_ceil(width), COPIES.div_ceil(depth * width));
    let tasks = panels.values_mut().chunks_mut(share * depth * width).enumerate();
    each(tasks.collect(), |(task, out)| {
        for (i, out) in (task * share..).zip(out.chunks_exact_mut(depth * width)) {
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
    });
    panels
}

/// `x [n, inputs]` times panels, plus a bias, or none if that is empty: `[n, outputs]`.
fn multiply(Layer { n, inputs, outputs }: Layer, x: &[f32], panels: &Buffer, bias: &[f32]) -> Buffer {
    let (panels, mut out) = (panels.values(), Buffer::new(n * outputs));
    let share = share(n, TASK.div_ceil(inputs * outputs)).next_multiple_of(BLOCK);
    let sparse = mostly_zeros(x, inputs);
    let tasks = x.chunks(share * inputs).zip(out.values_mut().chunks_mut(share * outputs));
    each(tasks.collect(), |(x, out)| Arch::new().dispatch(Multiply { inputs, outputs, sparse, x, panels, bias, out }));
    out
}

struct Multiply<'a> {
    inputs: usize,
    outputs: usize,
    /// Whether zeros are passed over.
    sparse: bool,
    x: &'a [f32],
    panels: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { inputs, outputs, sparse, x, panels, bias, out } = self;
        let stride = row_stride(outputs, width::<S>());
        let mut products = Buffer::new(BLOCK * stride);
        let (block, mut list) = (if sparse { TOGETHER } else { BLOCK }, List::default());
        for (x, out) in x.chunks(block * inputs).zip(out.chunks_mut(block * outputs)) {
            let a = Rows { values: x, stride: inputs };
            if sparse {
                list.of_rows(x, inputs);
            }
            for (i, panel) in panels.chunks_exact(inputs * width::<S>()).enumerate() {
                let c = RowsMut { values: &mut products.values_mut()[i * width::<S>()..], stride, add: false };
                match sparse {
                    true => sums(simd, &list, Rows { values: panel, stride: width::<S>() }, c),
                    false => times_panel(simd, x.len() / inputs, inputs, a, panel, c),
                }
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
    /// Whether zeros are passed over.
    sparse: bool,
    x: Rows<'a>,
    dy: Rows<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Transposed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { n, outputs, sparse, x, dy, out } = self;
        let mut products = Buffer::new(BLOCK * dy.stride);
        // Rows of `x` at some distances throw each other out of the cache, so where they are read often they are brought together.
        let together = !sparse && outputs >= MANY * width::<S>();
        let mut columns = together.then(|| Buffer::new(n * BLOCK));
        let mut lists = Default::default();
        for (i, out) in out.chunks_mut(BLOCK * outputs).enumerate() {
            let (rows, a) = (out.len() / outputs, Rows { values: &x.values[i * BLOCK..], stride: x.stride });
            if sparse {
                for first in (0..rows).step_by(COLUMNS) {
                    let a = Rows { values: &a.values[first..], ..a };
                    of_columns(a, n, COLUMNS.min(rows - first), &mut lists);
                    for (i, list) in lists.iter().enumerate() {
                        let products = &mut products.values_mut()[(first + i * TOGETHER) * dy.stride..];
                        for start in (0..outputs).step_by(width::<S>()) {
                            let b = Rows { values: &dy.values[start..], ..dy };
                            sums(
                                simd,
                                list,
                                b,
                                RowsMut { values: &mut products[start..], stride: dy.stride, add: false },
                            );
                        }
                    }
                }
            } else {
                let a = match &mut columns {
                    Some(columns) => {
                        for (k, column) in columns.values_mut().chunks_exact_mut(BLOCK).enumerate() {
                            column[..rows].copy_from_slice(&a.values[k * a.stride..][..rows]);
                        }
                        Rows { values: columns.values(), stride: BLOCK }
                    }
                    None => a,
                };
                for start in (0..outputs).step_by(width::<S>()) {
                    let b = Rows { values: &dy.values[start..], ..dy };
                    let c = RowsMut { values: &mut products.values_mut()[start..], stride: dy.stride, add: false };
                    transposed_times(simd, rows, n, a, b, c);
                }
            }
            for (out, products) in out.chunks_exact_mut(outputs).zip(products.values().chunks_exact(dy.stride)) {
                out.copy_from_slice(&products[..outputs]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One value in `one_in` is not zero; all are such that sums are exact.
    fn values(n: usize, one_in: usize) -> Vec<f32> {
        (0..n).map(|i| if i * 7919 % 101 * one_in < 101 { (i % 13) as f32 - 6.5 } else { -0.0 }).collect()
    }

    #[test]
    fn products_are_those_of_the_definition_with_many_zeros_and_with_few() {
        for [n, inputs, outputs] in
            [[1, 20, 1], [37, 50, 10], [102, 784, 128], [64, 9, 300], [5, 60, 600], [3, 2000, 33]]
        {
            for one_in in [1, 5] {
                let layer = Layer { n, inputs, outputs };
                let (x, weights) = (values(n * inputs, one_in), values(inputs * outputs, 1));
                let (bias, gradient) = (values(outputs, 1), values(n * outputs, 1));
                assert_eq!(mostly_zeros(&x, inputs), one_in > 1);
                let found = layer.forward(&x, &weights, &bias);
                for (i, found) in found.values().iter().enumerate() {
                    let (row, column) = (i / outputs, i % outputs);
                    let sum: f32 = (0..inputs).map(|k| x[row * inputs + k] * weights[k * outputs + column]).sum();
                    assert_eq!(*found, bias[column] + sum, "{layer:?}, one in {one_in}, at {i}");
                }
                let found = layer.backward_weights(&x, &gradient);
                for (i, found) in found.values().iter().enumerate() {
                    let (row, column) = (i / outputs, i % outputs);
                    let sum: f32 = (0..n).map(|k| x[k * inputs + row] * gradient[k * outputs + column]).sum();
                    assert_eq!(*found, sum, "{layer:?}, one in {one_in}, weights at {i}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none_among_zeros() {
        let layer = Layer { n: 9, inputs: 50, outputs: 2 };
        let mut x = values(9 * 50, 5);
        x[8 * 50 + 3] = f32::NAN;
        assert!(layer.forward(&x, &[1.0; 100], &[0.0; 2]).values()[16].is_nan());
        assert!(layer.backward_weights(&x, &[1.0; 18]).values()[6].is_nan());
    }
}
