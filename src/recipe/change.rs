//! A recipe with other values.

use serde_json::Value;

use super::definition::Recipe;
use super::field::Field;
use super::fields::{FIELDS, field};
use crate::error::{Error, Result};

/// `recipe` with other values. A value that decides which other fields apply, such as an optimizer, comes first and gives
/// those their defaults, if it is another than before.
///
/// # Errors
/// Usage: a value that cannot be or does not apply, or two of which only one can be.
pub fn change(recipe: &Recipe, changes: Vec<(&'static Field, Value)>) -> Result<Recipe> {
    let given = |key: &str| changes.iter().any(|(field, new)| field.key == key && !new.is_null());
    if let Some((field, _)) = changes.iter().find(|(field, _)| given(field.key) && field.excludes().is_some_and(given))
    {
        return Err(field.not_for_this());
    }
    let mut value = recipe.to_value();
    let decides = |field: &Field| FIELDS.iter().any(|other| other.depends_on(field.key));
    let (first, rest): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(field, _)| decides(field));
    for (field, new) in first {
        if *field.get(&value) != new {
            field.put(&mut value, new);
            let dependent = FIELDS.iter().filter(|other| other.key != field.key && other.depends_on(field.key));
            dependent.for_each(|other| other.reset(&mut value));
        }
    }
    for (field, new) in rest {
        if !field.applies(&value) {
            return Err(field.not_for_this());
        }
        field.put(&mut value, new);
    }
    let recipe: Recipe = serde_json::from_value(value).map_err(|e| Error::usage(e.to_string()).caused_by(e))?;
    recipe.validate()?;
    Ok(recipe)
}

/// `recipe` with values that were typed, by the keys of their fields.
///
/// # Errors
/// Usage: there is no such key, or a value cannot be, or does not apply.
pub fn change_typed<'a>(recipe: &Recipe, typed: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Recipe> {
    let parse = |(key, text): (&str, &str)| field(key).and_then(|field| Ok((field, field.parse(text)?)));
    change(recipe, typed.into_iter().map(parse).collect::<Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::super::PRESETS;
    use super::*;
    use crate::network::Precision;
    use serde_json::json;

    fn changed(preset: &str, changes: &[(&str, &str)]) -> Result<Recipe> {
        change_typed(&Recipe::preset(preset).unwrap(), changes.iter().copied())
    }

    #[test]
    fn the_table_and_the_recipe_have_the_same_keys() {
        for preset in &PRESETS {
            let value = preset.recipe().to_value();
            for (key, part) in value.as_object().unwrap() {
                match part.as_object() {
                    Some(table) => table
                        .keys()
                        .for_each(|inner| assert!(field(&format!("{key}.{inner}")).is_ok(), "{key}.{inner}")),
                    None => assert!(field(key).is_ok(), "{key}"),
                }
            }
            FIELDS.iter().for_each(|field| field.check(&value).unwrap());
        }
        let mut options: Vec<&str> = FIELDS.iter().map(|field| field.option).collect();
        options.sort_unstable();
        options.dedup();
        assert_eq!(options.len(), FIELDS.len(), "every option once");
    }

    #[test]
    fn a_choice_that_decides_gives_others_their_defaults_unless_it_is_the_same() {
        let recipe = changed("cifar10-resnet9", &[("optimizer.kind", "adamw")]).unwrap();
        assert_eq!(recipe.to_value()["optimizer"], json!({"kind": "adamw", "weight_decay": 0.01}));
        assert_eq!(recipe.learning_rate, 0.001);
        let same = changed("cifar10-resnet9", &[("optimizer.kind", "sgd"), ("optimizer.momentum", "0.5")]).unwrap();
        let expected = json!({"kind": "sgd", "momentum": 0.5, "nesterov": true, "weight_decay": 0.0005});
        assert_eq!((same.to_value()["optimizer"].clone(), same.learning_rate), (expected, 0.2));

        let recipe = changed("cifar10-vgg11", &[("network.width", "0.5"), ("network.name", "resnet9")]).unwrap();
        let expected = json!({"name": "resnet9", "batch_norm": true, "width": 0.5, "dropout": 0.0});
        assert_eq!(recipe.to_value()["network"], expected);
        let recipe = changed("cifar10-vgg11", &[("network.layers", "flatten, linear  classes")]).unwrap();
        assert_eq!(recipe.to_value()["network"], json!({"layers": ["flatten", "linear classes"]}));
        let recipe = change(&recipe, vec![(field("network.name").unwrap(), json!("linear_v1"))]).unwrap();
        assert_eq!(recipe.to_value()["network"], json!({"name": "linear_v1", "batch_norm": true}));
        assert_eq!(changed("cifar10-resnet9", &[("loss", "mse")]).unwrap().label_smoothing, 0.0);
    }

    #[test]
    fn what_does_not_apply_or_fit_is_named() {
        for (changes, words) in [
            (&[("optimizer.kind", "adam"), ("optimizer.momentum", "0.9")][..], "momentum is for the optimizer sgd"),
            (
                &[("network.name", "linear_v0"), ("network.batch_norm", "on")],
                "batch norm is for the network linear_v1, cnn, vgg11",
            ),
            (&[("network.width", "2")], "width is for the network vgg11, vgg16, resnet9, photonet, airbench94"),
            (&[("loss", "mse"), ("label_smoothing", "0.1")], "label smoothing is for the loss ce"),
            (&[("learning_rate", "NaN")], "learning rate is NaN, expected a finite number above 0"),
            (&[("batch_size", "0")], "batch size is 0, expected a whole number from 1 to 4294967295"),
            (&[("fraction", "1.5")], "fraction is 1.5, expected a number above 0 and at most 1"),
            (&[("optimizer.momentum", "1")], "momentum is 1.0, expected a number from 0 to below 1"),
            (&[("network.name", "vgg12")], "unknown network 'vgg12'. Did you mean 'vgg1"),
            (
                &[("network.layers", "flatten, linear classes"), ("network.name", "vgg11")],
                "give network.name or network.layers, not both",
            ),
            (&[("network.layers", "relux")], "Did you mean 'relu'?"),
            (&[("epoch", "3")], "Did you mean 'epochs'?"),
            (&[("schedule", "linear")], "step:SIZE:GAMMA"),
            (&[("network.batch_norm", "maybe")], "batch norm is maybe, expected on or off"),
        ] {
            let error = changed("linear_v1-bn-ce", changes).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(words), "{changes:?}: {error}");
        }
    }

    #[test]
    fn what_is_typed_into_a_form_changes_the_recipe() {
        let adam = changed("linear_v1-bn-ce", &[("optimizer.kind", "adam"), ("epochs", "3")]).unwrap();
        assert_eq!((adam.learning_rate, adam.epochs), (0.001, 3.0));
        assert!(changed("linear_v1-bn-ce", &[("epochs", "many")]).is_err());
        assert!(changed("linear_v1-bn-ce", &[("epoch", "3")]).is_err());
    }

    #[test]
    fn precision_is_a_choice_like_any_other() {
        assert_eq!(changed("linear_v1-bn-ce", &[("precision", "f16")]).unwrap().precision, Precision::F16);
    }
}
