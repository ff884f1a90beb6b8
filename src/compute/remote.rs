//! Devices of another machine, through burn's remote backend: [`serve`] offers them, [`connect`] uses one.
//!
//! Every operation is sent over an encrypted connection (QUIC, by iroh) and runs there; only what is read comes back. The
//! worker is known by its public key and lets in who has its token. Both are in its ticket, a file that the worker writes
//! for its own user and that other machines need a copy of.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use burn::remote::{IrohHost, RemoteHost};
use burn::server::{
    AuthorizationRequest, BURN_REMOTE_ALPN, IrohIdentity, PeerAuthorizer, RemoteServer, TokenAuthorizer,
};
use burn::tensor::{DType, Device};
use iroh::endpoint::{PortmapperConfig, QuicTransportConfig, presets};
use iroh::protocol::Router;
use iroh::{Endpoint, EndpointId, RelayMode, SecretKey};
use sha2::{Digest, Sha256};

use super::info::{AdapterKind, DeviceInfo};
use crate::error::{Advice, Error, ErrorKind, Result};
use crate::files::hex;
use crate::notice::Notice;

/// The port of a worker, unless told otherwise.
const DEFAULT_PORT: u16 = 7370;
/// What the name of a worker's key ends in.
const KEY: &str = "key";
/// Names the file of the ticket, in place of the one in the user's configuration folder.
const TICKET_VARIABLE: &str = "TINDERBOX_TICKET";

/// Names a worker, and lets in who has it. As a file: the worker's public key and the token, each in a line.
pub struct Ticket {
    worker: EndpointId,
    token: String,
}

impl Ticket {
    /// Where this machine keeps the ticket of its own worker.
    ///
    /// # Errors
    /// Usage: there is no home folder, and no variable that names a file.
    pub fn path() -> Result<PathBuf> {
        if let Some(path) = std::env::var_os(TICKET_VARIABLE).map(PathBuf::from) {
            if path.extension().is_some_and(|ending| ending == KEY) {
                return Err(Error::usage(format!(
                    "{TICKET_VARIABLE}={}: a ticket does not end in .key",
                    path.display()
                )));
            }
            return Ok(path);
        }
        let config = if cfg!(windows) {
            std::env::var_os("APPDATA").map(PathBuf::from)
        } else {
            let home = || std::env::home_dir().map(|home| home.join(".config"));
            std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)
        };
        let file = |config: PathBuf| config.join("tinderbox").join("worker.ticket");
        config
            .map(file)
            .ok_or_else(|| Error::usage(format!("there is no home folder: name a file with {TICKET_VARIABLE}")))
    }

    /// The ticket of the worker on `host`: `HOST.ticket` beside this machine's own, else the same file.
    fn path_of(host: &str) -> Result<PathBuf> {
        let own = Self::path()?;
        let named = own.with_file_name(format!("{host}.ticket"));
        Ok(if std::env::var_os(TICKET_VARIABLE).is_none() && named.is_file() { named } else { own })
    }

    /// The ticket of the worker with this key.
    fn new(key: &SecretKey) -> Self {
        let token = Sha256::digest([b"tinderbox worker token", &key.to_bytes()[..]].concat());
        Self { worker: key.public(), token: hex(&token) }
    }

    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| {
            let how = "`tinderbox worker` writes worker.ticket; copy it here as HOST.ticket";
            Error::new(ErrorKind::MissingData, format!("there is no ticket {}: {e}. {how}", path.display()))
        })?;
        let mut lines = text.lines();
        let (Some(worker), Some(token), None) = (lines.next(), lines.next(), lines.next()) else {
            return Err(Error::invalid_file(path, "is no ticket: expected two lines"));
        };
        let worker = worker.parse().map_err(|e| Error::invalid_file(path, format!("is no ticket: {e}")))?;
        Ok(Self { worker, token: token.into() })
    }

    /// Puts it where this machine's clients look for it, unless another worker's is there.
    fn write(&self, path: &Path) -> Result<()> {
        if Self::read(path).is_ok_and(|there| there.worker != self.worker) {
            let message =
                "is the ticket of another worker: rename it to HOST.ticket, after that worker's host, or remove it";
            return Err(Error::invalid_file(path, message));
        }
        write_private(path, format!("{}\n{}\n", self.worker, self.token).as_bytes())
    }
}

/// An endpoint on one address, with this key: no relays, and no request to a router to open the port.
async fn bind(address: SocketAddr, key: SecretKey) -> Result<Endpoint> {
    let failed = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Device, e.to_string());
    // burn's own endpoints send no segmented batches either (iroh#4555).
    let transport = QuicTransportConfig::builder().enable_segmentation_offload(false).build();
    let builder = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .transport_config(transport)
        .secret_key(key)
        .clear_ip_transports()
        .bind_addr(address)
        .map_err(|e| failed(&e))?;
    builder.bind().await.map_err(|e| failed(&e))
}

/// Offers `devices`, all of one backend, until a signal comes; calls `ready` with the address once it listens.
///
/// # Errors
/// Io: the key or the ticket cannot be written. Device: the address is taken, or the devices are of several backends.
pub fn serve(
    listen: SocketAddr,
    devices: Vec<Device>,
    ready: impl FnOnce(SocketAddr),
    notices: impl Fn(Notice) + Send + Sync + 'static,
) -> Result<()> {
    let path = Ticket::path()?;
    let key = key_beside(&path)?;
    let ticket = Ticket::new(&key);
    ticket.write(&path)?;
    let refused = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Device, format!("cannot offer on {listen}: {e}"));
    let authorizer =
        Announced { tokens: TokenAuthorizer::new(ticket.token).map_err(|e| refused(&e))?, notices: Box::new(notices) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| refused(&e))?;
    runtime.block_on(async {
        let endpoint = bind(listen, key).await.map_err(|e| {
            let message = format!("cannot listen on {listen}: {e}. Is there another worker?");
            Error::new(ErrorKind::Device, message).advise(Advice::OtherPort)
        })?;
        let bound = endpoint.bound_sockets().first().copied().unwrap_or(listen);
        let server = RemoteServer::new(devices).with_authorizer(authorizer);
        let protocol = server.into_protocol(&endpoint).map_err(|e| refused(&e))?;
        let router = Router::builder(endpoint).accept(BURN_REMOTE_ALPN, protocol).spawn();
        ready(bound);
        let signal = stopped().await;
        let _ = router.shutdown().await; // it ends either way
        signal.map_err(|e| refused(&e))
    })
}

/// SIGINT or SIGTERM.
async fn stopped() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Lets in who has the token, and says who came.
struct Announced {
    tokens: TokenAuthorizer,
    notices: Box<dyn Fn(Notice) + Send + Sync>,
}

impl PeerAuthorizer for Announced {
    fn authorize(&self, request: AuthorizationRequest<'_>) -> std::result::Result<(), String> {
        let (client, device) = (request.client.to_string(), request.device_index);
        let answer = self.tokens.authorize(request);
        (self.notices)(match &answer {
            Ok(()) => Notice::ClientAccepted(client, device),
            Err(e) => Notice::ClientRefused(e.clone()),
        });
        answer
    }
}

/// The worker's key, made at its first start.
fn key_beside(ticket: &Path) -> Result<SecretKey> {
    let path = ticket.with_extension(KEY);
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    let identity = folder.and_then(|()| IrohIdentity::load_or_create(&path)).map_err(|e| {
        Error::new(
            ErrorKind::Io,
            format!("no key in {}: {e}. Where it is damaged, remove it to make another", path.display()),
        )
    })?;
    Ok(SecretKey::from_bytes(&identity.to_bytes()))
}

/// A file that only its owner reads, written aside and moved into place.
fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        let _ = fs::remove_file(&aside); // of a start that was cut off
        options.open(&aside)?.write_all(bytes)?;
        fs::rename(&aside, path)
    });
    written.map_err(|e| Error::io("write", path, e))
}

/// A device of a worker: `HOST`, `HOST:PORT`, either with `/INDEX` for another device than its first.
///
/// # Errors
/// Usage: that is no address. Missing data: there is no ticket. Device: the worker cannot be reached, or refuses.
pub fn connect(address: &str) -> Result<(Device, DeviceInfo)> {
    let (host, index) = match address.split_once('/') {
        Some((host, index)) => {
            (host, index.parse().map_err(|_| Error::usage(format!("'{index}' is no device of a worker")))?)
        }
        None => (address, 0usize),
    };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let ticket = Ticket::read(&Ticket::path_of(name)?)?;
    let addresses = host.to_socket_addrs().or_else(|_| (host, DEFAULT_PORT).to_socket_addrs());
    let addresses: Vec<SocketAddr> =
        addresses.map_err(|e| Error::usage(format!("'{host}' is no HOST or HOST:PORT: {e}")))?.collect();
    let failed = |e: String| Error::new(ErrorKind::Device, format!("the worker at {host}: {e}"));
    let endpoint = client(&addresses).map_err(|e| failed(e.to_string()))?;
    let iroh = addresses.into_iter().fold(IrohHost::new(ticket.worker), IrohHost::with_address).with_endpoint(endpoint);
    let worker = RemoteHost::iroh(iroh).with_credential(ticket.token);
    let device = Device::remote_options(&worker).device_index(index).init().map_err(|e| failed(e.to_string()))?;
    let info = DeviceInfo {
        name: format!("device {index} of the worker at {host}"),
        kind: AdapterKind::Remote,
        api: "iroh".into(),
        driver: "burn-remote".into(),
        f16: device.supports_dtype(DType::F16),
        subgroup_sizes: None,
        max_buffer_bytes: None,
        verified: Some(false),
        unusable: None,
        others: Vec::new(),
    };
    Ok((device, info))
}

/// The endpoint from which this program reaches its workers, and the threads that serve it, which burn waits for.
fn client(workers: &[SocketAddr]) -> Result<Endpoint> {
    static CLIENT: OnceLock<(tokio::runtime::Runtime, Endpoint)> = OnceLock::new();
    if let Some((_, endpoint)) = CLIENT.get() {
        return Ok(endpoint.clone());
    }
    let any: SocketAddr = if workers.iter().all(SocketAddr::is_ipv6) {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::new(ErrorKind::Device, e.to_string()).caused_by(e))?;
    let endpoint = runtime.block_on(bind(any, SecretKey::generate()))?;
    Ok(CLIENT.get_or_init(|| (runtime, endpoint)).1.clone())
}
