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

use crate::model::Model;
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

    /// The same with the gradients that others computed added: a vector of those of all parameters in the model's order.
    pub fn step_of_all(
        &mut self,
        learning_rate: f64,
        model: Model,
        gradients: Gradients,
        others: Option<&Tensor<1>>,
    ) -> Model {
        model.map(&mut Step { optimizer: self, learning_rate, gradients, others, next: 0, path: Vec::new() })
    }

    /// The state as a burnpack file. The same state gives the same bytes.
    ///
    /// # Errors
    /// What burn's writer says.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
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
        Ok(writer.into_bytes().map_err(|e| e.to_string())?.to_vec())
    }

    /// Restores what [`to_bytes`](Self::to_bytes) wrote, onto `device`.
    ///
    /// # Errors
    /// A sentence: the bytes are no burnpack, or hold the state of another rule.
    pub fn load_bytes(&mut self, bytes: Vec<u8>, device: &Device) -> Result<(), String> {
        let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|e| e.to_string())?;
        let mut source = StateSource::new(reader.scalars().clone());
        let mut ranks = BTreeMap::new();
        for tensor in reader.into_tensors().map_err(|e| e.to_string())? {
            let (name, dtype, shape, _, bytes) = tensor.into_parts().map_err(|e| e.to_string())?;
            ranks.insert(parameter_of(&name).to_string(), shape.num_dims());
            source.insert_tensor(name, TensorData::from_bytes(bytes, shape, dtype));
        }
        let mut state = BTreeMap::new();
        for (path, rank) in ranks {
            let restored = self.rule.state_unflatten(rank, &path, &mut source, device);
            let restored = restored.ok_or_else(|| format!("the state of {path} is not of this optimizer"))?;
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

/// `Model.fc1.weight` of `Model.fc1.weight.momentum.velocity`: every rule keeps its tensors one level down.
fn parameter_of(name: &str) -> &str {
    name.rsplitn(3, '.').last().unwrap_or(name)
}

/// The tensor of these dimensions that begins at `next` of a flat vector; `next` moves behind it.
pub fn part<const D: usize>(flat: &Tensor<1>, next: &mut usize, dims: [usize; D]) -> Tensor<D> {
    let (start, n) = (*next, dims.iter().product());
    *next += n;
    flat.clone().narrow(0, start, n).reshape(dims)
}

/// Walks the model, and steps every parameter that has a gradient.
struct Step<'a> {
    optimizer: &'a mut Optimizer,
    learning_rate: f64,
    gradients: Gradients,
    others: Option<&'a Tensor<1>>,
    /// Where the next parameter's gradient begins in them.
    next: usize,
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
        let of_others = self.others.map(|flat| part(flat, &mut self.next, tensor.dims()));
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
