//! What a kind of layer says of itself.

use std::fmt;

use burn::module::Module;

use crate::compute::Group;
use crate::error::{Error, Result};
use crate::network::text::{FromWords, Words};
use crate::network::{Activation, Init, Noise, Shape};

/// The most values between two layers, for one image.
const MAX_VALUES: usize = 1 << 25;

/// Everything that the program knows of a kind of layer, as a recipe writes it.
pub trait Kind: Sized {
    /// The word that a layer of this kind begins with.
    const NAME: &'static str;
    /// How a layer of this kind is written, optional parts in brackets.
    const USAGE: &'static str;
    /// A layer of this kind to begin with, as text.
    const EXAMPLE: &'static str;
    /// Whether a layer of this kind is an activation function, whose values are a hidden layer.
    const IS_ACTIVATION: bool = false;
    /// Whether a layer of this kind makes values of its own, and does not only pass on what comes in, perhaps in another order
    /// or scale.
    const MAKES_VALUES: bool = true;
    /// What is built of it: its parameters, and what they compute.
    type Module: Forward;

    /// Reads what follows the name.
    ///
    /// # Errors
    /// Usage: something is missing, or out of range.
    fn parse(words: &mut Words<'_>) -> Result<Self>;

    /// Writes what [`parse`](Self::parse) reads; what is left out has its default.
    fn write(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    /// The shape that comes out for one image of this shape: the same, where a kind says nothing else.
    ///
    /// # Errors
    /// Usage: the layer needs another shape; says which, and what would give it.
    fn output(&self, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    /// The tensors of the layer under their names in PyTorch; none where nothing is learned.
    fn parameters(&self, _input: Shape) -> Vec<Parameter> {
        Vec::new()
    }

    /// Multiplications that are added up, for one image forward.
    fn multiply_adds(&self, _input: Shape) -> u64 {
        0
    }

    /// Whether the layer normalizes over the images of a batch.
    fn normalizes(&self) -> bool {
        false
    }

    /// Whether the layer is fitted to the train images before the first step, and so has to see the images themselves.
    fn is_fitted(&self) -> bool {
        false
    }

    /// The layer with fresh parameters.
    fn build(&self, input: Shape, init: &mut Init) -> Self::Module;

    /// Appends the layer's operators to an ONNX graph; `x` is the name of its input, `prefix` begins the names of its
    /// parameters. Returns the name of its output.
    fn onnx(&self, graph: &mut dyn OnnxGraph, prefix: &str, x: String) -> String;

    /// The layer as an expression in Python that makes a `torch.nn.Module`.
    fn pytorch(&self, input: Shape) -> String;

    /// The layer with the number of classes where it asks for it.
    fn with_classes(self, _classes: usize) -> Self {
        self
    }
}

/// What a layer computes of a batch; on an autodiff device it trains.
pub trait Forward: Sized {
    /// The output of the layer for a batch of its inputs, whose shape [`Kind::output`] has checked. A random layer draws from
    /// `noise`.
    fn forward(&self, x: Activation, noise: &mut Noise) -> Activation;

    /// The output of layers one after the other.
    fn sequence(layers: &[Self], x: Activation, noise: &mut Noise) -> Activation {
        layers.iter().fold(x, |x, layer| layer.forward(x, noise))
    }
}

/// A layer of any kind.
pub trait AnyLayer: FromWords + Clone + PartialEq + fmt::Debug + fmt::Display {
    /// What is built of it.
    type Built: Module + Forward;

    /// See [`Kind::output`].
    ///
    /// # Errors
    /// Usage: the layer needs another shape.
    fn output(&self, input: Shape) -> Result<Shape>;

    /// See [`Kind::parameters`].
    fn parameters(&self, input: Shape) -> Vec<Parameter>;

    /// See [`Kind::multiply_adds`].
    fn multiply_adds(&self, input: Shape) -> u64;

    /// See [`Kind::normalizes`].
    fn normalizes(&self) -> bool;

    /// See [`Kind::is_fitted`].
    fn is_fitted(&self) -> bool;

    /// See [`Kind::IS_ACTIVATION`].
    fn is_activation(&self) -> bool;

    /// See [`Kind::MAKES_VALUES`].
    fn makes_values(&self) -> bool;

    /// See [`Kind::build`].
    fn build(&self, input: Shape, init: &mut Init) -> Self::Built;

    /// See [`Kind::onnx`].
    fn onnx(&self, graph: &mut dyn OnnxGraph, prefix: &str, x: String) -> String;

    /// See [`Kind::pytorch`].
    fn pytorch(&self, input: Shape) -> String;

    /// See [`Kind::with_classes`].
    #[must_use]
    fn with_classes(self, classes: usize) -> Self;

    /// The shape that comes out of layers one after the other.
    ///
    /// # Errors
    /// Usage: names the layer that does not fit, what it gets and what it needs.
    fn sequence_output(layers: &[Self], input: Shape) -> Result<Shape> {
        layers.iter().enumerate().try_fold(input, |input, (i, layer)| layer.place(i, input))
    }

    /// The shape that comes out of this layer, which is at position `i`, counted from 0.
    ///
    /// # Errors
    /// Usage: names the layer, what it gets and what it needs, or that it gives too much.
    fn place(&self, i: usize, input: Shape) -> Result<Shape> {
        let fits = self.output(input);
        let output =
            fits.map_err(|e| e.reword(|needs| format!("layer {}, `{self}`, gets {input} and {needs}", i + 1)))?;
        if output.len() > MAX_VALUES {
            let message =
                format!("layer {}, `{self}`, gives {output} for an image, more than {MAX_VALUES} values", i + 1);
            return Err(Error::usage(message));
        }
        Ok(output)
    }

    /// Appends layers one after the other to an ONNX graph; returns the name of the last output.
    fn sequence_onnx(layers: &[Self], graph: &mut dyn OnnxGraph, prefix: &str, x: String) -> String {
        layers.iter().enumerate().fold(x, |x, (i, layer)| layer.onnx(graph, &format!("{prefix}{i}."), x))
    }
}

/// A tensor of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The name in PyTorch, such as `weight` or `running_mean`.
    pub name: String,
    /// The sides in PyTorch's layout.
    pub dims: Vec<usize>,
    /// Whether the optimizer changes it; running statistics it does not.
    pub trained: bool,
    /// What it is to an optimizer.
    pub group: Group,
}

impl Parameter {
    /// A trained tensor.
    pub(super) fn new(name: &str, dims: &[usize]) -> Self {
        Self { name: name.into(), dims: dims.into(), trained: true, group: Group::Other }
    }

    /// A tensor that no optimizer changes.
    pub(super) fn fixed(name: &str, dims: &[usize]) -> Self {
        Self { trained: false, group: Group::Fixed, ..Self::new(name, dims) }
    }

    /// A weight and, where the layer has one, a bias for each of its outputs.
    pub(super) fn weight_and_bias(dims: &[usize], bias: bool) -> Vec<Self> {
        let bias = bias.then(|| Self::new("bias", &dims[..1]));
        std::iter::once(Self::new("weight", dims)).chain(bias).collect()
    }

    /// The tensor of a layer at position `i` of several.
    #[must_use]
    pub fn placed(self, i: usize) -> Self {
        Self { name: format!("{i}.{}", self.name), ..self }
    }

    /// The tensor where it is left as it is.
    #[must_use]
    pub fn frozen(self) -> Self {
        Self { trained: false, group: Group::Fixed, ..self }
    }

    /// The number of values.
    pub fn len(&self) -> u64 {
        self.dims.iter().map(|&side| side as u64).fold(1, u64::saturating_mul)
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where layers put their ONNX operators (set 17).
pub trait OnnxGraph {
    /// Appends an operator over these values and returns the name of its result.
    fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, OnnxAttribute)]) -> String;

    /// The name of a value that is one number.
    fn constant(&mut self, value: f32) -> String;
}

/// The value of an attribute of an ONNX operator.
#[derive(Debug, Clone, PartialEq)]
pub enum OnnxAttribute {
    /// A number.
    Float(f32),
    /// A whole number.
    Int(i64),
    /// Several whole numbers.
    Ints(Vec<i64>),
}
