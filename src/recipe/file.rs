//! Recipes as files that people write: every key explained, and what is left out taken from a preset.

use std::path::Path;

use toml::{Table, Value};

use super::{Architecture, DEFAULT_PRESET, LossKind, Pool, Recipe, unknown};
use crate::error::{Error, Result};

/// Keys that a recipe may have, in the order of the file, and what they mean.
const KEYS: [(&str, &str); 19] = [
    (
        "dataset",
        "mnist, mnist-sample, cifar10, idx:DIR (files named as MNIST's) or folder:DIR (a subfolder of images a class)",
    ),
    ("model", "MODELS; `tinderbox models` says what they cost"),
    ("batch_norm", "batch normalization after every hidden layer"),
    ("width", "factor on the channels of a convolutional network"),
    ("pool", "POOLS: how a VGG network halves its images"),
    ("dropout", "share of values zeroed before a convolutional network's last layer while training, from 0 to below 1"),
    ("loss", "LOSSES"),
    ("label_smoothing", "share of the target that ce spreads over all classes, from 0 to below 1"),
    ("batch_size", "images per step"),
    ("epochs", "passes over the train set"),
    ("learning_rate", "the base that the schedule starts from"),
    ("fraction", "share of the train set to use, the first images of every class; above 0, at most 1"),
    ("seed", "decides initial weights and the order of images"),
    ("patience", "stop after this many epochs without a lower test loss"),
    ("target_accuracy", "fail if the best test accuracy, in percent, stays below this"),
    ("optimizer", "kind sgd (momentum, nesterov, weight_decay), adam (weight_decay) or adamw (weight_decay)"),
    ("schedule", "kind constant, step (step_size, gamma), cosine or one-cycle (warmup)"),
    ("augment", "of the train images: shifts by up to crop pixels, and mirroring"),
    ("precision", "f32, or f16: products in half precision, on adapters that have it"),
];

/// A recipe as a file that says what every key means.
pub fn commented(recipe: &Recipe) -> String {
    let mut text = String::from(
        "# A recipe of tinderbox: train it with `tinderbox train FILE`.\n# A key that is left out is the default's: ",
    );
    text += DEFAULT_PRESET;
    text += ", or that of the preset a key `preset` names.\n";
    let table = Table::try_from(recipe).unwrap_or_default(); // `validate` leaves nothing TOML lacks
    for (key, about) in KEYS {
        let about = about
            .replace("MODELS", &Architecture::NAMES.join(", "))
            .replace("POOLS", &Pool::NAMES.join(" or "))
            .replace("LOSSES", &LossKind::NAMES.join(", "));
        text += &match table.get(key) {
            Some(value) => format!("\n# {about}\n{key} = {value}\n"),
            None => format!("\n# {about}\n# {key} = {}\n", if key == "patience" { "5" } else { "97.0" }),
        };
    }
    text
}

/// Reads a recipe from a file.
///
/// # Errors
/// Io. Usage, naming the file: no TOML, an unknown key (with the nearest known one), a value that cannot be.
pub fn read(path: &Path) -> Result<Recipe> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, &e))?;
    parse(&text).map_err(|e| Error::usage(format!("{}: {e}", path.display())))
}

fn parse(text: &str) -> Result<Recipe> {
    let usage = |e: toml::de::Error| Error::usage(e.to_string().trim_end().to_string());
    let mut given: Table = text.parse().map_err(usage)?;
    let preset = match given.remove("preset") {
        Some(Value::String(name)) => Recipe::preset(&name)?,
        Some(other) => return Err(Error::usage(format!("preset is {other}, expected the name of one"))),
        None => Recipe::preset(DEFAULT_PRESET)?,
    };
    let mut table = Table::try_from(preset).unwrap_or_default();
    for (key, value) in given {
        if !KEYS.iter().any(|(known, _)| *known == key) {
            return Err(unknown("key", &key, KEYS.iter().map(|(known, _)| *known)));
        }
        table.insert(key, value);
    }
    let recipe: Recipe = table.try_into().map_err(usage)?;
    recipe.validate()?;
    Ok(recipe)
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
            let keys = Table::try_from(&recipe).unwrap();
            assert!(keys.keys().all(|key| KEYS.iter().any(|(known, _)| known == key)), "{keys:?}");
        }
        let uncommented =
            commented(&PRESETS[0].recipe()).replace("# patience", "patience").replace("# target", "target");
        let recipe = parse(&uncommented).unwrap();
        assert_eq!((recipe.patience, recipe.target_accuracy), (Some(5), Some(97.0)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parse("learning_rate = 1\nseed = 3").unwrap().learning_rate, 1.0);
        assert_eq!(parse("preset = \"cifar10-vgg11\"").unwrap(), Recipe::preset("cifar10-vgg11").unwrap());
        for (text, words) in [
            ("epoch = 3", "Did you mean 'epochs'?"),
            ("epochs = \"many\"", "epochs"),
            ("epochs = 0", "epochs is 0"),
            ("model = \"linear_v3\"", "linear_v3"),
            ("preset = \"linear\"", "unknown preset"),
            ("preset = 3", "preset is 3"),
            ("[optimizer]\nkind = \"sgd\"\nmomentom = 1", "momentom"),
            ("epochs", "expected"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(words), "{text}: {error}");
        }
    }
}
