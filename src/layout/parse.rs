//! Parses the TOML text of a layout into a [`Layout`], or into all its errors at once.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::columns::{self, columns};
use super::date_format::DateFormat;
use super::encoding::Encoding;
use super::syntax::not_toml;
use super::table::{Errors, Found, Table, kind, word};
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
    let (document, broken) = DeTable::parse_recoverable(text);
    if !broken.is_empty() {
        let errors = Errors::new(text);
        for error in broken {
            let span = error.span().unwrap_or_default();
            let at = text.get(span.clone()).unwrap_or_default();
            errors.add(span.start, not_toml(error.message(), at, line_at(text, span.start)));
        }
        return Err(with_the_rest(text, errors.into_sorted()));
    }
    let errors = Errors::new(text);
    let layout = layout(&Table::new(&errors, document.get_ref(), 0), &errors);
    match (layout, errors.into_sorted()) {
        (Some(layout), errors) if errors.is_empty() => Ok(layout),
        (_, errors) => Err(errors),
    }
}

/// Adds to the lines that are not TOML what is wrong with the others, without guessing: a broken head of a table is read
/// as the one that a layout has, and a table with another broken line is left out.
fn with_the_rest(text: &str, mut broken: Vec<LayoutError>) -> Vec<LayoutError> {
    const HEAD: &str = "[[columns]]";
    let mut lines: Vec<&str> = text.split('\n').collect();
    let is_head = |line: &str| line.trim_start().starts_with('[');
    let (heads, others): (Vec<usize>, Vec<usize>) =
        broken.iter().map(|error| error.line - 1).partition(|&line| is_head(lines[line]));
    others.iter().for_each(|&line| lines[line] = "");
    for (at, line) in lines.iter_mut().enumerate() {
        // One `[columns]` makes a table of the list of all.
        if heads.contains(&at) || (!heads.is_empty() && line.trim() == "[columns]") {
            *line = HEAD;
        }
    }
    let table_of = |line: usize| lines[..=line].iter().rposition(|line| line.trim_end() == HEAD);
    let left_out: Vec<Option<usize>> = others.into_iter().map(table_of).collect();
    let mended = lines.join("\n");
    let (document, still) = DeTable::parse_recoverable(&mended);
    let mut rest = Vec::new();
    if still.is_empty() {
        let errors = Errors::of_part(&mended, !left_out.contains(&None));
        layout(&Table::new(&errors, document.get_ref(), 0), &errors);
        rest = errors.into_sorted();
        rest.retain(|error| !left_out.contains(&table_of(error.line - 1)));
    }
    if let Some(last) = broken.last_mut() {
        match (still.is_empty(), left_out.is_empty()) {
            (true, true) => {}
            (true, false) => {
                last.message.push_str("; the other lines down to the next [[columns]] are looked at once it is TOML")
            }
            (false, _) => last.message.push_str("; the rest of the file is looked at once it is TOML"),
        }
    }
    broken.append(&mut rest);
    broken.sort_by_key(|error| error.line);
    broken
}

fn line_at(text: &str, at: usize) -> &str {
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let end = after.find('\n').map_or(text.len(), |end| at + end);
    // The byte order mark at the beginning of a file is no fault, and neither is the first half of a line end of Windows.
    text[start..end].trim_end_matches('\r').trim_start_matches(if start == 0 { "\u{feff}" } else { "" })
}

/// `None`, or an unusable layout, when there are errors.
fn layout(table: &Table<'_, '_>, errors: &Errors<'_>) -> Option<Layout> {
    table.allow(&KEYS, &columns::KEYS, "below a [[columns]]");
    let name = name(table);
    let encoding = table.choice("encoding", &Encoding::NAMED);
    let encoding = encoding.unwrap_or(Encoding::Utf8);
    let date_format = date_format(table).unwrap_or(DateFormat::ISO);
    let two_rows = table.number("rows_per_entry", 1, 2) == Some(2);
    let layout = Layout {
        name: name.unwrap_or_default(),
        encoding,
        delimiter: table.choice("delimiter", &[(",", b','), (";", b';'), ("|", b'|'), ("\t", b'\t')]).unwrap_or(b','),
        decimal_mark: table.choice("decimal_mark", &[(".", b'.'), (",", b',')]).unwrap_or(b'.'),
        quote: table.choice("quote", &Quote::NAMED).unwrap_or(Quote::Needed),
        line_end: table.choice("line_end", &LineEnd::NAMED).unwrap_or(LineEnd::CrLf),
        header: table.flag("header").unwrap_or(errors.has_top),
        date_format,
        two_rows,
        formula_guard: table.flag("formula_guard").unwrap_or(true),
        line_breaks: table.choice("line_breaks", &LineBreaks::NAMED).unwrap_or(LineBreaks::Keep),
        invisible: table.choice("invisible", &Invisible::NAMED).unwrap_or(Invisible::Refuse),
        voucher_prefix: voucher_prefix(table).unwrap_or_else(|| "JV".to_owned()),
        ending: ending(table).unwrap_or_else(|| "csv".to_owned()),
        columns: Vec::new(),
    };
    let columns = columns(table, errors, &layout)?;
    Some(Layout { columns, ..layout })
}

fn name(table: &Table<'_, '_>) -> Option<String> {
    if table.get("name").is_none() {
        // Below a column it is told where it stands.
        let is_below =
            |item: &Spanned<DeValue<'_>>| item.get_ref().as_table().is_some_and(|column| column.contains_key("name"));
        if table
            .get("columns")
            .and_then(|columns| columns.get_ref().as_array())
            .is_some_and(|list| list.iter().any(is_below))
        {
            return None;
        }
        table.missing("name is missing; expected a name of a-z, 0-9 and -");
        return None;
    }
    let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    checked(table, "name", NAME_MAX, fits, "a name of a-z, 0-9 and -")
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
        table.error(at, format!("{key} is {}; expected {expected}, at most {longest} characters", word(text)));
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
            table.error(found.at, format!("date_format is {}; expected {expected}{hint}", word(found.text)));
        })
        .ok()
}

/// The tables of `columns`.
pub(super) fn column_tables<'a, 'i>(table: &Table<'a, 'i>, errors: &'a Errors<'a>) -> Option<Vec<Table<'a, 'i>>> {
    const EXPECTED: &str = "expected at least one [[columns]]";
    let Some(value) = table.get("columns") else {
        table.missing(format!("columns are missing; {EXPECTED}"));
        return None;
    };
    let items = match value.get_ref() {
        DeValue::Array(list) if list.is_empty() => {
            table.error(value.span().start, format!("there is no column in columns; {EXPECTED}"));
            return None;
        }
        DeValue::Array(list) => list.iter(),
        _ => {
            table.error(value.span().start, format!("columns are not a list of tables; {EXPECTED}"));
            return None;
        }
    };
    let is_table = |item: &&Spanned<DeValue<'_>>| matches!(item.get_ref(), DeValue::Table(_));
    for wrong in items.clone().filter(|item| !is_table(item)) {
        table.error(
            wrong.span().start,
            format!("a column is {}; expected a table such as [[columns]]", kind(wrong.get_ref())),
        );
    }
    let of_table = |item: &'a Spanned<DeValue<'i>>| match item.get_ref() {
        DeValue::Table(map) => Some(Table::new(errors, map, item.span().start)),
        _ => None,
    };
    Some(items.filter_map(of_table).collect())
}
