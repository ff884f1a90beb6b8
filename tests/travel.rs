//! Weights that go to PyTorch and ONNX Runtime and come back, and the formats they travel in.
//!
//! `TINDERBOX_TEST_PYTHON` names a Python with torch, onnx, onnxruntime and safetensors.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use burn::tensor::{Device, Tensor, TensorData};
use common::{ok, run, text};
use serde_json::{Value, json};
use tempfile::tempdir;
use tinderbox::infer::Trained;

fn python(test: &str) -> Option<String> {
    let python = std::env::var("TINDERBOX_TEST_PYTHON").ok();
    let able = |python: &String| {
        let import = Command::new(python).args(["-c", "import torch, onnx, onnxruntime, safetensors"]).output();
        import.is_ok_and(|output| output.status.success())
    };
    let python = python.filter(able);
    if python.is_none() {
        println!("skipped {test}: TINDERBOX_TEST_PYTHON names no Python with torch, onnx, onnxruntime and safetensors");
    }
    python
}

fn photos(dir: &Path) {
    for (class, colour) in [("cold", [20, 60, 200]), ("warm", [200, 80, 20])] {
        for i in 0..20u8 {
            let folder = dir.join("photos").join(class);
            fs::create_dir_all(&folder).unwrap();
            let image = image::RgbImage::from_fn(32, 32, |x, y| {
                let noise = (x as u8).wrapping_mul(31) ^ (y as u8).wrapping_mul(17) ^ i.wrapping_mul(91);
                image::Rgb(colour.map(|c: u8| c.saturating_add(noise / 8)))
            });
            image.save(folder.join(format!("{i}.png"))).unwrap();
        }
    }
}

fn accuracy(said: &str) -> f64 {
    said.split("accuracy ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn every_network_goes_to_pytorch_and_onnx_and_back() {
    let Some(python) = python("every_network_goes_to_pytorch_and_onnx_and_back") else { return };
    let dir = tempdir().unwrap();
    photos(dir.path());
    let digits = ["--dataset", "mnist-sample"];
    let colours = ["--dataset", "folder:photos", "--batch", "8", "--width", "0.1"];
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("linear_v0-mse", &digits, &[]),
        ("linear_v1-mse", &digits, &[]),
        ("linear_v1-bn-ce", &digits, &[]),
        ("cifar10-vgg11", &colours, &["--pool", "avg", "--batch-norm", "off"]),
        ("cifar10-vgg16", &colours, &[]),
        ("cifar10-resnet9", &colours, &[]),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (preset, data, more) in cases {
        let rest = ["--device", "cpu", "--epochs", "3", "--out", "runs", "--name", "r"];
        ok(dir.path(), &[&["train", preset], data, more, &rest].concat());
        let folder = if data[1] == "mnist-sample" { "runs/mnist-sample/r" } else { "runs/folder-photos/r" };
        let case = dir.path().join(preset);
        fs::create_dir(&case).unwrap();
        for kind in ["safetensors", "onnx"] {
            let out = format!("{preset}/model.{kind}");
            ok(dir.path(), &["export", folder, "--to", kind, "--out", &out]);
        }
        let trained = Trained::open(&case.join("model.safetensors"), "best", &Device::flex()).unwrap();
        let shape = trained.about.shape;
        let images: Vec<f32> = (0..5 * shape.len()).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
        let sides = [5, shape.channels, shape.height, shape.width];
        let input = Tensor::<4>::from_data(TensorData::new(images.clone(), sides), &Device::flex());
        let logits = trained.model.forward(input).into_data().try_to_vec::<f32>().unwrap();
        fs::write(case.join("logits.json"), json!({"images": images, "logits": logits}).to_string()).unwrap();

        let script = root.join("tests/roundtrip.py");
        let output = Command::new(&python).arg(script).arg(&case).arg(root.join("data/mnist-sample")).output().unwrap();
        let (code, stdout, stderr) = text(output);
        assert_eq!(code, 0, "{preset}: {stderr}");
        let said: Value = serde_json::from_str(&stdout).unwrap();
        println!("{preset}: {said}");
        for runtime in ["torch", "onnx"] {
            assert!(said[runtime].as_f64().unwrap() < 1e-5, "{preset}: {said}");
        }
        let name = trained.about.recipe.model.to_string();
        if let Some(expected) = said["accuracy"].as_f64() {
            let measured = ok(dir.path(), &["evaluate", &format!("{preset}/model.safetensors"), "--device", "cpu"]);
            assert_eq!(accuracy(&measured), (expected * 100.0).round() / 100.0);
            for file in ["model.pth", "nested.pth", "double.pth", "model.safetensors"] {
                let (file, out) = (format!("{preset}/{file}"), format!("{preset}/{file}.back"));
                let args =
                    ["import", &file, "--model", &name, "--dataset", "mnist-sample", "--device", "cpu", "--out", &out];
                assert_eq!(accuracy(&ok(dir.path(), &args)), accuracy(&measured), "{file}");
                assert_eq!(accuracy(&ok(dir.path(), &["evaluate", &out, "--device", "cpu"])), accuracy(&measured));
            }
            let other = if name == "linear_v0" { "linear_v1" } else { "linear_v0" };
            let (file, args) = (format!("{preset}/model.pth"), ["--dataset", "mnist-sample", "--device", "cpu"]);
            let (code, _, stderr) = run(dir.path(), &[&["import", &file, "--model", other][..], &args].concat());
            assert!(code != 0 && stderr.starts_with("error: "), "{stderr}");
        }
        fs::remove_dir_all(dir.path().join("runs")).unwrap();
    }
    // What is no state dict is refused, and nothing in it runs.
    let evil = "import os, pickle\nclass E:\n def __reduce__(self): return (os.mkdir, ('owned',))\n\
                pickle.dump({'fc1.weight': E()}, open('evil.pth', 'wb'), 2)";
    assert!(Command::new(&python).args(["-c", evil]).current_dir(dir.path()).status().unwrap().success());
    for (file, bytes) in
        [("evil.pth", None), ("cut.pth", Some(&b"PK\x03\x04nonsense"[..])), ("empty.pth", Some(&b""[..]))]
    {
        if let Some(bytes) = bytes {
            fs::write(dir.path().join(file), bytes).unwrap();
        }
        let args = ["import", file, "--model", "linear_v0", "--dataset", "mnist-sample", "--device", "cpu"];
        let (code, _, stderr) = run(dir.path(), &args);
        assert!(code == 1 && stderr.starts_with(&format!("error: {file}")), "{file}: {code} {stderr}");
    }
    assert!(!dir.path().join("owned").exists());
}

#[test]
fn half_precision_halves_the_file_and_hardly_changes_the_answers() {
    let dir = tempdir().unwrap();
    ok(dir.path(), &["train", "--dataset", "mnist-sample", "--device", "cpu", "--epochs", "5", "--name", "r"]);
    let export = |out: &str, more: &[&str]| {
        let args = ["export", "runs/mnist-sample/r", "--to", "safetensors", "--out", out];
        ok(dir.path(), &[&args[..], more].concat());
        let measured = ok(dir.path(), &["evaluate", out, "--device", "cpu"]);
        (fs::metadata(dir.path().join(out)).unwrap().len() as f64, accuracy(&measured))
    };
    let (single, half) = (export("single", &[]), export("half", &["--half"]));
    println!("single {single:?}, half {half:?}");
    assert!(half.0 < 0.52 * single.0 && (half.1 - single.1).abs() <= 0.2, "{single:?} {half:?}");
    let (code, _, stderr) = run(dir.path(), &["export", "half", "--to", "onnx", "--half", "--out", "x"]);
    assert!(code == 2 && stderr.contains("--half is for"), "{stderr}");
}
