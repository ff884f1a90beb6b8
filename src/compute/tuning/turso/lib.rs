//! Keeps what tuning finds in one append-only file, behind the interface of the SQL engine that cubecl asks for it.
//!
//! `cubecl-environment` 0.11 remembers tuning through the crate `turso`, an SQL engine that brings 127 crates, a
//! quarter of a build. It sends it fourteen fixed statements about two tables. This crate has the name and the part of
//! the interface that cubecl uses, knows those statements, and keeps the rows in a [`file`] of checksummed records. A
//! statement that it does not know is an error, and cubecl then keeps its answers in memory: nothing is lost but time.
//! `[patch.crates-io]` puts it in the engine's place; without the patch everything works as well, with the engine.
//!
//! The file is the database's path with `.rows` behind it, so a real database beside it is never touched.

mod file;
mod rows;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use file::RowFile;
pub use rows::{FromValue, IntoParams, IntoValue, Row, Rows, Value};

/// The result of everything that touches the file.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a statement was not carried out.
#[derive(Debug)]
pub enum Error {
    /// Another process holds the file for longer than one waits.
    Busy(String),
    /// The kinds of conflict that only the SQL engine has.
    BusySnapshot(String),
    /// The file is not what it must be.
    Error(String),
    /// The statement or its parameters are not among those that are known.
    Misuse(String),
    /// The operating system refused, and what was tried.
    IoError(std::io::ErrorKind, &'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(text) | Self::BusySnapshot(text) | Self::Error(text) | Self::Misuse(text) => f.write_str(text),
            Self::IoError(kind, tried) => write!(f, "{tried}: {kind}"),
        }
    }
}

impl std::error::Error for Error {}

/// How a file is opened.
pub struct Builder {
    path: PathBuf,
    read_only: bool,
}

impl Builder {
    /// For the rows beside the database at `path`.
    pub fn new_local(path: &str) -> Self {
        Self { path: PathBuf::from(format!("{path}.rows")), read_only: false }
    }

    /// Several processes may always use the file at once.
    pub fn experimental_multiprocess_wal(self, _enabled: bool) -> Self {
        self
    }

    /// Nothing ever needs to be made smaller: rows are only added.
    pub fn experimental_vacuum(self, _enabled: bool) -> Self {
        self
    }

    /// Whether nothing may be written.
    pub fn read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }

    /// Opens the file, and makes it unless it is to be read only.
    ///
    /// # Errors
    /// The operating system's, and a file that is not one of ours.
    pub async fn build(self) -> Result<Database> {
        Ok(Database(Arc::new(RowFile::open(self.path, self.read_only)?)))
    }
}

/// An open file.
#[derive(Debug)]
pub struct Database(Arc<RowFile>);

impl Database {
    /// A handle to the file; all handles share it.
    ///
    /// # Errors
    /// None.
    pub fn connect(&self) -> Result<Connection> {
        Ok(Connection(self.0.clone()))
    }
}

/// A handle to a file.
pub struct Connection(Arc<RowFile>);

impl Connection {
    /// Sets how long a statement waits for another process.
    ///
    /// # Errors
    /// None.
    pub fn busy_timeout(&self, patience: Duration) -> Result<()> {
        self.0.set_patience(patience);
        Ok(())
    }

    /// Does nothing: there is nothing to set.
    ///
    /// # Errors
    /// None.
    pub async fn pragma_query<F>(&self, _pragma: &str, _visit: F) -> Result<()>
    where
        F: FnMut(&Row) -> Result<()>,
    {
        Ok(())
    }

    /// Carries out a statement; returns how many rows it changed.
    ///
    /// # Errors
    /// A statement that is not known, and those of the file.
    pub async fn execute(&self, sql: &str, params: impl IntoParams) -> Result<u64> {
        let (found, changed) = rows::run(&self.0, sql, params.into_params())?;
        if found.is_some() { Err(Error::Misuse(format!("this asks for rows: {sql}"))) } else { Ok(changed) }
    }

    /// The rows that a statement asks for.
    ///
    /// # Errors
    /// A statement that is not known, and those of the file.
    pub async fn query(&self, sql: &str, params: impl IntoParams) -> Result<Rows> {
        let (found, _) = rows::run(&self.0, sql, params.into_params())?;
        found.ok_or_else(|| Error::Misuse(format!("this asks for no rows: {sql}")))
    }

    /// Keeps other processes out of the file until the transaction is gone.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn transaction_with_behavior(
        &mut self,
        _behavior: transaction::TransactionBehavior,
    ) -> Result<transaction::Transaction<'_>> {
        self.0.hold()?;
        Ok(transaction::Transaction(self))
    }
}

/// Several statements that no other process comes between.
pub mod transaction {
    use super::{Connection, Deref, Result};

    /// When the file is taken; here always at once.
    #[derive(Clone, Copy, Debug)]
    pub enum TransactionBehavior {
        /// At the first statement, for the SQL engine.
        Deferred,
        /// At once.
        Immediate,
    }

    /// The file, held by this process. What was done stays done, committed or not: rows are only answers that can be
    /// found again.
    pub struct Transaction<'connection>(pub(super) &'connection Connection);

    impl Transaction<'_> {
        /// Lets other processes in again.
        ///
        /// # Errors
        /// None.
        pub async fn commit(self) -> Result<()> {
            Ok(())
        }
    }

    impl Deref for Transaction<'_> {
        type Target = Connection;

        fn deref(&self) -> &Connection {
            self.0
        }
    }

    impl Drop for Transaction<'_> {
        fn drop(&mut self) {
            self.0.0.release();
        }
    }
}
