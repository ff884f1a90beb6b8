//! The networks, each written once: images in, logits out, whatever the device.

mod conv;
mod cpu;
mod init;
mod linear;
mod norm;
mod precision;
mod resnet;
mod summary;
mod vgg;

pub use conv::ConvBlock;
pub use init::Init;
pub use linear::{LinearV0, LinearV1};
pub use norm::BatchNorm;
pub use resnet::Resnet9;
pub use summary::{Layer, Summary};
pub use vgg::Vgg;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::dataset::ImageShape;
use crate::error::{Error, Result};
use crate::recipe::{Architecture, Recipe};

/// Any of the networks.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // there is one of them in a run
pub enum Model {
    /// Softmax regression.
    LinearV0(LinearV0),
    /// Two hidden layers.
    LinearV1(LinearV1),
    /// VGG-11 or VGG-16.
    Vgg(Vgg),
    /// ResNet-9.
    Resnet9(Resnet9),
}

impl Model {
    /// The network of a recipe, freshly initialised from the recipe's seed: the same weights on every device.
    /// With an autodiff device the model trains (batch norm uses the batch, dropout drops), else it infers.
    pub fn new(recipe: &Recipe, shape: ImageShape, classes: usize, device: &Device) -> Self {
        let mut init = Init::new(recipe.seed, device).with_precision(recipe.precision);
        match recipe.model {
            Architecture::LinearV0 => Self::LinearV0(LinearV0::new(shape.len(), classes, &mut init)),
            Architecture::LinearV1 => Self::LinearV1(LinearV1::new(shape.len(), classes, recipe.batch_norm, &mut init)),
            Architecture::Vgg11 | Architecture::Vgg16 => Self::Vgg(Vgg::new(recipe, shape, classes, &mut init)),
            Architecture::Resnet9 => Self::Resnet9(Resnet9::new(recipe, shape, classes, &mut init)),
        }
    }

    /// `[n, channels, height, width]` -> logits `[n, classes]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match self {
            Self::LinearV0(model) => model.forward(images.flatten(1, 3)),
            Self::LinearV1(model) => model.forward(images.flatten(1, 3)),
            Self::Vgg(model) => model.forward(images),
            Self::Resnet9(model) => model.forward(images),
        }
    }

    /// The layers with their parameters and multiply-adds for one image.
    pub fn summary(&self, shape: ImageShape) -> Summary {
        let mut summary = Summary::new(shape);
        match self {
            Self::LinearV0(model) => model.summarize(&mut summary),
            Self::LinearV1(model) => model.summarize(&mut summary),
            Self::Vgg(model) => model.summarize(&mut summary),
            Self::Resnet9(model) => model.summarize(&mut summary),
        }
        summary
    }
}

/// Checks that images of this shape survive the network's halvings.
///
/// # Errors
/// Usage: the images are too small, or of uneven size.
pub fn check_fit(model: Architecture, shape: ImageShape) -> Result<()> {
    let step = match model {
        Architecture::LinearV0 | Architecture::LinearV1 => 1,
        Architecture::Vgg11 | Architecture::Vgg16 | Architecture::Resnet9 => 32,
    };
    if shape.height.is_multiple_of(step) && shape.width.is_multiple_of(step) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{model} takes images whose sides are multiples of {step}, but these are {}x{}: use linear_v0 or linear_v1",
        shape.height, shape.width
    )))
}
