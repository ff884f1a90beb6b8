//! Images from the device's memory as a grid of tiles in a texture: `shaders/tile_grid.wgsl`.
//!
//! It is drawn through the very wgpu device that burn computes on, so that data set, weights and feature maps need not
//! pass through the host to be seen.

use burn::backend::Wgpu;
use burn::tensor::{Int, Tensor};
use burn_wgpu::{AutoCompiler, CubeBackend, CubeTensor, WgpuResource, into_contiguous};
use cubecl::wgpu::WgpuServer;

use super::grid::{Layout, Tile};
use crate::data::ImageShape;

/// The wgpu device that burn computes on, for drawing beside it.
#[derive(Clone)]
pub struct Gpu {
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
}

impl Gpu {
    /// How many submissions were made to the queue, this one included: asking makes an empty one. None where nobody counts them.
    pub fn submissions(&self) -> Option<u64> {
        if cfg!(target_family = "wasm") {
            return None;
        }
        // The number is told in this way alone.
        let index = format!("{:?}", self.queue.submit([]));
        index.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()
    }
}

/// Images in the device's memory, which stay there while this lives.
pub struct Source {
    resource: WgpuResource,
    /// Keeps the memory from being used for something else.
    _tensor: CubeTensor,
    shape: ImageShape,
    format: Format,
}

/// How values lie in memory.
#[derive(Debug, Clone, Copy)]
enum Format {
    /// Four a word, every image on a word of its own.
    Bytes,
    /// `strides` from image to image and from pixel to pixel; `range` is black and white.
    Floats { strides: [u32; 2], range: [f32; 2] },
}

impl Source {
    /// Bytes `[n, ceil(shape.len() / 4)]`, four a word. `None` if they are not on a wgpu device.
    pub fn packed(words: Tensor<2, Int>, shape: ImageShape) -> Option<Self> {
        let tensor = words.try_into_primitive::<Wgpu>().ok()?;
        let tensor = tensor.client.clone().resolve_tensor_int::<CubeBackend>(tensor);
        Self::new(tensor, shape, Format::Bytes)
    }

    /// Values `[n, shape.len()]`, such as feature maps; `range` is what shows as black and as white.
    pub fn values(values: Tensor<2>, shape: ImageShape, range: [f32; 2]) -> Option<Self> {
        Self::floats(values, shape, [shape.len() as u32, 1], range)
    }

    /// Weights `[shape.len(), n]` of a linear layer: an image for each output.
    pub fn weights(weights: Tensor<2>, shape: ImageShape, range: [f32; 2]) -> Option<Self> {
        let outputs = weights.dims()[1] as u32;
        Self::floats(weights, shape, [1, outputs], range)
    }

    fn floats(values: Tensor<2>, shape: ImageShape, strides: [u32; 2], range: [f32; 2]) -> Option<Self> {
        let tensor = values.try_into_primitive::<Wgpu>().ok()?;
        let tensor = tensor.client.clone().resolve_tensor_float::<CubeBackend>(tensor);
        Self::new(tensor, shape, Format::Floats { strides, range })
    }

    /// Finds the buffer behind a tensor, once all that was asked of it is handed to the queue.
    fn new(tensor: CubeTensor, shape: ImageShape, format: Format) -> Option<Self> {
        let tensor = into_contiguous(tensor);
        tensor.client.flush().ok()?;
        let managed = tensor.client.get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone()).ok()?;
        Some(Self { resource: managed.resource().clone(), _tensor: tensor, shape, format })
    }

    fn uniform(&self, layout: &Layout, tiles: usize) -> Vec<u8> {
        let ImageShape { channels, height, width } = self.shape;
        let (format, strides, range) = match self.format {
            Format::Bytes => (0, [self.shape.len().next_multiple_of(4) as u32, 1], [0.0, 1.0]),
            Format::Floats { strides, range } => (1, strides, range),
        };
        let [channels, height, width] = [channels, height, width].map(|n| n as u32);
        let words = [layout.columns, tiles as u32, layout.tile, layout.gap, channels, height, width, format];
        let rest = [strides[0], strides[1], range[0].to_bits(), range[1].to_bits(), layout.background];
        let padding = [0; 3]; // a uniform is a multiple of 16 bytes
        bytes_of(words.into_iter().chain(rest).chain(padding))
    }
}

fn bytes_of(words: impl Iterator<Item = u32>) -> Vec<u8> {
    words.flat_map(u32::to_ne_bytes).collect()
}

/// Draws grids on one device, into textures of one format.
pub struct TileGrid {
    gpu: Gpu,
    pipeline: wgpu::RenderPipeline,
}

impl TileGrid {
    /// Compiles the shader.
    pub fn new(gpu: &Gpu, format: wgpu::TextureFormat) -> Self {
        let module = gpu.device.create_shader_module(wgpu::include_wgsl!("../../../shaders/tile_grid.wgsl"));
        let stage = wgpu::PipelineCompilationOptions::default();
        let pipeline = gpu.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("tile grid"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vertex"),
                compilation_options: stage.clone(),
                buffers: &[],
            },
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fragment"),
                compilation_options: stage,
                targets: &[Some(format.into())],
            }),
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            multiview_mask: None,
            cache: None,
        });
        Self { gpu: gpu.clone(), pipeline }
    }

    /// Draws `tiles` of `source` into `target`, which should be of [`Layout::size`], and hands that to the queue.
    pub fn draw(&self, source: &Source, layout: &Layout, tiles: &[Tile], target: &wgpu::TextureView) {
        let Gpu { device, queue } = &self.gpu;
        let upload = |label, bytes: &[u8], usage| {
            let usage = usage | wgpu::BufferUsages::COPY_DST;
            let size = bytes.len().max(8) as u64; // no empty binding
            let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
            let buffer = device.create_buffer(&descriptor);
            queue.write_buffer(&buffer, 0, bytes);
            buffer
        };
        let grid = upload("grid", &source.uniform(layout, tiles.len()), wgpu::BufferUsages::UNIFORM);
        let words = bytes_of(tiles.iter().flat_map(|tile| [tile.image, tile.frame]));
        let list = upload("tiles", &words, wgpu::BufferUsages::STORAGE);
        let bind = |binding, resource| wgpu::BindGroupEntry { binding, resource };
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("tile grid"),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[
                bind(0, grid.as_entire_binding()),
                bind(1, source.resource.as_wgpu_bind_resource()),
                bind(2, list.as_entire_binding()),
            ],
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("tile grid"),
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: target,
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                        store: wgpu::StoreOp::Store,
                    },
                })],
                ..Default::default()
            });
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.draw(0..3, 0..1);
        }
        queue.submit([encoder.finish()]);
    }

    /// Draws a grid into pixels on the host, 0xRRGGBB, row by row; waits for the device. The grid's format must be
    /// `Rgba8Unorm`. `None` if the device fails, or allows no texture of this size.
    #[cfg(feature = "native")]
    pub fn picture(&self, source: &Source, layout: &Layout, tiles: &[Tile]) -> Option<Vec<u32>> {
        let Gpu { device, queue } = &self.gpu;
        let [width, height] = layout.size(tiles.len());
        if tiles.is_empty() {
            return Some(Vec::new());
        }
        if width.max(height) > device.limits().max_texture_dimension_2d {
            return None;
        }
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("tile grid"),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        self.draw(source, layout, tiles, &texture.create_view(&wgpu::TextureViewDescriptor::default()));
        let row_bytes = (4 * width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("tile grid"),
            size: u64::from(row_bytes * height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row_bytes), rows_per_image: None };
        let target = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(texture.as_image_copy(), target, size);
        let submission = queue.submit([encoder.finish()]);
        let (done, mapped) = std::sync::mpsc::channel();
        buffer.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            let _ = done.send(result); // nobody waits if the device was lost
        });
        device.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None }).ok()?;
        mapped.recv().ok()?.ok()?;
        let bytes = buffer.slice(..).get_mapped_range().ok()?;
        let rows = bytes.chunks_exact(row_bytes as usize);
        let rgb = |p: &[u8]| u32::from(p[0]) << 16 | u32::from(p[1]) << 8 | u32::from(p[2]);
        Some(rows.flat_map(|row| row[..4 * width as usize].chunks_exact(4).map(rgb)).collect())
    }
}
