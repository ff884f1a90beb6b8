//! `tinderbox worker`

use clap::Args;

use super::args::DeviceArgs;
#[cfg(feature = "remote")]
use super::terminal::{self, say};
#[cfg(feature = "remote")]
use crate::compute::remote;
use crate::error::Result;

/// Offer this machine's devices to others, which train on them with --device remote:HOST.
///
/// Connections are encrypted, and let in by a ticket: a file that the worker writes, which the other machine needs a copy
/// of. It names the worker and holds a secret, so take it there in a way that you trust, such as scp.
#[derive(Args)]
#[command(after_help = "Examples:\n  tinderbox worker --device gpu\n  tinderbox worker --listen 0.0.0.0:7370\n  \
                        tinderbox train --device remote:127.0.0.1")]
pub struct WorkerArgs {
    /// Address and UDP port to listen on; only this machine reaches the default
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7370")]
    listen: std::net::SocketAddr,
    #[command(flatten)]
    device: DeviceArgs,
}

#[cfg(feature = "remote")]
pub fn run(args: WorkerArgs) -> Result<()> {
    let (devices, _) = args.device.open_all()?;
    let (ticket, info) = (remote::Ticket::path()?, devices.info().clone());
    let ready = |address: std::net::SocketAddr| {
        say!("offering {info}");
        let others = if address.ip().is_loopback() {
            "this machine alone (--listen 0.0.0.0:7370 for others)"
        } else {
            "whoever has the ticket"
        };
        say!("listening on {address} to {others}");
        say!("ticket: {}", ticket.display());
        let host = if address.ip().is_unspecified() { "HOST".into() } else { address.ip().to_string() };
        say!("use: tinderbox train --device remote:{host}:{}", address.port());
    };
    remote::serve(args.listen, devices.all(), ready, terminal::tell)
}

#[cfg(not(feature = "remote"))]
pub fn run(args: WorkerArgs) -> Result<()> {
    let WorkerArgs { listen, device: _ } = args;
    Err(super::args::without_remote(&format!("a worker on {listen}")))
}
