//! A web server for the page, whose files are in memory under their exact names, and for what [`Watched`] tells of runs.
//!
//! One request a connection, a thread for each, bounded in number, time and size: a slow or hostile client costs a thread
//! for some seconds, and no memory to speak of.

use std::collections::BTreeMap;
use std::io::{ErrorKind as IoError, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::files::{Site, gzip};
use super::runs::{Answer, Watched};
use crate::error::{Advice, Error, ErrorKind, Result};

/// What a page may do: load from here alone, and compile WebAssembly.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What a report may do: run its own scripts, apart from everything else.
const REPORT_POLICY: &str = "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; \
                             style-src 'unsafe-inline'; img-src data: blob:; frame-ancestors 'none'";
/// Connections at a time; any more are closed at once.
const CONNECTIONS: usize = 64;
/// How long a client may take to send its request, and to take each part of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A browser's request is a tenth of this.
const REQUEST_BYTES: usize = 16 << 10;

struct File {
    plain: Vec<u8>,
    packed: Option<Vec<u8>>,
    mime: &'static str,
}

/// Serves a site, and what there is of runs, until the program ends, telling `ready` the address that it is at.
///
/// # Errors
/// Io: the address is taken, or not ours.
pub fn serve(site: Site, runs: Watched, address: SocketAddr, ready: impl FnOnce(SocketAddr)) -> Result<()> {
    let files: BTreeMap<String, File> = site
        .into_iter()
        .map(|(name, plain)| {
            let file = File { packed: gzip(&plain), mime: mime(&name), plain };
            (name, file)
        })
        .collect();
    let failed = |e: std::io::Error| {
        Error::new(ErrorKind::Io, format!("{address} cannot be served on: {e}")).caused_by(e).advise(Advice::OtherPort)
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    ready(listener.local_addr().map_err(failed)?);
    let (served, open) = (Arc::new((files, runs)), Arc::new(AtomicUsize::new(0)));
    for client in listener.incoming() {
        let Ok(client) = client else { continue }; // it went away before we looked
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (served, open) = (Arc::clone(&served), Arc::clone(&open));
        std::thread::spawn(move || {
            let _ = answer(&served.0, &served.1, client); // a client that goes away is none of our business
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    Ok(())
}

/// What a client wants.
struct Wanted {
    method: String,
    path: String,
    takes_gzip: bool,
    host: String,
}

fn answer(files: &BTreeMap<String, File>, runs: &Watched, mut client: TcpStream) -> std::io::Result<()> {
    client.set_write_timeout(Some(PATIENCE))?;
    let wanted = match read_request(&mut client)? {
        Ok(wanted) => wanted,
        Err(status) => return Reply::words(status, b"").send(&mut client, true),
    };
    // A page of elsewhere may have its own name point here; it must not read what this machine alone should.
    if client.local_addr()?.ip().is_loopback() && !is_local(&wanted.host) {
        return Reply::words("403 Forbidden", b"this server is for this machine alone\n").send(&mut client, true);
    }
    let (path, query) = wanted.path.split_once('?').unwrap_or((&wanted.path, ""));
    let path = path.split('#').next().unwrap_or_default().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    if !matches!(wanted.method.as_str(), "GET" | "HEAD") {
        let refused = Reply { more: "Allow: GET, HEAD\r\n", ..Reply::words("405 Method Not Allowed", b"") };
        return refused.send(&mut client, true);
    }
    let body = wanted.method == "GET";
    if let Some(Answer { bytes, is_report }) = runs.answer(path, query) {
        let (mime, policy) = if is_report { (mime("report.html"), REPORT_POLICY) } else { (mime(".json"), POLICY) };
        let packed = wanted.takes_gzip.then(|| gzip(&bytes)).flatten();
        return Reply { policy, ..Reply::file(mime, &bytes, packed.as_deref()) }.send(&mut client, body);
    }
    match files.get(path) {
        Some(File { plain, packed, mime }) => {
            let packed = packed.as_deref().filter(|_| wanted.takes_gzip);
            Reply::file(mime, plain, packed).send(&mut client, body)
        }
        None => Reply::words("404 Not Found", b"there is no such file\n").send(&mut client, body),
    }
}

/// Reads a request's head, or says with which status to refuse it.
fn read_request(client: &mut TcpStream) -> std::io::Result<Result<Wanted, &'static str>> {
    let deadline = Instant::now() + PATIENCE;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        // A client that sends a byte now and then must not start the clock anew each time.
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err("408 Request Timeout"));
        }
        client.set_read_timeout(Some(left))?;
        let n = match client.read(&mut part) {
            Err(e) if matches!(e.kind(), IoError::WouldBlock | IoError::TimedOut) => {
                return Ok(Err("408 Request Timeout"));
            }
            n => n?,
        };
        bytes.extend_from_slice(&part[..n]);
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes) {
            Err(_) => return Ok(Err("400 Bad Request")),
            Ok(httparse::Status::Partial) if n == 0 => return Ok(Err("400 Bad Request")),
            Ok(httparse::Status::Partial) if bytes.len() >= REQUEST_BYTES => {
                return Ok(Err("431 Request Header Fields Too Large"));
            }
            Ok(httparse::Status::Partial) => {}
            Ok(httparse::Status::Complete(_)) => {
                let gzip =
                    |value: &[u8]| value.split(|&b| b == b',').any(|part| part.trim_ascii().starts_with(b"gzip"));
                let accepts =
                    |h: &httparse::Header<'_>| h.name.eq_ignore_ascii_case("accept-encoding") && gzip(h.value);
                return Ok(Ok(Wanted {
                    method: request.method.unwrap_or_default().into(),
                    path: request.path.unwrap_or_default().into(),
                    takes_gzip: request.headers.iter().any(accepts),
                    host: host(request.headers),
                }));
            }
        }
    }
}

/// The name that a client reaches the server by, without its port; empty if it does not say.
fn host(headers: &[httparse::Header<'_>]) -> String {
    let value = headers.iter().find(|h| h.name.eq_ignore_ascii_case("host")).map_or(&b""[..], |h| h.value);
    let value = String::from_utf8_lossy(value);
    let end = if value.starts_with('[') { value.find(']').map(|i| i + 1) } else { value.find(':') };
    value[..end.unwrap_or(value.len())].to_string()
}

fn is_local(host: &str) -> bool {
    host.is_empty() || host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

/// What a client gets.
struct Reply<'a> {
    status: &'a str,
    mime: &'a str,
    /// Other lines of the head, each with its end.
    more: &'a str,
    policy: &'a str,
    content: &'a [u8],
}

impl<'a> Reply<'a> {
    /// A file, as gzip where `packed` is that.
    fn file(mime: &'a str, plain: &'a [u8], packed: Option<&'a [u8]>) -> Self {
        let more = if packed.is_some() { "Content-Encoding: gzip\r\n" } else { "" };
        Self { status: "200 OK", mime, more, policy: POLICY, content: packed.unwrap_or(plain) }
    }

    /// Words for whoever asked for something else.
    fn words(status: &'a str, content: &'a [u8]) -> Self {
        Self { status, mime: "text/plain", more: "", policy: POLICY, content }
    }

    /// Sends the head and, if it is wanted, the `body`.
    fn send(&self, client: &mut TcpStream, body: bool) -> std::io::Result<()> {
        let Self { status, mime, more, policy, content } = self;
        let length = content.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {mime}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\
             Vary: Accept-Encoding\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\nContent-Security-Policy: {policy}\r\n\r\n"
        );
        // A client that takes a little now and then must not start the clock anew each time.
        let deadline = Instant::now() + 6 * PATIENCE;
        for part in [head.as_bytes()].into_iter().chain(content.chunks(64 << 10).filter(|_| body)) {
            if Instant::now() > deadline {
                return Err(IoError::TimedOut.into());
            }
            client.write_all(part)?;
        }
        client.flush()
    }
}

fn mime(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}
