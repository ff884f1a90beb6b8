//! Weights from files that `torch.save` wrote. Nothing in such a file is executed: the reader knows tensors and plain
//! values alone.

use std::path::Path;

use burn::store::{FloatCastAdapter, ModuleAdapter, ModuleSnapshot, ModuleStore, PyTorchToBurnAdapter, PytorchStore};
use burn::tensor::DType;

use super::complete::complete;
use crate::error::{Error, Result};
use crate::network::Model;

/// `model` with the weights of a file: a state dict, or one under `state_dict` or `model_state_dict`.
///
/// # Errors
/// Invalid data: says what cannot be read, or names the tensors that do not fit.
pub fn load_pytorch(mut model: Model, path: &Path) -> Result<Model> {
    let mut store = open(path)?;
    let tensors = store.get_all_tensors().map_err(|e| Error::invalid(e.to_string()))?.values().cloned().collect();
    let adapter = PyTorchToBurnAdapter.chain(FloatCastAdapter::to(DType::F32));
    complete(&model.layers_mut().apply(tensors, None, Some(Box::new(adapter)), true)).map(|()| model)
}

/// The names of the tensors in such a file.
///
/// # Errors
/// Invalid data: says what cannot be read.
pub fn pytorch_names(path: &Path) -> Result<Vec<String>> {
    open(path)?.keys().map_err(|e| Error::invalid(e.to_string()))
}

fn open(path: &Path) -> Result<PytorchStore> {
    let plain = || PytorchStore::from_file(path).map_indices_contiguous(false);
    let nested = ["state_dict", "model_state_dict"].into_iter();
    let found = nested.map(|key| plain().with_top_level_key(key)).find_map(|mut store| {
        let names = store.keys().ok()?;
        (!names.is_empty()).then_some(store)
    });
    let mut store = found.unwrap_or_else(plain);
    match store.keys() {
        Ok(names) if names.is_empty() => Err(Error::invalid("holds no tensors: expected a state dict")),
        Ok(_) => Ok(store),
        Err(e) => Err(Error::invalid(format!("cannot be read as a file of torch.save: {e}"))),
    }
}
