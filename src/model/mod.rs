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
pub use resnet::{LOGIT_SCALE, Resnet9};
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

    /// What the first hidden layer answers to images, `[n, maps, height, width]`: feature maps of a convolution after
    /// normalization and ReLU, 1x1 for a linear layer; `None` for softmax regression, which has no hidden layer.
    pub fn first_responses(&self, images: Tensor<4>) -> Option<Tensor<4>> {
        match self {
            Self::LinearV0(_) => None,
            Self::LinearV1(model) => Some(model.first_hidden(images.flatten(1, 3)).unsqueeze_dims(&[2, 3])),
            Self::Vgg(model) => Some(model.first_block().forward(images)),
            Self::Resnet9(model) => Some(model.first_block().forward(images)),
        }
    }

    /// The weights of the first layer as images, `[outputs, channels, height, width]`: of the size of the input for a
    /// linear layer, 3x3 for a convolution.
    pub fn first_filters(&self, shape: ImageShape) -> Tensor<4> {
        let images = |weights: Tensor<2>| {
            let outputs = weights.dims()[1];
            weights.transpose().reshape([outputs, shape.channels, shape.height, shape.width])
        };
        match self {
            Self::LinearV0(model) => images(model.first_weights()),
            Self::LinearV1(model) => images(model.first_weights()),
            Self::Vgg(model) => model.first_block().filters(),
            Self::Resnet9(model) => model.first_block().filters(),
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
