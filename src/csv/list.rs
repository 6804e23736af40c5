//! A list for a person who imports it into a spreadsheet: UTF-8 behind a byte order mark, CRLF, and no cell that is taken for a formula.
//!
//! Risk: a code that loses its zeros where the list is opened instead. No CSV can prevent that, except by formulas in place of texts, which
//! other readers would take literally; so help and README say how to import it.

use std::io::{self, Write};

use super::cause;
use super::cells::is_formula;
use crate::layout::BYTE_ORDER_MARK;

/// A list that is being written.
pub struct List<W: Write>(csv::Writer<W>);

impl<W: Write> List<W> {
    /// Begins with a header.
    pub fn new(mut out: W, header: &[&str]) -> io::Result<List<W>> {
        out.write_all(BYTE_ORDER_MARK)?;
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
        writer.write_record(header).map_err(cause)?;
        Ok(List(writer))
    }

    /// Appends a line.
    pub fn push<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        for cell in cells {
            let figure = cell.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b','));
            if is_formula(cell) && !figure {
                self.0.write_field(format!("'{cell}")).map_err(cause)?;
            } else {
                self.0.write_field(cell).map_err(cause)?;
            }
        }
        self.0.write_record(None::<&[u8]>).map_err(cause)
    }

    /// Ends the list.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}
