//! `tinderbox bench`

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::output::print_json;
use super::terminal::say;
use super::words;
use crate::bench::{self, Effort, Machine, Measurement, Progress, Report, Row, SCHEMA, Tool};
use crate::compute::{AdapterKind, Candidate, Devices, Request, choose, cpu_model, list, tuning};
use crate::data::{Identity, load};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{to_json, write_atomically};
use crate::notice::silent;

/// Measure how fast every device is: transfers, arithmetic, training, inference, and whether its results are right.
///
/// Every device is measured in a process of its own, so that one that crashes, hangs or is lost becomes a FAILED row.
/// Warming up and tuning are not part of any number. A software adapter, a GPU imitated by the CPU, gets smaller sizes.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tinderbox bench --quick\n  tinderbox bench --device nvidia -o json > mine.json\n  \
                        tinderbox bench --share\n  tinderbox bench --compare mine.json yours.json -o html > both.html"
)]
pub struct BenchArgs {
    /// Only this device: cpu, gpu, an index of `tinderbox devices`, or part of a name [default: all]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Smaller sizes and fewer repeats, and no software adapter unless it is named; a few minutes on a CPU of two cores
    #[arg(long)]
    quick: bool,
    /// Also train the recipe cifar10-fast once on the CIFAR-10 in this folder, and say how long it takes to 94 %; 20 minutes
    /// on a CPU of two cores
    #[arg(long, value_name = "DIR", conflicts_with = "compare")]
    cifar10: Option<PathBuf>,
    /// Give a device up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// What to write to standard output
    #[arg(short, long, value_enum, default_value_t = Format::Md)]
    output: Format,
    /// Write the report for the board of many machines, and say how to send it there
    #[arg(long, conflicts_with_all = ["compare", "output", "quick"])]
    share: bool,
    /// Measure nothing: put these JSON reports into one table
    #[arg(long, value_name = "JSON", num_args = 1.., conflicts_with_all = ["device", "quick"])]
    compare: Vec<PathBuf>,
    /// Measure one device in this process, and write a line of JSON for each step
    #[arg(long, hide = true, value_name = "INDEX")]
    measure: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A Markdown table
    Md,
    /// The report, to compare later
    Json,
    /// One line a measurement
    Csv,
    /// A page with bars
    Html,
}

/// What stands above several reports in one.
const BOARD: &str = "# Benchmarks

Made by `tinderbox bench --compare` of the reports that are named below. `tinderbox bench --share` measures a machine
and writes its report; `data/benchmarks/README.md` says how it comes here.
";

/// What a measuring process says, a line of JSON each.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Begin(String),
    Done(Measurement),
    Finished { warmup_seconds: f64, tuned: usize },
    Failed(String),
}

pub fn run(args: BenchArgs) -> Result<()> {
    if let Some(index) = args.measure {
        return measure(index, &args);
    }
    if !args.compare.is_empty() {
        let reports = args.compare.iter().map(read).collect::<Result<Vec<_>>>()?;
        return match args.output {
            Format::Md if reports.len() > 1 => {
                say!("{BOARD}");
                write(&reports, Format::Md)
            }
            Format::Json => Err(Error::usage("--compare writes md, csv or html: each report is JSON already")),
            format => write(&reports, format),
        };
    }
    let report = Report {
        schema: SCHEMA.into(),
        tool: Tool::this(),
        machine: machine(),
        date: utc(SystemTime::now()),
        quick: args.quick,
        rows: rows(&args)?,
    };
    let failed = report.rows.iter().all(|row| row.failed.is_some());
    match args.output {
        _ if args.share => share(&report)?,
        Format::Json => print_json(&report)?,
        format => write(&[report], format)?,
    }
    if failed { Err(Error::new(ErrorKind::Device, "no device finished the benchmark")) } else { Ok(()) }
}

fn write(reports: &[Report], format: Format) -> Result<()> {
    let text = match format {
        Format::Csv => bench::csv(reports),
        Format::Html => bench::html(reports),
        Format::Md | Format::Json => bench::markdown(reports),
    };
    say!("{}", text.trim_end());
    Ok(())
}

/// Writes a report to where the board is made of, or to the current folder, and says what to do with it.
fn share(report: &Report) -> Result<()> {
    let (board, name) = (Path::new("data/benchmarks"), report.file_name());
    let path = if board.is_dir() { board.join(&name) } else { PathBuf::from(&name) };
    write_atomically(&path, &to_json(report)?)?;
    write(std::slice::from_ref(report), Format::Md)?;
    let path = path.display();
    say!("\nwrote {path}, which is all of a contribution: send it as data/benchmarks/{name}");
    say!("in a pull request, with the table above as its text. The board is made by");
    say!("    tinderbox bench --compare data/benchmarks/*.json > docs/benchmarks.md");
    Ok(())
}

fn machine() -> Machine {
    Machine {
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: cpu_model(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// A report from a file.
fn read(path: &PathBuf) -> Result<Report> {
    let invalid = |e: String| {
        let what = format!("{}: {e}: expected a report of `tinderbox bench -o json`", path.display());
        Error::new(ErrorKind::InvalidData, what)
    };
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::new(ErrorKind::Io, format!("{} cannot be read: {e}", path.display())))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| invalid(e.to_string()))?;
    match value["schema"].as_str() {
        Some(SCHEMA) => serde_json::from_value(value).map_err(|e| invalid(e.to_string())),
        found => Err(invalid(format!("its schema is {}, this program knows {SCHEMA}", found.unwrap_or("missing")))),
    }
}

/// Measures the devices one after the other.
fn rows(args: &BenchArgs) -> Result<Vec<Row>> {
    let all = Request::Name(String::new());
    let candidates = list(&all);
    let chosen: Vec<usize> = match &args.device {
        None => {
            // What most people ask for first, and last what takes longest: a GPU that the CPU imitates.
            let is_software = |index: &usize| candidates[*index].info.kind == AdapterKind::Software;
            let (software, mut chosen): (Vec<usize>, Vec<usize>) = (0..candidates.len()).partition(is_software);
            if !args.quick {
                chosen.extend(software);
            }
            chosen
        }
        Some(name) => vec![choose(&candidates, &Request::from(name.as_str()))?],
    };
    chosen.into_iter().map(|index| row(&candidates[index], index, args)).collect()
}

/// Measures a device in a process of its own.
fn row(candidate: &Candidate, index: usize, args: &BenchArgs) -> Result<Row> {
    let info = candidate.info.clone();
    let mut row = Row {
        name: info.name.clone(),
        device: info,
        failed: None,
        warmup_seconds: 0.0,
        tuned: 0,
        measurements: Vec::new(),
    };
    eprintln!("measuring {}", row.device);
    if let Some(reason) = &row.device.unusable {
        row.failed = Some(reason.clone());
        return Ok(row);
    }
    let failed = |e: std::io::Error| Error::new(ErrorKind::Io, format!("a process for {} fails: {e}", row.device));
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["bench", "--measure", &index.to_string()]).args(args.quick.then_some("--quick"));
    if let Some(dir) = &args.cifar10 {
        command.arg("--cifar10").arg(dir);
    }
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let failure = follow(&mut child, Duration::from_secs(args.timeout), &mut row);
    let _ = child.kill(); // it may have ended by itself
    let _ = child.wait();
    row.failed = failure;
    if let Some(reason) = &row.failed {
        eprintln!("  FAILED: {}", reason.lines().next().unwrap_or_default());
    }
    Ok(row)
}

/// Takes down what a measuring process says, and returns how it failed, if it did.
fn follow(child: &mut Child, timeout: Duration, row: &mut Row) -> Option<String> {
    let (send, lines) = mpsc::channel();
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Some("its output cannot be read".into());
    };
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
            if let Ok(line) = serde_json::from_str::<Line>(&line)
                && send.send(line).is_err()
            {
                break;
            }
        }
    });
    // Read all the time, so that a device that complains a lot does not block.
    let complaints = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.read_to_end(&mut bytes); // a part is better than nothing
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let deadline = Instant::now() + timeout;
    let mut step = String::from("the start");
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Line::Begin(name)) => step = name,
            Ok(Line::Done(measurement)) => {
                let Measurement { name, median, unit, .. } = &measurement;
                eprintln!("  {name} {} {unit}", crate::report::console::short(*median));
                row.measurements.push(measurement);
            }
            Ok(Line::Finished { warmup_seconds, tuned }) => {
                row.device.verified = row.device.verified.map(|_| true); // else it would have failed
                (row.warmup_seconds, row.tuned) = (warmup_seconds, tuned);
                return None;
            }
            Ok(Line::Failed(reason)) => return Some(format!("at {step}: {reason}")),
            Err(RecvTimeoutError::Timeout) => {
                return Some(format!("at {step}: not done after {} s (--timeout)", timeout.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
                let complaints = complaints.join().unwrap_or_default();
                let last = complaints.lines().rev().find(|line| line.contains("panicked") || line.contains("rror"));
                let last = last.map(|line| format!("; it said: {}", line.trim())).unwrap_or_default();
                return Some(format!("at {step}: the process ended with {status}{last}"));
            }
        }
    }
}

/// The process of one device.
fn measure(index: usize, args: &BenchArgs) -> Result<()> {
    let tell = |line: &Line| {
        let text = serde_json::to_string(line).unwrap_or_default(); // plain data, which JSON always holds
        say!("{text}");
    };
    let measured = || -> Result<f64> {
        let mut candidates = list(&Request::Name(String::new()));
        let request = Request::Index(index);
        let candidate = candidates.swap_remove(choose(&candidates, &request)?);
        let (effort, info) = (Effort::new(args.quick, &candidate.info), candidate.info.clone());
        let (device, gpu) = candidate.open_shared()?;
        let devices = Devices::one(device, info);
        let data = |identity, dir| load(&identity, dir, &mut silent).map(|loaded| Arc::new(loaded.dataset));
        let sample = data(Identity::MnistSample, None)?;
        let cifar10 = args.cifar10.as_deref().map(|dir| data(Identity::Cifar10, Some(dir))).transpose()?;
        pollster::block_on(bench::measure(&devices, gpu, effort, &sample, cifar10.as_ref(), &mut |progress| {
            match progress {
                Progress::Begin(name) => tell(&Line::Begin(name.into())),
                Progress::Done(measurement) => tell(&Line::Done(measurement)),
            }
        }))
    };
    match measured() {
        Ok(warmup_seconds) => tell(&Line::Finished { warmup_seconds, tuned: tuning::tuned() }),
        Err(e) => tell(&Line::Failed(words::error(&e))),
    }
    Ok(())
}

/// A time as `2026-11-24T10:00:00Z`. The days are counted as in Howard Hinnant's "chrono-Compatible Low-Level Date
/// Algorithms".
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let days = seconds / 86_400 + 719_468; // since the first of March of the year 0
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + year_of_era;
    let clock = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", clock / 3600, clock / 60 % 60, clock % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_795_510_516), "2026-11-24T08:55:16Z");
    }
}
