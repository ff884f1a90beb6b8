//! Weights as burnpack files, with burn's names and layouts.

use burn::store::burn_pack::{Bytes, Reader, Writer};
use burn::store::{FloatCastAdapter, ModuleSnapshot};
use burn::tensor::DType;

use super::complete::complete;
use super::metadata::METADATA_KEY;
use crate::compute::failure;
use crate::error::{Error, Result};
use crate::network::Model;

/// The first bytes of a burnpack file.
pub(super) const MAGIC: &[u8] = b"NRUB";

/// The weights as the bytes of a burnpack file; see [`to_bytes`](super::to_bytes).
///
/// # Errors
/// Invalid data or device: the weights cannot be written, or what holds them is gone.
pub fn to_burnpack(model: &Model, metadata: &str) -> Result<Vec<u8>> {
    let writer = Writer::new(model.layers().collect(None, None, true)).with_metadata(METADATA_KEY, metadata);
    let bytes = writer.into_bytes().map(|bytes| bytes.to_vec());
    bytes.map_err(|e| failure::unwritable("the weights", &e.to_string()))
}

/// `model` with the weights of a file of any precision.
pub(super) fn read_into(mut model: Model, bytes: Vec<u8>) -> Result<Model> {
    let tensors = Reader::from_bytes(Bytes::from_bytes_vec(bytes)).and_then(Reader::into_tensors);
    let tensors = tensors.map_err(|e| Error::invalid(e.to_string()))?;
    let single = FloatCastAdapter::to(DType::F32); // else a model keeps what the file has
    let result = model.layers_mut().apply(tensors, None, Some(Box::new(single)), true);
    complete(&result).map(|()| model)
}

/// What a file says of itself under the key of this program.
pub(super) fn metadata(bytes: &[u8]) -> Result<Option<String>> {
    let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes.to_vec()))
        .map_err(|e| Error::invalid(format!("is no burnpack file, or is cut short: {e}")))?;
    Ok(reader.metadata().get(METADATA_KEY).cloned())
}
