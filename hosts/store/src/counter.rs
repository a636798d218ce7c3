//! Counters, which the file keeps beside its header.

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use crate::engine::{Failure, META};

/// The next number of a counter.
///
/// # Errors
/// [`Failure`].
pub fn count_up(transaction: &WriteTransaction, counter: &str) -> Result<u64, Failure> {
    let mut table = transaction.open_table(META)?;
    let next = said(&table, counter)?;
    table.insert(counter, (next + 1).to_le_bytes().as_slice())?;
    Ok(next)
}

/// The number that a counter gives next.
///
/// # Errors
/// [`Failure`].
pub fn next(transaction: &ReadTransaction, counter: &str) -> Result<u64, Failure> {
    said(&transaction.open_table(META)?, counter)
}

fn said(table: &impl ReadableTable<&'static str, &'static [u8]>, counter: &str) -> Result<u64, Failure> {
    match table.get(counter)? {
        Some(bytes) => Ok(u64::from_le_bytes(bytes.value().try_into().map_err(|_| Failure::Corrupt)?)),
        None => Ok(0),
    }
}
