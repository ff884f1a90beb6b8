//! The command line: arguments become a validated recipe, a run, and an exit code.

mod bench;
mod compare;
mod devices;
mod evaluate;
mod export;
mod import;
mod init;
mod models;
mod reproduce;
mod samples;
mod serve;
mod session;
mod shell;
mod sweep;
mod train;
mod worker;

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use clap::{Args, Parser, Subcommand};

use crate::device::{self, DeviceInfo, Request};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::replicas::THREAD_NAME;
use crate::tuning;

/// Trains image classifiers on any GPU there is, and keeps what happened.
///
/// Without a command it trains the default preset on MNIST. Exit codes: 0 fine, 1 failed, 2 wrong usage,
/// 130 and 143 interrupted.
#[derive(Parser)]
#[command(name = "tinderbox", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<train::TrainArgs>),
    Reproduce(reproduce::ReproduceArgs),
    Compare(compare::CompareArgs),
    Evaluate(evaluate::EvaluateArgs),
    Predict(evaluate::PredictArgs),
    Samples(samples::SamplesArgs),
    Models(models::ModelsArgs),
    Devices(devices::DevicesArgs),
    Bench(bench::BenchArgs),
    Serve(serve::ServeArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Init(init::InitArgs),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
    Worker(worker::WorkerArgs),
}

/// Where to compute; shared by all commands that do.
#[derive(Args, Clone)]
struct DeviceArgs {
    /// cpu, gpu, an index of `tinderbox devices`, part of a name, or remote:HOST[:PORT][/INDEX] for a worker's; to train,
    /// also several with commas between, or all [default: the best hardware GPU, else the CPU]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

impl DeviceArgs {
    /// Finds and starts the device.
    fn open(&self) -> Result<(Device, DeviceInfo)> {
        let (device, info, _) = self.open_shared()?;
        Ok((device, info))
    }

    /// The same, with the wgpu device that burn computes on, if it does, to draw beside it.
    fn open_shared(&self) -> Result<(Device, DeviceInfo, Option<Gpu>)> {
        if let Some(address) = self.device.as_deref().and_then(|name| name.strip_prefix(REMOTE)) {
            let (device, info) = connect(address)?;
            return Ok((device, info, None));
        }
        if let Some(list) = self.device.as_deref().filter(|name| name.contains(',') || *name == "all") {
            return Err(Error::usage(format!("--device {list} names several devices: this takes one")));
        }
        let request = self.device.as_deref().map(Request::from).unwrap_or_default();
        let mut candidates = device::list(&request);
        let chosen = candidates.swap_remove(device::choose(&candidates, &request)?);
        let info = chosen.info.clone();
        let (device, gpu) = chosen.open_shared()?;
        Ok((device, info, gpu))
    }

    /// All devices of a list, the main one first: what they are, and what it takes to draw on the main one.
    fn open_all(&self) -> Result<(Vec<Device>, DeviceInfo, Option<Gpu>)> {
        let Some(list) = self.device.as_deref().filter(|list| list.contains(',') || *list == "all") else {
            let (device, info, gpu) = self.open_shared()?;
            return Ok((vec![device], info, gpu));
        };
        let (remote, local): (Vec<_>, Vec<_>) = list.split(',').map(str::trim).partition(|n| n.starts_with(REMOTE));
        if let Some(twice) = (1..remote.len()).find(|&i| remote[..i].contains(&remote[i])) {
            return Err(Error::usage(format!("{} is named twice", remote[twice])));
        }
        let only_cpu = local.iter().all(|name| Request::from(*name) == Request::Cpu);
        let candidates = device::list(if only_cpu { &Request::Cpu } else { &Request::Index(0) });
        // A worker's device is never the main one where there is another: what it computes is lost with it.
        let mut opened = Vec::new();
        let chosen = device::choose_all(&candidates, &local)?;
        // One setting for all of them: what a GPU in hardware needs does no harm elsewhere.
        if let Some(best) = chosen.iter().map(|&index| candidates[index].info.kind).min() {
            tuning::configure(best);
        }
        for index in chosen {
            let info = candidates[index].info.clone();
            let (device, gpu) = candidates[index].clone().open_shared()?;
            opened.push((device, info, gpu));
        }
        for name in remote {
            let (device, info) = connect(name.trim_start_matches(REMOTE))?;
            opened.push((device, info, None));
        }
        let mut opened = opened.into_iter();
        let Some((main, info, gpu)) = opened.next() else { return Err(Error::usage("--device names no device")) };
        let (others, infos): (Vec<_>, Vec<_>) = opened.map(|(device, info, _)| (device, info)).unzip();
        let devices = std::iter::once(main).chain(others).collect();
        Ok((devices, DeviceInfo { others: infos, ..info }, gpu))
    }
}

#[cfg(not(feature = "remote"))]
fn without_remote(what: &str) -> Error {
    Error::usage(format!("{what} needs a program built with the feature remote: cargo run --release --features remote"))
}

/// Before the address of a worker.
const REMOTE: &str = "remote:";

#[cfg(feature = "remote")]
use crate::worker::connect;

#[cfg(not(feature = "remote"))]
fn connect(address: &str) -> Result<(Device, DeviceInfo)> {
    Err(without_remote(&format!("{REMOTE}{address}")))
}

/// Where data sets are; shared by all commands that read one.
#[derive(Args, Clone)]
struct DataArgs {
    /// Folder with MNIST's or CIFAR-10's files, looked in first; then $TINDERBOX_DATA, then data/mnist or data; downloaded
    /// if they are in none
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Parses the arguments, runs, and reports a failure on standard error.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print(); // a closed pipe is no reason to fail
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    quiet_device_threads();
    tuning::watch(|| {
        eprintln!("notice: kernels are compiled and tuned for this adapter; the next start will know the best of them");
    });
    let command = cli.command.unwrap_or_else(|| Command::Train(Box::default()));
    let run = || match command {
        Command::Train(args) => train::run(*args),
        Command::Reproduce(args) => reproduce::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Predict(args) => evaluate::predict(args),
        Command::Samples(args) => samples::run(args),
        Command::Models(args) => models::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(args),
        Command::Init(args) => init::run(args),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
        Command::Worker(args) => worker::run(args),
    };
    let result = catch_unwind(AssertUnwindSafe(run)); // a device that is gone is a panic in some of burn's operations
    match result.unwrap_or_else(|panic| Err(Error::of_panic(panic.as_ref()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

/// burn computes on threads of its own, which panic where an operation fails, as does what reads from a device that is
/// gone; what failed comes back as an error all the same. `RUST_BACKTRACE=1` shows the panics.
fn quiet_device_threads() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let of_device = thread.name().is_some_and(|name| name.starts_with("DSD-") || name.starts_with(THREAD_NAME));
        let said = panic.payload_as_str().unwrap_or_default();
        let of_read = said.contains("host access failed") || said.contains("device is poisoned");
        let of_driver = |place: &Location<'_>| ["burn-remote-", "wgpu-"].iter().any(|name| place.file().contains(name));
        if !(of_device || of_read || panic.location().is_some_and(of_driver))
            || std::env::var_os("RUST_BACKTRACE").is_some()
        {
            report(panic);
        }
    }));
}

/// Prints a value as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::new(ErrorKind::InvalidData, format!("cannot be written as JSON: {e}")))?;
    crate::say!("{text}");
    Ok(())
}
