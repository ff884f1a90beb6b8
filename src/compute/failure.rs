//! What a driver's or burn's failure means. All guessing from their words is here.
//!
//! Burn tells the failures of a device by panics and by long debug texts, which come down to a sentence here.

use std::any::Any;
use std::fmt;

use crate::error::{Advice, Error, ErrorKind};

/// The words of a panic whose message cannot be read.
const SILENT: &str = "it does not say why";

/// The error that something of burn's or wgpu's stands for: its causes, told over many lines, come down to a few.
pub fn device(failure: &impl fmt::Debug) -> Error {
    from_text(&format!("{failure:?}"))
}

/// The error that a panic of a computation stands for: burn tells some failures of a device in no other way.
pub fn panic(panic: &(dyn Any + Send)) -> Error {
    from_text(panic_text(panic))
}

/// The error of weights or a state that cannot be written: the device that holds them may be gone.
pub fn unwritable(what: &str, said: &str) -> Error {
    if is_read_of_lost_device(said) {
        return from_text(said);
    }
    Error::invalid(format!("{what} cannot be written: {said}"))
}

/// Whether a panic says only what comes back as an error as well, so that nobody needs to see it.
pub fn is_reported_elsewhere(panic_text: &str) -> bool {
    is_read_of_lost_device(panic_text) || panic_text.contains("device is poisoned")
}

fn is_read_of_lost_device(text: &str) -> bool {
    text.contains("host access failed")
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or(SILENT)
}

fn from_text(text: &str) -> Error {
    let lower = text.to_lowercase();
    let asked = text.split("allocate buffer of size: ").nth(1);
    let asked = asked.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<f64>().ok());
    let failed = |message: String| Error::new(ErrorKind::Device, message);
    if lower.contains("out of memory") || lower.contains("outofmemory") || asked.is_some() {
        let size = asked.map(|bytes| format!(": there is no buffer of {:.0} MB to be had", bytes / 1e6));
        let message = format!("the device is out of memory{}", size.unwrap_or_default());
        return failed(message).advise(Advice::SmallerBatch(None));
    }
    if lower.contains("lost") || lower.contains("destroyed") {
        return failed("the device was lost: its driver stopped, or it was taken away".into());
    }
    if lower.contains("recverror") {
        return failed("the worker no longer answers: it has ended, or the network between has".into());
    }
    let said = text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "Caused by:");
    let causes: Vec<&str> = said.take(4).collect();
    failed(format!("the device failed: {}", causes.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_of_a_failure_has_its_meaning() {
        for (said, meant) in [
            ("wgpu error: Out of Memory", "the device is out of memory"),
            ("BufferAsyncError(OutOfMemory)", "the device is out of memory"),
            (
                "IoError: can't allocate buffer of size: 123456789 bytes",
                "the device is out of memory: there is no buffer of 123 MB to be had",
            ),
            ("Parent device is lost", "the device was lost: its driver stopped, or it was taken away"),
            ("Validation: Device was destroyed", "the device was lost: its driver stopped, or it was taken away"),
            ("RecvError(())", "the worker no longer answers: it has ended, or the network between has"),
            ("a\n\nCaused by:\n  b\n c\nd\ne", "the device failed: a; b; c; d"),
        ] {
            let error = from_text(said);
            assert_eq!((error.to_string().as_str(), error.kind()), (meant, ErrorKind::Device), "{said}");
        }
        assert_eq!(from_text("out of memory").advice(), Some(&Advice::SmallerBatch(None)));
    }

    #[test]
    fn panics_of_every_kind_are_read() {
        let caught = |f: fn()| panic(std::panic::catch_unwind(f).unwrap_err().as_ref()).to_string();
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let texts = [
            caught(|| std::panic::panic_any("the device is lost")),
            caught(|| std::panic::panic_any(String::from("odd"))),
            caught(|| std::panic::panic_any(3)),
        ];
        std::panic::set_hook(quiet);
        assert!(texts[0].starts_with("the device was lost"), "{texts:?}");
        assert_eq!(&texts[1..], ["the device failed: odd", "the device failed: it does not say why"]);
    }

    #[test]
    fn what_cannot_be_written_because_its_device_is_gone_says_so() {
        let gone = unwritable("the weights", "host access failed: the device is lost");
        assert_eq!(gone.kind(), ErrorKind::Device);
        assert_eq!(unwritable("the weights", "odd").to_string(), "the weights cannot be written: odd");
        assert!(is_reported_elsewhere("host access failed") && is_reported_elsewhere("the device is poisoned"));
        assert!(!is_reported_elsewhere("index out of bounds"));
    }
}
