//! SIGINT and SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::ranks;
use crate::error::{Error, ErrorKind, Result};

/// Lets the first SIGINT or SIGTERM put its number into the result, which asks a run to finish its step and save; a second
/// one ends the program at once.
///
/// # Errors
/// Io: the system refuses.
pub fn install() -> Result<Arc<AtomicUsize>> {
    let (signal, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    // Slurm's `--signal` is told to send this one before a job's time is over; there a second one has nothing to add.
    #[cfg(all(feature = "mpi", unix))]
    signal_hook::flag::register_usize(signal_hook::consts::SIGUSR1, Arc::clone(&signal), SIGTERM as usize)
        .map_err(|e| Error::new(ErrorKind::Io, format!("signals cannot be handled: {e}")).caused_by(e))?;
    for number in [SIGINT, SIGTERM] {
        // In this order: the shutdown looks at what earlier signals have set.
        signal_hook::flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&seen))
            .and_then(|_| signal_hook::flag::register(number, Arc::clone(&seen)))
            .and_then(|_| signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize))
            .map_err(|e| Error::new(ErrorKind::Io, format!("signals cannot be handled: {e}")).caused_by(e))?;
    }
    ranks::watch(&signal);
    Ok(signal)
}
