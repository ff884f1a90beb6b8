//! The JSON of a benchmark, version 1.
//!
//! A report is `{schema, tool, machine, date, quick, rows}`. A row is one device, or one peer (another program on a
//! device): `{name, device, failed, warmup_seconds, tuned, measurements}`. A measurement is `{name, unit, median, low,
//! high, repeats, higher_is_better, note}`. Fields may be added within a version; readers ignore what they do not know.
//! `tests/bench_schema.json` is a report as an example.

use serde::{Deserialize, Serialize};

use crate::compute::DeviceInfo;

/// What the field `schema` says.
pub const SCHEMA: &str = "tinderbox-bench/1";

/// A benchmark of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The program that measured.
    pub tool: Tool,
    /// The computer that was measured.
    pub machine: Machine,
    /// UTC, as `2026-11-24T10:00:00Z`.
    pub date: String,
    /// Whether sizes and repeats were cut down to finish within a minute on a CPU.
    pub quick: bool,
    /// A row for each device.
    pub rows: Vec<Row>,
}

impl Report {
    /// The name of its file among the reports of many machines: the best of its devices, and the system. A newer report of the
    /// same machine has the same name.
    pub fn file_name(&self) -> String {
        let best = self.rows.iter().min_by_key(|row| row.device.kind).map_or("nothing", |row| &row.name);
        let peer = if self.tool.name == Tool::this().name { "" } else { &self.tool.name };
        let words = format!("{peer} {best} {}", self.machine.os).to_lowercase();
        let words: Vec<&str> =
            words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        format!("{}.json", words.join("-"))
    }
}

/// The program that measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// `tinderbox`, or the name of a peer.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// The git commit it was built from, with `-dirty` if there were changes; empty if unknown.
    #[serde(default)]
    pub commit: String,
    /// The version of burn, or empty.
    #[serde(default)]
    pub burn: String,
    /// The version of wgpu, or empty.
    #[serde(default)]
    pub wgpu: String,
}

impl Tool {
    /// This program.
    pub fn this() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            commit: env!("TINDERBOX_COMMIT").into(),
            burn: env!("TINDERBOX_BURN").into(),
            wgpu: env!("TINDERBOX_WGPU").into(),
        }
    }
}

/// The computer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// `linux x86_64` and so on; a browser's name in a page.
    pub os: String,
    /// The processor's name.
    pub cpu: String,
    /// Threads that run at once.
    pub threads: usize,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The device's name, or the peer's and its version.
    pub name: String,
    /// What the device is.
    pub device: DeviceInfo,
    /// Why the row ends early, or its results cannot be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Seconds of compiling, tuning and warming up, which no measurement contains.
    pub warmup_seconds: f64,
    /// Operations that were tuned in this time; 0 if their tuning was known.
    #[serde(default)]
    pub tuned: usize,
    /// What was measured, in the order of measuring.
    pub measurements: Vec<Measurement>,
}

/// One number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Such as `train_linear_v1`; the same name means the same work, of a size that the note tells.
    pub name: String,
    /// Such as `images/s`.
    pub unit: String,
    /// The median of the repeats.
    pub median: f64,
    /// The lowest of the repeats.
    pub low: f64,
    /// The highest of the repeats.
    pub high: f64,
    /// How often it was measured.
    pub repeats: usize,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// What is unlike on this device: a smaller size, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Measurement {
    /// The measurement of at least one value.
    pub fn new(name: &str, unit: &str, mut values: Vec<f64>, higher_is_better: bool, note: Option<String>) -> Self {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
        Self {
            name: name.into(),
            unit: unit.into(),
            median: if n.is_multiple_of(2) { (at(n / 2) + at((n / 2).wrapping_sub(1))) / 2.0 } else { at(n / 2) },
            low: at(0),
            high: at(n.wrapping_sub(1)),
            repeats: n,
            higher_is_better,
            note,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_spread_are_of_the_values() {
        let m = Measurement::new("a", "s", vec![3.0, 1.0, 2.0], false, None);
        assert_eq!((m.low, m.median, m.high, m.repeats), (1.0, 2.0, 3.0, 3));
        assert_eq!(Measurement::new("a", "s", vec![1.0, 4.0, 2.0, 3.0], false, None).median, 2.5);
    }
}
