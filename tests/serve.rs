//! `tinderbox serve` and `export`, spoken to over bare sockets.

mod common;

use std::fs;
use std::io::ErrorKind::{TimedOut, WouldBlock};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{ok, run, tinderbox};
use tempfile::{TempDir, tempdir};

/// A page folder with stand-ins for what wasm-pack builds.
fn page() -> TempDir {
    let dir = tempdir().unwrap();
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    for folder in ["page", "page/views", "models"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
        for entry in fs::read_dir(web.join(folder)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                fs::copy(entry.path(), dir.path().join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    fs::create_dir(dir.path().join("pkg")).unwrap();
    fs::write(dir.path().join("pkg/tinderbox_web.js"), "export default 1;".repeat(100)).unwrap();
    fs::write(dir.path().join("pkg/tinderbox_web_bg.wasm"), vec![0; 5000]).unwrap();
    dir
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(page: &Path, args: &[&str]) -> Self {
        let all = [&["serve", "--port", "0", "--page", page.to_str().unwrap()], args].concat();
        let mut child = tinderbox(page, &all).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split('/').nth(2).unwrap().to_string();
        assert!(address.starts_with("127.0.0.1:"), "{line}");
        Self { child, address }
    }

    /// What comes back to these bytes.
    fn ask(&self, request: &str) -> String {
        let mut client = TcpStream::connect(&self.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = client.write_all(request.as_bytes()); // the server may have cut us off
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn runs_are_told_and_a_report_runs_its_own_scripts_apart_from_everything_else() {
    let page = page();
    ok(page.path(), &["train", "--dataset", "mnist-sample", "--device", "cpu", "--epochs", "1", "--name", "one"]);
    let server = Server::start(page.path(), &[]);
    let get = |path: &str| server.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost:80\r\n\r\n"));
    let list = get("/runs.json");
    assert!(list.contains("application/json") && list.contains("mnist-sample/one") && list.contains("done"), "{list}");
    assert!(get("/runs/mnist-sample/one/epochs.json?from=0").contains("test_accuracy"));
    let report = get("/runs/mnist-sample/one/report.html");
    assert!(report.contains("sandbox allow-scripts") && report.contains("default-src 'none'"), "{report}");
    assert!(report.contains("<title>") && !report.contains("script-src 'self'"), "{report}");
    for path in ["/runs/mnist-sample/one/recipe.toml", "/runs/mnist-sample/one/../one/report.html", "/runs/report.html"]
    {
        assert!(get(path).starts_with("HTTP/1.1 404"), "{path}");
    }
}

#[test]
fn a_server_answers_its_own_files_and_nothing_else() {
    let page = page();
    fs::write(page.path().join("secret.txt"), "secret").unwrap();
    let server = Server::start(page.path(), &[]);
    let index = server.ask("GET / HTTP/1.1\r\nHost: localhost:80\r\n\r\n");
    assert!(index.starts_with("HTTP/1.1 200 OK") && index.contains("<title>tinderbox</title>"), "{index}");
    assert!(index.contains("default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"), "{index}");
    let head = server.ask("HEAD /app.js HTTP/1.1\r\nHost: localhost:80\r\n\r\n");
    assert!(head.contains("text/javascript") && head.ends_with("\r\n\r\n"), "{head}");
    let packed =
        server.ask("GET /pkg/tinderbox_web.js HTTP/1.1\r\nHost: localhost:80\r\nAccept-Encoding: br, gzip\r\n\r\n");
    assert!(packed.contains("Content-Encoding: gzip"), "{packed}");
    assert!(server.ask("GET /pkg/tinderbox_web_bg.wasm HTTP/1.1\r\n\r\n").contains("application/wasm"));
    for path in
        ["/secret.txt", "/../secret.txt", "/pkg/../secret.txt", "/%2e%2e/secret.txt", "//secret.txt", "/pkg", "/."]
    {
        let answer = server.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost:80\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("secret"), "{path}: {answer}");
    }
    let rebound = server.ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(rebound.starts_with("HTTP/1.1 403") && !rebound.contains("<title>"), "{rebound}");
    assert!(server.ask("POST / HTTP/1.1\r\nHost: localhost:80\r\n\r\n").starts_with("HTTP/1.1 405"));
}

#[test]
fn a_server_outlives_slow_and_broken_clients() {
    let page = page();
    let server = Server::start(page.path(), &[]);
    assert!(server.ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert!(server.ask("").starts_with("HTTP/1.1 408"), "a client that says nothing");
    let huge = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    let answer = server.ask(&huge);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    // A byte a second is too slow, whatever else happens.
    let start = Instant::now();
    let mut slow = TcpStream::connect(&server.address).unwrap();
    while slow.write_all(b"G").is_ok() && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // More connections than are served at a time, most of them idle.
    let idle: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(&server.address).ok()).collect();
    std::thread::sleep(Duration::from_millis(300));
    let closed = idle.iter().filter(|client| {
        client.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        !matches!((&**client).read(&mut [0]), Err(e) if matches!(e.kind(), WouldBlock | TimedOut))
    });
    let closed = closed.count();
    assert!((100..=136).contains(&closed), "{closed} of {} were closed, 64 may stay", idle.len());
    drop(idle);
    std::thread::sleep(Duration::from_millis(200));
    assert!(server.ask("GET / HTTP/1.1\r\nHost: localhost:80\r\n\r\n").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_run_is_exported_with_its_weights_and_what_they_are_of() {
    let (dir, page) = (tempdir().unwrap(), page());
    ok(dir.path(), &["train", "--dataset", "mnist-sample", "--device", "cpu", "--epochs", "2", "--name", "r"]);
    let (run_dir, folder) = ("runs/mnist-sample/r", page.path().to_str().unwrap());
    let export = ["export", run_dir, "--to", "web", "--out", "site", "--page", folder];
    ok(dir.path(), &export);
    let site = dir.path().join("site");
    let models: serde_json::Value =
        serde_json::from_slice(&fs::read(site.join("models/models.json")).unwrap()).unwrap();
    assert_eq!(
        (models[0]["file"].as_str(), models[0]["recipe"]["network"]["name"].as_str()),
        (Some("run.safetensors"), Some("linear_v1"))
    );
    assert_eq!(models[0]["classes"].as_array().unwrap().len(), 10);
    assert!(models[0]["accuracy"].as_f64().unwrap() > 70.0, "{}", models[0]);
    assert!(models.as_array().unwrap().len() > 1, "the page's own models follow");
    for file in [
        "index.html",
        "worker.js",
        "vendor/uPlot.iife.min.js",
        "data/train-images-idx3-ubyte.gz",
        "models/run.safetensors",
    ] {
        assert!(site.join(file).is_file(), "{file}");
    }
    assert!(site.join("app.js.gz").is_file(), "compressed for static hosts");
    let (code, _, stderr) = run(dir.path(), &export);
    assert!(code == 2 && stderr.contains("not empty"), "{stderr}");
    let (code, _, stderr) = run(dir.path(), &["serve", run_dir, "--page", "site/data"]);
    assert!(code == 1 && stderr.contains("wasm-pack build web"), "{stderr}");
}
