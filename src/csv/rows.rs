//! The rows of one entry, staged: cells go here first, because the last cell of the last row may still refuse the entry.
//!
//! There is one method per kind of cell, and the kind decides the treatment: text is guarded and encoded, codes are encoded, and
//! figures and dates are ASCII of our own making. A format cannot forget the guard without saying that a column is not text.

use chrono_tz::Tz;
use csv::ByteRecord;

use super::encoding::{Encoder, Encoding};
use crate::calendar::{Day, DayFinder};
use crate::entry::Side;
use crate::money::Baht;

/// One staged row.
#[derive(Default)]
pub(super) struct Row {
    pub(super) cells: ByteRecord,
    pub(super) debit_satang: i64,
    pub(super) credit_satang: i64,
    pub(super) guarded_cells: u64,
}

/// The staged rows of one entry. Keeps its buffers from entry to entry.
pub(super) struct Rows {
    rows: Vec<Row>,
    staged: usize,
    encoder: Encoder,
    days: DayFinder,
    guarded: String,
}

impl Rows {
    pub(super) fn new(encoding: Encoding, zone: Tz) -> Rows {
        Rows {
            rows: Vec::new(),
            staged: 0,
            encoder: Encoder::new(encoding),
            days: DayFinder::new(zone),
            guarded: String::new(),
        }
    }

    /// Forgets the last entry.
    pub(super) fn clear(&mut self) {
        self.staged = 0;
    }

    /// The rows since [`Rows::clear`].
    pub(super) fn staged(&self) -> &[Row] {
        &self.rows[..self.staged]
    }

    /// Begins a row.
    pub(super) fn begin(&mut self) {
        if self.staged == self.rows.len() {
            self.rows.push(Row::default());
        }
        let row = &mut self.rows[self.staged];
        row.cells.clear();
        (row.debit_satang, row.credit_satang, row.guarded_cells) = (0, 0, 0);
        self.staged += 1;
    }

    /// A cell of ASCII of our own making: a figure, a date, an id.
    pub(super) fn ascii(&mut self, cell: &[u8]) {
        debug_assert!(cell.is_ascii());
        self.row().cells.push_field(cell);
    }

    /// A code that the importing program looks up: encoded, otherwise left alone. `field` names it in the reason.
    pub(super) fn code(&mut self, field: &str, cell: &str) -> Result<(), String> {
        let encoded = self.encoder.encode(cell).map_err(|refusal| format!("{field} has {refusal}"))?;
        self.rows[self.staged - 1].cells.push_field(encoded);
        Ok(())
    }

    /// Text that a person wrote: guarded, so that no spreadsheet takes it for a formula, and encoded. `field` names it in the reason.
    pub(super) fn text(&mut self, field: &str, cell: &str) -> Result<(), String> {
        if !cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
            return self.code(field, cell);
        }
        let mut guarded = std::mem::take(&mut self.guarded);
        guarded.clear();
        guarded.push('\'');
        guarded.push_str(cell);
        let staged = self.code(field, &guarded);
        self.guarded = guarded;
        self.row().guarded_cells += 1;
        staged
    }

    /// The debit and the credit cell: the amount on its side, `0.00` on the other.
    pub(super) fn sides(&mut self, side: Side, amount_satang: i64) {
        let (debit_satang, credit_satang) = match side {
            Side::Debit => (amount_satang, 0),
            Side::Credit => (0, amount_satang),
        };
        let row = self.row();
        (row.debit_satang, row.credit_satang) = (debit_satang, credit_satang);
        row.cells.push_field(Baht::new(debit_satang.into()).as_bytes());
        row.cells.push_field(Baht::new(credit_satang.into()).as_bytes());
    }

    /// The date of an instant in the file's zone.
    pub(super) fn day(&mut self, instant_ms: i64) -> Result<Day, String> {
        self.days.day(instant_ms).ok_or_else(|| "date is outside the years 1 to 9999".to_owned())
    }

    fn row(&mut self) -> &mut Row {
        &mut self.rows[self.staged - 1]
    }
}
