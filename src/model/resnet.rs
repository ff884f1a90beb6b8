//! ResNet-9, the network of the CIFAR-10 speed records: David Page, "How to train your ResNet" (2018).

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;

use super::conv::{ConvBlock, channels, dropout, pool};
use super::{Init, Summary};
use crate::dataset::ImageShape;
use crate::recipe::{Pool, Recipe};

/// Logits are scaled down by this, as in the original, to soften the first steps.
pub const LOGIT_SCALE: f64 = 0.125;

/// 64 -> 128 + residual -> 256 -> 512 + residual, a pooling after each widening, global pooling, linear.
#[derive(Module, Debug)]
pub struct Resnet9 {
    prep: ConvBlock,
    layer1: ConvBlock,
    residual1: [ConvBlock; 2],
    layer2: ConvBlock,
    layer3: ConvBlock,
    residual3: [ConvBlock; 2],
    head: Linear,
    dropout: f64,
}

impl Resnet9 {
    /// For images whose sides are multiples of 32.
    pub fn new(recipe: &Recipe, shape: ImageShape, classes: usize, init: &mut Init) -> Self {
        let [a, b, c, d] = [64, 128, 256, 512].map(|base| channels(base, recipe.width));
        let mut block = |inputs, outputs| ConvBlock::new(inputs, outputs, recipe.batch_norm, init);
        let prep = block(shape.channels, a);
        let (layer1, residual1) = (block(a, b), [block(b, b), block(b, b)]);
        let layer2 = block(b, c);
        let (layer3, residual3) = (block(c, d), [block(d, d), block(d, d)]);
        let features = d * (shape.height / 32) * (shape.width / 32);
        let head = init.linear(features, classes);
        Self { prep, layer1, residual1, layer2, layer3, residual3, head, dropout: recipe.dropout }
    }

    /// Of all blocks the one that sees the image.
    pub(super) fn first_block(&self) -> &ConvBlock {
        &self.prep
    }

    /// `[n, channels, h, w]` -> logits `[n, classes]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let residual = |x: Tensor<4>, [a, b]: &[ConvBlock; 2]| x.clone() + b.forward(a.forward(x));
        let x = self.prep.forward(images);
        let x = residual(pool(self.layer1.forward(x), Pool::Max, 2), &self.residual1);
        let x = pool(self.layer2.forward(x), Pool::Max, 2);
        let x = residual(pool(self.layer3.forward(x), Pool::Max, 2), &self.residual3);
        let x = pool(x, Pool::Max, 4).flatten::<2>(1, 3);
        self.head.forward(dropout(x, self.dropout)) * LOGIT_SCALE
    }

    pub(super) fn summarize(&self, summary: &mut Summary) {
        let pair = |name: &str, [a, b]: &[ConvBlock; 2], summary: &mut Summary| {
            a.summarize(&format!("{name}.0"), summary);
            b.summarize(&format!("{name}.1"), summary);
        };
        self.prep.summarize("prep", summary);
        self.layer1.summarize("layer1", summary);
        summary.pool("max pool", 2);
        pair("residual1", &self.residual1, summary);
        self.layer2.summarize("layer2", summary);
        summary.pool("max pool", 2);
        self.layer3.summarize("layer3", summary);
        summary.pool("max pool", 2);
        pair("residual3", &self.residual3, summary);
        summary.pool("max pool", 4);
        summary.linear("head", &self.head);
    }
}
