//! The stand-in, driven as cubecl drives the engine.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::transaction::TransactionBehavior;
use crate::{Builder, Connection, Error};

const INSERT: &str = "INSERT INTO entries (namespace, key, value, origin) VALUES (?1, ?2, ?3, ?4) \
                      ON CONFLICT(namespace, key) DO UPDATE SET value = excluded.value, origin = excluded.origin \
                      WHERE entries.origin = 1 AND excluded.origin = 0";
const SELECT: &str = "SELECT value FROM entries WHERE namespace = ?1 AND key = ?2";
const SCAN: &str = "SELECT key, value, origin FROM entries WHERE namespace = ?1";

/// Nothing here waits for anything.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a statement waits"),
    }
}

fn open(path: &Path) -> Connection {
    now(Builder::new_local(path.to_str().unwrap()).build()).unwrap().connect().unwrap()
}

fn insert(to: &Connection, key: &[u8], value: &[u8], origin: i64) -> u64 {
    now(to.execute(INSERT, ("tuning", key.to_vec(), value.to_vec(), origin))).unwrap()
}

fn get(from: &Connection, key: &[u8]) -> Option<Vec<u8>> {
    let mut rows = now(from.query(SELECT, ("tuning", key.to_vec()))).unwrap();
    now(rows.next()).unwrap().map(|row| row.get(0).unwrap())
}

#[test]
fn rows_are_there_at_the_next_start_and_for_others_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("default.db");
    let (one, other) = (open(&path), open(&path)); // each with a lock of its own, as two processes have
    assert_eq!(insert(&one, b"a", b"first", 0), 1);
    assert_eq!(get(&other, b"a").unwrap(), b"first");
    assert_eq!(insert(&other, b"a", b"second", 0), 0, "what was computed first stays");
    assert_eq!(insert(&other, b"b", b"imported", 1), 1);
    assert_eq!(insert(&one, b"b", b"computed", 0), 1, "what was computed here replaces what was imported");
    drop((one, other));
    let next = open(&path);
    let mut rows = now(next.query(SCAN, ("tuning",))).unwrap();
    let mut found = Vec::new();
    while let Some(row) = now(rows.next()).unwrap() {
        found.push((row.get::<Vec<u8>>(0).unwrap(), row.get::<Vec<u8>>(1).unwrap(), row.get::<i64>(2).unwrap()));
    }
    assert_eq!(found, [(b"a".into(), b"first".into(), 0), (b"b".into(), b"computed".into(), 0)]);
    now(next.execute("DELETE FROM entries WHERE namespace = ?1", ("tuning",))).unwrap();
    assert_eq!(get(&next, b"a"), None);
    assert!(!path.exists(), "a database of the engine's would be left alone");
}

#[test]
fn a_record_that_is_cut_off_or_damaged_ends_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("default.db");
    let rows = dir.path().join("default.db.rows");
    let first = open(&path);
    insert(&first, b"a", b"whole", 0);
    insert(&first, b"b", b"damaged", 0);
    drop(first);
    let whole = std::fs::read(&rows).unwrap();
    for cut in 1..12 {
        std::fs::write(&rows, &whole[..whole.len() - cut]).unwrap();
        let next = open(&path);
        assert_eq!((get(&next, b"a").as_deref(), get(&next, b"b")), (Some(&b"whole"[..]), None));
        assert_eq!(insert(&next, b"b", b"again", 0), 1);
        assert_eq!(get(&open(&path), b"b").unwrap(), b"again");
    }
    let mut damaged = whole;
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&rows, damaged).unwrap();
    assert_eq!(get(&open(&path), b"b"), None);
    std::fs::write(&rows, "a letter").unwrap();
    assert!(now(Builder::new_local(path.to_str().unwrap()).build()).is_err());
    assert_eq!(std::fs::read(&rows).unwrap(), b"a letter", "what is somebody else's stays");
}

#[test]
fn several_write_at_once_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("default.db");
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let connection = open(&path);
            scope.spawn(move || {
                for number in 0..50_u8 {
                    assert_eq!(insert(&connection, &[writer, number], &[number; 100], 0), 1);
                    insert(&connection, b"of all", &[writer; 10], 0); // one of them is first, and stays
                }
            });
        }
    });
    let all = open(&path);
    assert!(get(&all, b"of all").is_some_and(|first| first.iter().all(|writer| *writer == first[0])));
    for writer in 0..4_u8 {
        assert!((0..50_u8).all(|number| get(&all, &[writer, number]).as_deref() == Some(&[number; 100])));
    }
}

#[test]
fn a_transaction_keeps_others_out_and_an_unknown_statement_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("default.db");
    let (mut one, other) = (open(&path), open(&path));
    other.busy_timeout(std::time::Duration::from_millis(20)).unwrap();
    let held = now(one.transaction_with_behavior(TransactionBehavior::Immediate)).unwrap();
    assert_eq!(insert(&held, b"a", b"within", 0), 1);
    assert!(matches!(now(other.query(SCAN, ("tuning",))), Err(Error::Busy(_))));
    now(held.commit()).unwrap();
    assert_eq!(get(&other, b"a").unwrap(), b"within");
    assert!(matches!(now(other.execute("VACUUM", ())), Err(Error::Misuse(_))));
}
