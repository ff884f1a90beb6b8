//! The optimizers: PyTorch's SGD, Adam and AdamW, Muon, and lookahead around any of them.
//!
//! What a rule remembers (a momentum, or two moments) is a vector too, in the network's order, and is saved as one. On the
//! CPU a step is one pass over memory; elsewhere it is composed of burn's operations, which are fused there.

use burn::module::Module;
use burn::store::burn_pack::{Reader, Scalar, Tensor as PackTensor, Writer};
use burn::tensor::{Bytes, DType, Device, Gradients, Tensor, TensorData};

use super::moments::Moments;
use super::rule::{self, Factors, names};
use super::walk::{Incoming, Walk};
use crate::compute::failure;
use crate::compute::shaders::Rule;
use crate::error::{Error, Result};
use crate::network::Model;
use crate::network::flat::{self, Cursor};
use crate::recipe::OptimizerConfig;

/// The scalar in a saved state that counts its steps.
const STEPS: &str = "steps";
/// The tensor in a saved state that lookahead's slow weights are.
const SLOW: &str = "slow_weights";

/// Turns gradients into new weights, and remembers what the rule needs from step to step.
#[derive(Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// By which gradients are too large.
    gradient_scale: f64,
    groups: Groups,
    /// Steps taken, on which Adam's correction depends.
    steps: u64,
    moments: Moments,
    /// Lookahead's, of all values of the network `[values]`.
    slow: Option<Tensor<1>>,
}

/// How some parameters are stepped apart from the others.
#[derive(Debug, Clone, Copy)]
pub struct Groups {
    /// A factor on the gradients of batch normalization's scales and offsets: for SGD, one on their learning rate that leaves
    /// their weight decay as it is.
    pub norm_rate: f64,
    /// Steps after which the bias of a whitening layer stays as it is.
    pub whitening_steps: u64,
    /// Whether that bias is stepped as batch normalization's offsets are, at a rate that falls to 0 in those steps.
    pub whitening_fades: bool,
}

impl Groups {
    /// None is stepped apart.
    const ALIKE: Self = Self { norm_rate: 1.0, whitening_steps: u64::MAX, whitening_fades: false };

    /// What the learning rate of a whitening layer's bias is multiplied by in a step, counted from 1; 0 where it stays.
    fn whitening_rate(&self, step: u64) -> f64 {
        match step <= self.whitening_steps {
            true if self.whitening_fades => 1.0 - (step - 1) as f64 / self.whitening_steps as f64,
            true => 1.0,
            false => 0.0,
        }
    }
}

impl Optimizer {
    /// With no step taken yet. The rules compute as PyTorch's of the same name with its defaults.
    pub fn new(config: OptimizerConfig) -> Self {
        let moments = Moments::Host(Vec::new());
        Self { config, gradient_scale: 1.0, groups: Groups::ALIKE, steps: 0, moments, slow: None }
    }

    /// Steps some parameters apart from the others.
    pub fn with_groups(self, groups: Groups) -> Self {
        Self { groups, ..self }
    }

    /// Remembers a network's weights as lookahead's slow ones.
    pub fn with_slow_weights(self, model: &Model) -> Self {
        Self { slow: Some(flat::values(model)), ..self }
    }

    /// Divides every gradient by this first: the loss was scaled up by as much.
    pub fn with_gradient_scale(self, scale: f64) -> Self {
        Self { gradient_scale: scale, ..self }
    }

    /// One step at `learning_rate`. Parameters without a gradient count as having one of zeros.
    pub fn step(&mut self, learning_rate: f64, model: Model, gradients: Gradients) -> Model {
        self.walk(learning_rate, model, Incoming::Own(gradients))
    }

    /// One step with the gradients of all parameters, one behind the other in the model's order.
    pub fn step_flat(&mut self, learning_rate: f64, model: Model, gradients: Cursor) -> Model {
        self.walk(learning_rate, model, Incoming::Flat(gradients))
    }

    fn walk(&mut self, learning_rate: f64, model: Model, gradients: Incoming) -> Model {
        self.steps += 1;
        let device = model.devices().into_iter().next().unwrap_or_default().inner();
        let sizes = || model.network().trained().map(|parameter| parameter.len() as usize).collect();
        let Groups { norm_rate, whitening_fades, .. } = self.groups;
        let whitening_rate = self.groups.whitening_rate(self.steps);
        let apart = norm_rate != 1.0 || whitening_rate != 1.0;
        let groups = apart.then(|| model.network().trained().map(|parameter| parameter.group).collect());
        let moments = std::mem::replace(&mut self.moments, Moments::Host(Vec::new()));
        let mut walk = Walk {
            config: self.config,
            factors: Factors::of(self.config, learning_rate, self.steps),
            gradient_scale: self.gradient_scale,
            norm_rate,
            whitening_rate,
            whitening_scale: if whitening_fades { norm_rate } else { 1.0 },
            groups: groups.unwrap_or_default(),
            gradients,
            moments: moments.placed(names(self.config).len(), sizes, &device),
            seen: 0,
            seen_values: 0,
        };
        let model = model.map(&mut walk);
        self.moments = walk.moments;
        model
    }

    /// Keeps so much of lookahead's slow weights, takes the rest of them from `model`, and gives it these, running statistics
    /// included.
    pub fn pull(&mut self, model: Model, keep: f64) -> Model {
        let slow = self.pulled(&model, keep);
        flat::with_values(model, &slow)
    }

    /// The slow weights `[values]` after a [pull](Self::pull).
    pub(super) fn pulled(&mut self, model: &Model, keep: f64) -> Tensor<1> {
        let trained = flat::values(model);
        let slow = match self.slow.take() {
            // In this form what both have alike stays as it is.
            Some(slow) => {
                let slow = slow.to_device(&trained.device());
                slow.clone() + (trained - slow) * (1.0 - keep)
            }
            None => trained,
        };
        self.slow.insert(slow).clone()
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

    /// The rule, in the numbers of the shader that steps in place; none where that does not have it.
    pub(super) fn rule(&self) -> Option<Rule> {
        let rule = rule::of_shader(self.config, self.gradient_scale)?;
        Some(Rule { norm_rate: self.groups.norm_rate as f32, ..rule })
    }

    /// The factors of the step that is so many `ahead`, 1 for the next: the learning rate, the step size, the root of Adam's
    /// second correction, and 1 where the bias of a whitening layer is stepped, else 0.
    pub(super) fn factors(&self, learning_rate: f64, ahead: u64) -> [f32; 4] {
        let step = self.steps + ahead;
        let Factors { rate, step_size, root_correction } = Factors::of(self.config, learning_rate, step);
        [rate, step_size, root_correction, f32::from(step <= self.groups.whitening_steps)]
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
        let slow = match &self.slow {
            Some(slow) => {
                let data = slow.clone().try_into_data().map_err(|e| failure::device(&e))?;
                Some((&SLOW, data.try_to_vec().map_err(|e| failure::device(&e))?))
            }
            None => None,
        };
        let tensors = names(self.config).iter().zip(self.moments.to_host()?).chain(slow).map(tensor);
        let writer = Writer::new(tensors.collect()).with_scalar(STEPS, Scalar::UInt(self.steps));
        Ok(writer.into_bytes().map_err(|e| failure::unwritable("the optimizer's state", &e.to_string()))?.to_vec())
    }

    /// Restores what [`to_bytes`](Self::to_bytes) wrote for a network of so many trained `parameters`, and so many `values` in
    /// all.
    ///
    /// # Errors
    /// Invalid data: the bytes are no burnpack, or hold the state of another rule or network.
    pub fn load_bytes(&mut self, bytes: Vec<u8>, parameters: usize, values: usize) -> Result<()> {
        let invalid = |e: &dyn std::fmt::Display| Error::invalid(e.to_string());
        let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|e| invalid(&e))?;
        let Some(&Scalar::UInt(steps)) = reader.scalars().get(STEPS) else {
            return Err(invalid(&"the state of the optimizer does not say how many steps it has taken"));
        };
        let mut moments = vec![None; names(self.config).len()];
        let mut slow = None;
        for tensor in reader.into_tensors().map_err(|e| invalid(&e))? {
            let (name, dtype, shape, _, bytes) = tensor.into_parts().map_err(|e| invalid(&e))?;
            let is_slow = self.slow.is_some() && name == SLOW;
            let place = names(self.config).iter().position(|known| *known == name);
            let (place, expected, what) = match place {
                Some(place) => (Some(place), parameters, "parameters"),
                None if is_slow => (None, values, "values"),
                None => return Err(invalid(&format!("the state of '{name}' is not of this optimizer"))),
            };
            let found = shape.num_elements();
            if dtype != DType::F32 || found != expected {
                return Err(invalid(&format!("'{name}' has {found} values, but the network {expected} {what}")));
            }
            let data = TensorData::from_bytes(bytes, [found], dtype);
            match place {
                Some(place) => moments[place] = data.try_to_vec().ok(),
                None => slow = Some(Tensor::from_data(data, &Device::flex())),
            }
        }
        // Before its first step a rule remembers nothing.
        let moments: Vec<Vec<f32>> = moments.into_iter().flatten().collect();
        let all_moments = moments.len() == names(self.config).len() || (moments.is_empty() && steps == 0);
        if !all_moments || slow.is_some() != self.slow.is_some() {
            return Err(invalid(
                &"the saved state is not of this optimizer: it does not remember all that this one does",
            ));
        }
        (self.steps, self.moments, self.slow) = (steps, Moments::Host(moments), slow);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

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
            MUON,
        ] {
            let (model, mut saved) = stepped(config);
            let mut restored = Optimizer::new(config);
            restored.load_bytes(saved.to_bytes().unwrap(), PARAMETERS, PARAMETERS).unwrap();
            let expected = values(&saved.step(0.1, model.clone(), step(&model)));
            assert_eq!(values(&restored.step(0.1, model.clone(), step(&model))), expected, "{config:?}");
            assert_ne!(values(&Optimizer::new(config).step(0.1, model.clone(), step(&model))), expected, "{config:?}");
        }
    }

    const MUON: OptimizerConfig = OptimizerConfig::Muon {
        momentum: 0.9,
        nesterov: true,
        weight_decay: 0.1,
        filter_rate: 0.5,
        filter_momentum: 0.6,
    };

    /// The change of every trained tensor by a step, by its name.
    fn changes(layers: &str, optimizer: &mut Optimizer) -> BTreeMap<String, Vec<f32>> {
        let recipe = Recipe { network: layers.parse().unwrap(), ..Recipe::preset("linear_v0-mse").unwrap() };
        let model =
            recipe.model(ImageShape { channels: 1, height: 4, width: 4 }, 3, &Device::flex().autodiff()).unwrap();
        let images: Vec<f32> = (0..64).map(|i| (i * 37 % 64) as f32 / 64.0).collect();
        let images = Tensor::<4>::from_data(TensorData::new(images, [4, 1, 4, 4]), &Device::flex());
        let gradients = model.forward(images).square().sum().backward();
        let before = values(&model);
        let network = model.network().clone();
        let after = values(&optimizer.step(0.1, model, gradients));
        let mut change = after.iter().zip(&before).map(|(after, before)| after - before);
        network.trained().map(|p| (p.name.clone(), change.by_ref().take(p.len() as usize).collect())).collect()
    }

    #[test]
    fn groups_are_stepped_apart() {
        let layers = "whiten, gelu, norm scale off, gelu, flatten, linear classes";
        let config = OptimizerConfig::Sgd { momentum: 0.5, nesterov: true, weight_decay: 0.0 };
        let alike = changes(layers, &mut Optimizer::new(config));
        assert_eq!(alike.keys().collect::<Vec<_>>(), ["0.bias", "2.bias", "5.bias", "5.weight"]);
        // In the third step: over, not yet over, and half faded out.
        for (whitening_steps, whitening_fades, of_whitening) in [(2, false, 0.0), (4, false, 1.0), (4, true, 4.0)] {
            let groups = Groups { norm_rate: 8.0, whitening_steps, whitening_fades };
            let apart = changes(layers, &mut Optimizer { steps: 2, groups, ..Optimizer::new(config) });
            for (name, factor) in [("0.bias", of_whitening), ("2.bias", 8.0), ("5.bias", 1.0), ("5.weight", 1.0)] {
                assert!(alike[name].iter().any(|change| change.abs() > 1e-4), "{name}");
                for (alike, apart) in alike[name].iter().zip(&apart[name]) {
                    assert!((alike * factor - apart).abs() < 1e-5, "{name}: {alike} {apart}");
                }
            }
        }
    }

    #[test]
    fn a_pull_is_a_weighted_mean_and_leaves_what_is_alike() {
        let (model, mut optimizer) = stepped(OptimizerConfig::AdamW { weight_decay: 0.1 });
        let trained = values(&model);
        let start = Recipe::preset("linear_v0-mse").unwrap();
        let start =
            start.model(ImageShape { channels: 1, height: 2, width: 2 }, 3, &Device::flex().autodiff()).unwrap();
        optimizer = optimizer.with_slow_weights(&start);
        let pulled = values(&optimizer.pull(model.clone(), 0.25));
        let mean = |(slow, fast): (&f32, &f32)| 0.25 * slow + 0.75 * fast;
        let expected: Vec<f32> = values(&start).iter().zip(&trained).map(mean).collect();
        assert!(pulled.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{pulled:?} {expected:?}");
        let mut same = Optimizer::new(MUON).with_slow_weights(&model);
        assert_eq!(values(&same.pull(model, 0.3)), trained);
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
        let error = adam.load_bytes(sgd.to_bytes().unwrap(), PARAMETERS, PARAMETERS).unwrap_err();
        assert!(error.to_string().contains("is not of this optimizer"), "{error}");
        let error =
            Optimizer::new(sgd.config).load_bytes(sgd.to_bytes().unwrap(), PARAMETERS + 1, PARAMETERS + 1).unwrap_err();
        assert!(error.to_string().contains("has 15 values, but the network 16 parameters"), "{error}");
        assert!(adam.load_bytes(b"nonsense".to_vec(), PARAMETERS, PARAMETERS).is_err());
    }
}
