//! What several test files need.
#![allow(dead_code)] // each test file uses its own part

mod skip;

use std::path::PathBuf;
use std::process::{Command, Output};

use burn::tensor::Device;
use tinderbox::compute::{AdapterKind, Request, choose, list};
use tinderbox::training::metrics::EpochMetrics;

#[allow(unused_imports)] // each test file uses its own part
pub use skip::{Need, may_be_long, required, skip};

/// The device that GPU tests run on, as `--device` takes it: the best GPU; where a GPU is required, else a software adapter;
/// else none. `TINDERBOX_TEST_DEVICE` names another.
pub fn gpu_request(test: &str) -> Option<String> {
    if let Ok(name) = std::env::var("TINDERBOX_TEST_DEVICE") {
        return Some(name);
    }
    let candidates = list(&Request::Gpu);
    if choose(&candidates, &Request::Gpu).is_ok() {
        return Some("gpu".into());
    }
    if !required(Need::Gpu) {
        skip(
            Need::Gpu,
            test,
            "there is no GPU in hardware; a software adapter takes long, and is used where it is required",
        );
        return None;
    }
    let software =
        candidates.iter().position(|c| c.info.kind == AdapterKind::Software && c.info.name.contains("llvmpipe"));
    if software.is_none() {
        skip(Need::Gpu, test, "there is no GPU, and no llvmpipe (Debian: mesa-vulkan-drivers)");
    }
    software.map(|index| index.to_string())
}

/// The same, opened.
pub fn gpu(test: &str) -> Option<Device> {
    let request = Request::from(gpu_request(test)?.as_str());
    let mut candidates = list(&request);
    let index = choose(&candidates, &request).unwrap();
    Some(candidates.swap_remove(index).open().unwrap())
}

/// The same, and SwiftShader where the Vulkan loader finds it and a GPU is required: two compilers see more faults of a
/// shader than one.
pub fn gpus(test: &str) -> Vec<Device> {
    if !required(Need::Gpu) {
        return gpu(test).into_iter().collect();
    }
    let mut candidates = list(&Request::Gpu);
    let second = candidates.iter().position(|c| c.info.name.contains("SwiftShader"));
    let second = second.map(|index| candidates.swap_remove(index).open().unwrap());
    gpu(test).into_iter().chain(second).collect()
}

/// The path of a Python that can import these packages, if `TINDERBOX_TEST_PYTHON` names one, or else `python3` can.
pub fn python(test: &str, packages: &str) -> Option<String> {
    let python = std::env::var("TINDERBOX_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let able = Command::new(&python).args(["-c", &format!("import {packages}")]).output();
    if able.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    skip(
        Need::Python,
        test,
        &format!("{python} has not all of {packages}: TINDERBOX_TEST_PYTHON names another Python"),
    );
    None
}

/// The folder with the real data sets, if `TINDERBOX_TEST_DATA` names one.
pub fn real_data(test: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("TINDERBOX_TEST_DATA").map(PathBuf::from).filter(|dir| dir.is_dir());
    if dir.is_none() {
        skip(Need::Data, test, "TINDERBOX_TEST_DATA names no folder with the real data sets");
    }
    dir
}

/// The built program, in `dir`, cut off from the network and from the environment's settings.
pub fn tinderbox(dir: &std::path::Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinderbox"));
    command.current_dir(dir).args(args);
    for variable in ["TINDERBOX_DATA", "TINDERBOX_MIRROR", "TINDERBOX_TEST_FAULT"] {
        command.env_remove(variable);
    }
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env(variable, "http://127.0.0.1:1");
    }
    command
}

/// Runs it to its end: (exit code, standard output, standard error).
pub fn run(dir: &std::path::Path, args: &[&str]) -> (i32, String, String) {
    text(tinderbox(dir, args).output().unwrap())
}

/// Runs it and insists on success; returns standard output.
pub fn ok(dir: &std::path::Path, args: &[&str]) -> String {
    let (code, stdout, stderr) = run(dir, args);
    assert_eq!(code, 0, "tinderbox {args:?}\n{stdout}\n{stderr}");
    stdout
}

/// An output as text.
pub fn text(output: Output) -> (i32, String, String) {
    let utf8 = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), utf8(output.stdout), utf8(output.stderr))
}

/// Insists that two runs have measured the same, but for rounding.
pub fn assert_close(one: &[EpochMetrics], other: &[EpochMetrics], tolerance: f64) {
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(other) {
        let apart = (one.train_loss - other.train_loss).abs().max((one.test_loss - other.test_loss).abs());
        assert!(apart < tolerance, "{one:?}\n{other:?}");
    }
}

/// What a test trains on unless it says otherwise.
pub const SAMPLE: [&str; 4] = ["--dataset", "mnist-sample", "--device", "cpu"];

/// The final weights of a run on the sample.
pub fn weights(dir: &std::path::Path, run: &str) -> Vec<u8> {
    std::fs::read(dir.join("runs/mnist-sample").join(run).join("weights.safetensors")).unwrap()
}

/// Trains on the sample on the CPU and insists on success; returns standard output.
pub fn train(dir: &std::path::Path, args: &[&str]) -> String {
    ok(dir, &[&["train"][..], args, &SAMPLE].concat())
}

/// A text as JSON.
pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A folder of two classes that a linear model tells apart: bright above, or bright below.
pub fn photos(dir: &std::path::Path, count: u32) {
    for (class, above) in [("above", true), ("below", false)] {
        std::fs::create_dir_all(dir.join(class)).unwrap();
        for i in 0..count {
            let picture = image::RgbImage::from_fn(40, 50, |x, y| {
                let bright = (y < 25) == above;
                image::Rgb([if bright { 200 } else { 40 }, (x * 6) as u8, (i * 5 % 256) as u8])
            });
            picture.save(dir.join(class).join(format!("{i:03}.png"))).unwrap();
        }
    }
}
