//! Muon (Keller Jordan, 2024): the momentum of a matrix is replaced by the nearest matrix whose rows, or columns, are at right
//! angles and of length 1, so that a step goes equally far in every direction.
//!
//! Here it is the rule of convolutions' filters `[outputs, inputs * kernel * kernel]`, as in airbench: before every step their
//! weights are scaled to a fixed length, the root of the number of outputs. burn-optim's Muon takes matrices alone and does not
//! scale weights; the iteration is the same.

use burn::tensor::Tensor;

use crate::recipe::OptimizerConfig;

/// Newton-Schulz iterations. Three leave singular values between 0.5 and 1.5, which is near enough.
const ITERATIONS: usize = 3;
/// The coefficients of an iteration `a x + b x x^T x + c (x x^T)^2 x`, chosen by Keller Jordan so that small singular values grow
/// fast.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// Added to the length of a matrix, which may be 0.
const EPSILON: f64 = 1e-7;

/// The rule for filters at one step.
#[derive(Debug, Clone, Copy)]
pub struct Filters {
    rate: f64,
    momentum: f64,
    nesterov: bool,
}

impl Filters {
    /// The rule where an optimizer has one for filters, at a learning rate of the other parameters.
    pub fn of(config: OptimizerConfig, rate: f32) -> Option<Self> {
        match config {
            OptimizerConfig::Muon { nesterov, filter_rate, filter_momentum, .. } => {
                Some(Self { rate: f64::from(rate) * filter_rate, momentum: filter_momentum, nesterov })
            }
            _ => None,
        }
    }

    /// New weights `[outputs, values]` and velocity, of the same shape.
    pub fn step(self, weights: Tensor<2>, gradient: Tensor<2>, velocity: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let Self { rate, momentum, nesterov } = self;
        let velocity = velocity * momentum + gradient.clone();
        let direction = if nesterov { gradient + velocity.clone() * momentum } else { velocity.clone() };
        let length = (weights.dims()[0] as f64).sqrt();
        let scaled = weights.clone() / (length_of(&weights) + EPSILON) * length;
        (scaled - orthogonal(direction) * rate, velocity)
    }
}

/// The root of the sum of squares, `[1, 1]`.
fn length_of(matrix: &Tensor<2>) -> Tensor<2> {
    matrix.clone().square().sum().sqrt().reshape([1, 1])
}

/// The nearest matrix whose singular values are all about 1.
fn orthogonal(matrix: Tensor<2>) -> Tensor<2> {
    let [rows, columns] = matrix.dims();
    let is_high = rows > columns;
    let matrix = if is_high { matrix.transpose() } else { matrix };
    let length = length_of(&matrix) + EPSILON;
    let [a, b, c] = COEFFICIENTS;
    let mut x = matrix / length;
    for _ in 0..ITERATIONS {
        let square = x.clone().matmul(x.clone().transpose());
        let polynomial = square.clone() * b + square.clone().matmul(square) * c;
        x = x.clone() * a + polynomial.matmul(x);
    }
    if is_high { x.transpose() } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    fn random(shape: [usize; 2]) -> Tensor<2> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    const MUON: OptimizerConfig = OptimizerConfig::Muon {
        momentum: 0.85,
        nesterov: true,
        weight_decay: 0.0,
        filter_rate: 0.5,
        filter_momentum: 0.6,
    };

    #[test]
    fn directions_come_out_equally_long_and_at_right_angles() {
        for shape in [[6, 40], [40, 6]] {
            let x = orthogonal(random(shape));
            let short =
                if shape[0] < shape[1] { x.clone().matmul(x.transpose()) } else { x.clone().transpose().matmul(x) };
            for (i, value) in values(short).into_iter().enumerate() {
                let expected = if i / 6 == i % 6 { 1.0 } else { 0.0 };
                assert!((value - expected).abs() < 0.6, "{shape:?} {i}: {value}");
            }
        }
        assert!(values(orthogonal(Tensor::zeros([3, 4], &Device::flex()))).iter().all(|value| *value == 0.0));
    }

    #[test]
    fn filters_have_a_fixed_length_and_momentum_as_sgd() {
        let filters = Filters::of(MUON, 0.2).unwrap();
        let (weights, gradient) = (random([8, 12]), random([8, 12]));
        let (stepped, velocity) = filters.step(weights.clone(), gradient.clone(), gradient.clone());
        let expected: Vec<f32> = values(gradient.clone()).iter().map(|g| 1.6 * g).collect();
        assert!(values(velocity).iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
        // Without a gradient the step only scales.
        let (scaled, _) = filters.step(weights, gradient.zeros_like(), gradient.zeros_like());
        assert!((values(length_of(&scaled))[0] - 8f32.sqrt()).abs() < 1e-4);
        // A step goes as far as it should, in the direction of the gradient.
        let step = scaled - stepped;
        assert!((values(length_of(&step))[0] / (0.1 * 8f32.sqrt()) - 1.0).abs() < 0.3);
        assert!(values((step * gradient).sum().reshape([1, 1]))[0] > 0.0);
    }
}
