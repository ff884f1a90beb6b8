//! Recipes as files that people write: every key explained, and what is left out taken from a preset.

use std::path::Path;

use serde_json::Value;
use toml::Table;

use super::change::change;
use super::definition::Recipe;
use super::field::{Applies, Field, FieldKind};
use super::fields::{FIELDS, field};
use super::presets::DEFAULT_PRESET;
use crate::error::{Error, Result};
use crate::files;
use crate::network::layers::{FromWords, Layer};

/// A recipe as a file that says what every key means.
pub fn commented(recipe: &Recipe) -> String {
    let mut text = format!(
        "# A recipe of tinderbox: train it with `tinderbox train FILE`.\n# A key that is left out is the default's: \
         {DEFAULT_PRESET}, or that of the preset a key `preset` names.\n"
    );
    let value = recipe.to_value();
    for field in &FIELDS {
        let shown = field.get(&value);
        let given = !shown.is_null() && field.applies(&value);
        let condition = if given { String::new() } else { condition(field) };
        let help = match &field.kind {
            FieldKind::Text(_) | FieldKind::Switch => format!("{}{condition}", field.help),
            FieldKind::Layers => {
                format!("{}{condition}, of these:\n#   {}", field.help, Layer::USAGES.join("\n#   "))
            }
            kind => format!("{}{condition}: {}", field.help, kind.expected()),
        };
        text += &match given {
            true => format!("\n# {help}\n{} = {}\n", field.key, toml(shown)),
            false => format!("\n# {help}\n# {} = {}\n", field.key, toml(&field.example_in(&value))),
        };
    }
    text
}

/// For which recipes a field is that does not apply in this one.
fn condition(field: &Field) -> String {
    match &field.applies {
        Applies::When(key, values) => format!(" (where {key} is {})", values().join(", ")),
        Applies::Without(key) => format!(" (instead of {key})"),
        Applies::Always | Applies::Optionally => String::new(),
    }
}

/// A plain value as TOML writes it.
fn toml(value: &Value) -> String {
    toml::Value::try_from(value).map(|value| value.to_string()).unwrap_or_default()
}

/// Reads a recipe from a file.
///
/// # Errors
/// Io. Usage, naming the file: no TOML, an unknown key (with the nearest known one), a value that cannot be.
pub fn read(path: &Path) -> Result<Recipe> {
    parse(&files::read_text(path)?).map_err(|e| e.in_file(path))
}

fn parse(text: &str) -> Result<Recipe> {
    let usage = |e: toml::de::Error| Error::usage(e.to_string().trim_end().to_string()).caused_by(e);
    let mut given: Table = text.parse().map_err(usage)?;
    let preset = match given.remove("preset") {
        Some(toml::Value::String(name)) => Recipe::preset(&name)?,
        Some(other) => return Err(Error::usage(format!("preset is {other}, expected the name of one"))),
        None => Recipe::preset(DEFAULT_PRESET)?,
    };
    let mut changes = Vec::new();
    for (key, value) in &given {
        match value {
            // A table of the recipe's, whose keys are fields.
            toml::Value::Table(table)
                if FIELDS.iter().any(|f| f.key.split_once('.').is_some_and(|(t, _)| t == key)) =>
            {
                for (inner, value) in table {
                    changes.push(accepted(&format!("{key}.{inner}"), value)?);
                }
            }
            value => changes.push(accepted(key, value)?),
        }
    }
    change(&preset, changes)
}

fn accepted(key: &str, value: &toml::Value) -> Result<(&'static Field, Value)> {
    let field = field(key)?;
    let value = serde_json::to_value(value).map_err(|e| Error::usage(format!("{key}: {e}")).caused_by(e))?;
    Ok((field, field.accept(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::PRESETS;

    #[test]
    fn every_preset_survives_its_commented_file() {
        for preset in &PRESETS {
            let recipe = preset.recipe();
            let text = commented(&recipe);
            assert_eq!(parse(&text).unwrap(), recipe, "{text}");
            assert!(FIELDS.iter().all(|field| text.contains(&format!("{} = ", field.key))), "{text}");
        }
        let uncommented =
            commented(&PRESETS[0].recipe()).replace("# patience", "patience").replace("# target", "target");
        let recipe = parse(&uncommented).unwrap();
        assert_eq!((recipe.patience, recipe.target_accuracy), (Some(5), Some(97.0)));
        let own = commented(&PRESETS[0].recipe())
            .replace("network.name", "# network.name")
            .replace("# network.layers", "network.layers");
        assert_eq!(parse(&own).unwrap().short_name(), "custom-mse");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parse("learning_rate = 1\nseed = 3").unwrap().learning_rate, 1.0);
        assert_eq!(parse("preset = \"cifar10-vgg11\"").unwrap(), Recipe::preset("cifar10-vgg11").unwrap());
        let own = parse("[network]\nlayers = [\"flatten\", \"linear 128, relu\", \"linear classes\"]").unwrap();
        assert_eq!(own.network.to_string(), "flatten, linear 128, relu, linear classes");
        for (text, words) in [
            ("epoch = 3", "Did you mean 'epochs'?"),
            ("epochs = \"many\"", "epochs is many, expected a number from 0.001"),
            ("epochs = 0", "epochs is 0"),
            ("learning_rate = nan", "learning rate is no finite number"),
            ("network.name = \"linear_v3\"", "linear_v3"),
            ("preset = \"linear\"", "unknown preset"),
            ("preset = 3", "preset is 3"),
            ("[optimizer]\nkind = \"sgd\"\nmomentom = 1", "Did you mean 'optimizer.momentum'?"),
            ("[network]\nlayers = [\"conv\"]", "`conv`: expected channels"),
            ("[extra]\nx = 1", "unknown key 'extra'"),
            ("epochs", "expected"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(words), "{text}: {error}");
        }
    }
}
