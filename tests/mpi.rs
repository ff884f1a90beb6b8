//! Training over the ranks of an MPI job, started by Open MPI's `mpirun` on this machine.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Need, assert_close, ok, required, skip, text, tinderbox};
use serde_json::Value;
use tempfile::tempdir;
use tinderbox::compute::{Request, list};
use tinderbox::runs::RunDir;
use tinderbox::training::metrics::EpochMetrics;

const TRAIN: [&str; 9] = ["train", "--dataset", "mnist-sample", "--device", "cpu", "--epochs", "3", "--batch", "333"];

/// Whether `mpirun` is Open MPI's.
fn has_mpirun(test: &str) -> bool {
    let version = Command::new("mpirun").arg("--version").output();
    let found = version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("Open MPI"));
    if !found {
        skip(Need::Mpi, test, "needs Open MPI's mpirun (Debian: openmpi-bin)");
    }
    found
}

/// The program on so many ranks.
fn job(dir: &Path, ranks: usize, args: &[&str]) -> Command {
    let program = tinderbox(dir, args);
    let mut command = Command::new("mpirun");
    // More ranks than cores are all right here, and so is root.
    command.args(["--oversubscribe", "-n", &ranks.to_string()]).arg(program.get_program()).args(args).current_dir(dir);
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command
}

fn run_job(dir: &Path, ranks: usize, args: &[&str]) -> (i32, String, String) {
    text(job(dir, ranks, args).output().unwrap())
}

/// Runs it to its end, and insists on success.
fn job_ok(dir: &Path, ranks: usize, args: &[&str]) -> String {
    let (code, stdout, stderr) = run_job(dir, ranks, args);
    assert_eq!(code, 0, "{ranks} ranks of {args:?}\n{stdout}\n{stderr}");
    stdout
}

fn metrics(dir: &Path, name: &str) -> Vec<EpochMetrics> {
    RunDir::open(dir.join("runs/mnist-sample").join(name)).unwrap().metrics().unwrap()
}

#[test]
fn ranks_learn_as_one_device() {
    if !has_mpirun("ranks_learn_as_one_device") {
        return;
    }
    let dir = tempdir().unwrap();
    // The last batch of an epoch has four images. Dropout draws by the position of an image in the batch.
    let networks: [&[&str]; 3] = [
        &["--batch-norm", "off"],
        &["--sync-batch-norm", "on"],
        &[
            "--layers",
            "conv 4, norm, relu, pool max 2, flatten, dropout 0.2, linear classes",
            "--sync-batch-norm",
            "on",
        ],
    ];
    for (i, network) in networks.iter().enumerate() {
        let name = |ranks: usize| format!("net{i}-{ranks}");
        ok(dir.path(), &[&TRAIN[..], network, &["--name", &name(1)]].concat());
        for ranks in [2, 3] {
            let name = name(ranks);
            let said = job_ok(dir.path(), ranks, &[&TRAIN[..], network, &["--name", &name]].concat());
            assert_eq!(said.matches("epoch 2/3").count(), 1, "one rank speaks: {said}");
            assert_close(&metrics(dir.path(), &format!("net{i}-1")), &metrics(dir.path(), &name), 1e-5);
            let device = RunDir::open(dir.path().join("runs/mnist-sample").join(name)).unwrap().device().unwrap();
            assert_eq!(device.others.len(), ranks - 1);
        }
    }
    // Where every rank normalizes its own share, it is another training, and learns about as much.
    job_ok(dir.path(), 2, &[&TRAIN[..], &["--name", "own"]].concat());
    let (one, own) = (metrics(dir.path(), "net1-1"), metrics(dir.path(), "own"));
    let apart = (one[2].train_loss - own[2].train_loss).abs();
    assert!(apart > 1e-4 && apart < 0.1, "{one:?} {own:?}");
}

#[test]
fn ranks_that_stream_their_shares_learn_as_one_that_has_all_images() {
    if !has_mpirun("ranks_that_stream_their_shares_learn_as_one_that_has_all_images") {
        return;
    }
    let dir = tempdir().unwrap();
    ok(dir.path(), &[&TRAIN[..], &["--sync-batch-norm", "on", "--name", "one"]].concat());
    job_ok(dir.path(), 3, &[&TRAIN[..], &["--sync-batch-norm", "--resident", "0", "--name", "three"]].concat());
    assert_close(&metrics(dir.path(), "one"), &metrics(dir.path(), "three"), 1e-5);
}

#[test]
fn a_cpu_and_a_gpu_learn_as_one() {
    const TEST: &str = "a_cpu_and_a_gpu_learn_as_one";
    if !has_mpirun(TEST) {
        return;
    }
    if !(required(Need::Gpu) && list(&Request::Gpu).iter().any(|found| found.info.name.contains("llvmpipe"))) {
        return skip(Need::Gpu, TEST, "needs llvmpipe");
    }
    let dir = tempdir().unwrap();
    let mut args = [&TRAIN[..], &["--batch-norm", "off", "--name", "one"]].concat();
    ok(dir.path(), &args);
    args[4] = "cpu,llvmpipe";
    *args.last_mut().unwrap() = "both";
    job_ok(dir.path(), 2, &args);
    assert_close(&metrics(dir.path(), "one"), &metrics(dir.path(), "both"), 1e-5);
}

#[test]
fn what_ranks_measure_is_what_one_measures_and_they_reproduce() {
    if !has_mpirun("what_ranks_measure_is_what_one_measures_and_they_reproduce") {
        return;
    }
    let dir = tempdir().unwrap();
    ok(dir.path(), &[&TRAIN[..], &["--name", "run"]].concat());
    let evaluate = ["evaluate", "runs/mnist-sample/run", "--device", "cpu", "--json"];
    let one: Value = serde_json::from_str(&ok(dir.path(), &evaluate)).unwrap();
    let all: Value = serde_json::from_str(&job_ok(dir.path(), 3, &evaluate)).unwrap();
    assert_eq!((&one["confusion"], &one["accuracy"]), (&all["confusion"], &all["accuracy"]));
    assert!((one["loss"].as_f64().unwrap() - all["loss"].as_f64().unwrap()).abs() < 1e-6, "{one} {all}");
    // Normalization that follows none of our own operations: tests go by its running statistics. The convolution makes the backward
    // pass long enough for gradients to be sent within it.
    let layers =
        "norm, conv 8, relu, pool max 4, flatten, linear 16 bias off, norm, residual [norm, relu], linear classes";
    job_ok(dir.path(), 2, &[&TRAIN[..], &["--layers", layers, "--name", "layers"]].concat());
    let last = ["evaluate", "runs/mnist-sample/layers", "--checkpoint", "last", "--device", "cpu", "--json"];
    let found: Value = serde_json::from_str(&ok(dir.path(), &last)).unwrap();
    let told = metrics(dir.path(), "layers").last().unwrap().test_loss;
    assert!((found["loss"].as_f64().unwrap() - told).abs() < 1e-4, "{found} {told}");
    let reproduce = ["reproduce", "mnist", "--dataset", "mnist-sample", "--device", "cpu", "--epochs", "1"];
    let said = job_ok(dir.path(), 2, &reproduce);
    assert_eq!(said.matches("epoch 1/1").count(), 5, "{said}");
}

#[test]
fn one_rank_tells_what_is_wrong_and_a_command_that_needs_no_others_runs_once() {
    if !has_mpirun("one_rank_tells_what_is_wrong_and_a_command_that_needs_no_others_runs_once") {
        return;
    }
    let dir = tempdir().unwrap();
    for (args, code, words) in [
        (&["train", "--dataset", "mnits"][..], 2, "Did you mean 'mnist'"),
        (&["train", "--dataset", "mnist-sample", "--device", "nothing"], 1, "no device matches 'nothing'"),
        (&["train", "--dataset", "mnist-sample", "--device", "cpu", "--lr", "1e30"], 1, "the loss became"),
    ] {
        let (found, _, stderr) = run_job(dir.path(), 2, args);
        assert_eq!((found, stderr.contains(words)), (code, true), "{stderr}");
        assert_eq!(stderr.matches("error: ").count(), 1, "{stderr}");
    }
    assert_eq!(job_ok(dir.path(), 2, &["devices"]).matches("burn-flex").count(), 1);
}

/// A long run on two ranks that has saved a checkpoint by now.
fn a_run(dir: &Path, name: &str) -> Child {
    let mut args = [&TRAIN[..], &["--save-every", "1", "--name", name]].concat();
    args[6] = "100000";
    let run = job(dir, 2, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let saved = dir.join("runs/mnist-sample").join(name).join("checkpoints/last/manifest.json");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !saved.exists() {
        assert!(Instant::now() < deadline, "no checkpoint after a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    run
}

/// Goes on with a run that ended, on another number of ranks, and compares it with one that was never interrupted.
fn goes_on(dir: &Path, name: &str, ranks: usize) {
    let resume = format!("runs/mnist-sample/{name}");
    let saved = tinderbox::runs::load(&dir.join(&resume).join("checkpoints"), "last").unwrap();
    let epochs = (saved.progress.history.len() + 2).to_string();
    let args = ["train", "--resume", &resume, "--epochs", &epochs, "--device", "cpu"];
    let said = if ranks == 1 { ok(dir, &args) } else { job_ok(dir, ranks, &args) };
    assert!(said.contains("resuming after epoch"), "{said}");
    assert_eq!(metrics(dir, name).len().to_string(), epochs);
}

#[test]
fn a_signal_ends_in_a_checkpoint_that_goes_on_with_other_ranks() {
    if !has_mpirun("a_signal_ends_in_a_checkpoint_that_goes_on_with_other_ranks") {
        return;
    }
    let dir = tempdir().unwrap();
    let run = a_run(dir.path(), "stopped");
    assert!(Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap().success());
    let (code, _, stderr) = text(run.wait_with_output().unwrap());
    assert_ne!(code, 0);
    assert!(stderr.contains("stopped by a signal; continue with: "), "{stderr}");
    assert!(stderr.contains("mpirun -n 2 ") && stderr.contains("train --resume runs/mnist-sample/stopped"), "{stderr}");
    goes_on(dir.path(), "stopped", 3);
    goes_on(dir.path(), "stopped", 1);
}

#[test]
#[cfg(target_os = "linux")]
fn a_rank_that_dies_ends_the_job_and_the_run_goes_on_from_its_checkpoint() {
    if !has_mpirun("a_rank_that_dies_ends_the_job_and_the_run_goes_on_from_its_checkpoint") {
        return;
    }
    let dir = tempdir().unwrap();
    let run = a_run(dir.path(), "killed");
    let is_second = |process: &Path| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        let has = |text: &str| environment.split(|byte| *byte == 0).any(|variable| variable == text.as_bytes());
        has("OMPI_COMM_WORLD_RANK=1") && std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == dir.path())
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let second = processes.into_iter().find(|process| is_second(process)).unwrap();
    let second = second.file_name().unwrap().to_str().unwrap();
    assert!(Command::new("kill").args(["-KILL", second]).status().unwrap().success());
    let (code, _, stderr) = text(run.wait_with_output().unwrap());
    assert_ne!(code, 0);
    assert!(stderr.contains("one of them may have died"), "{stderr}");
    assert!(stderr.contains("rank 1") && stderr.contains("signal 9"), "{stderr}");
    goes_on(dir.path(), "killed", 1);
    goes_on(dir.path(), "killed", 3);
}
