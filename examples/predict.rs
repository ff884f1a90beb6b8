//! Asks exported weights about pictures: `cargo run --release --example predict -- WEIGHTS PICTURE...`
//! WEIGHTS is a file that `tinderbox export`, the page or a run wrote, or the folder of a run.

use std::path::Path;

use burn::tensor::Device;
use tinderbox::error::{Error, Result};
use tinderbox::runs::Trained;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((weights, pictures)) = arguments.split_first() else {
        return Err(Error::usage("expected: predict WEIGHTS PICTURE..."));
    };
    let trained = Trained::open(Path::new(weights), "best", &Device::flex())?;
    println!("{}: {}, one of {}", trained.name, trained.metadata.recipe.network, trained.metadata.classes.join(", "));
    for picture in pictures {
        let guesses = trained.predict(Path::new(picture))?;
        let best: Vec<String> =
            guesses.iter().take(3).map(|guess| format!("{} {:.1} %", guess.class, 100.0 * guess.probability)).collect();
        println!("{picture}: {}", best.join(", "));
    }
    Ok(())
}
