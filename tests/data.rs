//! Data sets of every kind through the built program.

mod common;

use std::fs;
use std::path::Path;

use common::{json, ok, photos, real_data, run, tinderbox};
use tempfile::tempdir;
use tinderbox::data::{Identity, load};
use tinderbox::notice::silent;

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
fn the_real_mnist_trains() {
    let Some(data) = real_data("the_real_mnist_trains") else { return };
    let dir = tempdir().unwrap();
    let data = data.to_str().unwrap();
    ok(dir.path(), &["train", "--data-dir", data, "--device", "cpu", "--epochs", "3", "--target-accuracy", "96.5"]);
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
fn published_mnist_is_recognized_and_other_pictures_under_its_labels_are_not() {
    let Some(data) = real_data("published_mnist_is_recognized_and_other_pictures_under_its_labels_are_not") else {
        return;
    };
    let mut dataset = load(&Identity::Mnist, Some(&data), &mut silent).unwrap().dataset;
    assert_eq!(Identity::recognize(&dataset, "x"), Identity::Mnist);
    dataset.train.pixels = dataset.train.pixels.iter().rev().copied().collect();
    assert_eq!(Identity::recognize(&dataset, "fashion"), Identity::Own("fashion".into()));
}
