//! The JSON schema of a recipe (draft 2020-12), which the page makes its form of.

use serde_json::{Map, Value, json};

use super::field::{Applies, Default, Field, FieldKind};
use super::fields::FIELDS;

/// The schema. Beyond the standard a field has `order`, its place in the form; `option`, its name on the command line;
/// `applies`, a key and the values of that key for which it applies; `defaultBy`, a key and its default for each value of
/// that key.
pub fn schema() -> Value {
    let mut properties = Map::new();
    for (order, field) in FIELDS.iter().enumerate() {
        let (table, key) = field.key.split_once('.').map_or((None, field.key), |(table, key)| (Some(table), key));
        let place = match table {
            None => &mut properties,
            Some(table) => {
                let empty = || json!({"type": "object", "additionalProperties": false, "properties": {}});
                let table = properties.entry(table).or_insert_with(empty);
                match table["properties"].as_object_mut() {
                    Some(place) => place,
                    None => continue, // it was just made
                }
            }
        };
        place.insert(key.into(), property(field, order));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of tinderbox",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(field: &Field, order: usize) -> Value {
    let mut property = match &field.kind {
        FieldKind::Text(examples) => json!({"type": "string", "examples": examples}),
        FieldKind::Choice(names) => json!({"enum": names()}),
        FieldKind::Switch => json!({"type": "boolean"}),
        FieldKind::Whole { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        FieldKind::Number { min, max } => {
            let mut number = json!({"type": "number"});
            number[if min.1 { "minimum" } else { "exclusiveMinimum" }] = json!(min.0);
            if max.0.is_finite() {
                number[if max.1 { "maximum" } else { "exclusiveMaximum" }] = json!(max.0);
            }
            number
        }
        FieldKind::Layers => json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
    };
    property["title"] = json!(field.title());
    property["description"] = json!(field.help);
    property["order"] = json!(order);
    property["option"] = json!(field.option);
    match &field.applies {
        Applies::When(key, values) => property["applies"] = json!({"key": key, "values": values()}),
        Applies::Optionally => property["optional"] = json!(true),
        Applies::Without(key) => property["instead"] = json!(key),
        Applies::Always => {}
    }
    match &field.default {
        Default::Preset => {}
        Default::Fixed(value) => property["default"] = value(),
        Default::By(key, value) => {
            let values = FIELDS.iter().find(|other| other.key == *key).map(|other| &other.kind);
            let Some(FieldKind::Choice(names)) = values else { return property };
            let defaults: Map<String, Value> =
                names().into_iter().map(|name| (name.to_string(), value(name))).filter(|(_, v)| !v.is_null()).collect();
            property["defaultBy"] = json!({"key": key, "values": defaults});
        }
    }
    property
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_every_field_with_its_range_default_and_condition() {
        let schema = schema();
        let properties = &schema["properties"];
        let width = &properties["network"]["properties"]["width"];
        assert_eq!(
            (&width["exclusiveMinimum"], &width["maximum"], &width["default"]),
            (&json!(0.0), &json!(16.0), &json!(1.0))
        );
        assert_eq!(
            width["applies"],
            json!({"key": "network.name", "values": ["vgg11", "vgg16", "resnet9", "photonet", "airbench94"]})
        );
        let decay = &properties["optimizer"]["properties"]["weight_decay"];
        assert_eq!(decay["defaultBy"]["values"], json!({"sgd": 0.0, "adam": 0.0, "adamw": 0.01, "muon": 0.0}));
        assert_eq!(properties["learning_rate"]["defaultBy"]["values"]["sgd"], json!(0.1));
        assert_eq!(properties["patience"]["optional"], true);
        let leaves: usize = properties
            .as_object()
            .unwrap()
            .values()
            .map(|p| p["properties"].as_object().map_or(1, |inner| inner.len()))
            .sum();
        assert_eq!(leaves, FIELDS.len());
    }
}
