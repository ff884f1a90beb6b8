//! The names of `gpu.rs` in a program for the CPU, of types that have no value.

use burn::tensor::Device;
use tinderbox::compute::DeviceInfo;
use tinderbox::compute::shaders::{Layout, Source, Tile};
use tinderbox::error::{Error, ErrorKind, Result};
use wasm_bindgen::prelude::*;
use web_sys::OffscreenCanvas;

/// A GPU, of which there is none.
pub enum Opened {}

/// Starts none.
pub async fn open() -> Result<(Device, DeviceInfo, Opened)> {
    Err(Error::new(ErrorKind::Device, "this program computes on the CPU: WebGPU is in the other one of the page"))
}

impl Opened {
    /// Gives the GPU up.
    pub fn lose(&self) {
        match *self {}
    }

    /// A canvas to draw on.
    pub fn canvas(&self, _canvas: &OffscreenCanvas) -> std::result::Result<Canvas, JsError> {
        match *self {}
    }
}

/// A canvas that a GPU draws on, of which there is none.
pub enum Canvas {}

impl Canvas {
    /// Shows tiles of images in the memory of the GPU.
    pub fn draw(
        &self,
        _source: &Source,
        _layout: &Layout,
        _tiles: &[Tile],
        _size: [u32; 2],
    ) -> std::result::Result<(), JsError> {
        match *self {}
    }
}
