//! A step of an optimizer over a model, parameter by parameter.

use burn::module::{ModuleMapper, Param};
use burn::tensor::{Gradients, Tensor};

use super::moments::Moments;
use super::muon::Filters;
use super::rule::{Factors, composed, in_place};
use crate::compute::Group;
use crate::network::flat::Cursor;
use crate::recipe::OptimizerConfig;

/// The gradients of a step.
pub(super) enum Incoming {
    /// What a backward pass left.
    Own(Gradients),
    /// Those of all parameters, one behind the other.
    Flat(Cursor),
}

/// Walks a model, and steps every parameter.
pub(super) struct Walk {
    pub config: OptimizerConfig,
    pub factors: Factors,
    pub gradient_scale: f64,
    pub norm_rate: f64,
    /// On the learning rate of a whitening layer's bias; with 0 it stays as it is.
    pub whitening_rate: f64,
    /// On its gradient.
    pub whitening_scale: f64,
    /// The group of every tensor of parameters, where some are stepped apart.
    pub groups: Vec<Group>,
    pub gradients: Incoming,
    pub moments: Moments,
    /// Tensors of parameters so far.
    pub seen: usize,
    /// Values in them.
    pub seen_values: usize,
}

impl Walk {
    fn step<const D: usize>(&mut self, weights: Tensor<D>, gradient: Tensor<D>, factors: Factors) -> Tensor<D> {
        let (device, dims) = (weights.device(), weights.dims());
        let n = dims.iter().product();
        let first_value = self.seen_values;
        self.seen_values += n;
        self.seen += 1;
        if let (4, Some(filters)) = (D, Filters::of(self.config, factors.rate)) {
            let rows = dims[0];
            let matrix = |tensor: Tensor<D>| tensor.reshape([rows, n / rows]);
            let velocity = self.moments.part(self.seen - 1, first_value..first_value + n, &device);
            let (weights, velocity) =
                filters.step(matrix(weights), matrix(gradient), velocity.reshape([rows, n / rows]));
            self.moments.set_part(self.seen - 1, first_value, velocity.reshape([n]));
            return weights.reshape(dims);
        }
        match &mut self.moments {
            Moments::Host(moments) => {
                let (mut weights, gradient) = (weights.into_data(), gradient.into_data());
                // Networks keep their weights in single precision.
                if let (Ok(weights), Ok(gradient)) = (weights.as_mut_slice::<f32>(), gradient.as_slice::<f32>()) {
                    let mut of_these = moments.iter_mut().map(|moment| &mut moment[first_value..][..n]);
                    let moments = [of_these.next().unwrap_or_default(), of_these.next().unwrap_or_default()];
                    in_place(self.config, factors, weights, gradient, moments);
                }
                Tensor::from_data(weights, &device)
            }
            Moments::Device(moments) => {
                let of_these = moments.iter().map(|moment| moment[self.seen - 1].clone()).collect();
                let (weights, gradient) = (weights.reshape([n]), gradient.reshape([n]));
                let (weights, of_these) = composed(self.config, factors, weights, gradient, of_these);
                for (moment, new) in moments.iter_mut().zip(of_these) {
                    moment[self.seen - 1] = new;
                }
                weights.reshape(dims)
            }
        }
    }
}

impl ModuleMapper for Walk {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        if !tensor.is_require_grad() {
            return Param::from_mapped_value(id, tensor, mapper);
        }
        let gradient = match &mut self.gradients {
            Incoming::Own(gradients) => {
                tensor.grad_remove(gradients).unwrap_or_else(|| tensor.clone().inner().zeros_like())
            }
            Incoming::Flat(flat) => flat.take(tensor.dims()),
        };
        let group = self.groups.get(self.seen).copied().unwrap_or_default();
        if group == Group::Whitening && self.whitening_rate == 0.0 {
            self.seen_values += tensor.shape().num_elements();
            self.seen += 1;
            return Param::from_mapped_value(id, tensor, mapper);
        }
        let (scale, rate) = match group {
            Group::Normalization => (self.norm_rate, 1.0),
            Group::Whitening => (self.whitening_scale, self.whitening_rate),
            _ => (1.0, 1.0),
        };
        let scale = scale / self.gradient_scale;
        let gradient = if scale == 1.0 { gradient } else { gradient * scale };
        let stepped = self.step(tensor.inner(), gradient, self.factors.at(rate));
        let weights = Tensor::from_inner(stepped).require_grad();
        Param::from_mapped_value(id, weights, mapper)
    }
}
