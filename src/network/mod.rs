//! Networks as data: a list of layers, written as text, becomes one module that trains and infers on every device.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use tinderbox::data::ImageShape;
//! use tinderbox::network::{Architecture, Network, Precision};
//!
//! let layers: Architecture = "conv 8, norm, relu, pool max 2, flatten, linear classes".parse()?;
//! let network = Network::new(&layers, ImageShape { channels: 1, height: 28, width: 28 }, 10)?;
//! let model = network.build(0, Precision::F32, &Device::flex());
//! assert_eq!(model.forward(Tensor::zeros([5, 1, 28, 28], &Device::flex())).dims(), [5, 10]);
//! # Ok::<(), tinderbox::error::Error>(())
//! ```
//!
//! A kind of layer is one file in `layers/`, which says everything about it: how it is written, its parameters and their
//! names and initialisation, the shape that comes out, its cost, what it computes, and what it is in ONNX and PyTorch.
//! Networks with a name are lines in [`catalogue`]. Nothing else in the program knows an architecture by name.

mod activation;
mod architecture;
pub mod catalogue;
mod convolution;
mod draft;
mod fit;
pub mod flat;
mod heard;
mod init;
pub mod layers;
mod model;
mod noise;
mod precision;
pub mod pytorch;
mod summary;
mod text;

pub use activation::{Activation, Shape};
pub use architecture::Architecture;
pub use catalogue::Settings;
pub use convolution::{Convolution, Products};
pub use draft::{Draft, DraftLayer};
pub(crate) use heard::groups;
pub use init::Init;
pub use layers::{Layer, PoolKind};
pub use model::{MAX_PARAMETERS, Model, Network};
pub use noise::Noise;
pub use precision::Precision;
pub use summary::{Row, Summary};
pub use text::MAX_LAYERS;
