//! One device with a data set, models and canvases: how it begins, and what it holds.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use tinderbox::compute::{DeviceInfo, cpu_info, is_cpu};
use tinderbox::data::pictures::{dataset, shape_of};
use tinderbox::data::{Dataset, Identity, Origin};
use tinderbox::error::Error;
use tinderbox::network::{Model, flat};
use tinderbox::training::batches::DeviceSplit;
use tinderbox::training::verify;
use tinderbox::weights::{self, Metadata};
use wasm_bindgen::prelude::*;

use crate::control::Control;
use crate::data::Files;
use crate::gpu::{self, Opened};
use crate::screen::Screen;
use crate::{json, thrown, words};

/// What is inside, shared by whatever runs at the same time.
pub(crate) struct Inside {
    pub device: Device,
    pub info: DeviceInfo,
    pub gpu: Option<Opened>,
    /// The files of the next data set, as far as they are there.
    files: RefCell<Option<Files>>,
    pub data: RefCell<Option<Rc<Data>>>,
    /// The model at hand, and those beside it.
    pub models: RefCell<BTreeMap<u32, Rc<Loaded>>>,
    pub screen: RefCell<Option<Screen>>,
    /// Where the weights of the first layer are drawn, and what the stages of the network make of an image.
    pub looks: RefCell<Vec<Screen>>,
    /// Pictures in a row of these, at most.
    pub in_a_row: Cell<u32>,
    pub control: Control,
    pub busy: Cell<bool>,
}

/// A data set, on the host and where the model runs.
pub(crate) struct Data {
    pub dataset: Arc<Dataset>,
    pub identity: Identity,
    pub test: DeviceSplit,
}

/// A network with its weights and what they are of.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub manifest: Manifest,
    pub model: Model,
    /// The same where the program runs, once one image was asked about.
    on_host: OnceCell<Model>,
}

/// For one image a network of no more multiplications than this is done on the host before a GPU has been asked.
const FEW_MULTIPLY_ADDS: u64 = 20_000_000;

impl Loaded {
    pub fn new(manifest: Manifest, model: Model) -> Self {
        Self { manifest, model, on_host: OnceCell::new() }
    }

    /// The network for one image, and the device that it is on.
    pub async fn for_one_image(&self, device: &Device) -> Result<(Model, Device), JsError> {
        let few = self.model.network().summary().multiply_adds() <= FEW_MULTIPLY_ADDS;
        if is_cpu(device) || !few {
            return Ok((self.model.clone(), device.clone()));
        }
        let copy = match self.on_host.get() {
            Some(copy) => copy.clone(),
            None => {
                let copy = self.copy_on_host().await?;
                self.on_host.get_or_init(|| copy).clone()
            }
        };
        Ok((copy, Device::flex()))
    }

    /// A copy of the network where the program runs.
    pub async fn copy_on_host(&self) -> Result<Model, JsError> {
        let empty = self.manifest.metadata.model(&Device::flex()).map_err(thrown)?;
        flat::copy(&self.model, empty).await.map_err(thrown)
    }
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

/// One device with a data set, models and canvases.
#[wasm_bindgen]
pub struct Session {
    inside: Rc<Inside>,
}

#[wasm_bindgen]
impl Session {
    /// Starts `webgpu` or `cpu`.
    pub async fn open(kind: String) -> Result<Session, JsError> {
        let (device, info, gpu) = if kind == "webgpu" {
            let (device, info, gpu) = gpu::open().await.map_err(thrown)?;
            (device, info, Some(gpu))
        } else {
            (Device::flex(), cpu_info(), None)
        };
        let inside = Inside {
            device,
            info,
            gpu,
            files: RefCell::default(),
            data: RefCell::default(),
            models: RefCell::default(),
            screen: RefCell::default(),
            looks: RefCell::default(),
            in_a_row: Cell::new(1),
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

    /// Begins another data set: of uncompressed files of these names and lengths in bytes, MNIST's four, or CIFAR-10's `.bin` files,
    /// those of the train set in the order of their images.
    pub fn begin_files(&self, names: Vec<String>, lengths: Vec<u32>) -> Result<(), JsError> {
        self.inside.files.take(); // before there is room for others
        let files = names.into_iter().zip(lengths).map(|(name, length)| (name, length as usize)).collect();
        *self.inside.files.borrow_mut() = Some(Files::new(files).map_err(thrown)?);
        Ok(())
    }

    /// Takes the next bytes of one of these files.
    pub fn add_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), JsError> {
        let mut files = self.inside.files.take().ok_or_else(no_files)?; // which are given up if this fails
        files.add(name, bytes).map_err(thrown)?;
        *self.inside.files.borrow_mut() = Some(files);
        Ok(())
    }

    /// Takes the files, which have all [come](Self::add_bytes) by now, as the data set. What it is, as JSON. One that nobody knows
    /// is called `name`.
    pub fn load_data(&self, name: &str) -> Result<String, JsError> {
        let files = self.inside.files.take().ok_or_else(no_files)?;
        self.take_data(name, files.parse().map_err(thrown)?)
    }

    /// Takes somebody's own pictures as a data set called `name`: `pixels` has one behind the other, as
    /// [`picture`](Self::picture) gives them, `labels` a class for each, those of a class together. What it is, as JSON.
    pub fn load_pictures(
        &self,
        name: &str,
        classes: Vec<String>,
        pixels: &[u8],
        labels: Vec<u16>,
    ) -> Result<String, JsError> {
        let pictures = pixels.chunks(shape_of(true).len()).map(<[u8]>::to_vec).zip(labels).collect();
        self.take_data(name, dataset(pictures, classes).map_err(thrown)?)
    }

    fn take_data(&self, name: &str, dataset: Dataset) -> Result<String, JsError> {
        let dataset = Arc::new(dataset);
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
    pub fn test_labels(&self) -> Result<Vec<u16>, JsError> {
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
        self.inside.models.borrow_mut().insert(place, Rc::new(Loaded::new(manifest, model)));
        Ok(text)
    }

    /// Gives up the models beside the one at hand.
    pub fn drop_others(&self) {
        self.inside.models.borrow_mut().retain(|&place, _| place == 0);
    }

    /// The weights at hand as the bytes of a safetensors file, which the native program reads too.
    pub async fn save_model(&self) -> Result<Vec<u8>, JsError> {
        let loaded = self.model(0)?;
        let copy = loaded.copy_on_host().await?;
        weights::to_bytes(&copy, &loaded.manifest.metadata.to_json()).map_err(thrown)
    }

    /// The manifest of the model at hand, as JSON.
    pub fn about(&self) -> Result<String, JsError> {
        json(&self.model(0)?.manifest)
    }

    /// Gives the GPU up, as if it were lost: for tests.
    pub fn lose(&self) {
        if let Some(gpu) = &self.inside.gpu {
            gpu.lose();
        }
    }
}

impl Session {
    pub(crate) fn inside(&self) -> Rc<Inside> {
        Rc::clone(&self.inside)
    }

    pub(crate) fn data(&self) -> Result<Rc<Data>, JsError> {
        self.inside.data.borrow().clone().ok_or_else(|| JsError::new("there is no data set yet"))
    }

    pub(crate) fn model(&self, place: u32) -> Result<Rc<Loaded>, JsError> {
        self.inside.models.borrow().get(&place).cloned().ok_or_else(|| JsError::new("there is no model yet"))
    }
}

fn no_files() -> JsError {
    JsError::new("no files of a data set were announced")
}
