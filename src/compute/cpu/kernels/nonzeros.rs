//! Products with vectors most of whose values are zero, as pictures of digits are: zeros are passed over.
//!
//! A zero adds nothing to a sum, so nothing changes but how sums are rounded. A position is passed over where a few vectors
//! are zero together; so each row of the other matrix that is fetched serves several sums.

use pulp::{Simd, WithSimd};

use crate::memory::LINE;
use crate::product::{Rows, RowsMut, VECTORS, store, width};

/// Vectors whose values show whether most are zero.
const SAMPLE: usize = 16;
/// One value in so many may be another than zero.
const ONE_IN: usize = 3;
/// Sums that go on together.
pub(crate) const TOGETHER: usize = 4;

/// Whether passing over zeros pays for vectors `x [n, inputs]`, going by the first ones.
pub(crate) fn mostly_zeros(x: &[f32], inputs: usize) -> bool {
    let sample = &x[..x.len().min(SAMPLE * inputs)];
    sample.iter().filter(|value| **value != 0.0).count() * ONE_IN <= sample.len()
}

/// Columns whose lists are made at a time: a line of the cache.
pub(crate) const COLUMNS: usize = LINE;

/// The positions at which not all of [`TOGETHER`] vectors are zero, and their values there.
#[derive(Debug, Default)]
pub(crate) struct List {
    positions: Vec<u32>,
    factors: Vec<[f32; TOGETHER]>,
    /// Whether there is another value than zero at each position.
    any: Vec<u8>,
}

/// Whether one of the values is not zero; a zero may have a sign.
#[inline(always)]
fn any(values: [f32; TOGETHER]) -> bool {
    let [a, b]: [u64; 2] = bytemuck::cast(values);
    (a | b) & 0x7fff_ffff_7fff_ffff != 0
}

impl List {
    /// Makes it the list of rows of `inputs` values, one after the other, at most [`TOGETHER`].
    #[inline(always)]
    pub(crate) fn of_rows(&mut self, rows: &[f32], inputs: usize) {
        // Where there are fewer, the last one is there several times.
        let last = rows.len() / inputs - 1;
        let [a, b, c, d] = std::array::from_fn(|i| &rows[i.min(last) * inputs..][..inputs]);
        self.any.resize(inputs, 0);
        for (any, (((&a, &b), &c), &d)) in self.any.iter_mut().zip(a.iter().zip(b).zip(c).zip(d)) {
            *any = u8::from((a.to_bits() | b.to_bits() | c.to_bits() | d.to_bits()) << 1 != 0);
        }
        self.positions.resize(inputs, 0);
        let mut count = 0;
        for (position, &any) in self.any.iter().enumerate() {
            self.positions[count] = position as u32; // the next one takes its place if this one is not to stay
            count += usize::from(any);
        }
        self.positions.truncate(count);
        self.factors.resize(count, [0.0; TOGETHER]);
        for (factors, &position) in self.factors.iter_mut().zip(&self.positions) {
            *factors = [a, b, c, d].map(|row| row[position as usize]);
        }
    }
}

/// The lists of every [`TOGETHER`] of the first `columns` columns of `x [n, ..]`, at most [`COLUMNS`].
#[inline(always)]
pub(crate) fn of_columns(x: Rows, n: usize, columns: usize, lists: &mut [List; COLUMNS / TOGETHER]) {
    let mut counts = [0; COLUMNS / TOGETHER];
    for list in lists.iter_mut() {
        list.positions.resize(n, 0);
        list.factors.resize(n, [0.0; TOGETHER]);
    }
    for (position, row) in x.values.chunks(x.stride).take(n).enumerate() {
        let mut padded = [0.0; COLUMNS];
        let line = row.first_chunk().filter(|_| columns == COLUMNS).unwrap_or_else(|| {
            padded[..columns].copy_from_slice(&row[..columns]);
            &padded
        });
        for ((factors, list), count) in line.as_chunks().0.iter().zip(lists.iter_mut()).zip(&mut counts) {
            list.positions[*count] = position as u32; // as above
            list.factors[*count] = *factors;
            *count += usize::from(any(*factors));
        }
    }
    for (list, count) in lists.iter_mut().zip(counts) {
        list.positions.truncate(count);
        list.factors.truncate(count);
    }
}

/// The first vectors' sums `c [rows, width]`, rows at most [`TOGETHER`]: of the rows of `b` at the list's positions, times its
/// factors.
#[inline(always)]
pub(crate) fn sums<S: Simd>(simd: S, list: &List, b: Rows, c: RowsMut) {
    simd.vectorize(Sums { list, b, c });
}

struct Sums<'a> {
    list: &'a List,
    b: Rows<'a>,
    c: RowsMut<'a>,
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { list, b, c } = self;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; TOGETHER];
        for (position, factors) in list.positions.iter().zip(&list.factors) {
            let b = &S::as_simd_f32s(&b.values[*position as usize * b.stride..][..width::<S>()]).0[..VECTORS];
            for (&factor, sums) in factors.iter().zip(&mut sums) {
                let factor = simd.splat_f32s(factor);
                for (sum, &b) in sums.iter_mut().zip(b) {
                    *sum = simd.mul_add_e_f32s(factor, b, *sum);
                }
            }
        }
        store(simd, &sums, c.values, c.stride, c.add);
    }
}
