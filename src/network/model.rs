//! A list of layers that fits its images and classes, and the one module that is built of it.

use std::ops::Range;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::heard::heard;
use super::layers::{AnyLayer, Built, Forward, Layer, OnnxGraph, Parameter};
use super::{Activation, Architecture, Init, Noise, Products, Shape, Summary};
use crate::compute::cpu::Listener;
use crate::compute::peers::Peers;
use crate::data::ImageShape;
use crate::error::{Error, Result};

/// The most values in all tensors of a network: a GiB in single precision.
pub const MAX_PARAMETERS: u64 = 1 << 28;

/// A network whose layers fit each other, its images and its classes. Nothing is allocated yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    layers: Vec<Layer>,
    /// The shape before each layer, and the one behind the last.
    shapes: Vec<Shape>,
    input: ImageShape,
    classes: usize,
    /// As many of the first layers are not trained.
    frozen: usize,
}

impl Network {
    /// The network of an architecture for images of this shape and so many classes.
    ///
    /// # Errors
    /// Usage: names the layer that does not fit, what it gets and what it needs; or what is too large.
    pub fn new(architecture: &Architecture, input: ImageShape, classes: usize) -> Result<Self> {
        let layers: Vec<Layer> = architecture.layers()?.into_iter().map(|layer| layer.with_classes(classes)).collect();
        let mut shapes = vec![Shape::Maps(input)];
        for (i, layer) in layers.iter().enumerate() {
            shapes.push(layer.place(i, shapes[i])?);
        }
        let network = Self { layers, shapes, input, classes, frozen: 0 };
        network.check_beginning()?;
        network.check_end()?;
        let parameters = network.values();
        if parameters > MAX_PARAMETERS {
            let message =
                format!("a network of {parameters} parameters is too large: expected at most {MAX_PARAMETERS}");
            return Err(Error::usage(message));
        }
        Ok(network)
    }

    /// The network with so many of its first layers left as they are: nothing in them is trained, and batch normalization uses
    /// its running statistics, which stay too.
    ///
    /// # Errors
    /// Usage: nothing would be left to train.
    pub fn freezing(self, layers: usize) -> Result<Self> {
        let (count, network) = (self.layers.len(), Self { frozen: layers, ..self });
        if layers > 0 && network.trained().next().is_none() {
            return Err(Error::usage(format!(
                "freeze is {layers}, which leaves nothing to train: the network has {count} layers, see `models`"
            )));
        }
        Ok(network)
    }

    /// Checks that layers which are fitted to the images see them: `normalize` those of the data set, `whiten` these or what
    /// `normalize` makes of them.
    fn check_beginning(&self) -> Result<()> {
        for (i, layer) in self.layers.iter().enumerate().filter(|(_, layer)| layer.is_fitted()) {
            let behind_normalize = matches!((&self.layers[..i], layer), ([Layer::Normalize(_)], Layer::Whiten(_)));
            if i > 0 && !behind_normalize {
                let place = if matches!(layer, Layer::Whiten(_)) { "first, or behind `normalize`" } else { "first" };
                let message = format!("layer {}, `{layer}`, has to see the images: put it {place}", i + 1);
                return Err(Error::usage(message));
            }
        }
        Ok(())
    }

    /// Checks that one value a class comes out.
    fn check_end(&self) -> Result<()> {
        let (output, classes) = (self.shapes[self.layers.len()], self.classes);
        match (output, self.layers.last()) {
            (Shape::Vector(n), Some(_)) if n == classes => Ok(()),
            (Shape::Vector(n), Some(last)) if !self.layers.is_empty() => Err(Error::usage(format!(
                "the last layer, `{last}`, gives {n} values, but there are {classes} classes: end with `linear classes`"
            ))),
            _ => Err(Error::usage(format!(
                "the network gives {output} for an image: end with `flatten, linear classes`"
            ))),
        }
    }

    /// The network with fresh parameters drawn from the seed, the same on every device. On an autodiff device it trains
    /// (batch norm uses the batch), else it infers.
    pub fn build(&self, seed: u64, products: impl Into<Products>, device: &Device) -> Model {
        let mut init = Init::new(seed, products, device);
        let build = |(i, (layer, input, _)): (usize, (&Layer, Shape, Shape))| {
            init.freeze(i < self.frozen);
            layer.build(input, &mut init)
        };
        let layers = self.placed().enumerate().map(build).collect();
        Model { layers, network: Arc::new(self.clone()), listener: None }
    }

    /// Every layer with the shape of its input and of its output.
    pub fn placed(&self) -> impl ExactSizeIterator<Item = (&Layer, Shape, Shape)> {
        let shapes = self.shapes.iter().zip(&self.shapes[1..]);
        self.layers.iter().zip(shapes).map(|(layer, (input, output))| (layer, *input, *output))
    }

    /// The shape of its images.
    pub fn input(&self) -> ImageShape {
        self.input
    }

    /// The number of its classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The layers with their parameters and multiply-adds for one image.
    pub fn summary(&self) -> Summary {
        Summary::of(self.placed())
    }

    /// Floating point operations of a training step over so many images: two for a multiply-add forward, twice as many backward.
    pub fn step_flop(&self, images: usize) -> f64 {
        6.0 * self.summary().multiply_adds() as f64 * images as f64
    }

    /// All its tensors, running statistics included, under their names in a file of weights, such as `3.weight`.
    pub fn tensors(&self) -> impl Iterator<Item = Parameter> {
        self.placed().enumerate().flat_map(|(i, (layer, input, _))| {
            let frozen = i < self.frozen;
            let tensor = move |tensor: Parameter| if frozen { tensor.placed(i).frozen() } else { tensor.placed(i) };
            layer.parameters(input).into_iter().map(tensor)
        })
    }

    /// The values of its trained tensors.
    pub fn trained_values(&self) -> u64 {
        self.trained().map(|tensor| tensor.len()).sum()
    }

    /// Its trained tensors, in the order in which a model is walked.
    pub fn trained(&self) -> impl Iterator<Item = Parameter> {
        self.tensors().filter(|tensor| tensor.trained)
    }

    /// The values of all its tensors: as many as a file of its weights holds.
    pub fn values(&self) -> u64 {
        self.tensors().map(|tensor| tensor.len()).fold(0, u64::saturating_add)
    }

    /// Whether a layer normalizes over the batch alone, which needs two images or more in every batch.
    pub fn needs_pairs(&self) -> bool {
        self.placed().any(|(layer, input, _)| layer.normalizes() && input.len() == input.channels())
    }

    /// Whether a layer normalizes over the batch at all.
    pub fn has_norm(&self) -> bool {
        self.layers.iter().any(AnyLayer::normalizes)
    }

    /// Groups of layers that follow each other, each up to one whose values are worth a look. A layer that normalization or an
    /// activation function follows ends no group, and neither does one that only passes values on.
    pub fn stages(&self) -> Vec<Range<usize>> {
        let is_last = |i: usize| {
            let next = self.layers.get(i + 1);
            let is_taken_up = next.is_some_and(|next| matches!(next, Layer::Norm(_)) || next.is_activation());
            i + 1 == self.layers.len() || !is_taken_up && self.layers[i].makes_values()
        };
        let ends = (0..self.layers.len()).filter(|&i| is_last(i)).map(|i| i + 1);
        let mut start = 0;
        ends.map(|end| std::mem::replace(&mut start, end)..end).collect()
    }

    /// Appends all layers to an ONNX graph whose images are the value `x`; returns the name of the logits.
    pub fn onnx(&self, graph: &mut dyn OnnxGraph, x: String) -> String {
        Layer::sequence_onnx(&self.layers, graph, "", x)
    }
}

/// A network with its parameters, on a device.
#[derive(Module, Debug)]
pub struct Model {
    layers: Vec<Built>,
    #[module(skip)]
    network: Arc<Network>,
    /// Who hears of gradients during the backward pass.
    #[module(skip)]
    listener: Option<Arc<dyn Listener>>,
}

impl Model {
    /// `[n, channels, height, width]` -> logits `[n, classes]`, with no value dropped.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward_with(images, Noise::none())
    }

    /// `[n, channels, height, width]` -> logits `[n, classes]`; random layers draw from `noise`.
    pub fn forward_with(&self, images: Tensor<4>, mut noise: Noise) -> Tensor<2> {
        let images = Activation::Maps(images);
        let logits = match &self.listener {
            Some(listener) => heard(&self.layers, images, &mut noise, listener),
            None => Built::sequence(&self.layers, images, &mut noise),
        };
        logits.vectors()
    }

    /// What the layer at this position, counted from 0, makes of images `[n, channels, height, width]`; beyond the end the
    /// logits.
    pub fn activation(&self, images: Tensor<4>, layer: usize) -> Activation {
        let end = layer.saturating_add(1).min(self.layers.len());
        Built::sequence(&self.layers[..end], Activation::Maps(images), &mut Noise::none())
    }

    /// What every group of [layers](Network::stages) makes of images `[n, channels, height, width]`.
    pub fn stages(&self, images: Tensor<4>) -> Vec<Activation> {
        let mut x = Activation::Maps(images);
        let mut noise = Noise::none();
        let stages = self.network.stages().into_iter();
        stages
            .map(|range| {
                x = Built::sequence(&self.layers[range], x.clone(), &mut noise);
                x.clone()
            })
            .collect()
    }

    /// The weights of the first layer that has some, as images `[outputs, channels, height, width]`: of the size of its
    /// input for a linear layer, of its kernel for a convolution. None without such a layer.
    pub fn first_filters(&self) -> Option<Tensor<4>> {
        let mut seen = self.network.input;
        for (built, shape) in self.layers.iter().zip(&self.network.shapes) {
            if let Shape::Maps(maps) = shape {
                seen = *maps;
            }
            match built {
                Built::Conv(conv) | Built::Whiten(conv) => return Some(conv.weight.val()),
                Built::Linear(linear) => {
                    let weight = linear.weight.val();
                    let outputs = weight.dims()[1];
                    return Some(weight.transpose().reshape([outputs, seen.channels, seen.height, seen.width]));
                }
                _ => {}
            }
        }
        None
    }

    /// The model with layers that normalize a batch together with those of other devices; with none of them, each by itself.
    #[must_use]
    pub fn sharing_statistics(mut self, peers: Option<&Peers>) -> Self {
        self.layers.iter_mut().for_each(|layer| layer.share_statistics(peers));
        self
    }

    /// The model with someone who hears of gradients during the backward pass, where it is on the CPU.
    #[must_use]
    pub(crate) fn heard_by(mut self, listener: Arc<dyn Listener>) -> Self {
        self.listener = Some(listener);
        self
    }

    /// The network that it is built of.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The layers, whose parameters are named by their positions.
    pub(crate) fn layers(&self) -> &Vec<Built> {
        &self.layers
    }

    /// The layers, to be replaced by what a file holds.
    pub(crate) fn layers_mut(&mut self) -> &mut Vec<Built> {
        &mut self.layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Precision, flat};

    const GREY: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

    fn network(layers: &str) -> Result<Network> {
        Network::new(&layers.parse()?, GREY, 10)
    }

    #[test]
    fn what_does_not_fit_names_the_layer_what_it_gets_and_what_it_needs() {
        for (layers, words) in [
            ("linear classes", "layer 1, `linear 10`, gets 1x28x28 and needs a vector: put `flatten` before it"),
            ("flatten, conv 3", "layer 2, `conv 3`, gets 784 and needs maps"),
            (
                "pool max 2, pool max 2, pool max 2, pool max 2, pool max 2, flatten, linear classes",
                "layer 5, `pool max 2`",
            ),
            ("conv 8 kernel 31 padding 0, flatten, linear classes", "needs maps of at least 31x31"),
            ("conv 8, residual [conv 9], flatten, linear classes", "but they make 9x28x28 of it"),
            ("conv 8, residual [flatten, conv 8], flatten, linear classes", "layer 2, `conv 8`, gets 6272"),
            ("flatten, linear 11", "gives 11 values, but there are 10 classes"),
            ("conv 8", "the network gives 8x28x28 for an image"),
            ("flatten, linear 65536, linear 65536, linear classes", "is too large"),
            ("conv 65536, flatten, linear classes", "more than 33554432 values"),
            ("conv 8, whiten, flatten, linear classes", "put it first, or behind `normalize`"),
            (
                "normalize, normalize, flatten, linear classes",
                "layer 2, `normalize`, has to see the images: put it first",
            ),
            ("residual [normalize], flatten, linear classes", "holds `normalize`, which has to see the images"),
            ("flatten, normalize, linear classes", "gets 784 and needs images"),
        ] {
            let error = network(layers).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(words), "{layers}: {error}");
        }
    }

    #[test]
    fn frozen_layers_stay_as_they_are() {
        let layers = "conv 4, norm, relu, residual [conv 4, norm], flatten, linear classes";
        let network = network(layers).unwrap();
        for frozen in [0, 2, 4, 5] {
            let network = network.clone().freezing(frozen).unwrap();
            let model = network.build(3, Precision::F32, &Device::flex().autodiff());
            let images = Tensor::ones([4, 1, 28, 28], &Device::flex());
            let gradients = model.forward(images).sum().backward();
            let before = flat::values(&model);
            let n = flat::gradients(&model, gradients).dims()[0] as u64;
            assert_eq!(n, network.trained_values());
            // Running statistics move while a layer trains.
            let moved = (flat::values(&model) - before).abs().max().into_scalar::<f32>();
            let model_before = network.build(3, Precision::F32, &Device::flex().autodiff());
            let statistics = (flat::values(&model) - flat::values(&model_before)).abs().max().into_scalar::<f32>();
            assert_eq!((moved, statistics > 0.0), (0.0, frozen < 4), "{frozen}");
        }
        let error = network.freezing(6).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("leaves nothing to train"), "{error}");
    }

    #[test]
    fn every_kind_of_layer_has_the_shape_and_the_parameters_that_it_says() {
        let layers = "normalize, whiten kernel 3, norm scale off momentum 0.4 epsilon 1e-12, gelu, conv 6 kernel 5 stride 2 \
                      padding 1, norm, gelu, pool max 3 stride 2, residual [conv 6 bias off, norm, relu, \
                      conv 6], scale 0.5, dropout 0.25, pool avg 2, global_pool max, flatten, linear 7 bias off, norm, relu, \
                      residual [linear 7, gelu], linear classes";
        for device in [Device::flex(), Device::flex().autodiff()] {
            let network = network(layers).unwrap();
            let model = network.build(3, Precision::F32, &device);
            let images = || Tensor::ones([4, 1, 28, 28], &Device::flex());
            for (i, (layer, _, output)) in network.placed().enumerate() {
                let found = match model.activation(images(), i) {
                    Activation::Maps(x) => x.dims()[1..].to_vec(),
                    Activation::Vectors(x) => x.dims()[1..].to_vec(),
                };
                let expected = match output {
                    Shape::Maps(ImageShape { channels, height, width }) => vec![channels, height, width],
                    Shape::Vector(n) => vec![n],
                };
                assert_eq!(found, expected, "layer {}, `{layer}`", i + 1);
            }
            assert_eq!(model.forward(images()).dims(), [4, 10]);
            assert_eq!(model.num_params() as u64, network.values());
        }
    }

    #[test]
    fn stages_end_where_values_are_worth_a_look_and_are_what_the_layers_compute() {
        let layers = "conv 4, norm, relu, pool max 2, residual [norm, relu], dropout 0.5, conv 2, flatten, linear 9, relu, linear classes";
        let network = network(layers).unwrap();
        assert_eq!(network.stages(), [0..3, 3..4, 4..5, 5..7, 7..10, 10..11]);
        let model = network.build(3, Precision::F32, &Device::flex());
        let images = || Tensor::ones([2, 1, 28, 28], &Device::flex()) * 0.5;
        let values = |x: Activation| x.vectors().into_data().try_to_vec::<f32>().unwrap();
        for (stage, found) in network.stages().iter().zip(model.stages(images())) {
            assert_eq!(values(found), values(model.activation(images(), stage.end - 1)), "{stage:?}");
        }
    }

    #[test]
    fn the_catalogue_is_of_networks_that_fit() {
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        for name in super::super::catalogue::names() {
            let network = Network::new(&Architecture::named(name).unwrap(), shape, 10).unwrap();
            let model = network.build(0, Precision::F32, &Device::flex());
            assert_eq!(model.num_params() as u64, network.values(), "{name}");
            assert!(model.first_filters().is_some(), "{name}");
        }
    }
}
