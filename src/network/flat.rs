//! Parameters and gradients of a network as one flat vector, in the network's order: what travels between devices.

use std::collections::VecDeque;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

use super::Model;
use crate::compute::{read, write};
use crate::error::Result;

/// All trained parameters, `[parameters]`, on the model's device.
pub fn parameters(model: &Model) -> Tensor<1> {
    collect(model, Wanted::Parameters)
}

/// The gradients of all trained parameters, `[parameters]`; zero where there is none.
pub fn gradients(model: &Model, mut gradients: Gradients) -> Tensor<1> {
    Tensor::cat(gradient_parts(model, &mut gradients), 0)
}

/// Takes the gradients of all trained parameters of a model, or of some layers, a vector for each; zero where there is none.
pub fn gradient_parts(layers: &impl Module, gradients: &mut Gradients) -> Vec<Tensor<1>> {
    parts(layers, Wanted::Gradients(gradients))
}

/// All values, `[values]`, on the model's device without autodiff: parameters, running statistics and what stays as it is.
pub fn values(model: &Model) -> Tensor<1> {
    collect(&model.valid(), Wanted::Everything)
}

/// `model` with other values, as [`values`] gives them.
pub fn with_values(model: Model, flat: &Tensor<1>) -> Model {
    model.map(&mut Replace { flat: Cursor::new([flat.clone()]), all: true })
}

/// `model` with other trained parameters, as [`parameters`] gives them.
pub fn with_parameters(model: Model, flat: &Tensor<1>) -> Model {
    model.map(&mut Replace { flat: Cursor::new([flat.clone()]), all: false })
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
    let flat = write(values, &device);
    Ok(skeleton.map(&mut Replace { flat: Cursor::new([flat]), all: true }))
}

/// Takes tensors of given sides from flat vectors, one behind the other.
pub struct Cursor {
    parts: VecDeque<Tensor<1>>,
    /// Values of the first part that are taken.
    taken: usize,
}

impl Cursor {
    /// At the beginning of the first of these vectors. No tensor lies in two of them.
    pub fn new(parts: impl IntoIterator<Item = Tensor<1>>) -> Self {
        Self { parts: parts.into_iter().collect(), taken: 0 }
    }

    /// The next tensor, of sides `dims`; the vectors must have as many values left.
    pub fn take<const D: usize>(&mut self, dims: [usize; D]) -> Tensor<D> {
        let n = dims.iter().product::<usize>();
        let part = &self.parts[0];
        let (start, end, length) = (self.taken, self.taken + n, part.dims()[0]);
        if end < length {
            self.taken = end;
            return part.clone().narrow(0, start, n).reshape(dims);
        }
        // Nobody else has what is the last of a part, so it need not be copied to be changed.
        let part = self.parts.pop_front().unwrap_or_else(|| Tensor::empty([0], &Default::default()));
        self.taken = 0;
        if start == 0 { part.reshape(dims) } else { part.narrow(0, start, n).reshape(dims) }
    }
}

/// Vectors one behind the other, in fewer and longer ones: those of fewer than `least` values are joined.
pub fn joined(parts: Vec<Tensor<1>>, least: usize) -> Vec<Tensor<1>> {
    let (mut joined, mut open, mut length) = (Vec::new(), Vec::new(), 0);
    let close = |open: &mut Vec<Tensor<1>>| match open.len() {
        0 => None,
        1 => open.pop(),
        _ => Some(Tensor::cat(std::mem::take(open), 0)),
    };
    for part in parts {
        let n = part.dims()[0];
        if n >= least || length >= least {
            joined.extend(close(&mut open));
            length = 0;
        }
        length += n;
        open.push(part);
    }
    joined.extend(close(&mut open));
    joined
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
    Tensor::cat(parts(model, wanted), 0)
}

fn parts(layers: &impl Module, wanted: Wanted<'_>) -> Vec<Tensor<1>> {
    let mut collected = Collect { wanted, parts: Vec::new() };
    layers.visit(&mut collected);
    collected.parts
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

struct Replace {
    flat: Cursor,
    /// Running statistics and fixed values too.
    all: bool,
}

impl ModuleMapper for Replace {
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
    fn short_vectors_are_joined_and_a_cursor_finds_every_tensor_in_them() {
        let vector = |n: usize, value: f32| Tensor::<1>::full([n], value, &Device::flex());
        let parts = || [2, 3, 9, 1, 1, 4, 2].iter().zip(0u8..).map(|(&n, i)| vector(n, f32::from(i))).collect();
        let joined = joined(parts(), 5);
        assert_eq!(joined.iter().map(|part| part.dims()[0]).collect::<Vec<_>>(), [5, 9, 6, 2]);
        let mut cursor = Cursor::new(joined);
        for part in parts() {
            let found = cursor.take([1, part.dims()[0]]).into_data().try_to_vec::<f32>().unwrap();
            assert_eq!(found, part.into_data().try_to_vec::<f32>().unwrap());
        }
        assert!(cursor.parts.is_empty());
    }

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
