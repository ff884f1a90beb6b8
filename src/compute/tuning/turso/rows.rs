//! The statements that cubecl sends, and what goes in and comes out.

use std::collections::VecDeque;

use crate::file::{Change, RowFile};
use crate::{Error, Result};

/// A value of a row, or a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Integer(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// What can be a parameter.
pub trait IntoValue {
    /// As a value.
    fn into_value(self) -> Value;
}

impl IntoValue for &str {
    fn into_value(self) -> Value {
        Value::Text(self.into())
    }
}

impl IntoValue for String {
    fn into_value(self) -> Value {
        Value::Text(self)
    }
}

impl IntoValue for Vec<u8> {
    fn into_value(self) -> Value {
        Value::Blob(self)
    }
}

impl IntoValue for i64 {
    fn into_value(self) -> Value {
        Value::Integer(self)
    }
}

/// A statement's parameters, in order.
pub trait IntoParams {
    /// As values.
    fn into_params(self) -> Vec<Value>;
}

impl IntoParams for () {
    fn into_params(self) -> Vec<Value> {
        Vec::new()
    }
}

macro_rules! params_of_tuples {
    ($(($($name:ident),+))+) => {
        $(impl<$($name: IntoValue),+> IntoParams for ($($name,)+) {
            #[allow(non_snake_case)] // the names of types stand for their values
            fn into_params(self) -> Vec<Value> {
                let ($($name,)+) = self;
                vec![$($name.into_value()),+]
            }
        })+
    };
}
params_of_tuples!((A)(A, B)(A, B, C)(A, B, C, D));

/// What a value of a row can be read as.
pub trait FromValue: Sized {
    /// Read from a value, if it is of this kind.
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Integer(number) = value { Some(*number) } else { None }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.clone()) } else { None }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Blob(bytes) = value { Some(bytes.clone()) } else { None }
    }
}

/// A row of an answer.
#[derive(Debug)]
pub struct Row(Vec<Value>);

impl Row {
    /// The value in a column, counted from 0.
    ///
    /// # Errors
    /// There is no such column, or it is of another kind.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T> {
        let read = self.0.get(column).and_then(T::from_value);
        read.ok_or_else(|| {
            Error::Misuse(format!("column {column} of {:?} is not of the kind that is asked for", self.0))
        })
    }
}

/// An answer.
#[derive(Debug)]
pub struct Rows(VecDeque<Row>);

impl Rows {
    fn new(rows: impl IntoIterator<Item = Vec<Value>>) -> Self {
        Self(rows.into_iter().map(Row).collect())
    }

    /// The next row, if there is one.
    ///
    /// # Errors
    /// None.
    pub async fn next(&mut self) -> Result<Option<Row>> {
        Ok(self.0.pop_front())
    }
}

/// An entry's `origin` where it was not computed on this machine; a local one replaces it.
const IMPORTED: i64 = 1;

/// Carries out one of the statements of cubecl-environment 0.11 (`persistence/turso.rs`): the rows it asks for, if it
/// asks for any, and how many it changed.
pub fn run(file: &RowFile, sql: &str, params: Vec<Value>) -> Result<(Option<Rows>, u64)> {
    let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = |rows| Ok((Some(rows), 0));
    let changed = |count: bool| Ok((None, u64::from(count)));
    let unknown =
        || Err(Error::Misuse(format!("this stand-in for turso does not know the statement: {sql} {params:?}")));
    let upsert = "ON CONFLICT(namespace, key) DO UPDATE SET value = excluded.value, origin = excluded.origin";
    let insert = "INSERT INTO entries (namespace, key, value, origin) VALUES (?1, ?2, ?3, ?4)";
    match (sql.as_str(), &params[..]) {
        (create, []) if create.starts_with("CREATE TABLE IF NOT EXISTS ") => changed(false),
        ("DROP TABLE IF EXISTS entries", []) => changed(file.change(&Change::Clear, |_| true)?),
        ("SELECT v FROM meta WHERE k = ?1", [Value::Text(key)]) => {
            found(Rows::new(file.meta(key)?.map(|value| vec![Value::Text(value)])))
        }
        (
            "INSERT INTO meta (k, v) VALUES (?1, ?2) ON CONFLICT(k) DO UPDATE SET v = excluded.v",
            [Value::Text(key), Value::Text(value)],
        ) => changed(file.change(&Change::Meta { key, value }, |_| true)?),
        (insertion, [Value::Text(namespace), Value::Blob(key), Value::Blob(value), Value::Integer(origin)]) => {
            let change = Change::Put { namespace, key, value, imported: *origin == IMPORTED };
            match insertion.strip_prefix(insert).and_then(|rest| rest.trim().strip_prefix(upsert)) {
                Some("") => changed(file.change(&change, |_| true)?),
                // What was computed here replaces what was imported; nothing else is replaced.
                Some(" WHERE entries.origin = 1 AND excluded.origin = 0") => {
                    changed(file.change(&change, |there| there.is_none_or(|imported| imported && *origin != IMPORTED))?)
                }
                _ => unknown(),
            }
        }
        ("SELECT value FROM entries WHERE namespace = ?1 AND key = ?2", [Value::Text(namespace), Value::Blob(key)]) => {
            found(Rows::new(file.get(namespace, key)?.map(|value| vec![Value::Blob(value)])))
        }
        ("SELECT key, value, origin FROM entries WHERE namespace = ?1", [Value::Text(namespace)]) => {
            let row = |(key, value, imported)| vec![Value::Blob(key), Value::Blob(value), Value::Integer(imported)];
            found(Rows::new(file.scan(namespace)?.into_iter().map(row)))
        }
        ("DELETE FROM entries WHERE namespace = ?1", [Value::Text(namespace)]) => {
            changed(file.change(&Change::RemoveAll { namespace }, |_| true)?)
        }
        ("DELETE FROM entries WHERE namespace = ?1 AND key = ?2", [Value::Text(namespace), Value::Blob(key)]) => {
            changed(file.change(&Change::Remove { namespace, key }, |there| there.is_some())?)
        }
        (
            "SELECT namespace, COUNT(*), SUM(length(key) + length(value)) FROM entries GROUP BY namespace ORDER BY namespace",
            [],
        ) => {
            let row = |(namespace, entries, bytes)| {
                vec![Value::Text(namespace), Value::Integer(entries), Value::Integer(bytes)]
            };
            found(Rows::new(file.summary()?.into_iter().map(row)))
        }
        _ => unknown(),
    }
}
