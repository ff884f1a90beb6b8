//! Burn's optimizer rules, stepped over a whole model, with a state that can be saved under parameter names.
//!
//! Burn's own `ModuleOptimizer` restores its state on the *default* device, which on a machine without a GPU does
//! not exist, and keys it by random parameter ids. Here the state is keyed by the parameter's path in the model and
//! restored where the model is.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, DynOptimizer, DynState, SgdConfig, StateSink, StateSource};
use burn::store::burn_pack::{Reader, Tensor as PackTensor, Writer};
use burn::tensor::{Bytes, Device, Gradients, Tensor, TensorData};

use crate::compute::failure;
use crate::error::{Error, Result};
use crate::network::Model;
use crate::network::flat::Cursor;
use crate::recipe::OptimizerConfig;

/// Turns gradients into new weights, and remembers what the rule needs from step to step.
#[derive(Clone)]
pub struct Optimizer {
    rule: Arc<dyn DynOptimizer>,
    /// By which gradients are too large.
    gradient_scale: f64,
    state: BTreeMap<String, DynState>,
}

impl Optimizer {
    /// With no step taken yet. The rules compute as PyTorch's of the same name with its defaults.
    pub fn new(config: OptimizerConfig) -> Self {
        let rule: Arc<dyn DynOptimizer> = match config {
            OptimizerConfig::Sgd { momentum, nesterov, weight_decay } => {
                let momentum = (momentum > 0.0)
                    .then(|| MomentumConfig::new().with_momentum(momentum).with_dampening(0.0).with_nesterov(nesterov));
                Arc::new(SgdConfig::new().with_momentum(momentum).with_weight_decay(decay(weight_decay)).build())
            }
            OptimizerConfig::Adam { weight_decay } => {
                Arc::new(AdamConfig::new().with_epsilon(1e-8).with_weight_decay(decay(weight_decay)).build())
            }
            OptimizerConfig::AdamW { weight_decay } => {
                Arc::new(AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(weight_decay as f32).build())
            }
        };
        Self { rule, gradient_scale: 1.0, state: BTreeMap::new() }
    }

    /// Divides every gradient by this first: the loss was scaled up by as much.
    pub fn with_gradient_scale(self, scale: f64) -> Self {
        Self { gradient_scale: scale, ..self }
    }

    /// One step at `learning_rate`. Parameters without a gradient stay as they are.
    pub fn step(&mut self, learning_rate: f64, model: Model, gradients: Gradients) -> Model {
        self.step_of_all(learning_rate, model, gradients, None)
    }

    /// One step with the gradients that others computed added: a vector of those of all parameters in the model's order.
    pub fn step_of_all(
        &mut self,
        learning_rate: f64,
        model: Model,
        gradients: Gradients,
        others: Option<&Tensor<1>>,
    ) -> Model {
        model.map(&mut Step {
            optimizer: self,
            learning_rate,
            gradients,
            others: others.map(Cursor::new),
            path: Vec::new(),
        })
    }

    /// The state as a burnpack file. The same state gives the same bytes.
    ///
    /// # Errors
    /// Invalid data or device: the state cannot be written, or what holds it is gone.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut sink = StateSink::default();
        for (path, state) in &self.state {
            self.rule.state_flatten(path, state, &mut sink);
        }
        let tensors = sink.tensors.into_iter().map(|(name, data)| {
            let (bytes, shape, dtype) = data.into_parts();
            PackTensor::new(name, dtype, shape, None, bytes)
        });
        let writer = Writer::new(tensors.collect());
        let writer = sink.scalars.iter().fold(writer, |writer, (name, value)| writer.with_scalar(name, *value));
        Ok(writer.into_bytes().map_err(|e| failure::unwritable("the optimizer's state", &e.to_string()))?.to_vec())
    }

    /// Restores what [`to_bytes`](Self::to_bytes) wrote, onto `device`.
    ///
    /// # Errors
    /// Invalid data: the bytes are no burnpack, or hold the state of another rule.
    pub fn load_bytes(&mut self, bytes: Vec<u8>, device: &Device) -> Result<()> {
        let invalid = |e: &dyn std::fmt::Display| Error::invalid(e.to_string());
        let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|e| invalid(&e))?;
        let mut source = StateSource::new(reader.scalars().clone());
        let mut ranks = BTreeMap::new();
        for tensor in reader.into_tensors().map_err(|e| invalid(&e))? {
            let (name, dtype, shape, _, bytes) = tensor.into_parts().map_err(|e| invalid(&e))?;
            ranks.insert(parameter_of(&name).to_string(), shape.num_dims());
            source.insert_tensor(name, TensorData::from_bytes(bytes, shape, dtype));
        }
        let mut state = BTreeMap::new();
        for (path, rank) in ranks {
            let restored = self.rule.state_unflatten(rank, &path, &mut source, device);
            let restored = restored.ok_or_else(|| invalid(&format!("the state of {path} is not of this optimizer")))?;
            state.insert(path, restored);
        }
        self.state = state;
        Ok(())
    }
}

/// L2 regularization as burn takes it, or none.
fn decay(weight_decay: f64) -> Option<WeightDecayConfig> {
    (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay as f32))
}

/// `layers.1.weight` of `layers.1.weight.momentum.velocity`: every rule keeps its tensors one level down.
fn parameter_of(name: &str) -> &str {
    name.rsplitn(3, '.').last().unwrap_or(name)
}

/// Walks the model, and steps every parameter that has a gradient.
struct Step<'a> {
    optimizer: &'a mut Optimizer,
    learning_rate: f64,
    gradients: Gradients,
    others: Option<Cursor<'a>>,
    path: Vec<String>,
}

impl ModuleMapper for Step<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        if !tensor.is_require_grad() {
            return Param::from_mapped_value(id, tensor, mapper);
        }
        let of_others = self.others.as_mut().map(|flat| flat.take(tensor.dims()));
        let Some(gradient) = tensor.grad_remove(&mut self.gradients) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let gradient = of_others.into_iter().fold(gradient, |sum, other| sum + other);
        let scale = self.optimizer.gradient_scale;
        let gradient = if scale == 1.0 { gradient } else { gradient / scale };
        let path = self.path.join(".");
        let state = self.optimizer.state.remove(&path);
        let (weights, gradient) = (tensor.inner().into_bridge(), gradient.into_bridge());
        let (weights, state) = self.optimizer.rule.step_dyn(D, self.learning_rate, weights, gradient, state);
        if let Some(state) = state {
            self.optimizer.state.insert(path, state);
        }
        let weights = Tensor::from_inner(Tensor::<D>::from_bridge(weights)).require_grad();
        Param::from_mapped_value(id, weights, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::recipe::Recipe;

    /// A network and an optimizer after one step.
    fn stepped(config: OptimizerConfig) -> (Model, Optimizer) {
        let recipe = Recipe::preset("linear_v0-mse").unwrap();
        let shape = ImageShape { channels: 1, height: 2, width: 2 };
        let model = recipe.model(shape, 3, &Device::flex().autodiff()).unwrap();
        let mut optimizer = Optimizer::new(config);
        let gradients = step(&model);
        (optimizer.step(0.1, model, gradients), optimizer)
    }

    fn step(model: &Model) -> Gradients {
        model.forward(Tensor::ones([2, 1, 2, 2], &Device::flex())).square().sum().backward()
    }

    fn values(model: &Model) -> Vec<f32> {
        crate::network::flat::parameters(model).into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_restored_state_steps_as_the_one_that_was_saved() {
        for config in [
            OptimizerConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1 },
            OptimizerConfig::Adam { weight_decay: 0.0 },
            OptimizerConfig::AdamW { weight_decay: 0.1 },
        ] {
            let (model, mut saved) = stepped(config);
            let mut restored = Optimizer::new(config);
            restored.load_bytes(saved.to_bytes().unwrap(), &Device::flex()).unwrap();
            let expected = values(&saved.step(0.1, model.clone(), step(&model)));
            assert_eq!(values(&restored.step(0.1, model.clone(), step(&model))), expected, "{config:?}");
            assert_ne!(values(&Optimizer::new(config).step(0.1, model.clone(), step(&model))), expected, "{config:?}");
        }
    }

    #[test]
    fn a_scaled_gradient_is_scaled_back() {
        let config = OptimizerConfig::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        let (model, mut plain) = stepped(config);
        let loss = model.forward(Tensor::ones([2, 1, 2, 2], &Device::flex())).square().sum() * 1024.0;
        let scaled = Optimizer::new(config).with_gradient_scale(1024.0).step(0.1, model.clone(), loss.backward());
        let expected = plain.step(0.1, model.clone(), step(&model));
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
        assert!(values(&scaled).iter().zip(&values(&expected)).all(close));
    }

    #[test]
    fn a_state_of_another_rule_is_refused() {
        let (_, sgd) = stepped(OptimizerConfig::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 });
        let mut adam = Optimizer::new(OptimizerConfig::Adam { weight_decay: 0.0 });
        let error = adam.load_bytes(sgd.to_bytes().unwrap(), &Device::flex()).unwrap_err();
        assert!(error.to_string().contains("is not of this optimizer"), "{error}");
        assert!(adam.load_bytes(b"nonsense".to_vec(), &Device::flex()).is_err());
    }
}
