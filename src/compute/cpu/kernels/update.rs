//! Steps of optimizers over a parameter's values where they lie.

use crate::threads::each;
use crate::vector::on_this_machine;

/// Values that one core takes at a time: so many that waking another is worth it.
const PART: usize = 32 * 1024;

/// What a step makes of a weight `w` and its gradient `g`.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// `w -= rate * (g + decay * w)`.
    Plain { rate: f32, decay: f32 },
    /// The same with a velocity: that of earlier steps times `momentum`, plus the gradient; Nesterov's looks a step ahead.
    Momentum { rate: f32, decay: f32, momentum: f32, nesterov: bool },
    /// Adam (Kingma and Ba, 2014), whose decay is `coupled` through the gradient, or `shrink`s the weights as AdamW's does.
    Adam { betas: [f64; 2], epsilon: f32, step_size: f32, root_correction: f32, coupled: f32, shrink: f32 },
}

/// A step on all cores. `moments` are as long as the weights, or empty where the rule has none.
pub fn step(rule: Rule, weights: &mut [f32], gradient: &[f32], moments: [&mut [f32]; 2]) {
    let [first, second] =
        moments.map(|moment| moment.chunks_mut(PART).map(Some).chain(std::iter::repeat_with(|| None)));
    let parts = weights.chunks_mut(PART).zip(gradient.chunks(PART)).zip(first).zip(second);
    each(parts.collect(), |(((weights, gradient), first), second)| {
        let moments = [first.unwrap_or_default(), second.unwrap_or_default()];
        on_this_machine(
            #[inline(always)]
            || part(rule, weights, gradient, moments),
        );
    });
}

#[inline(always)]
fn part(rule: Rule, weights: &mut [f32], gradient: &[f32], [first, second]: [&mut [f32]; 2]) {
    let weights = weights.iter_mut().zip(gradient);
    match rule {
        Rule::Plain { rate, decay } => {
            for (w, g) in weights {
                *w -= rate * (g + decay * *w);
            }
        }
        Rule::Momentum { rate, decay, momentum, nesterov } => {
            for ((w, g), velocity) in weights.zip(first) {
                let g = g + decay * *w;
                *velocity = momentum * *velocity + g;
                *w -= rate * if nesterov { g + momentum * *velocity } else { *velocity };
            }
        }
        Rule::Adam { betas, epsilon, step_size, root_correction, coupled, shrink } => {
            let ([keep_1, keep_2], [add_1, add_2]) = (betas.map(|b| b as f32), betas.map(|b| (1.0 - b) as f32));
            for (((w, g), m), v) in weights.zip(first).zip(second) {
                let g = g + coupled * *w;
                *m = keep_1 * *m + add_1 * g;
                *v = keep_2 * *v + add_2 * g * g;
                *w = *w * shrink - step_size * *m / (v.sqrt() / root_correction + epsilon);
            }
        }
    }
}
