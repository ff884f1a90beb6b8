//! VGG networks with batch normalization (Simonyan and Zisserman, 2014), sized for 32x32: one linear layer follows the
//! convolutions.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;

use super::conv::{ConvBlock, channels, dropout, pool};
use super::{Init, Summary};
use crate::dataset::ImageShape;
use crate::recipe::{Architecture, Pool, Recipe};

/// Channels of the convolutions of each stage; a pooling follows each stage.
const VGG11: [&[usize]; 5] = [&[64], &[128], &[256, 256], &[512, 512], &[512, 512]];
const VGG16: [&[usize]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];

/// Five stages of 3x3 convolutions, each ending in a 2x2 pooling, and a linear head.
#[derive(Module, Debug)]
pub struct Vgg {
    stages: Vec<Vec<ConvBlock>>,
    head: Linear,
    dropout: f64,
    #[module(skip)]
    pool: Pool,
}

impl Vgg {
    /// For images whose sides are multiples of 32.
    pub fn new(recipe: &Recipe, shape: ImageShape, classes: usize, init: &mut Init) -> Self {
        let plan = if recipe.model == Architecture::Vgg16 { VGG16 } else { VGG11 };
        let mut inputs = shape.channels;
        let mut block = |&base: &usize| {
            let outputs = channels(base, recipe.width);
            let block = ConvBlock::new(inputs, outputs, recipe.batch_norm, init);
            inputs = outputs;
            block
        };
        let stages = plan.iter().map(|stage| stage.iter().map(&mut block).collect()).collect();
        let features = inputs * (shape.height / 32) * (shape.width / 32);
        Self { stages, head: init.linear(features, classes), dropout: recipe.dropout, pool: recipe.pool }
    }

    /// Of all blocks the one that sees the image.
    pub(super) fn first_block(&self) -> &ConvBlock {
        &self.stages[0][0] // every plan has a block in its first stage
    }

    /// `[n, channels, h, w]` -> logits `[n, classes]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let stage = |x, blocks: &Vec<ConvBlock>| {
            let x = blocks.iter().fold(x, |x, block| block.forward(x));
            pool(x, self.pool, 2)
        };
        let x = self.stages.iter().fold(images, stage);
        self.head.forward(dropout(x.flatten::<2>(1, 3), self.dropout))
    }

    pub(super) fn summarize(&self, summary: &mut Summary) {
        for (s, stage) in self.stages.iter().enumerate() {
            for (b, block) in stage.iter().enumerate() {
                block.summarize(&format!("stages.{s}.{b}"), summary);
            }
            summary.pool(&format!("{} pool", self.pool), 2);
        }
        summary.linear("head", &self.head);
    }
}
