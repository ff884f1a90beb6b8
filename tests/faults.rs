//! Faults of the machine: a full disk, a folder that cannot be written, a clock that jumps, memory that runs out, runs
//! that last; and a checkpoint that is damaged while an older one is whole.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Need, SAMPLE, gpu_request, ok, run, skip, text, tinderbox, weights};
use tempfile::tempdir;

#[test]
fn older_checkpoints_are_kept_and_offered_when_the_last_is_damaged() {
    let dir = tempdir().unwrap();
    let train = |args: &[&str]| ok(dir.path(), &[&["train"][..], args, &SAMPLE].concat());
    train(&["--epochs", "6", "--save-every", "1", "--keep", "2", "--name", "whole"]);
    train(&["--epochs", "5", "--save-every", "1", "--keep", "2", "--name", "r"]);
    let checkpoints = dir.path().join("runs/mnist-sample/r/checkpoints");
    let mut names: Vec<String> =
        fs::read_dir(&checkpoints).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["best", "epoch-3", "epoch-4", "last"]);

    let part = checkpoints.join("last/optimizer.burnpack");
    let mut bytes = fs::read(&part).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&part, bytes).unwrap();
    let resume = ["train", "--resume", "runs/mnist-sample/r", "--epochs", "6", "--device", "cpu"];
    let (code, _, stderr) = run(dir.path(), &resume);
    assert_eq!(code, 1);
    assert!(stderr.contains("Another one is whole: go on from it with --checkpoint "), "{stderr}");
    fs::remove_dir_all(checkpoints.join("best")).unwrap();
    let (_, _, stderr) = run(dir.path(), &resume);
    assert!(stderr.contains("Another one is whole: go on from it with --checkpoint epoch-4"), "{stderr}");
    ok(dir.path(), &[&resume[..], &["--checkpoint", "epoch-4"]].concat());
    assert_eq!(weights(dir.path(), "r"), weights(dir.path(), "whole"));
    ok(dir.path(), &["evaluate", "runs/mnist-sample/r", "--checkpoint", "epoch-4", "--device", "cpu"]);
    let (code, _, stderr) = run(dir.path(), &["evaluate", "runs/mnist-sample/r", "--checkpoint", "lest"]);
    assert!(code == 2 && stderr.contains("best"), "{stderr}");
}

/// `script` in a world of its own, where it may mount; none where the system does not let us.
#[cfg(target_os = "linux")]
fn mounting(test: &str, dir: &Path, script: &str) -> Option<(i32, String, String)> {
    let unshare = |script: &str| {
        let mut command = tinderbox(dir, &[]); // for its environment
        let program = command.get_program().to_owned();
        let mut shell = Command::new("unshare");
        shell.args(["-rm", "sh", "-c", script]).current_dir(dir).env("PROGRAM", program);
        command.get_envs().for_each(|(key, value)| match value {
            Some(value) => drop(shell.env(key, value)),
            None => drop(shell.env_remove(key)),
        });
        command.env_clear();
        shell.output()
    };
    let allowed = unshare("mkdir -p probe && mount -t tmpfs none probe").is_ok_and(|o| o.status.success());
    if !allowed {
        skip(Need::System, test, "this system lets nobody mount (unshare -rm)");
        return None;
    }
    Some(text(unshare(script).unwrap()))
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_ends_the_run_and_leaves_its_checkpoint() {
    let dir = tempdir().unwrap();
    let sample = "--dataset mnist-sample --device cpu --save-every 1 --keep 0";
    // The second run starts with what the first left, and a disk with no room for one more checkpoint.
    let script = format!(
        "set -e; mkdir small; mount -t tmpfs -o size=4m none small; cd small
         \"$PROGRAM\" train --epochs 2 --name r {sample} > /dev/null
         head -c 4000000 /dev/zero > filler 2>/dev/null || true
         truncate -s -200K filler
         set +e; \"$PROGRAM\" train --resume runs/mnist-sample/r --epochs 50 --device cpu --save-every 1; echo code $?
         rm filler; \"$PROGRAM\" train --resume runs/mnist-sample/r --epochs 4 --device cpu; echo again $?"
    );
    let test = "a_full_disk_ends_the_run_and_leaves_its_checkpoint";
    let Some((_, stdout, stderr)) = mounting(test, dir.path(), &script) else { return };
    assert!(stdout.contains("code 1"), "{stdout} {stderr}");
    assert!(stderr.contains("error: cannot write runs/mnist-sample/r/checkpoints/"), "{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert!(stdout.contains("resuming after epoch 2") && stdout.contains("again 0"), "{stdout} {stderr}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_cannot_be_written_is_an_error() {
    let dir = tempdir().unwrap();
    let script = "mkdir runs; mount -t tmpfs -o ro none runs
                  \"$PROGRAM\" train --dataset mnist-sample --device cpu --epochs 1";
    let test = "a_folder_that_cannot_be_written_is_an_error";
    let Some((code, _, stderr)) = mounting(test, dir.path(), script) else { return };
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("runs/mnist-sample") && stderr.contains("Read-only file system"), "{stderr}");
}

#[test]
fn of_two_runs_with_one_name_one_trains() {
    let dir = tempdir().unwrap();
    let args = [&["train", "--epochs", "3", "--name", "r"][..], &SAMPLE].concat();
    let children: Vec<_> = (0..4)
        .map(|_| tinderbox(dir.path(), &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let ends: Vec<_> = children.into_iter().map(|child| text(child.wait_with_output().unwrap())).collect();
    let mut codes: Vec<i32> = ends.iter().map(|end| end.0).collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 2, 2, 2], "{ends:?}");
    assert!(ends.iter().filter(|end| end.0 == 2).all(|end| end.2.contains("there is a run at")), "{ends:?}");
    ok(dir.path(), &["evaluate", "runs/mnist-sample/r", "--device", "cpu"]);
}

/// Ten years forth and back while a run trains: libfaketime stands between the program and the clock.
#[test]
#[cfg(target_os = "linux")]
fn a_clock_that_jumps_changes_nothing() {
    let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|arch| format!("/usr/lib/{arch}/faketime/libfaketime.so.1"))
        .into_iter()
        .find(|path| Path::new(path).is_file());
    let Some(library) = library else {
        skip(Need::System, "a_clock_that_jumps_changes_nothing", "needs libfaketime (Debian: libfaketime)");
        return;
    };
    let dir = tempdir().unwrap();
    let options = ["--epochs", "60", "--batch", "100", "--save-every", "5"];
    ok(dir.path(), &[&["train", "--name", "plain"][..], &options, &SAMPLE].concat());
    let clock = dir.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let mut child = tinderbox(dir.path(), &[&["train", "--name", "jumps"][..], &options, &SAMPLE].concat())
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut jumps = 0;
    while child.try_wait().unwrap().is_none() {
        jumps += 1;
        fs::write(&clock, if jumps % 2 == 0 { "+10y" } else { "-10y" }).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    let (code, _, stderr) = text(child.wait_with_output().unwrap());
    assert!(code == 0 && jumps > 2, "{jumps} jumps: {stderr}");
    assert_eq!(weights(dir.path(), "jumps"), weights(dir.path(), "plain"));
    let metrics = fs::read_to_string(dir.path().join("runs/mnist-sample/jumps/metrics.csv")).unwrap();
    for line in metrics.lines().skip(1) {
        let seconds: f64 = line.split(',').nth(5).unwrap().parse().unwrap();
        assert!((0.0..60.0).contains(&seconds), "{line}");
    }
}

/// Memory that a process holds, in MB.
#[cfg(target_os = "linux")]
fn resident(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// 200 epochs hold no more memory at their end than after 40 on the CPU; on a software adapter 40 and 10, or
/// `TINDERBOX_TEST_SOAK=200`.
#[test]
#[cfg(target_os = "linux")]
fn memory_stays_flat_over_many_epochs() {
    let wanted = std::env::var("TINDERBOX_TEST_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let gpu = gpu_request("memory_stays_flat_over_many_epochs");
    for (device, epochs) in [(Some("cpu".to_string()), 200), (gpu, wanted)] {
        let Some(device) = device else { continue };
        let dir = tempdir().unwrap();
        let (count, early) = (epochs.to_string(), epochs / 5);
        let mut child = tinderbox(
            dir.path(),
            &["train", "--dataset", "mnist-sample", "--device", &device, "--epochs", &count, "--name", "soak"],
        )
        .env("CUBECL_AUTOTUNE_LEVEL", "minimal")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        let metrics = dir.path().join("runs/mnist-sample/soak/metrics.csv");
        let done = || fs::read_to_string(&metrics).map_or(0, |text| text.lines().count().saturating_sub(1));
        let (mut before, mut after) = (0.0f64, 0.0f64);
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(1200));
            if let Some(now) = resident(child.id()) {
                match done() {
                    n if n < early => {}
                    n if n < 2 * early => before = before.max(now),
                    n if n < epochs => after = after.max(now), // the charts of the end take memory of their own
                    _ => {}
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let (code, _, stderr) = text(child.wait_with_output().unwrap());
        assert_eq!(code, 0, "{stderr}");
        println!("{device}: {before:.1} MB up to epoch {}, {after:.1} MB up to epoch {epochs}", 2 * early);
        assert!(before > 0.0 && after < before * 1.05 + 8.0, "{device}: {before:.1} MB, then {after:.1} MB");
    }
}

#[test]
fn out_of_memory_on_a_device_says_what_to_do() {
    let Some(device) = gpu_request("out_of_memory_on_a_device_says_what_to_do") else { return };
    let dir = tempdir().unwrap();
    for split in ["train", "test"] {
        for class in ["a", "b"] {
            let folder = dir.path().join("photos").join(split).join(class);
            fs::create_dir_all(&folder).unwrap();
            for i in 0..600u32 {
                image::RgbImage::from_pixel(32, 32, image::Rgb([i as u8, 9, 9]))
                    .save(folder.join(format!("{i}.bmp")))
                    .unwrap();
            }
        }
    }
    let args =
        ["train", "cifar10-vgg11", "--dataset", "folder:photos", "--width", "2", "--batch", "1200", "--epochs", "1"];
    let mut command = tinderbox(dir.path(), &[&args[..], &["--device", &device]].concat());
    let (code, stdout, stderr) = text(command.env("CUBECL_AUTOTUNE_LEVEL", "minimal").output().unwrap());
    assert_eq!(code, 1, "{stdout} {stderr}");
    assert!(stderr.contains("out of memory") && stderr.contains("smaller --batch"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// One thread or two: the same losses, at least to within rounding.
#[test]
fn threads_change_only_the_last_digits() {
    let dir = tempdir().unwrap();
    let losses = |threads: &str| -> Vec<f64> {
        let name = format!("t{threads}");
        let args = [&["train", "--epochs", "2", "--name", &name][..], &SAMPLE].concat();
        let output = tinderbox(dir.path(), &args).env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert!(output.status.success());
        let csv = fs::read_to_string(dir.path().join("runs/mnist-sample").join(name).join("steps.csv")).unwrap();
        csv.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
    };
    let (one, two) = (losses("1"), losses("2"));
    let largest = one.iter().zip(&two).map(|(a, b)| ((a - b) / a).abs()).fold(0.0, f64::max);
    println!("largest relative difference of a loss: {largest:.1e}");
    assert!(one.len() == 16 && largest < 1e-4, "{largest}");
}

/// Five seeds: after five epochs they reached 90.8 to 91.4 %, so 89 is three times that spread below the lowest.
#[test]
fn a_network_learns_whatever_the_seed() {
    let dir = tempdir().unwrap();
    let accuracies: Vec<f64> = (0..5)
        .map(|seed| {
            let (name, seed) = (format!("s{seed}"), seed.to_string());
            ok(dir.path(), &[&["train", "--epochs", "5", "--seed", &seed, "--name", &name][..], &SAMPLE].concat());
            let csv = fs::read_to_string(dir.path().join("runs/mnist-sample").join(name).join("metrics.csv")).unwrap();
            let values: Vec<f64> =
                csv.lines().skip(1).map(|line| line.split(',').nth(3).unwrap().parse().unwrap()).collect();
            assert!(values[4] > values[0], "{values:?}");
            values[4]
        })
        .collect();
    println!("test accuracy after five epochs: {accuracies:?}");
    assert!(accuracies.iter().all(|&accuracy| accuracy > 89.0), "{accuracies:?}");
}
