//! Every command of the README and of `docs/` is run, word for word, on small data.
//!
//! A block of commands is fenced by ```` ```sh ````. A word after `sh` says what else it needs: `ci` and `page` are what CI
//! runs, `gpu` is a machine with several GPUs, `slow` is for all images of a data set; these are only checked for options that
//! there are.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{photos, run, tinderbox};
use tempfile::tempdir;
use tinderbox::data::{Identity, SAMPLE_FILES, load};

/// The commands in a page, and the word that follows `sh`.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match (line.trim().strip_prefix("```"), &block) {
            (Some(info), None) => block = Some(info.to_string()),
            (Some(_), Some(_)) => block = None,
            (None, Some(info)) if info == "sh" || info.starts_with("sh ") => {
                let command = line.split(" # ").next().unwrap_or_default().trim();
                if !command.is_empty() && !command.starts_with('#') {
                    found.push((info.trim_start_matches("sh").trim().to_string(), command.to_string()));
                }
            }
            (None, _) => {}
        }
    }
    found
}

/// A command's words as a shell has them.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in command.chars() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            (' ', None) => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
            (c, _) => word.push(c),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// The program's arguments, if the command runs it.
fn arguments(command: &str) -> Option<Vec<String>> {
    let rest = ["tinderbox", "cargo run --release --", "cargo run --release"]
        .iter()
        .find_map(|start| command.strip_prefix(start))?;
    (rest.is_empty() || rest.starts_with(' ')).then(|| words(rest))
}

/// MNIST's and CIFAR-10's files, with few images in them, and the files that the pages name.
fn furnish(dir: &Path) {
    let data = dir.join("small");
    fs::create_dir_all(data.join("cifar-10-batches-bin")).unwrap();
    for (name, bytes) in SAMPLE_FILES {
        fs::write(data.join(format!("{name}.gz")), bytes).unwrap();
    }
    // 3,073 bytes an image: its class, and red, green and blue planes, brighter by class.
    let batch: Vec<u8> = (0..200_u32)
        .flat_map(|i| {
            let class = (i % 10) as u8;
            std::iter::once(class).chain((0..3072_u32).map(move |p| class * 20 + ((p * 7 + i * 13) % 50) as u8))
        })
        .collect();
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"] {
        fs::write(data.join("cifar-10-batches-bin").join(format!("{name}.bin")), &batch).unwrap();
    }
    let test = load(&Identity::MnistSample, None, &mut tinderbox::notice::silent).unwrap().dataset.test;
    image::GrayImage::from_raw(28, 28, test.image(0).unwrap().to_vec()).unwrap().save(dir.join("seven.png")).unwrap();
    photos(&dir.join("photos"), 40);
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    pages.sort();
    pages.insert(0, root.join("README.md"));
    pages
}

#[test]
fn every_command_that_is_shown_works() {
    let mut count = 0;
    for page in pages() {
        let dir = tempdir().unwrap();
        furnish(dir.path());
        for (needs, command) in commands(&fs::read_to_string(&page).unwrap()) {
            let Some(args) = arguments(&command) else {
                let others = ["cargo ", "rustup ", "wasm-pack ", "bash .ci/run", "TINDERBOX_", "mpirun ", "srun "];
                assert!(
                    others.iter().any(|start| command.starts_with(start)),
                    "{}: what is `{command}`?",
                    page.display()
                );
                continue;
            };
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            if needs.is_empty() {
                let output =
                    tinderbox(dir.path(), &args).env("TINDERBOX_DATA", dir.path().join("small")).output().unwrap();
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(0), "{}: {command}\n{stderr}", page.display());
            } else {
                let (_, help, _) = run(dir.path(), &[args[0], "--help"]);
                for option in args.iter().filter(|arg| arg.starts_with("--")) {
                    assert!(help.contains(option), "{}: {command}: there is no {option}", page.display());
                }
            }
            count += 1;
        }
    }
    assert!(count >= 30, "only {count} commands were found");
}

#[test]
fn the_readme_is_short_and_what_it_links_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.lines().count() <= 120, "{} lines", readme.lines().count());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                let target = page.parent().unwrap().join(file);
                assert!(target.exists(), "{} links to {link}, which is not there", page.display());
            }
        }
    }
}
