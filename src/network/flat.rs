//! Parameters and gradients of a network as one flat vector, in the network's order: what travels between devices.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

use super::Model;
use crate::compute::read;
use crate::error::Result;

/// All trained parameters, `[parameters]`, on the model's device.
pub fn parameters(model: &Model) -> Tensor<1> {
    collect(model, Wanted::Parameters)
}

/// The gradients of all trained parameters, `[parameters]`; zero where there is none.
pub fn gradients(model: &Model, mut gradients: Gradients) -> Tensor<1> {
    collect(model, Wanted::Gradients(&mut gradients))
}

/// All values, `[values]`, on the model's device without autodiff: parameters, running statistics and what stays as it is.
pub fn values(model: &Model) -> Tensor<1> {
    collect(&model.valid(), Wanted::Everything)
}

/// `model` with other values, as [`values`] gives them.
pub fn with_values(model: Model, flat: &Tensor<1>) -> Model {
    model.map(&mut Replace { flat: Cursor::new(flat), all: true })
}

/// `model` with other trained parameters, as [`parameters`] gives them.
pub fn with_parameters(model: Model, flat: &Tensor<1>) -> Model {
    model.map(&mut Replace { flat: Cursor::new(flat), all: false })
}

/// `skeleton`, a fresh model of the same network on another device, with the parameters and running statistics of
/// `model`, brought over in one read that does not block: a browser can read from a GPU in no other way. `model` is on no
/// autodiff device; `skeleton` may be.
///
/// # Errors
/// Device: the weights cannot be read.
pub async fn copy(model: &Model, skeleton: Model) -> Result<Model> {
    let device = skeleton.devices().into_iter().next().unwrap_or_default();
    let values = read(collect(model, Wanted::Everything)).await?;
    let n = values.len();
    let flat = Tensor::from_data(TensorData::new(values, [n]), &device);
    Ok(skeleton.map(&mut Replace { flat: Cursor::new(&flat), all: true }))
}

/// Takes tensors of given sides from a flat vector, one behind the other.
pub struct Cursor<'a> {
    flat: &'a Tensor<1>,
    next: usize,
}

impl<'a> Cursor<'a> {
    /// At the vector's beginning.
    pub fn new(flat: &'a Tensor<1>) -> Self {
        Self { flat, next: 0 }
    }

    /// The next tensor, of sides `dims`; the vector must have as many values left.
    pub fn take<const D: usize>(&mut self, dims: [usize; D]) -> Tensor<D> {
        let (start, n) = (self.next, dims.iter().product());
        self.next += n;
        self.flat.clone().narrow(0, start, n).reshape(dims)
    }
}

/// What is collected of every parameter.
enum Wanted<'a> {
    /// Its value, where it is trained.
    Parameters,
    /// Its gradient, where it is trained.
    Gradients(&'a mut Gradients),
    /// Its value, running statistics included.
    Everything,
}

fn collect(model: &Model, wanted: Wanted<'_>) -> Tensor<1> {
    let mut collected = Collect { wanted, parts: Vec::new() };
    model.visit(&mut collected);
    Tensor::cat(collected.parts, 0)
}

struct Collect<'a> {
    wanted: Wanted<'a>,
    parts: Vec<Tensor<1>>,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let n = tensor.shape().num_elements();
        let part = match &mut self.wanted {
            Wanted::Everything => tensor,
            _ if !tensor.is_require_grad() => return,
            Wanted::Parameters => tensor.inner(),
            Wanted::Gradients(gradients) => {
                tensor.grad_remove(gradients).unwrap_or_else(|| tensor.inner().zeros_like())
            }
        };
        self.parts.push(part.reshape([n]));
    }
}

struct Replace<'a> {
    flat: Cursor<'a>,
    /// Running statistics and fixed values too.
    all: bool,
}

impl ModuleMapper for Replace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let trained = tensor.is_require_grad();
        let tensor = match (trained, self.all) {
            (false, false) => tensor,
            (false, true) if tensor.device().is_autodiff() => Tensor::from_inner(self.flat.take(tensor.dims())),
            (false, true) => self.flat.take(tensor.dims()),
            (true, _) => Tensor::from_inner(self.flat.take(tensor.dims())).require_grad(),
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::network::{Architecture, Network, Precision};
    use burn::tensor::Device;

    #[test]
    fn parameters_and_gradients_lie_in_the_same_order() {
        let layers: Architecture = "conv 2, norm, relu, flatten, linear classes".parse().unwrap();
        let network = Network::new(&layers, ImageShape { channels: 1, height: 4, width: 4 }, 3).unwrap();
        let model = network.build(1, Precision::F32, &Device::flex().autodiff());
        let flat = parameters(&model);
        assert_eq!(flat.dims()[0] as u64, network.summary().parameters());
        // The gradient of half the sum of squares is the value itself.
        let doubled = with_parameters(model.clone(), &(flat.clone() * 2.0));
        let values = |t: Tensor<1>| t.into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(values(parameters(&doubled)), values(flat.clone() * 2.0));
        let all = super::values(&model);
        assert_eq!(all.dims()[0] as u64, network.values());
        let zeros = with_values(model.clone(), &all.zeros_like());
        assert_eq!(values(super::values(&zeros)), vec![0.0; network.values() as usize]);
        assert_eq!(values(parameters(&with_values(zeros, &all))), values(flat.clone()));
        let images = Tensor::ones([5, 1, 4, 4], &Device::flex());
        let loss = model.forward(images).sum();
        let gradients = values(gradients(&model, loss.backward()));
        let n = gradients.len();
        assert_eq!(&gradients[n - 3..], [5.0; 3], "the last layer's bias sees every image once");
    }
}
