//! A folder of images, or a zip file of one: one subfolder a class, in `train/` and `test/` or to be split.

use std::path::Path;

use super::dataset::{Loaded, MAX_CLASSES};
use super::decode;
use super::listing::Listing;
use super::pictures::{Labelled, divide};
use super::tree::{Picture, Tree};
use crate::error::{Error, Result};
use crate::notice::Notices;

/// What the folder beside `train` may be called: ours, and ImageNet's.
const TEST: [&str; 2] = ["test", "val"];

/// Loads `dir/train/CLASS/*` and `dir/test/CLASS/*` (or `val`), or splits `dir/CLASS/*` four to one, with so many pixels a
/// `side`. Files that are no image are left out, and `notices` hears of them.
pub(super) fn load(dir: &Path, side: usize, notices: Notices<'_>) -> Result<Loaded> {
    let tree = Tree::open(dir)?;
    let test = TEST.into_iter().find(|name| tree.has("train") && tree.has(name));
    let classes = tree.subfolders(if test.is_some() { "train" } else { "" })?;
    if test.is_none() && tree.has("train") {
        let message = "there is train/ but no test/ or val/: rename the other part to test/, or name the folder train/ itself \
                       to have it split";
        return Err(Error::invalid_file(dir, message));
    }
    if classes.len() < 2 || classes.len() > MAX_CLASSES {
        let found = if classes.len() == 1 { format!("one, {}", classes[0]) } else { classes.len().to_string() };
        let message = format!(
            "expected 2 to {MAX_CLASSES} subfolders, one a class (or train/ and test/ with these), found {found}"
        );
        return Err(Error::invalid_file(dir, message));
    }
    let (train, test) = match test {
        Some(test) => {
            let extra: Vec<String> = tree.subfolders(test)?.into_iter().filter(|c| !classes.contains(c)).collect();
            if !extra.is_empty() {
                let message = format!("classes that train/ does not have: {}", extra.join(", "));
                return Err(Error::invalid_file(&dir.join(test), message));
            }
            (files(&tree, "train/", &classes), files(&tree, &format!("{test}/"), &classes))
        }
        None => divide(files(&tree, "", &classes)),
    };
    let wanted = format!("put PNG, JPEG, WebP or BMP files into {}", dir.join("CLASS").display());
    decode::load(Listing { train, test, classes, from: dir, wanted }, side, notices)
}

/// All files of all classes with their labels, sorted by class and name.
fn files(tree: &Tree, part: &str, classes: &[String]) -> Labelled<Picture> {
    let mut found = Vec::new();
    for (label, class) in (0..).zip(classes) {
        let pictures = tree.files(&format!("{part}{class}"));
        found.extend(pictures.into_iter().map(|picture| (picture, label)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::error::ErrorKind;
    use crate::notice::silent;
    use image::{GrayImage, Luma, Rgb, RgbImage};
    use std::fs;

    fn folder(classes: &[(&str, u32)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (class, count) in classes {
            fs::create_dir_all(dir.path().join(class)).unwrap();
            for i in 0..*count {
                let image = RgbImage::from_pixel(40 + i, 30, Rgb([200, i as u8, 7]));
                image.save(dir.path().join(class).join(format!("{i:03}.png"))).unwrap();
            }
        }
        dir
    }

    #[test]
    fn a_plain_folder_is_split_four_to_one_and_the_same_way_every_time() {
        let dir = folder(&[("cat", 10), ("dog", 5)]);
        let first = load(dir.path(), 32, &mut silent).unwrap().dataset;
        assert_eq!(first.classes, ["cat", "dog"]);
        assert_eq!(first.shape(), ImageShape { channels: 3, height: 32, width: 32 });
        assert_eq!((first.train.len(), first.test.len()), (8 + 4, 2 + 1));
        assert_eq!(first, load(dir.path(), 32, &mut silent).unwrap().dataset);
    }

    #[test]
    fn train_and_test_folders_are_taken_as_they_are() {
        let dir = folder(&[("train/a", 3), ("train/b", 2), ("test/b", 1)]);
        let dataset = load(dir.path(), 32, &mut silent).unwrap().dataset;
        assert_eq!(dataset.train.labels, [0, 0, 0, 1, 1]);
        assert_eq!(dataset.test.labels, [1]);
        fs::create_dir(dir.path().join("test/c")).unwrap();
        assert!(load(dir.path(), 32, &mut silent).err().unwrap().to_string().contains("does not have: c"));
    }

    #[test]
    fn broken_files_are_left_out_and_fatal_only_if_nothing_is_left() {
        let dir = folder(&[("cat", 5), ("dog", 5)]);
        fs::write(dir.path().join("cat/zzz.png"), b"no image").unwrap();
        assert_eq!(load(dir.path(), 32, &mut silent).unwrap().dataset.train.len(), 8);
        for class in ["cat", "dog"] {
            for entry in fs::read_dir(dir.path().join(class)).unwrap() {
                fs::write(entry.unwrap().path(), b"no image").unwrap();
            }
        }
        let error = load(dir.path(), 32, &mut silent).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("11 files could not"), "{error}");
        assert_eq!(load(&dir.path().join("nowhere"), 32, &mut silent).err().unwrap().kind(), ErrorKind::MissingData);
    }

    #[test]
    fn grey_images_stay_grey() {
        let dir = tempfile::tempdir().unwrap();
        let grey = |class: &str| {
            fs::create_dir(dir.path().join(class)).unwrap();
            for i in 0..4 {
                let file = dir.path().join(format!("{class}/{i}.png"));
                GrayImage::from_pixel(8, 8, Luma([i * 50])).save(file).unwrap();
            }
        };
        grey("x");
        let error = load(dir.path(), 32, &mut silent).err().unwrap();
        assert!(error.to_string().contains("found one, x"), "a class alone has nothing to be told from: {error}");
        grey("y");
        assert_eq!(load(dir.path(), 32, &mut silent).unwrap().dataset.shape().channels, 1);
    }
}
