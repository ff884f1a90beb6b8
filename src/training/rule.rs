//! The rules of PyTorch's SGD, Adam and AdamW: what a step makes of a weight, its gradient, and what is remembered of earlier ones.
//! What Muon has no rule of its own for goes by SGD's.
//!
//! A rule is written three times, for whole vectors of any device, for values on the host, and in `shaders/update.wgsl`; the
//! tests hold the three together, and all of them against PyTorch.

use burn::tensor::Tensor;
use tinderbox_kernels::update;

use crate::compute::shaders::Rule;
use crate::recipe::OptimizerConfig;

/// Adam's decay of the mean of gradients, PyTorch's default.
const BETA_1: f64 = 0.9;
/// Adam's decay of the mean of squared gradients, PyTorch's default.
const BETA_2: f64 = 0.999;
/// Added to the root in Adam's denominator, PyTorch's default.
const EPSILON: f32 = 1e-8;
/// What a rule remembers, by the names in a saved state.
pub fn names(config: OptimizerConfig) -> &'static [&'static str] {
    match config {
        OptimizerConfig::Sgd { momentum: 0.0, .. } => &[],
        OptimizerConfig::Sgd { .. } | OptimizerConfig::Muon { .. } => &["momentum"],
        OptimizerConfig::Adam { .. } | OptimizerConfig::AdamW { .. } => &["first_moment", "second_moment"],
    }
}

/// The factors of one step.
#[derive(Debug, Clone, Copy)]
pub struct Factors {
    /// The learning rate.
    pub rate: f32,
    /// The learning rate divided by Adam's correction of the first moment; else the learning rate.
    pub step_size: f32,
    /// The root of Adam's correction of the second moment; else 1.
    pub root_correction: f32,
}

impl Factors {
    /// The factors of the step with this number, counted from 1.
    pub fn of(config: OptimizerConfig, learning_rate: f64, step: u64) -> Self {
        let (first, second) = match config {
            OptimizerConfig::Sgd { .. } | OptimizerConfig::Muon { .. } => (1.0, 1.0),
            OptimizerConfig::Adam { .. } | OptimizerConfig::AdamW { .. } => {
                (1.0 - BETA_1.powf(step as f64), (1.0 - BETA_2.powf(step as f64)).sqrt())
            }
        };
        Self { rate: learning_rate as f32, step_size: (learning_rate / first) as f32, root_correction: second as f32 }
    }

    /// Those at a share of the learning rate.
    pub fn at(self, share: f64) -> Self {
        let of = |rate: f32| (f64::from(rate) * share) as f32;
        Self { rate: of(self.rate), step_size: of(self.step_size), ..self }
    }
}

/// A step over whole vectors, composed of burn's operations: new weights and moments.
pub fn composed(
    config: OptimizerConfig,
    Factors { rate, step_size, root_correction }: Factors,
    weights: Tensor<1>,
    gradient: Tensor<1>,
    moments: Vec<Tensor<1>>,
) -> (Tensor<1>, Vec<Tensor<1>>) {
    let regularized = |gradient: Tensor<1>, decay: f64| {
        if decay == 0.0 { gradient } else { gradient + weights.clone() * decay }
    };
    let mut moments = moments.into_iter();
    match (config, moments.next(), moments.next()) {
        (
            OptimizerConfig::Sgd { momentum, nesterov, weight_decay }
            | OptimizerConfig::Muon { momentum, nesterov, weight_decay, .. },
            Some(velocity),
            _,
        ) => {
            let gradient = regularized(gradient, weight_decay);
            let velocity = velocity * momentum + gradient.clone();
            let change = if nesterov { gradient + velocity.clone() * momentum } else { velocity.clone() };
            (weights - change * rate, vec![velocity])
        }
        (OptimizerConfig::Sgd { weight_decay, .. } | OptimizerConfig::Muon { weight_decay, .. }, ..) => {
            let change = regularized(gradient, weight_decay) * rate;
            (weights - change, Vec::new())
        }
        (OptimizerConfig::Adam { weight_decay } | OptimizerConfig::AdamW { weight_decay }, first, second) => {
            let decoupled = matches!(config, OptimizerConfig::AdamW { .. });
            let gradient = if decoupled { gradient } else { regularized(gradient, weight_decay) };
            let zeros = || gradient.zeros_like();
            let first = first.unwrap_or_else(zeros) * BETA_1 + gradient.clone() * (1.0 - BETA_1);
            let second = second.unwrap_or_else(zeros) * BETA_2 + gradient.square() * (1.0 - BETA_2);
            let change = first.clone() * step_size / (second.clone().sqrt() / root_correction + EPSILON);
            let weights = if decoupled { weights * (1.0 - rate * weight_decay as f32) } else { weights };
            (weights - change, vec![first, second])
        }
    }
}

/// A step over a parameter's values where they lie, on all cores: the twin of [`composed`]. `moments` are as long as the
/// weights, or empty where the rule has none.
pub fn in_place(
    config: OptimizerConfig,
    factors: Factors,
    weights: &mut [f32],
    gradient: &[f32],
    moments: [&mut [f32]; 2],
) {
    update::step(of_cpu(config, factors), weights, gradient, moments);
}

/// The rule with its factors, for values on the host.
fn of_cpu(config: OptimizerConfig, Factors { rate, step_size, root_correction }: Factors) -> update::Rule {
    let adam = |coupled: f64, shrink: f32| {
        let (betas, coupled) = ([BETA_1, BETA_2], coupled as f32);
        update::Rule::Adam { betas, epsilon: EPSILON, step_size, root_correction, coupled, shrink }
    };
    match config {
        OptimizerConfig::Sgd { momentum: 0.0, weight_decay, .. } => {
            update::Rule::Plain { rate, decay: weight_decay as f32 }
        }
        OptimizerConfig::Sgd { momentum, nesterov, weight_decay }
        | OptimizerConfig::Muon { momentum, nesterov, weight_decay, .. } => {
            update::Rule::Momentum { rate, decay: weight_decay as f32, momentum: momentum as f32, nesterov }
        }
        OptimizerConfig::Adam { weight_decay } => adam(weight_decay, 1.0),
        OptimizerConfig::AdamW { weight_decay } => adam(0.0, 1.0 - rate * weight_decay as f32),
    }
}

/// The rule, in the numbers of `shaders/update.wgsl`, for gradients that are too large by a factor; none where the shader does
/// not have it.
pub fn of_shader(config: OptimizerConfig, gradient_scale: f64) -> Option<Rule> {
    let scale = (1.0 / gradient_scale) as f32;
    let rule = Rule { kind: 0, momentum: 0.0, nesterov: false, decay: 0.0, scale, norm_rate: 1.0 };
    Some(match config {
        OptimizerConfig::Sgd { momentum, nesterov, weight_decay } => {
            Rule { momentum: momentum as f32, nesterov, decay: weight_decay as f32, ..rule }
        }
        OptimizerConfig::Adam { weight_decay } => Rule { kind: 1, decay: weight_decay as f32, ..rule },
        OptimizerConfig::AdamW { weight_decay } => Rule { kind: 2, decay: weight_decay as f32, ..rule },
        OptimizerConfig::Muon { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn both_ways_to_step_agree() {
        let weight_decay = 0.1;
        for config in [
            OptimizerConfig::Sgd { momentum: 0.0, nesterov: false, weight_decay },
            OptimizerConfig::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 },
            OptimizerConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay },
            OptimizerConfig::Adam { weight_decay },
            OptimizerConfig::AdamW { weight_decay },
        ] {
            let vector = |values: &[f32]| Tensor::<1>::from_floats(values, &Device::flex());
            let mut weights = [0.5, -1.0, 2.0, 0.0];
            let mut on_device = vector(&weights);
            let mut moments = vec![vec![0.0f32; 4]; names(config).len()];
            let mut moments_on_device: Vec<_> = moments.iter().map(|moment| vector(moment)).collect();
            for step in 1..=5 {
                let factors = Factors::of(config, 0.1, step);
                let gradient = [1.0, -0.5, 1e-4, 3.0].map(|g| g / step as f32);
                let mut parts = moments.iter_mut().map(Vec::as_mut_slice);
                let parts = [parts.next().unwrap_or_default(), parts.next().unwrap_or_default()];
                in_place(config, factors, &mut weights, &gradient, parts);
                (on_device, moments_on_device) =
                    composed(config, factors, on_device, vector(&gradient), moments_on_device);
            }
            let found: Vec<f32> = on_device.into_data().try_to_vec().unwrap();
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
            assert!(found.iter().zip(&weights).all(close), "{config:?}: {found:?} {weights:?}");
        }
    }
}
