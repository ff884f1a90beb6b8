//! `tinderbox verify`

use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::args::DeviceArgs;
use super::output::print_json;
use super::terminal::say;
use crate::compute::{DeviceInfo, is_cpu};
use crate::error::Result;
use crate::report::experiment::text_table;
use crate::runs::verified::remember;
use crate::training::{Verification, verify};

/// Compare a device with the CPU: two small trainings, with plain steps and with replayed ones.
///
/// The first training on a GPU does this by itself; here it is done again, and says how far apart the numbers are.
#[derive(Args)]
#[command(after_help = "Examples:\n  tinderbox verify\n  tinderbox verify --device llvmpipe --json")]
pub struct VerifyArgs {
    #[command(flatten)]
    device: DeviceArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Found<'a> {
    program: &'a str,
    device: &'a DeviceInfo,
    seconds: f64,
    #[serde(flatten)]
    verification: &'a Verification,
}

pub fn run(args: VerifyArgs) -> Result<()> {
    let (device, mut info) = args.device.open()?;
    let start = Instant::now();
    let verification = pollster::block_on(verify(&device))?;
    let seconds = start.elapsed().as_secs_f64();
    if !is_cpu(&device) {
        info.verified = Some(verification.passed());
        remember(&info, verification.passed());
    }
    if args.json {
        let program = env!("CARGO_PKG_VERSION");
        print_json(&Found { program, device: &info, seconds, verification: &verification })?;
    } else {
        show(&info, seconds, &verification);
    }
    verification.refuse(&info.to_string())
}

fn show(info: &DeviceInfo, seconds: f64, verification: &Verification) {
    say!("tinderbox {} on {info}, driver {}, against the CPU", env!("CARGO_PKG_VERSION"), info.driver);
    let head = ["", "difference", "allowed", ""].map(String::from).to_vec();
    let rows = verification.checks.iter().map(|check| {
        let verdict = if check.passed() { "right" } else { "WRONG" };
        let allowed = if check.allowed == 0.0 { "none".into() } else { format!("{:.0e}", check.allowed) };
        vec![check.what.clone(), format!("{:.1e}", check.difference), allowed, verdict.into()]
    });
    say!("{}", text_table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    let how = if verification.replayed { "recorded and replayed" } else { "handed on operation by operation" };
    say!("its steps are {how}; {seconds:.1} s, with what it took to compile and tune");
}
