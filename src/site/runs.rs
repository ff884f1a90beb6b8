//! The runs in a folder as the page asks for them: what they are, the epochs that were added since, and their reports. It
//! only looks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::error::Result;
use crate::runs::RunDir;
use crate::training::metrics::EpochMetrics;

/// A run that has told nothing for so long, and for twice as long as its epochs take, trains no more; in its first epoch, which
/// nobody knows the time of, it may be silent for longer.
const QUIET: Duration = Duration::from_secs(60);
const QUIET_AT_FIRST: Duration = Duration::from_secs(600);
/// The most folders that are looked into.
const MOST_FOLDERS: usize = 1_000;

/// The runs under a folder, which other programs change.
pub struct Watched {
    root: PathBuf,
    known: Mutex<All>,
}

#[derive(Default)]
struct All {
    /// The time of the last look, in milliseconds since 1970; never the same twice.
    now: u64,
    runs: BTreeMap<String, Known>,
}

/// What was read of a run.
struct Known {
    /// Length and time of change of its metrics when they were read.
    read: Stamp,
    metrics: Vec<EpochMetrics>,
    /// What does not change: name, recipe, device, data set.
    about: Value,
    epochs: usize,
    /// What is told of it beside its metrics.
    state: State,
    report: bool,
    /// The look at which any of this was last another than before.
    changed: u64,
}

type Stamp = (u64, SystemTime);

#[derive(Clone, Copy, PartialEq)]
enum State {
    Trains,
    Done,
    Stopped,
}

/// An answer to the page.
pub struct Answer {
    /// The bytes of a file.
    pub bytes: Vec<u8>,
    /// Whether it is a report, whose scripts are its own; else it is JSON.
    pub is_report: bool,
}

impl Watched {
    /// The runs under `root`: in it, and in the folders within it.
    pub fn new(root: PathBuf) -> Self {
        Self { root, known: Mutex::default() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is asked for by a path, with what is behind its question mark; none where it is nothing of the runs'.
    /// - `runs.json?since=MS`: the runs of which something changed later, how many there are, and what time it is;
    /// - `runs/ID/epochs.json?from=N`: the epochs of a run behind the first N;
    /// - `runs/ID/report.html`: its report.
    pub fn answer(&self, path: &str, query: &str) -> Option<Answer> {
        let number = |name: &str| {
            let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        let json = |value: Value| Some(Answer { bytes: value.to_string().into_bytes(), is_report: false });
        if path == "runs.json" {
            return json(self.list(number("since")));
        }
        let path = decoded(path)?;
        let (id, file) = path.strip_prefix("runs/")?.rsplit_once('/')?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let run = known.runs.get(id)?; // only what was found in the folder: no path leads out of it
        match file {
            "epochs.json" => json(json!(run.metrics.get(number("from") as usize..).unwrap_or_default())),
            "report.html" => {
                drop(known); // a slow disk keeps nobody else waiting
                let path = self.root.join(id).join(file);
                let bytes = if path.is_file() { std::fs::read(&path).ok()? } else { return None };
                Some(Answer { bytes, is_report: true })
            }
            _ => None,
        }
    }

    fn list(&self, since: u64) -> Value {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = milliseconds(SystemTime::now()).max(known.now + 1);
        known.now = now;
        let found = self.found();
        known.runs.retain(|id, _| found.contains_key(id));
        let mut told = Vec::new();
        for (id, dir) in &found {
            let read = stamp(dir, "metrics.csv");
            let before = known.runs.remove(id);
            let before = before.filter(|run| run.read == read).map_or_else(|| Known::read(id, dir, read, now), Ok);
            let Ok(mut run) = before else { continue }; // one that cannot be read is looked at again
            run.look(dir, now);
            if run.changed > since {
                told.push(run.told());
            }
            known.runs.insert(id.clone(), run);
        }
        json!({"live": true, "now": now, "count": known.runs.len(), "runs": told})
    }

    /// The runs by their paths within the root, with forward slashes.
    fn found(&self) -> BTreeMap<String, RunDir> {
        let folders = std::fs::read_dir(&self.root).into_iter().flatten().flatten().take(MOST_FOLDERS);
        let folders = folders.map(|entry| entry.path()).filter(|folder| folder.is_dir());
        let all = RunDir::all_in(&self.root).into_iter().chain(folders.flat_map(|folder| RunDir::all_in(&folder)));
        let named = all.filter_map(|path| {
            let within = path.strip_prefix(&self.root).ok()?;
            let parts: Option<Vec<&str>> = within.iter().map(|part| part.to_str()).collect();
            Some((parts?.join("/"), RunDir::open(&path).ok()?))
        });
        named.collect()
    }
}

impl Known {
    fn read(id: &str, dir: &RunDir, read: Stamp, now: u64) -> Result<Self> {
        let recipe = dir.recipe()?;
        let metrics = if read.0 > 0 { dir.metrics()? } else { Vec::new() };
        let about = json!({
            "id": id, "name": id, "began": milliseconds(stamp(dir, "recipe.toml").1), "recipe": recipe,
            "epochs": recipe.epochs_begun(), "data": recipe.dataset.to_string(), "device": dir.device()?.to_string(),
        });
        let epochs = recipe.epochs_begun();
        Ok(Self { read, metrics, about, epochs, state: State::Stopped, report: false, changed: now })
    }

    /// Looks at what changes without another epoch.
    fn look(&mut self, dir: &RunDir, now: u64) {
        let report = stamp(dir, "report.html");
        let is_ended = self.metrics.len() >= self.epochs || report.0 > 0 && report.1 >= self.read.1;
        // Losses are written within an epoch, too.
        let quiet = self.read.1.max(stamp(dir, "steps.csv").1).max(stamp(dir, "recipe.toml").1).elapsed();
        let most = self.metrics.last().map_or(QUIET_AT_FIRST, |epoch| {
            QUIET + Duration::try_from_secs_f64(2.0 * epoch.seconds).unwrap_or_default()
        });
        let state = match quiet.is_ok_and(|quiet| quiet < most) {
            _ if is_ended => State::Done,
            true => State::Trains,
            false => State::Stopped,
        };
        if (state, report.0 > 0) != (self.state, self.report) {
            (self.state, self.report, self.changed) = (state, report.0 > 0, now);
        }
    }

    /// The run as the page shows it in a list.
    fn told(&self) -> Value {
        let mut told = self.about.clone();
        let best = EpochMetrics::best(&self.metrics).map(|i| self.metrics[i].test_accuracy);
        told["done"] = json!(self.metrics.len());
        told["best"] = json!(best);
        told["last"] = json!(self.metrics.last());
        told["report"] = json!(self.report);
        told["state"] = json!(match self.state {
            State::Trains => "trains",
            State::Done => "done",
            State::Stopped => "stopped",
        });
        told
    }
}

/// Length and time of change of a file of a run; nothing at the beginning of 1970 where it is not there.
fn stamp(dir: &RunDir, name: &str) -> Stamp {
    let file = std::fs::metadata(dir.file(name)).and_then(|file| Ok((file.len(), file.modified()?)));
    file.unwrap_or((0, UNIX_EPOCH))
}

/// A path of a request whose `%20` and the like are what they stand for.
fn decoded(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu_info;
    use crate::data::{DatasetInfo, ImageShape, Origin};
    use crate::recipe::Recipe;

    fn run(root: &Path, name: &str) -> RunDir {
        let dataset = DatasetInfo {
            origin: Origin::Memory,
            train_images: 4,
            test_images: 2,
            shape: ImageShape { channels: 1, height: 28, width: 28 },
            classes: vec!["a".into(), "b".into()],
        };
        let recipe = Recipe { epochs: 3.0, ..Recipe::preset("linear_v0-mse").unwrap() };
        RunDir::create(root, "mnist", Some(name), &recipe, &dataset, &cpu_info()).unwrap()
    }

    fn add_epoch(dir: &RunDir, epoch: usize) {
        let path = dir.file("metrics.csv");
        let before = std::fs::read_to_string(&path).unwrap_or_else(|_| "epoch,...\n".into());
        std::fs::write(path, format!("{before}{epoch},1.5,1.25,{}0,0.1,0.5,1000.0\n", 4 + epoch)).unwrap();
    }

    fn json_of(watched: &Watched, path: &str, query: &str) -> Value {
        serde_json::from_slice(&watched.answer(path, query).unwrap().bytes).unwrap()
    }

    #[test]
    fn runs_are_told_with_what_was_added_since() {
        let root = tempfile::tempdir().unwrap();
        let watched = Watched::new(root.path().into());
        assert_eq!(json_of(&watched, "runs.json", "")["runs"], json!([]));
        let (dir, other) = (run(root.path(), "one"), run(root.path(), "two"));
        add_epoch(&dir, 1);
        add_epoch(&dir, 2);
        let all = json_of(&watched, "runs.json", "");
        assert_eq!((&all["count"], all["runs"].as_array().unwrap().len()), (&json!(2), 2));
        let one = &all["runs"][0];
        assert_eq!(
            ["id", "done", "best", "state", "epochs", "report"].map(|key| one[key].clone()),
            [json!("mnist/one"), json!(2), json!(60.0), json!("trains"), json!(3), json!(false)]
        );
        assert_eq!(one["recipe"]["network"]["name"], "linear_v0");
        assert_eq!(all["runs"][1]["state"], "trains", "it may be in its first epoch");
        add_epoch(&dir, 3);
        let since = all["now"].to_string();
        let changed = json_of(&watched, "runs.json", &format!("since={since}"));
        assert_eq!((changed["runs"].as_array().unwrap().len(), &changed["runs"][0]["state"]), (1, &json!("done")));
        let later = changed["now"].to_string();
        assert_eq!(json_of(&watched, "runs.json", &format!("since={later}"))["runs"], json!([]));
        // A report that comes later, and a run that says nothing any more, are told once.
        std::fs::write(dir.file("report.html"), "a report").unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        std::fs::File::options().append(true).open(other.file("recipe.toml")).unwrap().set_modified(old).unwrap();
        let changed = json_of(&watched, "runs.json", &format!("since={later}"));
        let told = |i: usize| ["report", "state"].map(|key| changed["runs"][i][key].clone());
        assert_eq!((told(0), told(1)), ([json!(true), json!("done")], [json!(false), json!("stopped")]));
        let later = changed["now"].to_string();
        assert_eq!(json_of(&watched, "runs.json", &format!("since={later}"))["runs"], json!([]));
        let added = json_of(&watched, "runs/mnist/one/epochs.json", "from=2");
        assert_eq!((added.as_array().unwrap().len(), &added[0]["epoch"]), (1, &json!(3)));
        assert_eq!(json_of(&watched, "runs/mnist/one/epochs.json", "from=99"), json!([]));
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert_eq!(json_of(&watched, "runs.json", &format!("since={later}"))["count"], json!(1));
    }

    #[test]
    fn nothing_but_reports_of_known_runs_is_read() {
        let root = tempfile::tempdir().unwrap();
        let (watched, dir) = (Watched::new(root.path().join("runs")), run(&root.path().join("runs"), "one"));
        let spaced = root.path().join("runs/my runs, 5 %");
        std::fs::create_dir(&spaced).unwrap();
        std::fs::rename(run(&root.path().join("runs"), "two").path(), spaced.join("two")).unwrap();
        std::fs::write(dir.file("report.html"), "a report").unwrap();
        std::fs::write(root.path().join("report.html"), "a secret").unwrap();
        assert!(watched.answer("runs/mnist/one/report.html", "").is_none(), "it was not listed yet");
        json_of(&watched, "runs.json", "");
        let report = watched.answer("runs/mnist/one/report.html", "").unwrap();
        assert!(report.is_report && report.bytes == b"a report");
        for path in [
            "runs/../report.html",
            "runs/mnist/../../report.html",
            "runs/mnist/one/recipe.toml",
            "runs/mnist/one/../report.html",
            "runs/report.html",
            "other",
        ] {
            assert!(watched.answer(path, "").is_none(), "{path}");
        }
    }

    #[test]
    fn a_hundred_runs_of_a_thousand_epochs_are_read_once() {
        let root = tempfile::tempdir().unwrap();
        let rows: String = (1..=1000).map(|epoch| format!("{epoch},1.5,1.25,50,0.1,0.5,1000.0\n")).collect();
        for i in 0..100 {
            let dir = run(root.path(), &format!("r{i}"));
            std::fs::write(dir.file("metrics.csv"), format!("epoch,...\n{rows}")).unwrap();
        }
        let watched = Watched::new(root.path().into());
        let all = json_of(&watched, "runs.json", "");
        assert_eq!(all["runs"].as_array().unwrap().len(), 100);
        let since = format!("since={}", all["now"]);
        assert!(watched.answer("runs.json", &since).unwrap().bytes.len() < 200, "nothing is told twice");
    }
}
