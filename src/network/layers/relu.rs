//! `relu`: negative values become zero.

use burn::module::Module;
use burn::tensor::activation::relu;

use super::kind::{Forward, Kind, OnnxGraph};
use crate::error::Result;
use crate::network::text::Words;
use crate::network::{Activation, Init, Noise, Shape};

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config;

/// The layer in a network.
#[derive(Module, Debug)]
pub struct Relu;

impl Kind for Config {
    const NAME: &'static str = "relu";
    const USAGE: &'static str = "relu";
    const EXAMPLE: &'static str = "relu";
    const IS_ACTIVATION: bool = true;
    type Module = Relu;

    fn parse(_: &mut Words<'_>) -> Result<Self> {
        Ok(Self)
    }

    fn build(&self, _: Shape, _: &mut Init) -> Relu {
        Relu
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, _: &str, x: String) -> String {
        graph.node("Relu", &[&x], &[])
    }

    fn pytorch(&self, _: Shape) -> String {
        "nn.ReLU()".into()
    }
}

impl Forward for Relu {
    fn forward(&self, x: Activation, _: &mut Noise) -> Activation {
        x.map(relu, relu)
    }
}
