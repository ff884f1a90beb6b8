//! `tinderbox compare`

use std::path::{Path, PathBuf};

use clap::Args;

use super::output::print_json;
use super::terminal::say;
use super::words;
use crate::error::{Error, Result};
use crate::report::experiment::Experiment;
use crate::report::run::Run;
use crate::report::write::write;
use crate::runs::RunDir;

/// Put runs side by side: a table on the terminal, charts and a report in a folder.
///
/// Runs may come from other machines: copy their folders.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tinderbox compare runs/mnist\n  tinderbox compare here/runs/mnist/* there/runs/mnist/* --out both"
)]
pub struct CompareArgs {
    /// Folders of runs, or folders that hold some
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Folder for report and charts [default: runs/comparison]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON: recipe, device and every epoch of each run; writes no report unless --out is given
    #[arg(long)]
    json: bool,
}

pub fn run(args: CompareArgs) -> Result<()> {
    let mut runs: Vec<Run> = Vec::new();
    for path in args.runs.iter().flat_map(|path| runs_in(path)) {
        match RunDir::open(&path).and_then(|dir| dir.summary()) {
            Ok(run) => runs.push(run),
            Err(e) => eprintln!("warning: left out: {}", words::error(&e)),
        }
    }
    if runs.is_empty() {
        return Err(Error::usage("there is nothing to compare: name folders of runs, such as runs/mnist/*"));
    }
    let intro = vec![format!("{} runs compared by tinderbox {}.", runs.len(), env!("CARGO_PKG_VERSION"))];
    let mut experiment = Experiment { title: "Comparison of runs".into(), intro, runs, claims: Vec::new() };
    experiment.tell_apart();
    let out = args.out.or_else(|| (!args.json).then(|| "runs/comparison".into()));
    if let Some(out) = &out {
        write(&experiment, out)?;
    }
    if args.json {
        return print_json(&experiment.runs);
    }
    say!("{}", experiment.text_table());
    if let Some(out) = out {
        say!("report: {}", out.join("report.html").display());
    }
    Ok(())
}

/// The folder itself, or the runs in it where it is none.
fn runs_in(path: &Path) -> Vec<PathBuf> {
    let runs = if RunDir::is_at(path) { Vec::new() } else { RunDir::all_in(path) };
    if runs.is_empty() { vec![path.to_path_buf()] } else { runs }
}
