//! A model's weights as a safetensors file, under PyTorch's names and in PyTorch's layouts.
//!
//! The one format for checkpoints, finished runs and exchange: `fc1.weight` is `[out, in]`, batch norm has
//! `weight`, `bias`, `running_mean` and `running_var`, as `torch.nn.Module.load_state_dict` expects.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};
use burn::tensor::{Tensor, TensorData};

use crate::error::Result as CrateResult;
use crate::metrics::read;
use crate::model::Model;

/// The key under which the file's header keeps the recipe.
pub const METADATA_KEY: &str = "tinderbox";

/// The weights as the bytes of a safetensors file. `model` must not be on an autodiff device (see
/// `Module::valid`): only then are the running statistics up to date. The same weights give the same bytes.
///
/// # Errors
/// What burn's writer says.
pub fn to_bytes(model: &Model, metadata: &str) -> Result<Vec<u8>, String> {
    let mut store = SafetensorsStore::from_bytes(None)
        .with_to_adapter(BurnToPyTorchAdapter)
        .skip_enum_variants(true)
        .clear_metadata() // burn's own has several keys, whose order is random
        .metadata(METADATA_KEY, metadata);
    model.save_into(&mut store).map_err(|e| e.to_string())?;
    store.get_bytes().map_err(|e| e.to_string())
}

/// `model` with the weights of a safetensors file: every tensor present, of the right shape, and none left over.
///
/// # Errors
/// A sentence that names the tensors that do not fit.
pub fn load_bytes(mut model: Model, bytes: Vec<u8>) -> Result<Model, String> {
    let mut store = SafetensorsStore::from_bytes(Some(bytes))
        .with_from_adapter(PyTorchToBurnAdapter)
        .skip_enum_variants(true)
        .validate(false)
        .allow_partial(true); // every complaint is collected below, in our words
    let result = model.load_from(&mut store).map_err(|e| e.to_string())?;
    let mut complaints: Vec<String> = result.errors.iter().map(ToString::to_string).collect();
    complaints.extend(result.missing.iter().map(|(name, _)| format!("{name} is missing")));
    complaints.extend(result.unused.iter().map(|name| format!("{name} has no place in this model")));
    if complaints.is_empty() { Ok(model) } else { Err(complaints.join("; ")) }
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
