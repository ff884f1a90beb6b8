//! What the reference exercises found, checked against runs of this program.

use super::console::epochs;
use super::run::Run;
use crate::training::metrics::EpochMetrics;

/// A finding of the reference, and whether the runs show it.
pub struct Claim {
    /// What the reference says.
    pub text: String,
    /// Whether the runs show the same; none where they cannot tell.
    pub confirmed: Option<bool>,
    /// The figures.
    pub evidence: String,
}

impl Claim {
    /// In words.
    pub fn verdict(&self) -> &'static str {
        match self.confirmed {
            Some(true) => "confirmed",
            Some(false) => "not confirmed",
            None => "not decided",
        }
    }
}

/// The findings of the MNIST exercise; none for runs that are missing.
pub fn mnist(runs: &[Run]) -> Vec<Claim> {
    let run = |name: &str| runs.iter().find(|r| r.recipe.short_name() == name).map(|r| r.metrics.as_slice());
    let (v0, v1, bn) = (run("linear_v0-mse"), run("linear_v1-mse"), run("linear_v1-bn-mse"));
    let (twice, once) = (run("linear_v1-bn-ce-on-probabilities"), run("linear_v1-bn-ce"));
    let images = runs.iter().map(|r| r.test_images).min().unwrap_or(0);
    let mut claims = Vec::new();
    if let (Some(v1), Some(bn)) = (v1, bn) {
        claims.push(better_at_every_epoch(v1, bn));
    }
    if let (Some(v0), Some(v1)) = (v0, v1) {
        claims.extend(starts_above_ends_below(v0, v1));
    }
    if let (Some(mse), Some(ce)) = (bn, twice) {
        let text = "Cross-entropy (as published, on probabilities) ends with a better accuracy than MSE";
        claims.extend(ends_better(text, "MSE", mse, "cross-entropy", ce, images));
    }
    if let Some(bn) = bn {
        claims.extend(early_gain(bn));
    }
    if let (Some(twice), Some(once)) = (twice, once) {
        let text = "Beyond the reference: the correct cross-entropy, on logits, ends better than the published one";
        claims.extend(ends_better(
            text,
            "cross-entropy on probabilities",
            twice,
            "cross-entropy on logits",
            once,
            images,
        ));
    }
    claims
}

/// The finding of the CIFAR-10 exercise.
pub fn cifar10(runs: &[Run]) -> Vec<Claim> {
    let run = |name: &str| runs.iter().find(|r| r.name == name);
    let (Some(linear), Some(vgg)) = (run("linear_v0-ce"), run("vgg11-ce")) else { return Vec::new() };
    let text = "The convolutional network ends with a better accuracy than the linear model";
    let claim = ends_better(text, "linear", &linear.metrics, "vgg11", &vgg.metrics, vgg.test_images);
    claim.into_iter().collect()
}

fn better_at_every_epoch(without: &[EpochMetrics], with: &[EpochMetrics]) -> Claim {
    let pairs: Vec<(&EpochMetrics, &EpochMetrics)> = without.iter().zip(with).collect();
    let worse: Vec<usize> =
        pairs.iter().filter(|(a, b)| b.test_accuracy <= a.test_accuracy).map(|(a, _)| a.epoch).collect();
    let gap = |(a, b): &(&EpochMetrics, &EpochMetrics)| b.test_accuracy - a.test_accuracy;
    let smallest = pairs.iter().map(gap).fold(f64::INFINITY, f64::min);
    let evidence = if worse.is_empty() {
        format!("test accuracy is higher at all {} epochs, by {smallest:.2} points at the least", pairs.len())
    } else {
        format!("test accuracy is not higher at epochs {worse:?}")
    };
    let text = "Batch normalization beats its absence at every epoch".into();
    Claim { text, confirmed: Some(worse.is_empty() && !pairs.is_empty()), evidence }
}

fn starts_above_ends_below(v0: &[EpochMetrics], v1: &[EpochMetrics]) -> Option<Claim> {
    let (first0, first1) = (v0.first()?.train_loss, v1.first()?.train_loss);
    let (last0, last1) = (v0.last()?, v1.last()?);
    let meet = v0.iter().zip(v1).find(|(a, b)| b.train_loss < a.train_loss);
    let meeting = match meet {
        Some((a, b)) => {
            format!(
                "v1 is lower for the first time at epoch {}, at {:.4} and {:.4}",
                a.epoch, a.train_loss, b.train_loss
            )
        }
        None => format!("v1 is not lower within {}", epochs(last0.epoch)),
    };
    Some(Claim {
        text: "linear_v1 without batch normalization starts with a larger train loss than linear_v0 and ends lower \
               (in the reference from epoch 41 on, at 0.0201, which it prints as 0.201)"
            .into(),
        confirmed: Some(first1 > first0 && last1.train_loss < last0.train_loss),
        evidence: format!(
            "train loss of v0 and v1: {first0:.4} and {first1:.4} at epoch 1, {:.4} and {:.4} at epoch {}; {meeting}",
            last0.train_loss, last1.train_loss, last0.epoch
        ),
    })
}

/// Better or worse by more than chance: by two standard errors of a difference of two proportions over `images` images.
fn ends_better(
    text: &str,
    name_a: &str,
    a: &[EpochMetrics],
    name_b: &str,
    b: &[EpochMetrics],
    images: usize,
) -> Option<Claim> {
    let (a, b) = (a.last()?, b.last()?);
    let variance = |m: &EpochMetrics| m.test_accuracy / 100.0 * (1.0 - m.test_accuracy / 100.0) / images.max(1) as f64;
    let (gain, noise) = (b.test_accuracy - a.test_accuracy, 200.0 * (variance(a) + variance(b)).sqrt());
    Some(Claim {
        text: text.into(),
        confirmed: (gain.abs() > noise).then_some(gain > 0.0),
        evidence: format!(
            "test accuracy after epoch {}: {:.2} % with {name_a}, {:.2} % with {name_b}; a difference of {gain:.2} points; \
             with {images} test images chance alone makes up to {noise:.2}",
            a.epoch, a.test_accuracy, b.test_accuracy
        ),
    })
}

/// "Most" is read as: more than half of the way from the first epoch's accuracy to the best within the first fifth.
fn early_gain(metrics: &[EpochMetrics]) -> Option<Claim> {
    let first = metrics.first()?.test_accuracy;
    let early = metrics.len().div_ceil(5);
    let text = "Most of the gain comes in the first epochs".into();
    if early < 2 {
        let evidence = format!("{} are too few to have first ones", epochs(metrics.len()));
        return Some(Claim { text, confirmed: None, evidence });
    }
    let at_early = metrics.get(early - 1)?.test_accuracy;
    let best = metrics.iter().map(|m| m.test_accuracy).fold(0.0, f64::max);
    let share = if best > first { (at_early - first) / (best - first) } else { 0.0 };
    Some(Claim {
        text,
        confirmed: Some(share > 0.5),
        evidence: format!(
            "linear_v1 with batch normalization and MSE rises from {first:.2} % after epoch 1 to {best:.2} % at its best, \
             {:.0} % of that within {}",
            100.0 * share,
            epochs(early)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(losses: &[f64], accuracies: &[f64]) -> Vec<EpochMetrics> {
        let rows = losses.iter().zip(accuracies).enumerate();
        rows.map(|(i, (&loss, &accuracy))| EpochMetrics {
            epoch: i + 1,
            train_loss: loss,
            test_loss: loss,
            test_accuracy: accuracy,
            learning_rate: 0.1,
            seconds: 1.0,
            images_per_second: 1.0,
        })
        .collect()
    }

    #[test]
    fn claims_follow_the_figures_both_ways() {
        let slow = metrics(&[0.09, 0.05, 0.01], &[10.0, 20.0, 89.0]);
        let fast = metrics(&[0.08, 0.04, 0.02], &[60.0, 90.0, 97.0]);
        assert_eq!(better_at_every_epoch(&slow, &fast).confirmed, Some(true));
        assert_eq!(better_at_every_epoch(&fast, &slow).confirmed, Some(false));
        let crossing = starts_above_ends_below(&fast, &slow).unwrap();
        assert_eq!(crossing.confirmed, Some(true));
        assert!(crossing.evidence.contains("at epoch 3"), "{}", crossing.evidence);
        assert_eq!(starts_above_ends_below(&slow, &fast).unwrap().confirmed, Some(false));
        let ends = |a, b, images| ends_better("", "a", a, "b", b, images).unwrap().confirmed;
        assert_eq!(ends(&slow, &fast, 1000), Some(true));
        assert_eq!(ends(&slow, &fast, 20), None, "20 images show nothing");
        assert_eq!(ends(&fast, &slow, 1000), Some(false));
        let late: Vec<f64> = (0..10).map(|i| f64::from(i * i)).collect();
        let early: Vec<f64> = (0..10).map(|i| 90.0 * (1.0 - 0.2_f64.powi(i))).collect();
        assert_eq!(early_gain(&metrics(&[1.0; 10], &late)).unwrap().confirmed, Some(false));
        assert_eq!(early_gain(&metrics(&[1.0; 10], &early)).unwrap().confirmed, Some(true));
        assert_eq!(early_gain(&slow).unwrap().confirmed, None, "three epochs show nothing");
    }
}
