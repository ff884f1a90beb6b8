//! Work on a device that is recorded once and replayed, so that the host need not hand it on operation by operation.
//!
//! This is the only file with `unsafe`. Burn cannot know whether what a recording reads and writes is still there, so a
//! [`Replay`] keeps it: the recorded work is a plain function of what is kept, and can reach nothing else.

#![allow(unsafe_code)]

use burn::backend::{Backend, BackendTypes, Dispatch};
use burn::tensor::Device;

use super::failure;
use crate::error::Result;

/// Recorded work, with what it reads and writes.
pub struct Replay<T> {
    graph: <Dispatch as BackendTypes>::GraphPrimitive,
    device: Device,
    /// Dropped after the graph.
    _kept: T,
}

/// A device that is ready for a recording: it holds on to the memory that it uses.
pub struct Prepared {
    device: Device,
}

impl Prepared {
    /// Gets a device ready. The work should be done a few times between this and the [recording](Self::record), so that
    /// everything is compiled, tuned and allocated.
    ///
    /// # Errors
    /// Device: it cannot record.
    pub fn new(device: &Device) -> Result<Self> {
        Dispatch::graph_prepare(device.as_dispatch()).map_err(|e| failure::device(&e))?;
        Ok(Self { device: device.clone() })
    }

    /// Records `work` without doing it. Nothing in it may write from the host, read back or wait.
    ///
    /// # Errors
    /// Device: it cannot record, or cannot record this.
    pub fn record<T>(self, kept: T, work: fn(&T) -> Result<()>) -> Result<Replay<T>> {
        let device = self.device.clone();
        Dispatch::graph_start_capture(device.as_dispatch()).map_err(|e| failure::device(&e))?;
        work(&kept)?;
        std::mem::forget(self); // its drop would end the recording once more
        let graph = Dispatch::graph_stop_capture(device.as_dispatch()).map_err(|e| failure::device(&e))?;
        Ok(Replay { graph, device, _kept: kept })
    }
}

/// Whatever happened, the device is of use again.
impl Drop for Prepared {
    fn drop(&mut self) {
        let _ = Dispatch::graph_stop_capture(self.device.as_dispatch()); // without a recording there is none to be had
    }
}

impl<T> Replay<T> {
    /// Does the recorded work once more.
    ///
    /// # Errors
    /// Device: it failed or is gone.
    pub fn run(&self) -> Result<()> {
        // SAFETY: Dispatch::graph_replay wants three things until the work is done.
        // Liveness: the work was a function pointer, which captures nothing, so all tensors that it read and wrote are
        // reached through `_kept`, which lives as long as `self`, or were made by the work itself, whose memory the graph
        // holds. `self` may be dropped before the device is done: what was handed to the queue before is done before the
        // memory is given to anything else, which goes through the same queue.
        // No concurrent use: tensors and this type are used from the thread that trains; other threads that have a tensor of
        // the same device are ordered by the one queue of that device.
        // Same stream: a stream is a thread, and `Replay` is not `Send` where tensors are not; the loop records and
        // replays on one.
        unsafe { Dispatch::graph_replay(self.device.as_dispatch(), &self.graph) }.map_err(|e| failure::device(&e))
    }
}
