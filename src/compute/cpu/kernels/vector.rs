//! Vectors of values, as numbers that can be added.

use std::ops::{Add, Div, Mul, Sub};

use pulp::Simd;

/// Runs `work` compiled for what this machine's processor can.
#[inline(always)]
pub(crate) fn on_this_machine<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// What linear maps are written for: a vector of the processor, or a plain number.
pub(crate) trait Number: Copy + Add<Output = Self> + Sub<Output = Self> {
    fn times(self, factor: f32) -> Self;
    /// `self + factor * other`, rounded once where the processor can.
    fn plus(self, factor: f32, other: Self) -> Self;
}

/// A vector of the processor.
#[derive(Clone, Copy)]
pub(crate) struct Vector<S: Simd> {
    simd: S,
    lanes: S::f32s,
}

impl<S: Simd> Vector<S> {
    #[inline(always)]
    pub fn zero(simd: S) -> Self {
        Self { simd, lanes: simd.splat_f32s(0.0) }
    }

    /// One value in all lanes.
    #[inline(always)]
    pub fn splat(simd: S, value: f32) -> Self {
        Self { simd, lanes: simd.splat_f32s(value) }
    }

    /// The first values, as many as a vector has lanes.
    #[inline(always)]
    pub fn load(simd: S, values: &[f32]) -> Self {
        Self { simd, lanes: S::as_simd_f32s(&values[..S::F32_LANES]).0[0] }
    }

    /// The first `n` values, and zeros.
    #[inline(always)]
    pub fn load_first(simd: S, values: &[f32], n: usize) -> Self {
        if n == S::F32_LANES {
            return Self::load(simd, values);
        }
        Self { simd, lanes: simd.partial_load_f32s(&values[..n]) }
    }

    #[inline(always)]
    pub fn store(self, out: &mut [f32]) {
        S::as_mut_simd_f32s(&mut out[..S::F32_LANES]).0[0] = self.lanes;
    }

    /// The first `n` lanes.
    #[inline(always)]
    pub fn store_first(self, out: &mut [f32], n: usize) {
        if n == S::F32_LANES {
            return self.store(out);
        }
        self.simd.partial_store_f32s(&mut out[..n], self.lanes);
    }
}

impl<S: Simd> Vector<S> {
    /// `self + a * b`, rounded once where the processor can.
    #[inline(always)]
    pub fn plus_product(self, a: Self, b: Self) -> Self {
        Self { lanes: self.simd.mul_add_e_f32s(a.lanes, b.lanes, self.lanes), ..self }
    }

    /// `then` in lanes where `self` is at most `limit`, and `otherwise` elsewhere, and where one is NaN.
    #[inline(always)]
    pub fn if_at_most(self, limit: Self, then: Self, otherwise: Self) -> Self {
        let mask = self.simd.less_than_or_equal_f32s(self.lanes, limit.lanes);
        Self { lanes: self.simd.select_f32s(mask, then.lanes, otherwise.lanes), ..self }
    }

    /// `then` in lanes where `self` is `other`, and `otherwise` elsewhere, and where one is NaN.
    #[inline(always)]
    pub fn if_equal(self, other: Self, then: Self, otherwise: Self) -> Self {
        let mask = self.simd.equal_f32s(self.lanes, other.lanes);
        Self { lanes: self.simd.select_f32s(mask, then.lanes, otherwise.lanes), ..self }
    }
}

impl<S: Simd> Mul for Vector<S> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self { lanes: self.simd.mul_f32s(self.lanes, other.lanes), ..self }
    }
}

impl<S: Simd> Div for Vector<S> {
    type Output = Self;

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self { lanes: self.simd.div_f32s(self.lanes, other.lanes), ..self }
    }
}

impl<S: Simd> Add for Vector<S> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self { lanes: self.simd.add_f32s(self.lanes, other.lanes), ..self }
    }
}

impl<S: Simd> Sub for Vector<S> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self { lanes: self.simd.sub_f32s(self.lanes, other.lanes), ..self }
    }
}

impl<S: Simd> Number for Vector<S> {
    #[inline(always)]
    fn times(self, factor: f32) -> Self {
        Self { lanes: self.simd.mul_f32s(self.simd.splat_f32s(factor), self.lanes), ..self }
    }

    #[inline(always)]
    fn plus(self, factor: f32, other: Self) -> Self {
        let factor = self.simd.splat_f32s(factor);
        Self { lanes: self.simd.mul_add_e_f32s(factor, other.lanes, self.lanes), ..self }
    }
}

#[cfg(test)]
impl Number for f64 {
    fn times(self, factor: f32) -> Self {
        self * Self::from(factor)
    }

    fn plus(self, factor: f32, other: Self) -> Self {
        self + Self::from(factor) * other
    }
}
