//! Reports as tables: Markdown to paste into an issue, CSV, and a page with bars.

use std::fmt::Write as _;

use super::schema::{Measurement, Report, Row};
use crate::compute::AdapterKind;
use crate::report::console::{duration, short, thousands};
use crate::report::page::escape;

/// A row of a report and the report that it is of.
type Column<'a> = (&'a Report, &'a Row);

fn columns(reports: &[Report]) -> Vec<Column<'_>> {
    reports.iter().flat_map(|report| report.rows.iter().map(move |row| (report, row))).collect()
}

/// Every measurement that any row has, in the order of first appearance.
fn names<'a>(columns: &[Column<'a>]) -> Vec<&'a Measurement> {
    let mut names: Vec<&Measurement> = Vec::new();
    for measurement in columns.iter().flat_map(|(_, row)| &row.measurements) {
        if !names.iter().any(|m| m.name == measurement.name) {
            names.push(measurement);
        }
    }
    names
}

fn find<'a>(row: &'a Row, name: &str) -> Option<&'a Measurement> {
    row.measurements.iter().find(|m| m.name == name)
}

/// A row's heading: the device, the machine where there are several, and whether to trust it.
fn heading((report, row): &Column<'_>, reports: &[Report]) -> String {
    let software = if row.device.kind == AdapterKind::Software { ", software" } else { "" };
    let device = format!("{} ({}{software})", row.name, row.device.api);
    let one_machine = reports.iter().all(|other| other.machine == report.machine);
    let machine = if one_machine { String::new() } else { format!(" on {}", report.machine.cpu) };
    let failed = if row.failed.is_some() { ", FAILED" } else { "" };
    format!("{device}{machine}{failed}")
}

/// The heading for a cell of a table in Markdown.
fn cell_heading(column: &Column<'_>, reports: &[Report]) -> String {
    heading(column, reports).replace('|', "/")
}

/// A median, with the spread in percent of it: half the range between the lowest and the highest.
fn cell(m: &Measurement) -> String {
    let value = if m.median >= 10_000.0 { thousands(m.median.round() as u64) } else { short(m.median) };
    format!("{value} ±{:.0} %", 50.0 * (m.high - m.low) / m.median)
}

/// Tables in Markdown: the devices as columns, software adapters apart, then what each of them is. Several reports begin with
/// an overview, a line a device.
pub fn markdown(reports: &[Report]) -> String {
    let columns = columns(reports);
    let mut text = if reports.len() > 1 { overview(&columns, reports) } else { String::new() };
    let (software, hardware): (Vec<_>, Vec<_>) = columns.iter().copied().partition(is_software);
    if !hardware.is_empty() {
        text += &table(&hardware, reports);
    }
    if !software.is_empty() {
        let gap = if hardware.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{gap}{SOFTWARE}\n\n{}", table(&software, reports).trim_end());
    }
    for column @ (_, row) in &columns {
        if let Some(reason) = &row.failed {
            let head = cell_heading(column, reports);
            let _ = writeln!(text, "\nFAILED: {}: {}", head.trim_end_matches(", FAILED"), brief(reason));
        }
    }
    for line in notes(reports) {
        let _ = write!(text, "\n{line}  ");
    }
    text.trim_end().to_string() + "\n"
}

fn is_software((_, row): &Column<'_>) -> bool {
    row.device.kind == AdapterKind::Software
}

/// Every measurement of these devices, which are its columns.
fn table(columns: &[Column<'_>], reports: &[Report]) -> String {
    let mut text = String::new();
    let heads: Vec<String> = columns.iter().map(|column| cell_heading(column, reports)).collect();
    let _ = writeln!(text, "| | unit | {} |\n|---|---|{}", heads.join(" | "), "--:|".repeat(heads.len()));
    for name in names(columns) {
        let cells: Vec<String> =
            columns.iter().map(|(_, row)| find(row, &name.name).map_or(String::new(), cell)).collect();
        let _ = writeln!(text, "| {} | {} | {} |", name.name, name.unit, cells.join(" | "));
    }
    let warmups: Vec<String> = columns.iter().map(|(_, row)| warmup(row)).collect();
    let _ = writeln!(text, "| warm-up and tuning | | {} |", warmups.join(" | "));
    text
}

/// A line for each device but software adapters, the fastest in training `vgg11` first.
fn overview(columns: &[Column<'_>], reports: &[Report]) -> String {
    let measurements = [
        ("train_vgg11", "vgg11, images/s"),
        ("train_linear_v1", "linear_v1, images/s"),
        ("host_linear_v1", "host, ms a step"),
    ];
    let mut columns: Vec<Column<'_>> = columns.iter().copied().filter(|column| !is_software(column)).collect();
    let speed = |(_, row): &Column<'_>| find(row, "train_vgg11").map_or(0.0, |m| m.median);
    columns.sort_by(|a, b| speed(b).total_cmp(&speed(a)));
    let heads = measurements.map(|(_, head)| head);
    let mut text = String::new();
    let _ = writeln!(text, "| | {} | measured by |\n|---|{}---|", heads.join(" | "), "--:|".repeat(heads.len()));
    for column @ (report, row) in &columns {
        let cells = measurements.map(|(name, _)| find(row, name).map_or(String::new(), cell));
        let (tool, day) = (&report.tool, report.date.get(..10).unwrap_or(&report.date));
        let head = cell_heading(column, reports);
        let _ = writeln!(text, "| {head} | {} | {} {}, {day} |", cells.join(" | "), tool.name, tool.version);
    }
    text + "\n"
}

/// A reason in one line; the JSON has all of it.
fn brief(reason: &str) -> String {
    let words: Vec<&str> = reason.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= 300 { line } else { line.chars().take(300).collect::<String>() + " …" }
}

fn warmup(row: &Row) -> String {
    match (row.tuned, row.warmup_seconds) {
        (0, seconds) => duration(seconds),
        (tuned, seconds) => format!("{}, {tuned} tuned", duration(seconds)),
    }
}

/// What stands above the table of software adapters.
const SOFTWARE: &str =
    "Software adapters, which are GPUs imitated by the CPU: they show that a program works, not how fast.";

/// What the numbers are of, a line a report.
fn notes(reports: &[Report]) -> Vec<String> {
    let line = |report: &Report| {
        let (tool, machine) = (&report.tool, &report.machine);
        let or = |what: &str, value: &str| if value.is_empty() { String::new() } else { format!(", {what} {value}") };
        let quick = if report.quick { ", quick" } else { "" };
        format!(
            "{} {}{}{}{}{quick}; {}, {} threads, {}; {}",
            tool.name,
            tool.version,
            or("commit", &tool.commit),
            or("burn", &tool.burn),
            or("wgpu", &tool.wgpu),
            machine.cpu,
            machine.threads,
            machine.os,
            report.date
        )
    };
    let mut lines: Vec<String> = reports.iter().map(line).collect();
    lines.push("Medians, and half the range between lowest and highest in percent of them.".into());
    lines
}

/// One line a measurement.
pub fn csv(reports: &[Report]) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text =
        String::from("tool,date,cpu,device,kind,api,driver,measurement,unit,median,low,high,repeats,note,failed\n");
    for (report, row) in columns(reports) {
        let device = &row.device;
        let head = [&report.tool.name, &report.date, &report.machine.cpu, &row.name, &device.kind.to_string()];
        let head: Vec<String> = head.into_iter().chain([&device.api, &device.driver]).map(|t| quote(t)).collect();
        let failed = quote(row.failed.as_deref().unwrap_or_default());
        for m in &row.measurements {
            let note = quote(m.note.as_deref().unwrap_or_default());
            let values = format!("{},{},{},{}", m.median, m.low, m.high, m.repeats);
            let _ = writeln!(text, "{},{},{},{values},{note},{failed}", head.join(","), quote(&m.name), quote(&m.unit));
        }
        if row.measurements.is_empty() {
            let _ = writeln!(text, "{},,,,,,,,{failed}", head.join(","));
        }
    }
    text
}

/// One self-contained page: bars for every measurement, the longest for the best.
pub fn html(reports: &[Report]) -> String {
    let columns = columns(reports);
    let mut body = String::new();
    for name in names(&columns) {
        let better = if name.higher_is_better { "more is better" } else { "less is better" };
        let note = name.note.as_ref().map(|note| format!("; {}", escape(note))).unwrap_or_default();
        let _ = write!(
            body,
            "<section><h2>{}</h2><p>{}, {better}{note}</p><table>",
            escape(&name.name),
            escape(&name.unit)
        );
        let found = columns.iter().filter_map(|column| Some((column, find(column.1, &name.name)?)));
        let longest = found.clone().map(|(_, m)| m.median).fold(0.0, f64::max);
        for (column, m) in found {
            let _ = write!(
                body,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"bar\"><svg role=\"presentation\" \
                 viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\"><rect width=\"{:.2}\" height=\"1\"/></svg></td></tr>",
                escape(&heading(column, reports)),
                escape(&cell(m)),
                100.0 * m.median / longest.max(f64::MIN_POSITIVE)
            );
        }
        body.push_str("</table></section>\n");
    }
    for (_, row) in columns.iter().filter(|(_, row)| row.failed.is_some()) {
        let reason = row.failed.as_deref().unwrap_or_default();
        let _ = writeln!(
            body,
            "<p class=\"failed\">FAILED: {}: {}</p>",
            escape(&row.device.to_string()),
            escape(&brief(reason))
        );
    }
    let software = columns.iter().any(is_software).then(|| SOFTWARE.to_string());
    let notes: String = notes(reports).iter().chain(&software).map(|line| format!("<p>{}</p>", escape(line))).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>tinderbox bench</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<style>{STYLE}</style></head>\n\
         <body><main><h1>tinderbox bench</h1>\n{body}<footer>{notes}</footer></main></body></html>\n"
    )
}

const STYLE: &str = "
:root { color-scheme: light dark; --bar: #0072b2; --ink: #1a1a1a; --page: #fff; --soft: #5a5a5a; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --bar: #56b4e9; --ink: #eee; --page: #16181c; --soft: #aaa; --bad: #ff8a80 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 0 }
main { max-width: 60rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.05rem; margin: 1.5rem 0 0 }
section p, footer { color: var(--soft); margin: 0 0 .3rem } footer { margin-top: 2rem; font-size: .9rem }
table { width: 100%; border-collapse: collapse } th { text-align: left; font-weight: normal; width: 45% }
td { text-align: right; white-space: nowrap; padding: .1rem .7rem } .bar { width: 30%; padding: 0 }
svg { display: block; width: 100%; height: 1rem } rect { fill: var(--bar) } .failed { color: var(--bad) }
@media (max-width: 40rem) { .bar { display: none } th { width: 60% } }
";
