//! What lies between two layers: its shape for one image, and its values for a batch.

use std::fmt;

use burn::tensor::Tensor;

use crate::data::ImageShape;

/// The shape of what lies between two layers, for one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Feature maps: channels, height, width.
    Maps(ImageShape),
    /// A vector of this many values.
    Vector(usize),
}

impl Shape {
    /// The number of values for one image.
    pub fn len(self) -> usize {
        match self {
            Self::Maps(shape) => shape.len(),
            Self::Vector(n) => n,
        }
    }

    /// Whether there are no values.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The number of channels, each of which batch normalization treats as one: of a vector, its values.
    pub fn channels(self) -> usize {
        match self {
            Self::Maps(shape) => shape.channels,
            Self::Vector(n) => n,
        }
    }
}

impl fmt::Display for Shape {
    /// `CxHxW`, or the number of values of a vector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Maps(shape) => write!(f, "{shape}"),
            Self::Vector(n) => write!(f, "{n}"),
        }
    }
}

/// The values that lie between two layers, for a batch of `n` images.
#[derive(Debug, Clone)]
pub enum Activation {
    /// Feature maps `[n, channels, height, width]`.
    Maps(Tensor<4>),
    /// Vectors `[n, values]`.
    Vectors(Tensor<2>),
}

impl Activation {
    /// Vectors `[n, values]`; maps are flattened.
    pub fn vectors(self) -> Tensor<2> {
        match self {
            Self::Maps(maps) => maps.flatten(1, 3),
            Self::Vectors(vectors) => vectors,
        }
    }

    /// Maps `[n, channels, height, width]`; of a vector every value is a map of one pixel.
    pub fn maps(self) -> Tensor<4> {
        match self {
            Self::Maps(maps) => maps,
            Self::Vectors(vectors) => vectors.unsqueeze_dims(&[2, 3]),
        }
    }

    /// Applies a function to every value, whatever the shape.
    pub fn map(self, maps: impl FnOnce(Tensor<4>) -> Tensor<4>, vectors: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Self {
        match self {
            Self::Maps(x) => Self::Maps(maps(x)),
            Self::Vectors(x) => Self::Vectors(vectors(x)),
        }
    }
}
