//! `normalize`: every channel of the images less its mean, divided by its standard deviation, both over all train images.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::kind::{Forward, Kind, OnnxGraph, Parameter};
use crate::error::{Error, Result};
use crate::network::text::Words;
use crate::network::{Activation, Init, Noise, Shape};

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config;

/// The layer in a network.
#[derive(Module, Debug)]
pub struct Normalize {
    /// `[channels, 1, 1]`.
    pub mean: Param<Tensor<3>>,
    /// The standard deviation, `[channels, 1, 1]`.
    pub std: Param<Tensor<3>>,
}

impl Kind for Config {
    const NAME: &'static str = "normalize";
    const USAGE: &'static str = "normalize";
    const EXAMPLE: &'static str = "normalize";
    type Module = Normalize;

    fn parse(_: &mut Words<'_>) -> Result<Self> {
        Ok(Self)
    }

    fn output(&self, input: Shape) -> Result<Shape> {
        match input {
            Shape::Maps(_) => Ok(input),
            Shape::Vector(_) => Err(Error::usage("needs images: put it first")),
        }
    }

    fn parameters(&self, input: Shape) -> Vec<Parameter> {
        ["mean", "std"].map(|name| Parameter::fixed(name, &[input.channels(), 1, 1])).into()
    }

    fn multiply_adds(&self, input: Shape) -> u64 {
        input.len() as u64
    }

    fn is_fitted(&self) -> bool {
        true
    }

    /// Mean 0 and deviation 1, until it is fitted.
    fn build(&self, input: Shape, init: &mut Init) -> Normalize {
        let mut of = |value| init.fixed(vec![value; input.channels()], [input.channels(), 1, 1]);
        Normalize { mean: of(0.0), std: of(1.0) }
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, prefix: &str, x: String) -> String {
        let centred = graph.node("Sub", &[&x, &format!("{prefix}mean")], &[]);
        graph.node("Div", &[&centred, &format!("{prefix}std")], &[])
    }

    fn pytorch(&self, input: Shape) -> String {
        format!("Normalize({})", input.channels())
    }
}

impl Forward for Normalize {
    fn forward(&self, x: Activation, _: &mut Noise) -> Activation {
        Activation::Maps((x.maps() - self.mean.val().unsqueeze()) / self.std.val().unsqueeze())
    }
}
