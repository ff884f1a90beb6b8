//! Several runs side by side: a table, charts over all of them, and one report.

use super::claims::Claim;
use super::console::{duration, short, thousands};
use super::run::Run;

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
