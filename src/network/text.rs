//! Layers as text: `conv 32, norm, relu, residual [conv 32, relu]`. The parser and the printer are each other's inverse.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The most layers of a network, those in brackets included.
pub const MAX_LAYERS: usize = 1000;
/// The most outputs or channels of a layer.
pub(super) const MAX_SIDE: usize = 65_536;
/// How deep layers may lie in brackets.
const MAX_DEPTH: usize = 8;

/// What layers are read as.
pub trait FromWords: Sized {
    /// How every kind of layer is written.
    const USAGES: &'static [&'static str];

    /// Reads a layer from its name and its words.
    ///
    /// # Errors
    /// Usage: there is no such layer, or something of it is missing or out of range.
    fn from_words(name: &str, words: &mut Words<'_>) -> Result<Self>;
}

/// Reads layers that are separated by commas.
///
/// # Errors
/// Usage: names the layer, what was expected and how it is written.
pub fn parse<L: FromWords>(text: &str) -> Result<Vec<L>> {
    let mut left = MAX_LAYERS;
    list(text, 0, &mut left)
}

/// Writes layers as [`parse`] reads them.
pub fn print<L: fmt::Display>(layers: &[L]) -> String {
    layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn list<L: FromWords>(text: &str, depth: usize, left: &mut usize) -> Result<Vec<L>> {
    if depth > MAX_DEPTH {
        return Err(Error::usage(format!("layers lie at most {MAX_DEPTH} brackets deep")));
    }
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    items(text)?.into_iter().map(|item| layer(item.trim(), depth, left)).collect()
}

/// The parts between the commas that lie in no bracket.
fn items(text: &str) -> Result<Vec<&str>> {
    let (mut items, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => {
                depth = depth.checked_sub(1).ok_or_else(|| Error::usage(format!("']' without '[' in '{text}'")))?;
            }
            ',' if depth == 0 => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(Error::usage(format!("'[' without ']' in '{text}'")));
    }
    items.push(&text[start..]);
    Ok(items)
}

fn layer<L: FromWords>(item: &str, depth: usize, left: &mut usize) -> Result<L> {
    *left = left.checked_sub(1).ok_or_else(|| Error::usage(format!("a network has at most {MAX_LAYERS} layers")))?;
    let (head, block) = match item.split_once('[') {
        None => (item, None),
        Some((head, rest)) => match rest.strip_suffix(']') {
            Some(inner) => (head, Some(inner)),
            None => return Err(Error::usage(format!("`{item}`: expected a comma after ']'"))),
        },
    };
    let mut words = Words { words: head.split_whitespace().collect(), block, depth, left };
    let Some(name) = words.words.pop_front() else {
        return Err(Error::usage("expected a layer between two commas"));
    };
    let layer = L::from_words(name, &mut words).and_then(|layer| words.end().map(|()| layer));
    // Of an unknown name the error has said everything.
    let Some(usage) = L::USAGES.iter().find(|usage| usage.split_whitespace().next() == Some(name)) else {
        return layer;
    };
    layer.map_err(|e| e.reword(|message| format!("`{item}`: {message}; it is written: {usage}")))
}

/// What follows the name of a layer.
pub struct Words<'a> {
    words: VecDeque<&'a str>,
    /// What is in brackets.
    block: Option<&'a str>,
    depth: usize,
    /// Layers that the network may still have.
    left: &'a mut usize,
}

impl<'a> Words<'a> {
    fn next(&mut self, expected: &str) -> Result<&'a str> {
        self.words.pop_front().ok_or_else(|| Error::usage(format!("expected {expected}")))
    }

    /// Takes the next word if it is this one.
    pub fn take_if(&mut self, word: &str) -> bool {
        let found = self.words.front() == Some(&word);
        if found {
            self.words.pop_front();
        }
        found
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// Usage: there is none, or it is out of bounds.
    pub fn whole(&mut self, what: &str, min: usize, max: usize) -> Result<usize> {
        whole(self.words.pop_front(), what, min, max)
    }

    /// The whole number behind the word `name`, if that is there.
    ///
    /// # Errors
    /// Usage: what is behind it is none, or out of bounds.
    pub fn option(&mut self, name: &str, min: usize, max: usize) -> Result<Option<usize>> {
        self.after(name).map(|word| whole(word, name, min, max)).transpose()
    }

    /// The number behind the word `name`, from `least` to 1, if that is there.
    ///
    /// # Errors
    /// Usage: what is behind it is none, or out of bounds.
    pub fn share(&mut self, name: &str, least: f64) -> Result<Option<f64>> {
        let Some(word) = self.after(name) else { return Ok(None) };
        let number = word.and_then(|word| word.parse().ok()).filter(|number: &f64| (least..=1.0).contains(number));
        let found = word.map(|word| format!(", found '{word}'")).unwrap_or_default();
        let wrong = || Error::usage(format!("expected {name}, a number from {least:?} to 1{found}"));
        number.map(Some).ok_or_else(wrong)
    }

    /// `on` or `off` behind the word `name`; on where that is not there.
    ///
    /// # Errors
    /// Usage: what is behind it is neither.
    pub fn switch(&mut self, name: &str) -> Result<bool> {
        match self.after(name) {
            None | Some(Some("on")) => Ok(true),
            Some(Some("off")) => Ok(false),
            Some(other) => {
                Err(Error::usage(format!("expected {name} on or {name} off, found '{}'", other.unwrap_or_default())))
            }
        }
    }

    /// A finite number that fits.
    ///
    /// # Errors
    /// Usage: there is none, or it does not fit.
    pub fn number(&mut self, what: &str, fits: impl FnOnce(f64) -> bool, expected: &str) -> Result<f64> {
        let word = self.next(&format!("{what}, {expected}"))?;
        let number = word.parse().ok().filter(|number: &f64| number.is_finite() && fits(*number));
        number.ok_or_else(|| Error::usage(format!("expected {what}, {expected}, found '{word}'")))
    }

    /// One of the names of `T`.
    ///
    /// # Errors
    /// Usage: there is none, or another.
    pub fn name<T: FromStr<Err = Error>>(&mut self, expected: &str) -> Result<T> {
        self.next(expected)?.parse()
    }

    /// The layers in brackets.
    ///
    /// # Errors
    /// Usage: there are no brackets.
    pub fn block<L: FromWords>(&mut self) -> Result<Vec<L>> {
        let block = self.block.take().ok_or_else(|| Error::usage("expected layers in brackets"))?;
        list(block, self.depth + 1, self.left)
    }

    /// Takes the word `name` and the one behind it out.
    fn after(&mut self, name: &str) -> Option<Option<&'a str>> {
        let at = self.words.iter().position(|word| *word == name)?;
        self.words.remove(at);
        Some(self.words.remove(at))
    }

    fn end(&self) -> Result<()> {
        match (self.words.front(), &self.block) {
            (None, None) => Ok(()),
            (Some(word), _) => Err(Error::usage(format!("'{word}' is too much"))),
            (None, Some(_)) => Err(Error::usage("takes no layers in brackets")),
        }
    }
}

fn whole(word: Option<&str>, what: &str, min: usize, max: usize) -> Result<usize> {
    let number = word.and_then(|word| word.parse().ok()).filter(|n| (min..=max).contains(n));
    let found = word.map(|word| format!(", found '{word}'")).unwrap_or_default();
    number.ok_or_else(|| Error::usage(format!("expected {what}, a whole number from {min} to {max}{found}")))
}
