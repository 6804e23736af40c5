//! Parses the TOML text of a layout into a [`Layout`], or into all its errors at once.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::columns::{self, columns};
use super::date_format::DateFormat;
use super::encoding::Encoding;
use super::recover::{BROKEN, is_foreign_head, recovered};
use super::syntax::{is_known, no_layout, not_toml};
use super::table::{Errors, Found, Table, nearest, word};
use super::text::quoted;
use super::{Invisible, LONGEST_FILE_BYTES, Layout, LayoutError, LineBreaks, LineEnd, Quote};

/// Characters of the longest name, prefix and ending.
const NAME_MAX: usize = 64;
const PREFIX_MAX: usize = 12;
const ENDING_MAX: usize = 16;

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

/// Reads a layout.
///
/// # Errors
/// Every error of the text, in the order of its lines; at least one.
pub fn parse(text: &str) -> Result<Layout, Vec<LayoutError>> {
    if text.len() > LONGEST_FILE_BYTES {
        let message = format!("the file is too long; expected a layout of at most {LONGEST_FILE_BYTES} bytes");
        return Err(vec![LayoutError { line: 1, message }]);
    }
    parse_stored(text)
}

/// Reads a layout in normal form, which can be longer than the longest file.
///
/// # Errors
/// As [`parse`].
pub fn parse_stored(text: &str) -> Result<Layout, Vec<LayoutError>> {
    let read = match DeTable::parse(text) {
        Ok(document)
            if !is_headless(document.get_ref())
                && !text.trim_start_matches('\u{feff}').lines().any(is_foreign_head) =>
        {
            read(&document, Errors::new(text))
        }
        Ok(_) | Err(_) => read_recovered(text),
    };
    read.map_err(|errors| no_layout(text).map_or(errors, |error| vec![error]))
}

/// Whether a column may have no head.
fn is_headless(table: &DeTable<'_>) -> bool {
    table.get("header").is_some_and(|header| header.get_ref().is_str())
        && ["value", "field"].iter().any(|key| table.contains_key(*key))
}

fn read(document: &Spanned<DeTable<'_>>, errors: Errors<'_>) -> Result<Layout, Vec<LayoutError>> {
    let layout = layout(&Table::new(&errors, document.get_ref(), 0));
    match (layout, errors.into_sorted()) {
        (Some(layout), errors) if errors.is_empty() => Ok(layout),
        (_, errors) => Err(errors),
    }
}

/// Reads a text of which some lines are not TOML.
fn read_recovered(text: &str) -> Result<Layout, Vec<LayoutError>> {
    let (once, told) = recovered(text);
    let errors = Errors::of_recovered(&once, told);
    // What is left are keys that stand there twice.
    let (_, mut twice) = DeTable::parse_recoverable(&once);
    twice.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let (mut recovered, mut rest) = (once.clone(), once.len());
    for error in twice.iter().rev() {
        let span = error.span().unwrap_or_default();
        errors.add(span.start, not_toml(error, &once, ""));
        let Some(key) = once.get(span.clone()).filter(|key| !key.is_empty() && span.end <= rest) else { continue };
        rest = span.start;
        // Further columns are read too. Of any other key it is not known which value is meant.
        let name = match key.trim() {
            "columns" => format!(" \"{BROKEN}columns\""),
            key if is_known(key) => format!(" \"{BROKEN}\".{key}.x{rest}"),
            _ => format!(" \"{BROKEN}{rest}\""),
        };
        recovered.replace_range(span, &name);
    }
    read(&DeTable::parse_recoverable(&recovered).0, Errors::of_recovered(&recovered, errors.into_sorted()))
}

/// `None`, or an unusable layout, when there are errors.
fn layout(table: &Table<'_, '_>) -> Option<Layout> {
    table.allow(&KEYS, &columns::KEYS, "below a [[columns]]");
    check_name(table);
    let has_header = table.flag("header");
    let layout = Layout {
        header: has_header.unwrap_or(!table.is_unsure(&["header"])),
        date_format: date_format(table).unwrap_or(DateFormat::ISO),
        ..settings(table)
    };
    let columns = columns(table, &layout)?;
    Some(Layout { columns, ..layout })
}

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

fn check_name(table: &Table<'_, '_>) {
    // Below a column it is told where it stands.
    let is_below =
        |item: &Spanned<DeValue<'_>>| item.get_ref().as_table().is_some_and(|column| column.contains_key("name"));
    let columns = table.get("columns").and_then(|columns| columns.get_ref().as_array());
    if table.get("name").is_none() && !columns.is_some_and(|list| list.iter().any(is_below)) {
        table.missing(&["name"], "name is missing; expected a name of a-z, 0-9 and -");
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

/// The tables of `columns`, also under a misspelt name: the name hides nothing that is wrong below it.
pub(super) fn column_tables<'a, 'i>(table: &Table<'a, 'i>) -> Vec<Table<'a, 'i>> {
    const EXPECTED: &str = "expected at least one [[columns]]";
    let mut tables = Vec::new();
    let mut has_columns = false;
    for (name, value) in table.entries() {
        let is_misspelt =
            || value.get_ref().is_array() && !KEYS.contains(&name) && nearest(name, &["columns"]).is_some();
        if name != "columns" && !is_misspelt() {
            continue;
        }
        has_columns = true;
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Array(list) if list.is_empty() && !table.is_unsure(&["columns"]) => {
                table.error(at, format!("there is no column in columns; {EXPECTED}"));
            }
            DeValue::Array(list) => tables.extend(list.iter().filter_map(|item| table.below(item))),
            _ => {
                table.error(at, format!("columns are not a list of tables; {EXPECTED}"));
                if value.get_ref().is_table() {
                    tables.extend(table.below(value).inspect(|column| column.expect(&["header", "value", "field"])));
                }
            }
        }
    }
    if !has_columns {
        table.missing(&["columns"], format!("columns are missing; {EXPECTED}"));
    }
    tables
}
