//! Which network: one with a name and its settings, or a list of layers of the user's own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::catalogue::{self, Entry, Settings};
use super::layers::{Layer, PoolKind};
use super::text;
use crate::error::{Error, Result};

/// Which network a recipe trains.
#[derive(Debug, Clone, Serialize)]
#[serde(into = "Written")]
pub enum Architecture {
    /// A network of the [`catalogue`].
    Named {
        /// Its name there.
        name: &'static str,
        /// How it is varied; what it does not take has its default.
        settings: Settings,
    },
    /// The layers themselves.
    Layers(Vec<Layer>),
}

/// An architecture as files have it; a network has only the settings that it takes.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_norm: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    width: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pool: Option<PoolKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
}

impl Architecture {
    /// A network of the catalogue with the settings that it has by default.
    ///
    /// # Errors
    /// Usage, with the nearest name, if there is no such network.
    pub fn named(name: &str) -> Result<Self> {
        Ok(Self::Named { name: catalogue::find(name)?.name, settings: Settings::default() })
    }

    /// Changes the settings of a network with a name; layers of one's own stay as they are.
    #[must_use]
    pub fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        match self {
            Self::Named { name, mut settings } => {
                change(&mut settings);
                Self::Named { name, settings }
            }
            own => own,
        }
    }

    /// The layers, with the word `classes` where a layer asks for the number of classes.
    ///
    /// # Errors
    /// Usage: a setting is out of range.
    pub fn layers(&self) -> Result<Vec<Layer>> {
        match self {
            Self::Layers(layers) => Ok(layers.clone()),
            Self::Named { name, settings } => text::parse(&(catalogue::find(name)?.layers)(settings)),
        }
    }

    /// The entry in the catalogue; none for layers of the user's own.
    pub fn entry(&self) -> Option<&'static Entry> {
        match self {
            Self::Named { name, .. } => catalogue::find(name).ok(),
            Self::Layers(_) => None,
        }
    }

    /// Pixels a side that pictures are brought to where nothing else is said.
    pub fn image_side(&self) -> usize {
        self.entry().map_or(catalogue::SMALL, |entry| entry.image_side)
    }

    /// What a person would call it.
    pub fn title(&self) -> &'static str {
        self.entry().map_or("Layers of one's own", |entry| entry.title)
    }

    /// A short name for runs: `linear_v1-bn`, `vgg11`, `vgg11-no-bn`; `custom` for layers of the user's own.
    pub fn short_name(&self) -> String {
        let (Self::Named { name, settings }, Some(entry)) = (self, self.entry()) else { return "custom".into() };
        let norm = match (entry.takes.contains(&"batch_norm"), settings.batch_norm == entry.bare_name_has_norm) {
            (true, false) if settings.batch_norm => "-bn",
            (true, false) => "-no-bn",
            _ => "",
        };
        format!("{name}{norm}")
    }
}

impl fmt::Display for Architecture {
    /// The name, or the layers as text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { name, .. } => f.pad(name),
            Self::Layers(layers) => f.write_str(&text::print(layers)),
        }
    }
}

impl FromStr for Architecture {
    type Err = Error;

    /// Reads layers.
    fn from_str(text: &str) -> Result<Self> {
        match text::parse(text)? {
            layers if layers.is_empty() => Err(Error::usage("a network needs at least one layer")),
            layers => Ok(Self::Layers(layers)),
        }
    }
}

/// Two architectures are equal if files have them alike: a setting that a network does not take makes no difference.
impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        Written::from(self.clone()) == Written::from(other.clone())
    }
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

impl TryFrom<Written> for Architecture {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        let Written { name, layers, batch_norm, width, pool, dropout } = written;
        let given = [
            ("batch_norm", batch_norm.is_some()),
            ("width", width.is_some()),
            ("pool", pool.is_some()),
            ("dropout", dropout.is_some()),
        ];
        let refuse_beyond =
            |takes: &[&str], what: &str| match given.iter().find(|(key, given)| *given && !takes.contains(key)) {
                Some((key, _)) => {
                    Err(Error::usage(format!("{what} takes no {key}: it is for {}", catalogue::takers(key).join(", "))))
                }
                None => Ok(()),
            };
        match (name, layers) {
            (Some(name), None) => {
                let entry = catalogue::find(&name)?;
                refuse_beyond(entry.takes, entry.name)?;
                let default = Settings::default();
                let settings = Settings {
                    batch_norm: batch_norm.unwrap_or(default.batch_norm),
                    width: width.unwrap_or(default.width),
                    pool: pool.unwrap_or(default.pool),
                    dropout: dropout.unwrap_or(default.dropout),
                };
                Ok(Self::Named { name: entry.name, settings })
            }
            (None, Some(layers)) => {
                refuse_beyond(&[], "a network of layers")?;
                layers.join(", ").parse()
            }
            (Some(_), Some(_)) => Err(Error::usage("a network has a name or layers, not both")),
            (None, None) => Err(Error::usage("a network needs a name or layers")),
        }
    }
}

impl From<Architecture> for Written {
    fn from(architecture: Architecture) -> Self {
        let nothing = Self { name: None, layers: None, batch_norm: None, width: None, pool: None, dropout: None };
        match architecture {
            Architecture::Layers(layers) => {
                Self { layers: Some(layers.iter().map(ToString::to_string).collect()), ..nothing }
            }
            Architecture::Named { name, settings } => {
                let takes = |key| catalogue::find(name).is_ok_and(|entry| entry.takes.contains(&key));
                Self {
                    name: Some(name.into()),
                    batch_norm: takes("batch_norm").then_some(settings.batch_norm),
                    width: takes("width").then_some(settings.width),
                    pool: takes("pool").then_some(settings.pool),
                    dropout: takes("dropout").then_some(settings.dropout),
                    ..nothing
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_layers_survive_json() {
        for text in [
            r#"{"name":"linear_v0"}"#,
            r#"{"name":"vgg11","batch_norm":false,"width":0.5,"pool":"avg","dropout":0.25}"#,
            r#"{"layers":["flatten","linear classes"]}"#,
        ] {
            let read: Architecture = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        let short: Architecture = serde_json::from_str(r#"{"name":"vgg11"}"#).unwrap();
        assert_eq!(short, Architecture::named("vgg11").unwrap());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (text, words) in [
            (r#"{"name":"linear_v0","batch_norm":true}"#, "linear_v0 takes no batch_norm: it is for linear_v1"),
            (r#"{"name":"linear_v1","width":2.0}"#, "it is for vgg11, vgg16, resnet9, photonet, airbench94"),
            (r#"{"layers":["flatten"],"width":2.0}"#, "takes no width"),
            (r#"{"name":"vgg11","layers":["flatten"]}"#, "not both"),
            (r#"{"layers":[]}"#, "at least one layer"),
            (r#"{}"#, "a name or layers"),
            (r#"{"name":"vgg12"}"#, "Did you mean"),
        ] {
            let error = serde_json::from_str::<Architecture>(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
