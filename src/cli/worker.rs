//! `tinderbox worker`

use clap::Args;

use super::DeviceArgs;
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
    let (devices, info, _) = args.device.open_all()?;
    let ticket = crate::worker::Ticket::path()?;
    crate::worker::serve(args.listen, devices, |address| {
        crate::say!("offering {info}");
        let others = if address.ip().is_loopback() {
            "this machine alone (--listen 0.0.0.0:7370 for others)"
        } else {
            "whoever has the ticket"
        };
        crate::say!("listening on {address} to {others}");
        crate::say!("ticket: {}", ticket.display());
        let host = if address.ip().is_unspecified() { "HOST".into() } else { address.ip().to_string() };
        crate::say!("use: tinderbox train --device remote:{host}:{}", address.port());
    })
}

#[cfg(not(feature = "remote"))]
pub fn run(args: WorkerArgs) -> Result<()> {
    let WorkerArgs { listen, device: _ } = args;
    Err(super::without_remote(&format!("a worker on {listen}")))
}
