//! `linear OUTPUTS`: every output is a weighted sum of all inputs, plus a bias.

use std::fmt;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::linear;

use super::kind::{Forward, Kind, OnnxAttribute, OnnxGraph, Parameter};
use crate::compute::{cpu, shaders};
use crate::error::{Error, Result};
use crate::network::precision::{half, single};
use crate::network::text::{MAX_SIDE, Words};
use crate::network::{Activation, Init, Noise, Precision, Shape};

/// The word for as many outputs as the data has classes.
const CLASSES: &str = "classes";

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The number of outputs; none for as many as there are classes.
    pub outputs: Option<usize>,
    /// Whether a trained value is added to every output.
    pub bias: bool,
}

/// The layer in a network. The names are those of burn's layer, so that burn's PyTorch adapters know them.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[inputs, outputs]`.
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    precision: Precision,
}

impl Kind for Config {
    const NAME: &'static str = "linear";
    const USAGE: &'static str = "linear OUTPUTS|classes [bias off]";
    const EXAMPLE: &'static str = "linear 64";
    type Module = Linear;

    fn parse(words: &mut Words<'_>) -> Result<Self> {
        let outputs = if words.take_if(CLASSES) { None } else { Some(words.whole("outputs", 1, MAX_SIDE)?) };
        Ok(Self { outputs, bias: words.switch("bias")? })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outputs {
            Some(outputs) => write!(f, " {outputs}")?,
            None => write!(f, " {CLASSES}")?,
        }
        f.write_str(if self.bias { "" } else { " bias off" })
    }

    fn output(&self, input: Shape) -> Result<Shape> {
        match input {
            Shape::Vector(_) => Ok(Shape::Vector(self.outputs.unwrap_or(0))),
            Shape::Maps(_) => Err(Error::usage("needs a vector: put `flatten` before it")),
        }
    }

    fn parameters(&self, input: Shape) -> Vec<Parameter> {
        Parameter::weight_and_bias(&[self.outputs.unwrap_or(0), input.len()], self.bias)
    }

    fn multiply_adds(&self, input: Shape) -> u64 {
        self.outputs.unwrap_or(0) as u64 * input.len() as u64
    }

    /// As `torch.nn.Linear`: weight and bias uniform in +-1/sqrt(inputs).
    fn build(&self, input: Shape, init: &mut Init) -> Linear {
        let (inputs, outputs) = (input.len(), self.outputs.unwrap_or(0));
        let bound = 1.0 / (inputs as f32).sqrt();
        let weight = init.uniform([inputs, outputs], bound);
        Linear { weight, bias: self.bias.then(|| init.uniform([outputs], bound)), precision: init.precision() }
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, prefix: &str, x: String) -> String {
        let [weight, bias] = ["weight", "bias"].map(|name| format!("{prefix}{name}"));
        let inputs = [&*x, &*weight, &*bias];
        graph.node("Gemm", &inputs[..if self.bias { 3 } else { 2 }], &[("transB", OnnxAttribute::Int(1))])
    }

    fn pytorch(&self, input: Shape) -> String {
        let bias = if self.bias { "" } else { ", bias=False" };
        format!("nn.Linear({}, {}{bias})", input.len(), self.outputs.unwrap_or(0))
    }

    fn with_classes(self, classes: usize) -> Self {
        Self { outputs: self.outputs.or(Some(classes)), ..self }
    }
}

impl Forward for Linear {
    fn forward(&self, x: Activation, _: &mut Noise) -> Activation {
        let (x, bias) = (x.vectors(), self.bias.as_ref().map(Param::val));
        if self.precision == Precision::F32 {
            let weight = self.weight.val();
            if let Some(y) = bias.as_ref().and_then(|bias| cpu::linear(&x, &weight, bias)) {
                return Activation::Vectors(y);
            }
            // Burn tunes its own products, but not in a page, where ours is many times as fast as the one that it takes there.
            let ours = if cfg!(feature = "native") { None } else { shaders::product(&x, &weight) };
            return Activation::Vectors(match ours {
                Some(product) => with_bias(product, bias),
                None => linear(x, weight, bias),
            });
        }
        Activation::Vectors(with_bias(single(half(x).matmul(half(self.weight.val()))), bias))
    }
}

fn with_bias(product: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    match bias {
        Some(bias) => product + bias.unsqueeze(),
        None => product,
    }
}
