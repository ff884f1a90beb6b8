//! A folder of images, or a zip file of one: one subfolder a class, in `train/` and `test/` or to be split.

use std::path::Path;

use image::DynamicImage;
use image::imageops::FilterType;

use super::dataset::{Dataset, Loaded, MAX_CLASSES, Split};
use super::identity::Preprocessing;
use super::origin::Origin;
use super::picture::to_model_input;
use super::pictures::{Labelled, PICTURE_SIDE, divide, shape_of};
use super::tree::{Picture, Tree};
use crate::error::{Error, Result};
use crate::notice::{Notice, Notices};

/// So many broken files are named; the rest is counted.
const NAMED: usize = 5;

/// Loads `dir/train/CLASS/*` and `dir/test/CLASS/*`, or splits `dir/CLASS/*` four to one. Files that are no image are
/// left out, and `notices` hears of them.
pub(super) fn load(dir: &Path, notices: Notices<'_>) -> Result<Loaded> {
    let tree = Tree::open(dir)?;
    let parted = tree.has("train") && tree.has("test");
    let classes = tree.subfolders(if parted { "train" } else { "" })?;
    if !parted && tree.has("train") {
        let message = "there is train/ but no test/: rename the other part to test/, or name the folder train/ itself \
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
    let (train, test) = if parted {
        let extra: Vec<String> = tree.subfolders("test")?.into_iter().filter(|c| !classes.contains(c)).collect();
        if !extra.is_empty() {
            let message = format!("classes that train/ does not have: {}", extra.join(", "));
            return Err(Error::invalid_file(&dir.join("test"), message));
        }
        (files(&tree, "train/", &classes), files(&tree, "test/", &classes))
    } else {
        divide(files(&tree, "", &classes))
    };
    let mut broken = Vec::new();
    let (train, test) = (decode(train, &mut broken), decode(test, &mut broken));
    broken.iter().take(NAMED).for_each(|error| notices(Notice::LeftOut(error.clone())));
    if broken.len() > NAMED {
        notices(Notice::LeftOutMore(broken.len() - NAMED));
    }
    if train.is_empty() || test.is_empty() {
        let message = format!(
            "{} train and {} test images could be read, {} files could not: put PNG, JPEG or BMP files into {}",
            train.len(),
            test.len(),
            broken.len(),
            dir.join("CLASS").display()
        );
        return Err(Error::invalid_file(dir, message));
    }
    let colour = train.iter().chain(&test).any(|(image, _)| image.color().has_color());
    let dataset = Dataset::new(split(&train, colour)?, split(&test, colour)?, classes);
    let dataset = dataset.map_err(|e| e.in_file(dir))?;
    Ok(Loaded { dataset, origin: Origin::Folder(dir.into()) })
}

/// All files of all classes with their labels, sorted by class and name.
fn files(tree: &Tree, part: &str, classes: &[String]) -> Labelled<Picture> {
    let mut found = Vec::new();
    for (label, class) in (0..=u8::MAX).zip(classes) {
        let pictures = tree.files(&format!("{part}{class}"));
        found.extend(pictures.into_iter().map(|picture| (picture, label)));
    }
    found
}

fn decode(files: Labelled<Picture>, broken: &mut Vec<Error>) -> Labelled<DynamicImage> {
    let small = |(picture, label): (Picture, u8)| match picture.open() {
        Ok(image) => {
            Some((image.resize_to_fill(PICTURE_SIDE as u32, PICTURE_SIDE as u32, FilterType::Triangle), label))
        }
        Err(e) => {
            broken.push(e);
            None
        }
    };
    files.into_iter().filter_map(small).collect()
}

fn split(images: &[(DynamicImage, u8)], colour: bool) -> Result<Split> {
    let (mut pixels, shape) = (Vec::new(), shape_of(colour));
    for (image, _) in images {
        pixels.extend(to_model_input(image, shape, Preprocessing::Picture)?);
    }
    Ok(Split { pixels: pixels.into(), labels: images.iter().map(|(_, label)| *label).collect(), shape })
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
        let first = load(dir.path(), &mut silent).unwrap().dataset;
        assert_eq!(first.classes, ["cat", "dog"]);
        assert_eq!(first.shape(), ImageShape { channels: 3, height: 32, width: 32 });
        assert_eq!((first.train.len(), first.test.len()), (8 + 4, 2 + 1));
        assert_eq!(first, load(dir.path(), &mut silent).unwrap().dataset);
    }

    #[test]
    fn train_and_test_folders_are_taken_as_they_are() {
        let dir = folder(&[("train/a", 3), ("train/b", 2), ("test/b", 1)]);
        let dataset = load(dir.path(), &mut silent).unwrap().dataset;
        assert_eq!(dataset.train.labels, [0, 0, 0, 1, 1]);
        assert_eq!(dataset.test.labels, [1]);
        fs::create_dir(dir.path().join("test/c")).unwrap();
        assert!(load(dir.path(), &mut silent).err().unwrap().to_string().contains("does not have: c"));
    }

    #[test]
    fn broken_files_are_left_out_and_fatal_only_if_nothing_is_left() {
        let dir = folder(&[("cat", 5), ("dog", 5)]);
        fs::write(dir.path().join("cat/zzz.png"), b"no image").unwrap();
        assert_eq!(load(dir.path(), &mut silent).unwrap().dataset.train.len(), 8);
        for class in ["cat", "dog"] {
            for entry in fs::read_dir(dir.path().join(class)).unwrap() {
                fs::write(entry.unwrap().path(), b"no image").unwrap();
            }
        }
        let error = load(dir.path(), &mut silent).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("11 files could not"), "{error}");
        assert_eq!(load(&dir.path().join("nowhere"), &mut silent).err().unwrap().kind(), ErrorKind::MissingData);
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
        let error = load(dir.path(), &mut silent).err().unwrap();
        assert!(error.to_string().contains("found one, x"), "a class alone has nothing to be told from: {error}");
        grey("y");
        assert_eq!(load(dir.path(), &mut silent).unwrap().dataset.shape().channels, 1);
    }
}
