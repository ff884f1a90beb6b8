//! `tinderbox serve`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use super::args::Checkpoint;
use super::terminal::say;
use crate::error::Result;
use crate::runs::RunDir;
use crate::site;

/// Serve the page on this machine: see digits, draw one, train in the browser.
#[derive(Args)]
#[command(after_help = "Example: tinderbox serve runs/mnist/linear_v1-bn-ce")]
pub struct ServeArgs {
    /// Folder of a run whose weights the page gets first
    run: Option<PathBuf>,
    /// Which weights: best, last or epoch-N
    #[arg(long, default_value = "best")]
    checkpoint: Checkpoint,
    /// Port; 0 for any that is free
    #[arg(long, default_value_t = 8017)]
    port: u16,
    /// Address to listen on; the default is reached from this machine alone
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Folder of the page [default: web, here, beside the program, or in the source folder]
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
}

pub fn run(args: ServeArgs) -> Result<()> {
    let run = args.run.map(RunDir::open).transpose()?;
    let site = site::build(&site::page_dir(args.page), run.as_ref().map(|dir| (dir, args.checkpoint.name())))?;
    if !args.host.is_loopback() {
        eprintln!("notice: whoever reaches {} over the network can see the page and these weights", args.host);
    }
    site::serve(site, SocketAddr::new(args.host, args.port), |address| {
        say!("http://{address}/  (Ctrl-C ends it)");
    })
}
