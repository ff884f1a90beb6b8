//! `tinderbox models`

use burn::tensor::Device;
use clap::Args;
use serde_json::json;

use super::print_json;
use crate::dataset::ImageShape;
use crate::error::Result;
use crate::model::{Model, Summary, check_fit};
use crate::recipe::{Architecture, Recipe};
use crate::report::console::thousands;
use crate::report::experiment::text_table;

/// List the networks with what they cost, or show the layers of one.
#[derive(Args)]
#[command(after_help = "Examples:\n  tinderbox models\n  tinderbox models vgg11 --width 0.5")]
pub struct ModelsArgs {
    /// linear_v0, linear_v1, vgg11, vgg16 or resnet9
    name: Option<String>,
    /// Factor on the channels of a convolutional network
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    width: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const MNIST: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };
const CIFAR: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

pub fn run(args: ModelsArgs) -> Result<()> {
    match args.name {
        Some(name) => one(name.parse()?, args.width, args.json),
        None => all(args.json),
    }
}

/// With batch normalization wherever there is a hidden layer, for ten classes.
fn summarize(model: Architecture, width: f64, shape: ImageShape) -> Result<Summary> {
    let width = if model.is_convolutional() { width } else { 1.0 };
    let batch_norm = model != Architecture::LinearV0;
    let recipe = Recipe { model, width, batch_norm, ..Recipe::preset("cifar10-vgg11")? };
    recipe.validate()?;
    Ok(Model::new(&recipe, shape, 10, &Device::flex()).summary(shape))
}

fn all(as_json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for name in Architecture::NAMES {
        let model: Architecture = name.parse()?;
        for (data, shape) in [("MNIST", MNIST), ("CIFAR-10", CIFAR)] {
            if check_fit(model, shape).is_ok() {
                rows.push((name, data, summarize(model, 1.0, shape)?));
            }
        }
    }
    if as_json {
        let rows = rows.iter().map(|(name, data, summary)| {
            json!({"model": name, "images": data, "parameters": summary.parameters(),
                   "multiply_adds": summary.multiply_adds()})
        });
        return print_json(&rows.collect::<Vec<_>>());
    }
    let head = ["model", "images", "parameters", "multiply-adds an image"].map(String::from).to_vec();
    let table: Vec<Vec<String>> = std::iter::once(head)
        .chain(rows.iter().map(|(name, data, summary)| {
            let counts = [summary.parameters(), summary.multiply_adds()].map(thousands);
            [vec![name.to_string(), data.to_string()], counts.to_vec()].concat()
        }))
        .collect();
    crate::say!("{}", text_table(&table));
    Ok(())
}

fn one(model: Architecture, width: f64, as_json: bool) -> Result<()> {
    let (data, shape) = if model == Architecture::LinearV1 { ("MNIST", MNIST) } else { ("CIFAR-10", CIFAR) };
    let summary = summarize(model, width, shape)?;
    if as_json {
        let layers: Vec<_> = summary
            .layers
            .iter()
            .map(|layer| {
                json!({"name": layer.name, "output": layer.output, "parameters": layer.parameters,
                       "multiply_adds": layer.multiply_adds})
            })
            .collect();
        return print_json(&json!({"model": model.to_string(), "images": data, "layers": layers,
            "parameters": summary.parameters(), "multiply_adds": summary.multiply_adds()}));
    }
    let row = |name: &str, output: &str, parameters: u64, multiply_adds: u64| {
        vec![name.to_string(), output.to_string(), thousands(parameters), thousands(multiply_adds)]
    };
    let mut table = vec![["layer", "output", "parameters", "multiply-adds"].map(String::from).to_vec()];
    table.extend(summary.layers.iter().map(|l| row(&l.name, &l.output, l.parameters, l.multiply_adds)));
    table.push(row("all", "", summary.parameters(), summary.multiply_adds()));
    crate::say!("{model} for {data} images, ten classes\n{}", text_table(&table));
    Ok(())
}
