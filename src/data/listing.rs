//! The picture files of a data set, before they are decoded.

use std::path::Path;

use super::pictures::Labelled;
use super::tree::Picture;

/// The picture files of a data set.
pub(super) struct Listing<'a> {
    /// Trained on.
    pub train: Labelled<Picture>,
    /// Measured on.
    pub test: Labelled<Picture>,
    /// One name a class.
    pub classes: Vec<String>,
    /// The folder or file that they were found by.
    pub from: &'a Path,
    /// What to do where no picture can be read.
    pub wanted: String,
}
