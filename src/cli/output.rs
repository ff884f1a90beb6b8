//! Tables, JSON and files as commands print and write them.

use std::path::Path;

use super::terminal::say;
use crate::error::{Error, Result};
use crate::files::write_atomically;

/// Prints a value as JSON.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::invalid(format!("cannot be written as JSON: {e}")).caused_by(e))?;
    say!("{text}");
    Ok(())
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
