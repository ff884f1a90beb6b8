//! `residual [LAYERS]`: the input is added to what the layers in brackets make of it (He et al., 2015).

use std::fmt;

use burn::tensor::Tensor;

use super::kind::{AnyLayer, Forward, Kind, OnnxGraph, Parameter};
use crate::compute::is_cpu;
use crate::error::{Error, Result};
use crate::network::text::{self, Words};
use crate::network::{Activation, Init, Noise, Shape};

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config<L> {
    /// What is added to the input: the output of these, of the same shape.
    pub layers: Vec<L>,
}

impl<L: AnyLayer> Config<L> {
    /// Every inner layer with its position and the shape of its input.
    fn inputs(&self, input: Shape) -> impl Iterator<Item = (usize, &L, Shape)> {
        let next = |shape: &mut Shape, (i, layer): (usize, &L)| {
            let input = *shape;
            *shape = layer.output(input).unwrap_or(input); // `output` has checked it
            Some((i, input))
        };
        let shapes = self.layers.iter().enumerate().scan(input, next);
        self.layers.iter().zip(shapes).map(|(layer, (i, input))| (i, layer, input))
    }
}

impl<L: AnyLayer> Kind for Config<L> {
    const NAME: &'static str = "residual";
    const USAGE: &'static str = "residual [LAYERS]";
    const EXAMPLE: &'static str = "residual [norm, relu]";
    /// A plain list, so that its parameters are named as in a `torch.nn.Sequential`.
    type Module = Vec<L::Built>;

    fn parse(words: &mut Words<'_>) -> Result<Self> {
        let layers = words.block()?;
        if layers.is_empty() {
            return Err(Error::usage("expected layers in brackets"));
        }
        Ok(Self { layers })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " [{}]", text::print(&self.layers))
    }

    fn output(&self, input: Shape) -> Result<Shape> {
        if let Some(layer) = self.layers.iter().find(|layer| layer.is_fitted()) {
            return Err(Error::usage(format!("holds `{layer}`, which has to see the images: put it first")));
        }
        let inner = L::sequence_output(&self.layers, input)?;
        if inner == input {
            return Ok(input);
        }
        Err(Error::usage(format!("needs layers that give the shape they get, but they make {inner} of it")))
    }

    fn parameters(&self, input: Shape) -> Vec<Parameter> {
        let mut all = Vec::new();
        for (i, layer, input) in self.inputs(input) {
            all.extend(layer.parameters(input).into_iter().map(|tensor| tensor.placed(i)));
        }
        all
    }

    fn multiply_adds(&self, input: Shape) -> u64 {
        self.inputs(input).map(|(_, layer, input)| layer.multiply_adds(input)).fold(0, u64::saturating_add)
    }

    fn normalizes(&self) -> bool {
        self.layers.iter().any(AnyLayer::normalizes)
    }

    fn build(&self, input: Shape, init: &mut Init) -> Vec<L::Built> {
        self.inputs(input).map(|(_, layer, input)| layer.build(input, init)).collect()
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, prefix: &str, x: String) -> String {
        let inner = L::sequence_onnx(&self.layers, graph, prefix, x.clone());
        graph.node("Add", &[&x, &inner], &[])
    }

    fn pytorch(&self, input: Shape) -> String {
        let layers: Vec<String> = self.inputs(input).map(|(_, layer, input)| layer.pytorch(input)).collect();
        format!("Residual({})", layers.join(", "))
    }

    fn with_classes(self, classes: usize) -> Self {
        Self { layers: self.layers.into_iter().map(|layer| layer.with_classes(classes)).collect() }
    }
}

/// The sum of two tensors as they lie in memory: on the CPU their channels are last, and burn adds other orders slowly.
fn sum(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    if !is_cpu(&x.device().inner()) {
        return x + y;
    }
    let [x, y] = [x, y].map(|tensor| tensor.permute([0, 2, 3, 1]));
    (x + y).permute([0, 3, 1, 2])
}

impl<B: Forward> Forward for Vec<B> {
    fn forward(&self, x: Activation, noise: &mut Noise) -> Activation {
        match (x.clone(), B::sequence(self, x, noise)) {
            (Activation::Maps(x), Activation::Maps(inner)) => Activation::Maps(sum(x, inner)),
            (x, inner) => Activation::Vectors(x.vectors() + inner.vectors()),
        }
    }
}
