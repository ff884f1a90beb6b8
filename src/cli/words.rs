//! The words of the command line for what the library tells: which option to use, which command to give.

use std::path::Path;

use super::ranks;
use crate::error::{Advice, Error};
use crate::names::quote;
use crate::notice::Notice;
use crate::report::console::{duration, thousands};

/// An error as it is told on the terminal, with what to do next.
pub fn error(e: &Error) -> String {
    match e.advice() {
        None => e.to_string(),
        Some(Advice::SmallerBatch(Some(size))) => format!("{e}: choose a smaller one, such as --batch {size}"),
        Some(advice) => format!("{e}{}", advice_words(advice)),
    }
}

fn advice_words(advice: &Advice) -> String {
    match advice {
        Advice::SmallerBatch(_) => "; use a smaller --batch or --width".into(),
        Advice::SmallerNetwork => ": use a smaller network, or another --device".into(),
        Advice::TrainOnCpu => {
            ". Train with --device cpu; `tinderbox verify --device DEVICE` prints what to report, to the maintainers and to the \
             vendor of the driver"
                .into()
        }
        Advice::Momentum => ", such as --momentum 0.9".into(),
        Advice::SinglePrecision => {
            ": leave --precision out, or choose a device with f16 (see `tinderbox devices`)".into()
        }
        Advice::PutFilesInto { files, dir, or_name_folder } => {
            let or = if *or_name_folder { ", or name the folder that has them with --data-dir" } else { "" };
            format!("\nPut {} into {}{or}", files.join(", "), dir.display())
        }
        Advice::OtherDataset => ": name another one with --dataset".into(),
        Advice::NewRun => "\nAnother recipe makes a new run: start one under another --name".into(),
        Advice::OtherNameOrContinue(run) => {
            format!(": choose another --name, or continue it with --resume {}", path(run))
        }
        Advice::Continue { run, .. } => {
            format!("; continue with: {}", again(&format!("train --resume {}", path(run))))
        }
        Advice::Again => "; give the same command again to go on".into(),
        Advice::OtherCheckpoint(name) => {
            format!(". Another one is whole: go on from it with --checkpoint {name}")
        }
        Advice::OtherRun(runs) if runs.is_empty() => "; `tinderbox train` makes one".into(),
        Advice::OtherRun(runs) => {
            let runs: Vec<String> = runs.iter().map(|run| path(run)).collect();
            format!(". There is {}", runs.join(", "))
        }
        Advice::MoreEpochs(done) => format!(": --epochs must be at least {done}"),
        Advice::OtherPort => "; choose another port".into(),
        Advice::BuildPage => {
            ". The page is built by `wasm-pack build web --target web --profile page` in the source folder; \
                              --page names the folder with index.html"
                .into()
        }
        Advice::WriteToFile => ": write the picture to a file with --png FILE".into(),
    }
}

/// That the page was built without `wasm-opt`.
pub const UNOPTIMIZED: &str = "the page's program is a tenth larger than it need be: wasm-pack could not run wasm-opt, \
                               which it downloads when it builds";

/// That a signal came, and other ranks of the job have not answered since.
#[cfg(feature = "mpi")]
pub const RANKS_SILENT: &str = "notice: a signal came, and the other ranks have not answered yet; one of them may have died. If \
                                the job ends here, it goes on from its last checkpoint: give train --resume and the run's folder";

/// The error of a run that can go on, with the command that continues it on the same devices.
pub fn with_devices(e: Error, device: Option<&str>) -> Error {
    let Some(Advice::Continue { run, lost }) = e.advice() else { return e };
    let device = match (lost, device) {
        (true, _) => " --device DEVICE, one that is left".into(),
        (false, Some(name)) => format!(" --device {}", quote(name)),
        (false, None) => String::new(),
    };
    let command = again(&format!("train --resume {}{device}", path(run)));
    let said = match e.kind() {
        crate::error::ErrorKind::Interrupted(_) => format!("{e}; continue with: {command}"),
        _ => format!("{e}. What was saved goes on with: {command}"),
    };
    Error::new(e.kind(), said)
}

/// A notice as it is told on standard error.
pub fn notice(notice: &Notice) -> String {
    match notice {
        Notice::OtherFolder { named, used } => {
            format!("notice: {} has no MNIST files; using {}", named.display(), used.display())
        }
        Notice::LeftOut(e) => format!("warning: left out: {}", error(e)),
        Notice::LeftOutMore(count) => format!("warning: left out {count} more files"),
        Notice::OthersDecode => "another program decodes these pictures: waiting for it".into(),
        Notice::Packed(count) => format!(
            "notice: {} decoded pictures are kept for the next start; `tinderbox cache` shows how much that is, and removes it",
            thousands(*count as u64)
        ),
        Notice::NotPacked(e) => format!("warning: {}. They stay in memory, and are decoded at every start", error(e)),
        Notice::Streamed { share } => {
            format!(
                "notice: images were streamed to the device, which waited for them {:.1} % of the time",
                100.0 * share
            )
        }
        Notice::BeganFrom { from, layers, of } => {
            format!("notice: {layers} of {of} layers with weights begin as in {}", from.display())
        }
        Notice::ObserverDropped(e) => format!("warning: {}. Training goes on without it", error(e)),
        Notice::Verifying(device) => {
            format!("notice: {device} is compared with the CPU, once for this driver and this version of the program")
        }
        Notice::Verified(seconds) => {
            format!("notice: it computes what the CPU computes; finding that out took {}", duration(*seconds))
        }
        Notice::NoReplay => {
            "notice: a recorded step did not repeat what a plain step computes on this device: training goes \
                             on plainly, and slower"
                .into()
        }
        Notice::NoCheckpoint { wanted, instead: None } => {
            format!("notice: the checkpoint '{wanted}' was never finished: starting from the beginning")
        }
        Notice::NoCheckpoint { wanted, instead: Some(instead) } => {
            format!("notice: the checkpoint '{wanted}' was never finished: going on from '{instead}'")
        }
        Notice::RunFailed(name, e) => format!("error: {name}: {}", error(e)),
        // The terminal has its own ways for these.
        Notice::Download { .. }
        | Notice::Decoding { .. }
        | Notice::Resuming { .. }
        | Notice::RunStarts(_)
        | Notice::AlreadyFinished
        | Notice::ClientAccepted(..)
        | Notice::ClientRefused(_) => String::new(),
    }
}

/// A path as one types it.
pub fn path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

/// A command of the program as one types it here: through cargo where cargo started it, or under the name or path that
/// it was started by.
pub fn command(arguments: &str) -> String {
    // cargo sets this for what `cargo run` starts, and for tests.
    let program = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(_) => "cargo run --release --".into(),
        None => std::env::args_os().next().map_or("tinderbox".into(), |name| path(Path::new(&name))),
    };
    format!("{program} {arguments}")
}

/// A command that goes on with the work of this one, by as many ranks.
fn again(arguments: &str) -> String {
    match ranks::count() {
        1 => command(arguments),
        ranks => format!("mpirun -n {ranks} {}", command(arguments)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn advice_becomes_options_and_commands() {
        let e = Error::usage("batch size is 9, but there are 8 train images").advise(Advice::SmallerBatch(Some(2)));
        assert!(error(&e).ends_with("8 train images: choose a smaller one, such as --batch 2"));
        let e = Error::new(ErrorKind::Device, "the device is out of memory").advise(Advice::SmallerBatch(None));
        assert_eq!(error(&e), "the device is out of memory; use a smaller --batch or --width");
        let run = |lost| Advice::Continue { run: "runs/my run".into(), lost };
        let stopped = Error::new(ErrorKind::Interrupted(2), "stopped by a signal").advise(run(false));
        let e = with_devices(stopped, Some("my gpu"));
        let goes_on = command(&format!("train --resume {} --device {}", quote("runs/my run"), quote("my gpu")));
        assert_eq!((error(&e), e.exit_code()), (format!("stopped by a signal; continue with: {goes_on}"), 130));
        let e = with_devices(Error::new(ErrorKind::Device, "gone").advise(run(true)), Some("0,1"));
        assert!(error(&e).ends_with("--device DEVICE, one that is left"), "{}", error(&e));
    }
}
