//! `scale FACTOR`: every value times a number, such as the logits of ResNet-9 times 1/8.

use std::fmt;

use burn::module::Module;

use super::kind::{Forward, Kind, OnnxGraph};
use crate::error::Result;
use crate::network::text::Words;
use crate::network::{Activation, Init, Noise, Shape};

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What every value is multiplied by.
    pub factor: f64,
}

/// The layer in a network.
#[derive(Module, Debug)]
pub struct Scale {
    #[module(skip)]
    factor: f64,
}

impl Kind for Config {
    const NAME: &'static str = "scale";
    const USAGE: &'static str = "scale FACTOR";
    const EXAMPLE: &'static str = "scale 0.5";
    const MAKES_VALUES: bool = false;
    type Module = Scale;

    fn parse(words: &mut Words<'_>) -> Result<Self> {
        let fits = |factor: f64| factor != 0.0 && factor.abs() <= 1e6;
        Ok(Self { factor: words.number("factor", fits, "a number from -1000000 to 1000000 that is not 0")? })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}", self.factor)
    }

    fn build(&self, _: Shape, _: &mut Init) -> Scale {
        Scale { factor: self.factor }
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, _: &str, x: String) -> String {
        let factor = graph.constant(self.factor as f32);
        graph.node("Mul", &[&x, &factor], &[])
    }

    fn pytorch(&self, _: Shape) -> String {
        format!("Scale({})", self.factor)
    }
}

impl Forward for Scale {
    fn forward(&self, x: Activation, _: &mut Noise) -> Activation {
        x.map(|maps| maps * self.factor, |vectors| vectors * self.factor)
    }
}
