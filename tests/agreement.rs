//! Every network, loss and optimizer on a GPU against the CPU, forward and backward, with the batches that kernels are
//! least written for: a single image, and a last batch of seven.

mod common;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use common::gpu;
use tinderbox::compute::LossKind;
use tinderbox::data::ImageShape;
use tinderbox::network::{Architecture, Model, PoolKind};
use tinderbox::recipe::{OptimizerConfig, Recipe};
use tinderbox::training::optimizer::Optimizer;

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
    // Equal pixels would tie for the maximum of a window, and rounding would decide which one wins.
    let pixels: Vec<f32> = (0..n * shape.len()).map(|i| (i * 7919 % 65_521) as f32 / 65_521.0).collect();
    Tensor::from_data(TensorData::new(pixels, [n, shape.channels, shape.height, shape.width]), device)
}

/// Loss, and gradients after one pass over `n` images; then the weights after three steps.
fn run(recipe: &Recipe, shape: ImageShape, n: usize, device: &Device) -> Vec<(String, Vec<f32>)> {
    let device = device.clone().autodiff();
    let mut model = recipe.model(shape, CLASSES, &device).unwrap();
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
    let network = |name: &str, pool, batch_norm| {
        let settings =
            |s: &mut tinderbox::network::Settings| (s.pool, s.batch_norm, s.width) = (pool, batch_norm, 0.05);
        Recipe { network: Architecture::named(name).unwrap().with(settings), ..base.clone() }
    };
    let own = "conv 5 kernel 5 stride 2, norm, gelu, pool max 3 stride 2, residual [conv 5 bias off, norm, relu, conv 5], \
               pool avg 2, scale 0.5, global_pool max, flatten, linear 12 bias off, gelu, linear classes";
    let networks = [
        (network("linear_v0", PoolKind::Max, false), GREY),
        (network("linear_v1", PoolKind::Max, false), GREY),
        (base.clone(), GREY),
        (network("vgg11", PoolKind::Max, true), COLOUR),
        (network("vgg11", PoolKind::Avg, false), COLOUR),
        (network("vgg16", PoolKind::Avg, true), COLOUR),
        (network("resnet9", PoolKind::Max, true), COLOUR),
        (network("airbench94", PoolKind::Max, true), COLOUR),
        (Recipe { network: own.parse().unwrap(), ..base.clone() }, COLOUR),
    ];
    for (recipe, shape) in networks {
        let losses: &[LossKind] = match shape == COLOUR {
            true => &[LossKind::Ce], // the loss sees nothing of the network but its logits
            false => &[LossKind::Ce, LossKind::Mse, LossKind::CeOnProbabilities],
        };
        for &loss in losses {
            // Of one image a batch norm of single values makes nothing.
            let has_norm = recipe.network(shape, CLASSES).unwrap().has_norm();
            let sizes: &[usize] = if has_norm { &[7] } else { &[1, 7] };
            for &n in sizes {
                let recipe = Recipe { loss, learning_rate: 0.01, ..recipe.clone() };
                // Normalizing seven values enlarges what rounding leaves; nothing else does.
                let tolerance = if has_norm { 3e-3 } else { 1e-5 };
                let largest = compare(&recipe.short_name(), &recipe, shape, n, &device, tolerance);
                println!("{} batch {n}: {largest:.1e}", recipe.short_name());
            }
        }
    }
}

#[test]
fn every_optimizer_agrees_with_the_cpu() {
    let Some(device) = gpu("every_optimizer_agrees_with_the_cpu") else { return };
    let plain = Architecture::named("linear_v1").unwrap().with(|settings| settings.batch_norm = false);
    let base = Recipe { network: plain, ..Recipe::preset("linear_v1-bn-ce").unwrap() };
    for optimizer in [
        OptimizerConfig::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 },
        OptimizerConfig::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.01 },
        OptimizerConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.0 },
        OptimizerConfig::Adam { weight_decay: 0.01 },
        OptimizerConfig::AdamW { weight_decay: 0.1 },
        OptimizerConfig::Muon {
            momentum: 0.85,
            nesterov: true,
            weight_decay: 0.01,
            filter_rate: 1.0,
            filter_momentum: 0.6,
        },
    ] {
        let recipe = Recipe { optimizer, learning_rate: 0.01, label_smoothing: 0.1, ..base.clone() };
        // Filters have a rule of their own there.
        let convolutions =
            || "conv 6, relu, pool max 4, conv 4 kernel 1, relu, flatten, linear classes".parse().unwrap();
        let is_muon = matches!(optimizer, OptimizerConfig::Muon { .. });
        let recipe = if is_muon { Recipe { network: convolutions(), ..recipe } } else { recipe };
        let largest = compare(&format!("{optimizer:?}"), &recipe, GREY, 7, &device, 1e-5);
        println!("{optimizer:?}: {largest:.1e}");
    }
}
