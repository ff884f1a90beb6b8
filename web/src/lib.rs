//! The thin layer between a page and the library: bytes, numbers and JSON in, bytes, numbers and JSON out.
//!
//! A [`Lab`] is one device with a data set, a model and a canvas. It lives in a worker, so that the page stays
//! responsive whatever it computes; `web/worker.js` speaks to it. Errors are strings that a visitor can read.

mod data;
mod lab;
mod screen;
mod training;

pub use lab::Lab;

use wasm_bindgen::prelude::*;

/// Lets a fault of the program be read in the browser's console.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// An error of the library, as JavaScript throws it.
fn thrown(e: impl std::fmt::Display) -> JsError {
    JsError::new(&e.to_string())
}

/// A value as JSON; everything handed out here is plain data, which JSON always holds.
fn json(value: &impl serde::Serialize) -> Result<String, JsError> {
    serde_json::to_string(value).map_err(thrown)
}

/// The recipes that a page can offer, as JSON: name, about, recipe.
#[wasm_bindgen]
pub fn presets() -> Result<String, JsError> {
    let presets = tinderbox::recipe::PRESETS.iter();
    let rows = presets.map(|p| serde_json::json!({"name": p.name, "about": p.about, "recipe": p.recipe()}));
    json(&rows.collect::<Vec<_>>())
}
