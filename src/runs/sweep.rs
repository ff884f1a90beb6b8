//! Several values of an option: a run for each combination, one report over all, mean and spread over seeds.

use std::path::{Path, PathBuf};

use super::session::{Job, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::notice::Notices;
use crate::recipe::Recipe;
use crate::report::experiment::Experiment;
use crate::report::run::Run;
use crate::report::write::write;
use crate::training::metrics::EpochMetrics;
use crate::training::{Observers, Plan};

/// What came of a sweep.
pub struct Outcome {
    /// The results as a table for the terminal.
    pub table: String,
    /// A line for all runs that differ in their seed alone.
    pub summary: Vec<String>,
    /// The report's file.
    pub report: PathBuf,
    /// How many runs did not come to their end.
    pub failed: usize,
    /// How many stayed below the target.
    pub missed: usize,
}

/// Trains every job into `root/experiment/NAME` and writes the report beside them.
///
/// # Errors
/// Training: no run came to its end. Whatever else ends a run, or keeps a file from being written.
pub fn sweep(
    session: &Session<'_>,
    root: &Path,
    experiment: &str,
    jobs: &[Job],
    observers: &mut dyn FnMut(&Plan) -> Observers<'static>,
    notices: Notices<'_>,
) -> Result<Outcome> {
    let runs = session.train_each(root, experiment, jobs, observers, notices)?;
    let (Some(first), false) = (jobs.first(), runs.is_empty()) else {
        return Err(Error::new(ErrorKind::Training, "no run came to its end"));
    };
    let recipe = first.plan.recipe();
    let target = recipe.target_accuracy.unwrap_or(0.0);
    let missed = runs.iter().filter(|run| run.best().is_none_or(|best| best.test_accuracy < target)).count();
    let failed = jobs.len() - runs.len();
    let summary = over_seeds(&runs);
    let mut intro = vec![format!(
        "{} runs of {} on {} ({}), by tinderbox {} on {}.",
        runs.len(),
        recipe.short_name(),
        recipe.dataset,
        session.origin,
        env!("CARGO_PKG_VERSION"),
        session.devices.info()
    )];
    intro.extend(summary.iter().cloned());
    let report = Experiment { title: format!("Sweep {experiment}"), intro, runs, claims: Vec::new() };
    let folder = root.join(experiment);
    let path = write(&report, &folder)?;
    Ok(Outcome { table: report.text_table(), summary, report: path, failed, missed })
}

/// A line for all runs that differ in their seed alone, where there are several.
fn over_seeds(runs: &[Run]) -> Vec<String> {
    let settings = |run: &Run| Recipe { seed: 0, ..run.recipe.clone() };
    let mut seen: Vec<Recipe> = Vec::new();
    let mut lines = Vec::new();
    for run in runs {
        let of = settings(run);
        if seen.contains(&of) {
            continue;
        }
        let group: Vec<&EpochMetrics> =
            runs.iter().filter(|other| settings(other) == of).filter_map(|run| run.metrics.last()).collect();
        if group.len() > 1 {
            let (accuracy, spread) = mean_and_deviation(group.iter().map(|m| m.test_accuracy));
            let (loss, of_loss) = mean_and_deviation(group.iter().map(|m| m.test_loss));
            lines.push(format!(
                "learning rate {}, batch {}: final accuracy {accuracy:.2} % ± {spread:.2}, test loss {loss:.4} ± {of_loss:.4} \
                 (mean and standard deviation over {} seeds)",
                of.learning_rate,
                of.batch_size,
                group.len()
            ));
        }
        seen.push(of);
    }
    lines
}

/// Mean, and the standard deviation of a sample; of at least two values.
fn mean_and_deviation(values: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0);
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_are_those_of_a_sample() {
        let (mean, deviation) = mean_and_deviation([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter());
        assert!((mean - 5.0).abs() < 1e-12 && (deviation - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
    }
}
