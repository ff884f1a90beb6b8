//! The one table of what a recipe holds. A new choice is a field of [`Recipe`] and a row here.

use serde_json::json;

use super::field::Group::{Data, Device, Network, Optimization};
use super::field::{Applies, Default, FROM_0, Field, FieldKind, SHARE, row};
use super::{Augment, Lookahead, Schedule, Views, optimizer};
use crate::compute::LossKind;
use crate::error::Result;
use crate::names::unknown;
use crate::network::{Convolution, PoolKind, Precision, catalogue};

/// All rows, in the order of files and of the page's form.
pub static FIELDS: [Field; 34] = [
    Field {
        help: "the data set: mnist, mnist-sample, cifar10, idx:DIR (files named as MNIST's), folder:DIR (a folder, or a zip \
               file of one, with a subfolder of images a class) or csv:FILE (lines of path,label)",
        ..row(Data, "dataset", "dataset", "DATASET", FieldKind::Text(&crate::data::EXAMPLES))
    },
    Field {
        help: "pixels a side that the pictures of folder: and csv: are brought to; where nothing is said, those of the network",
        applies: Applies::Optionally,
        example: || json!(96),
        ..row(Data, "image_size", "image-size", "PIXELS", FieldKind::Whole { min: 8, max: 1024 })
    },
    Field {
        help: "a network of the catalogue; `tinderbox models` says what they cost",
        applies: Applies::Without("network.layers"),
        example: || json!("vgg11"),
        ..row(Network, "network.name", "model", "NAME", FieldKind::Choice(catalogue::names))
    },
    Field {
        help: "a network of your own, layer by layer, instead of one of the catalogue",
        applies: Applies::Without("network.name"),
        example: || json!(["conv 32", "norm", "relu", "pool max 2", "flatten", "linear classes"]),
        ..row(Network, "network.layers", "layers", "LAYERS", FieldKind::Layers)
    },
    Field {
        help: "batch normalization after every hidden layer",
        applies: Applies::When("network.name", || catalogue::takers("batch_norm")),
        default: Default::Fixed(|| json!(true)),
        ..row(Network, "network.batch_norm", "batch-norm", "on|off", FieldKind::Switch)
    },
    Field {
        help: "factor on the channels of a convolutional network",
        applies: Applies::When("network.name", || catalogue::takers("width")),
        default: Default::Fixed(|| json!(1.0)),
        ..row(Network, "network.width", "width", "FACTOR", FieldKind::Number { min: (0.0, false), max: (16.0, true) })
    },
    Field {
        help: "how a VGG network halves its images",
        applies: Applies::When("network.name", || catalogue::takers("pool")),
        default: Default::Fixed(|| json!("max")),
        ..row(Network, "network.pool", "pool", "KIND", FieldKind::Choice(|| PoolKind::NAMES.to_vec()))
    },
    Field {
        help: "share of values zeroed before a convolutional network's last layer while training",
        applies: Applies::When("network.name", || catalogue::takers("dropout")),
        default: Default::Fixed(|| json!(0.0)),
        ..row(Network, "network.dropout", "dropout", "SHARE", SHARE)
    },
    Field {
        help: "a run's folder, or a file of weights, to start from: the first layers, as far as they are the same",
        applies: Applies::Optionally,
        example: || json!("runs/cifar10/resnet9-ce"),
        ..row(Network, "from", "from", "RUN|FILE", FieldKind::Text(&["runs/cifar10/resnet9-ce", "weights.safetensors"]))
    },
    Field {
        help: "so many of the first layers are left as they are; `tinderbox models` numbers them",
        default: Default::Fixed(|| json!(0)),
        ..row(Network, "freeze", "freeze", "LAYERS", FieldKind::Whole { min: 0, max: 1000 })
    },
    Field {
        help: "the loss",
        ..row(Optimization, "loss", "loss", "LOSS", FieldKind::Choice(|| LossKind::NAMES.to_vec()))
    },
    Field {
        help: "share of the target that ce spreads over all classes",
        applies: Applies::When("loss", || vec!["ce"]),
        default: Default::Fixed(|| json!(0.0)),
        ..row(Optimization, "label_smoothing", "label-smoothing", "SHARE", SHARE)
    },
    Field {
        help: "images per step",
        sweeps: true,
        ..row(Optimization, "batch_size", "batch", "SIZE", FieldKind::Whole { min: 1, max: u32::MAX as u64 })
    },
    Field {
        help: "passes over the train set; the last may end early, as in 9.9",
        ..row(
            Optimization,
            "epochs",
            "epochs",
            "N",
            FieldKind::Number { min: (0.001, true), max: (u32::MAX as f64, true) },
        )
    },
    Field {
        help: "the learning rate that the schedule starts from",
        default: Default::By("optimizer.kind", |kind| optimizer::default_of("learning_rate", kind)),
        sweeps: true,
        ..row(
            Optimization,
            "learning_rate",
            "lr",
            "RATE",
            FieldKind::Number { min: (0.0, false), max: (f64::INFINITY, false) },
        )
    },
    Field {
        help: "how the learning rate changes: constant, step:SIZE:GAMMA (times GAMMA after every SIZE epochs), cosine, or \
               one-cycle:WARMUP, triangle:START:WARMUP:END",
        default: Default::Preset,
        ..row(Optimization, "schedule", "schedule", "SCHEDULE", FieldKind::Text(&Schedule::EXAMPLES))
    },
    Field {
        help: "the optimizer",
        ..row(Optimization, "optimizer.kind", "optimizer", "KIND", FieldKind::Choice(optimizer::names))
    },
    Field {
        help: "momentum: the share of the last step that is taken again",
        applies: Applies::When("optimizer.kind", optimizer::with_momentum),
        default: Default::By("optimizer.kind", |kind| optimizer::default_of("momentum", kind)),
        example: || json!(0.9),
        ..row(Optimization, "optimizer.momentum", "momentum", "SHARE", SHARE)
    },
    Field {
        help: "Nesterov's momentum",
        applies: Applies::When("optimizer.kind", optimizer::with_momentum),
        default: Default::By("optimizer.kind", |kind| optimizer::default_of("nesterov", kind)),
        example: || json!(true),
        ..row(Optimization, "optimizer.nesterov", "nesterov", "on|off", FieldKind::Switch)
    },
    Field {
        help: "factor on the learning rate of convolutions' filters",
        applies: Applies::When("optimizer.kind", optimizer::with_filters),
        default: Default::By("optimizer.kind", |kind| optimizer::default_of("filter_rate", kind)),
        example: || json!(1.0),
        ..row(
            Optimization,
            "optimizer.filter_rate",
            "filter-rate",
            "FACTOR",
            FieldKind::Number { min: (0.0, false), max: (1e6, true) },
        )
    },
    Field {
        help: "momentum of convolutions' filters",
        applies: Applies::When("optimizer.kind", optimizer::with_filters),
        default: Default::By("optimizer.kind", |kind| optimizer::default_of("filter_momentum", kind)),
        example: || json!(0.6),
        ..row(Optimization, "optimizer.filter_momentum", "filter-momentum", "SHARE", SHARE)
    },
    Field {
        help: "weight decay: how much of a weight is taken off at every step, times the learning rate",
        default: Default::By("optimizer.kind", |kind| optimizer::default_of("weight_decay", kind)),
        ..row(Optimization, "optimizer.weight_decay", "weight-decay", "DECAY", FROM_0)
    },
    Field {
        help: "factor on the learning rate of batch normalization's scales and offsets, but not on their weight decay",
        applies: Applies::When("optimizer.kind", optimizer::with_momentum),
        default: Default::Fixed(|| json!(1.0)),
        ..row(
            Optimization,
            "norm_rate",
            "norm-rate",
            "FACTOR",
            FieldKind::Number { min: (0.0, false), max: (1e6, true) },
        )
    },
    Field {
        help: "batch normalization over the whole batch where several devices share it, and not over each share",
        default: Default::Fixed(|| json!(false)),
        ..row(Optimization, "sync_batch_norm", "sync-batch-norm", "on|off", FieldKind::Switch)
    },
    Field {
        help: "epochs in which the bias of a whitening layer is trained; all, where nothing is said",
        applies: Applies::Optionally,
        example: || json!(3),
        ..row(
            Optimization,
            "whitening_epochs",
            "whitening-epochs",
            "N",
            FieldKind::Whole { min: 1, max: u32::MAX as u64 },
        )
    },
    Field {
        help: "slow weights that the trained ones are pulled to: off, or STEPS:KEEP (every STEPS steps)",
        default: Default::Fixed(|| json!("off")),
        ..row(Optimization, "lookahead", "lookahead", "LOOKAHEAD", FieldKind::Text(&Lookahead::EXAMPLES))
    },
    Field {
        help: "random changes to the train images, with dashes between: shifts (crop4) or a part resized to the whole (resized25: a \
               quarter of the area at least), mirroring (flip or alternating), other colours (jitter40); on is crop4-flip",
        ..row(Data, "augment", "augment", "AUGMENT", FieldKind::Text(&Augment::EXAMPLES))
    },
    Field {
        help: "test-time augmentation: the mean over views of a test image, measured at the end beside the image itself",
        default: Default::Fixed(|| json!("off")),
        ..row(Data, "tta", "tta", "VIEWS", FieldKind::Choice(|| Views::NAMES.to_vec()))
    },
    Field {
        help: "share of the train set to use, the first images of every class",
        ..row(Data, "fraction", "fraction", "SHARE", FieldKind::Number { min: (0.0, false), max: (1.0, true) })
    },
    Field {
        help: "decides initial weights and the order of images",
        sweeps: true,
        ..row(Optimization, "seed", "seed", "SEED", FieldKind::Whole { min: 0, max: i64::MAX as u64 })
    },
    Field {
        help: "stop after this many epochs without a lower test loss",
        applies: Applies::Optionally,
        example: || json!(5),
        ..row(Optimization, "patience", "patience", "EPOCHS", FieldKind::Whole { min: 1, max: u32::MAX as u64 })
    },
    Field {
        help: "fail if the best test accuracy, in percent, stays below this",
        applies: Applies::Optionally,
        example: || json!(97.0),
        ..row(
            Optimization,
            "target_accuracy",
            "target-accuracy",
            "PERCENT",
            FieldKind::Number { min: (0.0, true), max: (100.0, true) },
        )
    },
    Field {
        help: "the numbers of products; f16 is half precision, on adapters that have it",
        default: Default::Fixed(|| json!("f32")),
        ..row(Device, "precision", "precision", "PRECISION", FieldKind::Choice(|| Precision::NAMES.to_vec()))
    },
    Field {
        help: "3x3 convolutions on the CPU; fast rounds more, exact is slower",
        default: Default::Fixed(|| json!("fast")),
        ..row(Device, "convolution", "convolution", "ALGORITHM", FieldKind::Choice(|| Convolution::NAMES.to_vec()))
    },
];

/// The row of a key.
///
/// # Errors
/// Usage, with the nearest key, if there is none.
pub fn field(key: &str) -> Result<&'static Field> {
    let known = || FIELDS.iter().map(|field| field.key);
    FIELDS
        .iter()
        .find(|field| field.key == key)
        .ok_or_else(|| unknown("key", key, known().collect::<Vec<_>>().into_iter()))
}
