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

use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use clap::{Args, Parser, Subcommand};

use crate::device::{self, DeviceInfo, Request};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
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
}

/// Where to compute; shared by all commands that do.
#[derive(Args, Clone)]
struct DeviceArgs {
    /// cpu, gpu, an index of `tinderbox devices`, or part of a name [default: the best hardware GPU, else the CPU]
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
        let request = self.device.as_deref().map(Request::from).unwrap_or_default();
        let mut candidates = device::list(&request);
        let chosen = candidates.swap_remove(device::choose(&candidates, &request)?);
        let info = chosen.info.clone();
        let (device, gpu) = chosen.open_shared()?;
        Ok((device, info, gpu))
    }
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
    let result = match command {
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
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

/// burn computes on threads of its own, which panic where an operation fails; what failed comes back as an error with the
/// next result that is read. `RUST_BACKTRACE=1` shows the panics all the same.
fn quiet_device_threads() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let of_device = std::thread::current().name().is_some_and(|name| name.starts_with("DSD-"));
        if !of_device || std::env::var_os("RUST_BACKTRACE").is_some() {
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
