//! The networks that have a name. A new one is an entry here.

use super::layers::PoolKind;
use crate::error::Result;
use crate::names::unknown;

/// How a network of the catalogue is varied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Whether every hidden layer is followed by batch normalization.
    pub batch_norm: bool,
    /// A factor on the number of channels.
    pub width: f64,
    /// How images are halved.
    pub pool: PoolKind,
    /// The share of values zeroed before the last layer while training; in [0, 1).
    pub dropout: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { batch_norm: true, width: 1.0, pool: PoolKind::Max, dropout: 0.0 }
    }
}

/// A network with a name.
#[derive(Debug)]
pub struct Entry {
    /// The name that recipes have.
    pub name: &'static str,
    /// What a person would call it.
    pub title: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Which of the [`Settings`] it takes.
    pub takes: &'static [&'static str],
    /// Whether the bare name in the name of a run means batch normalization.
    pub bare_name_has_norm: bool,
    /// Pixels a side that pictures are brought to for it, where nothing else is said.
    pub image_side: usize,
    /// Its layers as text.
    pub(super) layers: fn(&Settings) -> String,
}

/// The side of CIFAR-10's images.
pub(super) const SMALL: usize = 32;

/// All networks that have a name.
pub const CATALOGUE: [Entry; 8] = [
    Entry {
        name: "linear_v0",
        title: "Softmax regression",
        about: "softmax regression: input -> classes",
        takes: &[],
        bare_name_has_norm: false,
        image_side: SMALL,
        layers: |_| "flatten, linear classes".into(),
    },
    Entry {
        name: "linear_v1",
        title: "Two hidden layers",
        about: "two hidden layers: input -> 128 -> 64 -> classes",
        takes: &["batch_norm"],
        bare_name_has_norm: false,
        image_side: SMALL,
        layers: |s| {
            let norm = if s.batch_norm { "norm, " } else { "" };
            format!("flatten, linear 128, {norm}relu, linear 64, {norm}relu, linear classes")
        },
    },
    Entry {
        name: "cnn",
        title: "Two convolutions",
        about: "two convolutions and one linear layer: small enough for a browser's CPU",
        takes: &["batch_norm", "dropout"],
        bare_name_has_norm: true,
        image_side: SMALL,
        layers: |s| {
            let norm = if s.batch_norm { "norm, " } else { "" };
            let block = |channels| format!("conv {channels}, {norm}relu, pool max 2, ");
            format!("{}{}flatten, {}linear classes", block(16), block(32), dropout(s))
        },
    },
    Entry {
        name: "vgg11",
        title: "VGG-11",
        about: "the 8 convolutions of VGG-11 (Simonyan and Zisserman, 2014) and one linear layer, sized for 32x32",
        takes: &["batch_norm", "width", "pool", "dropout"],
        bare_name_has_norm: true,
        image_side: SMALL,
        layers: |s| vgg(s, &[&[64], &[128], &[256, 256], &[512, 512], &[512, 512]]),
    },
    Entry {
        name: "vgg16",
        title: "VGG-16",
        about: "the 13 convolutions of VGG-16 and one linear layer, sized for 32x32",
        takes: &["batch_norm", "width", "pool", "dropout"],
        bare_name_has_norm: true,
        image_side: SMALL,
        layers: |s| vgg(s, &[&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]]),
    },
    Entry {
        name: "resnet9",
        title: "ResNet-9",
        about: "the small residual network that speed records use (Page, \"How to train your ResNet\", 2018)",
        takes: &["batch_norm", "width", "dropout"],
        bare_name_has_norm: true,
        image_side: SMALL,
        // The logits are scaled down, as in the original, to soften the first steps.
        layers: |s| {
            let [a, b, c, d] = [64, 128, 256, 512].map(|channels| block(s, channels));
            let head = format!("{}linear classes, scale 0.125", dropout(s));
            format!(
                "{a}, {b}, pool max 2, residual [{b}, {b}], {c}, pool max 2, {d}, pool max 2, residual [{d}, {d}], \
                 pool max 4, flatten, {head}"
            )
        },
    },
    Entry {
        name: "photonet",
        title: "Small residual network",
        about: "a small residual network for photographs of 96x96 or any other size",
        takes: &["batch_norm", "width", "dropout"],
        bare_name_has_norm: true,
        image_side: 96,
        layers: |s| {
            let [a, b, c] = [64, 128, 256].map(|channels| block(s, channels));
            let conv = format!("conv {}", scaled(s, 32));
            let stem = block(s, 32).replacen(&conv, &format!("{conv} kernel 5 stride 2"), 1);
            format!(
                "{stem}, pool max 2, {a}, residual [{a}, {a}], pool max 2, {b}, residual [{b}, {b}], pool max 2, {c}, \
                 residual [{c}, {c}], global_pool avg, flatten, {}linear classes",
                dropout(s)
            )
        },
    },
    Entry {
        name: "airbench94",
        title: "Speed record network",
        about: "the network of a speed record on CIFAR-10 (Keller Jordan, \"94% on CIFAR-10 in 3.29 Seconds on a Single GPU\", 2024)",
        takes: &["width"],
        bare_name_has_norm: true,
        image_side: SMALL,
        layers: |s| {
            let norm = "norm scale off momentum 0.4 epsilon 1e-12, gelu";
            let block = |channels: usize| {
                let conv = format!("conv {} bias off identity", scaled(s, channels));
                format!("{conv}, pool max 2, {norm}, {conv}, {norm}")
            };
            let [a, b, c] = [64, 256, 256].map(block);
            format!(
                "normalize, whiten, gelu, {a}, {b}, {c}, pool max 3, flatten, linear classes bias off, scale {}",
                1.0 / 9.0
            )
        },
    },
];

/// The entry called `name`.
///
/// # Errors
/// Usage, with the nearest name, if there is none.
pub fn find(name: &str) -> Result<&'static Entry> {
    static ENTRIES: &[Entry] = &CATALOGUE;
    ENTRIES.iter().find(|entry| entry.name == name).ok_or_else(|| unknown("network", name, names().into_iter()))
}

/// The names of the networks that take a setting.
pub fn takers(setting: &str) -> Vec<&'static str> {
    CATALOGUE.iter().filter(|entry| entry.takes.contains(&setting)).map(|entry| entry.name).collect()
}

/// All names.
pub fn names() -> Vec<&'static str> {
    CATALOGUE.iter().map(|entry| entry.name).collect()
}

/// Stages of blocks, each ending in a 2x2 pooling, and a linear layer.
fn vgg(s: &Settings, stages: &[&[usize]]) -> String {
    let stage = |channels: &&[usize]| {
        let blocks: Vec<String> = channels.iter().map(|&channels| block(s, channels)).collect();
        format!("{}, pool {} 2, ", blocks.join(", "), s.pool)
    };
    let stages: String = stages.iter().map(stage).collect();
    format!("{stages}flatten, {}linear classes", dropout(s))
}

/// A 3x3 convolution, normalization and ReLU; normalization has an offset of its own, so the convolution has none.
fn block(s: &Settings, channels: usize) -> String {
    let channels = scaled(s, channels);
    if s.batch_norm { format!("conv {channels} bias off, norm, relu") } else { format!("conv {channels}, relu") }
}

/// Channels times the width.
fn scaled(s: &Settings, channels: usize) -> usize {
    ((channels as f64 * s.width).round() as usize).max(1)
}

fn dropout(s: &Settings) -> String {
    if s.dropout == 0.0 { String::new() } else { format!("dropout {}, ", s.dropout) }
}
