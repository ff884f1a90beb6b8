//! The thin layer between a page and the library: bytes, numbers and JSON in, bytes, numbers and JSON out.
//!
//! A `Session` is one device with a data set, models and a canvas. It lives in a worker, so that the page stays
//! responsive whatever it computes; `web/worker.js` speaks to it. Errors are strings that a visitor can read.
//! What needs no browser is tested without one: `cargo test --release -p tinderbox -p tinderbox-web --lib`.

#![deny(missing_docs, unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

#[cfg(target_family = "wasm")]
mod control;
#[cfg(target_family = "wasm")]
mod data;
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

use tinderbox::error::Error;
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
