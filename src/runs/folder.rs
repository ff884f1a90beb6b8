//! The folder a run leaves: `runs/<experiment>/<name>/`, whole from the moment it has a recipe.

use std::fs;
use std::path::{Path, PathBuf};

use crate::compute::DeviceInfo;
use crate::data::DatasetInfo;
use crate::error::{Advice, Error, Result};
use crate::files::{self, make_folder, read_text, to_json};
use crate::recipe::Recipe;
use crate::report::csv;
use crate::report::run::Run;
use crate::training::metrics::EpochMetrics;

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
        make_folder(&parent)?;
        let base = name.map_or_else(|| recipe.short_name(), String::from);
        let candidates = std::iter::once(base.clone()).chain((2..).map(|n| format!("{base}-{n}")));
        for candidate in candidates {
            let path = parent.join(plain("name", &candidate)?);
            if let Err(e) = fs::create_dir(&path)
                && e.kind() != std::io::ErrorKind::AlreadyExists
            {
                return Err(Error::io("create the folder", &path, e));
            }
            if let Some(_claim) = Claim::on(&path)? {
                return Self::fill(path, recipe, dataset, device);
            }
            if name.is_some() {
                let message = format!("there is a run at {} already", path.display());
                return Err(Error::usage(message).advise(Advice::OtherNameOrContinue(path)));
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
    /// Usage: there is no `recipe.toml`; advises runs that there are.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let dir = Self { path: path.into() };
        if Self::is_at(&dir.path) {
            return Ok(dir);
        }
        let path = dir.path.display();
        let message = match dir.path.exists() {
            true => format!("{path} is no run: expected a folder with a recipe.toml"),
            false => format!("there is no run at {path}"),
        };
        Err(Error::usage(message).advise(Advice::OtherRun(runs_near(&dir.path))))
    }

    /// Whether this folder is a run.
    pub fn is_at(path: &Path) -> bool {
        path.join("recipe.toml").is_file()
    }

    /// The runs in a folder, by name; none where it cannot be read.
    pub fn all_in(folder: &Path) -> Vec<PathBuf> {
        let mut runs: Vec<PathBuf> = paths_in(folder).into_iter().filter(|path| Self::is_at(path)).collect();
        runs.sort();
        runs
    }

    /// The path of the folder.
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
        self.check_data(self.dataset()?, found)
    }

    /// Checks that the test images are those that the run was measured on, however many of the train images it used.
    ///
    /// # Errors
    /// Usage: says what differs.
    pub fn check_same_test_data(&self, found: &DatasetInfo) -> Result<()> {
        let expected = self.dataset()?;
        let train_images = expected.train_images;
        self.check_data(expected, &DatasetInfo { train_images, ..found.clone() })
    }

    fn check_data(&self, expected: DatasetInfo, found: &DatasetInfo) -> Result<()> {
        if (DatasetInfo { origin: found.origin.clone(), ..expected.clone() }) == *found {
            return Ok(());
        }
        let tell = |d: &DatasetInfo| {
            let (shape, classes) = (d.shape, d.classes.join(", "));
            format!("{} train and {} test images of {shape}, classes {classes}", d.train_images, d.test_images)
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
        let dir = self.dataset().ok()?.origin.folder()?.to_path_buf();
        dir.is_dir().then_some(dir)
    }

    /// The path of a file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder with the checkpoints `last` and `best`.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Writes what is trained.
    ///
    /// # Errors
    /// Io.
    pub fn write_recipe(&self, recipe: &Recipe) -> Result<()> {
        let text = toml::to_string_pretty(recipe)
            .map_err(|e| Error::invalid(format!("the recipe cannot be written as TOML: {e}")).caused_by(e))?;
        self.write_atomically("recipe.toml", text.as_bytes())
    }

    /// Writes the device that it is trained on.
    ///
    /// # Errors
    /// Io.
    pub fn write_device(&self, device: &DeviceInfo) -> Result<()> {
        self.write_atomically("device.json", &to_json(device)?)
    }

    /// The recipe that was trained.
    ///
    /// # Errors
    /// Io, or invalid data naming the line.
    pub fn recipe(&self) -> Result<Recipe> {
        let path = self.file("recipe.toml");
        let recipe: Recipe =
            toml::from_str(&read_text(&path)?).map_err(|e| Error::invalid_file(&path, &e).caused_by(e))?;
        recipe.validate().map_err(|e| Error::invalid_file(&path, &e).caused_by(e))?;
        Ok(recipe)
    }

    /// The device that it was trained on.
    ///
    /// # Errors
    /// Io, or invalid data.
    pub fn device(&self) -> Result<DeviceInfo> {
        self.json("device.json")
    }

    /// The data set that it was trained with.
    ///
    /// # Errors
    /// Io, or invalid data.
    pub fn dataset(&self) -> Result<DatasetInfo> {
        self.json("dataset.json")
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.file(name);
        serde_json::from_slice(&files::read(&path)?).map_err(|e| Error::invalid_file(&path, &e).caused_by(e))
    }

    /// The epochs of `metrics.csv`.
    ///
    /// # Errors
    /// Io, or invalid data naming the line.
    pub fn metrics(&self) -> Result<Vec<EpochMetrics>> {
        let path = self.file("metrics.csv");
        let text = read_text(&path)?;
        let rows = text.lines().enumerate().skip(1);
        let row =
            |(i, line)| csv::parse_epoch(line).map_err(|e| e.reword(|m| format!("line {}: {m}", i + 1)).in_file(&path));
        rows.map(row).collect()
    }

    /// The run as reports take it.
    ///
    /// # Errors
    /// Io or invalid data; usage if no epoch is finished.
    pub fn summary(&self) -> Result<Run> {
        let metrics = self.metrics()?;
        if metrics.is_empty() {
            return Err(Error::usage(format!("{} has no finished epoch yet", self.path.display())));
        }
        Ok(Run {
            name: self.name(),
            path: self.path.canonicalize().unwrap_or_else(|_| self.path.clone()),
            recipe: self.recipe()?,
            device: self.device()?,
            test_images: self.dataset()?.test_images,
            metrics,
        })
    }

    /// Replaces a file of the run in one go.
    ///
    /// # Errors
    /// Io.
    pub fn write_atomically(&self, name: &str, bytes: &[u8]) -> Result<()> {
        files::write_atomically(&self.file(name), bytes)
    }
}

/// What is in a folder, as paths; somebody else's may have any number of files.
fn paths_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().take(10_000).map(|entry| entry.path()).collect()
}

/// A few runs in the folder, or the first above it that has some, or in `runs`: those of the same name, then the latest.
fn runs_near(path: &Path) -> Vec<PathBuf> {
    let all = |folder: &Path| {
        let deeper = paths_in(folder).into_iter().flat_map(|inner| RunDir::all_in(&inner));
        let mut runs: Vec<PathBuf> = RunDir::all_in(folder).into_iter().chain(deeper).collect();
        let written = |run: &PathBuf| fs::metadata(run.join("recipe.toml")).and_then(|file| file.modified()).ok();
        let wanted = |run: &PathBuf| run.file_name() == path.file_name();
        runs.sort_by_cached_key(|run| std::cmp::Reverse((wanted(run), written(run))));
        runs.truncate(4);
        runs
    };
    let folders = path.ancestors().take(3).filter(|folder| !folder.as_os_str().is_empty()).chain([Path::new("runs")]);
    folders.map(all).find(|runs| !runs.is_empty()).unwrap_or_default()
}

/// The right to make a run of a folder, which one program has at a time and which ends with it.
struct Claim {
    path: PathBuf,
    _locked: fs::File,
}

impl Claim {
    const FILE: &'static str = "starting";

    /// A claim on a new folder, or on what a program left that was killed before the folder was a run; none on one that is a run,
    /// that another program claims, or that holds something else.
    ///
    /// # Errors
    /// Io: nothing can be written there.
    fn on(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(Self::FILE);
        let begun = |entry: std::io::Result<fs::DirEntry>| {
            let name = entry.ok().and_then(|entry| entry.file_name().into_string().ok());
            name.is_some_and(|name| BEGUN.contains(&&*name) || name.ends_with(".part"))
        };
        let is_free = || fs::read_dir(folder).is_ok_and(|mut entries| entries.all(begun));
        if !is_free() {
            return Ok(None);
        }
        let locked = fs::OpenOptions::new().create(true).append(true).open(&path);
        let locked = locked.map_err(|e| Error::io("write", &path, e))?;
        if matches!(locked.try_lock(), Err(fs::TryLockError::WouldBlock)) {
            return Ok(None);
        }
        // Where the file system has no locks, two programs that start at once are not told apart.
        let claim = Self { path, _locked: locked };
        Ok(is_free().then_some(claim)) // another one may have been quicker
    }
}

/// What a folder has before it is a run.
const BEGUN: [&str; 3] = ["dataset.json", "device.json", Claim::FILE];

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // else it stays, and is in nobody's way
    }
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
    use crate::compute::cpu_info;
    use crate::data::{ImageShape, Origin};

    fn create(root: &Path, name: Option<&str>) -> Result<RunDir> {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let (train_images, test_images) = (2, 2);
        let dataset = DatasetInfo { origin: Origin::Memory, train_images, test_images, shape, classes: vec![] };
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
        let error = create(Some("mine")).unwrap_err();
        assert!(matches!(error.advice(), Some(Advice::OtherNameOrContinue(path)) if path.ends_with("mnist/mine")));
    }

    #[test]
    fn a_folder_that_a_killed_program_began_is_taken_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("mnist/mine");
        let mine = || create(root.path(), Some("mine"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("dataset.json"), "").unwrap();
        let claimed = Claim::on(&folder).unwrap().unwrap();
        assert!(mine().is_err(), "while another program makes it");
        drop(claimed);
        fs::write(folder.join("holiday.jpg"), "").unwrap();
        assert!(mine().is_err(), "with files of somebody's");
        fs::remove_file(folder.join("holiday.jpg")).unwrap();
        mine().unwrap();
        assert!(mine().is_err() && !folder.join(Claim::FILE).exists());
    }

    #[test]
    fn what_is_no_run_names_those_that_are_near() {
        let root = tempfile::tempdir().unwrap();
        let near = |path: &Path| RunDir::open(path).unwrap_err().advice().cloned();
        let run = create(root.path(), Some("mine")).unwrap();
        for path in ["mnist/other", "cifar10/mine", "mnist", "x"] {
            assert_eq!(near(&root.path().join(path)), Some(Advice::OtherRun(vec![run.path().into()])), "{path}");
        }
    }
}
