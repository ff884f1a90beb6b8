//! What models say of images: of one that somebody drew or opened, and of all test images.

use std::sync::atomic::AtomicUsize;

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use image::{DynamicImage, RgbaImage};
use tinderbox::compute::{LossKind, read};
use tinderbox::data::picture::to_model_input;
use tinderbox::data::pictures::shape_of;
use tinderbox::data::{ImageShape, Preprocessing};
use tinderbox::recipe::Views;
use tinderbox::training::batches::one_image;
use tinderbox::training::metrics::{Measure, evaluate_with};
use tinderbox::weights::Metadata;
use wasm_bindgen::prelude::*;

use crate::session::{Loaded, Session};
use crate::thrown;
use crate::training::Turns;

/// What a model says of all test images.
#[wasm_bindgen(getter_with_clone)]
pub struct Classified {
    /// Share of the images whose class it recognizes, in percent.
    pub accuracy: f64,
    /// The most probable class of every image.
    pub classes: Vec<u16>,
    /// The probability of that class, for every image.
    pub confidences: Vec<f32>,
}

#[wasm_bindgen]
impl Session {
    /// What the model at hand says of all test images. Calls `tell(json)` with `{measured, images}`, and `turn()`, which returns a
    /// promise, whenever the worker should look at its messages.
    pub async fn classify(&self, tell: js_sys::Function, turn: js_sys::Function) -> Result<Classified, JsError> {
        let (loaded, data) = (self.model(0)?, self.data()?);
        check_shape(&loaded, data.dataset.shape())?;
        let classes = loaded.manifest.metadata.classes.len().max(data.dataset.classes.len());
        let never = AtomicUsize::new(0);
        let how = Measure { loss: LossKind::Ce, classes, batch_size: 250, views: Views::Plain, ranks: None };
        let mut turns = Turns::new(self.inside(), tell, turn);
        let found = evaluate_with(&mut turns, &loaded.model, &data.test, how, &never).await.map_err(thrown)?;
        Ok(Classified { accuracy: found.accuracy, classes: found.predictions, confidences: found.confidences })
    }

    /// The bytes that the model in a place would see of an RGBA image, channel by channel.
    pub fn prepare(&self, place: u32, rgba: Vec<u8>, width: u32, height: u32) -> Result<Vec<u8>, JsError> {
        let loaded = self.model(place)?;
        let Metadata { shape, preprocessing, .. } = &loaded.manifest.metadata;
        prepared(rgba, width, height, *shape, *preprocessing)
    }

    /// An RGBA image as a data set of own pictures holds it: see [`load_pictures`](Self::load_pictures).
    pub fn picture(&self, rgba: Vec<u8>, width: u32, height: u32) -> Result<Vec<u8>, JsError> {
        prepared(rgba, width, height, shape_of(true), Preprocessing::Picture)
    }

    /// A test image, channel by channel.
    pub fn test_image(&self, index: usize) -> Result<Vec<u8>, JsError> {
        let data = self.data()?;
        let image = data.dataset.test.image(index);
        image.map(<[u8]>::to_vec).ok_or_else(|| JsError::new(&format!("there is no test image {index}")))
    }

    /// Asks the model in a place about one image, as [`prepare`](Self::prepare) gives it: probabilities, one a class.
    pub async fn predict(&self, place: u32, pixels: &[u8]) -> Result<Vec<f32>, JsError> {
        let loaded = self.model(place)?;
        let (model, device) = loaded.for_one_image(&self.inside().device).await?;
        let input = input(&loaded, pixels, &device)?;
        read(softmax(model.forward(input), 1).flatten(0, 1)).await.map_err(thrown)
    }
}

/// One image for a model, `[1, channels, height, width]`, on a device.
pub(crate) fn input(loaded: &Loaded, pixels: &[u8], device: &Device) -> Result<Tensor<4>, JsError> {
    let shape = loaded.manifest.metadata.shape;
    if pixels.len() != shape.len() {
        let name = &loaded.manifest.name;
        let message =
            format!("{name} takes images of {shape}: expected {} values, found {}", shape.len(), pixels.len());
        return Err(JsError::new(&message));
    }
    Ok(one_image(pixels, shape, device))
}

fn prepared(rgba: Vec<u8>, width: u32, height: u32, shape: ImageShape, of: Preprocessing) -> Result<Vec<u8>, JsError> {
    let picture = RgbaImage::from_raw(width, height, rgba).filter(|picture| picture.width() * picture.height() > 0);
    let picture = picture.ok_or_else(|| JsError::new("the image is empty"))?;
    to_model_input(&DynamicImage::ImageRgba8(picture), shape, of).map_err(thrown)
}

fn check_shape(loaded: &Loaded, found: ImageShape) -> Result<(), JsError> {
    let expected = loaded.manifest.metadata.shape;
    if expected == found {
        return Ok(());
    }
    Err(JsError::new(&format!("{} takes images of {}, these are {}", loaded.manifest.name, expected, found)))
}
