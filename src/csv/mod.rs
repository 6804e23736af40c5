//! The file that the accountant gets: formats, encodings, the formula guard, control totals.
//!
//! Pure over [`io::Write`] and [`io::Read`]: no clock, no environment, no locale, so the same entries give the same bytes on any
//! machine. The danger is half an entry: text that cannot be encoded shows only while a row is being made. So the rows of an entry are
//! staged as a whole ([`rows`]), and reach the file only when all of them are good; a refused entry leaves no byte and takes no number.
//!
//! All formats: a header line, CRLF after every line, RFC 4180 quoting only where needed, money as exact decimals, one debit and one
//! credit column. The control totals are sums of these two columns as they stand in the file: in `journal` an entry counts on its own
//! side, in `express` on both. [`recount`] of the file therefore gives the same totals as the [`Tally`] of its writing.
//!
//! # Adding a format
//!
//! A format is data and one function. To add one, say `peak`:
//!
//! 1. write `peak.rs` beside `journal.rs`, with a `LAYOUT` (name, default encoding, header, which columns are debit and credit, rows per
//!    entry) and a function that stages the cells of an entry;
//! 2. name it in this file: `mod peak;`, a variant of [`Format`], its place in [`Format::ALL`], and its arm in `Format::layout`, which
//!    the compiler asks for.
//!
//! The command line, the help texts, `verify` and the tests that hold for every format take it from there.

mod compare;
mod encoding;
mod express;
mod journal;
mod recount;
mod rows;

use std::io::{self, Write};
use std::str::FromStr;

use chrono::NaiveDate;
use chrono_tz::Tz;

use crate::entry::Valid;
use crate::plausible::shown_word;
use crate::totals::ControlTotals;
pub use compare::{differing_entries, entry_ids};
pub use encoding::Encoding;
pub use recount::recount;
use rows::Rows;

/// The layouts that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One row per entry, UTF-8.
    Journal,
    /// Two rows per entry in windows-874, for the Thai accounting package.
    Express,
}

impl Format {
    /// Every format, the default first.
    pub const ALL: [Format; 2] = [Format::Journal, Format::Express];

    fn layout(self) -> &'static Layout {
        match self {
            Format::Journal => &journal::LAYOUT,
            Format::Express => &express::LAYOUT,
        }
    }

    /// The name in settings.
    pub fn name(self) -> &'static str {
        self.layout().name
    }

    /// The encoding when none is set.
    pub fn default_encoding(self) -> Encoding {
        self.layout().encoding
    }

    /// The cells of the header line.
    pub fn header(self) -> &'static [&'static str] {
        self.layout().header
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        let names = || Format::ALL.map(Format::name).join(" or ");
        let found = Format::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| format!("{} is not a format; write {}", shown_word(text), names()))
    }
}

/// What a format is.
struct Layout {
    name: &'static str,
    encoding: Encoding,
    header: &'static [&'static str],
    /// Positions of the debit and the credit column.
    debit: usize,
    credit: usize,
    rows_per_entry: u64,
    /// Stages the rows of one entry; a reason when the format cannot take it.
    stage: fn(&mut Rows, &Valid<'_>, &Context<'_>) -> Result<(), String>,
}

/// What a row may depend on besides its entry.
struct Context<'a> {
    business_date: NaiveDate,
    /// Position of the entry in the file, from 1.
    number: u64,
    /// The setting, never blank.
    contra_account: Option<&'a str>,
}

/// Everything that decides the bytes of a file, besides the entries and their order.
#[derive(Clone, Debug)]
pub struct SheetOptions {
    /// The layout.
    pub format: Format,
    /// `None` for the format's own.
    pub encoding: Option<Encoding>,
    /// The zone in which an entry's instant has a date.
    pub zone: Tz,
    /// The batch's date.
    pub business_date: NaiveDate,
    /// `--contra-account`.
    pub contra_account: Option<String>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Counts and sums.
    pub totals: ControlTotals,
    /// Text cells that got a leading `'`.
    pub guarded_cells: u64,
}

/// A file that is being written, buffered. Nothing is allocated per entry once the buffers have grown to the longest one.
pub struct Sheet<W: Write> {
    writer: csv::Writer<W>,
    layout: &'static Layout,
    options: SheetOptions,
    rows: Rows,
    tally: Tally,
}

impl<W: Write> Sheet<W> {
    /// Bytes gathered before `out` is called.
    const BUFFER_BYTES: usize = 64 * 1024;

    /// Begins a file: byte order mark, if the encoding has one, and header.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(mut out: W, mut options: SheetOptions) -> io::Result<Sheet<W>> {
        let layout = options.format.layout();
        let encoding = options.encoding.unwrap_or(layout.encoding);
        options.contra_account = options.contra_account.filter(|account| !account.trim().is_empty());
        out.write_all(encoding.mark())?;
        let mut writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .quote_style(csv::QuoteStyle::Necessary)
            .buffer_capacity(Self::BUFFER_BYTES)
            .from_writer(out);
        writer.write_record(layout.header).map_err(cause)?;
        Ok(Sheet { writer, layout, rows: Rows::new(encoding, options.zone), options, tally: Tally::default() })
    }

    /// Appends an entry. The inner error is the reason, for a person, why this format cannot take it (no contra account, text that the
    /// encoding lacks, a date that no calendar has): then nothing was written and no number used, and the next entry may follow.
    ///
    /// # Errors
    /// What `out` says; the file is then of no use.
    pub fn push(&mut self, entry: &Valid<'_>) -> io::Result<Result<(), String>> {
        let context = Context {
            business_date: self.options.business_date,
            number: self.tally.totals.entries + 1,
            contra_account: self.options.contra_account.as_deref(),
        };
        self.rows.clear();
        if let Err(reason) = (self.layout.stage)(&mut self.rows, entry, &context) {
            return Ok(Err(reason));
        }
        for row in self.rows.staged() {
            self.writer.write_byte_record(&row.cells).map_err(cause)?;
            self.tally.totals.add_row(row.debit_satang, row.credit_satang);
            self.tally.guarded_cells += row.guarded_cells;
        }
        self.tally.totals.entries += 1;
        Ok(Ok(()))
    }

    /// What has been written so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Ends the file and gives back what it was written to, not flushed any further.
    ///
    /// # Errors
    /// What `out` says.
    pub fn finish(self) -> io::Result<(W, Tally)> {
        let out = self.writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok((out, self.tally))
    }
}

/// The failure of `out` itself, with its kind, out of the csv crate's wrapping.
fn cause(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
