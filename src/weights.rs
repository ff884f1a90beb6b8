//! A model's weights as files, and from one device to another.
//!
//! safetensors under PyTorch's names and in PyTorch's layouts is the one format for checkpoints, finished runs and
//! exchange: `fc1.weight` is `[out, in]`, batch norm has `weight`, `bias`, `running_mean` and `running_var`, as
//! `torch.nn.Module.load_state_dict` expects. burnpack, with burn's names and layouts, is for other programs on burn.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::store::burn_pack::{Bytes, Reader, Writer};
use burn::store::{
    ApplyResult, BurnToPyTorchAdapter, FloatCastAdapter, HalfPrecisionAdapter, ModuleAdapter, ModuleSnapshot,
    PyTorchToBurnAdapter, SafetensorsStore,
};
use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::dataset::ImageShape;
use crate::error::{Error, ErrorKind, Result as CrateResult};
use crate::metrics::read;
use crate::model::{Model, check_fit};
use crate::recipe::{Architecture, Recipe};

/// The key under which a file keeps its [`About`].
const METADATA_KEY: &str = "tinderbox";

/// The first bytes of a burnpack file.
const BURNPACK: &[u8] = b"NRUB";

/// What a file of weights says of itself: all that is needed to use them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What was trained, and how.
    pub recipe: Recipe,
    /// Of every image.
    pub shape: ImageShape,
    /// One name a class.
    pub classes: Vec<String>,
    /// Bytes of an image times this are the network's input.
    pub pixel_scale: f64,
}

impl About {
    /// Of a model that was trained on images of this shape.
    pub fn new(recipe: &Recipe, shape: ImageShape, classes: &[String]) -> Self {
        Self { recipe: recipe.clone(), shape, classes: classes.to_vec(), pixel_scale: 1.0 / 255.0 }
    }

    /// As the files keep it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // plain data, which JSON always holds
    }

    /// What a file says of itself.
    ///
    /// # Errors
    /// Invalid data: neither safetensors nor burnpack, cut short, or from another program.
    pub fn of(bytes: &[u8]) -> CrateResult<Self> {
        let invalid = |e: String| Error::new(ErrorKind::InvalidData, e);
        let text = metadata(bytes).map_err(invalid)?.ok_or_else(|| {
            invalid("does not say which network it is of: expected weights that tinderbox wrote".into())
        })?;
        let about: Self = serde_json::from_str(&text)
            .map_err(|e| invalid(format!("does not say which network it is of, as this version reads it: {e}")))?;
        about.recipe.validate()?;
        check_fit(about.recipe.model, about.shape)?;
        let ImageShape { channels, height, width } = about.shape;
        let (sides, classes) = ([height, width], about.classes.len());
        if !(1..=256).contains(&classes)
            || !matches!(channels, 1 | 3)
            || sides.iter().any(|side| !(1..=4096).contains(side))
        {
            return Err(invalid(format!(
                "is of images of {channels}x{height}x{width} in {classes} classes, which cannot be"
            )));
        }
        Ok(about)
    }

    /// The number of weights in the network's largest layers, which a file must have bytes for before they are allocated.
    fn least_weights(&self) -> f64 {
        let ImageShape { height, width, .. } = self.shape;
        let (features, classes) = (self.shape.len() as f64, self.classes.len() as f64);
        let channels = (512.0 * self.recipe.width).max(1.0);
        let deep = |layers: f64| channels * (layers * 9.0 * channels + (height / 32 * (width / 32)) as f64 * classes);
        match self.recipe.model {
            Architecture::LinearV0 => features * classes,
            Architecture::LinearV1 => features * 128.0,
            // So many convolutions of 512 to 512 channels, or their like in smaller ones, and the last layer.
            Architecture::Vgg11 => deep(3.5),
            Architecture::Vgg16 => deep(5.5),
            Architecture::Resnet9 => deep(2.5),
        }
    }

    /// Checks that a file of `bytes` can hold the network's weights.
    ///
    /// # Errors
    /// Invalid data: it is too small.
    pub fn check_size(&self, bytes: usize) -> CrateResult<()> {
        if bytes as f64 >= 1.5 * self.least_weights() {
            // in half precision a weight has two bytes
            return Ok(());
        }
        let message = format!("{bytes} bytes are too few for {}: the file is cut short", self.recipe.model);
        Err(Error::new(ErrorKind::InvalidData, message))
    }

    /// The model, with the weights of a file, on a device.
    ///
    /// # Errors
    /// Invalid data: a tensor is missing, left over or of another shape.
    pub fn load(&self, bytes: Vec<u8>, device: &Device) -> CrateResult<Model> {
        self.check_size(bytes.len())?;
        let fresh = Model::new(&self.recipe, self.shape, self.classes.len(), device);
        load_bytes(fresh, bytes).map_err(|e| {
            Error::new(ErrorKind::InvalidData, format!("these weights do not fit {}: {e}", self.recipe.model))
        })
    }
}

fn metadata(bytes: &[u8]) -> Result<Option<String>, String> {
    if bytes.starts_with(BURNPACK) {
        let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes.to_vec()))
            .map_err(|e| format!("is no burnpack file, or is cut short: {e}"))?;
        return Ok(reader.metadata().get(METADATA_KEY).cloned());
    }
    Ok(header(bytes)?.metadata().as_ref().and_then(|all| all.get(METADATA_KEY).cloned()))
}

/// The weights as the bytes of a safetensors file. `model` must not be on an autodiff device (see
/// `Module::valid`): only then are the running statistics up to date. The same weights give the same bytes.
///
/// # Errors
/// What burn's writer says.
pub fn to_bytes(model: &Model, metadata: &str) -> Result<Vec<u8>, String> {
    safetensors(model, metadata, BurnToPyTorchAdapter)
}

/// The same with the weights of linear layers and convolutions in half precision, half the size; normalization stays in
/// single, since a small running variance is nothing in half.
///
/// # Errors
/// What burn's writer says.
pub fn to_half_bytes(model: &Model, metadata: &str) -> Result<Vec<u8>, String> {
    safetensors(model, metadata, BurnToPyTorchAdapter.chain(HalfPrecisionAdapter::new()))
}

fn safetensors(model: &Model, metadata: &str, adapter: impl ModuleAdapter + 'static) -> Result<Vec<u8>, String> {
    let mut store = SafetensorsStore::from_bytes(None)
        .with_to_adapter(adapter)
        .skip_enum_variants(true)
        .clear_metadata() // burn's own has several keys, whose order is random
        .metadata(METADATA_KEY, metadata);
    model.save_into(&mut store).map_err(|e| e.to_string())?;
    store.get_bytes().map_err(|e| e.to_string())
}

/// The same as the bytes of a burnpack file.
///
/// # Errors
/// What burn's writer says.
pub fn to_burnpack(model: &Model, metadata: &str) -> Result<Vec<u8>, String> {
    let writer = Writer::new(model.collect(None, None, true)).with_metadata(METADATA_KEY, metadata);
    writer.into_bytes().map(|bytes| bytes.to_vec()).map_err(|e| e.to_string())
}

/// `model` with the weights of a file, safetensors or burnpack, of any precision: every tensor present, of the right shape,
/// and none left over.
///
/// # Errors
/// A sentence that names the tensors that do not fit.
pub fn load_bytes(mut model: Model, bytes: Vec<u8>) -> Result<Model, String> {
    let single = FloatCastAdapter::to(DType::F32); // else a model keeps what the file has
    let result = if bytes.starts_with(BURNPACK) {
        let tensors = Reader::from_bytes(Bytes::from_bytes_vec(bytes)).and_then(Reader::into_tensors);
        model.apply(tensors.map_err(|e| e.to_string())?, None, Some(Box::new(single)), true)
    } else {
        let mut store = SafetensorsStore::from_bytes(Some(bytes))
            .with_from_adapter(PyTorchToBurnAdapter.chain(single))
            .skip_enum_variants(true)
            .validate(false)
            .allow_partial(true); // every complaint is collected, in our words
        model.load_from(&mut store).map_err(|e| e.to_string())?
    };
    complete(&result).map(|()| model)
}

/// `model` with the weights of a file that `torch.save` wrote: a state dict, or one under `state_dict` or
/// `model_state_dict`. Nothing in the file is executed: the reader knows tensors and plain values alone.
///
/// # Errors
/// A sentence that says what cannot be read, or names the tensors that do not fit.
#[cfg(feature = "native")]
pub fn load_pytorch(mut model: Model, path: &std::path::Path) -> Result<Model, String> {
    use burn::store::ModuleStore;
    let tensors = pytorch(path)?.get_all_tensors().map_err(|e| e.to_string())?.values().cloned().collect();
    let adapter = PyTorchToBurnAdapter.chain(FloatCastAdapter::to(DType::F32));
    complete(&model.apply(tensors, None, Some(Box::new(adapter)), true)).map(|()| model)
}

/// The names of the tensors in such a file.
///
/// # Errors
/// A sentence that says what cannot be read.
#[cfg(feature = "native")]
pub fn pytorch_names(path: &std::path::Path) -> Result<Vec<String>, String> {
    use burn::store::ModuleStore;
    pytorch(path)?.keys().map_err(|e| e.to_string())
}

#[cfg(feature = "native")]
fn pytorch(path: &std::path::Path) -> Result<burn::store::PytorchStore, String> {
    use burn::store::{ModuleStore, PytorchStore};
    let plain = || PytorchStore::from_file(path).map_indices_contiguous(false);
    let nested = ["state_dict", "model_state_dict"].into_iter();
    let found = nested.map(|key| plain().with_top_level_key(key)).find_map(|mut store| {
        let names = store.keys().ok()?;
        (!names.is_empty()).then_some(store)
    });
    let mut store = found.unwrap_or_else(plain);
    match store.keys() {
        Ok(names) if names.is_empty() => Err("holds no tensors: expected a state dict".into()),
        Ok(_) => Ok(store),
        Err(e) => Err(format!("cannot be read as a file of torch.save: {e}")),
    }
}

/// The names of the tensors in a safetensors file.
///
/// # Errors
/// A sentence that says what cannot be read.
pub fn safetensors_names(bytes: &[u8]) -> Result<Vec<String>, String> {
    Ok(header(bytes)?.tensors().into_keys().collect())
}

/// What a safetensors file holds.
fn header(bytes: &[u8]) -> Result<safetensors::tensor::Metadata, String> {
    let read = SafeTensors::read_metadata(bytes);
    read.map(|(_, header)| header).map_err(|e| format!("is no safetensors file, or is cut short: {e}"))
}

fn complete(result: &ApplyResult) -> Result<(), String> {
    // PyTorch counts batches, which nothing uses while momentum is given.
    let unused = result.unused.iter().filter(|name| !name.ends_with("num_batches_tracked"));
    let mut complaints: Vec<String> = result.errors.iter().map(ToString::to_string).collect();
    complaints.extend(result.missing.iter().map(|(name, _)| format!("{name} is missing")));
    complaints.extend(unused.map(|name| format!("{name} has no place in this model")));
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("; ")) }
}

/// `skeleton`, a fresh model of the same recipe on another device, with the weights of `model`, brought over in one read
/// that does not block: a browser can read from a GPU in no other way. Neither is on an autodiff device.
///
/// # Errors
/// Device: the weights cannot be read.
pub async fn copy(model: &Model, skeleton: Model) -> CrateResult<Model> {
    let mut all = Gather(Vec::new());
    model.visit(&mut all);
    let values = read(Tensor::cat(all.0, 0)).await?;
    Ok(skeleton.map(&mut Fill { values, next: 0 }))
}

/// Every parameter and running statistic, flat, in the model's order.
struct Gather(Vec<Tensor<1>>);

impl ModuleVisitor for Gather {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let n = tensor.shape().num_elements();
        self.0.push(tensor.reshape([n]));
    }
}

/// Puts values back in the same order.
struct Fill {
    values: Vec<f32>,
    next: usize,
}

impl ModuleMapper for Fill {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let n = tensor.shape().num_elements();
        let values = self.values[self.next..self.next + n].to_vec(); // as many as the model that they came from
        self.next += n;
        let filled = Tensor::from_data(TensorData::new(values, tensor.shape()), &tensor.device());
        Param::from_mapped_value(id, filled, mapper)
    }
}
