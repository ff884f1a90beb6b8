//! Pictures of one's own: their formats, sets that do not fit into memory, and weights to start from.

mod common;
#[path = "common/shapes.rs"]
mod shapes;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Need, json, may_be_long, ok, python, real_data, run, skip, text, tinderbox};
use safetensors::SafeTensors;
use tempfile::{TempDir, tempdir};
use tinderbox::data::{Identity, load, load_sized};
use tinderbox::notice::silent;
use tinderbox::runs::RunDir;

/// A folder with pictures of shapes in `photos/`, and a cache folder of its own.
fn shapes_of(of_each: u64, sides: [f64; 2]) -> TempDir {
    let dir = tempdir().unwrap();
    shapes::write(&dir.path().join("photos"), of_each, sides).unwrap();
    dir
}

/// The program with a cache folder in `dir`.
fn with_cache(dir: &Path, args: &[&str]) -> Command {
    let mut command = tinderbox(dir, args);
    command.env("XDG_CACHE_HOME", dir.join("cache"));
    command
}

#[test]
fn pictures_of_every_kind_become_what_torchvision_makes_of_them() {
    const SIDE: usize = 40;
    let Some(python) = python("pictures_of_every_kind_become_what_torchvision_makes_of_them", "PIL") else { return };
    let dir = tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures.py");
    let made = Command::new(python).arg(script).arg(dir.path()).arg(SIDE.to_string()).output().unwrap();
    let (code, names, stderr) = text(made);
    assert_eq!(code, 0, "{stderr}");
    // A data set needs another class, and something to measure on.
    let set = dir.path().join("set");
    for folder in ["train/other", "test/all"] {
        fs::create_dir_all(set.join(folder)).unwrap();
        fs::copy(set.join("train/all/small.png"), set.join(folder).join("small.png")).unwrap();
    }
    let found = load_sized(&Identity::Folder(set), SIDE, None, &mut silent).unwrap().dataset.train;
    let expected = fs::read(dir.path().join("expected")).unwrap();
    for (i, (name, expected)) in names.split_whitespace().zip(expected.chunks(SIDE * SIDE * 3)).enumerate() {
        let found = found.image(i).unwrap();
        let apart = |at: usize| found[at % 3 * SIDE * SIDE + at / 3].abs_diff(expected[at]);
        let (sum, most) =
            (0..expected.len()).fold((0, 0), |(sum, most), at| (sum + u32::from(apart(at)), most.max(apart(at))));
        let mean = f64::from(sum) / expected.len() as f64;
        println!("{name}: mean {mean:.3}, at most {most}");
        // Decoders of lossy formats differ a little.
        let lossy = name.ends_with(".jpg") || name.contains("lossy");
        assert!(mean < if lossy { 1.5 } else { 0.6 } && most <= if lossy { 12 } else { 2 }, "{name}: {mean} {most}");
    }
}

#[test]
fn cifar10_written_out_as_pictures_is_cifar10() {
    let Some(data) = real_data("cifar10_written_out_as_pictures_is_cifar10") else { return };
    let cifar = load(&Identity::Cifar10, Some(&data), &mut silent).unwrap().dataset;
    let dir = tempdir().unwrap();
    for (name, split) in [("train", &cifar.train), ("val", &cifar.test)] {
        for class in &cifar.classes {
            fs::create_dir_all(dir.path().join(name).join(class)).unwrap();
        }
        for i in 0..300 {
            let picture = tinderbox::data::picture::picture_of(split.image(i).unwrap(), split.shape);
            let class = &cifar.classes[usize::from(split.labels[i])];
            picture.save(dir.path().join(name).join(class).join(format!("{i}.png"))).unwrap();
        }
    }
    let folder = load(&Identity::Folder(dir.path().into()), None, &mut silent).unwrap().dataset;
    for (one, other) in [(&cifar.train, &folder.train), (&cifar.test, &folder.test)] {
        // In a folder classes are sorted by their names.
        let images = |split: &tinderbox::data::Split, classes: &[String]| -> BTreeSet<(String, Vec<u8>)> {
            (0..300)
                .map(|i| (classes[usize::from(split.labels[i])].clone(), split.image(i).unwrap().to_vec()))
                .collect()
        };
        assert_eq!(other.len(), 300);
        assert!(images(one, &cifar.classes) == images(other, &folder.classes));
    }
}

#[test]
fn the_preset_for_photographs_learns_shapes_and_stops_early() {
    const TEST: &str = "the_preset_for_photographs_learns_shapes_and_stops_early";
    if !may_be_long(TEST) {
        return;
    }
    let dir = shapes_of(250, [60.0, 140.0]);
    let args = ["train", "photos", "--device", "cpu", "--epochs", "15", "--target-accuracy", "60", "--name", "run"];
    let (code, stdout, stderr) = text(with_cache(dir.path(), &args).output().unwrap());
    assert_eq!(code, 0, "{stdout}{stderr}");
    let run_dir = RunDir::open(dir.path().join("runs/folder-photos/run")).unwrap();
    assert_eq!(run_dir.recipe().unwrap().patience, Some(12));
    let picture = "photos/star/00003.jpg";
    let guess = json(&ok(dir.path(), &["predict", "runs/folder-photos/run", picture, "--device", "cpu", "--json"]));
    assert!(shapes::SHAPES.iter().any(|shape| guess[0]["top"][0]["class"] == *shape), "{guess}");
}

#[test]
fn a_thousand_classes_are_learned_measured_and_told() {
    let dir = tempdir().unwrap();
    let mut list = String::from("path,label,split\n");
    for i in 0..1000u32 {
        let noise = |x: u32, y: u32| (i * 7919 + x * 104_729 + y * 1_299_709).wrapping_mul(2_654_435_761).to_be_bytes();
        let picture =
            image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([noise(x, y)[0], noise(x, y)[1], noise(y, x)[2]]));
        picture.save(dir.path().join(format!("{i}.png"))).unwrap();
        // What was learned by heart is asked for.
        list += &format!("{i}.png,class {i:03},train\n{i}.png,class {i:03},test\n");
    }
    fs::write(dir.path().join("list.csv"), list).unwrap();
    let args = "train --dataset csv:list.csv --image-size 8 --optimizer adam --lr 0.01 --batch 100 --epochs 30 --device cpu --name run";
    let network = ["--layers", "flatten, norm, linear classes"];
    let args: Vec<&str> = args.split(' ').chain(network).collect();
    let (code, stdout, stderr) = text(with_cache(dir.path(), &args).output().unwrap());
    assert_eq!(code, 0, "{stdout}{stderr}");
    let run = "runs/csv-list-csv/run";
    let found = json(&ok(dir.path(), &["evaluate", run, "--device", "cpu", "--json"]));
    assert!(found["accuracy"].as_f64().unwrap() > 99.0, "{}", found["accuracy"]);
    assert_eq!((&found["classes"][999], found["confusion"][999][999].as_u64()), (&"class 999".into(), Some(1)));
    let guess = json(&ok(dir.path(), &["predict", run, "700.png", "--device", "cpu", "--json"]));
    assert_eq!(guess[0]["top"][0]["class"], "class 700");
    let drawn = fs::metadata(dir.path().join(run).join("confusion.svg")).unwrap().len();
    assert!(drawn < 1_000_000, "cells without an image are not drawn: {drawn} bytes");
}

const SMALL: &str = "pool avg 16, flatten, linear 32, norm, relu, linear classes";

/// What was measured in a run on the folder's pictures at 256 pixels, streamed, and the losses of every epoch.
fn streamed(command: &mut Command, dir: &Path, name: &str) -> Vec<(f64, f64)> {
    let (code, stdout, stderr) = text(command.output().unwrap());
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stderr.contains("images were streamed to the device"), "{stderr}");
    numbers(dir, name)
}

/// Train loss and test accuracy of every epoch of a run.
fn numbers(dir: &Path, name: &str) -> Vec<(f64, f64)> {
    let metrics = RunDir::open(dir.join("runs/folder-photos").join(name)).unwrap().metrics().unwrap();
    metrics.iter().map(|epoch| (epoch.train_loss, epoch.test_accuracy)).collect()
}

fn args<'a>(name: &'a str, resident: &'a [&'a str]) -> Vec<&'a str> {
    let fixed = ["train", "--dataset", "folder:photos", "--layers", SMALL, "--image-size", "256", "--epochs", "2"];
    let rest = ["--batch", "32", "--device", "cpu", "--name", name];
    [&fixed[..], &rest, resident].concat()
}

#[test]
fn a_set_larger_than_memory_trains_to_the_same_numbers() {
    const TEST: &str = "a_set_larger_than_memory_trains_to_the_same_numbers";
    if !may_be_long(TEST) {
        return;
    }
    // 2,200 pictures of 256 pixels a side are 433 MB.
    let dir = shapes_of(550, [30.0, 60.0]);
    let (code, stdout, stderr) = text(with_cache(dir.path(), &args("resident", &[])).output().unwrap());
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stderr.contains("2,200 decoded pictures are kept") && !stderr.contains("streamed"), "{stderr}");
    let resident = numbers(dir.path(), "resident");
    let cap = ["--resident", "40"];
    let command = &mut with_cache(dir.path(), &args("streamed", &cap));
    assert_eq!(streamed(command, dir.path(), "streamed"), resident, "a tenth may stay");
    // The pictures are found decoded, so the folder's own are not needed any more; only their names and times are looked at.
    let Some(group) = MemoryGroup::new(300 << 20) else {
        return skip(Need::System, TEST, "needs a memory control group (root, Linux)");
    };
    let program = with_cache(dir.path(), &args("limited", &cap));
    assert_eq!(streamed(&mut group.inside(&program), dir.path(), "limited"), resident);
}

#[test]
fn kept_pictures_are_shown_made_anew_where_they_change_and_removed() {
    // 580 pictures of 200 pixels a side are 70 MB.
    let dir = shapes_of(145, [20.0, 30.0]);
    let train = ["train", "--dataset", "folder:photos", "--layers", SMALL, "--image-size", "200", "--epochs", "1"];
    let train = [&train[..], &["--batch", "32", "--device", "cpu", "--out", "r", "--name"]].concat();
    let run = |name: &str| text(with_cache(dir.path(), &[&train[..], &[name]].concat()).output().unwrap());
    let kept = || {
        let entries = fs::read_dir(dir.path().join("cache/tinderbox/pictures")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let sets = || kept().into_iter().filter(|path| path.extension().unwrap() == "pixels").collect::<Vec<_>>();
    let decodes = |(code, _, stderr): (i32, String, String)| {
        assert_eq!(code, 0, "{stderr}");
        stderr.contains("decoded pictures are kept")
    };
    assert!(decodes(run("a")) && !decodes(run("b")));
    fs::write(dir.path().join("photos/star/00001.jpg"), b"no picture").unwrap();
    let (code, stdout, stderr) = run("c");
    assert!(code == 0 && stderr.contains("star/00001.jpg") && stderr.contains("579 decoded"), "{stderr}");
    assert!(stdout.contains("463 train and 116 test images"), "{stdout}");
    assert_eq!(sets().len(), 2);
    let cache = |args: &[&str]| text(with_cache(dir.path(), &[&["cache"], args].concat()).output().unwrap()).1;
    assert!(cache(&[]).contains("of at most 50,000 MB in 2 files"));
    assert!(cache(&["--clear"]).contains("removed 2 files, 140 MB"));
    assert!(kept().is_empty());
    // No room: they are decoded, and stay in memory.
    let mut small = with_cache(dir.path(), &[&train[..], &["d"]].concat());
    let (code, _, stderr) = text(small.env("TINDERBOX_CACHE_GB", "0.01").output().unwrap());
    assert!(code == 0 && stderr.contains("They stay in memory"), "{stderr}");
    // A file that was cut short is made anew.
    assert!(decodes(run("e")));
    let file = sets().remove(0);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert!(decodes(run("f")));
}

/// Processes that may have so much memory together, with what the system keeps of files for them.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn new(bytes: u64) -> Option<Self> {
        let name = format!("tinderbox-test-{}", std::process::id());
        for (root, limit) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
            let folder = Path::new(root).join(&name);
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            let group = Self(folder);
            if fs::write(group.0.join(limit), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }

    /// The same command inside the group.
    fn inside(&self, program: &Command) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        command.arg(program.get_program()).args(program.get_args());
        command.current_dir(program.get_current_dir().unwrap());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0); // it is empty: its process has ended
    }
}

fn tensor(dir: &Path, run: &str, name: &str) -> Vec<u8> {
    let bytes = fs::read(dir.join("runs/folder-photos").join(run).join("weights.safetensors")).unwrap();
    SafeTensors::deserialize(&bytes).unwrap().tensor(name).unwrap().data().to_vec()
}

#[test]
fn a_run_begins_with_the_layers_of_another_and_leaves_them_as_they_are() {
    let dir = shapes_of(20, [30.0, 60.0]);
    let train = ["train", "--dataset", "folder:photos", "--batch", "16", "--device", "cpu", "--epochs", "2"];
    let layers =
        ["--layers", "conv 8, norm, relu, pool max 2, conv 8, norm, relu, global_pool avg, flatten, linear classes"];
    let train = [&train[..], &layers].concat();
    ok(dir.path(), &[&train[..], &["--name", "first"]].concat());
    // Three classes instead of four: the last layer is another one.
    fs::remove_dir_all(dir.path().join("photos/star")).unwrap();
    let from = ["--from", "runs/folder-photos/first", "--freeze", "4", "--seed", "7", "--name", "second"];
    let (code, _, stderr) = run(dir.path(), &[&train[..], &from].concat());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("4 of 5 layers with weights begin as in runs/folder-photos/first"), "{stderr}");
    let same = |name: &str| {
        let first = fs::read(dir.path().join("runs/folder-photos/first/checkpoints/best/model.safetensors")).unwrap();
        let first = SafeTensors::deserialize(&first).unwrap().tensor(name).unwrap().data().to_vec();
        first == tensor(dir.path(), "second", name)
    };
    // Frozen: a convolution and its normalization, running statistics too. The others have learned.
    for (name, stays) in
        [("0.weight", true), ("0.bias", true), ("1.running_mean", true), ("4.weight", false), ("5.running_var", false)]
    {
        assert_eq!(same(name), stays, "{name}");
    }
    // It goes on as one that was never interrupted.
    ok(dir.path(), &[&train[..], &from[..6], &["--name", "whole"]].concat());
    let resume = ["train", "--resume", "runs/folder-photos/second", "--epochs", "3", "--device", "cpu"];
    ok(dir.path(), &resume);
    let mut longer = [&train[..], &from[..6], &["--name", "longer"]].concat();
    longer[8] = "3";
    ok(dir.path(), &longer);
    assert_eq!(tensor(dir.path(), "second", "9.weight"), tensor(dir.path(), "longer", "9.weight"));
    for (args, words) in [
        (
            ["--from", "runs/folder-photos/first", "--layers", "flatten, linear classes"],
            "no layer of these weights fits",
        ),
        (["--from", "nowhere", "--freeze", "1"], "nowhere"),
        (["--freeze", "10", "--seed", "1"], "leaves nothing to train"),
    ] {
        let mut all = train.clone();
        if args.contains(&"--layers") {
            all.truncate(8 + 1);
        }
        let (code, _, stderr) = run(dir.path(), &[&all[..], &args].concat());
        assert!(code != 0 && stderr.contains(words), "{args:?}: {stderr}");
    }
    assert_eq!(
        fs::read_dir(dir.path().join("runs/folder-photos")).unwrap().count(),
        4,
        "a wrong start leaves no folder"
    );
}

#[test]
fn a_size_is_for_pictures_alone() {
    let dir = tempdir().unwrap();
    let (code, _, stderr) = run(dir.path(), &["train", "--dataset", "mnist-sample", "--image-size", "64"]);
    assert!(code == 2 && stderr.contains("it is for pictures of folder: and csv:"), "{stderr}");
}
