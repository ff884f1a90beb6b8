//! `dropout SHARE`: a share of the values is zeroed while training, and the others scaled up (Srivastava et al., 2014).

use std::fmt;

use burn::module::Module;

use super::kind::{Forward, Kind, OnnxGraph};
use crate::error::Result;
use crate::network::text::Words;
use crate::network::{Activation, Init, Noise, Shape};

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The share of values that are zeroed, from 0 to below 1.
    pub share: f64,
}

/// The layer in a network.
#[derive(Module, Debug)]
pub struct Dropout {
    #[module(skip)]
    share: f64,
}

impl Kind for Config {
    const NAME: &'static str = "dropout";
    const USAGE: &'static str = "dropout SHARE";
    const EXAMPLE: &'static str = "dropout 0.25";
    const MAKES_VALUES: bool = false;
    type Module = Dropout;

    fn parse(words: &mut Words<'_>) -> Result<Self> {
        Ok(Self { share: words.number("share", |share| (0.0..1.0).contains(&share), "a number from 0 to below 1")? })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}", self.share)
    }

    fn build(&self, _: Shape, _: &mut Init) -> Dropout {
        Dropout { share: self.share }
    }

    /// An exported network only infers, and then nothing is dropped.
    fn onnx(&self, _: &mut dyn OnnxGraph, _: &str, x: String) -> String {
        x
    }

    fn pytorch(&self, _: Shape) -> String {
        format!("nn.Dropout({})", self.share)
    }
}

impl Forward for Dropout {
    fn forward(&self, x: Activation, noise: &mut Noise) -> Activation {
        match x {
            Activation::Maps(maps) => Activation::Maps(noise.drop_out(maps, self.share)),
            Activation::Vectors(vectors) => Activation::Vectors(noise.drop_out(vectors, self.share)),
        }
    }
}
