//! Comparing a file with its regeneration, entry by entry, and reading the ids that it names. Streaming; trusts neither file.

use std::fmt::Display;
use std::io::Read;

use csv::{ByteRecord, Reader, ReaderBuilder};

use crate::layout::{Layout, Value};

/// Positions, from 0, of the entries whose rows differ between two files of one layout. An entry that only one of them has differs.
///
/// # Errors
/// What a reader says.
pub fn differing_entries(left: impl Read, right: impl Read, layout: &Layout) -> Result<Vec<usize>, String> {
    let (mut left, mut right) = (reader(left, layout), reader(right, layout));
    let (mut ours, mut theirs) = (ByteRecord::new(), ByteRecord::new());
    let mut differing: Vec<usize> = Vec::new();
    let mut row = 0;
    loop {
        let more = (read(&mut left, &mut ours)?, read(&mut right, &mut theirs)?);
        if more == (false, false) {
            return Ok(differing);
        }
        let entry = row / layout.rows_per_entry() as usize;
        if (more != (true, true) || ours != theirs) && differing.last() != Some(&entry) {
            differing.push(entry);
        }
        row += 1;
    }
}

/// The entries that a file names, in order; `None` when its layout does not name them.
///
/// # Errors
/// What the reader says.
pub fn entry_ids(from: impl Read, layout: &Layout) -> Result<Option<Vec<String>>, String> {
    let Some(column) = layout.columns.iter().position(|column| column.value == Value::EntryId) else { return Ok(None) };
    let (mut from, mut record, mut ids) = (reader(from, layout), ByteRecord::new(), Vec::new());
    while read(&mut from, &mut record)? {
        ids.push(String::from_utf8_lossy(record.get(column).unwrap_or_default()).into_owned());
    }
    Ok(Some(ids))
}

fn reader<R: Read>(from: R, layout: &Layout) -> Reader<R> {
    ReaderBuilder::new().has_headers(layout.header).delimiter(layout.delimiter).flexible(true).from_reader(from)
}

fn read(from: &mut Reader<impl Read>, record: &mut ByteRecord) -> Result<bool, String> {
    from.read_byte_record(record).map_err(unreadable)
}

fn unreadable(error: impl Display) -> String {
    format!("the file cannot be read: {error}")
}
