//! `tinderbox models`

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::output::print_json;
use super::terminal::say;
use crate::data::{Identity, ImageShape};
use crate::error::Result;
use crate::network::{Architecture, Network, Summary, catalogue};
use crate::recipe::{DEFAULT_PRESET, Recipe, change_typed, file};
use crate::report::console::thousands;
use crate::report::experiment::text_table;

/// List the networks with what they cost, or show the layers of one: of the catalogue, of a recipe, or your own.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tinderbox models\n  tinderbox models vgg11 --width 0.5\n  tinderbox models recipe.toml\n  \
                        tinderbox models \"conv 16, norm, relu, pool max 2, flatten, linear classes\""
)]
pub struct ModelsArgs {
    /// A network of the catalogue, a recipe's file, or layers
    #[arg(value_name = "NAME|FILE|LAYERS")]
    network: Option<String>,
    /// Factor on the channels of a convolutional network
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    width: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const MNIST: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };
const CIFAR: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
/// The data sets that networks are shown for.
const DATA: [(&str, ImageShape); 2] = [("MNIST", MNIST), ("CIFAR-10", CIFAR)];
/// Both have ten classes.
const CLASSES: usize = 10;

pub fn run(args: ModelsArgs) -> Result<()> {
    let Some(network) = &args.network else { return all(args.json) };
    let width = args.width.as_deref().map(|width| ("network.width", width));
    if Path::new(network).extension().is_some_and(|ending| ending == "toml") {
        let recipe = change_typed(&file::read(Path::new(network))?, width)?;
        // Pictures in folders are brought to the size of CIFAR-10's.
        let data = if matches!(recipe.dataset, Identity::Cifar10 | Identity::Folder(_)) { DATA[1] } else { DATA[0] };
        return one(&recipe.network, data, args.json);
    }
    let key = if network.contains([',', ' ']) { "network.layers" } else { "network.name" };
    let recipe = change_typed(&Recipe::preset(DEFAULT_PRESET)?, std::iter::once((key, network.as_str())).chain(width))?;
    // The smaller images first, unless the network was made for the larger ones.
    let fits = |(_, shape): &&(&str, ImageShape)| recipe.network(*shape, CLASSES).is_ok();
    let data = DATA.iter().find(fits).unwrap_or(&DATA[1]);
    one(&recipe.network, *data, args.json)
}

fn all(as_json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for entry in &catalogue::CATALOGUE {
        let architecture = Architecture::named(entry.name)?;
        for (data, shape) in DATA {
            if let Ok(network) = Network::new(&architecture, shape, CLASSES) {
                rows.push((entry.name, data, network.summary()));
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
    say!("{}\n", text_table(&table));
    for entry in &catalogue::CATALOGUE {
        say!("{:<10} {}", entry.name, entry.about);
    }
    Ok(())
}

fn one(architecture: &Architecture, (data, shape): (&str, ImageShape), as_json: bool) -> Result<()> {
    let summary = Network::new(architecture, shape, CLASSES)?.summary();
    if as_json {
        return print_json(&as_value(architecture, data, &summary));
    }
    let row = |name: &str, layer: &str, output: &str, parameters: u64, multiply_adds: u64| {
        let counts = [thousands(parameters), thousands(multiply_adds)];
        [vec![name.to_string(), layer.to_string(), output.to_string()], counts.to_vec()].concat()
    };
    let mut table = vec![["", "layer", "output", "parameters", "multiply-adds"].map(String::from).to_vec()];
    table.extend(
        summary.rows.iter().map(|l| row(&l.name, &l.layer, &l.output.to_string(), l.parameters, l.multiply_adds)),
    );
    table.push(row("", "all", "", summary.parameters(), summary.multiply_adds()));
    let name = architecture.entry().map_or("your network", |entry| entry.name);
    say!("{name} for {data} images, ten classes\n{}", text_table(&table));
    Ok(())
}

fn as_value(architecture: &Architecture, data: &str, summary: &Summary) -> Value {
    let layers: Vec<_> = summary
        .rows
        .iter()
        .map(|row| {
            json!({"name": row.name, "layer": row.layer, "output": row.output.to_string(), "parameters": row.parameters,
                   "multiply_adds": row.multiply_adds})
        })
        .collect();
    json!({"model": architecture.to_string(), "images": data, "layers": layers,
        "parameters": summary.parameters(), "multiply_adds": summary.multiply_adds()})
}
