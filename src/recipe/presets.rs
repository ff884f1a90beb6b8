//! Named recipes: the runs of the reference exercises, and a fast one.

use super::{Augment, Flip, Lookahead, OptimizerConfig, Recipe, Schedule, Views};
use crate::compute::LossKind;
use crate::data::Identity;
use crate::error::Result;
use crate::names::unknown;
use crate::network::{Architecture, Convolution, Precision, Settings};

/// A named recipe.
pub struct Preset {
    /// The name to type.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    recipe: fn() -> Recipe,
}

/// The preset of a bare run.
pub const DEFAULT_PRESET: &str = "linear_v1-bn-ce";

/// The runs of the MNIST exercise: the first four as published, the last with the loss as it should be.
pub const MNIST_EXERCISE: [&str; 5] =
    ["linear_v0-mse", "linear_v1-mse", "linear_v1-bn-mse", "linear_v1-bn-ce-on-probabilities", "linear_v1-bn-ce"];
/// The runs of the CIFAR-10 exercise.
pub const CIFAR10_EXERCISE: [&str; 2] = ["cifar10-linear", "cifar10-vgg11"];

/// All presets.
pub const PRESETS: [Preset; 14] = [
    Preset {
        name: "linear_v0-mse",
        about: "MNIST: softmax regression, MSE against the one-hot label",
        recipe: || mnist("linear_v0", false, LossKind::Mse),
    },
    Preset {
        name: "linear_v1-mse",
        about: "MNIST: 784-128-64-10 network, MSE",
        recipe: || mnist("linear_v1", false, LossKind::Mse),
    },
    Preset {
        name: "linear_v1-bn-mse",
        about: "MNIST: the 784-128-64-10 network with batch normalization, MSE",
        recipe: || mnist("linear_v1", true, LossKind::Mse),
    },
    Preset {
        name: "linear_v1-bn-ce-on-probabilities",
        about: "MNIST: the network with batch normalization, cross-entropy applied to probabilities, as the reference published it",
        recipe: || mnist("linear_v1", true, LossKind::CeOnProbabilities),
    },
    Preset {
        name: "linear_v1-bn-ce",
        about: "MNIST: the network with batch normalization, cross-entropy on logits, as it should be (the default)",
        recipe: || mnist("linear_v1", true, LossKind::Ce),
    },
    Preset {
        name: "mnist-cnn",
        about: "MNIST: two convolutions and one linear layer, SGD with Nesterov momentum",
        recipe: || small_cnn(mnist("cnn", true, LossKind::Ce)),
    },
    Preset {
        name: "cifar10-linear",
        about: "CIFAR-10: softmax regression, Adam, rate times 0.9 an epoch",
        recipe: || cifar10("linear_v0"),
    },
    Preset {
        name: "cifar10-cnn",
        about: "CIFAR-10: two convolutions and one linear layer, SGD with Nesterov momentum",
        recipe: || small_cnn(cifar10("cnn")),
    },
    Preset {
        name: "cifar10-vgg11",
        about: "CIFAR-10: VGG-11 with batch normalization, Adam, rate times 0.9 an epoch",
        recipe: || cifar10("vgg11"),
    },
    Preset {
        name: "cifar10-vgg16",
        about: "CIFAR-10: VGG-16 with batch normalization, Adam, rate times 0.9 an epoch",
        recipe: || cifar10("vgg16"),
    },
    Preset {
        name: "cifar10-resnet9",
        about: "CIFAR-10: ResNet-9, augmentation, label smoothing, SGD with Nesterov momentum, one cycle",
        recipe: resnet9_cifar10,
    },
    Preset {
        name: "cifar10-fast",
        about: "CIFAR-10 to 94 % as speed records do: whitening, alternating flips, lookahead",
        recipe: airbench94_cifar10,
    },
    Preset {
        name: "cifar10-muon",
        about: "CIFAR-10: the same network, its filters trained by Muon, eight epochs",
        recipe: muon_cifar10,
    },
    Preset {
        name: "photos",
        about: "photographs of your own at 96x96: a small residual network, augmentation, AdamW, early stopping",
        recipe: photos,
    },
];

/// The MNIST exercise: SGD at 0.1, batch 500. The reference trains for 50 epochs.
fn mnist(name: &'static str, batch_norm: bool, loss: LossKind) -> Recipe {
    Recipe {
        dataset: Identity::Mnist,
        image_size: None,
        network: Architecture::Named { name, settings: Settings { batch_norm, ..Settings::default() } },
        from: None,
        freeze: 0,
        loss,
        label_smoothing: 0.0,
        batch_size: 500,
        epochs: 20.0,
        learning_rate: 0.1,
        fraction: 1.0,
        seed: 0,
        patience: None,
        target_accuracy: None,
        optimizer: OptimizerConfig::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 },
        schedule: Schedule::Constant,
        norm_rate: 1.0,
        sync_batch_norm: false,
        whitening_epochs: None,
        lookahead: Lookahead::Off,
        augment: Augment::OFF,
        tta: Views::Plain,
        precision: Precision::F32,
        convolution: Convolution::Fast,
    }
}

/// The CIFAR-10 exercise: Adam, learning rate times 0.9 after every epoch, 15 epochs.
fn cifar10(name: &'static str) -> Recipe {
    Recipe {
        dataset: Identity::Cifar10,
        batch_size: 128,
        epochs: 15.0,
        learning_rate: 0.001,
        optimizer: OptimizerConfig::Adam { weight_decay: 0.0 },
        schedule: Schedule::Step { step_size: 1, gamma: 0.9 },
        ..mnist(name, true, LossKind::Ce)
    }
}

/// A network that a browser's CPU trains while one looks on.
fn small_cnn(recipe: Recipe) -> Recipe {
    Recipe {
        batch_size: 128,
        epochs: 10.0,
        learning_rate: 0.05,
        optimizer: OptimizerConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.0005 },
        schedule: Schedule::OneCycle { warmup: 0.2 },
        ..recipe
    }
}

/// What speed records on CIFAR-10 have in common (Page, "How to train your ResNet", 2018).
fn resnet9_cifar10() -> Recipe {
    Recipe {
        batch_size: 512,
        epochs: 24.0,
        learning_rate: 0.2,
        label_smoothing: 0.1,
        optimizer: OptimizerConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.0005 },
        schedule: Schedule::OneCycle { warmup: 0.2 },
        augment: Augment::ON,
        ..cifar10("resnet9")
    }
}

/// The recipe of airbench94 (Keller Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024).
///
/// Its loss is summed over a batch of 1,024 and ours is a mean, and its rate of 11.5 and decay of 0.0153 are for 1,024 images and
/// all that a momentum of 0.85 makes of a gradient, which is `1 + 1 / (1 - 0.85)` times it. So the rate is here
/// `11.5 / (1 + 1 / 0.15)` = 1.5, and the decay, which is multiplied with it, `0.0153 / 11.5`.
fn airbench94_cifar10() -> Recipe {
    Recipe {
        batch_size: 1024,
        epochs: 9.9,
        learning_rate: 1.5,
        label_smoothing: 0.2,
        optimizer: OptimizerConfig::Sgd { momentum: 0.85, nesterov: true, weight_decay: 0.00133 },
        norm_rate: 64.0,
        whitening_epochs: Some(3),
        lookahead: Lookahead::On { every: 5, keep: 0.95 },
        schedule: Schedule::Triangle { start: 0.2, warmup: 0.23, end: 0.07 },
        augment: Augment { crop: 2, flip: Flip::Alternating, ..Augment::OFF },
        tta: Views::MirrorAndShift,
        ..cifar10("airbench94")
    }
}

/// The recipe of airbench94 with Muon (Keller Jordan, 2024): filters by Muon at 0.24 and momentum 0.6, the rest by SGD.
///
/// The original divides its logits by 256 and scales the last layer's weights up at the start. With our scale of 1/9 its rate of
/// 0.67 for that layer's summed loss is `0.67 * 2,000 * (9 / 256)^2` = 1.656 for a mean, that of 0.053 for offsets and
/// the whitening bias 64 times as much, as before, and its decay of 0.004 a step `0.004 / 1.656`.
fn muon_cifar10() -> Recipe {
    Recipe {
        batch_size: 2000,
        epochs: 8.0,
        learning_rate: 1.656,
        optimizer: OptimizerConfig::Muon {
            momentum: 0.85,
            nesterov: true,
            weight_decay: 0.0024,
            filter_rate: 0.145,
            filter_momentum: 0.6,
        },
        lookahead: Lookahead::Off,
        schedule: Schedule::Triangle { start: 1.0, warmup: 0.0, end: 0.0 },
        ..airbench94_cifar10()
    }
}

/// For a few thousand pictures, in the folder `photos` unless another is named.
fn photos() -> Recipe {
    Recipe {
        dataset: Identity::Folder("photos".into()),
        batch_size: 64,
        epochs: 40.0,
        learning_rate: 0.002,
        label_smoothing: 0.1,
        optimizer: OptimizerConfig::AdamW { weight_decay: 0.05 },
        schedule: Schedule::OneCycle { warmup: 0.2 },
        augment: Augment { part: 25, jitter: 40, flip: Flip::Random, ..Augment::OFF },
        patience: Some(12),
        ..cifar10("photonet")
    }
}

impl Preset {
    /// The recipe that the name stands for.
    pub fn recipe(&self) -> Recipe {
        (self.recipe)()
    }
}

impl Recipe {
    /// The recipe of the preset called `name`.
    ///
    /// # Errors
    /// Usage, with the nearest name, if there is no such preset.
    pub fn preset(name: &str) -> Result<Self> {
        match PRESETS.iter().find(|preset| preset.name == name) {
            Some(preset) => Ok(preset.recipe()),
            None => Err(unknown("preset", name, PRESETS.iter().map(|p| p.name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_named_after_themselves() {
        for preset in &PRESETS {
            let recipe = Recipe::preset(preset.name).unwrap();
            recipe.validate().unwrap();
            if MNIST_EXERCISE.contains(&preset.name) {
                assert_eq!(recipe.short_name(), preset.name);
            }
        }
        for name in MNIST_EXERCISE.iter().chain(&CIFAR10_EXERCISE).chain([&DEFAULT_PRESET]) {
            Recipe::preset(name).unwrap();
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let error = Recipe::preset("linear_v1-bn-cee").unwrap_err();
        assert!(error.to_string().contains("Did you mean 'linear_v1-bn-ce'?"), "{error}");
        assert_eq!(error.exit_code(), 2);
        assert!(!Recipe::preset("zzz").unwrap_err().to_string().contains("Did you mean"));
    }
}
