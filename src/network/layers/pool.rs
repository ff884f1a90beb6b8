//! `pool max|avg SIZE`: neighbouring pixels become one, by their maximum or their mean.

use std::fmt;

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use serde::{Deserialize, Serialize};

use super::kind::{Forward, Kind, OnnxAttribute, OnnxGraph};
use crate::compute::{cpu, shaders};
use crate::data::ImageShape;
use crate::error::{Error, Result};
use crate::names::named;
use crate::network::text::Words;
use crate::network::{Activation, Init, Noise, Shape};

/// The largest window.
const MAX_WINDOW: usize = 64;

/// How several values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolKind {
    /// By their maximum.
    #[default]
    Max,
    /// By their mean.
    Avg,
}

named!(PoolKind, "pooling", PoolKind::Max => "max", PoolKind::Avg => "avg");

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// By what.
    pub kind: PoolKind,
    /// Pixels a side of the window.
    pub size: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
}

/// The layer in a network.
#[derive(Module, Debug)]
pub struct Pool {
    #[module(skip)]
    config: Config,
}

impl Kind for Config {
    const NAME: &'static str = "pool";
    const USAGE: &'static str = "pool max|avg SIZE [stride S=SIZE]";
    const EXAMPLE: &'static str = "pool max 2";
    type Module = Pool;

    fn parse(words: &mut Words<'_>) -> Result<Self> {
        let kind = words.name::<PoolKind>("max or avg")?;
        let size = words.whole("size", 1, MAX_WINDOW)?;
        Ok(Self { kind, size, stride: words.option("stride", 1, MAX_WINDOW)?.unwrap_or(size) })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {} {}", self.kind, self.size)?;
        if self.stride == self.size { Ok(()) } else { write!(f, " stride {}", self.stride) }
    }

    fn output(&self, input: Shape) -> Result<Shape> {
        let Shape::Maps(maps) = input else {
            return Err(Error::usage("needs maps: put it before `flatten`"));
        };
        let side = |side: usize| Some(side.checked_sub(self.size)? / self.stride + 1);
        match (side(maps.height), side(maps.width)) {
            (Some(height), Some(width)) => Ok(Shape::Maps(ImageShape { height, width, ..maps })),
            _ => Err(Error::usage(format!(
                "needs maps of at least {0}x{0}: use a smaller window, fewer poolings, or larger images",
                self.size
            ))),
        }
    }

    fn build(&self, _: Shape, _: &mut Init) -> Pool {
        Pool { config: self.clone() }
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, _: &str, x: String) -> String {
        let operator = if self.kind == PoolKind::Max { "MaxPool" } else { "AveragePool" };
        let sides = |n: usize| OnnxAttribute::Ints(vec![n as i64; 2]);
        graph.node(operator, &[&x], &[("kernel_shape", sides(self.size)), ("strides", sides(self.stride))])
    }

    fn pytorch(&self, _: Shape) -> String {
        let name = if self.kind == PoolKind::Max { "Max" } else { "Avg" };
        let stride = if self.stride == self.size { String::new() } else { format!(", stride={}", self.stride) };
        format!("nn.{name}Pool2d({}{stride})", self.size)
    }
}

impl Forward for Pool {
    fn forward(&self, x: Activation, _: &mut Noise) -> Activation {
        Activation::Maps(self.pooled(x.maps()))
    }
}

impl Pool {
    /// The side of windows of which the largest value is taken, where they do not overlap.
    pub fn maximum_side(&self) -> Option<usize> {
        let Config { kind, size, stride } = self.config;
        (kind == PoolKind::Max && size == stride).then_some(size)
    }

    /// `[n, channels, h, w]`, each window one pixel.
    pub fn pooled(&self, x: Tensor<4>) -> Tensor<4> {
        let Config { kind, size, stride } = self.config;
        if let Some(side) = self.maximum_side()
            && let Some(pooled) = cpu::max_pool(&x, side).or_else(|| shaders::max_pool(&x, side))
        {
            return pooled;
        }
        match kind {
            PoolKind::Max => max_pool2d(x, MaxPoolOptions::new([size; 2]).with_stride([stride; 2])),
            PoolKind::Avg => avg_pool2d(x, AvgPoolOptions::new([size; 2]).with_stride([stride; 2])),
        }
    }
}
