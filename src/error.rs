//! One error type for the whole crate: what kind of failure it is, a sentence that says what happened, and typed advice.
//!
//! The sentence names the place, what was expected and what was found. What to do next is an [`Advice`], which the command
//! line puts into options and a page into buttons: nothing in the library speaks of either.

use std::error::Error as Source;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarsely: enough to choose an exit code or a fallback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself makes no sense: an unknown name, a value out of range. Exit code 2.
    Usage,
    /// A data file is missing and could not be downloaded.
    MissingData,
    /// A data file, checkpoint or image is there but is not what it should be.
    InvalidData,
    /// The file system refused.
    Io,
    /// No such adapter, or the adapter failed.
    Device,
    /// Training went wrong: the loss is not finite, or a target was missed.
    Training,
    /// A signal asked the program to stop; holds the signal's number.
    Interrupted(i32),
}

/// What a person can do about an error; the front end finds the words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Use a smaller batch, such as one of this size, where a size is known to fit.
    SmallerBatch(Option<usize>),
    /// Use a smaller network, or another device.
    SmallerNetwork,
    /// Train on the CPU, and report the device, which computes wrongly.
    TrainOnCpu,
    /// Choose a momentum above 0.
    Momentum,
    /// Choose a device that computes in half precision, or leave half precision out.
    SinglePrecision,
    /// Put these files into this folder.
    PutFilesInto {
        /// Names of the files.
        files: Vec<String>,
        /// The folder where they are looked for.
        dir: PathBuf,
        /// Whether the folder can be named apart from the data set.
        or_name_folder: bool,
    },
    /// Name a data set whose pictures fit.
    OtherDataset,
    /// Start a new run, under another name.
    NewRun,
    /// Give the run another name, or continue the one in this folder.
    OtherNameOrContinue(PathBuf),
    /// Continue the run in this folder; `lost` is whether one of several devices is gone.
    Continue {
        /// The run's folder.
        run: PathBuf,
        /// One of several devices is gone: name one that is left.
        lost: bool,
    },
    /// Give the same command again.
    Again,
    /// Go on from this checkpoint, which is whole.
    OtherCheckpoint(String),
    /// Name a run: these are near, the likeliest first.
    OtherRun(Vec<PathBuf>),
    /// Ask for at least this many epochs.
    MoreEpochs(usize),
    /// Listen on another port.
    OtherPort,
    /// Write the picture to a file.
    WriteToFile,
    /// Build the page, or name the folder that has it.
    BuildPage,
}

/// An error: a kind, a message that names the place, what was expected and found, and advice where there is some.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    advice: Option<Advice>,
    source: Option<Arc<dyn Source + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), advice: None, source: None }
    }

    /// The request is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Something that was read is not what it should be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidData, message)
    }

    /// The file at `path` is not what it should be.
    pub fn invalid_file(path: &Path, message: impl fmt::Display) -> Self {
        Self::invalid(format!("{}: {message}", path.display()))
    }

    /// The file system refused to `action` the file at `path`.
    pub fn io(action: &str, path: &Path, error: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("cannot {action} {}: {error}", path.display())).caused_by(error)
    }

    /// Adds what a person can do.
    #[must_use]
    pub fn advise(self, advice: Advice) -> Self {
        Self { advice: Some(advice), ..self }
    }

    /// Whether a training ends with this error on all processes that share it at the same step.
    pub fn is_of_all_ranks(&self) -> bool {
        matches!(self.kind, ErrorKind::Training | ErrorKind::Interrupted(_))
    }

    /// Keeps the error underneath, for programs that want to know.
    #[must_use]
    pub fn caused_by(self, source: impl Source + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// Puts other words around the message; kind, advice and cause stay.
    #[must_use]
    pub fn reword(self, words: impl FnOnce(&str) -> String) -> Self {
        Self { message: words(&self.message), ..self }
    }

    /// Puts the file at `path`, where the failure was found, before the message.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        self.reword(|message| format!("{}: {message}", path.display()))
    }

    /// An error if `stop` holds a signal's number: the run is asked to end.
    ///
    /// # Errors
    /// Interrupted.
    pub fn if_stopped(stop: &AtomicUsize) -> Result<()> {
        match stop.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Self::new(ErrorKind::Interrupted(signal as i32), "stopped by a signal")),
        }
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What a person can do about it, if that is known.
    pub fn advice(&self) -> Option<&Advice> {
        self.advice.as_ref()
    }

    /// The process exit code for this error: 2 for wrong usage, 128 + signal when interrupted, else 1.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Usage => 2,
            ErrorKind::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(1),
            _ => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Source for Error {
    fn source(&self) -> Option<&(dyn Source + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Source + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_kind() {
        assert_eq!(Error::usage("x").exit_code(), 2);
        assert_eq!(Error::new(ErrorKind::Interrupted(15), "x").exit_code(), 143);
        for kind in [ErrorKind::MissingData, ErrorKind::InvalidData, ErrorKind::Io, ErrorKind::Device] {
            assert_eq!(Error::new(kind, "x").exit_code(), 1);
        }
    }

    #[test]
    fn other_words_keep_kind_advice_and_cause() {
        let cause = std::io::Error::other("the disk is on fire");
        let error = Error::io("read", Path::new("a"), cause).advise(Advice::Again);
        assert_eq!(error.to_string(), "cannot read a: the disk is on fire");
        let error = error.in_file(Path::new("b"));
        assert_eq!(error.to_string(), "b: cannot read a: the disk is on fire");
        assert_eq!((error.kind(), error.advice()), (ErrorKind::Io, Some(&Advice::Again)));
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("the disk is on fire"));
    }

    #[test]
    fn a_stop_is_an_error_with_the_signals_number() {
        assert!(Error::if_stopped(&AtomicUsize::new(0)).is_ok());
        assert_eq!(Error::if_stopped(&AtomicUsize::new(2)).unwrap_err().exit_code(), 130);
    }
}
