//! `conv CHANNELS`: every output map is a sum of convolutions of all input maps, plus a bias.

use std::fmt;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::kind::{Forward, Kind, OnnxAttribute, OnnxGraph, Parameter};
use crate::compute::cpu;
use crate::compute::shaders::{self, Way};
use crate::data::ImageShape;
use crate::error::{Error, Result};
use crate::network::precision::{half, single};
use crate::network::text::{MAX_SIDE, Words};
use crate::network::{Activation, Convolution, Init, Noise, Precision, Shape};

/// The largest kernel, stride and padding.
const MAX_KERNEL: usize = 31;

/// The layer as a recipe has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The number of output maps.
    pub channels: usize,
    /// Pixels a side of the kernel.
    pub kernel: usize,
    /// Pixels from one output to the next.
    pub stride: usize,
    /// Zeros around every map.
    pub padding: usize,
    /// Whether a trained value is added to every output map.
    pub bias: bool,
    /// Whether the first output maps begin as copies of the input maps (Zagoruyko and Komodakis, DiracNets, 2017), as in
    /// airbench (Keller Jordan, 2024).
    pub identity: bool,
}

impl Config {
    /// Height or width of the output; none where the kernel does not fit.
    fn side(&self, input: usize) -> Option<usize> {
        Some((input + 2 * self.padding).checked_sub(self.kernel)? / self.stride + 1)
    }

    /// The layer with its parameters.
    pub(super) fn with(&self, weight: Param<Tensor<4>>, bias: Option<Param<Tensor<1>>>, init: &Init) -> Conv2d {
        Conv2d {
            weight,
            bias,
            config: self.clone(),
            precision: init.precision(),
            convolution: init.convolution(),
            prepared: cpu::Prepared::default(),
        }
    }
}

/// The layer in a network.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[outputs, inputs, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    config: Config,
    #[module(skip)]
    precision: Precision,
    #[module(skip)]
    convolution: Convolution,
    #[module(skip)]
    prepared: cpu::Prepared,
}

impl Kind for Config {
    const NAME: &'static str = "conv";
    const USAGE: &'static str = "conv CHANNELS [kernel K=3] [stride S=1] [padding P=K/2] [bias off] [identity]";
    const EXAMPLE: &'static str = "conv 16";
    type Module = Conv2d;

    fn parse(words: &mut Words<'_>) -> Result<Self> {
        let channels = words.whole("channels", 1, MAX_SIDE)?;
        let kernel = words.option("kernel", 1, MAX_KERNEL)?.unwrap_or(3);
        let stride = words.option("stride", 1, MAX_KERNEL)?.unwrap_or(1);
        let padding = words.option("padding", 0, MAX_KERNEL)?.unwrap_or(kernel / 2);
        let bias = words.switch("bias")?;
        Ok(Self { channels, kernel, stride, padding, bias, identity: words.take_if("identity") })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}", self.channels)?;
        let defaults =
            [("kernel", self.kernel, 3), ("stride", self.stride, 1), ("padding", self.padding, self.kernel / 2)];
        defaults
            .iter()
            .filter(|(_, value, default)| value != default)
            .try_for_each(|(n, v, _)| write!(f, " {n} {v}"))?;
        f.write_str(if self.bias { "" } else { " bias off" })?;
        f.write_str(if self.identity { " identity" } else { "" })
    }

    fn output(&self, input: Shape) -> Result<Shape> {
        let Shape::Maps(maps) = input else {
            return Err(Error::usage("needs maps: put it before `flatten`"));
        };
        match (self.side(maps.height), self.side(maps.width)) {
            (Some(height), Some(width)) => Ok(Shape::Maps(ImageShape { channels: self.channels, height, width })),
            _ => {
                let least = self.kernel.saturating_sub(2 * self.padding);
                Err(Error::usage(format!(
                    "needs maps of at least {least}x{least}: use a smaller kernel, or more padding"
                )))
            }
        }
    }

    fn parameters(&self, input: Shape) -> Vec<Parameter> {
        Parameter::weight_and_bias(&[self.channels, input.channels(), self.kernel, self.kernel], self.bias)
    }

    fn multiply_adds(&self, input: Shape) -> u64 {
        let Ok(Shape::Maps(output)) = self.output(input) else { return 0 };
        [self.channels, self.kernel, self.kernel, input.channels()]
            .iter()
            .fold((output.height * output.width) as u64, |product, &factor| product.saturating_mul(factor as u64))
    }

    /// As `torch.nn.Conv2d`: weight and bias uniform in +-1/sqrt(inputs * kernel * kernel).
    fn build(&self, input: Shape, init: &mut Init) -> Conv2d {
        let (inputs, kernel) = (input.channels(), self.kernel);
        let bound = 1.0 / ((kernel * kernel * inputs) as f32).sqrt();
        let mut weights = init.draw(self.channels * inputs * kernel * kernel, bound);
        if self.identity {
            let middle = kernel / 2 * kernel + kernel / 2;
            for (i, filters) in weights.chunks_exact_mut(inputs * kernel * kernel).enumerate().take(inputs) {
                filters.fill(0.0);
                filters[i * kernel * kernel + middle] = 1.0;
            }
        }
        let weight = init.given(weights, [self.channels, inputs, kernel, kernel]);
        let bias = self.bias.then(|| init.uniform([self.channels], bound));
        self.with(weight, bias, init)
    }

    fn onnx(&self, graph: &mut dyn OnnxGraph, prefix: &str, x: String) -> String {
        let [weight, bias] = ["weight", "bias"].map(|name| format!("{prefix}{name}"));
        let inputs = [&*x, &*weight, &*bias];
        let sides = |n: usize, count: usize| OnnxAttribute::Ints(vec![n as i64; count]);
        let attributes = [
            ("kernel_shape", sides(self.kernel, 2)),
            ("strides", sides(self.stride, 2)),
            ("pads", sides(self.padding, 4)),
        ];
        graph.node("Conv", &inputs[..if self.bias { 3 } else { 2 }], &attributes)
    }

    fn pytorch(&self, input: Shape) -> String {
        let stride = if self.stride == 1 { String::new() } else { format!(", stride={}", self.stride) };
        let bias = if self.bias { "" } else { ", bias=False" };
        let (inputs, Self { channels, kernel, padding, .. }) = (input.channels(), self);
        format!("nn.Conv2d({inputs}, {channels}, {kernel}{stride}, padding={padding}{bias})")
    }
}

impl Forward for Conv2d {
    fn forward(&self, x: Activation, _: &mut Noise) -> Activation {
        let x = x.maps();
        let Config { stride, padding, .. } = self.config;
        let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        if self.precision == Precision::F16 {
            let y = single(conv2d(half(x), half(weight), None, options));
            return Activation::Maps(with_bias(y, bias));
        }
        let exact = self.convolution == Convolution::Exact;
        let on_cpu = cpu::convolve(&x, &weight, bias.as_ref(), (stride, padding), exact, &self.prepared);
        if let Some(y) = on_cpu {
            return Activation::Maps(y);
        }
        let on_gpu = || shaders::convolve(&x, &weight, padding, Way::Fastest);
        Activation::Maps(match (stride == 1).then(on_gpu).flatten() {
            Some(y) => with_bias(y, bias),
            None => conv2d(x, weight, bias, options),
        })
    }
}

fn with_bias(y: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    match bias {
        Some(bias) => y + bias.reshape([1, -1, 1, 1]),
        None => y,
    }
}

#[cfg(test)]
mod tests {
    use crate::data::ImageShape;
    use crate::network::{Architecture, Network, Precision};
    use burn::tensor::{Device, Tensor, TensorData};

    #[test]
    fn a_convolution_that_begins_as_identity_gives_its_input_first() {
        let shape = ImageShape { channels: 3, height: 4, width: 5 };
        let layers: Architecture = "conv 5 bias off identity, flatten, linear classes".parse().unwrap();
        let network = Network::new(&layers, shape, 2).unwrap();
        let device = Device::flex();
        let model = network.build(1, Precision::F32, &device);
        let pixels: Vec<f32> = (0..60u8).map(f32::from).collect();
        let images = Tensor::<4>::from_data(TensorData::new(pixels.clone(), [1, 3, 4, 5]), &device);
        let maps: Vec<f32> = model.activation(images, 0).maps().into_data().try_to_vec().unwrap();
        assert_eq!(maps.len(), 100);
        assert_eq!(maps[..60], pixels);
    }
}
