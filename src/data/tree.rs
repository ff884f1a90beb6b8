//! Where pictures lie: in a folder on the disk, or in a zip file, which is read as a folder.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use zip::ZipArchive;

use crate::error::{Error, ErrorKind, Result};

/// The most bytes that a picture in a zip file may have, and all of them together.
const MOST: [u64; 2] = [256 << 20, 4 << 30];

/// A folder with folders, in which pictures lie.
pub(super) enum Tree {
    /// On the disk.
    Folder(PathBuf),
    /// The files of a zip file by their paths, as positions in it.
    Zip(BTreeMap<String, usize>, Rc<Archive>),
}

/// A zip file of which one file after the other is unpacked.
pub(super) struct Archive {
    path: PathBuf,
    zip: RefCell<ZipArchive<BufReader<File>>>,
    /// Bytes that a file of it may have.
    most: u64,
    /// Bytes that all of them may still have.
    left: Cell<u64>,
}

/// A file that may be a picture.
pub(super) enum Picture {
    File(PathBuf),
    /// The one at a position of a zip file, and what it is called in errors.
    Entry(Rc<Archive>, usize, PathBuf),
}

impl Tree {
    /// Opens a folder, or a zip file, of which a single folder that holds all is left out.
    ///
    /// # Errors
    /// Missing data or Io; invalid data: it is no zip file.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_file() { Self::open_within(path, MOST) } else { Ok(Self::Folder(path.into())) }
    }

    /// Opens a zip file whose pictures have so many bytes at most, one and all of them.
    fn open_within(path: &Path, [most, all]: [u64; 2]) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        let refused = |e: &dyn Display| {
            Error::invalid_file(path, format!("expected a folder, or a zip file with a folder for each class: {e}"))
        };
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|e| refused(&e))?;
        let mut files = BTreeMap::new();
        for i in 0..zip.len() {
            let Ok(entry) = zip.by_index_raw(i) else { continue };
            let Ok(name) = entry.name().map(|name| name.replace('\\', "/")) else { continue };
            let is_hidden = name.starts_with("__MACOSX/") || name.split('/').any(|part| part.starts_with('.'));
            if entry.is_file() && !is_hidden {
                files.insert(name, i);
            }
        }
        let archive = Archive { path: path.into(), zip: RefCell::new(zip), most, left: Cell::new(all) };
        let tree = Self::Zip(files, Rc::new(archive));
        Ok(match tree.subfolders("")?.as_slice() {
            [only] if tree.subfolders(only)?.len() > 1 => tree.within(only),
            _ => tree,
        })
    }

    /// What lies in one of its folders.
    fn within(self, folder: &str) -> Self {
        match self {
            Self::Folder(dir) => Self::Folder(dir.join(folder)),
            Self::Zip(files, archive) => {
                let inner = |(name, i): (String, usize)| Some((is_in(&name, folder)?.to_string(), i));
                Self::Zip(files.into_iter().filter_map(inner).collect(), archive)
            }
        }
    }

    /// Whether there is a folder of this name, which may lie in another: `train/cats`.
    pub fn has(&self, folder: &str) -> bool {
        match self {
            Self::Folder(dir) => dir.join(folder).is_dir(),
            Self::Zip(files, _) => files.keys().any(|name| is_in(name, folder).is_some()),
        }
    }

    /// The names of the folders in a folder, sorted; hidden ones do not count. An empty name is the whole.
    ///
    /// # Errors
    /// Missing data or Io: the folder cannot be read.
    pub fn subfolders(&self, folder: &str) -> Result<Vec<String>> {
        let mut names: Vec<String> = match self {
            Self::Folder(dir) => {
                let dir = dir.join(folder);
                let entries = fs::read_dir(&dir).map_err(|e| {
                    let missing = e.kind() == std::io::ErrorKind::NotFound;
                    let kind = if missing { ErrorKind::MissingData } else { ErrorKind::Io };
                    Error::new(kind, format!("cannot read the folder {}: {e}", dir.display())).caused_by(e)
                })?;
                let folders = entries.flatten().filter(|entry| entry.path().is_dir());
                folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
            }
            Self::Zip(files, _) => {
                let inner = |name: &String| Some(is_in(name, folder)?.split_once('/')?.0.to_string());
                files.keys().filter_map(inner).collect()
            }
        };
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The files that lie in a folder, in the order of their names; none where there is no such folder.
    pub fn files(&self, folder: &str) -> Vec<Picture> {
        match self {
            Self::Folder(dir) => {
                let Ok(entries) = fs::read_dir(dir.join(folder)) else { return Vec::new() };
                let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
                paths.sort();
                paths.into_iter().map(Picture::File).collect()
            }
            Self::Zip(files, archive) => {
                let here = files.iter().filter(|(name, _)| is_in(name, folder).is_some_and(|rest| !rest.contains('/')));
                // A stranger named them: nothing of that may steer a terminal.
                let path = |name: &str| archive.path.join(name.escape_debug().to_string());
                here.map(|(name, i)| Picture::Entry(Rc::clone(archive), *i, path(name))).collect()
            }
        }
    }
}

/// The rest of a path that lies in a folder.
fn is_in<'a>(name: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() { Some(name) } else { name.strip_prefix(folder)?.strip_prefix('/') }
}

impl Picture {
    /// What errors call it.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Entry(_, _, path) => path,
        }
    }

    /// Its bytes, undecoded.
    ///
    /// # Errors
    /// Io; invalid data: it cannot be unpacked, or only to too much.
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => {
                let found = fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
                if !found.is_file() || found.len() > MOST[0] {
                    let message = format!("expected an image file of at most {} bytes", MOST[0]);
                    return Err(Error::invalid_file(path, message));
                }
                crate::files::read(path)
            }
            Self::Entry(archive, i, path) => archive.unpack(*i, path),
        }
    }

    /// What changes where the picture does: its size, and when it was written or its checksum.
    pub fn stamp(&self) -> (u64, u64) {
        match self {
            Self::File(path) => fs::metadata(path).map_or((0, 0), |found| {
                let written = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                (found.len(), written.map_or(0, |since| since.as_nanos() as u64))
            }),
            Self::Entry(archive, i, _) => {
                let mut zip = archive.zip.borrow_mut();
                zip.by_index_raw(*i).map_or((0, 0), |entry| (entry.size(), u64::from(entry.crc32())))
            }
        }
    }
}

impl Archive {
    /// The bytes of the file at a position; `path` is what errors call it.
    fn unpack(&self, i: usize, path: &Path) -> Result<Vec<u8>> {
        let broken = |e: &dyn Display| Error::invalid_file(path, format!("it cannot be unpacked: {e}"));
        let most = self.most.min(self.left.get());
        let (mut zip, mut bytes) = (self.zip.borrow_mut(), Vec::new());
        let entry = zip.by_index(i).map_err(|e| broken(&e))?;
        entry.take(most + 1).read_to_end(&mut bytes).map_err(|e| broken(&e))?;
        self.left.set(self.left.get().saturating_sub(bytes.len() as u64));
        if bytes.len() as u64 > most {
            return Err(broken(&format!("it has more than {most} bytes")));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    fn zip_of(names: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pictures.zip");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        for name in names {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(name.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        (dir, path)
    }

    #[test]
    fn a_zip_file_is_a_folder_and_one_that_holds_all_is_left_out() {
        for start in ["", "pets/"] {
            let names = ["cats/b.png", "cats/a.png", "dogs/c.png", ".hidden/x.png", "readme.txt"];
            let all: Vec<String> =
                names.iter().map(|name| format!("{start}{name}")).chain(["__MACOSX/x".into()]).collect();
            let (_dir, path) = zip_of(&all.iter().map(String::as_str).collect::<Vec<_>>());
            let tree = Tree::open(&path).unwrap();
            assert_eq!(tree.subfolders("").unwrap(), ["cats", "dogs"]);
            assert!(tree.has("cats") && !tree.has("cat") && !tree.has("birds"));
            let files = tree.files("cats").into_iter().map(unpacked);
            let expected = ["cats/a.png", "cats/b.png"].map(|name| {
                let whole = format!("{start}{name}");
                (path.join(name), Ok(whole.into_bytes()))
            });
            assert_eq!(files.collect::<Vec<_>>(), expected);
            assert!(tree.files("birds").is_empty());
        }
    }

    fn unpacked(picture: Picture) -> (PathBuf, std::result::Result<Vec<u8>, String>) {
        match picture {
            Picture::Entry(archive, i, path) => {
                let bytes = archive.unpack(i, &path).map_err(|e| e.to_string());
                (path, bytes)
            }
            Picture::File(path) => panic!("{path:?}"),
        }
    }

    #[test]
    fn what_unpacks_to_too_much_is_left_out() {
        let (_dir, path) = zip_of(&["a/1234.png", "a/5.png", "b/67.png"]); // 10, 7 and 8 bytes
        for (most, expected) in
            [([10, 100], [true; 3]), ([9, 100], [false, true, true]), ([10, 17], [true, true, false])]
        {
            let tree = Tree::open_within(&path, most).unwrap();
            let files = tree.files("a").into_iter().chain(tree.files("b"));
            let found: Vec<_> = files.map(|picture| unpacked(picture).1).collect();
            assert_eq!(found.iter().map(std::result::Result::is_ok).collect::<Vec<_>>(), expected, "{found:?}");
        }
    }

    #[test]
    fn what_is_no_zip_file_is_refused_by_name() {
        let (_dir, path) = zip_of(&["a/b.png", "c/d.png"]);
        let whole = fs::read(&path).unwrap();
        for bytes in [&b"no zip"[..], &[], &whole[..whole.len() - 30], &whole[20..]] {
            fs::write(&path, bytes).unwrap();
            let error = Tree::open(&path).err().unwrap();
            assert!(error.kind() == ErrorKind::InvalidData && error.to_string().contains("pictures.zip"), "{error}");
        }
    }
}
