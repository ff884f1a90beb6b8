//! More than one device: several of this machine, and those of another through `tinderbox worker`.
//!
//! The part with workers needs `--features remote`.

mod common;

use std::path::Path;

use common::{Need, assert_close, ok, required, run, skip};
use tempfile::tempdir;
use tinderbox::compute::{Request, list};
use tinderbox::runs::RunDir;
use tinderbox::training::metrics::EpochMetrics;

/// Without batch normalization, which sees the share of a device instead of the batch.
const RECIPE: [&str; 9] =
    ["--batch-norm", "off", "--dataset", "mnist-sample", "--epochs", "3", "--batch", "130", "--name"];

/// Trains on `device` and returns what was measured.
fn trained(dir: &Path, device: &str, name: &str) -> Vec<EpochMetrics> {
    let said = ok(dir, &[&["train"][..], &RECIPE, &[name, "--device", device]].concat());
    println!("{said}");
    RunDir::open(dir.join("runs/mnist-sample").join(name)).unwrap().metrics().unwrap()
}

#[test]
fn two_cpu_devices_learn_as_one() {
    let dir = tempdir().unwrap();
    let one = trained(dir.path(), "cpu", "one");
    assert_close(&one, &trained(dir.path(), "cpu,cpu", "two"), 1e-6);
    let device = RunDir::open(dir.path().join("runs/mnist-sample/two")).unwrap().device().unwrap();
    assert_eq!(device.others.len(), 1);
    // What two began, one can end.
    let said = ok(dir.path(), &["train", "--resume", "runs/mnist-sample/two", "--epochs", "4", "--device", "cpu"]);
    assert!(said.contains("epoch 4/4"), "{said}");
}

#[test]
fn two_gpus_learn_as_one() {
    let found = list(&Request::Gpu);
    let both = ["llvmpipe", "SwiftShader"].iter().all(|name| found.iter().any(|c| c.info.name.contains(name)));
    if !(both && required(Need::Browser)) {
        skip(Need::Browser, "two_gpus_learn_as_one", "needs llvmpipe and SwiftShader, and minutes");
        return;
    }
    let dir = tempdir().unwrap();
    let one = trained(dir.path(), "cpu", "one");
    assert_close(&one, &trained(dir.path(), "llvmpipe", "gpu"), 1e-5);
    assert_close(&one, &trained(dir.path(), "llvmpipe,swiftshader", "two"), 1e-5);
    assert_close(&one, &trained(dir.path(), "swiftshader,cpu", "mixed"), 1e-5);
}

#[test]
fn lists_that_make_no_sense_are_refused() {
    let dir = tempdir().unwrap();
    for (device, code, words) in [
        ("cpu,nothing", 1, "no device matches 'nothing'"),
        ("cpu,", 2, "comma"),
        ("cpu,99", 1, "no device has index 99"),
    ] {
        let (found, _, stderr) = run(dir.path(), &["train", "--dataset", "mnist-sample", "--device", device]);
        assert!(found == code && stderr.contains(words), "{device}: {found} {stderr}");
    }
    assert!(!dir.path().join("runs").exists());
}

#[cfg(not(feature = "mpi"))]
#[test]
fn a_program_without_mpi_does_not_train_the_same_run_in_every_process_of_a_job() {
    let dir = tempdir().unwrap();
    let mut command = common::tinderbox(dir.path(), &["train", "--dataset", "mnist-sample"]);
    let (code, _, stderr) = common::text(command.env("OMPI_COMM_WORLD_SIZE", "2").output().unwrap());
    assert!(code == 2 && stderr.contains("--features mpi"), "{stderr}");
}

#[cfg(not(feature = "remote"))]
#[test]
fn a_program_without_the_feature_says_how_to_get_it() {
    let dir = tempdir().unwrap();
    for args in [&["worker"][..], &["train", "--device", "remote:127.0.0.1"]] {
        let (code, _, stderr) = run(dir.path(), args);
        assert!(code == 2 && stderr.contains("--features remote"), "{stderr}");
    }
}

#[cfg(feature = "remote")]
mod workers {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use common::{text, tinderbox};

    /// A worker on the CPU; its ticket is in its folder.
    struct Worker {
        process: Child,
        address: String,
    }

    impl Worker {
        fn start(dir: &Path) -> Self {
            let mut process = with_ticket(dir, &["worker", "--device", "cpu", "--listen", "127.0.0.1:0"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
            let address = lines.find_map(|line| line.unwrap().split_once("--device ").map(|(_, a)| a.to_string()));
            std::thread::spawn(move || lines.for_each(drop)); // or it would stop at a full pipe
            Self { process, address: address.unwrap() }
        }
    }

    impl Drop for Worker {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    fn with_ticket(dir: &Path, args: &[&str]) -> Command {
        let mut command = tinderbox(dir, args);
        command.env("TINDERBOX_TICKET", dir.join("worker.ticket")).env_remove("RUST_BACKTRACE");
        command
    }

    fn train_over(dir: &Path, device: &str, name: &str) -> (i32, String, String) {
        let args = [&["train"][..], &RECIPE, &[name, "--device", device]].concat();
        text(with_ticket(dir, &args).output().unwrap())
    }

    #[test]
    fn a_worker_learns_as_this_machine() {
        let dir = tempdir().unwrap();
        let worker = Worker::start(dir.path());
        let one = trained(dir.path(), "cpu", "one");
        for (device, name) in [(worker.address.clone(), "alone"), (format!("cpu,{}", worker.address), "both")] {
            let (code, stdout, stderr) = train_over(dir.path(), &device, name);
            assert_eq!(code, 0, "{stdout}{stderr}");
            println!("{stdout}");
            let measured = RunDir::open(dir.path().join("runs/mnist-sample").join(name)).unwrap().metrics().unwrap();
            assert_close(&one, &measured, 1e-5);
        }
    }

    #[test]
    fn a_worker_lets_in_who_has_its_ticket() {
        let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
        let worker = Worker::start(dir.path());
        let (code, _, stderr) = train_over(other.path(), &worker.address, "x");
        assert!(code == 1 && stderr.contains("there is no ticket"), "{stderr}");
        // The ticket of another worker, and one whose secret is wrong.
        let _another = Worker::start(other.path());
        let (code, _, stderr) = train_over(other.path(), &worker.address, "x");
        assert!(code == 1 && stderr.contains("the worker at"), "{stderr}");
        let ticket = std::fs::read_to_string(dir.path().join("worker.ticket")).unwrap();
        let wrong = ticket.lines().next().unwrap().to_string() + "\nwrong\n";
        std::fs::write(other.path().join("worker.ticket"), wrong).unwrap();
        let (code, _, stderr) = train_over(other.path(), &worker.address, "x");
        assert!(code == 1 && stderr.contains("rejected the credential"), "{stderr}");
        std::fs::write(other.path().join("worker.ticket"), "nonsense").unwrap();
        let (code, _, stderr) = train_over(other.path(), &worker.address, "x");
        assert!(code == 1 && stderr.contains("is no ticket"), "{stderr}");
        assert!(!other.path().join("runs").exists());
        // A worker does not write over the ticket of another.
        let third = tempdir().unwrap();
        std::fs::write(third.path().join("worker.ticket"), &ticket).unwrap();
        let (code, _, stderr) = text(with_ticket(third.path(), &["worker", "--device", "cpu"]).output().unwrap());
        assert!(code == 1 && stderr.contains("of another worker"), "{stderr}");
        assert_eq!(std::fs::read_to_string(third.path().join("worker.ticket")).unwrap(), ticket);
    }

    /// Kills the worker of a run on `devices` (WORKER stands for its address) after the first epoch, and goes on.
    fn a_death(devices: &str) {
        let dir = tempdir().unwrap();
        let mut worker = Worker::start(dir.path());
        let devices = devices.replace("WORKER", &worker.address);
        let args = ["train", "--dataset", "mnist-sample", "--epochs", "400", "--save-every", "1", "--device", &devices];
        let mut command = with_ticket(dir.path(), &args);
        let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let last = dir.path().join("runs/mnist-sample/linear_v1-bn-ce/checkpoints/last/manifest.json");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !last.exists() {
            assert!(Instant::now() < deadline, "no checkpoint after a minute");
            std::thread::sleep(Duration::from_millis(20));
        }
        worker.process.kill().unwrap();
        let killed = Instant::now();
        let (code, stdout, stderr) = text(run.wait_with_output().unwrap());
        println!("{devices}: {stderr} ({:.1} s after the worker died)", killed.elapsed().as_secs_f64());
        assert_eq!(code, 1, "{stdout}{stderr}");
        assert!(stderr.contains("no longer answers"), "{stderr}");
        assert!(!stdout.contains("epoch 400/400") && !stderr.contains("panicked"), "{stdout}{stderr}");
        assert!(stderr.contains(" train --resume runs/mnist-sample/linear_v1-bn-ce"), "{stderr}");
        assert_eq!(stderr.contains(&format!("--device {devices}")), !devices.contains(','), "{stderr}");
        let done = RunDir::open(dir.path().join("runs/mnist-sample/linear_v1-bn-ce")).unwrap().metrics().unwrap().len();
        let epochs = (done + 2).to_string();
        let resume = ["train", "--resume", "runs/mnist-sample/linear_v1-bn-ce", "--epochs", &epochs, "--device", "cpu"];
        assert!(ok(dir.path(), &resume).contains("resuming after epoch"), "it starts from the beginning");
    }

    #[test]
    fn a_worker_that_dies_is_an_error_and_the_run_goes_on_elsewhere() {
        a_death("WORKER");
    }

    #[test]
    fn a_helper_that_dies_is_an_error_and_the_run_goes_on_elsewhere() {
        a_death("cpu,WORKER");
    }
}
