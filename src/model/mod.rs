//! The networks, each written once: images in, logits out, whatever the device.

mod init;
mod linear;
mod norm;

pub use init::Init;
pub use linear::{LinearV0, LinearV1};
pub use norm::BatchNorm;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::dataset::ImageShape;
use crate::recipe::{Architecture, Recipe};

/// Any of the networks.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // there is one of them in a run
pub enum Model {
    /// Softmax regression.
    LinearV0(LinearV0),
    /// Two hidden layers.
    LinearV1(LinearV1),
}

impl Model {
    /// The network of a recipe, freshly initialised from the recipe's seed: the same weights on every device.
    /// With an autodiff device the model trains (batch norm uses the batch), else it infers.
    pub fn new(recipe: &Recipe, shape: ImageShape, classes: usize, device: &Device) -> Self {
        let mut init = Init::new(recipe.seed, device);
        match recipe.model {
            Architecture::LinearV0 => Self::LinearV0(LinearV0::new(shape.len(), classes, &mut init)),
            Architecture::LinearV1 => Self::LinearV1(LinearV1::new(shape.len(), classes, recipe.batch_norm, &mut init)),
        }
    }

    /// `[n, channels, height, width]` -> logits `[n, classes]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match self {
            Self::LinearV0(model) => model.forward(images.flatten(1, 3)),
            Self::LinearV1(model) => model.forward(images.flatten(1, 3)),
        }
    }
}
