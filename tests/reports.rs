//! What several runs leave together, and what other programs read of a run.

mod common;

use std::fs;
use std::path::Path;

use common::{SAMPLE, json, ok, python, run, train};
use tempfile::tempdir;

#[test]
fn a_sweep_trains_every_combination_and_tells_mean_and_spread() {
    let dir = tempdir().unwrap();
    let sweep = |more: &[&str]| {
        let args = ["train", "--lr", "0.1,0.03", "--seed", "1,2,3", "--epochs", "2", "--name", "s"];
        run(dir.path(), &[&args[..], more, &SAMPLE].concat())
    };
    let (code, stdout, stderr) = sweep(&[]);
    assert_eq!(code, 0, "{stderr}");
    let accuracy = |seed: u32| -> f64 {
        let path = dir.path().join(format!("runs/s/lr0.1-seed{seed}/metrics.csv"));
        fs::read_to_string(path).unwrap().lines().last().unwrap().split(',').nth(3).unwrap().parse().unwrap()
    };
    let mean = (accuracy(1) + accuracy(2) + accuracy(3)) / 3.0;
    assert!(stdout.contains(&format!("learning rate 0.1, batch 500: final accuracy {mean:.2} % ± ")), "{stdout}");
    assert!(fs::read_to_string(dir.path().join("runs/s/report.html")).unwrap().contains("over 3 seeds"));
    let (code, stdout, _) = sweep(&[]); // again: nothing is left to do
    assert!(code == 0 && stdout.matches("already finished").count() == 6, "{stdout}");
    let (code, _, stderr) = sweep(&["--batch", "100,100"]);
    assert!(code == 2 && stderr.contains("is given twice"), "{stderr}");
    // A rate that is too high costs its own run only.
    let args = ["train", "--lr", "1e30,0.1", "--batch-norm", "off", "--epochs", "2", "--name", "t"];
    let (code, stdout, stderr) = run(dir.path(), &[&args[..], &SAMPLE].concat());
    assert!(
        code == 1 && stdout.contains("lr0.1") && stderr.contains("of 2 runs 1 did not come to their end"),
        "{stderr}"
    );
    let (code, _, stderr) = run(dir.path(), &["train", "--seed", "1,2", "--name", "../x", "--dataset", "mnist-sample"]);
    assert!(code == 2, "{stderr}");
    let (code, _, _) = sweep(&["--target-accuracy", "99"]);
    assert_eq!(code, 1);
    assert_eq!(run(dir.path(), &["train", "--seed", "1,2", "--resume", "runs/s/lr0.1-seed1"]).0, 2);
}

#[test]
fn a_reproduction_writes_one_report_and_goes_on_where_it_stopped() {
    let dir = tempdir().unwrap();
    let command = ["reproduce", "mnist", "--dataset", "mnist-sample", "--device", "cpu", "--epochs", "3"];
    let stdout = ok(dir.path(), &command);
    assert!(stdout.contains("linear_v1-bn-ce-on-probabilities") && stdout.contains("confirmed"), "{stdout}");
    let folder = dir.path().join("runs/reproduce-mnist");
    let report = fs::read_to_string(folder.join("report.md")).unwrap();
    for text in ["25:03", "linear_v0-mse", "beats its absence", "epoch 41"] {
        assert!(report.contains(text), "{text}: {report}");
    }
    assert!(fs::read_to_string(folder.join("report.html")).unwrap().contains("beats its absence"));
    // As if it had been interrupted before its last run.
    fs::remove_dir_all(folder.join("linear_v1-bn-ce")).unwrap();
    let stdout = ok(dir.path(), &command);
    assert_eq!(stdout.matches("already finished").count(), 4, "{stdout}");
    let (code, _, stderr) = run(dir.path(), &[&command[..], &["--seed", "1"]].concat());
    assert_eq!(code, 2);
    assert!(stderr.contains("seed: 0 -> 1"), "{stderr}");
}

#[test]
fn tensorboard_reads_every_scalar() {
    let Some(python) = python("tensorboard_reads_every_scalar", "tensorboard") else { return };
    let dir = tempdir().unwrap();
    train(dir.path(), &["--epochs", "2", "--name", "r"]);
    ok(dir.path(), &["train", "--resume", "runs/mnist-sample/r", "--epochs", "3", "--device", "cpu"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_tensorboard.py");
    let output = std::process::Command::new(python).arg(script).arg(dir.path().join("runs/mnist-sample/r")).output();
    let (code, stdout, stderr) = common::text(output.unwrap());
    assert_eq!(code, 0, "{stderr}");
    let read = json(&stdout);
    let scalars = &read["scalars"];
    assert!(read["texts"]["linear_v1/Recipe"][0].as_str().unwrap().contains("learning_rate = 0.1"), "{read}");
    for (tag, size) in [("linear_v1/Samples", 762), ("linear_v1/Confusion", 900)] {
        assert_eq!(read["images"][tag][0][0], size, "{tag}");
        assert_eq!(read["images"][tag][0][2], "89504e47", "{tag} is a PNG file");
    }
    let column = |file: &str, index: usize| -> Vec<f64> {
        let text = fs::read_to_string(dir.path().join("runs/mnist-sample/r").join(file)).unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(index).unwrap().parse().unwrap()).collect()
    };
    for (tag, expected) in [
        ("linear_v1/Train_Loss", column("steps.csv", 1)),
        ("linear_v1/Test_Loss", column("metrics.csv", 2)),
        ("linear_v1/Test_Accuracy", column("metrics.csv", 3)),
    ] {
        let found = scalars[tag].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{tag}");
        for (i, (pair, expected)) in found.iter().zip(expected).enumerate() {
            assert_eq!(pair[0], i + 1, "{tag}: steps count from 1");
            assert!((pair[1].as_f64().unwrap() - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{tag} {i}");
        }
    }
}
