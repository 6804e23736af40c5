//! Counting a file again, from nothing but its bytes.
//!
//! It trusts nothing that the writer knew: a file that was cut, edited in a spreadsheet or saved in another encoding must not pass.

use std::fmt::Display;
use std::io::{self, Read};

use csv::{ByteRecord, ReaderBuilder};

use super::encoding::BYTE_ORDER_MARK;
use super::{Encoding, Format, Layout};
use crate::money;
use crate::totals::ControlTotals;

/// Counts the entries and rows of a file and adds up its debit and credit columns, streaming.
///
/// # Errors
/// What is wrong with the file, for a person, with the row where there is one (the header is row 1); or what `reader` says.
pub fn recount(mut reader: impl Read, format: Format, encoding: Encoding) -> Result<ControlTotals, String> {
    let layout = format.layout();
    let mut head = Vec::new();
    reader.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut head).map_err(unreadable)?;
    match (encoding, head == BYTE_ORDER_MARK) {
        (Encoding::Utf8Bom, true) => head.clear(),
        (Encoding::Utf8Bom, false) => return Err("the file does not begin with a byte order mark".to_owned()),
        (Encoding::Utf8 | Encoding::Windows874, true) => {
            return Err("the file begins with a byte order mark".to_owned());
        }
        (Encoding::Utf8 | Encoding::Windows874, false) => {}
    }
    let mut records = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(Tail { reader: head.chain(reader), last: [0; 2] });
    let mut record = ByteRecord::new();
    let mut totals = ControlTotals::default();
    if !records.read_byte_record(&mut record).map_err(unreadable)? {
        return Err("the file is empty".to_owned());
    }
    if record != *layout.header {
        return Err(format!("the header is not {}", layout.header.join(",")));
    }
    while records.read_byte_record(&mut record).map_err(unreadable)? {
        // The header is row 1, as in a spreadsheet.
        let (debit, credit) =
            sides(&record, layout, encoding).map_err(|reason| format!("row {}: {reason}", totals.rows + 2))?;
        totals.add_row(debit, credit);
    }
    if records.get_ref().last != *b"\r\n" {
        return Err("the file does not end with CRLF: it was cut".to_owned());
    }
    if totals.rows % layout.rows_per_entry != 0 {
        return Err(format!("{} rows are not {} rows per entry", totals.rows, layout.rows_per_entry));
    }
    totals.entries = totals.rows / layout.rows_per_entry;
    Ok(totals)
}

fn sides(record: &ByteRecord, layout: &Layout, encoding: Encoding) -> Result<(i64, i64), String> {
    if record.len() != layout.header.len() {
        return Err(format!("the number of cells is {}, not {}", record.len(), layout.header.len()));
    }
    if let Some(column) = record.iter().position(|cell| !encoding.is_valid(cell)) {
        return Err(format!("{} is not {}", layout.header[column], encoding.name()));
    }
    let amount = |column: usize| {
        money::parse_baht(&record[column])
            .and_then(|satang| i64::try_from(satang).ok())
            .filter(|satang| *satang >= 0)
            .ok_or_else(|| {
                let cell = String::from_utf8_lossy(&record[column]);
                format!("{} is {cell:?}, not an amount like 1234.50", layout.header[column])
            })
    };
    match (amount(layout.debit)?, amount(layout.credit)?) {
        (debit, credit) if (debit == 0) != (credit == 0) => Ok((debit, credit)),
        _ => Err("not exactly one of debit and credit is zero".to_owned()),
    }
}

fn unreadable(error: impl Display) -> String {
    format!("the file cannot be read: {error}")
}

/// Remembers the last two bytes that were read: a reader of CSV does not mind a file that ends in the middle of its last cell.
struct Tail<R> {
    reader: R,
    last: [u8; 2],
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        match buffer[..length] {
            [] => {}
            [only] => self.last = [self.last[1], only],
            [.., second, last] => self.last = [second, last],
        }
        Ok(length)
    }
}
