//! The thin layer between a page and the library: bytes, numbers and JSON in, bytes, numbers and JSON out.
//!
//! A `Session` is one device with a data set, models and canvases. It lives in a worker, so that the page stays
//! responsive whatever it computes; `web/page/worker.js` speaks to it. Errors are strings that a visitor can read.
//! What needs no browser is tested without one: `cargo test --release -p tinderbox -p tinderbox-web --lib`.

#![deny(missing_docs, unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

#[cfg(target_family = "wasm")]
mod ask;
#[cfg(target_family = "wasm")]
mod bench;
#[cfg(target_family = "wasm")]
mod control;
#[cfg(target_family = "wasm")]
mod data;
#[cfg(target_family = "wasm")]
#[cfg_attr(not(feature = "gpu"), path = "no_gpu.rs")]
mod gpu;
#[cfg(target_family = "wasm")]
mod look;
#[cfg(target_family = "wasm")]
mod screen;
#[cfg(target_family = "wasm")]
mod session;
#[cfg(target_family = "wasm")]
mod training;
mod words;

#[cfg(target_family = "wasm")]
pub use session::Session;

use std::collections::BTreeMap;

use tinderbox::data::ImageShape;
use tinderbox::error::Error;
use tinderbox::network::layers::KINDS;
use tinderbox::network::{Architecture, Draft};
use tinderbox::recipe::{self, Recipe};
use wasm_bindgen::prelude::*;

/// Lets a fault of the program be read in the browser's console.
#[cfg(target_family = "wasm")]
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// An error of the library, as JavaScript throws it.
fn thrown(e: Error) -> JsError {
    JsError::new(&words::error(&e))
}

/// A value as JSON; everything handed out here is plain data, which JSON always holds.
fn json(value: &impl serde::Serialize) -> Result<String, JsError> {
    serde_json::to_string(value).map_err(|e| JsError::new(&e.to_string()))
}

/// The recipes that a page can offer, as JSON: name, about, recipe.
#[wasm_bindgen]
pub fn presets() -> Result<String, JsError> {
    let presets = recipe::PRESETS.iter();
    let rows = presets.map(|p| serde_json::json!({"name": p.name, "about": p.about, "recipe": p.recipe()}));
    json(&rows.collect::<Vec<_>>())
}

/// The JSON schema of a recipe, which the page makes its form of.
#[wasm_bindgen]
pub fn schema() -> Result<String, JsError> {
    json(&recipe::schema())
}

/// The kinds of layers that a network can be put together of, as JSON: name, about, usage, example.
#[wasm_bindgen]
pub fn layer_kinds() -> Result<String, JsError> {
    json(&KINDS)
}

/// What a network, the JSON of a recipe's, makes of images `[channels, height, width]` with so many classes, layer by layer, as
/// JSON: its layers as text, what comes out of each, and why one does not fit. Layers need not be any that there are.
#[wasm_bindgen]
pub fn draft(network: &str, shape: &[usize], classes: usize) -> Result<String, JsError> {
    let plain = |e: serde_json::Error| JsError::new(&e.to_string());
    let &[channels, height, width] = shape else { return Err(JsError::new("expected channels, height and width")) };
    let network: serde_json::Value = serde_json::from_str(network).map_err(plain)?;
    let layers = match network.get("layers") {
        Some(layers) => serde_json::from_value(layers.clone()).map_err(plain)?,
        None => {
            let named: Architecture = serde_json::from_value(network).map_err(plain)?;
            named.layers().map_err(thrown)?.iter().map(ToString::to_string).collect::<Vec<_>>()
        }
    };
    json(&Draft::new(&layers, ImageShape { channels, height, width }, classes))
}

/// A recipe, JSON, with other values: `changes` is a JSON object of keys such as `optimizer.kind` and what was typed. A
/// choice that decides which other fields apply gives those their defaults.
#[wasm_bindgen]
pub fn change_recipe(recipe: &str, changes: &str) -> Result<String, JsError> {
    let plain = |e: serde_json::Error| JsError::new(&e.to_string());
    let recipe: Recipe = serde_json::from_str(recipe).map_err(plain)?;
    let typed: BTreeMap<String, String> = serde_json::from_str(changes).map_err(plain)?;
    let typed = typed.iter().map(|(key, text)| (key.as_str(), text.as_str()));
    json(&recipe::change_typed(&recipe, typed).map_err(thrown)?)
}
