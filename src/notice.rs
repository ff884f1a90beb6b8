//! What a person may want to hear while work goes on; the front end finds the words, or keeps silent.

use std::path::PathBuf;

use crate::error::Error;

/// Something that happened beside the work, and did not end it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// The folder that was named has no such data set; another one has, and is used.
    OtherFolder {
        /// The folder that was named.
        named: PathBuf,
        /// The folder that is used.
        used: PathBuf,
    },
    /// A file that could not be read was left out.
    LeftOut(Error),
    /// So many more files were left out.
    LeftOutMore(usize),
    /// Pictures are decoded.
    Decoding {
        /// Files that are done.
        done: usize,
        /// All files.
        files: usize,
    },
    /// Another program decodes the same pictures; they are waited for.
    OthersDecode,
    /// So many pictures were decoded into one file, which the next start finds.
    Packed(usize),
    /// Decoded pictures are not kept in a file, and why; they stay in memory.
    NotPacked(Error),
    /// The images of the run did not stay on its device; this share of the training time was spent waiting for them.
    Streamed {
        /// From 0 to 1.
        share: f64,
    },
    /// The run begins with weights of another one.
    BeganFrom {
        /// The run, or the file.
        from: PathBuf,
        /// Layers with weights that are taken from it.
        layers: usize,
        /// All layers with weights.
        of: usize,
    },
    /// A file arrives from the network.
    Download {
        /// The file's name.
        name: &'static str,
        /// Bytes that are here.
        received: u64,
        /// Bytes of the whole file.
        total: u64,
    },
    /// An observer of a run failed, and the run goes on without it.
    ObserverDropped(Error),
    /// A device is about to be compared with the CPU, before it trains for the first time.
    Verifying(String),
    /// The device computes what the CPU computes, which took so many seconds to find out.
    Verified(f64),
    /// The device records steps, but a recorded one was found to compute something else than the same step done plainly, or
    /// could not be recorded; the run goes on plainly.
    NoReplay,
    /// A client of this worker was let in, by its public key, to this device.
    ClientAccepted(String, u32),
    /// A client of this worker was refused, and why.
    ClientRefused(String),
    /// The run has no checkpoint of this name to go on from; `instead` is the one that it goes on from, or none where it
    /// starts from the beginning.
    NoCheckpoint {
        /// The checkpoint that was wanted.
        wanted: String,
        /// The checkpoint that is used.
        instead: Option<String>,
    },
    /// The run goes on after so many epochs and steps.
    Resuming {
        /// Epochs that are done.
        epochs: usize,
        /// Steps of the next epoch that are done.
        steps: usize,
    },
    /// A run of several is about to start; says what is trained and how large it is.
    RunStarts(String),
    /// A run of several was finished before.
    AlreadyFinished,
    /// A run of several failed, and the others go on.
    RunFailed(String, Error),
}

/// Whoever hears of notices.
pub type Notices<'a> = &'a mut dyn FnMut(Notice);

/// Hears of nothing.
pub fn silent(_: Notice) {}
