//! `gelu`: x times the share of a normal distribution below x (Hendrycks and Gimpel, 2016).

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::gelu;

use super::kind::{Forward, Kind, OnnxGraph};
use crate::compute::cpu;
use crate::error::Result;
use crate::network::text::Words;
use crate::network::{Activation, Init, Noise, Shape};

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config;

/// The layer in a network.
#[derive(Module, Debug)]
pub struct Gelu;

impl Kind for Config {
    const NAME: &'static str = "gelu";
    const USAGE: &'static str = "gelu";
    const EXAMPLE: &'static str = "gelu";
    const IS_ACTIVATION: bool = true;
    type Module = Gelu;

    fn parse(_: &mut Words<'_>) -> Result<Self> {
        Ok(Self)
    }

    fn build(&self, _: Shape, _: &mut Init) -> Gelu {
        Gelu
    }

    /// Set 17 has no operator for it: x / 2 * (1 + erf(x / sqrt 2)).
    fn onnx(&self, graph: &mut dyn OnnxGraph, _: &str, x: String) -> String {
        let [root, half, one] = [std::f32::consts::FRAC_1_SQRT_2, 0.5, 1.0].map(|value| graph.constant(value));
        let scaled = graph.node("Mul", &[&x, &root], &[]);
        let erf = graph.node("Erf", &[&scaled], &[]);
        let share = graph.node("Add", &[&erf, &one], &[]);
        let halved = graph.node("Mul", &[&x, &half], &[]);
        graph.node("Mul", &[&halved, &share], &[])
    }

    fn pytorch(&self, _: Shape) -> String {
        "nn.GELU()".into()
    }
}

fn on_maps(maps: Tensor<4>) -> Tensor<4> {
    cpu::gelu(&maps).unwrap_or_else(|| gelu(maps))
}

impl Forward for Gelu {
    fn forward(&self, x: Activation, _: &mut Noise) -> Activation {
        x.map(on_maps, |vectors| {
            cpu::gelu(&vectors.clone().unsqueeze_dims(&[2, 3])).map_or_else(|| gelu(vectors), |maps| maps.flatten(1, 3))
        })
    }
}
