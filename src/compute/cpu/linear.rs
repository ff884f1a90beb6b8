//! Linear layers.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};

use super::memory::Buffer;
use super::product::{Rows, RowsMut, panel_width, row_stride, times_panel, transposed_times, width};
use super::tensors::{Primitive, contiguous, matrix, matrix_of, slice, track, tracked, vector};
use super::threads::{each, share};

/// Batches below this are left to burn, which need not bring the weights into panels first.
const FEW: usize = 8;
/// Multiply-adds that a task has at least: waking another core takes as long as some hundred thousand.
const TASK: usize = 1 << 20;
/// Rows that are worked on together: a multiple of what the registers hold.
const BLOCK: usize = 48;

/// Vectors `[n, inputs]` times weights `[inputs, outputs]` plus a bias `[outputs]`, on the CPU backend, training or not; `None`
/// elsewhere, and for a few vectors.
pub fn linear(x: &Tensor<2>, weights: &Tensor<2>, bias: &Tensor<1>) -> Option<Tensor<2>> {
    let ([n, inputs], [_, outputs]) = (x.dims(), weights.dims());
    if n < FEW {
        return None;
    }
    let sizes = Sizes { n, inputs, outputs };
    let (images, matrix) = (matrix(x)?, matrix(weights)?);
    let mut out = Buffer::new(n * outputs);
    let panels = panels(slice(&matrix), (outputs, 1), (inputs, outputs));
    multiply(sizes, slice(&images), panels.values(), &vector(bias)?, out.values_mut());
    let out = contiguous(out, [n, outputs]);
    if !weights.device().is_autodiff() {
        return Some(Tensor::from_primitive::<Flex>(out));
    }
    let inputs = [&tracked(x)?, &tracked(weights)?, &tracked(bias)?];
    Some(track(Linear(sizes), inputs, (images, matrix), out))
}

#[derive(Debug, Clone, Copy)]
struct Sizes {
    n: usize,
    inputs: usize,
    outputs: usize,
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

/// `out [n, outputs]` is `x [n, inputs]` times panels, plus a bias, or none if that is empty.
fn multiply(Sizes { n, inputs, outputs }: Sizes, x: &[f32], panels: &[f32], bias: &[f32], out: &mut [f32]) {
    let share = share(n, TASK.div_ceil(inputs * outputs)).next_multiple_of(BLOCK);
    let tasks = x.chunks(share * inputs).zip(out.chunks_mut(share * outputs));
    each(tasks.collect(), |(x, out)| Arch::new().dispatch(Multiply { inputs, outputs, x, panels, bias, out }));
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

/// `out [inputs, outputs]` is the transpose of `x [n, inputs]` times `dy [n, outputs]`.
fn weights_gradient(Sizes { n, inputs, outputs }: Sizes, x: &[f32], dy: &[f32], out: &mut [f32]) {
    let stride = row_stride(outputs, panel_width());
    let mut padded = Buffer::new(n * stride);
    for (padded, dy) in padded.values_mut().chunks_exact_mut(stride).zip(dy.chunks_exact(outputs)) {
        padded[..outputs].copy_from_slice(dy);
        padded[outputs..].fill(0.0);
    }
    let share = share(inputs, TASK.div_ceil(n * outputs)).next_multiple_of(BLOCK);
    let tasks = out.chunks_mut(share * outputs).enumerate();
    each(tasks.collect(), |(i, out)| {
        let x = Rows { values: &x[i * share..], stride: inputs };
        let dy = Rows { values: padded.values(), stride };
        Arch::new().dispatch(Transposed { n, outputs, x, dy, out });
    });
}

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

/// Gradients of a linear layer with respect to vectors, weights and bias.
#[derive(Debug)]
struct Linear(Sizes);

impl Backward<Flex, 3> for Linear {
    type State = (Primitive, Primitive);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_x, of_weights, of_bias], (x, weights), sizes) = (ops.parents, ops.state, self.0);
        let Sizes { n, inputs, outputs } = sizes;
        let Some(gradient) = matrix_of(grads.consume::<Flex>(&ops.node)) else { return };
        let dy = slice(&gradient);
        if let Some(node) = of_x {
            let mut out = Buffer::new(n * inputs);
            let panels = panels(slice(&weights), (inputs, outputs), (outputs, 1));
            let back = Sizes { n, inputs: outputs, outputs: inputs };
            multiply(back, dy, panels.values(), &[], out.values_mut());
            grads.register::<Flex>(node.id, contiguous(out, [n, inputs]));
        }
        if let Some(node) = of_weights {
            let mut out = Buffer::new(inputs * outputs);
            weights_gradient(sizes, slice(&x), dy, out.values_mut());
            grads.register::<Flex>(node.id, contiguous(out, [inputs, outputs]));
        }
        if let Some(node) = of_bias {
            let mut sums = vec![0.0; outputs];
            for row in dy.chunks_exact(outputs) {
                sums.iter_mut().zip(row).for_each(|(sum, dy)| *sum += dy);
            }
            grads.register::<Flex>(node.id, contiguous(Buffer::of(&sums), [outputs]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensors::testing::{close, random};
    use super::*;

    #[test]
    fn linear_is_burns_forward_and_backward() {
        for [n, inputs, outputs] in [[8, 1, 1], [61, 33, 10], [500, 784, 128], [9, 40, 64]] {
            let (x, weights) = (random([n, inputs], -1.0, 1.0), random([inputs, outputs], -0.1, 0.1));
            let (bias, pick) = (random([outputs], -1.0, 1.0), random([n, outputs], -1.0, 1.0));
            let run = |y: Tensor<2>| {
                let gradients = (y.clone() * pick.clone()).sum().backward();
                let of_matrices = [y.inner(), x.grad(&gradients).unwrap(), weights.grad(&gradients).unwrap()];
                (of_matrices, bias.grad(&gradients).unwrap())
            };
            let expected = run(burn::tensor::module::linear(x.clone(), weights.clone(), Some(bias.clone())));
            let found = run(linear(&x, &weights, &bias).unwrap());
            let plain = linear(&x.clone().inner(), &weights.clone().inner(), &bias.clone().inner()).unwrap();
            close(plain, expected.0[0].clone());
            found.0.into_iter().zip(expected.0).for_each(|(found, expected)| close(found, expected));
            close(found.1, expected.1);
        }
    }
}
