//! The built program, driven as a user would, in temporary folders.

mod common;

use std::fs;
use std::path::Path;

use common::{SAMPLE, gpu_request, json, ok, run, text, tinderbox, train, weights};
use tempfile::tempdir;

#[test]
fn a_bare_run_without_network_trains_on_the_sample_and_leaves_everything() {
    let dir = tempdir().unwrap();
    let (code, stdout, stderr) = run(dir.path(), &[]);
    assert_eq!(code, 0, "{stdout}\n{stderr}");
    assert!(stderr.contains("training on the bundled sample"), "{stderr}");
    let asked = run(dir.path(), &["train", "--dataset", "mnist"]);
    assert!(stderr.contains("train --dataset mnist"), "{stderr}");
    assert!(asked.0 == 1 && asked.2.contains("Put train-images-idx3-ubyte.gz"), "{}", asked.2);
    assert!(stdout.contains("epoch 20/20"), "{stdout}");
    let run_dir = dir.path().join("runs/mnist-sample/linear_v1-bn-ce");
    for file in [
        "recipe.toml",
        "dataset.json",
        "device.json",
        "metrics.csv",
        "steps.csv",
        "weights.safetensors",
        "report.html",
        "checkpoints/last/manifest.json",
        "checkpoints/best/manifest.json",
    ] {
        assert!(run_dir.join(file).is_file(), "{file}");
    }
    for stem in ["train_loss", "test_loss", "test_accuracy", "confusion"] {
        let svg = fs::read_to_string(run_dir.join(format!("{stem}.svg"))).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{stem}.svg");
        image::open(run_dir.join(format!("{stem}.png"))).unwrap();
    }
    let metrics = fs::read_to_string(run_dir.join("metrics.csv")).unwrap();
    let rows: Vec<Vec<f64>> =
        metrics.lines().skip(1).map(|line| line.split(',').map(|field| field.parse().unwrap()).collect()).collect();
    assert_eq!(rows.len(), 20);
    let accuracy = rows[19][3];
    assert!(accuracy >= 92.0, "test accuracy after 20 epochs on 4,000 digits: {accuracy} %");
    assert_eq!(fs::read_to_string(run_dir.join("steps.csv")).unwrap().lines().count(), 1 + 20 * 8);
    let leftovers = fs::read_dir(&run_dir).unwrap().filter(|e| {
        let name = e.as_ref().unwrap().file_name().into_string().unwrap();
        name.ends_with(".part")
    });
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn wrong_usage_is_refused_with_a_hint_before_anything_is_written() {
    let cases: &[(&[&str], &str)] = &[
        (&["train", "linear_v1-bn-cee"], "Did you mean 'linear_v1-bn-ce'?"),
        (&["train", "--model", "linear_v2"], "Did you mean"),
        (&["train", "--loss", "msee"], "Did you mean 'mse'?"),
        (&["train", "--optimizer", "adan"], "Did you mean 'adam'?"),
        (&["train", "--dataset", "mnits"], "Did you mean 'mnist'?"),
        (&["train", "--lr", "NaN"], "learning rate"),
        (&["train", "--lr", "-1"], "learning rate"),
        (&["train", "--batch", "0"], "batch size"),
        (&["train", "--batch", "4001", "--dataset", "mnist-sample"], "4000 train images"),
        (&["train", "--batch", "1333", "--dataset", "mnist-sample"], "batch normalization needs two"),
        (&["train", "--batch", "1", "--dataset", "mnist-sample"], "batch normalization needs two"),
        (&["train", "--fraction", "0"], "fraction"),
        (&["train", "--fraction", "1.5"], "fraction"),
        (&["train", "--epochs", "0"], "epochs"),
        (&["train", "--schedule", "step:0:0.5"], "step size"),
        (&["train", "--schedule", "linear"], "step:SIZE:GAMMA"),
        (&["train", "--momentum", "0.9", "--optimizer", "adam"], "momentum is for the optimizer sgd"),
        (&["train", "--model", "linear_v0", "--batch-norm", "on"], "batch norm is for the network linear_v1"),
        (&["train", "--layers", "conv 8, relu"], "end with `flatten, linear classes`"),
        (&["train", "--layers", "convo 8"], "Did you mean 'conv'?"),
        (&["train", "--layers", "flatten, linear 9"], "but there are 10 classes"),
        (&["train", "--layers", "flatten, linear 60000, linear 60000, linear classes"], "is too large"),
        (&["train", "--name", "../x", "--dataset", "mnist-sample", "--device", "cpu"], "plain folder name"),
        (&["train", "--resume", "nowhere"], "no run"),
        (&["compare", "nowhere"], "no run"),
        (&["tarin"], "train"),
        (&["train", "--lrr", "1"], "--lr"),
    ];
    let dir = tempdir().unwrap();
    for (args, hint) in cases {
        let (code, stdout, stderr) = run(dir.path(), args);
        assert_eq!(code, 2, "{args:?}\n{stdout}\n{stderr}");
        assert!(stderr.contains(hint), "{args:?}: {stderr}");
    }
    let runs = dir.path().join("runs");
    let files = |p: &Path| fs::read_dir(p).map_or(0, Iterator::count);
    assert!(files(&runs) == 0 || files(&runs.join("mnist-sample")) == 0, "a refused run leaves no folder");
}

#[test]
fn a_device_that_is_not_there_is_an_error_that_lists_what_is() {
    let dir = tempdir().unwrap();
    let (code, _, stderr) = run(dir.path(), &["train", "--dataset", "mnist-sample", "--device", "no such card"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no device matches 'no such card'") && stderr.contains("(cpu, flex)"), "{stderr}");
    let devices = json(&ok(dir.path(), &["devices", "--json"]));
    let devices = devices.as_array().unwrap();
    assert_eq!(devices.iter().filter(|d| d["default"] == true).count(), 1);
    assert!(devices.iter().any(|d| d["kind"] == "cpu"));
    let default = devices.iter().find(|d| d["default"] == true).unwrap();
    assert_ne!(default["kind"], "software", "a software adapter is never the default");
    assert!(ok(dir.path(), &["devices"]).contains("* is taken where --device names none"));
}

#[test]
fn two_runs_of_one_seed_are_equal_and_of_two_seeds_are_not() {
    let dir = tempdir().unwrap();
    for (name, seed) in [("a", "1"), ("b", "1"), ("c", "2")] {
        train(dir.path(), &["--epochs", "2", "--name", name, "--seed", seed, "--batch", "300"]);
    }
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        let bytes = weights(dir.path(), name);
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + header..].to_vec() // the header holds the recipe, and so the seed
    });
    assert_eq!(a, b);
    assert_ne!(a, c);
}

#[test]
fn a_missed_target_and_an_exploding_loss_fail() {
    let dir = tempdir().unwrap();
    let sample = |args: &[&str]| run(dir.path(), &[&["train"][..], args, &SAMPLE].concat());
    let (code, stdout, stderr) = sample(&["--epochs", "1", "--target-accuracy", "99.9"]);
    assert_eq!(code, 1, "{stdout}");
    assert!(stderr.contains("below the target"), "{stderr}");
    assert_eq!(sample(&["--epochs", "2", "--target-accuracy", "50"]).0, 0);
    let (code, stdout, stderr) = sample(&["--lr", "1e30", "--batch-norm", "off", "--epochs", "5"]);
    assert_eq!(code, 1, "{stdout}");
    assert!(stderr.contains("learning rate 1000000000000000000000000000000 may be too high"), "{stderr}");
}

#[test]
fn patience_ends_a_run_early() {
    let dir = tempdir().unwrap();
    let stdout = train(dir.path(), &["--epochs", "500", "--patience", "3", "--lr", "0.5"]);
    assert!(stdout.contains("stopped early: no lower test loss for 3 epochs"), "{stdout}");
}

#[test]
fn evaluate_predict_and_compare_use_a_run() {
    let dir = tempdir().unwrap();
    train(dir.path(), &["--epochs", "12", "--name", "r"]);
    train(dir.path(), &["--epochs", "2", "--name", "s", "--model", "linear_v0"]);
    let run_dir = dir.path().join("runs/mnist-sample/r");
    let metrics = fs::read_to_string(run_dir.join("metrics.csv")).unwrap();
    let last: f64 = metrics.lines().last().unwrap().split(',').nth(3).unwrap().parse().unwrap();
    let path = "runs/mnist-sample/r";
    let measured = json(&ok(dir.path(), &["evaluate", path, "--checkpoint", "last", "--device", "cpu", "--json"]));
    assert!((measured["accuracy"].as_f64().unwrap() - last).abs() < 1e-9);
    assert_eq!(measured["test_images"], 1000);

    // Test digits of the sample, dark on a large white sheet.
    let sample = tinderbox::data::Identity::MnistSample;
    let test = tinderbox::data::load(&sample, None, &mut tinderbox::notice::silent).unwrap().dataset.test;
    let mut args = vec!["predict", path, "--device", "cpu", "--json"];
    let names: Vec<String> = (0..30).map(|i| format!("digit-{i}.png")).collect();
    for (i, name) in names.iter().enumerate() {
        let digit = image::GrayImage::from_raw(28, 28, test.image(i).unwrap().to_vec()).unwrap();
        let mut sheet = image::GrayImage::from_pixel(300, 200, image::Luma([255]));
        let mut large = image::imageops::resize(&digit, 112, 112, image::imageops::FilterType::Triangle);
        image::imageops::invert(&mut large);
        image::imageops::replace(&mut sheet, &large, 150, 20);
        sheet.save(dir.path().join(name)).unwrap();
        args.push(name);
    }
    let guesses = json(&ok(dir.path(), &args));
    let hits = guesses.as_array().unwrap().iter().zip(&test.labels).filter(|(guess, label)| {
        assert_eq!(guess["top"].as_array().unwrap().len(), 3);
        guess["top"][0]["class"] == label.to_string()
    });
    let hits = hits.count();
    assert!(hits >= 24, "{hits} of 30 digits");
    fs::write(dir.path().join("broken.png"), b"\x89PNG\r\n\x1a\nnonsense").unwrap();
    let (code, _, stderr) = run(dir.path(), &["predict", path, "broken.png", "--device", "cpu"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("broken.png"), "{stderr}");

    let stdout = ok(dir.path(), &["compare", path, "runs/mnist-sample/s", "--out", "c"]);
    assert!(stdout.contains("best accuracy"), "{stdout}");
    let html = fs::read_to_string(dir.path().join("c/report.html")).unwrap();
    assert!(html.contains("uPlot") && html.contains("\"name\":\"s\"") && !html.contains("{{title}}"));
    assert!(dir.path().join("c/test_accuracy.png").is_file());
    let rows = json(&ok(dir.path(), &["compare", path, "--json"]));
    assert_eq!(rows[0]["metrics"].as_array().unwrap().len(), 12);
}

#[test]
fn weights_in_files_are_as_good_as_their_run() {
    let dir = tempdir().unwrap();
    train(dir.path(), &["--epochs", "2", "--name", "r"]);
    let accuracy = |what: &str| {
        let measured = json(&ok(dir.path(), &["evaluate", what, "--checkpoint", "last", "--device", "cpu", "--json"]));
        measured["accuracy"].as_f64().unwrap()
    };
    let expected = accuracy("runs/mnist-sample/r");
    for kind in ["safetensors", "burnpack"] {
        let file = format!("w.{kind}");
        ok(dir.path(), &["export", "runs/mnist-sample/r", "--checkpoint", "last", "--to", kind, "--out", &file]);
        assert_eq!(accuracy(&file), expected, "{kind}");
        // From one kind to the other.
        ok(dir.path(), &["export", &file, "--to", "safetensors", "--out", "again.safetensors"]);
        assert_eq!(
            fs::read(dir.path().join("again.safetensors")).unwrap(),
            fs::read(dir.path().join("runs/mnist-sample/r/weights.safetensors")).unwrap()
        );
        let whole = fs::read(dir.path().join(&file)).unwrap();
        for cut in [0, 4, 20, whole.len() / 2, whole.len() - 1] {
            fs::write(dir.path().join("cut"), &whole[..cut]).unwrap();
            let (code, _, stderr) = run(dir.path(), &["evaluate", "cut", "--device", "cpu"]);
            assert!(code == 1 && stderr.starts_with("error: cut: "), "{kind} {cut}: {code} {stderr}");
        }
    }
    let (code, _, stderr) = run(dir.path(), &["export", "w.burnpack", "--to", "burnpack", "--out", "runs"]);
    assert!(code == 2 && stderr.contains("is a folder"), "{stderr}");
    // A small file that claims to be of a large network is refused before that is made.
    let claim = fs::read(dir.path().join("w.safetensors")).unwrap();
    let claim = String::from_utf8_lossy(&claim[8..2000])
        .replace("linear_v1", "vgg16")
        .replace(r#"\"width\":1.0"#, r#"\"width\":16"#);
    let claim = claim
        .replace("[1,28,28]", "[3,32,32]")
        .replace(r#"\"height\":28,\"width\":28"#, r#"\"height\":32,\"width\":32"#);
    let header = format!("{}}}}}", &claim[..claim.find(r#"}"}"#).unwrap() + 2]);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    fs::write(dir.path().join("claim"), file).unwrap();
    let (code, _, stderr) = run(dir.path(), &["evaluate", "claim", "--device", "cpu"]);
    assert!(code == 1 && stderr.contains("too few for vgg16"), "{header} {stderr}");
}

#[test]
fn a_recipe_is_written_changed_and_trained() {
    let dir = tempdir().unwrap();
    ok(dir.path(), &["init", "linear_v1-mse", "--out", "mine.toml"]);
    let (code, _, stderr) = run(dir.path(), &["init", "--out", "mine.toml"]);
    assert!(code == 2 && stderr.contains("is there already"), "{stderr}");
    let path = dir.path().join("mine.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"mnist\"", "\"mnist-sample\"").replace("epochs = 20", "epochs = 3")).unwrap();
    let stdout = ok(dir.path(), &["train", "mine.toml", "--device", "cpu", "--batch", "100"]);
    assert!(stdout.contains("linear_v1-mse") && stdout.contains("epoch 3/3"), "{stdout}");
    fs::write(&path, text.replace("learning_rate", "learing_rate")).unwrap();
    let (code, _, stderr) = run(dir.path(), &["train", "mine.toml"]);
    assert!(
        code == 2 && stderr.contains("mine.toml: unknown key 'learing_rate'. Did you mean 'learning_rate'?"),
        "{stderr}"
    );
    let (code, _, stderr) = run(dir.path(), &["train", "nowhere.toml"]);
    assert!(code == 1 && stderr.contains("nowhere.toml"), "{stderr}");
}

#[test]
fn shells_and_manuals_know_every_command() {
    let dir = tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = ok(dir.path(), &["completions", shell]);
        assert!(text.contains("reproduce") && text.contains("label-smoothing"), "{shell}");
    }
    ok(dir.path(), &["man", "pages"]);
    for page in ["tinderbox", "tinderbox-train", "tinderbox-export", "tinderbox-bench"] {
        let text = fs::read_to_string(dir.path().join(format!("pages/{page}.1"))).unwrap();
        assert!(text.contains(".TH") && text.contains(page), "{page}");
    }
}

#[test]
fn a_network_refuses_images_that_do_not_fit() {
    let dir = tempdir().unwrap();
    let (code, _, stderr) = run(dir.path(), &["train", "cifar10-vgg11", "--dataset", "mnist-sample"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("`pool max 2`, gets 512x1x1 and needs maps of at least 2x2"), "{stderr}");
}

#[test]
fn models_are_listed_with_what_they_cost() {
    let dir = tempdir().unwrap();
    let models = json(&ok(dir.path(), &["models", "--json"]));
    let vgg = models.as_array().unwrap().iter().find(|m| m["model"] == "vgg11").unwrap();
    assert_eq!(vgg["parameters"], 9_228_362);
    let table = ok(dir.path(), &["models", "resnet9"]);
    assert!(table.contains("residual [conv 512 bias off, norm, relu") && table.contains("6,573,130"), "{table}");
    assert_eq!(run(dir.path(), &["models", "vgg12"]).0, 2);
}

#[test]
fn the_gpu_path_trains_to_the_same_losses() {
    let Some(device) = gpu_request("the_gpu_path_trains_to_the_same_losses") else { return };
    let dir = tempdir().unwrap();
    let epochs = ["train", "--dataset", "mnist-sample", "--epochs", "2"];
    ok(dir.path(), &[&epochs[..], &["--name", "cpu", "--device", "cpu"]].concat());
    ok(dir.path(), &[&epochs[..], &["--name", "gpu", "--device", &device]].concat());
    let losses = |name: &str| -> Vec<f64> {
        let text = fs::read_to_string(dir.path().join("runs/mnist-sample").join(name).join("steps.csv")).unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
    };
    let (cpu, gpu) = (losses("cpu"), losses("gpu"));
    assert_eq!(cpu.len(), 16);
    for (step, (a, b)) in cpu.iter().zip(&gpu).enumerate() {
        assert!((a - b).abs() < 1e-3 * a.abs().max(1.0), "step {}: cpu {a}, gpu {b}", step + 1);
    }
    let about = json(&fs::read_to_string(dir.path().join("runs/mnist-sample/gpu/device.json")).unwrap());
    assert_ne!(about["kind"], "cpu");
}

#[test]
fn half_precision_is_refused_where_there_is_none() {
    let dir = tempdir().unwrap();
    let (code, _, stderr) = run(dir.path(), &[&["train", "--precision", "f16"][..], &SAMPLE].concat());
    assert!(code == 2 && stderr.contains("has no half precision"), "{code} {stderr}");
    assert!(!dir.path().join("runs").exists());
    assert_eq!(run(dir.path(), &[&["train", "--precision", "f8"][..], &SAMPLE].concat()).0, 2);
}

/// What tuning finds is in the cache folder, where the next start looks.
#[test]
fn a_second_start_tunes_nothing() {
    let Some(device) = gpu_request("a_second_start_tunes_nothing") else { return };
    let dir = tempdir().unwrap();
    let start = |name: &str| {
        let args = ["train", "--dataset", "mnist-sample", "--fraction", "0.2", "--epochs", "1", "--name", name];
        let mut command = tinderbox(dir.path(), &[&args[..], &["--device", &device]].concat());
        let command = command.env("XDG_CACHE_HOME", dir.path().join("cache")).env("CUBECL_AUTOTUNE_LEVEL", "minimal");
        let (code, stdout, stderr) = text(command.output().unwrap());
        assert_eq!(code, 0, "{stdout}\n{stderr}");
        stderr.contains("kernels are compiled and tuned")
    };
    assert!(start("first"), "nothing was tuned at the first start");
    assert!(!start("second"), "the second start tuned again");
}
