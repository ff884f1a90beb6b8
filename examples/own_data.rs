//! Trains a network on images of your own, made in memory, and writes its weights:
//! `cargo run --release --example own_data`, then `tinderbox predict shapes.safetensors PICTURE`.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use burn::module::Module;
use tinderbox::compute::Devices;
use tinderbox::data::{Dataset, Identity, ImageShape, Split};
use tinderbox::error::Result;
use tinderbox::recipe::Recipe;
use tinderbox::training::{Event, Observer, Observers, Plan, train};
use tinderbox::weights::{self, Metadata};

/// Bright squares and crosses on a dark ground, 16x16, each somewhere else.
fn shapes(count: usize) -> Split {
    let shape = ImageShape { channels: 1, height: 16, width: 16 };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for i in 0..count {
        let (label, left, top) = ((i % 2) as u16, i * 7 % 9, i * 5 % 9);
        let mut image = vec![(i % 40) as u8; shape.len()];
        for y in 0..7 {
            for x in 0..7 {
                let on = if label == 0 { x % 6 == 0 || y % 6 == 0 } else { x == 3 || y == 3 };
                image[(top + y) * 16 + left + x] |= if on { 200 } else { 0 };
            }
        }
        pixels.extend(image);
        labels.push(label);
    }
    Split { pixels: pixels.into(), labels, shape }
}

/// Whatever happens while a network trains is told to observers.
struct Print;

impl Observer for Print {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Epoch { history, .. } = event
            && let Some(m) = history.last()
        {
            println!("epoch {}: train loss {:.4}, test accuracy {:.1} %", m.epoch, m.train_loss, m.test_accuracy);
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let classes = vec!["square".to_string(), "cross".to_string()];
    let dataset = Dataset::new(shapes(2000), shapes(300), classes)?;
    let recipe = Recipe {
        dataset: Identity::Own("shapes".into()),
        network: "conv 8, norm, relu, pool max 2, flatten, linear classes".parse()?,
        epochs: 5.0,
        batch_size: 50,
        ..Recipe::preset("linear_v1-bn-ce")?
    };
    let plan = Plan::new(&recipe, &Arc::new(dataset))?;
    let devices = Devices::cpu(); // or one of `tinderbox::compute::list`
    let (stop, mut observers) = (AtomicUsize::new(0), Observers::default().with(Print));
    let run = train(&plan, &devices, plan.start(devices.main()), &stop, &mut observers);
    let trained = pollster::block_on(run)?;

    let metadata = Metadata::new(&recipe, plan.data().shape(), &plan.data().classes);
    let bytes = weights::to_bytes(&trained.model.valid(), &metadata.to_json())?;
    std::fs::write("shapes.safetensors", bytes).expect("the folder can be written");
    println!("shapes.safetensors: of these the program, PyTorch and the page make use");
    Ok(())
}
