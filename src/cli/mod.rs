//! The command line: arguments become a plan, a run, and an exit code. What the library tells is put into words here.

mod args;
mod bench;
mod cache;
mod compare;
mod devices;
mod evaluate;
mod export;
mod import;
mod init;
mod models;
mod output;
mod predict;
mod ranks;
mod recipe_args;
mod reproduce;
mod samples;
mod serve;
mod shell;
mod signals;
mod terminal;
mod train;
mod verify;
mod words;
mod worker;

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::compute::{cpu, failure, tuning};
use crate::error::Result;
use crate::runs::is_pending;
use crate::training::parallel::THREAD_NAME;

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
    Predict(predict::PredictArgs),
    Samples(samples::SamplesArgs),
    Models(models::ModelsArgs),
    Devices(devices::DevicesArgs),
    Verify(verify::VerifyArgs),
    Bench(bench::BenchArgs),
    Serve(serve::ServeArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Cache(cache::CacheArgs),
    Init(init::InitArgs),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
    Worker(worker::WorkerArgs),
}

/// Parses the arguments, runs, and reports a failure on standard error.
pub fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    silence_vulkan_layer();
    quiet_device_threads();
    if let Err(e) = ranks::join() {
        return finish(Err(e));
    }
    if ranks::is_follower() {
        cpu::take_part(ranks::threads());
        return finish(caught(ranks::follow));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print(); // a closed pipe is no reason to fail
            ranks::end(None);
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    let command = cli.command.unwrap_or_else(|| Command::Train(Box::default()));
    if !matches!(&command, Command::Train(args) if args.window) {
        cpu::take_part(ranks::threads()); // with a window it trains on another thread
    }
    tuning::watch(terminal::tuning);
    let result = caught(|| run(command));
    terminal::tuning_is_over();
    finish(result)
}

/// Runs to a result: a device that is gone is a panic in some of burn's operations.
fn caught(run: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(failure::panic(panic.as_ref())))
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Train(args) => train::run(*args),
        Command::Reproduce(args) => reproduce::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Samples(args) => samples::run(args),
        Command::Models(args) => models::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(args),
        Command::Cache(args) => cache::run(args),
        Command::Init(args) => init::run(args),
        Command::Completions(args) => shell::completions(args, &mut Cli::command()),
        Command::Man(args) => shell::man(args, Cli::command()),
        Command::Worker(args) => worker::run(args),
    }
}

/// Reports a failure, and ends this process and its job.
fn finish(result: Result<()>) -> ExitCode {
    let Err(e) = result else {
        ranks::end(None);
        return ExitCode::SUCCESS;
    };
    ranks::let_the_first_speak();
    eprintln!("error: {}", words::error(&e));
    // What one rank alone runs into, the others do not know of: they wait.
    let alone = is_pending() || ranks::is_follower();
    ranks::end(alone.then(|| e.exit_code()));
    ExitCode::from(e.exit_code())
}

/// Starts the program anew, in its place, with an XDG_RUNTIME_DIR where there is none: without it a layer of Mesa's for
/// the Vulkan loader complains on standard error whenever adapters are listed. /dev/null is no folder, so nothing is ever
/// found in it. Where it cannot be done, the complaint stays.
#[cfg(target_os = "linux")]
fn silence_vulkan_layer() {
    use std::os::unix::process::CommandExt;
    const VARIABLE: &str = "XDG_RUNTIME_DIR";
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let mut args = std::env::args_os();
    if let (Ok(program), Some(name)) = (std::env::current_exe(), args.next()) {
        let _ = std::process::Command::new(program).arg0(name).args(args).env(VARIABLE, "/dev/null").exec();
    }
}

/// burn computes on threads of its own, which panic where an operation fails, as does what reads from a device that is
/// gone; what failed comes back as an error all the same. `RUST_BACKTRACE=1` shows the panics.
fn quiet_device_threads() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let of_device = thread.name().is_some_and(|name| name.starts_with("DSD-") || name.starts_with(THREAD_NAME));
        let of_read = failure::is_reported_elsewhere(panic.payload_as_str().unwrap_or_default());
        let of_driver = |place: &Location<'_>| ["burn-remote-", "wgpu-"].iter().any(|name| place.file().contains(name));
        if !(of_device || of_read || panic.location().is_some_and(of_driver))
            || std::env::var_os("RUST_BACKTRACE").is_some()
        {
            report(panic);
        }
    }));
}
