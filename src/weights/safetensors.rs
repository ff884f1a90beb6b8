//! Weights as safetensors files.

use burn::store::{
    BurnToPyTorchAdapter, FloatCastAdapter, HalfPrecisionAdapter, ModuleAdapter, ModuleSnapshot, PyTorchToBurnAdapter,
    SafetensorsStore,
};
use burn::tensor::DType;
use safetensors::SafeTensors;

use super::complete::complete;
use super::metadata::METADATA_KEY;
use crate::compute::failure;
use crate::error::{Error, Result};
use crate::network::Model;

/// The weights as the bytes of a safetensors file. `model` must not be on an autodiff device (see
/// `Module::valid`): only then are the running statistics up to date. The same weights give the same bytes.
///
/// # Errors
/// Invalid data or device: the weights cannot be written, or what holds them is gone.
pub fn to_bytes(model: &Model, metadata: &str) -> Result<Vec<u8>> {
    write(model, metadata, BurnToPyTorchAdapter)
}

/// The weights as [`to_bytes`] writes them, but those of linear layers and convolutions in half precision, half the size;
/// normalization stays in single, since a small running variance is nothing in half.
///
/// # Errors
/// As [`to_bytes`].
pub fn to_half_bytes(model: &Model, metadata: &str) -> Result<Vec<u8>> {
    write(model, metadata, BurnToPyTorchAdapter.chain(HalfPrecisionAdapter::new()))
}

fn write(model: &Model, metadata: &str, adapter: impl ModuleAdapter + 'static) -> Result<Vec<u8>> {
    let mut store = SafetensorsStore::from_bytes(None)
        .with_to_adapter(adapter)
        .skip_enum_variants(true)
        .clear_metadata() // burn's own has several keys, whose order is random
        .metadata(METADATA_KEY, metadata);
    let failed = |e: &dyn std::fmt::Display| failure::unwritable("the weights", &e.to_string());
    model.layers().save_into(&mut store).map_err(|e| failed(&e))?;
    store.get_bytes().map_err(|e| failed(&e))
}

/// `model` with the weights of a file of any precision.
pub(super) fn read_into(mut model: Model, bytes: Vec<u8>) -> Result<Model> {
    let mut store = SafetensorsStore::from_bytes(Some(bytes))
        .with_from_adapter(PyTorchToBurnAdapter.chain(FloatCastAdapter::to(DType::F32)))
        .skip_enum_variants(true)
        .validate(false)
        .allow_partial(true); // every complaint is collected, in our words
    let result = model.layers_mut().load_from(&mut store).map_err(|e| Error::invalid(e.to_string()))?;
    complete(&result).map(|()| model)
}

/// The names of the tensors in a safetensors file.
///
/// # Errors
/// Invalid data: it is none.
pub fn safetensors_names(bytes: &[u8]) -> Result<Vec<String>> {
    Ok(header(bytes)?.tensors().into_keys().collect())
}

/// What a file says of itself under the key of this program.
pub(super) fn metadata(bytes: &[u8]) -> Result<Option<String>> {
    Ok(header(bytes)?.metadata().as_ref().and_then(|all| all.get(METADATA_KEY).cloned()))
}

fn header(bytes: &[u8]) -> Result<safetensors::tensor::Metadata> {
    let read = SafeTensors::read_metadata(bytes);
    read.map(|(_, header)| header)
        .map_err(|e| Error::invalid(format!("is no safetensors file, or is cut short: {e}")).caused_by(e))
}
