//! The canvas of sample images: drawn by the shader where burn computes on WebGPU, else as pixels.

use tinderbox::compute::shaders::{Gpu, Layout, Source, Tile, TileGrid, draw_on_cpu};
use tinderbox::data::Split;
use tinderbox::training::batches::DeviceSplit;
use wasm_bindgen::{Clamped, JsCast, JsError, JsValue};
use web_sys::{ImageData, OffscreenCanvas, OffscreenCanvasRenderingContext2d};

/// A canvas that was handed over by the page.
pub struct Screen {
    canvas: OffscreenCanvas,
    painter: Painter,
}

enum Painter {
    Gpu { gpu: Gpu, surface: wgpu::Surface<'static>, format: wgpu::TextureFormat, grid: TileGrid },
    Cpu(OffscreenCanvasRenderingContext2d),
}

impl Screen {
    /// Draws through `gpu` and its instance and adapter, or as pixels without one.
    pub fn new(canvas: OffscreenCanvas, gpu: Option<(&Gpu, &wgpu::Instance, &wgpu::Adapter)>) -> Result<Self, JsError> {
        let painter = match gpu {
            Some((gpu, instance, adapter)) => {
                let target = wgpu::SurfaceTarget::OffscreenCanvas(canvas.clone());
                let surface = instance.create_surface(target).map_err(|e| JsError::new(&e.to_string()))?;
                // Not an sRGB format: the images' values are shown as they are.
                let formats = surface.get_capabilities(adapter).formats;
                let format = formats.iter().copied().find(|format| !format.is_srgb());
                let format = format.ok_or_else(|| JsError::new("the canvas has no plain colour format"))?;
                Painter::Gpu { gpu: gpu.clone(), surface, format, grid: TileGrid::new(gpu, format) }
            }
            None => {
                let context = canvas.get_context("2d").map_err(readable)?;
                let context = context.and_then(|context| context.dyn_into().ok());
                Painter::Cpu(context.ok_or_else(|| JsError::new("the canvas has no 2D context"))?)
            }
        };
        Ok(Self { canvas, painter })
    }

    /// Whether the shader draws.
    pub fn is_gpu(&self) -> bool {
        matches!(self.painter, Painter::Gpu { .. })
    }

    /// Shows tiles of a split, which is at hand on the host and on the device.
    pub fn draw(&self, split: &Split, on_device: &DeviceSplit, layout: &Layout, tiles: &[Tile]) -> Result<(), JsError> {
        let [width, height] = layout.size(tiles.len()).map(|side| side.max(1));
        if (self.canvas.width(), self.canvas.height()) != (width, height) {
            self.canvas.set_width(width);
            self.canvas.set_height(height);
        }
        match &self.painter {
            Painter::Gpu { gpu, surface, format, grid } => {
                let source: Source = on_device.source().ok_or_else(|| JsError::new("the images are not on the GPU"))?;
                surface.configure(
                    &gpu.device,
                    &wgpu::SurfaceConfiguration {
                        usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
                        format: *format,
                        width,
                        height,
                        present_mode: wgpu::PresentMode::Fifo,
                        desired_maximum_frame_latency: 2,
                        alpha_mode: wgpu::CompositeAlphaMode::Opaque,
                        view_formats: Vec::new(),
                        color_space: Default::default(),
                    },
                );
                let wgpu::CurrentSurfaceTexture::Success(frame) = surface.get_current_texture() else {
                    return Err(JsError::new("the canvas gives no texture"));
                };
                let view = frame.texture.create_view(&wgpu::TextureViewDescriptor::default());
                grid.draw(&source, layout, tiles, &view);
                gpu.queue.present(frame);
            }
            Painter::Cpu(context) => {
                let pixels = draw_on_cpu(split, layout, tiles);
                let bytes: Vec<u8> =
                    pixels.iter().flat_map(|p| [(p >> 16) as u8, (p >> 8) as u8, *p as u8, 255]).collect();
                let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&bytes), width, height);
                context.put_image_data(&image.map_err(readable)?, 0.0, 0.0).map_err(readable)?;
            }
        }
        Ok(())
    }
}

/// What JavaScript threw, as an error to throw on.
fn readable(value: JsValue) -> JsError {
    JsError::new(&format!("{value:?}"))
}
