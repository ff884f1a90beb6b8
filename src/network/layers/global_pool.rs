//! `global_pool max|avg`: all pixels of a map become one, by their maximum or their mean.

use std::fmt;

use burn::module::Module;

use super::kind::{Forward, Kind, OnnxGraph};
use super::pool::PoolKind;
use crate::data::ImageShape;
use crate::error::{Error, Result};
use crate::network::text::Words;
use crate::network::{Activation, Init, Noise, Shape};

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// By what.
    pub kind: PoolKind,
}

/// The layer in a network.
#[derive(Module, Debug)]
pub struct GlobalPool {
    #[module(skip)]
    kind: PoolKind,
}

impl Kind for Config {
    const NAME: &'static str = "global_pool";
    const USAGE: &'static str = "global_pool max|avg";
    const EXAMPLE: &'static str = "global_pool avg";
    type Module = GlobalPool;

    fn parse(words: &mut Words<'_>) -> Result<Self> {
        Ok(Self { kind: words.name::<PoolKind>("max or avg")? })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}", self.kind)
    }

    fn output(&self, input: Shape) -> Result<Shape> {
        match input {
            Shape::Maps(maps) => Ok(Shape::Maps(ImageShape { height: 1, width: 1, ..maps })),
            Shape::Vector(_) => Err(Error::usage("needs maps: put it before `flatten`")),
        }
    }

    fn build(&self, _: Shape, _: &mut Init) -> GlobalPool {
        GlobalPool { kind: self.kind }
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, _: &str, x: String) -> String {
        graph.node(if self.kind == PoolKind::Max { "GlobalMaxPool" } else { "GlobalAveragePool" }, &[&x], &[])
    }

    fn pytorch(&self, _: Shape) -> String {
        format!("nn.Adaptive{}Pool2d(1)", if self.kind == PoolKind::Max { "Max" } else { "Avg" })
    }
}

impl Forward for GlobalPool {
    fn forward(&self, x: Activation, _: &mut Noise) -> Activation {
        let x = x.maps();
        let [n, channels, ..] = x.dims();
        let pixels = x.flatten::<3>(2, 3);
        let pooled = match self.kind {
            PoolKind::Max => pixels.max_dim(2),
            PoolKind::Avg => pixels.mean_dim(2),
        };
        Activation::Maps(pooled.reshape([n, channels, 1, 1]))
    }
}
