//! Canvases that the page handed over: drawn on by the shader where burn computes on WebGPU, else as pixels.

use tinderbox::compute::shaders::{Layout, Source, Tile, draw_on_cpu};
use tinderbox::data::Split;
use wasm_bindgen::prelude::*;
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{ImageData, OffscreenCanvas, OffscreenCanvasRenderingContext2d};

use crate::gpu::{Canvas, Opened};
use crate::session::Session;

/// A canvas that was handed over by the page.
pub struct Screen {
    canvas: OffscreenCanvas,
    painter: Painter,
}

enum Painter {
    Gpu(Canvas),
    Cpu(OffscreenCanvasRenderingContext2d),
}

impl Screen {
    /// Draws through `gpu`, or as pixels without one.
    pub fn new(canvas: OffscreenCanvas, gpu: Option<&Opened>) -> Result<Self, JsError> {
        let painter = match gpu {
            Some(gpu) => Painter::Gpu(gpu.canvas(&canvas)?),
            None => {
                let context = canvas.get_context("2d").map_err(readable)?;
                let context = context.and_then(|context| context.dyn_into().ok());
                Painter::Cpu(context.ok_or_else(|| JsError::new("the canvas has no 2D context"))?)
            }
        };
        Ok(Self { canvas, painter })
    }

    /// Shows tiles of images in the memory of the GPU that draws.
    pub fn draw_source(&self, source: &Source, layout: &Layout, tiles: &[Tile]) -> Result<(), JsError> {
        let size = self.resize(layout, tiles);
        let Painter::Gpu(canvas) = &self.painter else {
            return Err(JsError::new("the images are on a GPU, which does not draw"));
        };
        canvas.draw(source, layout, tiles, size)
    }

    /// Shows tiles of images in the memory of the host, which draws.
    pub fn draw_split(&self, split: &Split, layout: &Layout, tiles: &[Tile]) -> Result<(), JsError> {
        let [width, height] = self.resize(layout, tiles);
        let Painter::Cpu(context) = &self.painter else { return Err(JsError::new("the images are not on the GPU")) };
        let pixels = draw_on_cpu(split, layout, tiles);
        let bytes: Vec<u8> = pixels.iter().flat_map(|p| [(p >> 16) as u8, (p >> 8) as u8, *p as u8, 255]).collect();
        let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&bytes), width, height);
        context.put_image_data(&image.map_err(readable)?, 0.0, 0.0).map_err(readable)
    }

    /// Gives the canvas the size of a grid, and returns it.
    fn resize(&self, layout: &Layout, tiles: &[Tile]) -> [u32; 2] {
        let [width, height] = layout.size(tiles.len()).map(|side| side.max(1));
        if (self.canvas.width(), self.canvas.height()) != (width, height) {
            self.canvas.set_width(width);
            self.canvas.set_height(height);
        }
        [width, height]
    }
}

#[wasm_bindgen]
impl Session {
    /// Takes the canvas that [`draw`](Self::draw) draws on. True if the shader does.
    pub fn take_canvas(&self, canvas: OffscreenCanvas) -> Result<bool, JsError> {
        let screen = Screen::new(canvas, self.inside().gpu.as_ref())?;
        let is_gpu = matches!(screen.painter, Painter::Gpu(_));
        *self.inside().screen.borrow_mut() = Some(screen);
        Ok(is_gpu)
    }

    /// Draws these test images as a grid, each in a frame of a colour 0xRRGGBB.
    pub fn draw(
        &self,
        images: &[u32],
        frames: &[u32],
        columns: u32,
        tile: u32,
        gap: u32,
        background: u32,
    ) -> Result<(), JsError> {
        let (inside, data) = (self.inside(), self.data()?);
        let screen = inside.screen.borrow();
        let screen = screen.as_ref().ok_or_else(|| JsError::new("there is no canvas"))?;
        let layout = Layout { columns: columns.max(1), tile: tile.max(1), gap, background };
        let test = &data.dataset.test;
        let within = images.iter().zip(frames).filter(|(image, _)| (**image as usize) < test.len());
        let tiles: Vec<Tile> = within.map(|(&image, &frame)| Tile { image, frame }).collect();
        match data.test.source() {
            Some(source) => screen.draw_source(&source, &layout, &tiles),
            None => screen.draw_split(test, &layout, &tiles),
        }
    }
}

/// What JavaScript threw, as an error to throw on.
fn readable(value: JsValue) -> JsError {
    JsError::new(&format!("{value:?}"))
}
