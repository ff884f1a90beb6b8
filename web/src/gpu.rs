//! WebGPU: the adapter that the browser chooses, and canvases that it draws on.

use std::rc::Rc;
use std::sync::Arc;

use burn::tensor::Device;
use burn_wgpu::WgpuSetup;
use tinderbox::compute::shaders::{Gpu, Layout, Source, Tile, TileGrid};
use tinderbox::compute::{DeviceInfo, open_browser};
use tinderbox::error::Result;
use wasm_bindgen::prelude::*;
use web_sys::OffscreenCanvas;

/// The GPU that burn computes on.
pub struct Opened {
    setup: WgpuSetup,
    /// What draws, and in which format: made with the first canvas, and the same for all.
    grid: std::cell::OnceCell<(Rc<TileGrid>, wgpu::TextureFormat)>,
}

/// Starts it.
pub async fn open() -> Result<(Device, DeviceInfo, Opened)> {
    let (device, info, setup) = open_browser().await?;
    setup.device.set_device_lost_callback(|_, reason| tell_lost(&reason));
    // burn's own handler panics, which in a page ends the worker; whether results are right all the same is what
    // the comparison with the CPU finds out.
    setup.device.on_uncaptured_error(Arc::new(|e| warn(&e.to_string())));
    Ok((device, info, Opened { setup, grid: std::cell::OnceCell::new() }))
}

impl Opened {
    /// Gives the GPU up, as if it were lost.
    pub fn lose(&self) {
        self.setup.device.destroy();
    }

    /// A canvas to draw on.
    pub fn canvas(&self, canvas: &OffscreenCanvas) -> std::result::Result<Canvas, JsError> {
        let target = wgpu::SurfaceTarget::OffscreenCanvas(canvas.clone());
        let surface = self.setup.instance.create_surface(target).map_err(|e| JsError::new(&e.to_string()))?;
        let gpu = Gpu { device: self.setup.device.clone(), queue: self.setup.queue.clone() };
        if self.grid.get().is_none() {
            // Not an sRGB format: the images' values are shown as they are.
            let formats = surface.get_capabilities(&self.setup.adapter).formats;
            let format = formats.iter().copied().find(|format| !format.is_srgb());
            let format = format.ok_or_else(|| JsError::new("the canvas has no plain colour format"))?;
            let _ = self.grid.set((Rc::new(TileGrid::new(&gpu, format)), format)); // it was empty
        }
        let made = self.grid.get().cloned();
        let (grid, format) = made.ok_or_else(|| JsError::new("nothing draws on the canvas"))?;
        Ok(Canvas { gpu, surface, format, grid })
    }
}

/// A canvas, and what draws on it.
pub struct Canvas {
    gpu: Gpu,
    surface: wgpu::Surface<'static>,
    format: wgpu::TextureFormat,
    grid: Rc<TileGrid>,
}

impl Canvas {
    /// Shows tiles of images in the memory of the GPU, on a canvas of that size.
    pub fn draw(
        &self,
        source: &Source,
        layout: &Layout,
        tiles: &[Tile],
        [width, height]: [u32; 2],
    ) -> std::result::Result<(), JsError> {
        self.surface.configure(
            &self.gpu.device,
            &wgpu::SurfaceConfiguration {
                usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
                format: self.format,
                width,
                height,
                present_mode: wgpu::PresentMode::Fifo,
                desired_maximum_frame_latency: 2,
                alpha_mode: wgpu::CompositeAlphaMode::Opaque,
                view_formats: Vec::new(),
                color_space: Default::default(),
            },
        );
        let wgpu::CurrentSurfaceTexture::Success(frame) = self.surface.get_current_texture() else {
            return Err(JsError::new("the canvas gives no texture"));
        };
        let view = frame.texture.create_view(&wgpu::TextureViewDescriptor::default());
        self.grid.draw(source, layout, tiles, &view);
        self.gpu.queue.present(frame);
        Ok(())
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn warn(text: &str);
}

/// Tells the worker through its function `deviceLost`: a callback of wgpu may hold nothing of JavaScript.
fn tell_lost(reason: &str) {
    let told = js_sys::Reflect::get(&js_sys::global(), &"deviceLost".into());
    if let Some(told) = told.ok().and_then(|told| told.dyn_into::<js_sys::Function>().ok()) {
        let _ = told.call1(&JsValue::NULL, &reason.into()); // nobody listens in a worker that was ended
    }
}
