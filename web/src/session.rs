//! One device with a data set, a model and a canvas.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use image::{DynamicImage, RgbaImage};
use js_sys::Uint8Array;
use serde::{Deserialize, Serialize};
use tinderbox::bench::{self, Effort, Machine, Progress, Report, Row, SCHEMA, Tool};
use tinderbox::compute::shaders::{Gpu, Layout, Tile};
use tinderbox::compute::{DeviceInfo, Devices, LossKind, cpu_info, open_browser, read};
use tinderbox::data::picture::to_model_input;
use tinderbox::data::{Dataset, Identity, ImageShape, Origin};
use tinderbox::error::Error;
use tinderbox::network::{Model, flat};
use tinderbox::recipe::Views;
use tinderbox::training::batches::{DeviceSplit, one_image};
use tinderbox::training::metrics::{Measure, evaluate};
use tinderbox::training::verify;
use tinderbox::weights::{self, Metadata};
use wasm_bindgen::prelude::*;
use web_sys::OffscreenCanvas;

use crate::control::Control;
use crate::screen::Screen;
use crate::{data, json, thrown, words};

/// What is inside, shared by whatever runs at the same time.
pub(crate) struct Inside {
    pub device: Device,
    pub info: DeviceInfo,
    gpu: Option<(Gpu, burn_wgpu::WgpuSetup)>,
    pub data: RefCell<Option<Rc<Data>>>,
    /// The model at hand, and those beside it.
    pub models: RefCell<BTreeMap<u32, Rc<Loaded>>>,
    screen: RefCell<Option<Screen>>,
    pub control: Control,
    pub busy: Cell<bool>,
}

/// A data set, on the host and where the model runs.
pub(crate) struct Data {
    pub dataset: Arc<Dataset>,
    pub identity: Identity,
    test: DeviceSplit,
}

/// A network with its weights and what they are of.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub manifest: Manifest,
    pub model: Model,
}

/// The manifest of a model: its weights' own, and what the page adds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub name: String,
    #[serde(flatten)]
    pub metadata: Metadata,
    /// On the test set, in percent, if known.
    #[serde(default)]
    pub accuracy: Option<f64>,
    /// SHA-256 of the weights, checked by the page, if known.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// One device with a data set, models and a canvas.
#[wasm_bindgen]
pub struct Session {
    inside: Rc<Inside>,
}

#[wasm_bindgen]
impl Session {
    /// Starts `webgpu` or `cpu`.
    pub async fn open(kind: String) -> Result<Session, JsError> {
        let (device, info, gpu) = if kind == "webgpu" {
            let (device, info, setup) = open_browser().await.map_err(thrown)?;
            setup.device.set_device_lost_callback(|_, reason| tell_lost(&reason));
            // burn's own handler panics, which in a page ends the worker; whether results are right all the same is what
            // the comparison with the CPU finds out.
            setup.device.on_uncaptured_error(std::sync::Arc::new(|e| warn(&e.to_string())));
            let gpu = Gpu { device: setup.device.clone(), queue: setup.queue.clone() };
            (device, info, Some((gpu, setup)))
        } else {
            (Device::flex(), cpu_info(), None)
        };
        let inside = Inside {
            device,
            info,
            gpu,
            data: RefCell::default(),
            models: RefCell::default(),
            screen: RefCell::default(),
            control: Control::default(),
            busy: Cell::new(false),
        };
        Ok(Session { inside: Rc::new(inside) })
    }

    /// What the device is, as JSON.
    pub fn device(&self) -> Result<String, JsError> {
        json(&self.inside.info)
    }

    /// Compares this device with the CPU; as JSON: the `checks`, and whether steps are `replayed`. On the CPU there is nothing to
    /// compare.
    ///
    /// # Errors
    /// The device computes wrongly, or failed.
    pub async fn verify(&self) -> Result<String, JsError> {
        let found = verify(&self.inside.device).await.map_err(thrown)?;
        found.refuse(&self.inside.info.name).map_err(thrown)?;
        json(&found)
    }

    /// Takes a data set from its uncompressed files: MNIST's four, CIFAR-10's `.bin` files, or its archive. What it is, as
    /// JSON. One that nobody knows is called `name`.
    pub fn load_data(&self, name: &str, names: Vec<String>, files: Vec<Uint8Array>) -> Result<String, JsError> {
        let dataset = Arc::new(data::parse(names, &files).map_err(thrown)?);
        let identity = Identity::recognize(&dataset, name);
        let info = dataset.info(&Origin::Memory);
        let test = DeviceSplit::new(&dataset.test, &self.inside.device);
        let described = serde_json::json!({
            "identity": identity, "shape": info.shape, "classes": info.classes,
            "train_images": info.train_images, "test_images": info.test_images,
        });
        *self.inside.data.borrow_mut() = Some(Rc::new(Data { dataset, identity, test }));
        json(&described)
    }

    /// Labels of the test images.
    pub fn test_labels(&self) -> Result<Vec<u8>, JsError> {
        Ok(self.data()?.dataset.test.labels.clone())
    }

    /// What a file of weights, safetensors or burnpack, says of itself: its manifest as JSON.
    pub fn read_weights(&self, name: String, bytes: &[u8]) -> Result<String, JsError> {
        let metadata =
            weights::read_metadata(bytes).map_err(|e| JsError::new(&format!("{name} {}", words::error(&e))))?;
        json(&Manifest { name, metadata, accuracy: None, sha256: None })
    }

    /// Takes weights and their manifest: in place 0 they are the model at hand, else one beside it.
    pub fn load_model(&self, place: u32, manifest: &str, bytes: Vec<u8>) -> Result<String, JsError> {
        let manifest: Manifest = serde_json::from_str(manifest).map_err(|e| JsError::new(&e.to_string()))?;
        let named = |e: Error| JsError::new(&format!("{}: {}", manifest.name, words::error(&e)));
        manifest.metadata.check().map_err(named)?;
        let model = weights::load(&manifest.metadata, bytes, &self.inside.device).map_err(named)?;
        let text = json(&manifest)?;
        self.inside.models.borrow_mut().insert(place, Rc::new(Loaded { manifest, model }));
        Ok(text)
    }

    /// Gives up the models beside the one at hand.
    pub fn drop_others(&self) {
        self.inside.models.borrow_mut().retain(|&place, _| place == 0);
    }

    /// The weights at hand as the bytes of a safetensors file, which the native program reads too.
    pub async fn save_model(&self) -> Result<Vec<u8>, JsError> {
        let loaded = self.model(0)?;
        let metadata = &loaded.manifest.metadata;
        let on_cpu = metadata.model(&Device::flex()).map_err(thrown)?;
        let on_cpu = flat::copy(&loaded.model, on_cpu).await.map_err(thrown)?;
        weights::to_bytes(&on_cpu, &metadata.to_json()).map_err(thrown)
    }

    /// The manifest of the model at hand, as JSON.
    pub fn about(&self) -> Result<String, JsError> {
        json(&self.model(0)?.manifest)
    }

    /// Takes the canvas that [`draw`](Self::draw) draws on. True if the shader does.
    pub fn take_canvas(&self, canvas: OffscreenCanvas) -> Result<bool, JsError> {
        let gpu = self.inside.gpu.as_ref().map(|(gpu, setup)| (gpu, &setup.instance, &setup.adapter));
        let screen = Screen::new(canvas, gpu)?;
        let is_gpu = screen.is_gpu();
        *self.inside.screen.borrow_mut() = Some(screen);
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
        let data = self.data()?;
        let screen = self.inside.screen.borrow();
        let screen = screen.as_ref().ok_or_else(|| JsError::new("there is no canvas"))?;
        let layout = Layout { columns: columns.max(1), tile: tile.max(1), gap, background };
        let test = &data.dataset.test;
        let within = images.iter().zip(frames).filter(|(image, _)| (**image as usize) < test.len());
        let tiles: Vec<Tile> = within.map(|(&image, &frame)| Tile { image, frame }).collect();
        screen.draw(test, &data.test, &layout, &tiles)
    }

    /// The classes that the model at hand gives all test images, one byte each, after their accuracy as a percentage.
    pub async fn classify(&self) -> Result<Vec<f32>, JsError> {
        let (loaded, data) = (self.model(0)?, self.data()?);
        self.check_shape(&loaded, data.dataset.shape())?;
        let classes = loaded.manifest.metadata.classes.len().max(data.dataset.classes.len());
        let never = AtomicUsize::new(0);
        let how = Measure { loss: LossKind::Ce, classes, batch_size: 250, views: Views::Plain };
        let found = evaluate(&loaded.model, &data.test, how, &never).await.map_err(thrown)?;
        let accuracy = std::iter::once(found.accuracy as f32);
        Ok(accuracy.chain(found.predictions.iter().map(|&class| f32::from(class))).collect())
    }

    /// The bytes that the model in a place would see of an RGBA image, channel by channel.
    pub fn prepare(&self, place: u32, rgba: Vec<u8>, width: u32, height: u32) -> Result<Vec<u8>, JsError> {
        let loaded = self.model(place)?;
        let Metadata { shape, preprocessing, .. } = &loaded.manifest.metadata;
        let picture = RgbaImage::from_raw(width, height, rgba).filter(|picture| picture.width() * picture.height() > 0);
        let picture = picture.ok_or_else(|| JsError::new("the image is empty"))?;
        to_model_input(&DynamicImage::ImageRgba8(picture), *shape, *preprocessing).map_err(thrown)
    }

    /// Asks the model in a place about one image, as [`prepare`](Self::prepare) gives it: probabilities, one a class.
    pub async fn predict(&self, place: u32, pixels: &[u8]) -> Result<Vec<f32>, JsError> {
        let loaded = self.model(place)?;
        let input = self.input(&loaded, pixels)?;
        read(softmax(loaded.model.forward(input), 1).flatten(0, 1)).await.map_err(thrown)
    }

    /// What the first hidden layer of the model at hand answers to an image: count, channels (1), height and width, then
    /// the values of the maps. No maps without a hidden layer.
    pub async fn responses(&self, pixels: &[u8]) -> Result<Vec<f32>, JsError> {
        match self.model(0)?.model.network().first_hidden() {
            Some(layer) => self.activations(pixels, layer).await,
            None => Ok(vec![0.0; 4]),
        }
    }

    /// What the layer at a position of the model at hand makes of an image, in the same form; a vector is maps of one pixel.
    pub async fn activations(&self, pixels: &[u8], layer: usize) -> Result<Vec<f32>, JsError> {
        let loaded = self.model(0)?;
        let maps = loaded.model.activation(self.input(&loaded, pixels)?, layer).maps();
        images(maps.swap_dims(0, 1)).await
    }

    /// The weights of the first layer that has some, in the same form, one image a neuron or filter.
    pub async fn filters(&self) -> Result<Vec<f32>, JsError> {
        match self.model(0)?.model.first_filters() {
            Some(filters) => images(filters).await,
            None => Ok(vec![0.0; 4]),
        }
    }

    /// Gives the GPU up, as if it were lost: for tests.
    pub fn lose(&self) {
        if let Some((gpu, _)) = &self.inside.gpu {
            gpu.device.destroy();
        }
    }

    /// Benchmarks this device, calling `tell(name, median, unit)` after each measurement; the report as JSON.
    pub async fn bench(
        &self,
        browser: String,
        threads: usize,
        date: String,
        tell: js_sys::Function,
    ) -> Result<String, JsError> {
        let data = self.data()?;
        let effort = Effort { quick: true, repeats: 5, software: true };
        let devices = Devices::one(self.inside.device.clone(), self.inside.info.clone());
        let mut measurements = Vec::new();
        let measured = bench::measure(&devices, None, effort, &data.dataset, None, &mut |progress| {
            if let Progress::Done(m) = progress {
                let _ = tell.call3(&JsValue::NULL, &(&m.name).into(), &m.median.into(), &(&m.unit).into());
                measurements.push(m);
            }
        })
        .await;
        let (warmup_seconds, failed) =
            measured.map_or_else(|e| (0.0, Some(words::error(&e))), |seconds| (seconds, None));
        let (name, device) = (self.inside.info.name.clone(), self.inside.info.clone());
        let row = Row { name, device, failed, warmup_seconds, tuned: 0, measurements };
        json(&Report {
            schema: SCHEMA.into(),
            tool: Tool::this(),
            machine: Machine { os: browser, cpu: "in a browser".into(), threads },
            date,
            quick: true,
            rows: vec![row],
        })
    }
}

impl Session {
    pub(crate) fn inside(&self) -> Rc<Inside> {
        Rc::clone(&self.inside)
    }

    fn data(&self) -> Result<Rc<Data>, JsError> {
        self.inside.data.borrow().clone().ok_or_else(|| JsError::new("there is no data set yet"))
    }

    fn model(&self, place: u32) -> Result<Rc<Loaded>, JsError> {
        self.inside.models.borrow().get(&place).cloned().ok_or_else(|| JsError::new("there is no model yet"))
    }

    fn check_shape(&self, loaded: &Loaded, found: ImageShape) -> Result<(), JsError> {
        let expected = loaded.manifest.metadata.shape;
        if expected == found {
            return Ok(());
        }
        Err(JsError::new(&format!("{} takes images of {}, these are {}", loaded.manifest.name, expected, found)))
    }

    fn input(&self, loaded: &Loaded, pixels: &[u8]) -> Result<Tensor<4>, JsError> {
        let shape = loaded.manifest.metadata.shape;
        if pixels.len() != shape.len() {
            let message = format!("expected {} values of an image, found {}", shape.len(), pixels.len());
            return Err(JsError::new(&message));
        }
        Ok(one_image(pixels, shape, &self.inside.device))
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

/// Images `[n, c, h, w]`: their shape, then their values.
async fn images(images: Tensor<4>) -> Result<Vec<f32>, JsError> {
    let shape = images.dims();
    let values = read(images.flatten::<1>(0, 3)).await.map_err(thrown)?;
    Ok(shape.into_iter().map(|n| n as f32).chain(values).collect())
}
