//! Pictures listed in a CSV file: a path and a label a line, and, where a third column says so, whether it is for testing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::dataset::{Label, Loaded, MAX_CLASSES};
use super::decode;
use super::listing::Listing;
use super::pictures::{Labelled, divide};
use super::tree::Picture;
use crate::error::{Error, ErrorKind, Result};
use crate::notice::Notices;

/// What the third column may say of a picture that is for testing.
const TEST: [&str; 4] = ["test", "val", "valid", "validation"];

/// What a heading may call the first column, and the second.
const PATHS: [&str; 6] = ["path", "file", "filename", "filepath", "image", "image_path"];
const LABELS: [&str; 5] = ["label", "labels", "class", "category", "target"];

/// A line: the picture, its class, and the part of the data set that it is in.
struct Row {
    picture: PathBuf,
    class: String,
    part: Option<String>,
}

/// Loads the pictures that a file lists, with so many pixels a `side`. Paths are relative to the file's folder. A first line
/// `path,label` or `path,label,split` is a heading. Without a third column one picture in five of every class is for testing.
pub(super) fn load(file: &Path, side: usize, notices: Notices<'_>) -> Result<Loaded> {
    let rows = rows(file)?;
    let mut classes: Vec<String> = rows.iter().map(|row| row.class.clone()).collect();
    classes.sort();
    classes.dedup();
    if !(2..=MAX_CLASSES).contains(&classes.len()) {
        let message = format!("expected labels of 2 to {MAX_CLASSES} classes, found {}", classes.len());
        return Err(Error::invalid_file(file, message));
    }
    let labels: BTreeMap<&str, Label> = classes.iter().map(String::as_str).zip(0..).collect();
    let parted = rows.iter().any(|row| row.part.is_some());
    let (mut train, mut test): (Labelled<Picture>, Labelled<Picture>) = (Vec::new(), Vec::new());
    for Row { picture, class, part } in &rows {
        let is_test = part.as_deref().is_some_and(|part| TEST.contains(&part));
        let label = labels.get(class.as_str()).copied().unwrap_or_default(); // every class has one
        (if is_test { &mut test } else { &mut train }).push((Picture::File(picture.clone()), label));
    }
    if !parted {
        train.sort_by(|(one, label), (other, other_label)| (label, one.path()).cmp(&(other_label, other.path())));
        (train, test) = divide(train);
    }
    let wanted = "list PNG, JPEG, WebP or BMP files, by paths from the folder of this file".into();
    decode::load(Listing { train, test, classes, from: file, wanted }, side, notices)
}

fn rows(file: &Path) -> Result<Vec<Row>> {
    let invalid = |e: csv::Error| Error::invalid_file(file, format!("expected lines of path,label: {e}")).caused_by(e);
    let folder = file.parent().unwrap_or(Path::new(""));
    let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_path(file);
    let mut reader = reader.map_err(|e| {
        let missing = matches!(e.kind(), csv::ErrorKind::Io(e) if e.kind() == std::io::ErrorKind::NotFound);
        let kind = if missing { ErrorKind::MissingData } else { ErrorKind::Io };
        Error::new(kind, format!("cannot read {}: {e}", file.display())).caused_by(e)
    })?;
    let mut rows = Vec::new();
    for (i, record) in reader.records().enumerate() {
        let record = record.map_err(invalid)?;
        let fields: Vec<&str> = record.iter().collect();
        let (path, class, part) = match fields[..] {
            [path, class] => (path, class, None),
            [path, class, part] => (path, class, Some(part.to_lowercase())),
            _ => {
                let message =
                    format!("line {}: expected path,label or path,label,split, found {} fields", i + 1, fields.len());
                return Err(Error::invalid_file(file, message));
            }
        };
        if path.is_empty() || class.is_empty() {
            return Err(Error::invalid_file(
                file,
                format!("line {}: expected path,label, found an empty field", i + 1),
            ));
        }
        let heading = |names: &[&str], field: &str| names.contains(&field.to_lowercase().as_str());
        let is_heading = i == 0 && (heading(&PATHS, path) || heading(&LABELS, class));
        if !is_heading {
            rows.push(Row { picture: folder.join(path), class: class.into(), part });
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::silent;

    fn pictures(list: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..10u8 {
            image::RgbImage::from_pixel(12, 9, image::Rgb([i * 20, 3, 4]))
                .save(dir.path().join(format!("{i}.png")))
                .unwrap();
        }
        let file = dir.path().join("list.csv");
        std::fs::write(&file, list).unwrap();
        (dir, file)
    }

    #[test]
    fn a_list_is_a_data_set_split_as_it_says_or_four_to_one() {
        let list: String = (0..10).map(|i| format!("{i}.png, {}\n", if i < 5 { "dog" } else { "cat" })).collect();
        let (_dir, file) = pictures(&format!("path,label\n{list}"));
        let data = load(&file, 8, &mut silent).unwrap().dataset;
        assert_eq!((data.classes.join(" "), data.train.len(), data.test.len()), ("cat dog".into(), 8, 2));
        let list: String =
            (0..10).map(|i| format!("\"{i}.png\",{},{}\n", i % 2, if i < 4 { "Val" } else { "train" })).collect();
        let (_dir, file) = pictures(&list);
        let data = load(&file, 8, &mut silent).unwrap().dataset;
        assert_eq!(data.train.labels, [0, 1, 0, 1, 0, 1]);
        assert_eq!(data.test.labels, [0, 1, 0, 1]);
        assert_eq!(data.test.image(3).unwrap()[0], 60);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (list, words) in [
            ("0.png,a\n1.png,a\n", "found 1"),
            ("0.png,a\n1.png\n", "line 2: expected path,label"),
            ("0.png,a\n,b\n", "line 2: expected path,label, found an empty field"),
            ("none.png,a\nnone.png,b\n", "0 train and 0 test images could be read"),
            ("", "found 0"),
        ] {
            let (_dir, file) = pictures(list);
            let error = load(&file, 8, &mut silent).err().unwrap().to_string();
            assert!(error.contains(words) && error.contains("list.csv"), "{list}: {error}");
        }
        let error = load(Path::new("nowhere.csv"), 8, &mut silent).err().unwrap();
        assert!(error.kind() == ErrorKind::MissingData && error.to_string().contains("nowhere.csv"), "{error}");
    }
}
