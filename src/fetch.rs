//! Downloads of published files: size cap, pinned SHA-256, a part file and an atomic rename.
//!
//! Nothing that fails any of the checks is ever visible under the file's name, so a run after a broken one
//! simply starts again, and two programs that download at once do each other no harm.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// A published file.
pub struct Remote {
    /// Its name, on the mirror and on disk.
    pub name: &'static str,
    /// Its exact size.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hex.
    pub sha256: &'static str,
}

/// Downloads those of `files` that are not yet in `dir`, each from the first of `mirrors` that has it.
/// `TINDERBOX_MIRROR` names another mirror to try first; the checksums hold for it as well.
///
/// # Errors
/// Missing data: says what each mirror answered, which files are needed and where to put them.
pub fn all(files: &[Remote], mirrors: &[&str], dir: &Path) -> Result<()> {
    let own = std::env::var("TINDERBOX_MIRROR").ok();
    let mirrors: Vec<&str> = own.as_deref().into_iter().chain(mirrors.iter().copied()).collect();
    for file in files {
        let target = dir.join(file.name);
        if target.is_file() {
            continue;
        }
        fs::create_dir_all(dir).map_err(|e| Error::io("create the folder", dir, &e))?;
        let mut answers = Vec::new();
        let fetched = mirrors.iter().any(|mirror| {
            let url = format!("{}/{}", mirror.trim_end_matches('/'), file.name);
            one(file, &url, &target).map_err(|answer| answers.push(format!("  {url}: {answer}"))).is_ok()
        });
        if !fetched {
            let names: Vec<&str> = files.iter().map(|f| f.name).collect();
            return Err(Error::new(
                ErrorKind::MissingData,
                format!(
                    "could not download {}:\n{}\nPut {} into {}, or name the folder that has them with --data-dir",
                    file.name,
                    answers.join("\n"),
                    names.join(", "),
                    dir.display()
                ),
            ));
        }
    }
    Ok(())
}

fn one(file: &Remote, url: &str, target: &Path) -> Result<(), String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(Duration::from_secs(20)))
        .timeout_recv_body(Some(Duration::from_secs(60 + file.bytes / 20_000))) // 20 kB/s will do
        .max_redirects(3)
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(|e| e.to_string())?;
    // One byte over the expected size is enough to know that it is the wrong file.
    let mut body = response.body_mut().with_config().limit(file.bytes + 1).reader();

    let part = target.with_file_name(format!("{}.{}.part", file.name, std::process::id()));
    let written = receive(file, &mut body, &part);
    let kept =
        written.and_then(|()| fs::rename(&part, target).map_err(|e| format!("cannot rename {}: {e}", part.display())));
    if kept.is_err() {
        let _ = fs::remove_file(&part); // a left-over part file is only untidy: the next run does not read it
    }
    kept
}

fn receive(file: &Remote, body: &mut impl Read, part: &Path) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("cannot write {}: {e}", part.display());
    let bar = ProgressBar::new(file.bytes).with_message(file.name);
    if let Ok(style) = ProgressStyle::with_template("{msg:28} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    let mut out = File::create(part).map_err(failed)?;
    let (mut hash, mut total, mut buffer) = (Sha256::new(), 0u64, vec![0; 1 << 16]);
    loop {
        let n = body.read(&mut buffer).map_err(|e| format!("broke off after {total} of {} bytes: {e}", file.bytes))?;
        if n == 0 {
            break;
        }
        total += n as u64;
        if total > file.bytes {
            return Err(format!("expected {} bytes, found more: this is another file", file.bytes));
        }
        hash.update(&buffer[..n]);
        out.write_all(&buffer[..n]).map_err(failed)?;
        bar.inc(n as u64);
    }
    bar.finish_and_clear();
    if total != file.bytes {
        return Err(format!("expected {} bytes, found {total}: cut short, or another file", file.bytes));
    }
    let found = hex(&hash.finalize());
    if found != file.sha256 {
        return Err(format!("expected SHA-256 {}, found {found}: altered, or another file", file.sha256));
    }
    out.sync_all().map_err(failed)
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Serves `answers`, one a connection, and returns the address.
    fn serve(answers: Vec<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    request.push(byte[0]);
                }
                let _ = stream.write_all(&answer);
            }
        });
        address
    }

    fn ok(body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    /// SHA-256 of "abc", from FIPS 180-4.
    const ABC: Remote =
        Remote { name: "abc.gz", bytes: 3, sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" };

    #[test]
    fn bad_answers_are_refused_and_the_next_mirror_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
        let cut_short = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nab".to_vec();
        let bad = [missing, cut_short, ok(b"abd"), ok(b"<html>sign in</html>"), ok(b"ab")];
        for answer in bad {
            let mirror = serve(vec![answer]);
            let error = all(&[ABC], &[&mirror], dir.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MissingData);
            assert!(error.to_string().contains("Put abc.gz into"), "{error}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing may be left behind: {error}");
        }
        let mirrors = [serve(vec![ok(b"abd")]), serve(vec![ok(b"abc")])];
        all(&[ABC], &[&mirrors[0], &mirrors[1]], dir.path()).unwrap();
        assert_eq!(fs::read(dir.path().join("abc.gz")).unwrap(), b"abc");
        all(&[ABC], &["http://127.0.0.1:1/"], dir.path()).unwrap(); // it is there: nothing is asked
    }

    #[test]
    fn no_network_says_where_to_put_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let error = all(&[ABC], &["http://127.0.0.1:1/"], &dir.path().join("mnist")).unwrap_err();
        assert!(error.to_string().contains("mnist, or name the folder"), "{error}");
    }
}
