//! Where a data set comes from: files in a folder, the files compiled into the program, or a download.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::dataset::{Dataset, Loaded, Split};
use super::download::{self, Remote};
use super::idx;
use super::origin::Origin;
use crate::error::{Advice, Error, ErrorKind, Result};
use crate::notice::{Notice, Notices};

/// No IDX file may unpack to more than this; EMNIST, the largest known, has 0.5 GB.
const MAX_IDX_BYTES: u64 = 1 << 30;
/// No list of class names is longer, in bytes.
const MAX_CLASS_NAMES: u64 = 1 << 20;
/// What every MNIST-like folder holds, as (images, labels) of the train and the test split.
const FILES: [(&str, &str); 2] =
    [("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")];

/// The published MNIST files: name, bytes, SHA-256 (see data/README.md).
const MNIST_REMOTE: [Remote; 4] = [
    Remote {
        name: "train-images-idx3-ubyte.gz",
        bytes: 9_912_422,
        sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    },
    Remote {
        name: "train-labels-idx1-ubyte.gz",
        bytes: 28_881,
        sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    },
    Remote {
        name: "t10k-images-idx3-ubyte.gz",
        bytes: 1_648_877,
        sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    },
    Remote {
        name: "t10k-labels-idx1-ubyte.gz",
        bytes: 4_542,
        sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
];
/// Two public mirrors of them.
const MNIST_MIRRORS: [&str; 2] =
    ["https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"];

/// The files of the sample, gzipped: train images and labels, then test images and labels.
pub const SAMPLE_FILES: [(&str, &[u8]); 4] = [
    ("train-images-idx3-ubyte", include_bytes!("../../data/mnist-sample/train-images-idx3-ubyte.gz")),
    ("train-labels-idx1-ubyte", include_bytes!("../../data/mnist-sample/train-labels-idx1-ubyte.gz")),
    ("t10k-images-idx3-ubyte", include_bytes!("../../data/mnist-sample/t10k-images-idx3-ubyte.gz")),
    ("t10k-labels-idx1-ubyte", include_bytes!("../../data/mnist-sample/t10k-labels-idx1-ubyte.gz")),
];

/// The 5,000 digits that are compiled into the program.
pub(super) fn sample() -> Result<Loaded> {
    let split = |first: usize| -> Result<Split> {
        let unpack = |i: usize| {
            let read = read_idx(GzDecoder::new(SAMPLE_FILES[i].1));
            read.map_err(|e| Error::invalid(e.to_string()).caused_by(e))
        };
        idx::parse_split(&unpack(first)?, &unpack(first + 1)?)
    };
    let damaged = |e: Error| e.reword(|message| format!("the compiled-in sample: {message}"));
    let (train, test) = (split(0).map_err(damaged)?, split(2).map_err(damaged)?);
    Ok(Loaded { dataset: Dataset::new(train, test, digits())?, origin: Origin::CompiledIn })
}

/// MNIST from the first folder that has it, else downloaded.
pub(super) fn mnist(data_dir: Option<&Path>, notices: Notices<'_>) -> Result<Loaded> {
    let mut places: Vec<PathBuf> = named_folders(data_dir).flat_map(|dir| [dir.join("mnist"), dir]).collect();
    places.push("data/mnist".into());
    let has_all = |dir: &&PathBuf| FILES.iter().all(|(i, l)| [i, l].iter().all(|f| find(dir, f).is_some()));
    if let Some(dir) = places.iter().find(has_all) {
        if let Some(named) = data_dir.filter(|named| !dir.starts_with(named)) {
            notices(Notice::OtherFolder { named: named.into(), used: dir.clone() });
        }
        return idx_folder(dir, Some(digits()));
    }
    // A folder named by the user comes second in its pair: the files go right there.
    let target = places.get(1).unwrap_or(&places[0]);
    download::all(&MNIST_REMOTE, &MNIST_MIRRORS, target, notices)?;
    idx_folder(target, Some(digits()))
}

/// The folders that the user names: the one of this run, then `TINDERBOX_DATA`.
pub(super) fn named_folders(data_dir: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let variable = std::env::var_os("TINDERBOX_DATA").map(PathBuf::from);
    data_dir.map(PathBuf::from).into_iter().chain(variable)
}

fn digits() -> Vec<String> {
    (0..10).map(|d| d.to_string()).collect()
}

/// The file of a folder that holds `stem`: plain or gzipped, with a dash or (as some mirrors have it) a dot.
fn find(dir: &Path, stem: &str) -> Option<PathBuf> {
    let dotted = stem.replacen("-idx", ".idx", 1);
    [stem.to_string(), format!("{stem}.gz"), dotted.clone(), format!("{dotted}.gz")]
        .iter()
        .map(|name| dir.join(name))
        .find(|path| path.is_file())
}

/// Loads the four IDX files of `dir`. Class names: `classes`, else `classes.txt`, else the numbers.
pub(super) fn idx_folder(dir: &Path, classes: Option<Vec<String>>) -> Result<Loaded> {
    let read = |(images, labels): (&str, &str)| -> Result<Split> {
        let [images, labels] = [images, labels].map(|stem| {
            let path = find(dir, stem).ok_or_else(|| {
                let files: Vec<String> =
                    FILES.iter().flat_map(|(i, l)| [format!("{i}.gz"), format!("{l}.gz")]).collect();
                Error::new(ErrorKind::MissingData, format!("no {stem}[.gz] in {}", dir.display()))
                    .advise(Advice::PutFilesInto { files, dir: dir.into(), or_name_folder: false })
            })?;
            Ok((read_file(&path)?, path))
        });
        let (images, labels) = (images?, labels?);
        idx::parse_images(&images.0).map_err(|e| e.in_file(&images.1))?;
        idx::parse_labels(&labels.0).map_err(|e| e.in_file(&labels.1))?;
        idx::parse_split(&images.0, &labels.0).map_err(|e| e.in_file(dir))
    };
    let (train, test) = (read(FILES[0])?, read(FILES[1])?);
    let classes = match classes {
        Some(classes) => classes,
        None => class_names(dir, &train)?,
    };
    let dataset = Dataset::new(train, test, classes).map_err(|e| e.in_file(dir))?;
    Ok(Loaded { dataset, origin: Origin::Folder(dir.into()) })
}

fn class_names(dir: &Path, train: &Split) -> Result<Vec<String>> {
    let path = dir.join("classes.txt");
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(MAX_CLASS_NAMES).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(String::from).collect()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let highest = train.labels.iter().max().copied().unwrap_or(0);
            Ok((0..=highest).map(|class| class.to_string()).collect())
        }
        Err(e) => Err(Error::io("read", &path, e)),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let open = || File::open(path).map(BufReader::new);
    let mut magic = [0; 2];
    let packed = match open().and_then(|mut file| file.read_exact(&mut magic)) {
        Ok(()) => magic == [0x1f, 0x8b],
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => false,
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let file = open().map_err(|e| Error::io("read", path, e))?;
    let bytes = if packed { read_idx(GzDecoder::new(file)) } else { read_idx(file) };
    bytes.map_err(|e| Error::invalid_file(path, format!("cannot be read to its end: {e}")).caused_by(e))
}

/// Reads an IDX file of any kind, but not one byte more than its header promises (and one, to notice that
/// there is more), so that a small file which unpacks to a huge one is cut off early.
fn read_idx(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut reader = reader.take(MAX_IDX_BYTES);
    let mut bytes = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut bytes)?;
    let dimensions = u64::from(bytes.get(3).copied().unwrap_or(0).min(4));
    reader.by_ref().take(4 * dimensions).read_to_end(&mut bytes)?;
    let promised = bytes
        .get(4..)
        .unwrap_or_default()
        .chunks_exact(4)
        .map(|size| size.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte)))
        .fold(1u64, u64::saturating_mul);
    reader.take(promised.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_sample_is_balanced() {
        let Loaded { dataset, .. } = sample().unwrap();
        assert_eq!((dataset.train.len(), dataset.test.len()), (4000, 1000));
        for class in 0..10 {
            assert_eq!(dataset.train.labels.iter().filter(|&&l| l == class).count(), 400);
            assert_eq!(dataset.test.labels.iter().filter(|&&l| l == class).count(), 100);
        }
    }

    #[test]
    fn a_gzip_bomb_is_cut_off_at_the_promised_size() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&[0, 0, 8, 1, 0, 0, 0, 9]).unwrap();
        for _ in 0..64 {
            packed.write_all(&[0; 1 << 20]).unwrap();
        }
        let bytes = read_idx(GzDecoder::new(&packed.finish().unwrap()[..])).unwrap();
        assert_eq!(bytes.len(), 8 + 9 + 1);
    }

    #[test]
    fn a_folder_is_checked_and_errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = idx_folder(dir.path(), None).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::MissingData);
        assert!(error.to_string().contains("no train-images-idx3-ubyte[.gz] in"), "{error}");
        assert!(matches!(error.advice(), Some(Advice::PutFilesInto { files, .. }) if files.len() == 4), "{error:?}");

        let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1][..], &[7, 8]].concat();
        for prefix in ["train", "t10k"] {
            write(&format!("{prefix}-images-idx3-ubyte"), &images);
            write(&format!("{prefix}-labels-idx1-ubyte"), &[0, 0, 8, 1, 0, 0, 0, 2, 0, 1]);
        }
        write("classes.txt", b"shirt\nshoe\n");
        let Loaded { dataset, .. } = idx_folder(dir.path(), None).unwrap();
        assert_eq!(dataset.classes, ["shirt", "shoe"]);
        assert_eq!(dataset.train.image(1).unwrap(), [8]);

        write("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 2, 0, 9]);
        let error = idx_folder(dir.path(), None).err().unwrap();
        assert!(error.to_string().contains("label 9"), "{error}");
        write("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 2, 0]);
        let error = idx_folder(dir.path(), None).err().unwrap();
        assert!(
            error.to_string().contains("train-labels-idx1-ubyte") && error.to_string().contains("offset 8"),
            "{error}"
        );
    }
}
