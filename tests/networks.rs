//! Networks of the user's own, and what is known of a data set, from training to every format and back.

mod common;

use std::fs;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use common::{gpu_request, json, ok, run, train, weights};
use tempfile::tempdir;
use tinderbox::data::{Identity, load};
use tinderbox::notice::silent;
use tinderbox::recipe::Recipe;
use tinderbox::weights::{Metadata, to_bytes};

const LAYERS: &str =
    "conv 8, norm, relu, pool max 2, residual [conv 8, norm, relu], dropout 0.2, flatten, linear classes";

/// Writes a recipe with these layers.
fn recipe(dir: &Path) {
    let text = r#"
dataset = "mnist-sample"
epochs = 4
batch_size = 100
fraction = 0.2

[network]
layers = [
    "conv 8", "norm", "relu", "pool max 2",
    "residual [conv 8, norm, relu]",
    "dropout 0.2", "flatten", "linear classes",
]
"#;
    fs::write(dir.join("mine.toml"), text).unwrap();
}

fn losses(dir: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(dir.join("runs/mnist-sample").join(name).join("steps.csv")).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
}

#[test]
fn a_network_of_ones_own_is_shown_trained_resumed_and_exported() {
    let dir = tempdir().unwrap();
    recipe(dir.path());
    let shown = ok(dir.path(), &["models", "mine.toml"]);
    assert!(shown.contains("residual [conv 8, norm, relu]  8x14x14") && shown.contains("linear 10"), "{shown}");
    assert_eq!(ok(dir.path(), &["models", LAYERS]), shown);

    let file = ["train", "mine.toml", "--device", "cpu", "--name", "whole"];
    assert!(ok(dir.path(), &file).contains("custom-ce"), "a run of its own layers has a name");
    // By option what by file, in two parts what in one: the same bytes.
    let parts = ["--layers", LAYERS, "--batch", "100", "--fraction", "0.2", "--epochs", "2", "--name", "parts"];
    train(dir.path(), &parts);
    let resumed = ok(dir.path(), &["train", "--resume", "runs/mnist-sample/parts", "--epochs", "4", "--device", "cpu"]);
    assert!(resumed.contains("resuming after epoch 2"), "{resumed}");
    assert_eq!(weights(dir.path(), "parts"), weights(dir.path(), "whole"));

    for (format, file) in [("safetensors", "w.safetensors"), ("onnx", "w.onnx"), ("burnpack", "w.burnpack")] {
        ok(dir.path(), &["export", "runs/mnist-sample/whole", "--checkpoint", "last", "--to", format, "--out", file]);
    }
    assert_eq!(fs::read(dir.path().join("w.safetensors")).unwrap(), weights(dir.path(), "whole"));
    let measured =
        |what: &str| json(&ok(dir.path(), &["evaluate", what, "--device", "cpu", "--json"]))["accuracy"].clone();
    assert_eq!(measured("w.burnpack"), measured("w.safetensors"));
    ok(dir.path(), &["export", "runs/mnist-sample/whole", "--to", "pytorch", "--out", "python"]);
    let source = fs::read_to_string(dir.path().join("python/network.py")).unwrap();
    assert!(source.contains("Residual(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())"), "{source}");
    let (code, _, stderr) = run(dir.path(), &["export", "w.onnx", "--to", "pytorch", "--out", "python"]);
    assert!(code != 0, "{stderr}");
}

#[test]
fn a_network_of_ones_own_trains_on_a_gpu_as_on_the_cpu() {
    let test = "a_network_of_ones_own_trains_on_a_gpu_as_on_the_cpu";
    let Some(device) = gpu_request(test) else { return };
    let dir = tempdir().unwrap();
    // Without dropout, whose random numbers are each device's own. In batches of 50: above 65,536 values a channel, burn's
    // reduction is wrong on llvmpipe 22.3 (and right on SwiftShader).
    let layers = LAYERS.replace("dropout 0.2, ", "");
    let options = ["train", "--layers", &layers, "--dataset", "mnist-sample", "--batch", "50", "--fraction", "0.05"];
    for (name, device) in [("cpu", "cpu"), ("gpu", &device)] {
        ok(
            dir.path(),
            &[&options[..], &["--lr", "0.01", "--epochs", "2", "--name", name, "--device", device]].concat(),
        );
    }
    let (cpu, gpu) = (losses(dir.path(), "cpu"), losses(dir.path(), "gpu"));
    assert_eq!(cpu.len(), 8);
    for (step, (a, b)) in cpu.iter().zip(&gpu).enumerate() {
        assert!((a - b).abs() < 5e-3 * a.abs().max(1.0), "step {}: cpu {a}, gpu {b}", step + 1);
    }
    let rest = ["--epochs", "3", "--device", &device];
    ok(dir.path(), &[&["train", "--resume", "runs/mnist-sample/gpu"][..], &rest].concat());
}

#[test]
fn layers_that_do_not_fit_are_refused_before_anything_is_written() {
    let dir = tempdir().unwrap();
    for (layers, words) in [
        ("conv 8, norm", "end with `flatten, linear classes`"),
        ("linear classes", "put `flatten` before it"),
        ("flatten, linear 9", "but there are 10 classes"),
        ("conv 8, residual [conv 9], flatten, linear classes", "make 9x28x28 of it"),
        ("flatten, linear 65536, linear 65536, linear classes", "is too large"),
        ("residual [conv 65536, conv 1], flatten, linear classes", "layer 1, `conv 65536`, gives 65536x28x28"),
        ("flatten, linar classes", "Did you mean 'linear'?"),
    ] {
        let args = ["train", "--layers", layers, "--dataset", "mnist-sample", "--device", "cpu"];
        let (code, _, stderr) = run(dir.path(), &args);
        assert!(code == 2 && stderr.contains(words), "{layers}: {code} {stderr}");
    }
    let both = ["train", "--model", "vgg11", "--layers", "flatten, linear classes", "--dataset", "mnist-sample"];
    let (code, _, stderr) = run(dir.path(), &both);
    assert!(code == 2 && stderr.contains("give network.name or network.layers, not both"), "{code} {stderr}");
    for (args, words) in [
        (["vgg11", "--width", "-1"], "width is -1.0, expected a number above 0 and at most 16"),
        (["vgg11", "--width", "NaN"], "width is NaN"),
        (["linear_v1", "--width", "3"], "width is for the network vgg11, vgg16, resnet9, photonet, airbench94"),
        (["flatten, linear classes", "--width", "3"], "width is for the network"),
    ] {
        let (code, _, stderr) = run(dir.path(), &[&["models"][..], &args].concat());
        assert!(code == 2 && stderr.contains(words), "{args:?}: {code} {stderr}");
    }
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn the_schema_of_a_recipe_tells_every_key() {
    let dir = tempdir().unwrap();
    let schema = json(&ok(dir.path(), &["init", "--schema"]));
    let text = ok(dir.path(), &["init", "--out", "r.toml"]) + &fs::read_to_string(dir.path().join("r.toml")).unwrap();
    for (key, part) in schema["properties"].as_object().unwrap() {
        let keys: Vec<String> = match part["properties"].as_object() {
            Some(inner) => inner.keys().map(|inner| format!("{key}.{inner}")).collect(),
            None => vec![key.clone()],
        };
        keys.iter().for_each(|key| assert!(text.contains(&format!("{key} = ")), "{key}: {text}"));
    }
}

/// As the page writes weights of pictures that were given to it.
#[test]
fn weights_of_a_pages_own_pictures_are_not_measured_on_other_data_without_a_word() {
    let dir = tempdir().unwrap();
    let sample = load(&Identity::MnistSample, None, &mut silent).unwrap().dataset;
    let recipe = Recipe { dataset: Identity::Own("fashion".into()), ..Recipe::preset("linear_v0-mse").unwrap() };
    let model = recipe.model(sample.shape(), 10, &Device::flex()).unwrap();
    let metadata = Metadata::new(&recipe, sample.shape(), &sample.classes);
    fs::write(dir.path().join("own.safetensors"), to_bytes(&model.valid(), &metadata.to_json()).unwrap()).unwrap();
    let (code, _, stderr) = run(dir.path(), &["evaluate", "own.safetensors", "--device", "cpu"]);
    assert!(code == 1 && stderr.contains("'fashion'") && stderr.contains("--dataset"), "{code} {stderr}");
    ok(dir.path(), &["evaluate", "own.safetensors", "--dataset", "mnist-sample", "--device", "cpu"]);
}

#[test]
fn the_recipes_of_speed_records_learn_digits_too_and_an_epoch_may_end_early() {
    let dir = tempdir().unwrap();
    for preset in ["cifar10-fast", "cifar10-muon"] {
        let smaller = ["--width", "0.1", "--batch", "200", "--augment", "off", "--epochs", "2.5", "--name", preset];
        let data = ["--dataset", "mnist-sample", "--device", "cpu"];
        let said = ok(dir.path(), &[&["train", preset][..], &smaller, &data].concat());
        assert_eq!(losses(dir.path(), preset).len(), 50, "twenty steps an epoch: {said}");
        assert!(said.contains("epoch 3/3"), "{said}");
        let tta = said.lines().find(|line| line.starts_with("test-time augmentation mirror+shift: accuracy")).unwrap();
        let numbers: Vec<f64> = tta.split([' ', '(']).filter_map(|word| word.parse().ok()).collect();
        let [accuracy, plain] = numbers[..] else { panic!("{tta}") };
        // A mirrored digit is none.
        assert!(plain > 90.0 && accuracy < plain, "{said}");
        let report = fs::read_to_string(dir.path().join("runs/mnist-sample").join(preset).join("report.html")).unwrap();
        assert!(report.contains("with test-time augmentation") && report.contains(&format!("{accuracy:.2} %")));
        // What was cut off cannot be made up for.
        let folder = format!("runs/mnist-sample/{preset}");
        let longer = run(dir.path(), &["train", "--resume", &folder, "--epochs", "4", "--device", "cpu"]);
        assert!(longer.2.contains("epochs: 2.5 -> 4"), "{longer:?}");
        // A picture of the data set goes in as it is: the weights have what `normalize` and `whiten` learned.
        let measured = json(&ok(
            dir.path(),
            &["evaluate", &folder, "--tta", "mirror+shift", "--checkpoint", "last", "--device", "cpu", "--json"],
        ));
        assert!((measured["accuracy"].as_f64().unwrap() - accuracy).abs() < 0.006, "{measured}");
    }
}
