//! `tinderbox bench`: what it measures, how it takes failures, and what it makes of reports.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{may_be_long, ok, run, tinderbox};
use serde_json::{Value, json};
use tempfile::tempdir;

/// Two machines, a software adapter and a peer; the numbers are made up.
const EXAMPLE: &str = include_str!("bench_schema.json");

#[test]
fn a_quick_benchmark_of_the_cpu_is_complete() {
    if !may_be_long("a_quick_benchmark_of_the_cpu_is_complete") {
        return;
    }
    let dir = tempdir().unwrap();
    let text = ok(dir.path(), &["bench", "--quick", "--device", "cpu", "-o", "json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["schema"], "tinderbox-bench/1");
    assert_eq!(report["quick"], true);
    assert_eq!(report["tool"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(report["tool"]["burn"].as_str().unwrap().starts_with("0.22."), "{}", report["tool"]);
    assert!(report["tool"]["wgpu"].as_str().unwrap().starts_with("30."), "{}", report["tool"]);
    let row = &report["rows"][0];
    assert_eq!((row["device"]["kind"].as_str(), row.get("failed")), (Some("cpu"), None));
    let measurements = row["measurements"].as_array().unwrap();
    let names: Vec<&str> = measurements.iter().map(|m| m["name"].as_str().unwrap()).collect();
    for name in [
        "launch",
        "memory",
        "matmul_f32",
        "conv_f32",
        "gather",
        "train_linear_v1",
        "compute_share_linear_v1",
        "memory_share_linear_v1",
        "infer_linear_v1_1",
        "infer_linear_v1_256",
        "time_to_95_percent",
        "train_vgg11",
        "compute_share_vgg11",
        "infer_vgg11_1",
        "infer_vgg11_256",
    ] {
        assert!(names.contains(&name), "{name} is missing: {names:?}");
    }
    for m in measurements {
        let [low, median, high] = ["low", "median", "high"].map(|key| m[key].as_f64().unwrap());
        assert!(0.0 < low && low <= median && median <= high && high.is_finite(), "{m}");
        assert!(m["repeats"].as_u64().unwrap() >= 5, "{m}");
    }

    // What it wrote, it reads.
    fs::write(dir.path().join("mine.json"), text).unwrap();
    let table = ok(dir.path(), &["bench", "--compare", "mine.json"]);
    assert!(table.contains("| train_linear_v1 | images/s |"), "{table}");
}

/// `TINDERBOX_BLESS=1` writes it anew.
#[test]
fn the_board_is_of_its_reports() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut reports: Vec<String> = fs::read_dir(root.join("data/benchmarks"))
        .unwrap()
        .map(|entry| format!("data/benchmarks/{}", entry.unwrap().file_name().to_str().unwrap()))
        .filter(|name| name.ends_with(".json"))
        .collect();
    reports.sort();
    let args: Vec<&str> = ["bench", "--compare"].into_iter().chain(reports.iter().map(String::as_str)).collect();
    let made = ok(root, &args);
    let board = root.join("docs/benchmarks.md");
    if std::env::var_os("TINDERBOX_BLESS").is_some() {
        fs::write(&board, &made).unwrap();
    }
    let expected = fs::read_to_string(&board).unwrap();
    assert!(made == expected, "docs/benchmarks.md is not of these reports: {}", args.join(" "));
    for name in &reports {
        let report: tinderbox::bench::Report = serde_json::from_slice(&fs::read(root.join(name)).unwrap()).unwrap();
        assert_eq!(*name, format!("data/benchmarks/{}", report.file_name()));
    }
}

#[test]
fn reports_of_several_machines_and_peers_become_one_table() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("a.json"), EXAMPLE).unwrap();
    let mut other: Value = serde_json::from_str(EXAMPLE).unwrap();
    other["machine"]["cpu"] = "Other <CPU> | 9".into();
    other["a field of a later version"] = json!({"x": 1});
    other["rows"].as_array_mut().unwrap().truncate(1);
    fs::write(dir.path().join("b.json"), other.to_string()).unwrap();

    let table = ok(dir.path(), &["bench", "--compare", "a.json", "b.json"]);
    let full: Vec<&str> = table.lines().skip_while(|line| !line.starts_with("| | unit")).collect();
    let head = full[0];
    assert_eq!(head.matches(" | ").count(), full[2].matches(" | ").count(), "{table}");
    // The overview has no software adapter, and those have a table of their own.
    assert!(
        table.lines().take_while(|line| !line.starts_with("| | unit")).all(|line| !line.contains("llvmpipe")),
        "{table}"
    );
    assert!(!head.contains("llvmpipe") && full.iter().skip(1).any(|line| line.starts_with("| | unit")), "{table}");
    assert!(head.contains("Other <CPU> / 9"), "{head}");
    assert!(table.contains("12,000 ±5 %"), "{table}");
    assert!(table.contains("FAILED: llvmpipe (Vulkan, software) on Example CPU: at train_vgg11"), "{table}");
    assert!(table.contains("imitated by the CPU"), "{table}");

    let csv = ok(dir.path(), &["bench", "--compare", "a.json", "-o", "csv"]);
    assert_eq!(csv.lines().count(), 1 + 4, "a line a measurement: {csv}");
    let gpu = csv.lines().nth(1).unwrap();
    let end = "\"train_linear_v1\",\"images/s\",12000,11400,12600,9,\"batch 500\",\"\"";
    assert!(gpu.starts_with("\"tinderbox\",\"2026-11-24T10:00:00Z\",\"Example CPU\"") && gpu.ends_with(end), "{gpu}");

    let page = ok(dir.path(), &["bench", "--compare", "a.json", "b.json", "-o", "html"]);
    assert!(page.contains("Other &lt;CPU&gt; | 9") && !page.contains("Other <CPU>"), "{page}");
    assert!(page.contains("FAILED: llvmpipe"), "{page}");
    for outside in ["http:", "https:", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn reports_that_are_none_are_refused_by_name() {
    let dir = tempdir().unwrap();
    for (text, expected) in [
        ("", "expected a report"),
        ("{}", "its schema is missing"),
        ("{\"schema\": \"tinderbox-bench/9\"}", "tinderbox-bench/9"),
        ("{\"schema\": \"tinderbox-bench/1\"}", "missing field"),
    ] {
        fs::write(dir.path().join("bad.json"), text).unwrap();
        let (code, _, stderr) = run(dir.path(), &["bench", "--compare", "bad.json"]);
        assert!(code == 1 && stderr.contains("bad.json") && stderr.contains(expected), "{text}: {code} {stderr}");
    }
    let (code, _, stderr) = run(dir.path(), &["bench", "--compare", "absent.json"]);
    assert!(code == 1 && stderr.contains("absent.json"), "{stderr}");
    fs::write(dir.path().join("good.json"), EXAMPLE).unwrap();
    assert_eq!(run(dir.path(), &["bench", "--compare", "good.json", "-o", "json"]).0, 2);
    assert_eq!(run(dir.path(), &["bench", "--timeout", "0"]).0, 2);
    assert_eq!(run(dir.path(), &["bench", "--device", "no such"]).0, 1);
}

#[test]
fn a_device_that_hangs_is_a_failed_row_with_what_it_had_measured() {
    let dir = tempdir().unwrap();
    let (code, stdout, _) = run(dir.path(), &["bench", "--device", "cpu", "--timeout", "10", "-o", "json"]);
    let row = &serde_json::from_str::<Value>(&stdout).unwrap()["rows"][0];
    assert!(row["failed"].as_str().unwrap().contains("not done after 10 s"), "{row}");
    assert_eq!(row["measurements"][0]["name"], "launch");
    assert_eq!(code, 1, "no device finished");
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_that_crashes_is_a_failed_row() {
    let dir = tempdir().unwrap();
    let mut bench = tinderbox(dir.path(), &["bench", "--device", "cpu", "-o", "json"]);
    let bench = bench.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", bench.id());
    let worker = (0..500).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let child = fs::read_to_string(&children).unwrap_or_default().trim().to_string();
        Path::new(&format!("/proc/{child}/exe")).exists().then_some(child).filter(|child| !child.is_empty())
    });
    assert!(Command::new("kill").args(["-9", &worker.unwrap()]).status().unwrap().success());
    let (code, stdout, _) = common::text(bench.wait_with_output().unwrap());
    let row = &serde_json::from_str::<Value>(&stdout).unwrap()["rows"][0];
    assert!(row["failed"].as_str().unwrap().contains("signal: 9"), "{row}");
    assert_eq!(code, 1);
}
