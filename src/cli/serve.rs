//! `tinderbox serve`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use super::args::Checkpoint;
use super::output::built_site;
use super::terminal::say;
use crate::error::Result;
use crate::runs::RunDir;
use crate::site;

/// Serve the page on this machine: draw, build and train networks in the browser, and watch the program's runs while they train.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tinderbox serve runs/mnist/linear_v1-bn-ce\n  tinderbox serve    (and then `tinderbox train` in another window)"
)]
pub struct ServeArgs {
    /// Folder of a run whose weights the page gets first
    run: Option<PathBuf>,
    /// Which weights: best, last or epoch-N
    #[arg(long, default_value = "best")]
    checkpoint: Checkpoint,
    /// Folder of the runs that the page shows; they are only looked at
    #[arg(long, default_value = "runs", value_name = "DIR")]
    out: PathBuf,
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
    let mut site = built_site(args.page, run.as_ref().map(|dir| (dir, args.checkpoint.name())))?;
    site::add_samples(&mut site);
    let runs = site::Watched::new(args.out);
    if !args.host.is_loopback() {
        let runs = runs.root().display();
        eprintln!(
            "notice: whoever reaches {} over the network can see the page, its weights and the runs in {runs}",
            args.host
        );
    }
    site::serve(site, runs, SocketAddr::new(args.host, args.port), |address| {
        say!("http://{address}/  (Ctrl-C ends it)");
    })
}
