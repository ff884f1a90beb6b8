//! The probabilities of logits, and the way back.

/// The probabilities of logits; returns the logarithm of the sum of their exponentials.
pub fn softmax(logits: &[f32], probabilities: &mut [f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (p, logit) in probabilities.iter_mut().zip(logits) {
        *p = (logit - largest).exp();
        sum += *p;
    }
    probabilities.iter_mut().for_each(|p| *p /= sum);
    largest + sum.ln()
}

/// A gradient with respect to probabilities becomes one with respect to logits.
pub fn softmax_back(probabilities: &[f32], gradient: &mut [f32]) {
    let mean: f32 = probabilities.iter().zip(&*gradient).map(|(p, g)| p * g).sum();
    gradient.iter_mut().zip(probabilities).for_each(|(g, p)| *g = p * (*g - mean));
}
