//! `tinderbox serve` and `tinderbox export`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::evaluate::Checkpoint;
use crate::error::{Error, Result};
use crate::run_dir::RunDir;
use crate::{serve, site};

/// Serve the page on this machine: see digits, draw one, train in the browser.
#[derive(Args)]
#[command(after_help = "Example: tinderbox serve runs/mnist/linear_v1-bn-ce")]
pub struct ServeArgs {
    /// Folder of a run whose weights the page gets first
    run: Option<PathBuf>,
    /// Which weights
    #[arg(long, value_enum, default_value_t = Checkpoint::Best)]
    checkpoint: Checkpoint,
    /// Port; 0 for any that is free
    #[arg(long, default_value_t = 8017)]
    port: u16,
    /// Address to listen on; the default is reached from this machine alone
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Folder of the page [default: web, here or in the source folder]
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
}

pub fn serve(args: ServeArgs) -> Result<()> {
    let run = args.run.map(RunDir::open).transpose()?;
    let site = site::build(&site::page_dir(args.page), run.as_ref().map(|dir| (dir, args.checkpoint.name())))?;
    if !args.host.is_loopback() {
        eprintln!("notice: whoever reaches {} over the network can see the page and these weights", args.host);
    }
    serve::serve(site, SocketAddr::new(args.host, args.port), |address| {
        crate::say!("http://{address}/  (Ctrl-C ends it)");
    })
}

/// Write a run for use elsewhere.
#[derive(Args)]
#[command(after_help = "Example: tinderbox export runs/mnist/linear_v1-bn-ce --to web --out site")]
pub struct ExportArgs {
    /// Folder of a run
    run: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    to: Target,
    /// Which weights
    #[arg(long, value_enum, default_value_t = Checkpoint::Best)]
    checkpoint: Checkpoint,
    /// Folder to write into; it is made, and must be empty if it is there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder of the page [default: web, here or in the source folder]
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Target {
    /// The page with these weights, a folder for any static host
    Web,
}

pub fn export(args: ExportArgs) -> Result<()> {
    let Target::Web = args.to;
    let dir = RunDir::open(args.run)?;
    if std::fs::read_dir(&args.out).is_ok_and(|mut files| files.next().is_some()) {
        return Err(Error::usage(format!("{} is not empty: choose another --out", args.out.display())));
    }
    let site = site::build(&site::page_dir(args.page), Some((&dir, args.checkpoint.name())))?;
    site::write(&site, &args.out)?;
    let bytes: usize = site.values().map(|bytes| site::gzip(bytes).map_or(bytes.len(), |packed| packed.len())).sum();
    crate::say!(
        "{}: {} files, {:.1} MB as a host sends them compressed",
        args.out.display(),
        site.len(),
        bytes as f64 / 1e6
    );
    Ok(())
}
