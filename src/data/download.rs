//! Downloads of published files: size cap, pinned SHA-256, a part file and an atomic rename.
//!
//! Nothing that fails any of the checks is ever visible under the file's name, so a run after a broken one
//! simply starts again, and two programs that download at once do each other no harm.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::error::{Advice, Error, ErrorKind, Result};
use crate::files::{hex, make_folder};
use crate::notice::{Notice, Notices};

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
/// Missing data: says what each mirror answered; advises which files to put where.
pub fn all(files: &[Remote], mirrors: &[&str], dir: &Path, notices: Notices<'_>) -> Result<()> {
    let own = std::env::var("TINDERBOX_MIRROR").ok();
    let mirrors: Vec<&str> = own.as_deref().into_iter().chain(mirrors.iter().copied()).collect();
    for file in files {
        let target = dir.join(file.name);
        if target.is_file() {
            continue;
        }
        make_folder(dir)?;
        let mut answers = Vec::new();
        let fetched = mirrors.iter().any(|mirror| {
            let url = format!("{}/{}", mirror.trim_end_matches('/'), file.name);
            one(file, &url, &target, notices).map_err(|answer| answers.push(format!("  {url}: {answer}"))).is_ok()
        });
        if !fetched {
            let message = format!("could not download {}:\n{}", file.name, answers.join("\n"));
            let files = files.iter().map(|file| file.name.into()).collect();
            return Err(Error::new(ErrorKind::MissingData, message).advise(Advice::PutFilesInto {
                files,
                dir: dir.into(),
                or_name_folder: true,
            }));
        }
    }
    Ok(())
}

fn one(file: &Remote, url: &str, target: &Path, notices: Notices<'_>) -> Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(Duration::from_secs(20)))
        .timeout_recv_body(Some(Duration::from_secs(60 + file.bytes / 20_000))) // 20 kB/s will do
        .max_redirects(3)
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(|e| refused(e.to_string()))?;
    // One byte over the expected size is enough to know that it is the wrong file.
    let mut body = response.body_mut().with_config().limit(file.bytes + 1).reader();

    let part = target.with_file_name(format!("{}.{}.part", file.name, std::process::id()));
    let written = receive(file, &mut body, &part, notices);
    let kept = written.and_then(|()| fs::rename(&part, target).map_err(|e| Error::io("rename", &part, e)));
    if kept.is_err() {
        let _ = fs::remove_file(&part); // a left-over part file is only untidy: the next run does not read it
    }
    kept
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::MissingData, message)
}

fn receive(file: &Remote, body: &mut impl Read, part: &Path, notices: Notices<'_>) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("write", part, e);
    let mut out = File::create(part).map_err(failed)?;
    let (mut hash, mut total, mut buffer) = (Sha256::new(), 0u64, vec![0; 1 << 16]);
    loop {
        let n = body
            .read(&mut buffer)
            .map_err(|e| refused(format!("broke off after {total} of {} bytes: {e}", file.bytes)))?;
        if n == 0 {
            break;
        }
        total += n as u64;
        if total > file.bytes {
            return Err(refused(format!("expected {} bytes, found more: this is another file", file.bytes)));
        }
        hash.update(&buffer[..n]);
        out.write_all(&buffer[..n]).map_err(failed)?;
        notices(Notice::Download { name: file.name, received: total, total: file.bytes });
    }
    if total != file.bytes {
        return Err(refused(format!("expected {} bytes, found {total}: cut short, or another file", file.bytes)));
    }
    let found = hex(&hash.finalize());
    if found != file.sha256 {
        return Err(refused(format!("expected SHA-256 {}, found {found}: altered, or another file", file.sha256)));
    }
    out.sync_all().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::silent;
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
            let error = all(&[ABC], &[&mirror], dir.path(), &mut silent).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MissingData);
            let wanted =
                Advice::PutFilesInto { files: vec!["abc.gz".into()], dir: dir.path().into(), or_name_folder: true };
            assert_eq!(error.advice(), Some(&wanted));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing may be left behind: {error}");
        }
        let mirrors = [serve(vec![ok(b"abd")]), serve(vec![ok(b"abc")])];
        all(&[ABC], &[&mirrors[0], &mirrors[1]], dir.path(), &mut silent).unwrap();
        assert_eq!(fs::read(dir.path().join("abc.gz")).unwrap(), b"abc");
        all(&[ABC], &["http://127.0.0.1:1/"], dir.path(), &mut silent).unwrap(); // it is there: nothing is asked
    }

    #[test]
    fn no_network_says_where_to_put_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let error = all(&[ABC], &["http://127.0.0.1:1/"], &dir.path().join("mnist"), &mut silent).unwrap_err();
        assert!(
            matches!(error.advice(), Some(Advice::PutFilesInto { dir, .. }) if dir.ends_with("mnist")),
            "{error:?}"
        );
    }
}
