//! GELU: x times the share of a normal distribution that lies below x (Hendrycks and Gimpel, 2016).

use pulp::{Arch, Simd, WithSimd};

use crate::memory::Buffer;
use crate::threads::each;
use crate::vector::Vector;

/// Values that one core takes at a time: so many that waking another is worth it.
const PART: usize = 32 * 1024;
/// From here on the share is 1 in single precision, and 0 below the negative.
const END: f32 = 5.5;

/// A function that is odd around the value 1/2 at 0, between `-END` and `END`: `1/2 + x * p(x^2) / q(x^2)`. Its polynomials are
/// fitted to it in double precision by least squares that are weighted anew until the largest error is smallest (Lawson, 1961).
struct Curve {
    p: [f32; 6],
    q: [f32; 6],
}

/// The share of the distribution below x, to 2e-7.
#[allow(clippy::excessive_precision)] // as fitted
const SHARE: Curve = Curve {
    p: [0.398942232, 0.0338526480, 0.00467726029, 0.000168825602, 6.35210836e-6, 2.27493508e-8],
    q: [1.0, 0.251521915, 0.0286458712, 0.00188444450, 7.36474249e-5, 1.19750280e-6],
};

/// The slope of GELU, to 6e-7.
#[allow(clippy::excessive_precision)] // as fitted
const SLOPE: Curve = Curve {
    p: [0.797885299, -0.0309439264, 0.0142190410, 2.05929227e-5, 3.58032266e-5, 1.90872569e-7],
    q: [1.0, 0.294558734, 0.0409885161, 0.00352182030, 0.000192060324, 8.88713203e-6],
};

impl Curve {
    /// The value at x; NaN stays.
    #[inline(always)]
    fn at<S: Simd>(&self, simd: S, x: Vector<S>) -> Vector<S> {
        let (zero, end) = (Vector::zero(simd), Vector::splat(simd, END));
        let low = zero - end;
        let inside = end.if_at_most(x, end, low.if_at_most(x, x, low));
        // What compares with nothing is not inside either.
        let inside = x.if_equal(x, inside, x);
        let square = inside * inside;
        let (mut p, mut q) = (Vector::splat(simd, self.p[5]), Vector::splat(simd, self.q[5]));
        for k in [4, 3, 2, 1, 0] {
            p = Vector::splat(simd, self.p[k]).plus_product(p, square);
            q = Vector::splat(simd, self.q[k]).plus_product(q, square);
        }
        let value = Vector::splat(simd, 0.5).plus_product(inside, p / q);
        // Far below, the rounding of the curve would be multiplied with a large x.
        x.if_at_most(low, zero, value)
    }
}

/// GELU of values.
#[inline(always)]
pub(crate) fn value<S: Simd>(simd: S, x: Vector<S>) -> Vector<S> {
    x * SHARE.at(simd, x)
}

/// The slope of GELU at values.
#[inline(always)]
pub(crate) fn slope<S: Simd>(simd: S, x: Vector<S>) -> Vector<S> {
    SLOPE.at(simd, x)
}

/// GELU of all values.
pub fn forward(x: &[f32]) -> Buffer {
    let mut out = Buffer::new(x.len());
    let tasks = x.chunks(PART).zip(out.values_mut().chunks_mut(PART));
    each(tasks.collect(), |(x, out)| Arch::new().dispatch(Forward { x, out }));
    out
}

/// The gradient of `x` by that of its GELU.
pub fn backward(x: &[f32], gradient: &[f32]) -> Buffer {
    let mut out = Buffer::new(x.len());
    let tasks = x.chunks(PART).zip(gradient.chunks(PART)).zip(out.values_mut().chunks_mut(PART));
    each(tasks.collect(), |((x, dy), out)| Arch::new().dispatch(Backward { x, dy, out }));
    out
}

struct Forward<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (x, out) in self.x.chunks(S::F32_LANES).zip(self.out.chunks_mut(S::F32_LANES)) {
            value(simd, Vector::load_first(simd, x, x.len())).store_first(out, x.len());
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let parts = self.x.chunks(S::F32_LANES).zip(self.dy.chunks(S::F32_LANES));
        for ((x, dy), out) in parts.zip(self.out.chunks_mut(S::F32_LANES)) {
            let slope = slope(simd, Vector::load_first(simd, x, x.len()));
            (Vector::load_first(simd, dy, dy.len()) * slope).store_first(out, x.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of a normal distribution below x, and its density there: by the series of Marsaglia (2004).
    fn normal(x: f64) -> (f64, f64) {
        let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let (mut term, mut sum, mut k) = (x, x, 1.0);
        while term.abs() > 1e-18 * sum.abs() {
            k += 2.0;
            term *= x * x / k;
            sum += term;
        }
        (0.5 + sum * density, density)
    }

    #[test]
    fn gelu_and_its_slope_are_those_of_the_definition() {
        let x: Vec<f32> = (-8000..=8000).map(|i| i as f32 / 1000.0).collect();
        let (values, slopes) = (forward(&x), backward(&x, &vec![2.0; x.len()]));
        for ((&x, &value), &slope) in x.iter().zip(values.values()).zip(slopes.values()) {
            let (share, density) = normal(f64::from(x));
            let error = f64::from(value) - f64::from(x) * share;
            assert!(error.abs() < 3e-7 * f64::from(x).abs().max(1.0), "{x}: {value}");
            let error = f64::from(slope) / 2.0 - (share + f64::from(x) * density);
            assert!(error.abs() < 1e-6, "{x}: {slope}");
        }
    }

    #[test]
    fn what_is_no_number_stays_none_and_what_is_far_off_has_its_limit() {
        let far = [-1e30, -100.0, 0.0, 100.0, 1e30];
        assert_eq!(forward(&far).values()[..3], [0.0, 0.0, 0.0]);
        assert!((forward(&far).values()[3] - 100.0).abs() < 1e-4);
        assert_eq!(backward(&far, &[1.0; 5]).values()[..2], [0.0, 0.0]);
        let odd = [f32::NAN; 3];
        assert!(forward(&odd).values().iter().chain(backward(&odd, &[1.0; 3]).values()).all(|value| value.is_nan()));
    }
}
