//! Products of matrices that lie in the cache: what the convolutions spend their time in.
//!
//! The right matrix comes in *panels* of [`width`] columns, whose rows lie one after the other. A block of rows of the
//! result stays in registers while it is summed up. On one core of an AMD EPYC with AVX-512 this reaches 114 GFLOP/s of
//! the 115 there are, where the crate `gemm`, which has to pack its operands at every call, reaches 105.

use pulp::{Simd, WithSimd};

use crate::memory::LINE;

/// Vectors in a row of a panel.
pub(crate) const VECTORS: usize = 2;

/// The largest number of values in a vector.
pub(crate) const MAX_LANES: usize = 16;

/// Columns of a panel.
pub(crate) const fn width<S: Simd>() -> usize {
    VECTORS * S::F32_LANES
}

/// The distance of rows of so many values in working memory: whole panels, and a line more, because rows at distances of a
/// power of two would throw each other out of the cache.
pub(crate) const fn row_stride(values: usize, panel_width: usize) -> usize {
    values.next_multiple_of(panel_width) + LINE
}

/// The columns of a panel on this machine.
pub(crate) fn panel_width() -> usize {
    struct Width;
    impl WithSimd for Width {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            width::<S>()
        }
    }
    pulp::Arch::new().dispatch(Width)
}

/// A matrix in memory, its rows `stride` values apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub values: &'a [f32],
    pub stride: usize,
}

/// A matrix in memory that is written, its rows `stride` values apart; or added to.
pub(crate) struct RowsMut<'a> {
    pub values: &'a mut [f32],
    pub stride: usize,
    pub add: bool,
}

/// Runs `$block` for as many rows as the registers hold, block after block, until all `$rows` are done.
macro_rules! in_blocks {
    ($simd:ident, $rows:expr, $first:ident => $block:ident { $($field:ident: $value:expr),* $(,)? }) => {
        let mut $first = 0;
        // 12 rows of two vectors, one more vector for each row's factor, and the panel's: of 32 registers.
        if S::REGISTER_COUNT >= 32 {
            in_blocks!(@ $simd, $rows, $first, 12, $block { $($field: $value),* });
            in_blocks!(@ $simd, $rows, $first, 8, $block { $($field: $value),* });
        } else {
            in_blocks!(@ $simd, $rows, $first, 6, $block { $($field: $value),* });
        }
        in_blocks!(@ $simd, $rows, $first, 4, $block { $($field: $value),* });
        in_blocks!(@ $simd, $rows, $first, 1, $block { $($field: $value),* });
    };
    (@ $simd:ident, $rows:expr, $first:ident, $n:literal, $block:ident { $($field:ident: $value:expr),* }) => {
        while $rows - $first >= $n {
            $simd.vectorize($block::<$n> { $($field: $value),* });
            $first += $n;
        }
    };
}

/// Products that are added up in one go. The error of a sum grows with its length; of sums of sums it grows far less.
const PART: usize = 64;

/// c `[rows, width]` is a `[rows, depth]` times a panel `[depth, width]`.
#[inline(always)]
pub(crate) fn times_panel<S: Simd>(simd: S, rows: usize, depth: usize, a: Rows, panel: &[f32], c: RowsMut) {
    in_blocks!(simd, rows, first => RowBlock {
        depth: depth,
        a: Rows { values: &a.values[first * a.stride..], stride: a.stride },
        panel: panel,
        c: RowsMut { values: &mut c.values[first * c.stride..], ..c },
    });
}

struct RowBlock<'a, const R: usize> {
    depth: usize,
    a: Rows<'a>,
    panel: &'a [f32],
    c: RowsMut<'a>,
}

impl<const R: usize> WithSimd for RowBlock<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { depth, a, panel, c } = self;
        let panel = &S::as_simd_f32s(panel).0.as_chunks::<VECTORS>().0[..depth];
        for (part, panel) in panel.chunks(PART).enumerate() {
            let rows: [&[f32]; R] = std::array::from_fn(|i| &a.values[i * a.stride + part * PART..][..panel.len()]);
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; R];
            for (i, panel) in panel.iter().enumerate() {
                for (row, sums) in rows.iter().zip(&mut sums) {
                    let factor = simd.splat_f32s(row[i]);
                    for (sum, &b) in sums.iter_mut().zip(panel) {
                        *sum = simd.mul_add_e_f32s(factor, b, *sum);
                    }
                }
            }
            store(simd, &sums, c.values, c.stride, c.add || part > 0);
        }
    }
}

/// c `[rows, width]` is the transpose of a `[depth, rows]` times b `[depth, width]`, whose rows are parts of longer ones.
#[inline(always)]
pub(crate) fn transposed_times<S: Simd>(simd: S, rows: usize, depth: usize, a: Rows, b: Rows, c: RowsMut) {
    in_blocks!(simd, rows, first => ColumnBlock {
        depth: depth,
        a: Rows { values: &a.values[first..], stride: a.stride },
        b: b,
        c: RowsMut { values: &mut c.values[first * c.stride..], ..c },
    });
}

struct ColumnBlock<'a, const R: usize> {
    depth: usize,
    a: Rows<'a>,
    b: Rows<'a>,
    c: RowsMut<'a>,
}

impl<const R: usize> WithSimd for ColumnBlock<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { depth, a, b, c } = self;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; R];
        for (a, b) in a.values.chunks(a.stride).zip(b.values.chunks(b.stride)).take(depth) {
            let (a, b) = (&a[..R], &S::as_simd_f32s(&b[..width::<S>()]).0[..VECTORS]);
            for (&a, sums) in a.iter().zip(&mut sums) {
                let factor = simd.splat_f32s(a);
                for (sum, &b) in sums.iter_mut().zip(b) {
                    *sum = simd.mul_add_e_f32s(factor, b, *sum);
                }
            }
        }
        store(simd, &sums, c.values, c.stride, c.add);
    }
}

#[inline(always)]
pub(crate) fn store<S: Simd, const R: usize>(
    simd: S,
    sums: &[[S::f32s; VECTORS]; R],
    c: &mut [f32],
    stride: usize,
    add: bool,
) {
    for (i, sums) in sums.iter().enumerate() {
        let row = S::as_mut_simd_f32s(&mut c[i * stride..][..width::<S>()]).0;
        for (out, &sum) in row.iter_mut().zip(sums) {
            *out = if add { simd.add_f32s(*out, sum) } else { sum };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Both<'a> {
        rows: usize,
        depth: usize,
        a: &'a [f32],
        transposed: &'a [f32],
        b: &'a [f32],
    }

    impl WithSimd for Both<'_> {
        type Output = [Vec<f32>; 2];

        fn with_simd<S: Simd>(self, simd: S) -> [Vec<f32>; 2] {
            let Self { rows, depth, a, transposed, b } = self;
            let stride = width::<S>();
            let mut found = [vec![1.0; rows * stride], vec![1.0; rows * stride]];
            let [first, second] = &mut found;
            let rows_of = |values, add| RowsMut { values, stride, add };
            times_panel(simd, rows, depth, Rows { values: a, stride: depth }, b, rows_of(first, false));
            let transposed = Rows { values: transposed, stride: rows };
            transposed_times(simd, rows, depth, transposed, Rows { values: b, stride }, rows_of(second, true));
            found
        }
    }

    #[test]
    fn products_are_those_of_the_definition() {
        let width = panel_width();
        for (rows, depth) in [(1, 1), (5, 3), (12, 7), (13, 20), (31, 9)] {
            let a: Vec<f32> = (0..rows * depth).map(|i| (i * 37 % 19) as f32 - 9.0).collect();
            let transposed: Vec<f32> = (0..rows * depth).map(|i| a[i % rows * depth + i / rows]).collect();
            let b: Vec<f32> = (0..depth * width).map(|i| (i * 53 % 23) as f32 - 11.0).collect();
            let value =
                |row: usize, column: usize| (0..depth).map(|k| a[row * depth + k] * b[k * width + column]).sum();
            let expected: Vec<f32> = (0..rows * width).map(|i| value(i / width, i % width)).collect();
            let both = Both { rows, depth, a: &a, transposed: &transposed, b: &b };
            let [product, added] = pulp::Arch::new().dispatch(both);
            assert_eq!(product, expected, "{rows} {depth}");
            assert_eq!(added, expected.iter().map(|v| v + 1.0).collect::<Vec<f32>>(), "{rows} {depth}");
        }
    }
}
