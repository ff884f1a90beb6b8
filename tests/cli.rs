//! The built program, driven as a user would, in temporary folders.

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{SAMPLE, gpu_request, ok, real_data, run, tinderbox, weights};
use serde_json::Value;
use tempfile::tempdir;

fn train(dir: &Path, args: &[&str]) -> String {
    ok(dir, &[&["train"][..], args, &SAMPLE].concat())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn a_bare_run_without_network_trains_on_the_sample_and_leaves_everything() {
    let dir = tempdir().unwrap();
    let (code, stdout, stderr) = run(dir.path(), &[]);
    assert_eq!(code, 0, "{stdout}\n{stderr}");
    assert!(stderr.contains("training on the bundled sample"), "{stderr}");
    assert!(stderr.contains("train-images-idx3-ubyte.gz"), "{stderr}");
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
        (&["train", "--momentum", "0.9", "--optimizer", "adam"], "--momentum"),
        (&["train", "--model", "linear_v0", "--batch-norm", "on"], "linear_v0"),
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
fn missing_data_says_which_files_go_where() {
    let dir = tempdir().unwrap();
    for args in
        [&["train", "--dataset", "mnist"][..], &["train", "--data-dir", "d"], &["samples", "mnist", "--png", "x.png"]]
    {
        let (code, _, stderr) = run(dir.path(), args);
        assert_eq!(code, 1, "{args:?}: {stderr}");
        assert!(stderr.contains("t10k-labels-idx1-ubyte.gz into") && stderr.contains("--data-dir"), "{stderr}");
    }
    let (code, _, stderr) = run(dir.path(), &["train", "--dataset", "idx:nowhere"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("nowhere"), "{stderr}");
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
    assert!(ok(dir.path(), &["devices"]).contains("* is what a bare run takes"));
}

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
fn a_diverging_convolutional_network_is_noticed() {
    let dir = tempdir().unwrap();
    photos(&dir.path().join("photos"), 20);
    let args =
        ["train", "cifar10-vgg11", "--dataset", "folder:photos", "--batch", "8", "--width", "0.0625", "--lr", "1e30"];
    let (code, stdout, stderr) = run(dir.path(), &[&args[..], &["--device", "cpu"]].concat());
    assert_eq!(code, 1, "{stdout}");
    assert!(stderr.contains("may be too high"), "{stderr}");
}

#[test]
fn predict_sees_a_grey_folder_as_training_did() {
    let dir = tempdir().unwrap();
    for (class, left) in [("left", true), ("right", false)] {
        fs::create_dir_all(dir.path().join("grey").join(class)).unwrap();
        for i in 0..20u32 {
            let bar = if left { 2..9 } else { 23..30 };
            let picture = image::GrayImage::from_fn(32, 32, |x, y| {
                image::Luma([if bar.contains(&x) { 230 } else { ((y * i) % 40) as u8 }])
            });
            picture.save(dir.path().join(format!("grey/{class}/{i}.png"))).unwrap();
        }
    }
    let args =
        ["train", "cifar10-linear", "--dataset", "folder:grey", "--batch", "8", "--lr", "0.01", "--epochs", "10"];
    ok(dir.path(), &[&args[..], &["--target-accuracy", "100", "--device", "cpu", "--name", "r"]].concat());
    for class in ["left", "right"] {
        let (one, two) = (format!("grey/{class}/3.png"), format!("grey/{class}/11.png"));
        let guesses = ok(dir.path(), &["predict", "runs/folder-grey/r", &one, &two, "--device", "cpu", "--json"]);
        for guess in json(&guesses).as_array().unwrap() {
            assert_eq!(guess["top"][0]["class"], class, "{guesses}");
        }
    }
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

#[test]
#[cfg(unix)]
fn a_signal_saves_within_the_epoch_and_the_rest_is_the_same() {
    let dir = tempdir().unwrap();
    let args = ["train", "--epochs", "100000", "--name", "stopped", "--batch", "50"];
    let mut child = tinderbox(dir.path(), &[&args[..], &SAMPLE].concat())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let metrics = dir.path().join("runs/mnist-sample/stopped/metrics.csv");
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 3 {
        assert!(Instant::now() < deadline, "no epoch within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    let kill = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
    assert!(stderr.contains("tinderbox train --resume runs/mnist-sample/stopped"), "{stderr}");

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
    let dir = tempdir().unwrap();
    let options = ["--epochs", "30", "--batch", "100", "--save-every", "1", "--optimizer", "adam"];
    train(dir.path(), &[&options[..], &["--name", "whole"]].concat());
    let wanted: usize = std::env::var("TINDERBOX_TEST_KILLS").map_or(25, |text| text.parse().unwrap());
    let mut kills = 0;
    for round in 0.. {
        let name = format!("killed-{round}");
        let folder = format!("runs/mnist-sample/{name}");
        loop {
            let begun = dir.path().join(&folder).join("recipe.toml").is_file();
            let resume = ["train", "--resume", &folder, "--device", "cpu", "--save-every", "1"];
            let start = [&["train", "--name", &name][..], &options, &SAMPLE].concat();
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
    println!("survived {kills} kills");
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
    assert!(
        stderr.contains("learning rate 1000000000000000019884624838656 may be too high")
            || stderr.contains("may be too high"),
        "{stderr}"
    );
}

#[test]
fn patience_ends_a_run_early() {
    let dir = tempdir().unwrap();
    let stdout = train(dir.path(), &["--epochs", "500", "--patience", "3", "--lr", "0.5"]);
    assert!(stdout.contains("stopped early: no lower test loss for 3 epochs"), "{stdout}");
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
        (text.replace("\"format\": 1", "\"format\": 2"), 1, "use a newer tinderbox"),
        (text.replace("\"linear_v1\"", "\"vgg11\""), 2, "model: \"vgg11\" -> \"linear_v1\""),
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

#[test]
#[cfg(unix)]
fn a_second_signal_ends_at_once() {
    let dir = tempdir().unwrap();
    let args = ["train", "--epochs", "100000", "--name", "r", "--save-every", "1"];
    let mut child = tinderbox(dir.path(), &[&args[..], &SAMPLE].concat())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let metrics = dir.path().join("runs/mnist-sample/r/metrics.csv");
    while fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 3 {
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..2 {
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Whether the first signal's save was cut off or not, what is on disk is whole.
    ok(dir.path(), &["evaluate", "runs/mnist-sample/r", "--checkpoint", "last", "--device", "cpu"]);
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
    let source = tinderbox::dataset::DataSource::MnistSample;
    let test = tinderbox::dataset::load(&source, None).unwrap().dataset.test;
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
fn a_sweep_trains_every_combination_and_tells_mean_and_spread() {
    let dir = tempdir().unwrap();
    let sweep = |more: &[&str]| {
        let args = ["train", "--lr", "0.1,0.03", "--seed", "1,2,3", "--epochs", "2", "--name", "s"];
        run(dir.path(), &[&args[..], more, &SAMPLE].concat())
    };
    let (code, stdout, stderr) = sweep(&[]);
    assert_eq!(code, 0, "{stderr}");
    let accuracy = |seed: u32| -> f64 {
        let path = dir.path().join(format!("runs/s/lr0.1-seed{seed}/metrics.csv"));
        fs::read_to_string(path).unwrap().lines().last().unwrap().split(',').nth(3).unwrap().parse().unwrap()
    };
    let mean = (accuracy(1) + accuracy(2) + accuracy(3)) / 3.0;
    assert!(stdout.contains(&format!("learning rate 0.1, batch 500: final accuracy {mean:.2} % ± ")), "{stdout}");
    assert!(fs::read_to_string(dir.path().join("runs/s/report.html")).unwrap().contains("over 3 seeds"));
    let (code, stdout, _) = sweep(&[]); // again: nothing is left to do
    assert!(code == 0 && stdout.matches("already finished").count() == 6, "{stdout}");
    let (code, _, stderr) = sweep(&["--batch", "100,100"]);
    assert!(code == 2 && stderr.contains("is given twice"), "{stderr}");
    // A rate that is too high costs its own run only.
    let args = ["train", "--lr", "1e30,0.1", "--batch-norm", "off", "--epochs", "2", "--name", "t"];
    let (code, stdout, stderr) = run(dir.path(), &[&args[..], &SAMPLE].concat());
    assert!(
        code == 1 && stdout.contains("lr0.1") && stderr.contains("of 2 runs 1 did not come to their end"),
        "{stderr}"
    );
    let (code, _, stderr) = run(dir.path(), &["train", "--seed", "1,2", "--name", "../x", "--dataset", "mnist-sample"]);
    assert!(code == 2, "{stderr}");
    let (code, _, _) = sweep(&["--target-accuracy", "99"]);
    assert_eq!(code, 1);
    assert_eq!(run(dir.path(), &["train", "--seed", "1,2", "--resume", "runs/s/lr0.1-seed1"]).0, 2);
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
fn samples_are_drawn_and_a_missing_display_is_an_error_that_names_png() {
    let dir = tempdir().unwrap();
    ok(dir.path(), &["samples", "mnist-sample", "--seed", "3", "--png", "grid.png"]);
    assert!(image::open(dir.path().join("grid.png")).unwrap().width() > 500);
    if cfg!(target_os = "linux") {
        let mut command = tinderbox(dir.path(), &["samples", "mnist-sample"]);
        let (code, _, stderr) =
            common::text(command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").output().unwrap());
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("--png"), "{stderr}");
    }
}

#[test]
fn a_reproduction_writes_one_report_and_goes_on_where_it_stopped() {
    let dir = tempdir().unwrap();
    let command = ["reproduce", "mnist", "--dataset", "mnist-sample", "--device", "cpu", "--epochs", "3"];
    let stdout = ok(dir.path(), &command);
    assert!(stdout.contains("linear_v1-bn-ce-on-probabilities") && stdout.contains("confirmed"), "{stdout}");
    let folder = dir.path().join("runs/reproduce-mnist");
    let report = fs::read_to_string(folder.join("report.md")).unwrap();
    for text in ["25:03", "linear_v0-mse", "beats its absence", "epoch 41"] {
        assert!(report.contains(text), "{text}: {report}");
    }
    assert!(fs::read_to_string(folder.join("report.html")).unwrap().contains("beats its absence"));
    // As if it had been interrupted before its last run.
    fs::remove_dir_all(folder.join("linear_v1-bn-ce")).unwrap();
    let stdout = ok(dir.path(), &command);
    assert_eq!(stdout.matches("already finished").count(), 4, "{stdout}");
    let (code, _, stderr) = run(dir.path(), &[&command[..], &["--seed", "1"]].concat());
    assert_eq!(code, 2);
    assert!(stderr.contains("seed: 0 -> 1"), "{stderr}");
}

#[test]
fn an_idx_folder_with_its_own_classes_trains() {
    let dir = tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist-sample");
    let folder = dir.path().join("mine");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let classes = "nought one two three four five six seven eight nine".replace(' ', "\n");
    fs::write(folder.join("classes.txt"), classes).unwrap();
    ok(dir.path(), &["train", "--dataset", "idx:mine", "--epochs", "1", "--device", "cpu", "--fraction", "0.5"]);
    let about = json(&fs::read_to_string(dir.path().join("runs/idx-mine/linear_v1-bn-ce/dataset.json")).unwrap());
    assert_eq!(about["classes"][0], "nought");
    assert_eq!(about["train_images"], 2000);
}

/// A folder of two classes that a linear model tells apart: bright above, or bright below.
fn photos(dir: &Path, count: u32) {
    for (class, above) in [("above", true), ("below", false)] {
        fs::create_dir_all(dir.join(class)).unwrap();
        for i in 0..count {
            let picture = image::RgbImage::from_fn(40, 50, |x, y| {
                let bright = (y < 25) == above;
                image::Rgb([if bright { 200 } else { 40 }, (x * 6) as u8, (i * 5 % 256) as u8])
            });
            picture.save(dir.join(class).join(format!("{i:03}.png"))).unwrap();
        }
    }
}

#[test]
fn a_folder_of_images_trains_a_convolutional_network_and_resumes() {
    let dir = tempdir().unwrap();
    photos(&dir.path().join("photos"), 40);
    fs::write(dir.path().join("photos/above/broken.jpg"), b"no image").unwrap();
    let options = ["--dataset", "folder:photos", "--width", "0.0625", "--batch", "16", "--device", "cpu"];
    let recipe = ["--augment", "on", "--dropout", "0.2", "--schedule", "step:1:0.9"];
    let start = |name: &str, epochs: &str| {
        let args = [&["train", "cifar10-vgg11", "--epochs", epochs, "--name", name][..], &options, &recipe].concat();
        let (code, stdout, stderr) = run(dir.path(), &args);
        assert_eq!(code, 0, "{stdout}\n{stderr}");
        assert!(stderr.contains("broken.jpg"), "{stderr}");
        fs::read_to_string(dir.path().join("runs/folder-photos").join(name).join("steps.csv")).unwrap()
    };
    let whole = start("whole", "3");
    start("parts", "1");
    let resume = ["train", "--resume", "runs/folder-photos/parts", "--epochs", "3", "--device", "cpu"];
    ok(dir.path(), &resume);
    let parts = fs::read_to_string(dir.path().join("runs/folder-photos/parts/steps.csv")).unwrap();
    assert_eq!(parts, whole, "augmentation, dropout and Adam go on where they stopped");
    let train = ["train", "cifar10-linear", "--dataset", "folder:photos", "--batch", "16", "--device", "cpu"];
    ok(dir.path(), &[&train[..], &["--epochs", "20", "--lr", "0.01", "--target-accuracy", "100"]].concat());
}

#[test]
fn a_network_refuses_images_that_do_not_fit() {
    let dir = tempdir().unwrap();
    let (code, _, stderr) = run(dir.path(), &["train", "cifar10-vgg11", "--dataset", "mnist-sample"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("multiples of 32") && stderr.contains("28x28"), "{stderr}");
}

#[test]
fn models_are_listed_with_what_they_cost() {
    let dir = tempdir().unwrap();
    let models = json(&ok(dir.path(), &["models", "--json"]));
    let vgg = models.as_array().unwrap().iter().find(|m| m["model"] == "vgg11").unwrap();
    assert_eq!(vgg["parameters"], 9_228_362);
    let table = ok(dir.path(), &["models", "resnet9"]);
    assert!(table.contains("residual3.1.conv") && table.contains("6,573,130"), "{table}");
    assert_eq!(run(dir.path(), &["models", "vgg12"]).0, 2);
}

#[test]
fn the_real_cifar10_trains() {
    let Some(data) = real_data("the_real_cifar10_trains") else { return };
    let dir = tempdir().unwrap();
    let data = data.to_str().unwrap();
    let shared = ["--data-dir", data, "--device", "cpu", "--fraction", "0.1"];
    ok(dir.path(), &[&["train", "cifar10-linear", "--epochs", "4", "--target-accuracy", "30"][..], &shared].concat());
    let narrow = ["train", "cifar10-vgg11", "--width", "0.125", "--epochs", "2", "--target-accuracy", "30"];
    ok(dir.path(), &[&narrow[..], &shared].concat());
    ok(dir.path(), &["samples", "cifar10", "--data-dir", data, "--seed", "1", "--png", "grid.png"]);
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
fn the_real_mnist_trains() {
    let Some(data) = real_data("the_real_mnist_trains") else { return };
    let dir = tempdir().unwrap();
    let data = data.to_str().unwrap();
    ok(dir.path(), &["train", "--data-dir", data, "--device", "cpu", "--epochs", "3", "--target-accuracy", "96.5"]);
}

#[test]
fn tensorboard_reads_every_scalar() {
    let python = std::env::var("TINDERBOX_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_tensorboard = std::process::Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !has_tensorboard.is_ok_and(|output| output.status.success()) {
        println!("skipped tensorboard_reads_every_scalar: {python} has no tensorboard (pip install tensorboard)");
        return;
    }
    let dir = tempdir().unwrap();
    train(dir.path(), &["--epochs", "2", "--name", "r"]);
    ok(dir.path(), &["train", "--resume", "runs/mnist-sample/r", "--epochs", "3", "--device", "cpu"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_tensorboard.py");
    let output = std::process::Command::new(python).arg(script).arg(dir.path().join("runs/mnist-sample/r")).output();
    let (code, stdout, stderr) = common::text(output.unwrap());
    assert_eq!(code, 0, "{stderr}");
    let read = json(&stdout);
    let scalars = &read["scalars"];
    assert!(read["texts"]["linear_v1/Recipe"][0].as_str().unwrap().contains("learning_rate = 0.1"), "{read}");
    for (tag, size) in [("linear_v1/Samples", 762), ("linear_v1/Confusion", 900)] {
        assert_eq!(read["images"][tag][0][0], size, "{tag}");
        assert_eq!(read["images"][tag][0][2], "89504e47", "{tag} is a PNG file");
    }
    let column = |file: &str, index: usize| -> Vec<f64> {
        let text = fs::read_to_string(dir.path().join("runs/mnist-sample/r").join(file)).unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(index).unwrap().parse().unwrap()).collect()
    };
    for (tag, expected) in [
        ("linear_v1/Train_Loss", column("steps.csv", 1)),
        ("linear_v1/Test_Loss", column("metrics.csv", 2)),
        ("linear_v1/Test_Accuracy", column("metrics.csv", 3)),
    ] {
        let found = scalars[tag].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{tag}");
        for (i, (pair, expected)) in found.iter().zip(expected).enumerate() {
            assert_eq!(pair[0], i + 1, "{tag}: steps count from 1");
            assert!((pair[1].as_f64().unwrap() - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{tag} {i}");
        }
    }
}

#[test]
fn half_precision_is_refused_where_there_is_none() {
    let dir = tempdir().unwrap();
    let (code, _, stderr) = run(dir.path(), &[&["train", "--precision", "f16"][..], &SAMPLE].concat());
    assert!(code == 2 && stderr.contains("has no half precision"), "{code} {stderr}");
    assert!(!dir.path().join("runs").exists());
    assert_eq!(run(dir.path(), &[&["train", "--precision", "f8"][..], &SAMPLE].concat()).0, 2);
}
