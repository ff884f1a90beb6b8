//! From which checkpoint a run goes on.

use super::checkpoint::{self, Saved};
use super::folder::RunDir;
use crate::error::{Advice, Error, ErrorKind, Result};
use crate::notice::{Notice, Notices};
use crate::recipe::Recipe;

/// The checkpoint that a run goes on from by default.
const LAST: &str = "last";

/// Where a run begins.
pub enum Start {
    /// At its beginning: no checkpoint was ever finished.
    Fresh,
    /// From a checkpoint.
    From(Box<Saved>),
}

impl Start {
    /// The checkpoint, if there is one.
    pub fn saved(self) -> Option<Saved> {
        match self {
            Self::Fresh => None,
            Self::From(saved) => Some(*saved),
        }
    }
}

/// The checkpoint of a run's folder to go on from. Where `last` was never finished, it is the furthest whole one, and the
/// beginning where there is none.
///
/// # Errors
/// Invalid data: the checkpoint is damaged; advises another one that is whole. Missing data: there is none of this name.
pub fn resume_point(dir: &RunDir, name: &str, notices: Notices<'_>) -> Result<Start> {
    let checkpoints = dir.checkpoints();
    match checkpoint::load(&checkpoints, name) {
        Ok(saved) => Ok(Start::From(Box::new(saved))),
        Err(e) if e.kind() == ErrorKind::MissingData && name == LAST => {
            let instead = checkpoint::newest_whole(&checkpoints, name);
            notices(Notice::NoCheckpoint { wanted: name.into(), instead: instead.clone() });
            match instead {
                None => Ok(Start::Fresh),
                Some(instead) => Ok(Start::From(Box::new(checkpoint::load(&checkpoints, &instead)?))),
            }
        }
        Err(e) => Err(match checkpoint::newest_whole(&checkpoints, name) {
            Some(whole) => e.advise(Advice::OtherCheckpoint(whole)),
            None => e,
        }),
    }
}

/// Checks that a run goes on with the recipe it began with.
///
/// # Errors
/// Usage, with the lines that differ.
pub(super) fn check_same_recipe(dir: &RunDir, old: &Recipe, new: &Recipe) -> Result<()> {
    let difference = old.difference(new);
    if difference.is_empty() {
        return Ok(());
    }
    let message = format!("{} holds a run of another recipe:\n  {}", dir.path().display(), difference.join("\n  "));
    Err(Error::usage(message).advise(Advice::NewRun))
}
