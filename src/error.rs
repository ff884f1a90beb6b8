//! One error type for the whole crate: what kind of failure it is, and a sentence a person can act on.

use std::fmt;
use std::path::Path;
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

/// An error: a kind, and a message that names the place, what was expected and found, and what to do next.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The request is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// The file at `path` is not what it should be.
    pub fn invalid(path: &Path, message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidData, format!("{}: {message}", path.display()))
    }

    /// The file system refused to `action` the file at `path`.
    pub fn io(action: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("cannot {action} {}: {error}", path.display()))
    }

    /// What burn says of a device that failed: its causes, told over many lines, come down to a few.
    pub fn device(failure: &impl fmt::Debug) -> Self {
        Self::device_said(&format!("{failure:?}"))
    }

    fn device_said(text: &str) -> Self {
        let lower = text.to_lowercase();
        let asked = text.split("allocate buffer of size: ").nth(1);
        let asked = asked.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<f64>().ok());
        let message = if lower.contains("out of memory") || lower.contains("outofmemory") || asked.is_some() {
            let size = asked.map(|bytes| format!(": there is no buffer of {:.0} MB to be had", bytes / 1e6));
            format!("the device is out of memory{}; use a smaller --batch or --width", size.unwrap_or_default())
        } else if lower.contains("lost") || lower.contains("destroyed") {
            "the device was lost: its driver stopped, or it was taken away".into()
        } else if lower.contains("recverror") {
            "the worker no longer answers: it has ended, or the network between has".into()
        } else {
            let said = text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "Caused by:");
            let causes: Vec<&str> = said.take(4).collect();
            format!("the device failed: {}", causes.join("; "))
        };
        Self::new(ErrorKind::Device, message)
    }

    /// What burn says of weights or a state that cannot be written: the device that holds them may be gone.
    pub fn unwritable(what: &str, said: &str) -> Self {
        if said.contains("host access failed") {
            return Self::device_said(said);
        }
        Self::new(ErrorKind::InvalidData, format!("{what} cannot be written: {said}"))
    }

    /// What a computation panicked with: burn tells some failures of a device in no other way.
    pub fn of_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Self::device_said(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why"))
    }

    /// The run is asked to end: an error if `stop` holds a signal's number.
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

impl std::error::Error for Error {}
