//! The keys of a layout that decide how all its cells are written.

use super::Layout;
use super::date_format::DateFormat;
use super::encoding::Encoding;
use super::table::{Found, Table, word};
use super::text::quoted;
use super::{Invisible, LineBreaks, LineEnd, Quote};

/// Characters of the longest name, prefix and ending.
const NAME_MAX: usize = 64;
const PREFIX_MAX: usize = 12;
const ENDING_MAX: usize = 16;

/// The keys that only the layout has, not a column. Of a column they are read to check their values: they are misplaced there.
pub(super) fn settings(table: &Table<'_, '_>) -> Layout {
    let is_of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = |text: &str| text.bytes().all(is_of_name);
    // It may be the header of a column.
    let name = (!table.is_told(&["name"]))
        .then(|| checked(table, "name", NAME_MAX, is_name, "a name of a-z, 0-9 and -"))
        .flatten();
    Layout {
        name: name.unwrap_or_default(),
        encoding: table.choice("encoding", &Encoding::NAMED).unwrap_or(Encoding::Utf8),
        delimiter: table.choice("delimiter", &[(",", b','), (";", b';'), ("|", b'|'), ("\t", b'\t')]).unwrap_or(b','),
        decimal_mark: table.choice("decimal_mark", &[(".", b'.'), (",", b',')]).unwrap_or(b'.'),
        quote: table.choice("quote", &Quote::NAMED).unwrap_or(Quote::Needed),
        line_end: table.choice("line_end", &LineEnd::NAMED).unwrap_or(LineEnd::CrLf),
        header: true,
        date_format: DateFormat::ISO,
        two_rows: table.number("rows_per_entry", 1, 2) == Some(2),
        formula_guard: table.flag("formula_guard").unwrap_or(true),
        line_breaks: table.choice("line_breaks", &LineBreaks::NAMED).unwrap_or(LineBreaks::Keep),
        invisible: table.choice("invisible", &Invisible::NAMED).unwrap_or(Invisible::Refuse),
        voucher_prefix: voucher_prefix(table).unwrap_or_else(|| "JV".to_owned()),
        ending: ending(table).unwrap_or_else(|| "csv".to_owned()),
        columns: Vec::new(),
    }
}

fn voucher_prefix(table: &Table<'_, '_>) -> Option<String> {
    let fits = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'.');
        text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(plain)
    };
    checked(table, "voucher_prefix", PREFIX_MAX, fits, "letters and digits such as \"JV\"")
}

fn ending(table: &Table<'_, '_>) -> Option<String> {
    let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    checked(table, "ending", ENDING_MAX, fits, "the ending of the file's name without a dot, such as \"csv\"")
}

/// A text of a certain form, not empty.
fn checked(
    table: &Table<'_, '_>,
    key: &str,
    longest: usize,
    fits: impl Fn(&str) -> bool,
    expected: &str,
) -> Option<String> {
    let Found { text, at } = table.text(key)?;
    if text.is_empty() || text.len() > longest || !fits(text) {
        table.wrong(key, at, format!("{key} is {}; expected {expected}, at most {longest} characters", word(text)));
        return None;
    }
    Some(text.to_owned())
}

/// The key `date_format` of the layout or of a column.
pub(super) fn date_format(table: &Table<'_, '_>) -> Option<DateFormat> {
    let found = table.text("date_format")?;
    found
        .text
        .parse()
        .map_err(|expected| {
            let lower = found.text.to_lowercase();
            let hint = match lower.parse::<DateFormat>() {
                Ok(_) => format!("; did you mean {}?", quoted(&lower)),
                Err(_) => String::new(),
            };
            table.wrong(
                "date_format",
                found.at,
                format!("date_format is {}; expected {expected}{hint}", word(found.text)),
            );
        })
        .ok()
}
