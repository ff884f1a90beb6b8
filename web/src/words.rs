//! The words of the page for what the library tells: what a visitor can do about it.

use tinderbox::error::{Advice, Error};
use tinderbox::notice::Notice;

/// An error as a visitor reads it.
pub(crate) fn error(e: &Error) -> String {
    match e.advice() {
        None => e.to_string(),
        Some(advice) => format!("{e}{}", advice_words(advice)),
    }
}

/// A notice as a visitor reads it, where there is something to read.
#[cfg_attr(not(target_family = "wasm"), allow(dead_code))] // who trains is in a browser
pub(crate) fn notice(notice: &Notice) -> Option<String> {
    match notice {
        Notice::NoReplay => Some(
            "A recorded step did not repeat what a plain step computes on this adapter: training goes on plainly, and slower.".into(),
        ),
        Notice::ObserverDropped(e) => Some(error(e)),
        _ => None, // of files and folders, as above
    }
}

fn advice_words(advice: &Advice) -> String {
    match advice {
        Advice::SmallerBatch(Some(size)) => format!(": choose a smaller batch size, such as {size}"),
        Advice::SmallerBatch(None) => ": choose a smaller batch size or network".into(),
        Advice::Momentum => ": set a momentum, such as 0.9".into(),
        Advice::SinglePrecision => ": choose the precision f32".into(),
        Advice::OtherDataset => ": choose other data".into(),
        _ => String::new(), // of files and folders, which a page has not
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_given_in_the_words_of_the_form() {
        let e = Error::usage("batch size is 9").advise(Advice::SmallerBatch(Some(4)));
        assert_eq!(error(&e), "batch size is 9: choose a smaller batch size, such as 4");
        assert_eq!(error(&Error::usage("x").advise(Advice::Again)), "x");
    }

    #[test]
    fn notices_are_of_what_a_visitor_can_see() {
        assert!(notice(&Notice::NoReplay).is_some_and(|text| text.contains("goes on plainly")));
        assert_eq!(notice(&Notice::ObserverDropped(Error::usage("x"))).as_deref(), Some("x"));
        assert_eq!(notice(&Notice::AlreadyFinished), None);
    }
}
