//! Runs that stop, by a signal, by a kill or by a fault, and go on: the same bytes as a run that never stopped.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{SAMPLE, ok, photos, run, tinderbox, train, weights};
use tempfile::tempdir;

#[test]
fn a_resumed_run_ends_with_the_same_bytes_as_one_that_never_stopped() {
    let dir = tempdir().unwrap();
    for (name, options) in [
        ("sgd", &["--optimizer", "sgd", "--momentum", "0.9", "--lr", "0.05"][..]),
        ("adam", &["--optimizer", "adam", "--schedule", "step:1:0.9"]),
    ] {
        let whole = format!("{name}-whole");
        train(dir.path(), &[&["--epochs", "5", "--name", &whole], options].concat());
        train(dir.path(), &[&["--epochs", "2", "--name", name], options].concat());
        let path = format!("runs/mnist-sample/{name}");
        let again = ok(dir.path(), &["train", "--resume", &path, "--epochs", "5", "--device", "cpu"]);
        assert!(again.contains("resuming after epoch 2") && again.contains("epoch 5/5"), "{again}");
        assert_eq!(weights(dir.path(), name), weights(dir.path(), &whole), "{name}");
        let losses = |run: &str| {
            let path = dir.path().join("runs/mnist-sample").join(run);
            fs::read_to_string(path.join("steps.csv")).unwrap()
        };
        assert_eq!(losses(name), losses(&whole), "{name}");
    }
}

#[test]
fn a_run_with_a_rate_of_many_digits_or_with_changed_data_resumes_or_says_why_not() {
    let dir = tempdir().unwrap();
    photos(&dir.path().join("photos"), 20);
    let folder = ["--dataset", "folder:photos", "--batch", "8", "--lr", "0.0030721097322944186", "--device", "cpu"];
    ok(dir.path(), &[&["train", "cifar10-linear", "--epochs", "1", "--name", "r"][..], &folder].concat());
    let resume = ["train", "--resume", "runs/folder-photos/r", "--epochs", "2", "--device", "cpu"];
    ok(dir.path(), &resume);
    fs::remove_file(dir.path().join("photos/above/003.png")).unwrap();
    let more = ["train", "--resume", "runs/folder-photos/r", "--epochs", "3", "--device", "cpu"];
    let (code, _, stderr) = run(dir.path(), &more);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("trained with other data"), "{stderr}");
}

#[test]
fn another_recipe_cannot_be_resumed() {
    let dir = tempdir().unwrap();
    train(dir.path(), &["--epochs", "1", "--name", "r"]);
    let resume = ["train", "--resume", "runs/mnist-sample/r", "--device", "cpu"];
    let (code, _, stderr) = run(dir.path(), &[&resume[..], &["--lr", "0.2", "--seed", "9"]].concat());
    assert_eq!(code, 2);
    assert!(stderr.contains("learning_rate: 0.1 -> 0.2") && stderr.contains("seed: 0 -> 9"), "{stderr}");
    let (code, _, stderr) = run(dir.path(), &["train", "--name", "r", "--dataset", "mnist-sample", "--device", "cpu"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("--resume"), "{stderr}");
}

/// A run without an end, two epochs or more into it, and its table of epochs; `options` begin with its name.
#[cfg(unix)]
fn underway(dir: &Path, options: &[&str]) -> (std::process::Child, PathBuf) {
    let args = [&["train", "--epochs", "100000"][..], options, &SAMPLE].concat();
    let null = std::process::Stdio::null();
    let mut command = tinderbox(dir, &args);
    let child = command.stdout(null).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let metrics = dir.join("runs/mnist-sample").join(options[1]).join("metrics.csv");
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 3 {
        assert!(Instant::now() < deadline, "no epoch within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    (child, metrics)
}

#[test]
#[cfg(unix)]
fn a_signal_saves_within_the_epoch_and_the_rest_is_the_same() {
    let dir = tempdir().unwrap();
    let (mut child, metrics) = underway(dir.path(), &["--name", "stopped", "--batch", "50"]);
    let kill = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
    assert!(stderr.contains(" train --resume runs/mnist-sample/stopped"), "{stderr}");

    let done = fs::read_to_string(&metrics).unwrap().lines().count() - 1;
    let epochs = (done + 2).to_string();
    ok(dir.path(), &["train", "--resume", "runs/mnist-sample/stopped", "--epochs", &epochs, "--device", "cpu"]);
    train(dir.path(), &["--epochs", &epochs, "--name", "whole", "--batch", "50"]);
    assert_eq!(weights(dir.path(), "stopped"), weights(dir.path(), "whole"));
}

/// `TINDERBOX_TEST_KILLS` says how often, 25 times by default.
#[test]
#[cfg(unix)]
fn a_run_killed_at_random_moments_ends_with_the_same_bytes() {
    let wanted: usize = std::env::var("TINDERBOX_TEST_KILLS").map_or(25, |text| text.parse().unwrap());
    survives("adam", &["--epochs", "30", "--batch", "100", "--save-every", "1", "--optimizer", "adam"], wanted);
    // Slow weights, parameters that are stepped apart, and layers that are fitted to the images.
    let layers =
        "normalize, whiten, gelu, pool max 4, conv 4 bias off identity, norm scale off, gelu, flatten, linear classes";
    let fast = ["--epochs", "6", "--batch", "100", "--save-every", "1", "--layers", layers, "--norm-rate", "4"];
    let slow = ["--lookahead", "3:0.9", "--whitening-epochs", "2", "--momentum", "0.8", "--lr", "0.05"];
    survives("lookahead", &[&fast[..], &slow].concat(), wanted / 5);
}

#[cfg(unix)]
fn survives(what: &str, options: &[&str], wanted: usize) {
    let dir = tempdir().unwrap();
    train(dir.path(), &[options, &["--name", "whole"]].concat());
    let mut kills = 0;
    for round in 0.. {
        let name = format!("killed-{round}");
        let folder = format!("runs/mnist-sample/{name}");
        loop {
            let begun = dir.path().join(&folder).join("recipe.toml").is_file();
            let resume = ["train", "--resume", &folder, "--device", "cpu", "--save-every", "1"];
            let start = [&["train", "--name", &name][..], options, &SAMPLE].concat();
            let mut command = tinderbox(dir.path(), if begun { &resume } else { &start });
            let mut child =
                command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
            // A different moment each time, from before the first file to the last; no clock decides.
            std::thread::sleep(Duration::from_millis(15 + (kills as u64 * 7919 + 13) % 400));
            if kills < wanted && child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
                continue;
            }
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "after {kills} kills: {stderr}");
            break;
        }
        assert_eq!(weights(dir.path(), &name), weights(dir.path(), "whole"), "after {kills} kills");
        if kills >= wanted {
            break;
        }
    }
    println!("{what}: survived {kills} kills");
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let dir = tempdir().unwrap();
    train(dir.path(), &["--epochs", "1", "--name", "r"]);
    let part = dir.path().join("runs/mnist-sample/r/checkpoints/last/model.safetensors");
    let whole = fs::read(&part).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() / 2]] {
        fs::write(&part, damaged).unwrap();
        let (code, _, stderr) = run(dir.path(), &["train", "--resume", "runs/mnist-sample/r", "--epochs", "2"]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("model.safetensors") && stderr.contains("expected"), "{stderr}");
    }
}

#[test]
fn a_checkpoint_of_a_later_version_or_another_model_is_refused() {
    let dir = tempdir().unwrap();
    train(dir.path(), &["--epochs", "1", "--name", "r"]);
    let manifest = dir.path().join("runs/mnist-sample/r/checkpoints/last/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let resume = ["train", "--resume", "runs/mnist-sample/r", "--epochs", "2", "--device", "cpu"];
    let changed = [
        (text.replace("\"format\": 3", "\"format\": 4"), 1, "use a newer tinderbox"),
        (text.replace("\"format\": 3", "\"format\": 2"), 1, "use an older tinderbox"),
        (text.replace("\"linear_v1\"", "\"vgg11\""), 1, "manifest.json: layer 29, `pool max 2`, gets 512x1x1"),
        (text.replace("\"learning_rate\": 0.1", "\"learning_rate\": 0.2"), 2, "learning_rate: 0.2 -> 0.1"),
        (text.replace("manifest", "").replacen('{', "", 1), 1, "no checkpoint manifest"),
        (String::new(), 1, "no checkpoint manifest"),
    ];
    for (text, expected, hint) in changed {
        fs::write(&manifest, text).unwrap();
        let (code, _, stderr) = run(dir.path(), &resume);
        assert_eq!(code, expected, "{hint}: {stderr}");
        assert!(stderr.contains(hint), "{hint}: {stderr}");
    }
}

#[test]
#[cfg(unix)]
fn a_second_signal_ends_at_once() {
    let dir = tempdir().unwrap();
    let (mut child, _) = underway(dir.path(), &["--name", "r", "--save-every", "1"]);
    for _ in 0..2 {
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Whether the first signal's save was cut off or not, what is on disk is whole.
    ok(dir.path(), &["evaluate", "runs/mnist-sample/r", "--checkpoint", "last", "--device", "cpu"]);
}

#[test]
fn a_log_that_cannot_be_written_costs_a_warning_and_not_the_run() {
    let dir = tempdir().unwrap();
    train(dir.path(), &["--epochs", "1", "--name", "r"]);
    let folder = dir.path().join("runs/mnist-sample/r");
    for file in ["metrics.csv", "train_loss.svg"] {
        fs::remove_file(folder.join(file)).unwrap();
        fs::create_dir(folder.join(file)).unwrap(); // where a file is to be, a folder stands in the way
    }
    let resume = ["train", "--resume", "runs/mnist-sample/r", "--epochs", "3", "--device", "cpu"];
    let (code, stdout, stderr) = run(dir.path(), &resume);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("epoch 3/3"), "{stdout}");
    for file in ["metrics.csv", "train_loss.svg"] {
        assert_eq!(stderr.matches(&format!("{file}: ")).count(), 1, "one warning about {file}: {stderr}");
    }
    train(dir.path(), &["--epochs", "3", "--name", "whole"]);
    assert_eq!(weights(dir.path(), "r"), weights(dir.path(), "whole"));
}

/// `TINDERBOX_TEST_FAULT` ends the program at a point between two file operations of a save: at each of them in turn, of
/// first and of later saves, of `last`, `best` and `epoch-N`.
#[test]
fn a_run_killed_at_every_point_of_a_save_ends_with_the_same_bytes() {
    let dir = tempdir().unwrap();
    let options = ["--epochs", "2", "--save-every", "1", "--optimizer", "adam", "--fraction", "0.1", "--batch", "100"];
    train(dir.path(), &[&options[..], &["--name", "whole"]].concat());
    let expected = weights(dir.path(), "whole");
    let (mut killed, mut fresh, mut from_best) = (0, 0, 0);
    loop {
        let (name, point) = (format!("killed-{killed}"), (killed + 1).to_string());
        let start = [&["train", "--name", &name][..], &options, &SAMPLE].concat();
        let output = tinderbox(dir.path(), &start).env("TINDERBOX_TEST_FAULT", &point).output().unwrap();
        if output.status.success() {
            break; // there is no such point any more
        }
        assert_eq!(output.status.code(), None, "point {point}: {}", String::from_utf8_lossy(&output.stderr));
        let folder = format!("runs/mnist-sample/{name}");
        let (code, stdout, stderr) = run(dir.path(), &["train", "--resume", &folder, "--device", "cpu"]);
        assert_eq!(code, 0, "point {point}: {stdout} {stderr}");
        assert_eq!(weights(dir.path(), &name), expected, "point {point}");
        fresh += usize::from(stderr.contains("was never finished: starting from the beginning"));
        from_best += usize::from(stderr.contains("was never finished: going on from 'best'"));
        killed += 1;
        fs::remove_dir_all(dir.path().join(folder)).unwrap();
    }
    println!("{killed} points; {fresh} times nothing was saved yet, {from_best} times only the best");
    // Two saves each of `last`, `best` and `epoch-N`, of four files each, with some points a file.
    assert!(killed > 70 && fresh > 10 && from_best > 10, "{killed} {fresh} {from_best}");
}
