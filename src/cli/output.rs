//! Tables, JSON and files as commands print and write them.

use std::path::{Path, PathBuf};

use super::terminal::say;
use super::words;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::runs::RunDir;
use crate::site::{self, Site};

/// Prints a value as JSON.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::invalid(format!("cannot be written as JSON: {e}")).caused_by(e))?;
    say!("{text}");
    Ok(())
}

/// The page in a folder, or where it is, with the weights of a run; a notice says if it was built without `wasm-opt`.
pub fn built_site(page: Option<PathBuf>, run: Option<(&RunDir, &str)>) -> Result<Site> {
    let site = site::build(&site::page_dir(page), run)?;
    if site::is_unoptimized(&site) {
        eprintln!("notice: {}", words::UNOPTIMIZED);
    }
    Ok(site)
}

/// Writes a file of weights, and says so.
pub fn write_weights(out: &Path, bytes: &[u8]) -> Result<()> {
    if out.is_dir() {
        return Err(Error::usage(format!("{} is a folder: --out names the file to write", out.display())));
    }
    write_atomically(out, bytes)?;
    say!("{}: {} bytes", out.display(), bytes.len());
    Ok(())
}
