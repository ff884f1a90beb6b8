//! The report over several runs, as files.

use std::path::{Path, PathBuf};

use super::curves::curves;
use super::experiment::Experiment;
use super::page;
use crate::error::Result;
use crate::files::{make_folder, write_atomically};

/// Writes `report.html`, `report.md` and the charts into a folder; returns the path of the page.
///
/// # Errors
/// Io.
pub fn write(experiment: &Experiment, folder: &Path) -> Result<PathBuf> {
    make_folder(folder)?;
    let runs: Vec<_> = experiment.runs.iter().map(|run| (run.name.clone(), &run.metrics)).collect();
    for (stem, chart) in &curves(&runs)? {
        chart.write(folder, stem)?;
    }
    write_atomically(&folder.join("report.md"), experiment.markdown().as_bytes())?;
    let page = folder.join("report.html");
    write_atomically(&page, page::render(experiment, None)?.as_bytes())?;
    Ok(page)
}
