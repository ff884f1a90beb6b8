//! The kinds of layers, one file each. A new kind is a file here, and two lines below.

mod conv;
mod dropout;
mod flatten;
mod gelu;
mod global_pool;
mod kind;
mod linear;
mod norm;
mod normalize;
mod pool;
mod relu;
mod residual;
mod scale;
mod whiten;

pub use kind::{AnyLayer, Forward, Kind, OnnxAttribute, OnnxGraph, Parameter};
pub use pool::PoolKind;

use std::fmt;
use std::str::FromStr;

use burn::module::Module;
use serde::Serialize;

pub use super::text::FromWords;
use super::text::{self, Words};
use super::{Activation, Init, Noise, Shape};
use crate::compute::peers::Peers;
use crate::error::{Error, Result};
use crate::names::unknown;

/// What a kind of layer is, in words.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct About {
    /// The word that the layer begins with.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// How it is written, optional parts in brackets.
    pub usage: &'static str,
    /// One to begin with, as text.
    pub example: &'static str,
}

/// Makes the list of kinds: the layer as a recipe has it, and what is built of it.
macro_rules! kinds {
    ($(#[doc = $about:literal] $kind:ident($config:ty) => $built:ty),+ $(,)?) => {
        /// One layer of a network, as a recipe writes it.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Layer {
            $(#[doc = $about] $kind($config)),+
        }

        /// All kinds of layers, for those who choose among them.
        pub const KINDS: &[About] = &[$(About {
            name: <$config>::NAME,
            about: $about.trim_ascii(),
            usage: <$config>::USAGE,
            example: <$config>::EXAMPLE,
        }),+];

        /// One layer with its parameters.
        #[derive(Module, Debug)]
        pub enum Built {
            $(#[doc = $about] $kind($built)),+
        }

        impl Layer {
            const NAMES: &'static [&'static str] = &[$(<$config>::NAME),+];

            /// The word that the layer begins with.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$kind(_) => <$config>::NAME),+ }
            }
        }

        impl FromWords for Layer {
            const USAGES: &'static [&'static str] = &[$(<$config>::USAGE),+];

            fn from_words(name: &str, words: &mut Words<'_>) -> Result<Self> {
                $(if name == <$config>::NAME {
                    return <$config>::parse(words).map(Self::$kind);
                })+
                Err(unknown("layer", name, Self::NAMES.iter().copied()))
            }
        }

        impl AnyLayer for Layer {
            type Built = Built;

            fn output(&self, input: Shape) -> Result<Shape> {
                match self { $(Self::$kind(layer) => layer.output(input)),+ }
            }

            fn parameters(&self, input: Shape) -> Vec<Parameter> {
                match self { $(Self::$kind(layer) => layer.parameters(input)),+ }
            }

            fn multiply_adds(&self, input: Shape) -> u64 {
                match self { $(Self::$kind(layer) => layer.multiply_adds(input)),+ }
            }

            fn normalizes(&self) -> bool {
                match self { $(Self::$kind(layer) => layer.normalizes()),+ }
            }

            fn is_fitted(&self) -> bool {
                match self { $(Self::$kind(layer) => layer.is_fitted()),+ }
            }

            fn is_activation(&self) -> bool {
                match self { $(Self::$kind(_) => <$config>::IS_ACTIVATION),+ }
            }

            fn makes_values(&self) -> bool {
                match self { $(Self::$kind(_) => <$config>::MAKES_VALUES),+ }
            }

            fn build(&self, input: Shape, init: &mut Init) -> Built {
                match self { $(Self::$kind(layer) => Built::$kind(layer.build(input, init))),+ }
            }

            fn onnx(&self, graph: &mut dyn OnnxGraph, prefix: &str, x: String) -> String {
                match self { $(Self::$kind(layer) => layer.onnx(graph, prefix, x)),+ }
            }

            fn pytorch(&self, input: Shape) -> String {
                match self { $(Self::$kind(layer) => layer.pytorch(input)),+ }
            }

            fn with_classes(self, classes: usize) -> Self {
                match self { $(Self::$kind(layer) => Self::$kind(layer.with_classes(classes))),+ }
            }
        }

        impl Forward for Built {
            fn forward(&self, x: Activation, noise: &mut Noise) -> Activation {
                match self { $(Self::$kind(layer) => layer.forward(x, noise)),+ }
            }

            /// Layers that belong together go to fused operations where the device has them.
            fn sequence(layers: &[Self], mut x: Activation, noise: &mut Noise) -> Activation {
                let mut rest = layers;
                loop {
                    (x, rest) = match rest {
                        [] => return x,
                        [Self::Norm(norm), Self::Relu(_), Self::Pool(pool), rest @ ..] => {
                            (norm.forward_relu(x, Some(pool)), rest)
                        }
                        [Self::Norm(norm), Self::Relu(_), rest @ ..] => (norm.forward_relu(x, None), rest),
                        [Self::Norm(norm), Self::Gelu(_), rest @ ..] => (norm.forward_gelu(x), rest),
                        [layer, rest @ ..] => (layer.forward(x, noise), rest),
                    };
                }
            }
        }

        impl fmt::Display for Layer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())?;
                match self { $(Self::$kind(layer) => layer.write(f)),+ }
            }
        }
    };
}

kinds!(
    /// Maps become one vector.
    Flatten(flatten::Config) => flatten::Flatten,
    /// Every output is a weighted sum of all inputs.
    Linear(linear::Config) => linear::Linear,
    /// Every output map is a sum of convolutions of all input maps.
    Conv(conv::Config) => conv::Conv2d,
    /// Batch normalization.
    Norm(norm::Config) => norm::BatchNorm,
    /// Every channel of the images less its mean, divided by its standard deviation.
    Normalize(normalize::Config) => normalize::Normalize,
    /// A convolution whose outputs are uncorrelated over the train images.
    Whiten(whiten::Config) => conv::Conv2d,
    /// Negative values become zero.
    Relu(relu::Config) => relu::Relu,
    /// A smooth step between zero and the value.
    Gelu(gelu::Config) => gelu::Gelu,
    /// Neighbouring pixels become one.
    Pool(pool::Config) => pool::Pool,
    /// All pixels of a map become one.
    GlobalPool(global_pool::Config) => global_pool::GlobalPool,
    /// A share of the values is zeroed while training.
    Dropout(dropout::Config) => dropout::Dropout,
    /// Every value times a number.
    Scale(scale::Config) => scale::Scale,
    /// The input is added to what some layers make of it.
    Residual(residual::Config<Layer>) => Vec<Built>,
);

impl Built {
    /// Lets normalizations, those inside the layer too, see a batch together with other devices.
    pub fn share_statistics(&mut self, peers: Option<&Peers>) {
        match self {
            Self::Norm(norm) => norm.peers = peers.cloned(),
            Self::Residual(layers) => layers.iter_mut().for_each(|layer| layer.share_statistics(peers)),
            _ => {}
        }
    }
}

impl FromStr for Layer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match <[Self; 1]>::try_from(text::parse(text)?) {
            Ok([layer]) => Ok(layer),
            Err(layers) => Err(Error::usage(format!("expected one layer, found {} in '{text}'", layers.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::text::{MAX_LAYERS, MAX_SIDE, parse, print};
    use proptest::prelude::*;

    fn any_layer() -> impl Strategy<Value = Layer> {
        let number = -1e6..1e6f64;
        let kind = || prop_oneof![Just(PoolKind::Max), Just(PoolKind::Avg)];
        let leaf = prop_oneof![
            Just(Layer::Flatten(flatten::Config)),
            (proptest::option::of(1..=MAX_SIDE), any::<bool>())
                .prop_map(|(outputs, bias)| Layer::Linear(linear::Config { outputs, bias })),
            (1..=MAX_SIDE, 1..=31usize, 1..=31usize, 0..=31usize, any::<[bool; 2]>()).prop_map(
                |(channels, kernel, stride, padding, [bias, identity])| Layer::Conv(conv::Config {
                    channels,
                    kernel,
                    stride,
                    padding,
                    bias,
                    identity
                })
            ),
            (any::<bool>(), 1e-6..=1.0f64, 1e-30..=1.0f64)
                .prop_map(|(scale, momentum, epsilon)| Layer::Norm(norm::Config { scale, momentum, epsilon })),
            Just(Layer::Normalize(normalize::Config)),
            (1..=4usize).prop_map(|kernel| Layer::Whiten(whiten::Config { kernel })),
            Just(Layer::Relu(relu::Config)),
            Just(Layer::Gelu(gelu::Config)),
            (kind(), 1..=64usize, 1..=64usize).prop_map(|(kind, size, stride)| Layer::Pool(pool::Config {
                kind,
                size,
                stride
            })),
            kind().prop_map(|kind| Layer::GlobalPool(global_pool::Config { kind })),
            (0.0..1.0f64).prop_map(|share| Layer::Dropout(dropout::Config { share })),
            number.prop_filter("not 0", |n| *n != 0.0).prop_map(|factor| Layer::Scale(scale::Config { factor })),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            proptest::collection::vec(inner, 1..4).prop_map(|layers| Layer::Residual(residual::Config { layers }))
        })
    }

    proptest! {
        #[test]
        fn parser_and_printer_are_each_others_inverse(layers in proptest::collection::vec(any_layer(), 0..12)) {
            let text = print(&layers);
            prop_assert_eq!(parse::<Layer>(&text).unwrap(), layers.clone());
            prop_assert_eq!(print(&parse::<Layer>(&text).unwrap()), text);
        }

        #[test]
        fn no_text_panics(text in "[a-z0-9 ,\\[\\].-]{0,80}") {
            let _ = parse::<Layer>(&text);
        }
    }

    #[test]
    fn every_kind_has_an_example_that_is_one() {
        for About { name, about, usage, example } in KINDS {
            assert!(example.parse::<Layer>().is_ok_and(|layer| layer.name() == *name), "{example}");
            assert!(usage.starts_with(name) && about.ends_with('.'), "{usage}: {about}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("conf 3", "Did you mean 'conv'?"),
            ("conv", "channels, a whole number from 1 to 65536"),
            ("conv 0", "found '0'"),
            ("conv 8 kernel", "expected kernel"),
            ("conv 8 colour 3", "'colour' is too much"),
            ("linear 10 bias maybe", "bias on or bias off"),
            ("pool mean 2", "unknown pooling 'mean'"),
            ("dropout 1", "from 0 to below 1"),
            ("scale NaN", "found 'NaN'"),
            ("norm momentum 2", "expected momentum, a number from 1e-6 to 1, found '2'"),
            ("norm epsilon", "expected epsilon, a number from 1e-30 to 1"),
            ("whiten kernel 5", "expected kernel, a whole number from 1 to 4, found '5'"),
            ("relu,,relu", "between two commas"),
            ("residual", "expected layers in brackets"),
            ("residual []", "expected layers in brackets"),
            ("residual [relu", "'[' without ']'"),
            ("relu]", "']' without '['"),
            ("residual [relu] relu", "expected a comma"),
            ("relu [relu]", "takes no layers"),
        ] {
            let error = parse::<Layer>(text).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(words), "{text}: {error}");
        }
        assert!(parse::<Layer>(&vec!["relu"; MAX_LAYERS].join(",")).is_ok());
        assert!(
            parse::<Layer>(&vec!["relu"; MAX_LAYERS + 1].join(",")).unwrap_err().to_string().contains("at most 1000")
        );
        let deep = format!("{}relu{}", "residual [".repeat(9), "]".repeat(9));
        assert!(parse::<Layer>(&deep).unwrap_err().to_string().contains("8 brackets deep"));
        assert_eq!(
            print(&parse::<Layer>("conv 8 bias off  padding 0 kernel 5").unwrap()),
            "conv 8 kernel 5 padding 0 bias off"
        );
    }
}
