//! A model's weights as files.
//!
//! safetensors under PyTorch's names and in PyTorch's layouts is the one format for checkpoints, finished runs and
//! exchange: the tensors are named by the positions of their layers, as in a `torch.nn.Sequential`, linear weights are
//! `[out, in]`, batch norm has `weight`, `bias`, `running_mean` and `running_var`, as `load_state_dict` expects. burnpack,
//! with burn's names and layouts, is for other programs on burn; ONNX is the network itself.

mod burnpack;
mod complete;
mod load;
mod metadata;
#[cfg(feature = "native")]
mod onnx;
#[cfg(feature = "native")]
mod pytorch;
mod safetensors;
#[cfg(feature = "native")]
mod transfer;

pub use burnpack::to_burnpack;
pub use load::{load, load_bytes, read_metadata};
pub use metadata::Metadata;
#[cfg(feature = "native")]
pub use onnx::to_onnx;
#[cfg(feature = "native")]
pub use pytorch::{load_pytorch, pytorch_names};
pub use safetensors::{safetensors_names, to_bytes, to_half_bytes};
#[cfg(feature = "native")]
pub use transfer::transfer;
