//! Parses the TOML text of a layout into a [`Layout`], or into all its errors at once.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::columns::columns;
use super::date_format::DateFormat;
use super::recover::{is_foreign_head, recovered};
use super::settings::{date_format, settings};
use super::syntax::{is_known, no_layout, not_toml};
use super::table::{Errors, Table};
use super::words::{BROKEN, COLUMN_KEYS, KEYS};
use super::{LONGEST_FILE_BYTES, Layout, LayoutError};

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
    table.allow(&KEYS, &COLUMN_KEYS, "below a [[columns]]");
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

fn check_name(table: &Table<'_, '_>) {
    // Below a column it is told where it stands.
    let is_below =
        |item: &Spanned<DeValue<'_>>| item.get_ref().as_table().is_some_and(|column| column.contains_key("name"));
    let columns = table.get("columns").and_then(|columns| columns.get_ref().as_array());
    if table.get("name").is_none() && !columns.is_some_and(|list| list.iter().any(is_below)) {
        table.missing(&["name"], "name is missing; expected a name of a-z, 0-9 and -");
    }
}
