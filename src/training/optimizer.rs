//! The optimizers: PyTorch's SGD, Adam and AdamW.
//!
//! What a rule remembers (a momentum, or two moments) is a vector too, in the network's order, and is saved as one. On the
//! CPU a step is one pass over memory; elsewhere it is composed of burn's operations, which are fused there.

use burn::module::{Module, ModuleMapper, Param};
use burn::store::burn_pack::{Reader, Scalar, Tensor as PackTensor, Writer};
use burn::tensor::{Bytes, DType, Device, Gradients, Tensor, TensorData};

use super::rule::{self, Factors, composed, in_place, names};
use crate::compute::shaders::Rule;
use crate::compute::{failure, is_cpu};
use crate::error::{Error, Result};
use crate::network::Model;
use crate::network::flat::Cursor;
use crate::recipe::OptimizerConfig;

/// The scalar in a saved state that counts its steps.
const STEPS: &str = "steps";

/// Turns gradients into new weights, and remembers what the rule needs from step to step.
#[derive(Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// By which gradients are too large.
    gradient_scale: f64,
    /// Steps taken, on which Adam's correction depends.
    steps: u64,
    moments: Moments,
}

/// What a rule remembers of earlier gradients: as many vectors as it [names](names), each of a value for every parameter.
#[derive(Clone)]
enum Moments {
    /// Whole vectors `[parameters]`, where the CPU computes, and after loading.
    Host(Vec<Vec<f32>>),
    /// On the device that computes, a vector for each tensor of parameters, or one for all.
    Device(Vec<Vec<Tensor<1>>>),
}

impl Moments {
    /// Zeros for rules that have not taken a step, and moved to the device's side where it is not the CPU. `sizes` gives
    /// those of the tensors of parameters, which the CPU does not ask for at every step.
    fn placed(self, count: usize, sizes: impl FnOnce() -> Vec<usize>, device: &Device) -> Self {
        if matches!(&self, Self::Host(moments) if moments.len() == count && is_cpu(device)) {
            return self;
        }
        let sizes = sizes();
        let moments = match self {
            Self::Host(moments) if moments.is_empty() => vec![vec![0.0; sizes.iter().sum()]; count],
            Self::Host(moments) => moments,
            Self::Device(moments) if moments.iter().all(|parts| parts.len() == sizes.len()) => {
                return Self::Device(moments);
            }
            Self::Device(moments) => {
                let pieces = |parts: Vec<Tensor<1>>| {
                    let whole = Tensor::cat(parts, 0);
                    let mut cursor = Cursor::new(&whole);
                    sizes.iter().map(|&n| cursor.take([n])).collect()
                };
                return Self::Device(moments.into_iter().map(pieces).collect());
            }
        };
        if is_cpu(device) {
            return Self::Host(moments);
        }
        let split = |moment: Vec<f32>| {
            let mut rest = &moment[..];
            let mut upload = |&n: &usize| {
                let (values, after) = rest.split_at(n);
                rest = after;
                Tensor::from_data(TensorData::new(values.to_vec(), [n]), device)
            };
            sizes.iter().map(&mut upload).collect()
        };
        Self::Device(moments.into_iter().map(split).collect())
    }

    fn to_host(&self) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Host(moments) => Ok(moments.clone()),
            Self::Device(moments) => {
                let read = |moment: &Vec<Tensor<1>>| {
                    let data = Tensor::cat(moment.clone(), 0).try_into_data().map_err(|e| failure::device(&e))?;
                    data.try_to_vec().map_err(|e| failure::device(&e))
                };
                moments.iter().map(read).collect()
            }
        }
    }
}

impl Optimizer {
    /// With no step taken yet. The rules compute as PyTorch's of the same name with its defaults.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, gradient_scale: 1.0, steps: 0, moments: Moments::Host(Vec::new()) }
    }

    /// Divides every gradient by this first: the loss was scaled up by as much.
    pub fn with_gradient_scale(self, scale: f64) -> Self {
        Self { gradient_scale: scale, ..self }
    }

    /// One step at `learning_rate`. Parameters without a gradient count as having one of zeros.
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
        self.steps += 1;
        let device = model.devices().into_iter().next().unwrap_or_default().inner();
        let sizes = || model.network().trained().map(|parameter| parameter.len() as usize).collect();
        let moments = std::mem::replace(&mut self.moments, Moments::Host(Vec::new()));
        let mut walk = Walk {
            config: self.config,
            factors: Factors::of(self.config, learning_rate, self.steps),
            gradient_scale: self.gradient_scale,
            gradients,
            others: others.map(Cursor::new),
            moments: moments.placed(names(self.config).len(), sizes, &device),
            seen: 0,
            seen_values: 0,
        };
        let model = model.map(&mut walk);
        self.moments = walk.moments;
        model
    }

    /// What the rule remembers, each moment as one vector `[parameters]` on the device, which a [resident](super::resident) step
    /// changes in place.
    pub(super) fn moments_in_one_piece(&mut self, model: &Model, device: &Device) -> Vec<Tensor<1>> {
        let n = model.network().trained().map(|parameter| parameter.len() as usize).sum();
        let moments = std::mem::replace(&mut self.moments, Moments::Host(Vec::new()));
        self.moments = match moments.placed(names(self.config).len(), || vec![n], device) {
            Moments::Device(moments) => {
                Moments::Device(moments.into_iter().map(|parts| vec![Tensor::cat(parts, 0)]).collect())
            }
            on_host => on_host,
        };
        match &self.moments {
            Moments::Device(moments) => moments.concat(),
            Moments::Host(_) => Vec::new(),
        }
    }

    /// The rule, in the numbers of the shader that steps in place.
    pub(super) fn rule(&self) -> Rule {
        rule::of_shader(self.config, self.gradient_scale)
    }

    /// The factors of the step that is so many `ahead`, 1 for the next: the learning rate, the step size, the root of Adam's
    /// second correction.
    pub(super) fn factors(&self, learning_rate: f64, ahead: u64) -> [f32; 3] {
        let Factors { rate, step_size, root_correction } = Factors::of(self.config, learning_rate, self.steps + ahead);
        [rate, step_size, root_correction]
    }

    /// A step was taken in place.
    pub(super) fn count_step(&mut self) {
        self.steps += 1;
    }

    /// The state as a burnpack file. The same state gives the same bytes.
    ///
    /// # Errors
    /// Invalid data or device: the state cannot be written, or what holds it is gone.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let tensor = |(name, values): (&&str, Vec<f32>)| {
            let n = values.len();
            let (bytes, shape, dtype) = TensorData::new(values, [n]).into_parts();
            PackTensor::new((*name).to_string(), dtype, shape, None, bytes)
        };
        let tensors = names(self.config).iter().zip(self.moments.to_host()?).map(tensor);
        let writer = Writer::new(tensors.collect()).with_scalar(STEPS, Scalar::UInt(self.steps));
        Ok(writer.into_bytes().map_err(|e| failure::unwritable("the optimizer's state", &e.to_string()))?.to_vec())
    }

    /// Restores what [`to_bytes`](Self::to_bytes) wrote for a network of so many trained `parameters`.
    ///
    /// # Errors
    /// Invalid data: the bytes are no burnpack, or hold the state of another rule or network.
    pub fn load_bytes(&mut self, bytes: Vec<u8>, parameters: usize) -> Result<()> {
        let invalid = |e: &dyn std::fmt::Display| Error::invalid(e.to_string());
        let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|e| invalid(&e))?;
        let Some(&Scalar::UInt(steps)) = reader.scalars().get(STEPS) else {
            return Err(invalid(&"the state of the optimizer does not say how many steps it has taken"));
        };
        let mut moments = vec![None; names(self.config).len()];
        for tensor in reader.into_tensors().map_err(|e| invalid(&e))? {
            let (name, dtype, shape, _, bytes) = tensor.into_parts().map_err(|e| invalid(&e))?;
            let Some(place) = names(self.config).iter().position(|known| *known == name) else {
                return Err(invalid(&format!("the state of '{name}' is not of this optimizer")));
            };
            if dtype != DType::F32 || shape.num_elements() != parameters {
                let found = shape.num_elements();
                return Err(invalid(&format!("'{name}' has {found} values, but the network {parameters} parameters")));
            }
            moments[place] = TensorData::from_bytes(bytes, shape, dtype).try_to_vec().ok();
        }
        // Before its first step a rule remembers nothing.
        let moments: Vec<Vec<f32>> = moments.into_iter().flatten().collect();
        if moments.len() != names(self.config).len() && !(moments.is_empty() && steps == 0) {
            return Err(invalid(
                &"the saved state is not of this optimizer: it does not remember all that this one does",
            ));
        }
        (self.steps, self.moments) = (steps, Moments::Host(moments));
        Ok(())
    }
}

/// Walks a model, and steps every parameter.
struct Walk<'a> {
    config: OptimizerConfig,
    factors: Factors,
    gradient_scale: f64,
    gradients: Gradients,
    others: Option<Cursor<'a>>,
    moments: Moments,
    /// Tensors of parameters so far.
    seen: usize,
    /// Values in them.
    seen_values: usize,
}

impl Walk<'_> {
    fn step<const D: usize>(&mut self, weights: Tensor<D>, gradient: Tensor<D>) -> Tensor<D> {
        let (device, dims) = (weights.device(), weights.dims());
        let n = dims.iter().product();
        let first_value = self.seen_values;
        self.seen_values += n;
        self.seen += 1;
        match &mut self.moments {
            Moments::Host(moments) => {
                let (mut weights, gradient) = (weights.into_data(), gradient.into_data());
                // Networks keep their weights in single precision.
                if let (Ok(weights), Ok(gradient)) = (weights.as_mut_slice::<f32>(), gradient.as_slice::<f32>()) {
                    let mut of_these = moments.iter_mut().map(|moment| &mut moment[first_value..][..n]);
                    let moments = [of_these.next().unwrap_or_default(), of_these.next().unwrap_or_default()];
                    in_place(self.config, self.factors, weights, gradient, moments);
                }
                Tensor::from_data(weights, &device)
            }
            Moments::Device(moments) => {
                let of_these = moments.iter().map(|moment| moment[self.seen - 1].clone()).collect();
                let (weights, gradient) = (weights.reshape([n]), gradient.reshape([n]));
                let (weights, of_these) = composed(self.config, self.factors, weights, gradient, of_these);
                for (moment, new) in moments.iter_mut().zip(of_these) {
                    moment[self.seen - 1] = new;
                }
                weights.reshape(dims)
            }
        }
    }
}

impl ModuleMapper for Walk<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        if !tensor.is_require_grad() {
            return Param::from_mapped_value(id, tensor, mapper);
        }
        let of_others = self.others.as_mut().map(|flat| flat.take(tensor.dims()));
        let gradient = tensor.grad_remove(&mut self.gradients).unwrap_or_else(|| tensor.clone().inner().zeros_like());
        let gradient = of_others.into_iter().fold(gradient, |sum, other| sum + other);
        let scale = self.gradient_scale;
        let gradient = if scale == 1.0 { gradient } else { gradient / scale };
        let weights = Tensor::from_inner(self.step(tensor.inner(), gradient)).require_grad();
        Param::from_mapped_value(id, weights, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::recipe::Recipe;

    /// A linear model of four pixels and three classes has as many.
    const PARAMETERS: usize = 15;

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
            restored.load_bytes(saved.to_bytes().unwrap(), PARAMETERS).unwrap();
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
        let error = adam.load_bytes(sgd.to_bytes().unwrap(), PARAMETERS).unwrap_err();
        assert!(error.to_string().contains("is not of this optimizer"), "{error}");
        let error = Optimizer::new(sgd.config).load_bytes(sgd.to_bytes().unwrap(), PARAMETERS + 1).unwrap_err();
        assert!(error.to_string().contains("has 15 values, but the network 16 parameters"), "{error}");
        assert!(adam.load_bytes(b"nonsense".to_vec(), PARAMETERS).is_err());
    }
}
