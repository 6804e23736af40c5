//! The keys of a layout file, and the marks that a recovered text has in place of what was broken.

/// The keys of a layout.
pub(super) const KEYS: [&str; 15] = [
    "name",
    "encoding",
    "delimiter",
    "decimal_mark",
    "quote",
    "line_end",
    "header",
    "date_format",
    "rows_per_entry",
    "formula_guard",
    "line_breaks",
    "invisible",
    "voucher_prefix",
    "ending",
    "columns",
];

/// The keys of a column.
pub(super) const COLUMN_KEYS: [&str; 10] =
    ["header", "value", "field", "kind", "empty", "max_chars", "zero", "words", "text", "date_format"];

/// The key of the notes in a table of the recovered text. A note is the key of a broken line; it is empty where that key is not known. Names that
/// stand only in the recovered text begin with it, too. Nobody types this character.
pub(super) const BROKEN: &str = "\u{f8ff}";
/// The beginning of a note: a line that the file does not have.
pub(super) const NOTE: &str = "\n\"\u{f8ff}\".";

/// What ends the head of a column that was added: the file has no such line.
pub(super) const INSERTED: &str = " #\u{f8ff}\n";
