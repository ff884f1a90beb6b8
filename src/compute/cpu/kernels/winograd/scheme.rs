//! Winograd's schemes for 3x3 convolutions, one dimension of each; [`both_sides`] makes two of one.
//!
//! A scheme makes several outputs in a row out of fewer products than there are taps: Winograd, "Arithmetic Complexity of
//! Computations" (1980); Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015). What it does to
//! inputs, weights and products is linear, so gradients go back through the transposed maps, with as few products.

use std::f32::consts::SQRT_2;
use std::ops::{Add, Sub};

use crate::vector::Number;

/// `OUT` outputs in a row, made of `IN` inputs and three weights by `P` products instead of three times `OUT`:
/// `output(input(x) * weights(w))`. Each `_back` is the transpose of the map before it.
pub(in super::super) trait Scheme<const IN: usize, const OUT: usize, const P: usize>:
    Copy + Send + Sync
{
    /// How many inputs come before the one at the place of the first output.
    const MARGIN: usize;
    fn input<T: Number>(x: [T; IN]) -> [T; P];
    fn input_back<T: Number>(v: [T; P]) -> [T; IN];
    fn weights<T: Number>(w: [T; 3]) -> [T; P];
    fn weights_back<T: Number>(u: [T; P]) -> [T; 3];
    fn output<T: Number>(m: [T; P]) -> [T; OUT];
    fn output_back<T: Number>(y: [T; OUT]) -> [T; P];
}

/// Four outputs by six products, at the points 0, the roots of 1/2 and of 2 with both signs, and infinity. With these
/// points the error is about half of that with the usual 0, 1, -1, 2 and -2; the library ncnn has them too.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Four;

impl Scheme<6, 4, 6> for Four {
    const MARGIN: usize = 1;

    #[inline(always)]
    fn input<T: Number>([a, b, c, d, e, f]: [T; 6]) -> [T; 6] {
        let (p, q) = sum_and_difference(e.plus(-2.0, c), b.times(-SQRT_2).plus(SQRT_2 / 2.0, d));
        let (r, s) = sum_and_difference(e.plus(-0.5, c), b.times(-SQRT_2 / 2.0).plus(SQRT_2, d));
        [(a + e).plus(-2.5, c), p, q, r, s, (b + f).plus(-2.5, d)]
    }

    #[inline(always)]
    fn input_back<T: Number>([a, p, q, r, s, f]: [T; 6]) -> [T; 6] {
        let ((even, odd), (even_2, odd_2)) = (sum_and_difference(p, q), sum_and_difference(r, s));
        [
            a,
            f.plus(-SQRT_2, odd).plus(-SQRT_2 / 2.0, odd_2),
            a.times(-2.5).plus(-2.0, even).plus(-0.5, even_2),
            f.times(-2.5).plus(SQRT_2 / 2.0, odd).plus(SQRT_2, odd_2),
            a + even + even_2,
            f,
        ]
    }

    #[inline(always)]
    fn weights<T: Number>([a, b, c]: [T; 3]) -> [T; 6] {
        let (p, q) = sum_and_difference(a.times(-2.0 / 3.0).plus(-1.0 / 3.0, c), b.times(-SQRT_2 / 3.0));
        let (r, s) = sum_and_difference(a.times(1.0 / 6.0).plus(1.0 / 3.0, c), b.times(SQRT_2 / 6.0));
        [a, p, q, r, s, c]
    }

    #[inline(always)]
    fn weights_back<T: Number>([a, p, q, r, s, c]: [T; 6]) -> [T; 3] {
        let ((even, odd), (even_2, odd_2)) = (sum_and_difference(p, q), sum_and_difference(r, s));
        [
            a.plus(-2.0 / 3.0, even).plus(1.0 / 6.0, even_2),
            odd.times(-SQRT_2 / 3.0).plus(SQRT_2 / 6.0, odd_2),
            c.plus(1.0 / 3.0, even_2 - even),
        ]
    }

    #[inline(always)]
    fn output<T: Number>([a, p, q, r, s, f]: [T; 6]) -> [T; 4] {
        let ((even, odd), (even_2, odd_2)) = (sum_and_difference(p, q), sum_and_difference(r, s));
        [
            a + even + even_2,
            odd.times(SQRT_2 / 2.0).plus(SQRT_2, odd_2),
            (even_2 + even_2).plus(0.5, even),
            f.plus(SQRT_2 / 4.0, odd).plus(2.0 * SQRT_2, odd_2),
        ]
    }

    #[inline(always)]
    fn output_back<T: Number>([a, b, c, d]: [T; 4]) -> [T; 6] {
        let (p, q) = sum_and_difference(a.plus(0.5, c), b.times(SQRT_2 / 2.0).plus(SQRT_2 / 4.0, d));
        let (r, s) = sum_and_difference(a.plus(2.0, c), b.times(SQRT_2).plus(2.0 * SQRT_2, d));
        [a, p, q, r, s, d]
    }
}

/// Two outputs by four products, at the points 0, 1, -1 and infinity.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Two;

impl Scheme<4, 2, 4> for Two {
    const MARGIN: usize = 1;

    #[inline(always)]
    fn input<T: Number>([a, b, c, d]: [T; 4]) -> [T; 4] {
        [a - c, b + c, c - b, d - b]
    }

    #[inline(always)]
    fn input_back<T: Number>([a, b, c, d]: [T; 4]) -> [T; 4] {
        [a, b - c - d, b + c - a, d]
    }

    #[inline(always)]
    fn weights<T: Number>([a, b, c]: [T; 3]) -> [T; 4] {
        let (p, q) = sum_and_difference((a + c).times(0.5), b.times(0.5));
        [a, p, q, c]
    }

    #[inline(always)]
    fn weights_back<T: Number>([a, p, q, c]: [T; 4]) -> [T; 3] {
        let (even, odd) = sum_and_difference(p.times(0.5), q.times(0.5));
        [a + even, odd, even + c]
    }

    #[inline(always)]
    fn output<T: Number>([a, b, c, d]: [T; 4]) -> [T; 2] {
        [a + b + c, b - c + d]
    }

    #[inline(always)]
    fn output_back<T: Number>([a, b]: [T; 2]) -> [T; 4] {
        [a, a + b, a - b, b]
    }
}

/// Both outputs of two inputs, around which all is zero, by three products, as Karatsuba multiplies.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Pair;

impl Scheme<2, 2, 3> for Pair {
    const MARGIN: usize = 0;

    #[inline(always)]
    fn input<T: Number>([a, b]: [T; 2]) -> [T; 3] {
        [a + b, b, a]
    }

    #[inline(always)]
    fn input_back<T: Number>([sum, b, a]: [T; 3]) -> [T; 2] {
        [sum + a, sum + b]
    }

    #[inline(always)]
    fn weights<T: Number>([a, b, c]: [T; 3]) -> [T; 3] {
        [b, c - b, a - b]
    }

    #[inline(always)]
    fn weights_back<T: Number>([middle, right, left]: [T; 3]) -> [T; 3] {
        [left, middle - right - left, right]
    }

    #[inline(always)]
    fn output<T: Number>([both, first, second]: [T; 3]) -> [T; 2] {
        [both + first, both + second]
    }

    #[inline(always)]
    fn output_back<T: Number>([a, b]: [T; 2]) -> [T; 3] {
        [a + b, a, b]
    }
}

#[inline(always)]
fn sum_and_difference<T: Copy + Add<Output = T> + Sub<Output = T>>(a: T, b: T) -> (T, T) {
    (a + b, a - b)
}

/// A map along the columns and then along the rows of a square.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // what iterators call is not always inlined, and then has no vector instructions
pub(crate) fn both_sides<T: Number, const R: usize, const C: usize>(
    zero: T,
    map: impl Fn([T; C]) -> [T; R],
    v: [[T; C]; C],
) -> [[T; R]; R] {
    let mut half = [[zero; C]; R];
    for c in 0..C {
        let mut column = [zero; C];
        for r in 0..C {
            column[r] = v[r][c];
        }
        let column = map(column);
        for r in 0..R {
            half[r][c] = column[r];
        }
    }
    let mut both = [[zero; R]; R];
    for r in 0..R {
        both[r] = map(half[r]);
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot<const N: usize>(a: [f64; N], b: [f64; N]) -> f64 {
        a.iter().zip(&b).map(|(a, b)| a * b).sum()
    }

    fn some<const N: usize>(seed: usize) -> [f64; N] {
        std::array::from_fn(|i| ((i + 1) * 37 * seed % 41) as f64 - 20.0)
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}"); // the factors are single precision
    }

    fn check<W: Scheme<IN, OUT, P>, const IN: usize, const OUT: usize, const P: usize>() {
        for seed in 1..9 {
            let (x, w): ([f64; IN], [f64; 3]) = (some(seed), some(seed + 5));
            let (v, u) = (W::input(x), W::weights(w));
            let found = W::output(std::array::from_fn(|p| v[p] * u[p]));
            for (i, found) in found.into_iter().enumerate() {
                let tap =
                    |k: usize| (i + k + W::MARGIN).checked_sub(1).and_then(|at| x.get(at)).map_or(0.0, |x| x * w[k]);
                close(found, (0..3).map(tap).sum());
            }
            // <A x, y> = <x, Aᵀ y>
            let (p, y): ([f64; P], [f64; OUT]) = (some(seed + 2), some(seed + 3));
            close(dot(W::input(x), p), dot(x, W::input_back(p)));
            close(dot(W::weights(w), p), dot(w, W::weights_back(p)));
            close(dot(W::output(p), y), dot(p, W::output_back(y)));
        }
    }

    #[test]
    fn schemes_convolve_and_gradients_go_back_through_the_transposed_maps() {
        check::<Four, 6, 4, 6>();
        check::<Two, 4, 2, 4>();
        check::<Pair, 2, 2, 3>();
    }
}
