//! Reading a file back, entry by entry: to compare it with what its entries give now, and for the ids that it names. Streaming; trusts
//! nothing.

use std::io::Read;

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::cells::forget_large;
use super::recount::unreadable;
use crate::id::Id;
use crate::layout::{Layout, Value};

/// Reads the rows of a file, one entry at a time.
pub struct FileRows<R> {
    reader: Reader<R>,
    rows: Vec<ByteRecord>,
    /// Number of the first of them.
    line: u64,
}

impl<R: Read> FileRows<R> {
    /// Begins before the first entry.
    pub fn new(from: R, layout: &Layout) -> FileRows<R> {
        let reader = ReaderBuilder::new()
            .has_headers(layout.header)
            .delimiter(layout.delimiter)
            .flexible(true)
            .buffer_capacity(64 * 1024)
            .from_reader(from);
        let rows = vec![ByteRecord::new(); layout.rows_per_entry() as usize];
        // Where the first entry begins, less what the first step adds.
        let line = (1 + u64::from(layout.header)).wrapping_sub(layout.rows_per_entry());
        FileRows { reader, rows, line }
    }

    /// Goes to the next entry; `false` behind the last one.
    pub fn advance(&mut self) -> Result<bool, String> {
        self.line = self.line.wrapping_add(self.rows.len() as u64);
        for number in 0..self.rows.len() {
            match (self.reader.read_byte_record(&mut self.rows[number]).map_err(unreadable)?, number) {
                (true, _) => {}
                (false, 0) => return Ok(false),
                (false, _) => return Err(format!("the entry of line {} is cut", self.line)),
            }
        }
        Ok(true)
    }

    /// The rows of the present entry.
    pub fn rows(&self) -> &[ByteRecord] {
        &self.rows
    }

    /// Gives the buffers of the present entry back when it is larger than usual; its rows are gone then.
    pub fn forget_large(&mut self) {
        self.rows.iter_mut().for_each(forget_large);
    }

    /// The line of its first row: from 1, the header counted, a line break inside a cell not.
    pub fn line(&self) -> u64 {
        self.line
    }
}

/// The entries that a file names, in order; `None` when its layout does not name them.
///
/// # Errors
/// The reader's error; or the line without an entry id.
pub fn entry_ids(from: impl Read, layout: &Layout) -> Result<Option<Vec<Id>>, String> {
    let Some(column) = layout.columns.iter().position(|column| column.value == Value::EntryId) else { return Ok(None) };
    let (mut rows, mut ids) = (FileRows::new(from, layout), Vec::new());
    while rows.advance()? {
        let cell = rows.rows()[0].get(column).and_then(|cell| str::from_utf8(cell).ok());
        let id = cell.and_then(Id::from_hex);
        ids.push(id.ok_or_else(|| format!("line {} names no entry", rows.line()))?);
    }
    Ok(Some(ids))
}
