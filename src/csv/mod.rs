//! The file for the accountant, written by a layout.
//!
//! Pure over [`io::Write`] and [`io::Read`]: no clock, no environment, no locale, so the same entries give the same bytes on any
//! machine.
//!
//! Risk: half an entry in the file, because a cell that cannot be written is found only while its row is made. So all
//! rows of an entry are staged first ([`cells`]), and written only when all of them are good. A refused entry leaves no
//! byte and uses no number.
//!
//! A layout becomes a [`plan`] once per file, and writing a row is a walk over it that allocates nothing.
//!
//! The control totals are the totals of the rows in the file: with one row per entry an amount counts on the entry's
//! own side, with two rows on both. [`recount`] of the file gives the same totals as the [`Tally`] of its writing,
//! where the layout shows sides.

mod align;
mod amounts;
mod cells;
mod compare;
mod copy;
mod dates;
mod differences;
mod entry_rows;
mod list;
mod plan;
mod recount;
mod respelt;
mod unmet;

use std::io::{self, Write};
use std::sync::Arc;

use chrono::NaiveDate;
use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use crate::batch::{Batch, ExportSettings};
use crate::calendar::parse_zone;
use crate::entry::{EntryFields, FieldList};
use crate::layout::{Encoding, Layout, LineEnd, Quote, parse_stored};
use crate::totals::ControlTotals;
use cells::Row;
pub use compare::{FileRows, entry_ids};
pub use differences::{Difference, differences};
use entry_rows::EntryRows;
pub use list::List;
use plan::Plan;
pub use recount::{Recount, recount};
pub use respelt::Change;
pub use unmet::{Ask, Unmet};

/// The options that, with the entries and their order, decide the bytes of a file.
#[derive(Clone, Debug)]
pub struct SheetOptions {
    /// The columns and how they are written.
    pub layout: Arc<Layout>,
    /// `None` for the layout's own.
    pub encoding: Option<Encoding>,
    /// The zone in which an entry's instant has a date.
    pub zone: Tz,
    /// The batch's date.
    pub business_date: NaiveDate,
    /// The number that the commit allots.
    pub batch_number: i64,
    /// `--contra-account`.
    pub contra_account: Option<String>,
}

impl SheetOptions {
    /// As they are stored with a batch; `invalid` is the policy's name.
    pub fn to_settings(&self, invalid: &str) -> ExportSettings {
        let layout = self.layout.normal_form();
        ExportSettings {
            layout_sha256: hex::encode(Sha256::digest(&layout)),
            layout,
            encoding: self.encoding.unwrap_or(self.layout.encoding).name().to_owned(),
            timezone: self.zone.name().to_owned(),
            contra_account: self.contra_account.clone(),
            invalid: invalid.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The options stored with a batch; `None` for batches of earlier versions, which have none.
    pub fn of(batch: &Batch) -> Option<Result<SheetOptions, String>> {
        let (date, number) = (batch.id.date(), batch.number.unwrap_or_default());
        let settings = batch.settings.as_ref()?.as_ref().map_err(String::clone);
        Some(settings.and_then(|settings| SheetOptions::stored(settings, date, number)))
    }

    /// The options in stored settings.
    ///
    /// # Errors
    /// A sentence for a person: which stored setting cannot be read.
    pub fn stored(
        settings: &ExportSettings,
        business_date: NaiveDate,
        batch_number: i64,
    ) -> Result<SheetOptions, String> {
        if hex::encode(Sha256::digest(&settings.layout)) != settings.layout_sha256 {
            return Err("the stored layout does not have the stored checksum".to_owned());
        }
        let layout = parse_stored(&settings.layout).map_err(|errors| {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            format!("the stored layout cannot be read, {first}")
        })?;
        let stored = |key: &str, needed: &str| format!("settings.{key} of the batch document is not {needed}");
        Ok(SheetOptions {
            layout: Arc::new(layout),
            encoding: Some(Encoding::from_name(&settings.encoding).ok_or_else(|| stored("encoding", "an encoding"))?),
            zone: parse_zone(&settings.timezone).map_err(|_| stored("timezone", "a time zone"))?,
            business_date,
            batch_number,
            contra_account: settings.contra_account.clone(),
        })
    }
}

/// Counts of what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Counts and sums.
    pub totals: ControlTotals,
    /// Text cells that got a leading `'`.
    pub guarded_cells: u64,
    /// Codes that lost blanks or zero-width characters at their ends.
    pub trimmed_cells: u64,
    /// Zero-width characters that the encoding lacks and the layout drops.
    pub dropped_characters: u64,
}

impl Tally {
    fn add(&mut self, row: &Tally) {
        self.guarded_cells += row.guarded_cells;
        self.trimmed_cells += row.trimmed_cells;
        self.dropped_characters += row.dropped_characters;
    }
}

/// A row of the last entry.
pub struct LastRow<'a>(&'a Row);

impl<'a> LastRow<'a> {
    /// The cell of a column; `None` when the entry has no value for it.
    pub fn cell(&self, column: usize) -> Option<&'a [u8]> {
        if self.0.unknown.contains(&column) { None } else { self.0.cells.get(column) }
    }
}

/// A file that is being written, buffered. Nothing is allocated per entry once the buffers have grown to the longest one.
pub struct Sheet<W: Write> {
    writer: csv::Writer<W>,
    rows: EntryRows,
    tally: Tally,
}

impl<W: Write> Sheet<W> {
    /// Bytes gathered before `out` is called.
    const BUFFER_BYTES: usize = 64 * 1024;

    /// Begins a file: byte order mark, if the encoding has one, and header, if the layout has one. `fields` is the
    /// layout's list, by which entries will be pushed.
    ///
    /// # Errors
    /// An error of `out`; or the encoding lacks characters of the layout's own texts.
    pub fn new(mut out: W, options: &SheetOptions, fields: &FieldList) -> io::Result<Sheet<W>> {
        let layout = &options.layout;
        let encoding = options.encoding.unwrap_or(layout.encoding);
        let plan = Plan::new(options, encoding, fields).map_err(io::Error::other)?;
        out.write_all(encoding.byte_order_mark())?;
        let mut writer = csv::WriterBuilder::new()
            .delimiter(layout.delimiter)
            .terminator(match layout.line_end {
                LineEnd::CrLf => csv::Terminator::CRLF,
                LineEnd::Lf => csv::Terminator::Any(b'\n'),
            })
            .quote_style(match layout.quote {
                Quote::Needed => csv::QuoteStyle::Necessary,
                Quote::Always => csv::QuoteStyle::Always,
            })
            .buffer_capacity(Self::BUFFER_BYTES)
            .from_writer(out);
        if layout.header {
            writer.write_record(plan.header()).map_err(cause)?;
        }
        Ok(Sheet { writer, rows: EntryRows::new(plan), tally: Tally::default() })
    }

    /// Appends an entry. The inner error names, for a person, every fault of an entry that must not be exported. Then
    /// nothing was written and no number used, and the next entry may follow.
    ///
    /// # Errors
    /// An error of `out`; the file is then unusable.
    pub fn push(&mut self, entry: &EntryFields<'_>) -> io::Result<Result<(), String>> {
        let totals = self.tally.totals;
        if let Err(reason) = self.rows.fill(entry, totals.entries + 1, totals.rows + 1) {
            return Ok(Err(reason));
        }
        for row in self.rows.cells.staged() {
            self.writer.write_byte_record(&row.cells).map_err(cause)?;
            self.tally.totals.add_row(row.debit_satang, row.credit_satang);
            self.tally.add(&row.counts);
        }
        self.tally.totals.entries += 1;
        Ok(Ok(()))
    }

    /// The rows of the last entry, as they are or would be in the file. A refused entry has only some of its cells.
    pub fn last_rows(&self) -> impl ExactSizeIterator<Item = LastRow<'_>> {
        self.rows.cells.staged().iter().map(LastRow)
    }

    /// Gives the buffers of the last entry back when it is larger than usual; its rows are gone then.
    pub fn forget_large(&mut self) {
        self.rows.cells.forget_large();
    }

    /// Checks an entry without writing it.
    ///
    /// # Errors
    /// The reason, as [`Sheet::push`] gives it.
    pub fn check(&mut self, entry: &EntryFields<'_>) -> Result<(), String> {
        let totals = self.tally.totals;
        self.rows.fill(entry, totals.entries + 1, totals.rows + 1)
    }

    /// Takes the place of an entry that cannot be written, so that the entries after it keep their numbers.
    pub fn push_stand_in(&mut self) -> io::Result<()> {
        let plan = &self.rows.plan;
        let rows = if plan.two_rows { 2 } else { 1 };
        for _ in 0..rows {
            self.writer.write_record(std::iter::repeat_n("-", plan.columns.len())).map_err(cause)?;
            self.tally.totals.rows += 1;
        }
        self.tally.totals.entries += 1;
        Ok(())
    }

    /// The columns that asked every entry so far for something in vain.
    pub fn unmet(&self) -> Vec<Unmet> {
        self.rows.asks.of_all()
    }

    /// The columns whose field none of the entries so far has, and that say what is written then.
    pub fn without_field(&self) -> Vec<usize> {
        self.rows.asks.of_none()
    }

    /// Ends the file and returns the inner writer, which is not flushed.
    pub fn finish(self) -> io::Result<(W, Tally)> {
        let out = self.writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok((out, self.tally))
    }
}

/// The error of `out` itself, taken out of the csv crate's error.
fn cause(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
