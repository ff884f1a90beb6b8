//! One device with a data set, a model and a canvas.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use image::{DynamicImage, RgbaImage};
use js_sys::Uint8Array;
use serde::{Deserialize, Serialize};
use tinderbox::batches::{DeviceSplit, one_image};
use tinderbox::bench::{self, Machine, Plan, Report, Row, SCHEMA, Told, Tool};
use tinderbox::dataset::{Dataset, ImageShape, Split};
use tinderbox::device::{DeviceInfo, cpu_info};
use tinderbox::gpu::{Gpu, Layout, Tile};
use tinderbox::metrics::{evaluate, read};
use tinderbox::model::Model;
use tinderbox::optimizer::Optimizer;
use tinderbox::picture::{Kind, to_model_input};
use tinderbox::recipe::{Augment, LossKind, Recipe};
use tinderbox::weights::{self, About};
use wasm_bindgen::prelude::*;
use web_sys::OffscreenCanvas;

use crate::screen::Screen;
use crate::training::Control;
use crate::{data, json, thrown};

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
    pub dataset: Dataset,
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
    pub about: About,
    /// On the test set, in percent, if known.
    #[serde(default)]
    pub accuracy: Option<f64>,
    /// SHA-256 of the weights, checked by the page, if known.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// See the module.
#[wasm_bindgen]
pub struct Lab {
    inside: Rc<Inside>,
}

#[wasm_bindgen]
impl Lab {
    /// Starts `webgpu` or `cpu`.
    pub async fn open(kind: String) -> Result<Lab, JsError> {
        let (device, info, gpu) = if kind == "webgpu" {
            let (device, info, setup) = tinderbox::device::open_browser().await.map_err(thrown)?;
            setup.device.set_device_lost_callback(|_, reason| tell_lost(&reason));
            // burn's own handler panics, which in a page ends the worker; whether results are right all the same is what
            // the self-test finds out.
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
        Ok(Lab { inside: Rc::new(inside) })
    }

    /// What the device is, as JSON.
    pub fn device(&self) -> Result<String, JsError> {
        json(&self.inside.info)
    }

    /// Compares this device with the CPU, shaders of our own included; as JSON: `passed`, `difference`. On the CPU there
    /// is nothing to compare.
    pub async fn self_test(&self) -> Result<String, JsError> {
        let difference = self_test(&self.inside.device).await.map_err(thrown)?;
        let passed = difference < 1e-3;
        json(&serde_json::json!({"passed": passed, "difference": difference}))
    }

    /// Takes a data set from its uncompressed files: MNIST's four, CIFAR-10's `.bin` files, or its archive. What it is, as
    /// JSON.
    pub fn load_data(&self, name: &str, names: Vec<String>, files: Vec<Uint8Array>) -> Result<String, JsError> {
        let dataset = data::parse(names, &files).map_err(thrown)?;
        let about = dataset.info(name);
        let test = DeviceSplit::new(&dataset.test, &self.inside.device);
        *self.inside.data.borrow_mut() = Some(Rc::new(Data { dataset, test }));
        json(&about)
    }

    /// Labels of the test images.
    pub fn test_labels(&self) -> Result<Vec<u8>, JsError> {
        Ok(self.data()?.dataset.test.labels.clone())
    }

    /// What a file of weights, safetensors or burnpack, says of itself: its manifest as JSON.
    pub fn read_weights(&self, name: String, bytes: &[u8]) -> Result<String, JsError> {
        let about = About::of(bytes).map_err(|e| JsError::new(&format!("{name} {e}")))?;
        json(&Manifest { name, about, accuracy: None, sha256: None })
    }

    /// Takes weights and their manifest: in place 0 they are the model at hand, else one beside it.
    pub fn load_model(&self, place: u32, manifest: &str, bytes: Vec<u8>) -> Result<String, JsError> {
        let manifest: Manifest = serde_json::from_str(manifest).map_err(thrown)?;
        let Manifest { name, about, .. } = &manifest;
        about.recipe.validate().map_err(thrown)?;
        tinderbox::model::check_fit(about.recipe.model, about.shape).map_err(thrown)?;
        let model = about.load(bytes, &self.inside.device).map_err(|e| JsError::new(&format!("{name}: {e}")))?;
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
        let about = &loaded.manifest.about;
        let on_cpu = Model::new(&about.recipe, about.shape, about.classes.len(), &Device::flex());
        let on_cpu = weights::copy(&loaded.model, on_cpu).await.map_err(thrown)?;
        weights::to_bytes(&on_cpu, &about.to_json()).map_err(thrown)
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
        let classes = loaded.manifest.about.classes.len().max(data.dataset.classes.len());
        let never = AtomicUsize::new(0);
        let found = evaluate(&loaded.model, &data.test, LossKind::Ce, classes, 250, &never).await.map_err(thrown)?;
        let accuracy = std::iter::once(found.accuracy as f32);
        Ok(accuracy.chain(found.predictions.iter().map(|&class| f32::from(class))).collect())
    }

    /// The bytes that the model in a place would see of an RGBA image, channel by channel.
    pub fn prepare(&self, place: u32, rgba: Vec<u8>, width: u32, height: u32) -> Result<Vec<u8>, JsError> {
        let shape = self.model(place)?.manifest.about.shape;
        let picture = RgbaImage::from_raw(width, height, rgba).filter(|picture| picture.width() * picture.height() > 0);
        let picture = picture.ok_or_else(|| JsError::new("the image is empty"))?;
        let kind = if shape.channels == 1 { Kind::Digit } else { Kind::Picture };
        Ok(to_model_input(&DynamicImage::ImageRgba8(picture), shape, kind))
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
        let loaded = self.model(0)?;
        match loaded.model.first_responses(self.input(&loaded, pixels)?) {
            Some(maps) => images(maps.swap_dims(0, 1)).await,
            None => Ok(vec![0.0; 4]),
        }
    }

    /// The weights of its first layer in the same form, one image a neuron or filter.
    pub async fn filters(&self) -> Result<Vec<f32>, JsError> {
        let loaded = self.model(0)?;
        images(loaded.model.first_filters(loaded.manifest.about.shape)).await
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
        let plan = Plan { quick: true, repeats: 5, software: true };
        let mut measurements = Vec::new();
        let measured = bench::measure(&self.inside.device, plan, &data.dataset, &mut |told| {
            if let Told::Done(m) = told {
                let _ = tell.call3(&JsValue::NULL, &(&m.name).into(), &m.median.into(), &(&m.unit).into());
                measurements.push(m);
            }
        })
        .await;
        let (warmup_seconds, failed) = measured.map_or_else(|e| (0.0, Some(e.to_string())), |seconds| (seconds, None));
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

impl Lab {
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
        let expected = loaded.manifest.about.shape;
        if expected == found {
            return Ok(());
        }
        let text = |s: ImageShape| format!("{}x{}x{}", s.channels, s.height, s.width);
        Err(JsError::new(&format!(
            "{} takes images of {}, these are {}",
            loaded.manifest.name,
            text(expected),
            text(found)
        )))
    }

    fn input(&self, loaded: &Loaded, pixels: &[u8]) -> Result<Tensor<4>, JsError> {
        let shape = loaded.manifest.about.shape;
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

/// The largest difference between a device and the CPU: losses of steps and a measured test set, over images of MNIST's
/// size that are gathered as in training.
async fn self_test(device: &Device) -> tinderbox::error::Result<f32> {
    let run = async |device: Device| -> tinderbox::error::Result<Vec<f32>> {
        let recipe = Recipe::preset("linear_v1-bn-ce")?;
        let shape = ImageShape { channels: 1, height: 28, width: 28 };
        let pixels = (0..64 * shape.len()).map(|i| (i * 89 % 256) as u8).collect();
        let split = Split { pixels, labels: (0..64).map(|i| i % 10).collect(), shape };
        let split = DeviceSplit::new(&split, &device);
        let order = split.shuffled(0, 0, Augment { crop: 2, flip: true });
        let mut model = Model::new(&recipe, shape, 10, &device.clone().autodiff());
        let mut optimizer = Optimizer::new(recipe.optimizer);
        let mut losses = Vec::new();
        for _ in 0..2 {
            let batch = split.batch(&order, 0..64);
            let loss = recipe.loss.compute(model.forward(batch.images), batch.labels, 0.0);
            losses.push(loss.clone().inner());
            model = optimizer.step(0.1, model, loss.backward());
        }
        let mut results = read(Tensor::cat(losses, 0)).await?;
        let measured = evaluate(&model.valid(), &split, recipe.loss, 10, 64, &AtomicUsize::new(0)).await?;
        results.push(measured.loss as f32);
        results.extend(measured.confidences);
        Ok(results)
    };
    let (found, expected) = (run(device.clone()).await?, run(Device::flex()).await?);
    // NaN must not pass for agreement: `max` would drop it.
    let difference = |(a, b): (&f32, &f32)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() };
    Ok(found.iter().zip(&expected).map(difference).fold(0.0, f32::max))
}
