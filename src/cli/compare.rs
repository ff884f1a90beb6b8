//! `tinderbox compare`

use std::path::PathBuf;

use clap::Args;

use super::print_json;
use crate::error::Result;
use crate::report::experiment::{Experiment, Run};
use crate::run_dir::RunDir;

/// Put runs side by side: a table on the terminal, charts and a report in a folder.
///
/// Runs may come from other machines: copy their folders.
#[derive(Args)]
#[command(after_help = "Example: tinderbox compare runs/mnist/* --out runs/comparison")]
pub struct CompareArgs {
    /// Folders of runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Folder for report and charts
    #[arg(long, value_name = "DIR", default_value = "runs/comparison")]
    out: PathBuf,
    /// Print JSON: recipe, device and every epoch of each run
    #[arg(long)]
    json: bool,
}

pub fn run(args: CompareArgs) -> Result<()> {
    let runs: Vec<Run> = args.runs.iter().map(|path| Run::read(&RunDir::open(path)?)).collect::<Result<_>>()?;
    let intro = vec![format!("{} runs compared by tinderbox {}.", runs.len(), env!("CARGO_PKG_VERSION"))];
    let experiment = Experiment { title: "Comparison of runs".into(), intro, runs, claims: Vec::new() };
    experiment.write(&args.out)?;
    if args.json {
        return print_json(&experiment.runs);
    }
    crate::say!("{}\nreport: {}", experiment.text_table(), args.out.join("report.html").display());
    Ok(())
}
