//! Several runs side by side: a table, charts over all of them, and one report.

use std::path::{Path, PathBuf};

use super::artifacts::curves;
use super::claims::Claim;
use super::console::{duration, short, thousands};
use super::page;
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use crate::metrics::EpochMetrics;
use crate::recipe::Recipe;
use crate::run_dir::{RunDir, write_atomically};

/// A run, as its folder tells it.
#[derive(serde::Serialize)]
pub struct Run {
    /// The folder's name, with as many of those above it as tell it apart.
    pub name: String,
    /// The folder.
    #[serde(skip)]
    path: PathBuf,
    /// What was trained.
    pub recipe: Recipe,
    /// On what.
    pub device: DeviceInfo,
    /// Images that the test accuracy is measured on.
    pub test_images: usize,
    /// Every epoch; at least one.
    pub metrics: Vec<EpochMetrics>,
}

impl Run {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// Io or invalid data; usage if no epoch is finished.
    pub fn read(dir: &RunDir) -> Result<Self> {
        let metrics = dir.metrics()?;
        if metrics.is_empty() {
            return Err(Error::usage(format!("{} has no finished epoch yet", dir.path().display())));
        }
        Ok(Self::new(dir, &dir.recipe()?, &dir.device()?, dir.dataset()?.test_images, metrics))
    }

    /// A run whose parts are at hand.
    pub fn new(
        dir: &RunDir,
        recipe: &Recipe,
        device: &DeviceInfo,
        test_images: usize,
        metrics: Vec<EpochMetrics>,
    ) -> Self {
        let path = dir.path().canonicalize().unwrap_or_else(|_| dir.path().into());
        Self { name: dir.name(), path, recipe: recipe.clone(), device: device.clone(), test_images, metrics }
    }

    /// The epoch with the best test accuracy.
    pub fn best(&self) -> Option<&EpochMetrics> {
        EpochMetrics::best(&self.metrics).map(|i| &self.metrics[i])
    }

    /// The time of all epochs.
    pub fn seconds(&self) -> f64 {
        self.metrics.iter().map(|m| m.seconds).sum()
    }
}

/// Runs, and what is to be said about them.
pub struct Experiment {
    /// The heading.
    pub title: String,
    /// A paragraph or two below it.
    pub intro: Vec<String>,
    /// At least one.
    pub runs: Vec<Run>,
    /// What another source found, checked.
    pub claims: Vec<Claim>,
}

/// The heads of the result table.
pub const COLUMNS: [&str; 10] = [
    "run",
    "device",
    "epochs",
    "train loss",
    "test loss",
    "final accuracy",
    "best accuracy",
    "s/epoch",
    "total",
    "images/s",
];

impl Experiment {
    /// Puts folders before the names of runs that are called the same, until they differ.
    pub fn tell_apart(&mut self) {
        for depth in 2..6 {
            let names: Vec<String> = self.runs.iter().map(|run| run.name.clone()).collect();
            for run in &mut self.runs {
                if names.iter().filter(|name| **name == run.name).count() > 1 {
                    let parts: Vec<_> = run.path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
                    run.name = parts[parts.len().saturating_sub(depth)..].join("/");
                }
            }
        }
    }

    /// What the table's speeds mean.
    pub const TABLE_NOTE: &str = "s/epoch and images/s are medians over the epochs; an epoch includes measuring the test set, images/s does not.";

    /// A row a run, in the order of `COLUMNS`.
    pub fn rows(&self) -> Vec<[String; 10]> {
        let row = |run: &Run| {
            let (last, best) = (run.metrics.last()?, run.best()?);
            let mut seconds: Vec<f64> = run.metrics.iter().map(|m| m.seconds).collect();
            seconds.sort_by(f64::total_cmp);
            let mut speeds: Vec<f64> = run.metrics.iter().map(|m| m.images_per_second).collect();
            speeds.sort_by(f64::total_cmp);
            Some([
                run.name.clone(),
                run.device.to_string(),
                run.metrics.len().to_string(),
                format!("{:.4}", last.train_loss),
                format!("{:.4}", last.test_loss),
                format!("{:.2} %", last.test_accuracy),
                format!("{:.2} % (epoch {})", best.test_accuracy, best.epoch),
                short(seconds[seconds.len() / 2]),
                duration(run.seconds()),
                thousands(speeds[speeds.len() / 2] as u64),
            ])
        };
        self.runs.iter().filter_map(row).collect()
    }

    /// The table for the terminal.
    pub fn text_table(&self) -> String {
        let rows: Vec<Vec<String>> = std::iter::once(COLUMNS.map(String::from).to_vec())
            .chain(self.rows().into_iter().map(|row| row.to_vec()))
            .collect();
        text_table(&rows)
    }

    /// The whole report as Markdown, without charts.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n", self.title);
        for paragraph in &self.intro {
            text += &format!("{paragraph}\n\n");
        }
        text += &format!("| {} |\n|{}\n", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
        for row in self.rows() {
            text += &format!("| {} |\n", row.join(" | "));
        }
        text += &format!("\n{}\n", Self::TABLE_NOTE);
        if !self.claims.is_empty() {
            text += "\n| claim | verdict | figures |\n|---|---|---|\n";
            for claim in &self.claims {
                text += &format!("| {} | {} | {} |\n", claim.text, claim.verdict(), claim.evidence);
            }
        }
        text
    }

    /// Writes `report.html`, `report.md` and the charts into a folder.
    ///
    /// # Errors
    /// Io.
    pub fn write(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("create the folder", dir, &e))?;
        let runs: Vec<_> = self.runs.iter().map(|run| (run.name.clone(), &run.metrics)).collect();
        let charts = curves(&runs)?;
        for (stem, chart) in &charts {
            write_atomically(&dir.join(format!("{stem}.svg")), chart.svg.as_bytes())?;
            write_atomically(&dir.join(format!("{stem}.png")), &chart.png)?;
        }
        write_atomically(&dir.join("report.md"), self.markdown().as_bytes())?;
        write_atomically(&dir.join("report.html"), page::render(self, None)?.as_bytes())
    }
}

/// Columns as wide as their widest cell, two spaces apart.
pub fn text_table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| -> String {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let row = |a: &str, b: &str| vec![a.to_string(), b.to_string()];
        assert_eq!(text_table(&[row("a", "b"), row("long", "c")]), "a     b\nlong  c");
    }
}
