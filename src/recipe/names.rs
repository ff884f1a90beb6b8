//! Names that people type, and an answer with the nearest one where a name is unknown.

use crate::error::Error;

/// A usage error for an unknown name, with the nearest known one.
pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Error {
    let nearest = nearest(name, known.clone());
    let hint = nearest.map(|n| format!(" Did you mean '{n}'?")).unwrap_or_default();
    let list: Vec<&str> = known.collect();
    Error::usage(format!("unknown {what} '{name}'.{hint} Known: {}", list.join(", ")))
}

/// The known name most like `name`, by shared character pairs, if any is alike at all.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let pairs = |s: &str| -> Vec<(char, char)> {
        let lower: Vec<char> = s.to_lowercase().chars().collect();
        lower.windows(2).map(|w| (w[0], w[1])).collect()
    };
    let wanted = pairs(name);
    known
        .map(|candidate| {
            let have = pairs(candidate);
            let shared = wanted.iter().filter(|p| have.contains(p)).count();
            (200 * shared / (wanted.len() + have.len()).max(1), candidate)
        })
        .filter(|(score, _)| *score >= 40)
        .max_by_key(|(score, _)| *score)
        .map(|(_, candidate)| candidate)
}

/// A word as a shell takes it: in single quotes where it has anything but plain characters.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+@,%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// Lets the variants of an enum be typed and printed.
macro_rules! named {
    ($type:ty, $what:literal, $($variant:path => $name:literal),+ $(,)?) => {
        impl $type {
            /// All names, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($name),+];
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self { $($variant => $name),+ })
            }
        }
        impl std::str::FromStr for $type {
            type Err = $crate::error::Error;
            fn from_str(name: &str) -> $crate::error::Result<Self> {
                match name {
                    $($name => Ok($variant),)+
                    _ => Err($crate::recipe::unknown($what, name, Self::NAMES.iter().copied())),
                }
            }
        }
    };
}
pub(super) use named;
