//! Drivers that fail: `tests/driver.c` in front of llvmpipe loses its device, or leaves work undone.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Need, json, ok, required, skip, text, tinderbox};
use tempfile::{TempDir, tempdir};

/// llvmpipe behind `tests/driver.c`, and a folder for runs.
struct Driver {
    dir: TempDir,
    icd: PathBuf,
    behind: String,
}

impl Driver {
    /// None where there is no llvmpipe or no C compiler.
    fn build(test: &str) -> Option<Self> {
        let listed = std::env::var("VK_DRIVER_FILES").unwrap_or("/usr/share/vulkan/icd.d/lvp_icd.x86_64.json".into());
        let llvmpipe = listed.split(':').find(|path| path.contains("lvp")).and_then(|path| fs::read(path).ok());
        let dir = tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/driver.c");
        let library = dir.path().join("libdriver.so");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        let able = required(Need::Gpu) && built.is_ok_and(|status| status.success());
        let (Some(llvmpipe), true) = (llvmpipe, able) else {
            skip(Need::Gpu, test, "needs llvmpipe for Vulkan and a C compiler, and minutes");
            return None;
        };
        let llvmpipe = json(&String::from_utf8(llvmpipe).unwrap());
        let wrapped = serde_json::json!({
            "file_format_version": "1.0.0",
            "ICD": { "library_path": library, "api_version": llvmpipe["ICD"]["api_version"] },
        });
        let icd = dir.path().join("icd.json");
        fs::write(&icd, wrapped.to_string()).unwrap();
        Some(Self { dir, icd, behind: llvmpipe["ICD"]["library_path"].as_str().unwrap().into() })
    }

    /// Runs the program on it, which misbehaves as the variables say: (exit code, standard output, standard error).
    fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        let mut command = tinderbox(self.dir.path(), &[args, &["--device", "llvmpipe"]].concat());
        command.env("VK_DRIVER_FILES", &self.icd).env("DRIVER_BEHIND", &self.behind);
        command.env_remove("RUST_BACKTRACE").envs(variables.iter().copied());
        text(command.output().unwrap())
    }
}

#[test]
fn a_driver_that_loses_its_device_ends_the_run_with_what_was_saved() {
    let test = "a_driver_that_loses_its_device_ends_the_run_with_what_was_saved";
    let Some(driver) = Driver::build(test) else { return };
    let dir = driver.dir.path();
    let train = ["train", "--dataset", "mnist-sample", "--optimizer", "adam", "--epochs", "40", "--save-every", "1"];
    let mut resumable = 0;
    for after in ["20", "150", "300", "303", "306", "310"] {
        let args = [&train[..], &["--name", after]].concat();
        let (code, stdout, stderr) = driver.run(&args, &[("DRIVER_LOSE", after)]);
        println!("after {after} submissions: {stderr}");
        assert_eq!(code, 1, "{stdout}{stderr}");
        assert!(stderr.contains("error: the device") && !stderr.contains("panicked"), "{stderr}");
        let run = format!("runs/mnist-sample/{after}");
        if dir.join(&run).join("checkpoints/last").exists() {
            assert!(stderr.contains(&format!(" train --resume {run} --device llvmpipe")), "{stderr}");
            let epochs = fs::read_to_string(dir.join(&run).join("metrics.csv")).unwrap().lines().count();
            let more = (epochs + 1).to_string();
            assert!(ok(dir, &["train", "--resume", &run, "--epochs", &more, "--device", "cpu"]).contains("resuming"));
            resumable += 1;
        }
    }
    assert!(resumable >= 2, "{resumable} of the runs had a checkpoint");
}

/// A device that computes wrongly is refused before it trains; one that is right is asked once.
#[test]
fn a_wrong_device_is_refused_and_a_right_one_remembered() {
    let Some(driver) = Driver::build("a_wrong_device_is_refused_and_a_right_one_remembered") else { return };
    let dir = driver.dir.path();
    // Of its own, so that what a wrong device leaves there misleads nobody.
    let cache = dir.join("cache");
    let cache = ("XDG_CACHE_HOME", cache.to_str().unwrap());
    let train = |name: &str, more: &[(&str, &str)]| {
        let args = ["train", "--dataset", "mnist-sample", "--epochs", "1", "--name", name];
        driver.run(&args, &[&[cache], more].concat())
    };
    let verified = |name: &str| {
        let device = fs::read_to_string(dir.join("runs/mnist-sample").join(name).join("device.json")).unwrap();
        json(&device)["verified"].clone()
    };

    let (code, _, stderr) = train("right", &[]);
    assert!(code == 0 && stderr.contains("is compared with the CPU, once"), "{stderr}");
    let (code, _, stderr) = train("again", &[]);
    assert!(code == 0 && !stderr.contains("compared"), "{stderr}");
    assert_eq!([verified("right"), verified("again")], [true, true]);

    // A driver that went wrong unseen: whoever asks is told, and it is not trusted any more.
    let (code, _, stderr) = train("unseen", &[("DRIVER_SKIP", "37")]);
    assert!(stderr.contains("a recorded step did not repeat what a plain step computes"), "{code} {stderr}");
    let (code, stdout, stderr) = driver.run(&["verify"], &[cache, ("DRIVER_SKIP", "37")]);
    assert!(code == 1 && stdout.contains("WRONG") && stderr.contains("computes wrongly"), "{stdout}{stderr}");
    let (code, stdout, _) = driver.run(&["verify", "--json"], &[cache]);
    let found = json(&stdout);
    assert!(code == 0 && found["replayed"] == true && found["device"]["verified"] == true, "{stdout}");
    assert!(found["checks"].as_array().is_some_and(|checks| checks.len() >= 8), "{stdout}");

    // A new driver, which leaves every second dispatch undone, to one in a hundred.
    fs::remove_file(dir.join("cache/tinderbox/verified.json")).unwrap();
    for every in ["2", "17", "100"] {
        let (code, stdout, stderr) = train("wrong", &[("DRIVER_SKIP", every)]);
        assert_eq!(code, 1, "one dispatch in {every} is not done: {stdout}{stderr}");
        println!("one dispatch in {every} is not done: {stderr}");
        assert!(stderr.contains("computes wrongly: ") && stderr.contains("--device cpu"), "{stderr}");
        assert!(!dir.join("runs/mnist-sample/wrong").exists());
    }
}
