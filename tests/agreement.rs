//! Every network, loss and optimizer on a GPU against the CPU, forward and backward, with the batches that kernels are
//! least written for: a single image, and a last batch of seven.

mod common;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use common::gpu;
use tinderbox::dataset::ImageShape;
use tinderbox::model::Model;
use tinderbox::optimizer::Optimizer;
use tinderbox::recipe::{Architecture, LossKind, OptimizerConfig, Pool, Recipe};

const GREY: ImageShape = ImageShape { channels: 1, height: 7, width: 5 };
const COLOUR: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
const CLASSES: usize = 10;

/// Every parameter, or its gradient where there is one, under its name.
struct Values<'a> {
    gradients: Option<&'a Gradients>,
    path: Vec<String>,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Values<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = match self.gradients {
            Some(gradients) => param.val().grad(gradients),
            None => Some(param.val().inner()),
        };
        if let Some(values) = values {
            self.found.insert(self.path.join("."), values.into_data().try_to_vec().unwrap());
        }
    }
}

fn values(model: &Model, gradients: Option<&Gradients>) -> BTreeMap<String, Vec<f32>> {
    let mut values = Values { gradients, path: Vec::new(), found: BTreeMap::new() };
    model.visit(&mut values);
    values.found
}

fn images(n: usize, shape: ImageShape, device: &Device) -> Tensor<4> {
    let pixels: Vec<f32> = (0..n * shape.len()).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
    Tensor::from_data(TensorData::new(pixels, [n, shape.channels, shape.height, shape.width]), device)
}

/// Loss, and gradients after one pass over `n` images; then the weights after three steps.
fn run(recipe: &Recipe, shape: ImageShape, n: usize, device: &Device) -> Vec<(String, Vec<f32>)> {
    let device = device.clone().autodiff();
    let mut model = Model::new(recipe, shape, CLASSES, &device);
    let labels: Vec<i32> = (0..n as i32).map(|i| i * 3 % CLASSES as i32).collect();
    let labels = || Tensor::from_data(TensorData::new(labels.clone(), [n]), &device);
    let mut optimizer = Optimizer::new(recipe.optimizer);
    let mut found = Vec::new();
    for step in 0..3 {
        let logits = model.forward(images(n, shape, &device));
        let loss = recipe.loss.compute(logits, labels(), recipe.label_smoothing);
        found.push((format!("loss {step}"), loss.clone().inner().into_data().try_to_vec().unwrap()));
        let gradients = loss.backward();
        if step == 0 {
            found.extend(
                values(&model, Some(&gradients)).into_iter().map(|(name, v)| (format!("gradient of {name}"), v)),
            );
        }
        model = optimizer.step(recipe.learning_rate, model, gradients);
    }
    found.extend(values(&model, None));
    found
}

/// The largest difference of a vector, relative to its norm.
fn compare(what: &str, recipe: &Recipe, shape: ImageShape, n: usize, device: &Device, tolerance: f32) -> f32 {
    let (cpu, gpu) = (run(recipe, shape, n, &Device::flex()), run(recipe, shape, n, device));
    assert_eq!(cpu.len(), gpu.len(), "{what}");
    let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    let mut largest = 0.0f32;
    for ((name, a), (other, b)) in cpu.iter().zip(&gpu) {
        assert_eq!((name, a.len()), (other, b.len()), "{what}");
        let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        // The floor is for biases before batch norm, whose true gradient is zero.
        let relative = norm(&difference) / (norm(a) + 1e-3 * (a.len() as f32).sqrt());
        assert!(relative < tolerance, "{what}, batch {n}, {name}: {relative:.1e} apart\n{a:.6?}\n{b:.6?}");
        largest = largest.max(relative);
    }
    largest
}

#[test]
fn every_network_and_loss_agrees_with_the_cpu() {
    let Some(device) = gpu("every_network_and_loss_agrees_with_the_cpu") else { return };
    let base = Recipe::preset("linear_v1-bn-ce").unwrap();
    let conv = |model, pool, batch_norm| Recipe { model, pool, batch_norm, width: 0.05, ..base.clone() };
    let networks = [
        (Recipe { model: Architecture::LinearV0, batch_norm: false, ..base.clone() }, GREY),
        (Recipe { batch_norm: false, ..base.clone() }, GREY),
        (base.clone(), GREY),
        (conv(Architecture::Vgg11, Pool::Max, true), COLOUR),
        (conv(Architecture::Vgg11, Pool::Avg, false), COLOUR),
        (conv(Architecture::Vgg16, Pool::Avg, true), COLOUR),
        (conv(Architecture::Resnet9, Pool::Max, true), COLOUR),
    ];
    for (recipe, shape) in networks {
        let losses: &[LossKind] = match recipe.model.is_convolutional() {
            true => &[LossKind::Ce], // the loss sees nothing of the network but its logits
            false => &[LossKind::Ce, LossKind::Mse, LossKind::CeOnProbabilities],
        };
        for &loss in losses {
            // Of one image a batch norm of single values makes nothing.
            let sizes: &[usize] = if recipe.batch_norm { &[7] } else { &[1, 7] };
            for &n in sizes {
                let recipe = Recipe { loss, learning_rate: 0.01, ..recipe.clone() };
                // Normalizing seven values enlarges what rounding leaves; nothing else does.
                let tolerance = if recipe.batch_norm { 3e-3 } else { 1e-5 };
                let largest = compare(&recipe.short_name(), &recipe, shape, n, &device, tolerance);
                println!("{} batch {n}: {largest:.1e}", recipe.short_name());
            }
        }
    }
}

#[test]
fn every_optimizer_agrees_with_the_cpu() {
    let Some(device) = gpu("every_optimizer_agrees_with_the_cpu") else { return };
    let base = Recipe { batch_norm: false, ..Recipe::preset("linear_v1-bn-ce").unwrap() };
    for optimizer in [
        OptimizerConfig::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 },
        OptimizerConfig::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.01 },
        OptimizerConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.0 },
        OptimizerConfig::Adam { weight_decay: 0.01 },
        OptimizerConfig::AdamW { weight_decay: 0.1 },
    ] {
        let recipe = Recipe { optimizer, learning_rate: 0.01, label_smoothing: 0.1, ..base.clone() };
        let largest = compare(&format!("{optimizer:?}"), &recipe, GREY, 7, &device, 1e-5);
        println!("{optimizer:?}: {largest:.1e}");
    }
}
