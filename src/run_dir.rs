//! The folder a run leaves: `runs/<experiment>/<name>/`, whole from the moment it has a recipe.

use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::DatasetInfo;
use crate::device::DeviceInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::EpochMetrics;
use crate::recipe::{Recipe, quote};

/// A run's folder and the names in it.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes the folder `root/experiment/name` and writes recipe, data set and device into it. Without a name, the
    /// recipe's short name is used, with a number behind it if there is such a run already.
    ///
    /// # Errors
    /// Usage: a name that is no plain folder name, or is taken. Io.
    pub fn create(
        root: &Path,
        experiment: &str,
        name: Option<&str>,
        recipe: &Recipe,
        dataset: &DatasetInfo,
        device: &DeviceInfo,
    ) -> Result<Self> {
        let parent = root.join(plain("experiment", experiment)?);
        fs::create_dir_all(&parent).map_err(|e| Error::io("create the folder", &parent, &e))?;
        let base = name.map_or_else(|| recipe.short_name(), String::from);
        let candidates = std::iter::once(base.clone()).chain((2..).map(|n| format!("{base}-{n}")));
        for candidate in candidates {
            let path = parent.join(plain("name", &candidate)?);
            match fs::create_dir(&path) {
                Ok(()) if claim(&path) => return Self::fill(path, recipe, dataset, device),
                Ok(()) => {} // another program was quicker
                // A program that was killed right here left an empty folder.
                Err(_) if fs::read_dir(&path).is_ok_and(|mut e| e.next().is_none()) && claim(&path) => {
                    return Self::fill(path, recipe, dataset, device);
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && name.is_none() => {}
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::usage(format!(
                        "there is a run at {} already: choose another --name, or continue it with --resume {}",
                        path.display(),
                        quote(&path.to_string_lossy())
                    )));
                }
                Err(e) => return Err(Error::io("create the folder", &path, &e)),
            }
        }
        unreachable!("the numbers do not end")
    }

    /// The recipe comes last: a folder that has one is a run.
    fn fill(path: PathBuf, recipe: &Recipe, dataset: &DatasetInfo, device: &DeviceInfo) -> Result<Self> {
        let dir = Self { path };
        dir.write_atomically("dataset.json", &to_json(dataset)?)?;
        dir.write_device(device)?;
        dir.write_recipe(recipe)?;
        Ok(dir)
    }

    /// Opens the folder of an existing run.
    ///
    /// # Errors
    /// Usage: there is no `recipe.toml`.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let dir = Self { path: path.into() };
        if dir.file("recipe.toml").is_file() {
            Ok(dir)
        } else {
            let message = format!(
                "{} is no run: it has no recipe.toml. Name a folder such as runs/mnist/NAME",
                dir.path.display()
            );
            Err(Error::usage(message))
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's own name.
    pub fn name(&self) -> String {
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone()); // `.` has a name too
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// Checks that data which was loaded again is what the run was trained with, wherever it was read from.
    ///
    /// # Errors
    /// Usage: says what differs.
    pub fn check_same_data(&self, found: &DatasetInfo) -> Result<()> {
        let expected = self.dataset()?;
        if (DatasetInfo { origin: found.origin.clone(), ..expected.clone() }) == *found {
            return Ok(());
        }
        let tell = |d: &DatasetInfo| {
            let (shape, classes) = (d.shape, d.classes.join(", "));
            let size = format!("{}x{}x{}", shape.channels, shape.height, shape.width);
            format!("{} train and {} test images of {size}, classes {classes}", d.train_images, d.test_images)
        };
        Err(Error::usage(format!(
            "{} was trained with other data:\n  then: {}\n  now, in {}: {}",
            self.path.display(),
            tell(&expected),
            found.origin,
            tell(found)
        )))
    }

    /// Where the run's data set was read from, if that is still there.
    pub fn data_dir(&self) -> Option<PathBuf> {
        let origin = PathBuf::from(self.dataset().ok()?.origin);
        let dir = if origin.is_file() { origin.parent()?.to_path_buf() } else { origin };
        dir.is_dir().then_some(dir)
    }

    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder with the checkpoints `last` and `best`.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Says what is trained.
    ///
    /// # Errors
    /// Io.
    pub fn write_recipe(&self, recipe: &Recipe) -> Result<()> {
        let text = toml::to_string_pretty(recipe)
            .map_err(|e| Error::new(ErrorKind::InvalidData, format!("the recipe cannot be written as TOML: {e}")))?;
        self.write_atomically("recipe.toml", text.as_bytes())
    }

    /// Says what it is trained on.
    ///
    /// # Errors
    /// Io.
    pub fn write_device(&self, device: &DeviceInfo) -> Result<()> {
        self.write_atomically("device.json", &to_json(device)?)
    }

    /// What was trained.
    ///
    /// # Errors
    /// Io, or invalid data naming the line.
    pub fn recipe(&self) -> Result<Recipe> {
        let path = self.file("recipe.toml");
        let text = fs::read_to_string(&path).map_err(|e| Error::io("read", &path, &e))?;
        let recipe: Recipe = toml::from_str(&text).map_err(|e| Error::invalid(&path, e))?;
        recipe.validate().map_err(|e| Error::invalid(&path, e))?;
        Ok(recipe)
    }

    /// What it was trained on.
    ///
    /// # Errors
    /// Io, or invalid data.
    pub fn device(&self) -> Result<DeviceInfo> {
        self.json("device.json")
    }

    /// What it was trained with.
    ///
    /// # Errors
    /// Io, or invalid data.
    pub fn dataset(&self) -> Result<DatasetInfo> {
        self.json("dataset.json")
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.file(name);
        let bytes = fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
        serde_json::from_slice(&bytes).map_err(|e| Error::invalid(&path, e))
    }

    /// The epochs of `metrics.csv`.
    ///
    /// # Errors
    /// Io, or invalid data naming the line.
    pub fn metrics(&self) -> Result<Vec<EpochMetrics>> {
        let path = self.file("metrics.csv");
        let text = fs::read_to_string(&path).map_err(|e| Error::io("read", &path, &e))?;
        let rows = text.lines().enumerate().skip(1);
        rows.map(|(i, line)| {
            crate::report::csv::parse_epoch(line).map_err(|e| Error::invalid(&path, format!("line {}: {e}", i + 1)))
        })
        .collect()
    }

    /// Replaces a file of the run in one go.
    ///
    /// # Errors
    /// Io.
    pub fn write_atomically(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_atomically(&self.file(name), bytes)
    }
}

/// Whether this program is the first to write into a run's folder; two may have found it empty.
fn claim(path: &Path) -> bool {
    fs::File::create_new(path.join("dataset.json")).is_ok()
}

/// Replaces a file in one go: whoever reads it sees the old or the new content, never half.
///
/// # Errors
/// Io.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    written.map_err(|e| {
        let _ = fs::remove_file(&part);
        Error::io("write", path, &e)
    })
}

/// Readable JSON with a line end.
///
/// # Errors
/// Invalid data: a value that JSON cannot hold.
pub fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::new(ErrorKind::InvalidData, format!("cannot be written as JSON: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A name that stays inside its folder on every system.
///
/// # Errors
/// Usage: it does not.
pub fn plain<'a>(what: &str, name: &'a str) -> Result<&'a str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.+=@".contains(c);
    if name.is_empty() || name.len() > 100 || name.starts_with(['.', '-']) || !name.chars().all(allowed) {
        return Err(Error::usage(format!(
            "{what} '{}' is no plain folder name: use up to 100 letters, digits and - _ . + = @, not starting with . or -",
            name.escape_debug()
        )));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::ImageShape;
    use crate::device::cpu_info;

    fn create(root: &Path, name: Option<&str>) -> Result<RunDir> {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let (train_images, test_images) = (2, 2);
        let dataset = DatasetInfo { origin: "here".into(), train_images, test_images, shape, classes: vec![] };
        RunDir::create(root, "mnist", name, &Recipe::preset("linear_v1-bn-ce").unwrap(), &dataset, &cpu_info())
    }

    #[test]
    fn names_stay_inside_the_folder() {
        let root = tempfile::tempdir().unwrap();
        for name in ["..", "../x", "a/b", "", ".hidden", "-x", "a\\b", "nul\0", "C:x", "ä", &"x".repeat(101)] {
            let error = create(root.path(), Some(name)).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{name:?}");
        }
    }

    #[test]
    fn a_taken_name_is_numbered_or_refused() {
        let root = tempfile::tempdir().unwrap();
        let recipe = Recipe::preset("linear_v1-bn-ce").unwrap();
        let create = |name| create(root.path(), name);
        assert_eq!(create(None).unwrap().name(), "linear_v1-bn-ce");
        assert_eq!(create(None).unwrap().name(), "linear_v1-bn-ce-2");
        assert_eq!(create(Some("mine")).unwrap().recipe().unwrap(), recipe);
        assert!(create(Some("mine")).unwrap_err().to_string().contains("--resume"));
    }
}
