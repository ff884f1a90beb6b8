//! The layers of a network with what each costs for one image.

use super::Shape;
use super::layers::{AnyLayer, Layer, Parameter};

/// One row of a layer table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The position in the network, which begins the names of the layer's parameters.
    pub name: String,
    /// The layer as text.
    pub layer: String,
    /// What comes out for one image.
    pub output: Shape,
    /// The number of trained values.
    pub parameters: u64,
    /// Multiplications that are added up, for one image forward.
    pub multiply_adds: u64,
}

/// The rows of a layer table, from input to output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// One row a layer.
    pub rows: Vec<Row>,
}

impl Summary {
    /// The table of layers, each with the shape of its input and of its output.
    pub(super) fn of<'a>(placed: impl Iterator<Item = (&'a Layer, Shape, Shape)>) -> Self {
        let row = |(i, (layer, input, output)): (usize, (&Layer, Shape, Shape))| Row {
            name: i.to_string(),
            layer: layer.to_string(),
            output,
            parameters: layer.parameters(input).iter().filter(|p| p.trained).map(Parameter::len).sum(),
            multiply_adds: layer.multiply_adds(input),
        };
        Self { rows: placed.enumerate().map(row).collect() }
    }

    /// Trained values of all layers.
    pub fn parameters(&self) -> u64 {
        self.rows.iter().map(|row| row.parameters).sum()
    }

    /// Multiply-adds of all layers, for one image forward.
    pub fn multiply_adds(&self) -> u64 {
        self.rows.iter().map(|row| row.multiply_adds).sum()
    }
}

#[cfg(test)]
mod tests {
    use crate::data::ImageShape;
    use crate::network::{Architecture, Network};

    const CIFAR: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

    fn network(name: &str) -> Network {
        Network::new(&Architecture::named(name).unwrap(), CIFAR, 10).unwrap()
    }

    #[test]
    fn published_sizes_are_met() {
        // Convolutions of VGG-11 and VGG-16 without their biases, two values a channel for batch norm, a 512-10 head.
        let vgg11 = network("vgg11").summary();
        assert_eq!(vgg11.parameters(), 9_217_728 + 2 * 2752 + 5130);
        assert_eq!(network("vgg16").summary().parameters(), 14_710_464 + 2 * 4224 + 5130);
        // The original states 6.57 million for ResNet-9.
        assert_eq!(network("resnet9").summary().parameters() / 10_000, 657);
        assert_eq!(network("linear_v0").summary().parameters(), 30_730);
        // Worked out by hand: 152.7 million in the convolutions, 0.2 million in batch norm, 5,120 in the head.
        assert_eq!(vgg11.multiply_adds() / 100_000, 1529);
    }
}
