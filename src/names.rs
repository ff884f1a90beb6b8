//! Names that people type: an answer with the nearest one where a name is unknown, and quotes where a shell wants them.

use crate::error::Error;

/// A usage error for an unknown name of a `what`, with the nearest known one.
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

/// A word as a shell of this system takes it: in quotes where it has anything but plain characters.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+@,%".contains(c) || cfg!(windows) && c == '\\';
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else if cfg!(windows) {
        format!("\"{}\"", word.replace('"', "\\\""))
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
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
                    _ => Err($crate::names::unknown($what, name, Self::NAMES.iter().copied())),
                }
            }
        }
    };
}
pub(crate) use named;

/// Keeps a type in files as the text that people type.
macro_rules! text_in_files {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_in_files;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_where_one_is_near() {
        let error = unknown("loss", "msee", ["mse", "ce"].into_iter());
        assert_eq!(error.to_string(), "unknown loss 'msee'. Did you mean 'mse'? Known: mse, ce");
        assert!(!unknown("loss", "zzz", ["mse"].into_iter()).to_string().contains("Did you mean"));
    }

    #[test]
    fn words_are_quoted_for_a_shell_where_they_must_be() {
        assert_eq!(quote("a-b/c"), "a-b/c");
        if cfg!(windows) {
            assert_eq!([quote("C:\\runs"), quote("my runs"), quote("")], ["C:\\runs", "\"my runs\"", "\"\""]);
        } else {
            assert_eq!([quote("a b"), quote("it's"), quote("")], ["'a b'", "'it'\\''s'", "''"]);
        }
    }
}
