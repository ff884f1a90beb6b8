//! `norm`: batch normalization (Ioffe and Szegedy, 2015) as PyTorch computes it.

use std::fmt;

use burn::module::{Module, ModuleMapper, Param, RunningState};
use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, relu};
use burn::tensor::module::{batch_norm, batch_norm_train};

use super::kind::{Forward, Kind, OnnxAttribute, OnnxGraph, Parameter};
use super::pool::Pool;
use crate::compute::cpu::{self, After};
use crate::compute::peers::Peers;
use crate::compute::{Group, shaders, shared_norm};
use crate::error::Result;
use crate::network::text::Words;
use crate::network::{Activation, Init, Noise, Shape};

/// Added to the variance where nothing else is said; PyTorch's default.
const EPSILON: f64 = 1e-5;
/// The least of both: single precision has to know it, and its square root's inverse.
const LEAST_EPSILON: f64 = 1e-30;
const LEAST_MOMENTUM: f64 = 1e-6;
/// Weight of the newest batch in the running statistics where nothing else is said; PyTorch's default.
const MOMENTUM: f64 = 0.1;

/// Normalizes every channel of `[n, channels, ...]` by the batch while training, and by running statistics
/// otherwise.
///
/// Burn's own layer feeds its running variance the biased batch variance; PyTorch (and so this layer) feeds it
/// the unbiased one, without which a small batch evaluates differently here and there. The names are those of
/// burn's layer, so that burn's PyTorch adapters know them.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale, `[channels]`.
    pub gamma: Param<Tensor<1>>,
    /// Offset, `[channels]`.
    pub beta: Param<Tensor<1>>,
    /// Running mean, `[channels]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Running unbiased variance, `[channels]`.
    pub running_var: RunningState<Tensor<1>>,
    #[module(skip)]
    config: Config,
    /// The devices whose shares of a batch are normalized as one, where that is wanted.
    #[module(skip)]
    pub(super) peers: Option<Peers>,
    /// Whether the running statistics are used, and stay, while other layers train.
    #[module(skip)]
    frozen: bool,
}

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whether the scale is trained; else it stays 1.
    pub scale: bool,
    /// The weight of the newest batch in the running statistics, from 1e-6 to 1.
    pub momentum: f64,
    /// Added to the variance, from 1e-30 to 1.
    pub epsilon: f64,
}

impl Kind for Config {
    const NAME: &'static str = "norm";
    const USAGE: &'static str = "norm [scale off] [momentum M=0.1] [epsilon E=1e-5]";
    const EXAMPLE: &'static str = "norm";
    type Module = BatchNorm;

    fn parse(words: &mut Words<'_>) -> Result<Self> {
        Ok(Self {
            scale: words.switch("scale")?,
            momentum: words.share("momentum", LEAST_MOMENTUM)?.unwrap_or(MOMENTUM),
            epsilon: words.share("epsilon", LEAST_EPSILON)?.unwrap_or(EPSILON),
        })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.scale { "" } else { " scale off" })?;
        let numbers = [("momentum", self.momentum, MOMENTUM), ("epsilon", self.epsilon, EPSILON)];
        let mut other = numbers.iter().filter(|(_, value, default)| value != default);
        other.try_for_each(|(name, value, _)| write!(f, " {name} {value:?}"))
    }

    fn normalizes(&self) -> bool {
        true
    }

    fn parameters(&self, input: Shape) -> Vec<Parameter> {
        let channels = [input.channels()];
        let trained = |name| Parameter { group: Group::Normalization, ..Parameter::new(name, &channels) };
        let weight = if self.scale { trained("weight") } else { Parameter::fixed("weight", &channels) };
        let statistic = |name| Parameter { trained: false, ..Parameter::new(name, &channels) };
        vec![weight, trained("bias"), statistic("running_mean"), statistic("running_var")]
    }

    /// In inference a normalization is one multiply-add a value.
    fn multiply_adds(&self, input: Shape) -> u64 {
        input.len() as u64
    }

    /// As `torch.nn.BatchNorm1d` and `2d`: scale 1, offset 0, running mean 0, running variance 1.
    fn build(&self, input: Shape, init: &mut Init) -> BatchNorm {
        let channels = input.channels();
        BatchNorm {
            gamma: if self.scale { init.constant(1.0, channels) } else { init.fixed(vec![1.0; channels], [channels]) },
            beta: init.constant(0.0, channels),
            running_mean: init.running(0.0, channels),
            running_var: init.running(1.0, channels),
            config: self.clone(),
            peers: None,
            frozen: init.is_frozen(),
        }
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, prefix: &str, x: String) -> String {
        let names = ["weight", "bias", "running_mean", "running_var"].map(|name| format!("{prefix}{name}"));
        let [weight, bias, mean, variance] = &names;
        let epsilon = OnnxAttribute::Float(self.epsilon as f32);
        graph.node("BatchNormalization", &[&x, weight, bias, mean, variance], &[("epsilon", epsilon)])
    }

    fn pytorch(&self, input: Shape) -> String {
        let sides = if matches!(input, Shape::Maps(_)) { 2 } else { 1 };
        let numbers = [("eps", self.epsilon, EPSILON), ("momentum", self.momentum, MOMENTUM)];
        let other = numbers.iter().filter(|(_, value, default)| value != default);
        let other: String = other.map(|(name, value, _)| format!(", {name}={value:?}")).collect();
        format!("nn.BatchNorm{sides}d({}{other})", input.channels())
    }
}

impl Forward for BatchNorm {
    fn forward(&self, x: Activation, _: &mut Noise) -> Activation {
        x.map(|maps| self.normalize(maps), |vectors| self.normalize(vectors))
    }
}

const RELU: After = After { activation: cpu::Activation::Relu, side: 1 };
const GELU: After = After { activation: cpu::Activation::Gelu, side: 1 };

/// Sets a running statistic.
struct Set(Tensor<1>);

impl ModuleMapper for Set {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, old, mapper) = param.consume();
        Param::from_mapped_value(id, self.0.clone().reshape(old.dims()), mapper)
    }
}

impl BatchNorm {
    /// `[n, channels, ...]` -> the same shape. On an autodiff device the layer trains.
    fn normalize<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        if self.frozen || !input.device().is_autodiff() {
            let [mean, variance] = [&self.running_mean, &self.running_var].map(RunningState::value);
            return batch_norm(input, gamma, beta, mean, variance, self.config.epsilon);
        }
        if let Some(peers) = &self.peers
            && let Some(trained) = shared_norm(&input, [gamma.clone(), beta.clone()], self.config.epsilon, peers)
        {
            self.remember(trained.mean, trained.variance, trained.values);
            return trained.output;
        }
        let per_channel = input.shape().num_elements() / input.dims()[1];
        let trained = batch_norm_train(input, gamma, beta, self.config.epsilon);
        self.remember(trained.mean, trained.variance, per_channel);
        trained.output
    }

    /// Normalization, ReLU after it, and a pool after that: of maps in one operation where the device has it.
    pub fn forward_relu(&self, x: Activation, pool: Option<&Pool>) -> Activation {
        x.map(|maps| self.normalize_relu(maps, pool), |vectors| self.one_pixel(vectors, RELU, relu))
    }

    /// Normalization, and GELU after it: of maps in one operation where the device has it.
    pub fn forward_gelu(&self, x: Activation) -> Activation {
        let maps = |maps| self.in_one(&maps, GELU).unwrap_or_else(|| gelu(self.normalize(maps)));
        x.map(maps, |vectors| self.one_pixel(vectors, GELU, gelu))
    }

    /// Normalization and an activation of vectors, of which every value is a map of one pixel.
    fn one_pixel(&self, vectors: Tensor<2>, after: After, activation: fn(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        match self.in_one(&vectors.clone().unsqueeze_dims(&[2, 3]), after) {
            Some(maps) => maps.flatten::<2>(1, 3),
            None => activation(self.normalize(vectors)),
        }
    }

    /// Normalization and an activation in one operation, where the device has it; none has it for a batch that is shared, or
    /// for a layer that is left as it is while others train.
    fn in_one(&self, input: &Tensor<4>, after: After) -> Option<Tensor<4>> {
        if (self.peers.is_some() || self.frozen) && input.device().is_autodiff() {
            return None;
        }
        self.normalize_on_cpu(input, after).or_else(|| self.normalize_on_gpu(input, after.activation))
    }

    fn normalize_relu(&self, input: Tensor<4>, pool: Option<&Pool>) -> Tensor<4> {
        if let Some(pool) = pool {
            let side = pool.maximum_side().filter(|_| self.peers.is_none() && !self.frozen);
            let pooled = side.and_then(|side| self.normalize_on_cpu(&input, After { side, ..RELU }));
            return pooled.unwrap_or_else(|| pool.pooled(self.normalize_relu(input, None)));
        }
        self.in_one(&input, RELU).unwrap_or_else(|| relu(self.normalize(input)))
    }

    /// Normalization, and what comes after it, on the CPU.
    fn normalize_on_cpu(&self, input: &Tensor<4>, after: After) -> Option<Tensor<4>> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        if !input.device().is_autodiff() {
            let norm = [gamma, beta, self.running_mean.value(), self.running_var.value()];
            return cpu::norm(input, &norm, self.config.epsilon, after);
        }
        let trained = cpu::norm_train(input, [&gamma, &beta], self.config.epsilon, after)?;
        let per_channel = input.shape().num_elements() / input.dims()[1];
        self.remember(trained.mean, trained.variance, per_channel);
        Some(trained.output)
    }

    /// Normalization and an activation while training where our shaders run.
    fn normalize_on_gpu(&self, input: &Tensor<4>, activation: cpu::Activation) -> Option<Tensor<4>> {
        let running = [self.running_mean.value_sync(), self.running_var.value_sync()];
        let affine = [&self.gamma.val(), &self.beta.val()];
        let Config { epsilon, momentum, .. } = self.config;
        let trained = shaders::norm_train(input, affine, running, (epsilon, momentum), activation)?;
        for (running, new) in
            [(&self.running_mean, trained.running_mean), (&self.running_var, trained.running_variance)]
        {
            // Its clones share its value. `update` would only set it at the next read, and divide by the threads, which is one.
            let _ = running.clone().map(&mut Set(new));
        }
        Some(trained.output)
    }

    /// Blends a batch's mean and biased variance, each over `n` values, into the running statistics.
    fn remember(&self, mean: Tensor<1>, variance: Tensor<1>, n: usize) {
        let unbiased = n as f64 / (n as f64 - 1.0).max(1.0);
        let momentum = self.config.momentum;
        let blend = |running: &RunningState<Tensor<1>>, batch: Tensor<1>, factor: f64| {
            let old = running.value_sync().mul_scalar(1.0 - momentum);
            running.update((old + batch.detach().mul_scalar(momentum * factor)).detach());
            running.value_sync(); // so that a walk over the model finds it
        };
        blend(&self.running_mean, mean, 1.0);
        blend(&self.running_var, variance, unbiased);
    }
}
