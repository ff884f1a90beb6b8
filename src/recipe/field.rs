//! What the table says of a choice, and what follows from it: how it is read, checked, printed and reset.

use serde_json::{Value, json};

use crate::data::Identity;
use crate::error::{Error, Result};
use crate::names::{quote, unknown};
use crate::network::Architecture;

/// What a choice is about; help lists choices by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The images that are learned from.
    Data,
    /// What learns.
    Network,
    /// How it learns.
    Optimization,
    /// How a device computes it.
    Device,
}

/// A row of the table.
#[derive(Debug)]
pub struct Field {
    /// What it is about.
    pub group: Group,
    /// The name in files, with dots between tables and keys: `optimizer.momentum`.
    pub key: &'static str,
    /// The name of the option on the command line, without its dashes.
    pub option: &'static str,
    /// What the option's value is called in help.
    pub value_name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// What it may be.
    pub kind: FieldKind,
    /// When it applies.
    pub applies: Applies,
    /// What it is where nothing is said; else the preset's.
    pub default: Default,
    /// Whether the option takes several values, a run for each.
    pub sweeps: bool,
    /// A value for files that show it commented out.
    #[cfg_attr(not(feature = "native"), allow(dead_code))] // files are written by the program alone
    pub(super) example: fn() -> Value,
}

/// What a field may be.
#[derive(Debug)]
pub enum FieldKind {
    /// Text of some form; these are examples.
    Text(&'static [&'static str]),
    /// One of some names.
    Choice(fn() -> Vec<&'static str>),
    /// On or off.
    Switch,
    /// A whole number, bounds included.
    Whole {
        /// The least.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A finite number.
    Number {
        /// The lower bound, and whether it is included.
        min: (f64, bool),
        /// The upper bound, and whether it is included.
        max: (f64, bool),
    },
    /// Layers of a network.
    Layers,
}

/// When a field applies.
#[derive(Debug)]
pub enum Applies {
    /// In every recipe.
    Always,
    /// In every recipe, and it may be left out.
    Optionally,
    /// Where this field is not given.
    Without(&'static str),
    /// Where the field of this key has one of some values.
    When(&'static str, fn() -> Vec<&'static str>),
}

/// What a field is where nothing is said.
#[derive(Debug)]
pub enum Default {
    /// As the preset has it.
    Preset,
    /// Always this.
    Fixed(fn() -> Value),
    /// This, for the value of the field of that key.
    By(&'static str, fn(&str) -> Value),
}

/// From 0 to below 1.
pub(super) const SHARE: FieldKind = FieldKind::Number { min: (0.0, true), max: (1.0, false) };
/// Anything that is not negative.
pub(super) const FROM_0: FieldKind = FieldKind::Number { min: (0.0, true), max: (f64::INFINITY, false) };

/// A row with what most of them have.
pub(super) const fn row(
    group: Group,
    key: &'static str,
    option: &'static str,
    value_name: &'static str,
    kind: FieldKind,
) -> Field {
    Field {
        group,
        key,
        option,
        value_name,
        help: "",
        kind,
        applies: Applies::Always,
        default: Default::Preset,
        sweeps: false,
        example: || Value::Null,
    }
}

/// An option of the command line with its value.
pub(super) fn option(name: &str, value: &str) -> String {
    format!("--{name} {}", quote(value))
}

/// A value as people type it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(on) => (if *on { "on" } else { "off" }).into(),
        Value::Array(parts) => parts.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

impl Field {
    /// The key as people read it: `weight decay`, and `network` for the name of one.
    pub fn title(&self) -> String {
        let key = match self.key.split_once('.') {
            Some((table, "name" | "kind")) => table,
            Some((_, key)) => key,
            None => self.key,
        };
        key.replace('_', " ")
    }

    /// The value in a recipe; null where it has none.
    pub fn get<'a>(&self, recipe: &'a Value) -> &'a Value {
        value_at(recipe, self.key)
    }

    /// Whether the field applies in a recipe.
    pub fn applies(&self, recipe: &Value) -> bool {
        match &self.applies {
            Applies::Always | Applies::Optionally => true,
            Applies::Without(other) => value_at(recipe, other).is_null(),
            Applies::When(key, values) => value_at(recipe, key).as_str().is_some_and(|value| values().contains(&value)),
        }
    }

    /// The key of the field that a recipe has instead of this one.
    pub(super) fn excludes(&self) -> Option<&'static str> {
        match self.applies {
            Applies::Without(other) => Some(other),
            _ => None,
        }
    }

    /// Reads a value that was typed.
    ///
    /// # Errors
    /// Usage: says what it is and what it may be.
    pub fn parse(&self, typed: &str) -> Result<Value> {
        let value = match &self.kind {
            FieldKind::Text(_) | FieldKind::Choice(_) => json!(typed),
            FieldKind::Switch => match typed {
                "on" | "true" | "yes" => json!(true),
                "off" | "false" | "no" => json!(false),
                other => json!(other),
            },
            FieldKind::Whole { .. } => typed.parse::<u64>().map_or_else(|_| json!(typed), |number| json!(number)),
            FieldKind::Number { .. } => match typed.parse::<f64>() {
                Ok(number) if number.is_finite() => json!(number),
                _ => json!(typed),
            },
            FieldKind::Layers => json!([typed]),
        };
        self.accept(value)
    }

    /// Takes a value of a file or of a page.
    ///
    /// # Errors
    /// Usage: says what it is and what it may be.
    pub fn accept(&self, value: Value) -> Result<Value> {
        match (&self.kind, &value) {
            (FieldKind::Choice(names), Value::String(name)) if !names().contains(&name.as_str()) => {
                Err(unknown(&self.title(), name, names().into_iter()))
            }
            (FieldKind::Layers, Value::Array(_) | Value::String(_)) => {
                let layers: Architecture = text(&value).parse()?;
                let layers = serde_json::to_value(layers).unwrap_or_default(); // plain text
                Ok(layers["layers"].clone())
            }
            (FieldKind::Text(_), Value::String(typed)) if self.key == "dataset" => {
                Ok(json!(typed.parse::<Identity>()?.to_string()))
            }
            _ if self.kind.fits(&value) => Ok(value),
            _ => Err(self.out_of_range(&value)),
        }
    }

    /// Checks the value of a recipe.
    pub(super) fn check(&self, recipe: &Value) -> Result<()> {
        let value = self.get(recipe);
        match (value.is_null(), self.applies(recipe)) {
            (true, false) => Ok(()),
            (true, true) if matches!(self.applies, Applies::Optionally | Applies::Without(_)) => Ok(()),
            (false, true) if self.kind.fits(value) => Ok(()),
            (false, false) if *value == self.default_in(recipe) => Ok(()),
            (false, false) => Err(self.not_for_this()),
            (_, true) => Err(self.out_of_range(value)),
        }
    }

    /// The option that gives the value of a recipe; none where it has none.
    pub(super) fn option(&self, recipe: &Value) -> Option<String> {
        let value = self.get(recipe);
        let shown = !value.is_null() && self.applies(recipe);
        shown.then(|| option(self.option, &text(value)))
    }

    /// A value for where it is shown but not given.
    #[cfg(feature = "native")]
    pub(super) fn example_in(&self, recipe: &Value) -> Value {
        match ((self.example)(), self.default_in(recipe)) {
            (Value::Null, default) => default,
            (example, _) => example,
        }
    }

    /// The default where a recipe's other values are these; null where it is the preset's.
    pub(super) fn default_in(&self, recipe: &Value) -> Value {
        match &self.default {
            Default::Preset => Value::Null,
            Default::Fixed(value) => value(),
            Default::By(key, value) => value(value_at(recipe, key).as_str().unwrap_or_default()),
        }
    }

    pub(super) fn depends_on(&self, key: &str) -> bool {
        let by_default = matches!(&self.default, Default::By(by, _) if *by == key);
        let by_rule = match &self.applies {
            Applies::Without(other) | Applies::When(other, _) => *other == key,
            Applies::Always | Applies::Optionally => false,
        };
        // Settings of a named network end with its name.
        by_default || by_rule || (key == "network.layers" && self.depends_on("network.name"))
    }

    /// Gives the field its default, or takes it out where it does not apply.
    pub(super) fn reset(&self, recipe: &mut Value) {
        let default = self.default_in(recipe);
        if let Applies::Without(_) = self.applies {
            self.put(recipe, Value::Null); // what it excludes was given
        } else if self.applies(recipe) {
            self.put(recipe, default);
        } else if self.key.contains('.') {
            self.put(recipe, Value::Null);
        } else {
            self.put(recipe, default); // every recipe has it
        }
    }

    pub(super) fn put(&self, recipe: &mut Value, value: Value) {
        let (place, key) = match self.key.split_once('.') {
            Some((table, key)) => (&mut recipe[table], key),
            None => (recipe, self.key),
        };
        match (place.as_object_mut(), value) {
            (Some(place), Value::Null) => drop(place.remove(key)),
            (Some(place), value) => drop(place.insert(key.into(), value)),
            (None, _) => {} // `Recipe` has every table
        }
    }

    pub(super) fn not_for_this(&self) -> Error {
        let title = self.title();
        Error::usage(match &self.applies {
            Applies::When(key, values) => {
                let what = key.split('.').next().unwrap_or(key);
                format!("{title} is for the {what} {}", values().join(", "))
            }
            Applies::Without(other) => {
                let [one, two] = if *other < self.key { [self.key, other] } else { [other, self.key] };
                format!("give {one} or {two}, not both")
            }
            Applies::Always | Applies::Optionally => format!("{title} does not apply"),
        })
    }

    fn out_of_range(&self, value: &Value) -> Error {
        let found = if value.is_null() { "no finite number".into() } else { text(value) };
        Error::usage(format!("{} is {found}, expected {}", self.title(), self.kind.expected()))
    }
}

fn value_at<'a>(recipe: &'a Value, key: &str) -> &'a Value {
    key.split('.').fold(recipe, |value, key| &value[key])
}

impl FieldKind {
    fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Text(_) => value.is_string(),
            Self::Choice(names) => value.as_str().is_some_and(|name| names().contains(&name)),
            Self::Switch => value.is_boolean(),
            Self::Whole { min, max } => value.as_u64().is_some_and(|n| (*min..=*max).contains(&n)),
            Self::Number { min, max } => value
                .as_f64()
                .is_some_and(|n| (n > min.0 || (min.1 && n == min.0)) && (n < max.0 || (max.1 && n == max.0))),
            Self::Layers => value.is_array(),
        }
    }

    /// What the field may be, in words.
    pub fn expected(&self) -> String {
        match self {
            Self::Text(examples) => format!("text such as {}", examples.join(", ")),
            Self::Choice(names) => names().join(", "),
            Self::Switch => "on or off".into(),
            Self::Whole { min, max } if *max > u64::from(u32::MAX) => {
                format!("a whole number from {min} to below 2^63")
            }
            Self::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Self::Number { min, max } => {
                let low = if min.1 { format!("from {}", min.0) } else { format!("above {}", min.0) };
                match max {
                    (max, _) if max.is_infinite() => format!("a finite number {low}"),
                    (max, true) if min.1 => format!("a number {low} to {max}"),
                    (max, true) => format!("a number {low} and at most {max}"),
                    (max, false) => format!("a number {low} to below {max}"),
                }
            }
            Self::Layers => "layers separated by commas".into(),
        }
    }
}
