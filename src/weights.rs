//! A model's weights as a safetensors file, under PyTorch's names and in PyTorch's layouts.
//!
//! The one format for checkpoints, finished runs and exchange: `fc1.weight` is `[out, in]`, batch norm has
//! `weight`, `bias`, `running_mean` and `running_var`, as `torch.nn.Module.load_state_dict` expects.

use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};

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
