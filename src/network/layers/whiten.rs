//! `whiten`: a convolution whose outputs are uncorrelated and of equal size over the train images, as in airbench (Keller
//! Jordan, 2024).
//!
//! Its filters are the principal directions of small patches of images, each divided by the root of how much patches vary
//! along it, and their negatives. They are fitted before the first step and then stay; the bias is trained.

use std::fmt;

use super::conv::{self, Conv2d};
use super::kind::{Kind, OnnxGraph, Parameter};
use crate::compute::Group;
use crate::error::Result;
use crate::network::text::Words;
use crate::network::{Init, Shape};

/// The largest kernel: all products of two pixels of a patch are summed.
const MAX_KERNEL: usize = 4;

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Pixels a side of a patch.
    pub kernel: usize,
}

impl Config {
    /// The convolution that it is, of images with so many channels.
    fn convolution(&self, channels: usize) -> conv::Config {
        let channels = 2 * channels * self.kernel * self.kernel;
        conv::Config { channels, kernel: self.kernel, stride: 1, padding: 0, bias: true, identity: false }
    }
}

impl Kind for Config {
    const NAME: &'static str = "whiten";
    const USAGE: &'static str = "whiten [kernel K=2]";
    const EXAMPLE: &'static str = "whiten";
    type Module = Conv2d;

    fn parse(words: &mut Words<'_>) -> Result<Self> {
        Ok(Self { kernel: words.option("kernel", 1, MAX_KERNEL)?.unwrap_or(2) })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kernel == 2 { Ok(()) } else { write!(f, " kernel {}", self.kernel) }
    }

    fn output(&self, input: Shape) -> Result<Shape> {
        self.convolution(input.channels()).output(input)
    }

    fn parameters(&self, input: Shape) -> Vec<Parameter> {
        let tensor = |tensor: Parameter| match &*tensor.name {
            "weight" => Parameter::fixed("weight", &tensor.dims),
            _ => Parameter { group: Group::Whitening, ..tensor },
        };
        self.convolution(input.channels()).parameters(input).into_iter().map(tensor).collect()
    }

    fn multiply_adds(&self, input: Shape) -> u64 {
        self.convolution(input.channels()).multiply_adds(input)
    }

    fn is_fitted(&self) -> bool {
        true
    }

    /// Every pixel of a patch, and its negative, until it is fitted; a bias of 0.
    fn build(&self, input: Shape, init: &mut Init) -> Conv2d {
        let convolution = self.convolution(input.channels());
        let directions = convolution.channels / 2;
        let unit = |i: usize| (0..directions).map(move |k| f32::from(i == k));
        let positive: Vec<f32> = (0..directions).flat_map(unit).collect();
        let weights = [&positive[..], &positive.iter().map(|w| -w).collect::<Vec<_>>()].concat();
        let sides = [convolution.channels, input.channels(), self.kernel, self.kernel];
        let weight = init.fixed(weights, sides);
        let bias = init.constant(0.0, convolution.channels);
        convolution.with(weight, Some(bias), init)
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, prefix: &str, x: String) -> String {
        self.convolution(0).onnx(graph, prefix, x) // which does not say its channels
    }

    fn pytorch(&self, input: Shape) -> String {
        self.convolution(input.channels()).pytorch(input)
    }
}
