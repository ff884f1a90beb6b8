//! `flatten`: maps `[n, channels, height, width]` become vectors `[n, channels * height * width]`.

use burn::module::Module;

use super::kind::{Forward, Kind, OnnxAttribute, OnnxGraph};
use crate::error::Result;
use crate::network::text::Words;
use crate::network::{Activation, Init, Noise, Shape};

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config;

/// The layer in a network.
#[derive(Module, Debug)]
pub struct Flatten;

impl Kind for Config {
    const NAME: &'static str = "flatten";
    const USAGE: &'static str = "flatten";
    const EXAMPLE: &'static str = "flatten";
    const MAKES_VALUES: bool = false;
    type Module = Flatten;

    fn parse(_: &mut Words<'_>) -> Result<Self> {
        Ok(Self)
    }

    fn output(&self, input: Shape) -> Result<Shape> {
        Ok(Shape::Vector(input.len()))
    }

    fn build(&self, _: Shape, _: &mut Init) -> Flatten {
        Flatten
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, _: &str, x: String) -> String {
        graph.node("Flatten", &[&x], &[("axis", OnnxAttribute::Int(1))])
    }

    fn pytorch(&self, _: Shape) -> String {
        "nn.Flatten()".into()
    }
}

impl Forward for Flatten {
    fn forward(&self, x: Activation, _: &mut Noise) -> Activation {
        Activation::Vectors(x.vectors())
    }
}
