//! Weights that go to PyTorch and ONNX Runtime and come back, and the formats they travel in.
//!
//! `TINDERBOX_TEST_PYTHON` names a Python with torch, onnx, onnxruntime and safetensors.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use burn::tensor::{Device, Tensor, TensorData};
use common::{ok, python, run, text};
use serde_json::{Value, json};
use tempfile::tempdir;
use tinderbox::runs::Trained;

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
    let test = "every_network_goes_to_pytorch_and_onnx_and_back";
    let Some(python) = python(test, "torch, onnx, onnxruntime, safetensors") else { return };
    let dir = tempdir().unwrap();
    photos(dir.path());
    let digits = ["--dataset", "mnist-sample"];
    let colours = ["--dataset", "folder:photos", "--batch", "8"];
    let narrow = ["--width", "0.1"];
    let narrow_avg = ["--width", "0.1", "--pool", "avg", "--batch-norm", "off"];
    let own = ["--layers", OWN];
    let cases: [(&str, &str, &[&str], &[&str]); 8] = [
        ("linear_v0", "linear_v0-mse", &digits, &[]),
        ("linear_v1", "linear_v1-mse", &digits, &[]),
        ("linear_v1", "linear_v1-bn-ce", &digits, &[]),
        ("vgg11", "cifar10-vgg11", &colours, &narrow_avg),
        ("vgg16", "cifar10-vgg16", &colours, &narrow),
        ("resnet9", "cifar10-resnet9", &colours, &narrow),
        ("airbench94", "cifar10-fast", &colours, &narrow),
        ("own", "linear_v1-bn-ce", &digits, &own),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (network, preset, data, more) in cases {
        let rest = ["--device", "cpu", "--epochs", "3", "--out", "runs", "--name", "r"];
        ok(dir.path(), &[&["train", preset], data, more, &rest].concat());
        let folder = if data[1] == "mnist-sample" { "runs/mnist-sample/r" } else { "runs/folder-photos/r" };
        let name = format!("{network}-{preset}");
        let case = dir.path().join(&name);
        // The network as Python that this program writes, with its weights.
        ok(dir.path(), &["export", folder, "--to", "pytorch", "--out", &name]);
        ok(dir.path(), &["export", folder, "--to", "onnx", "--out", &format!("{name}/model.onnx")]);
        let said = compared(&python, root, &case);
        println!("{name}: {said}");
        for runtime in ["torch", "onnx"] {
            assert!(said[runtime].as_f64().unwrap() < 1e-5, "{name}: {said}");
        }
        if let Some(expected) = said["accuracy"].as_f64() {
            let given: Vec<&str> = if network == "own" { own.to_vec() } else { vec!["--model", network] };
            comes_back(dir.path(), &name, &given, expected);
            let other = if network == "linear_v0" { "linear_v1" } else { "linear_v0" };
            let (file, args) = (format!("{name}/model.pth"), ["--dataset", "mnist-sample", "--device", "cpu"]);
            let (code, _, stderr) = run(dir.path(), &[&["import", &file, "--model", other][..], &args].concat());
            assert!(code != 0 && stderr.starts_with("error: "), "{stderr}");
        }
        fs::remove_dir_all(dir.path().join("runs")).unwrap();
    }
    nothing_in_a_pickle_runs(&python, dir.path());
}

/// Every kind of layer.
const OWN: &str = "conv 6 kernel 5 stride 2, norm, gelu, pool max 3 stride 2, residual [conv 6 bias off, norm, relu, conv 6], \
                   scale 0.5, pool avg 2, dropout 0.1, global_pool max, flatten, linear 12 bias off, norm, relu, \
                   residual [linear 12, gelu], linear classes";

/// What PyTorch and ONNX Runtime make of the same images.
fn compared(python: &str, root: &Path, case: &Path) -> Value {
    let trained = Trained::open(&case.join("model.safetensors"), "best", &Device::flex()).unwrap();
    let shape = trained.metadata.shape;
    let images: Vec<f32> = (0..5 * shape.len()).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
    let sides = [5, shape.channels, shape.height, shape.width];
    let input = Tensor::<4>::from_data(TensorData::new(images.clone(), sides), &Device::flex());
    let logits = trained.model.forward(input).into_data().try_to_vec::<f32>().unwrap();
    fs::write(case.join("logits.json"), json!({"images": images, "logits": logits}).to_string()).unwrap();
    let script = root.join("tests/roundtrip.py");
    let output = Command::new(python).arg(script).arg(case).arg(root.join("data/mnist-sample")).output().unwrap();
    let (code, stdout, stderr) = text(output);
    assert_eq!(code, 0, "{}: {stderr}", case.display());
    serde_json::from_str(&stdout).unwrap()
}

/// What PyTorch saved in its ways is the same network here.
fn comes_back(dir: &Path, name: &str, network: &[&str], expected: f64) {
    let measured = ok(dir, &["evaluate", &format!("{name}/model.safetensors"), "--device", "cpu"]);
    assert_eq!(accuracy(&measured), (expected * 100.0).round() / 100.0);
    for file in ["model.pth", "nested.pth", "double.pth", "model.safetensors"] {
        let (file, out) = (format!("{name}/{file}"), format!("{name}/{file}.back"));
        let args = ["--dataset", "mnist-sample", "--device", "cpu", "--out", &out];
        let said = ok(dir, &[&["import", &file][..], network, &args].concat());
        assert_eq!(accuracy(&said), accuracy(&measured), "{file}");
        assert_eq!(accuracy(&ok(dir, &["evaluate", &out, "--device", "cpu"])), accuracy(&measured));
    }
}

/// What is no state dict is refused, and nothing in it runs.
fn nothing_in_a_pickle_runs(python: &str, dir: &Path) {
    let evil = "import os, pickle\nclass E:\n def __reduce__(self): return (os.mkdir, ('owned',))\n\
                pickle.dump({'1.weight': E()}, open('evil.pth', 'wb'), 2)";
    assert!(Command::new(python).args(["-c", evil]).current_dir(dir).status().unwrap().success());
    for (file, bytes) in
        [("evil.pth", None), ("cut.pth", Some(&b"PK\x03\x04nonsense"[..])), ("empty.pth", Some(&b""[..]))]
    {
        if let Some(bytes) = bytes {
            fs::write(dir.join(file), bytes).unwrap();
        }
        let args = ["import", file, "--model", "linear_v0", "--dataset", "mnist-sample", "--device", "cpu"];
        let (code, _, stderr) = run(dir, &args);
        assert!(code == 1 && stderr.starts_with(&format!("error: {file}")), "{file}: {code} {stderr}");
    }
    assert!(!dir.join("owned").exists());
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
