//! Whether a file had every tensor of a network, and no other.

use burn::store::ApplyResult;

use crate::error::{Error, Result};

/// Checks what burn says of tensors that it put into a model: every one present, of the right shape, and none left over.
///
/// # Errors
/// Invalid data, naming the tensors that do not fit.
pub(super) fn complete(result: &ApplyResult) -> Result<()> {
    // PyTorch counts batches, which nothing uses while momentum is given.
    let unused = result.unused.iter().filter(|name| !name.ends_with("num_batches_tracked"));
    let mut complaints: Vec<String> = result.errors.iter().map(ToString::to_string).collect();
    complaints.extend(result.missing.iter().map(|(name, _)| format!("{name} is missing")));
    complaints.extend(unused.map(|name| format!("{name} has no place in this model")));
    if complaints.is_empty() { Ok(()) } else { Err(Error::invalid(complaints.join("; "))) }
}
