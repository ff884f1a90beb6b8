//! `tinderbox init`

use std::path::PathBuf;

use clap::Args;

use super::output::print_json;
use super::terminal::say;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::recipe::{DEFAULT_PRESET, Recipe, file, schema};

/// Write a recipe with comments, to change and to train: `tinderbox train recipe.toml`.
#[derive(Args)]
#[command(after_help = "Example: tinderbox init cifar10-vgg11 --out mine.toml")]
pub struct InitArgs {
    /// A named recipe to start from; `tinderbox train --help` lists them
    #[arg(default_value = DEFAULT_PRESET)]
    preset: String,
    /// The file to write; it must not be there
    #[arg(long, value_name = "FILE", default_value = "recipe.toml")]
    out: PathBuf,
    /// Print the JSON schema of a recipe instead: every key, what it means, its range, its default, when it applies
    #[arg(long)]
    schema: bool,
}

pub fn run(args: InitArgs) -> Result<()> {
    if args.schema {
        return print_json(&schema());
    }
    let text = file::commented(&Recipe::preset(&args.preset)?);
    if args.out.exists() {
        return Err(Error::usage(format!("{} is there already: choose another --out", args.out.display())));
    }
    write_atomically(&args.out, text.as_bytes())?;
    say!("{0}: change it, then: tinderbox train {0}", args.out.display());
    Ok(())
}
