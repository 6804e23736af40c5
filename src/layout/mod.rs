//! The layout of a file: its columns, and how cells, lines and figures are written.
//!
//! A layout is a TOML file with a closed vocabulary ([`parse`]): no expressions, no conditions, no templates. The built-in layouts are
//! such files, compiled in.
//!
//! Risk: a layout that means something else than its author thinks. So every key and value is checked, unknown ones are
//! refused, and a layout has one normal form ([`Layout::normal_form`]), which is stored with each batch and read back
//! by the same parser ([`parse_stored`]).

mod columns;
mod date_format;
mod doubts;
mod encoding;
mod normal;
mod parse;
mod recover;
mod settings;
mod syntax;
mod table;
mod text;
mod words;

pub(crate) use date_format::BUDDHIST_OFFSET;
pub use date_format::{DateFormat, WrittenDate};
pub use encoding::Encoding;
pub(crate) use encoding::{BYTE_ORDER_MARK, Encoder};
pub use parse::{parse, parse_stored};
pub(crate) use syntax::no_layout;
pub(crate) use table::nearest;
pub(crate) use text::{characters, is_control, is_hidden, is_padding, is_zero_width, quoted, quoted_against};

use std::fmt;
use std::mem::discriminant;

use crate::named::named;

/// The layouts that are compiled in, the default first: name and TOML text.
pub const BUILT_IN: [(&str, &str); 2] =
    [("journal", include_str!("builtin/journal.toml")), ("express", include_str!("builtin/express.toml"))];

/// Bytes of the longest layout file.
pub const LONGEST_FILE_BYTES: usize = 64 * 1024;

/// An error of a layout file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct LayoutError {
    /// From 1.
    pub line: usize,
    /// What is wrong and what was expected, for a person.
    pub message: String,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// A layout. [`parse`] makes it; two files that mean the same are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `a-z 0-9 -`.
    pub name: String,
    /// The encoding when no setting overrides it.
    pub encoding: Encoding,
    /// Between cells: `,` `;` `|` or TAB.
    pub delimiter: u8,
    /// `.` or `,`.
    pub decimal_mark: u8,
    /// Which cells are quoted.
    pub quote: Quote,
    /// What ends a line.
    pub line_end: LineEnd,
    /// Whether the first line names the columns.
    pub header: bool,
    /// The format of dates in columns without a format of their own.
    pub date_format: DateFormat,
    /// Whether an entry is two rows, debit and credit, instead of one.
    pub two_rows: bool,
    /// Whether text that a spreadsheet takes for a formula gets a leading `'`.
    pub formula_guard: bool,
    /// What becomes of line breaks in text.
    pub line_breaks: LineBreaks,
    /// What becomes of zero-width characters that the encoding lacks.
    pub invisible: Invisible,
    /// Beginning of generated vouchers.
    pub voucher_prefix: String,
    /// Ending of the file's name, without the dot.
    pub ending: String,
    /// From left to right; at least one.
    pub columns: Vec<Column>,
}

named! {
    /// Which cells are quoted.
    pub enum Quote {
        /// Only cells that could not be read back without quotes.
        Needed = "needed",
        /// All cells, including the header's.
        Always = "always",
    }
}

named! {
    /// What ends a line.
    pub enum LineEnd {
        /// CR LF.
        CrLf = "crlf",
        /// LF.
        Lf = "lf",
    }
}

impl LineEnd {
    /// The bytes.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            LineEnd::CrLf => b"\r\n",
            LineEnd::Lf => b"\n",
        }
    }
}

named! {
    /// What becomes of line breaks in text.
    pub enum LineBreaks {
        /// They stay, in quotes.
        Keep = "keep",
        /// Each becomes one blank.
        Space = "space",
    }
}

named! {
    /// What becomes of zero-width characters that the encoding lacks.
    pub enum Invisible {
        /// The entry is invalid.
        Refuse = "refuse",
        /// They are left out and counted.
        Drop = "drop",
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The cell in the header line.
    pub header: String,
    /// What the cells hold.
    pub value: Value,
    /// Written when the field is missing; `None`: then the entry is invalid.
    pub empty: Option<String>,
    /// Most characters (Unicode code points) of a cell, before a guard; longer: the entry is invalid.
    pub max_chars: Option<usize>,
}

/// What the cells of a column hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `_id` of the entry, hexadecimal.
    EntryId,
    /// Number of the line, from 1, the header counted.
    Line,
    /// Number of the entry in the file, from 1.
    Position,
    /// The entry's date.
    Date(DateFormat),
    /// The batch's date.
    BusinessDate(DateFormat),
    /// The number that the commit allots.
    BatchNumber,
    /// `metadata.voucherNo`, else a generated one.
    Voucher,
    /// The account of this row.
    Account,
    /// The account of the other side.
    ContraAccount,
    /// The amount, in a debit row.
    Debit(Zero),
    /// The amount, in a credit row.
    Credit(Zero),
    /// The amount.
    Amount,
    /// The amount, negative in a credit row.
    SignedAmount,
    /// A word for debit, a word for credit.
    Side([String; 2]),
    /// `description`.
    Description,
    /// `category`.
    Category,
    /// `clientId`.
    Client,
    /// The same text in every row.
    Constant(String),
    /// Any other field.
    Field(String, FieldKind),
}

named! {
    /// What the unused one of a debit and a credit cell shows.
    pub enum Zero {
        /// The amount zero.
        Amount = "0.00",
        /// Nothing.
        Empty = "",
    }
}

/// How the content of a field is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Written by a person: guarded.
    Text,
    /// Looked up by the importing program: its ends are trimmed, and it is not guarded.
    Code,
    /// A whole number.
    Integer,
    /// Satang.
    Money,
    /// An instant.
    Date(DateFormat),
}

impl Value {
    /// Each value but a field behind its word in a layout file. Where it has options, the column's own take the place of these.
    pub(crate) const WORDS: [(&str, Value); 18] = [
        ("entry-id", Value::EntryId),
        ("line", Value::Line),
        ("position", Value::Position),
        ("date", Value::Date(DateFormat::ISO)),
        ("business-date", Value::BusinessDate(DateFormat::ISO)),
        ("batch-number", Value::BatchNumber),
        ("voucher", Value::Voucher),
        ("account", Value::Account),
        ("contra-account", Value::ContraAccount),
        ("debit", Value::Debit(Zero::Amount)),
        ("credit", Value::Credit(Zero::Amount)),
        ("amount", Value::Amount),
        ("signed-amount", Value::SignedAmount),
        ("side", Value::Side([String::new(), String::new()])),
        ("description", Value::Description),
        ("category", Value::Category),
        ("client", Value::Client),
        ("constant", Value::Constant(String::new())),
    ];
}

impl FieldKind {
    /// Each kind behind its word; the column's own format takes the place of this one.
    pub(crate) const WORDS: [(&str, FieldKind); 5] = [
        ("text", FieldKind::Text),
        ("code", FieldKind::Code),
        ("integer", FieldKind::Integer),
        ("money", FieldKind::Money),
        ("date", FieldKind::Date(DateFormat::ISO)),
    ];
}

/// The word of a value in a table of words, whatever its options are.
fn word_of<T>(words: &[(&'static str, T)], value: &T) -> Option<&'static str> {
    words.iter().find(|(_, known)| discriminant(known) == discriminant(value)).map(|(word, _)| *word)
}

impl Layout {
    /// A built-in layout; `None` when there is none of that name.
    pub fn built_in(name: &str) -> Option<Layout> {
        let (_, text) = BUILT_IN.into_iter().find(|(known, _)| *known == name)?;
        parse(text).ok()
    }

    /// Rows that an entry makes.
    pub fn rows_per_entry(&self) -> u64 {
        if self.two_rows { 2 } else { 1 }
    }

    /// Whether another encoding can write the layout's own texts: header, constants and the like.
    ///
    /// # Errors
    /// A sentence for a person: the text, and the characters that the encoding lacks.
    pub fn fits(&self, encoding: Encoding) -> Result<(), String> {
        let mut encoder = Encoder::new(encoding);
        for column in &self.columns {
            for text in column.own_texts() {
                if encoder.encode(text).is_err() {
                    let lacking = text::lacking(&encoder, text);
                    return Err(format!("{} has {lacking}, which {} lacks", quoted(text), encoding.name()));
                }
            }
        }
        Ok(())
    }

    /// The paths of the fields that the columns show, besides the fields that every entry needs. A path may come twice.
    pub fn paths(&self) -> Vec<&str> {
        let mut paths = Vec::new();
        for column in &self.columns {
            match &column.value {
                Value::Account if !self.two_rows => {}
                Value::Account | Value::ContraAccount => paths.extend(CONTRA_PATHS),
                Value::Voucher => paths.push(VOUCHER_PATH),
                Value::Description => paths.push("description"),
                Value::Category => paths.push("category"),
                Value::Client => paths.push("clientId"),
                Value::Field(path, _) => paths.push(path),
                _ => {}
            }
        }
        paths
    }
}

/// The contra accounts: of a debit entry, of a credit entry.
pub(crate) const CONTRA_PATHS: [&str; 2] = ["metadata.crAccount", "metadata.drAccount"];
/// The entry's own voucher.
pub(crate) const VOUCHER_PATH: &str = "metadata.voucherNo";

impl Column {
    /// The texts of the layout's author that reach the file.
    fn own_texts(&self) -> impl Iterator<Item = &str> {
        let value: &[String] = match &self.value {
            Value::Side(words) => words,
            Value::Constant(text) => std::slice::from_ref(text),
            _ => &[],
        };
        std::iter::once(&self.header).chain(value).chain(&self.empty).map(String::as_str)
    }
}
