//! A network's layers, with what each costs for one image.

use burn::nn::Linear;
use burn::nn::conv::Conv2d;

use super::BatchNorm;
use crate::dataset::ImageShape;

/// One row of a layer table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// As in the state dict; what it is, where it has no weights.
    pub name: String,
    /// What comes out for one image: `CxHxW`, or a number of features.
    pub output: String,
    /// Trained values.
    pub parameters: u64,
    /// Multiplications that are added up, for one image forward.
    pub multiply_adds: u64,
}

/// The rows of a layer table, filled from input to output.
pub struct Summary {
    shape: ImageShape,
    /// From input to output.
    pub layers: Vec<Layer>,
}

impl Summary {
    /// For images of this shape.
    pub fn new(shape: ImageShape) -> Self {
        Self { shape, layers: Vec::new() }
    }

    /// Trained values of all layers.
    pub fn parameters(&self) -> u64 {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }

    /// Multiply-adds of all layers, for one image forward.
    pub fn multiply_adds(&self) -> u64 {
        self.layers.iter().map(|layer| layer.multiply_adds).sum()
    }

    pub(super) fn conv(&mut self, name: &str, conv: &Conv2d) {
        let [outputs, inputs, h, w] = conv.weight.dims();
        self.shape.channels = outputs;
        let weights = (outputs * inputs * h * w) as u64;
        let bias = if conv.bias.is_some() { outputs as u64 } else { 0 };
        self.push(name, weights + bias, weights * (self.shape.height * self.shape.width) as u64);
    }

    pub(super) fn norm(&mut self, name: &str, norm: &BatchNorm) {
        let [channels] = norm.gamma.dims();
        // In inference a normalization is one multiply-add a value.
        self.push(name, 2 * channels as u64, self.shape.len() as u64);
    }

    pub(super) fn pool(&mut self, name: &str, size: usize) {
        self.shape.height /= size;
        self.shape.width /= size;
        self.push(name, 0, 0);
    }

    pub(super) fn linear(&mut self, name: &str, linear: &Linear) {
        let [inputs, outputs] = linear.weight.dims();
        self.shape = ImageShape { channels: outputs, height: 1, width: 1 };
        let bias = if linear.bias.is_some() { outputs } else { 0 };
        self.push(name, (inputs * outputs + bias) as u64, (inputs * outputs) as u64);
    }

    fn push(&mut self, name: &str, parameters: u64, multiply_adds: u64) {
        let ImageShape { channels, height, width } = self.shape;
        let output = if height * width == 1 { channels.to_string() } else { format!("{channels}x{height}x{width}") };
        self.layers.push(Layer { name: name.to_string(), output, parameters, multiply_adds });
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::tensor::Device;

    use crate::dataset::ImageShape;
    use crate::model::Model;
    use crate::recipe::Recipe;

    const CIFAR: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

    fn model(preset: &str) -> Model {
        Model::new(&Recipe::preset(preset).unwrap(), CIFAR, 10, &Device::flex())
    }

    #[test]
    fn published_sizes_are_met() {
        // Convolutions of VGG-11 and VGG-16 without their biases, two values a channel for batch norm, a 512-10 head.
        let vgg11 = model("cifar10-vgg11").summary(CIFAR);
        assert_eq!(vgg11.parameters(), 9_217_728 + 2 * 2752 + 5130);
        assert_eq!(model("cifar10-vgg16").summary(CIFAR).parameters(), 14_710_464 + 2 * 4224 + 5130);
        // The original states 6.57 million for ResNet-9.
        assert_eq!(model("cifar10-resnet9").summary(CIFAR).parameters() / 10_000, 657);
        assert_eq!(model("cifar10-linear").summary(CIFAR).parameters(), 30_730);
        // Worked out by hand: 152.7 million in the convolutions, 0.2 million in batch norm, 5,120 in the head.
        assert_eq!(vgg11.multiply_adds() / 100_000, 1529);
    }

    #[test]
    fn the_table_counts_what_the_model_has() {
        for preset in ["cifar10-linear", "linear_v1-bn-ce", "cifar10-vgg11", "cifar10-vgg16", "cifar10-resnet9"] {
            let model = model(preset);
            let running: u64 = model
                .summary(CIFAR)
                .layers
                .iter()
                .filter(|layer| layer.name.contains("norm") || layer.name.contains("bn"))
                .map(|layer| layer.parameters)
                .sum();
            // burn counts running mean and variance too: as many as scale and offset.
            assert_eq!(model.num_params() as u64, model.summary(CIFAR).parameters() + running, "{preset}");
        }
    }
}
