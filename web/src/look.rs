//! What the inside of a network looks like: the weights of its first layer, and what its layers make of an image. A GPU draws
//! both from its own memory, and nothing is read back.

use burn::tensor::Tensor;
use serde::Serialize;
use tinderbox::compute::read;
use tinderbox::compute::shaders::{Layout, Source, Tile};
use tinderbox::data::{ImageShape, Split};
use tinderbox::network::Model;
use wasm_bindgen::prelude::*;
use web_sys::OffscreenCanvas;

use crate::ask::input;
use crate::screen::Screen;
use crate::session::Session;
use crate::{json, thrown};

/// The most feature maps, neurons or filters that are shown of a layer.
const MOST: usize = 64;
/// Pixels a side of a feature map on the canvas, about.
const SIDE: usize = 56;

/// Pixels a side at most, whatever an image has.
const MOST_SIDE: u32 = 256;
/// Between two tiles, 0xRRGGBB.
const LINES: u32 = 0x3a_3a3a;

/// Layers that follow each other, up to one whose values are worth a look.
#[derive(Serialize)]
struct Stage {
    /// The layers as text.
    layers: String,
    /// What comes out for one image.
    output: String,
    /// Feature maps, or neurons.
    maps: usize,
    /// Of these are shown.
    shown: usize,
    /// Tiles in a row of the canvas.
    columns: u32,
}

#[wasm_bindgen]
impl Session {
    /// The groups of layers of the model at hand that [`look`](Self::look) shows, as JSON, with so many pictures in a row at most.
    pub fn stages(&self, most: u32) -> Result<String, JsError> {
        let model = &self.model(0)?.model;
        let placed: Vec<_> = model.network().placed().collect();
        let stage = |range: std::ops::Range<usize>| {
            let (_, _, output) = placed[range.end - 1];
            let texts: Vec<String> = placed[range].iter().map(|(layer, ..)| layer.to_string()).collect();
            let (maps, shown) = (output.channels(), output.channels().min(MOST));
            Stage { layers: texts.join(", "), output: output.to_string(), maps, shown, columns: columns(shown, most) }
        };
        json(&model.network().stages().into_iter().map(stage).collect::<Vec<_>>())
    }

    /// Takes the canvases that [`look`](Self::look) draws on: one for the weights of the first layer, then one for each of the
    /// [`stages`](Self::stages), with so many pictures in a row at most.
    pub fn take_looks(&self, canvases: Vec<OffscreenCanvas>, most: u32) -> Result<(), JsError> {
        let inside = self.inside();
        inside.in_a_row.set(most);
        let screens = canvases.into_iter().map(|canvas| Screen::new(canvas, inside.gpu.as_ref()));
        *inside.looks.borrow_mut() = screens.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Draws the weights of the first layer and, where there is an image as [`prepare`](Self::prepare) gives it, what each of the
    /// [`stages`](Self::stages) makes of it. Black is the lowest value, or 0 where there is no lower one.
    pub async fn look(&self, pixels: Option<Vec<u8>>) -> Result<(), JsError> {
        let (inside, loaded) = (self.inside(), self.model(0)?);
        let mut pictures = vec![filters(&loaded.model)];
        if let Some(pixels) = pixels {
            let stages = loaded.model.stages(input(&loaded, &pixels, &inside.device)?);
            pictures.extend(stages.into_iter().map(|values| {
                let maps = values.maps().swap_dims(0, 1);
                Some(maps)
            }));
        }
        for (i, picture) in pictures.into_iter().enumerate() {
            let Some(picture) = picture else { continue };
            let [n, channels, height, width] = picture.dims();
            let (shape, shown) = (ImageShape { channels, height, width }, n.min(MOST));
            let values = full_contrast(picture.narrow(0, 0, shown).reshape([shown, shape.len()]));
            // Taken from a GPU's memory, or read, before the canvases are borrowed: nothing is awaited while they are.
            let source = Source::values(values.clone(), shape, [0.0, 1.0]);
            let split = match source {
                Some(_) => None,
                None => Some(as_images(values, shape).await?),
            };
            let looks = inside.looks.borrow();
            let Some(screen) = looks.get(i) else { break }; // another model since the canvases were made
            let tile = ((height * (SIDE / height).max(1)) as u32).clamp(8, MOST_SIDE);
            let layout = Layout {
                columns: columns(shown, inside.in_a_row.get()),
                tile,
                gap: if height > 1 { 4 } else { 2 },
                background: LINES,
            };
            let tiles: Vec<Tile> = (0..shown as u32).map(|image| Tile { image, frame: LINES }).collect();
            match (source, split) {
                (Some(source), _) => screen.draw_source(&source, &layout, &tiles)?,
                (None, Some(split)) => screen.draw_split(&split, &layout, &tiles)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// What the layer at a position of the model at hand makes of an image: for tests. Count, channels (1), height and width,
    /// then the values of the maps; a vector is maps of one pixel.
    pub async fn activations(&self, pixels: &[u8], layer: usize) -> Result<Vec<f32>, JsError> {
        let loaded = self.model(0)?;
        let maps =
            loaded.model.activation(input(&loaded, pixels, &self.inside().device)?, layer).maps().swap_dims(0, 1);
        let shape = maps.dims();
        let values = read(maps.flatten::<1>(0, 3)).await.map_err(thrown)?;
        Ok(shape.into_iter().map(|n| n as f32).chain(values).collect())
    }
}

/// Tiles in a row, so that few make one row, and more make rows of one length, or nearly so.
fn columns(tiles: usize, most: u32) -> u32 {
    let (tiles, most) = (tiles.max(1) as u32, most.max(1));
    tiles.div_ceil(tiles.div_ceil(most))
}

/// The weights of the first layer that has some: filters of three channels in colour, of others the first channel.
fn filters(model: &Model) -> Option<Tensor<4>> {
    let filters = model.first_filters()?;
    let channels = filters.dims()[1];
    Some(if channels == 3 { filters } else { filters.narrow(1, 0, 1) })
}

/// Values `[n, pixels]` from 0 to 1: 0 is the lowest of all, or 0 where there is no lower one, and 1 the highest.
fn full_contrast(values: Tensor<2>) -> Tensor<2> {
    let low = values.clone().min().clamp_max(0.0).unsqueeze::<2>();
    let high = values.clone().max().unsqueeze::<2>();
    let range = (high - low.clone()).clamp_min(1e-6);
    (values - low) / range
}

async fn as_images(values: Tensor<2>, shape: ImageShape) -> Result<Split, JsError> {
    let n = values.dims()[0];
    let values = read(values.flatten::<1>(0, 1)).await.map_err(thrown)?;
    Ok(Split { pixels: values.iter().map(|value| (255.0 * value) as u8).collect(), labels: vec![0; n], shape })
}
