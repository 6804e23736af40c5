//! The columns of a layout file: what each value is, and which keys it takes.

use super::encoding::Encoder;
use super::settings::{date_format, settings};
use super::table::{Found, Table, kind, nearest, word};
use super::text::{characters, lacking, quoted};
use super::words::{COLUMN_KEYS, KEYS};
use super::{Column, FieldKind, Layout, Value, Zero};
use crate::calendar::Day;
use toml::de::DeValue;

/// Most columns.
const COLUMNS_MAX: usize = 500;
/// Bytes of the longest path of a field.
const PATH_MAX: usize = 200;
/// Characters of the longest cell.
const CHARS_MAX: i64 = 1_000_000;

/// The columns; `None` when there are errors that leave none.
pub(super) fn columns(top: &Table<'_, '_>, layout: &Layout) -> Option<Vec<Column>> {
    let tables = column_tables(top);
    if tables.len() > COLUMNS_MAX {
        top.error(0, format!("there are {} columns; expected at most {COLUMNS_MAX}", tables.len()));
    }
    // Every column is read, also after a wrong one.
    let columns: Vec<Option<Column>> = tables.iter().map(|table| column(table, layout)).collect();
    let is_date_known = !top.is_unsure(&["date_format"]) && !tables.iter().any(|table| table.is_told(&["date_format"]));
    for (table, column) in tables.iter().zip(&columns) {
        if let Some(column) = column {
            check_length(table, column, is_date_known);
        }
    }
    columns.into_iter().collect()
}

/// The tables of `columns`, also under a misspelt name: the name hides nothing that is wrong below it.
fn column_tables<'a, 'i>(table: &Table<'a, 'i>) -> Vec<Table<'a, 'i>> {
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

fn column(table: &Table<'_, '_>, layout: &Layout) -> Option<Column> {
    if table.entries().next().is_none() {
        table.missing(&[], "a column has no keys; expected header, and value or field");
        return None;
    }
    table.allow(&COLUMN_KEYS, &KEYS, "above the first [[columns]]");
    settings(table);
    let header = table.text("header");
    if table.get("header").is_none() && layout.header {
        table.missing(&["header"], "header is missing; expected the column's name in the first line");
    }
    if table.get("value").or(table.get("field")).is_none() {
        table.missing(&["value", "field"], "a column has neither value nor field; expected one of them");
    }
    let max_chars = table.number("max_chars", 1, CHARS_MAX).map(|number| number as usize);
    let empty = table.text("empty");
    let value = value(table, layout);
    if let Some(value) = &value
        && !may_be_missing(value)
    {
        table.refuse("empty", "has no effect here; expected only where a field can be missing: description, category, client, contra-account, field");
    }
    for (key, found) in [("header", header), ("empty", empty), ("text", table_text(table))] {
        let Some(found) = found else { continue };
        own_text(table, layout, key, found);
        let is_cell = key != "header";
        if is_cell && max_chars.is_some_and(|most| found.text.chars().count() > most) {
            table.error(found.at, format!("{key} is longer than max_chars"));
        }
    }
    let text = |found: Option<Found<'_>>| found.map(|found| found.text.to_owned());
    Some(Column { header: text(header).unwrap_or_default(), value: value?, empty: text(empty), max_chars })
}

/// The text of a constant. A wrong type is reported where the value is read.
fn table_text<'a>(table: &Table<'a, '_>) -> Option<Found<'a>> {
    let value = table.get("text")?;
    value.get_ref().as_str().map(|text| Found { text, at: value.span().start })
}

/// Checks a text of the layout's author: one line, in the layout's encoding.
fn own_text(table: &Table<'_, '_>, layout: &Layout, key: &str, found: Found<'_>) {
    let controls = characters(found.text, char::is_control);
    if !controls.is_empty() {
        table.error(found.at, format!("{key} has {controls}; expected one line of text (a backslash is written \\\\)"));
        return;
    }
    if found.text.starts_with('\u{feff}') {
        let mark = characters(found.text, |character| character == '\u{feff}');
        table.error(found.at, format!("{key} has {mark}; expected no byte order mark"));
    }
    let encoder = Encoder::new(layout.encoding);
    let lacking = lacking(&encoder, found.text);
    if !lacking.is_empty() {
        table.error(found.at, format!("{key} has {lacking}, which {} lacks", layout.encoding.name()));
    }
}

/// Checks that the shortest cell, or each word of a side, fits. The file may not name these texts, so the error stands at `max_chars`.
fn check_length(table: &Table<'_, '_>, column: &Column, is_date_known: bool) {
    let written;
    let Some(most) = column.max_chars else { return };
    let shown: [&str; 2] = match &column.value {
        _ if table.is_unsure(&["zero", "words", "date_format"]) => return,
        Value::Date(_) | Value::BusinessDate(_) | Value::Field(_, FieldKind::Date(_))
            if !is_date_known && table.get("date_format").is_none() =>
        {
            return;
        }
        Value::Side([debit, credit]) => [debit, credit],
        Value::Debit(Zero::Amount) | Value::Credit(Zero::Amount) | Value::Amount | Value::SignedAmount => ["0.00"; 2],
        Value::EntryId => ["696c6b010000000000000001"; 2],
        Value::Date(format) | Value::BusinessDate(format) | Value::Field(_, FieldKind::Date(format)) => {
            written = format.write(Day { year: 2026, month: 1, day: 18 });
            [std::str::from_utf8(written.as_bytes()).unwrap_or_default(); 2]
        }
        _ => return,
    };
    if let Some(long) = shown.into_iter().find(|text| text.chars().count() > most) {
        let at = table.get("max_chars").map_or(0, |value| value.span().start);
        table.error(
            at,
            format!("max_chars is {most}, less than the characters of {}, which this column writes", quoted(long)),
        );
    }
}

fn may_be_missing(value: &Value) -> bool {
    use Value::{Category, Client, ContraAccount, Description, Field};
    matches!(value, ContraAccount | Description | Category | Client | Field(..))
}

fn value(table: &Table<'_, '_>, layout: &Layout) -> Option<Value> {
    match (table.get("value"), table.get("field")) {
        (None, None) => {
            table.choice("kind", &FieldKind::WORDS);
            forms(table, layout);
            None
        }
        (Some(_), Some(second)) => {
            table.error(second.span().start, "a column has both value and field; expected one of them");
            // Who writes it so means the other line.
            if table.get("value").and_then(|value| value.get_ref().as_str()) != Some("field") {
                table.choice("value", &Value::WORDS);
            }
            path(table);
            table.choice("kind", &FieldKind::WORDS);
            forms(table, layout);
            None
        }
        (Some(_), None) => {
            let Some(value) = table.choice("value", &Value::WORDS).filter(|_| !table.is_told(&["value"])) else {
                // Perhaps a field is meant.
                table.choice("kind", &FieldKind::WORDS);
                forms(table, layout);
                return None;
            };
            table.refuse("kind", "belongs to a column with field");
            let is_date = matches!(value, Value::Date(_) | Value::BusinessDate(_));
            options(table, Some(&value), is_date);
            with_options(table, value, layout)
        }
        (None, Some(_)) => {
            let kind = table.choice("kind", &FieldKind::WORDS).unwrap_or(FieldKind::Text);
            let path = path(table);
            if table.is_unsure(&["kind"]) {
                options(table, None, true);
                date_format(table);
                return None;
            }
            let is_date = matches!(kind, FieldKind::Date(_));
            options(table, None, is_date);
            let kind = match is_date {
                true => FieldKind::Date(date_format(table).unwrap_or(layout.date_format)),
                false => kind,
            };
            Some(Value::Field(path?, kind))
        }
    }
}

/// Checks the form of each option, where it is not known to which value they belong.
fn forms(table: &Table<'_, '_>, layout: &Layout) {
    zero(table);
    side_words(table, layout);
    table.text("text");
    date_format(table);
}

fn zero(table: &Table<'_, '_>) -> Option<Zero> {
    table.choice("zero", &Zero::NAMED)
}

/// Refuses options that have no effect in a column.
fn options(table: &Table<'_, '_>, value: Option<&Value>, is_date: bool) {
    if !matches!(value, Some(Value::Debit(_) | Value::Credit(_))) {
        table.refuse("zero", "belongs to a column with value \"debit\" or \"credit\"");
    }
    if !matches!(value, Some(Value::Side(_))) {
        table.refuse("words", "belongs to a column with value \"side\"");
    }
    if !matches!(value, Some(Value::Constant(_))) {
        table.refuse("text", "belongs to a column with value \"constant\"");
    }
    if !is_date {
        let hint = if value.is_none() { "; a field with dates has kind = \"date\"" } else { "" };
        table.refuse("date_format", &format!("belongs above the first [[columns]], or to a column with dates{hint}"));
    }
}

/// The value with the options of its column.
fn with_options(table: &Table<'_, '_>, value: Value, layout: &Layout) -> Option<Value> {
    let zero = || zero(table).unwrap_or(Zero::Amount);
    let date = || date_format(table).unwrap_or(layout.date_format);
    Some(match value {
        Value::Date(_) => Value::Date(date()),
        Value::BusinessDate(_) => Value::BusinessDate(date()),
        Value::Debit(_) => Value::Debit(zero()),
        Value::Credit(_) => Value::Credit(zero()),
        Value::Side(_) => Value::Side(side_words(table, layout)?),
        Value::Constant(_) => {
            if table.get("text").is_none() {
                table.missing(&["text"], "text is missing; expected the text of the constant");
            }
            Value::Constant(table.text("text")?.text.to_owned())
        }
        without => without,
    })
}

fn side_words(table: &Table<'_, '_>, layout: &Layout) -> Option<[String; 2]> {
    let Some(value) = table.get("words") else { return Some(["D".to_owned(), "C".to_owned()]) };
    let at = value.span().start;
    let words = match value.get_ref() {
        DeValue::Array(list) => list.iter().map(|item| item.get_ref().as_str()).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let Some(&[debit, credit]) = words.as_deref() else {
        if table.is_unsure(&["words"]) {
            return None;
        }
        let is = kind(value.get_ref());
        table.error(at, format!("words is {is}; expected two texts, for debit and for credit, such as [\"D\", \"C\"]"));
        return None;
    };
    if debit == credit {
        table.error(at, "the two words are equal; expected one for debit and another one for credit");
    }
    for text in [debit, credit] {
        own_text(table, layout, "words", Found { text, at });
    }
    Some([debit.to_owned(), credit.to_owned()])
}

fn path(table: &Table<'_, '_>) -> Option<String> {
    let found = table.text("field")?;
    // A blank at an end of a name is never meant, and the field would be missing in every entry.
    let part = |part: &str| {
        !part.is_empty() && part.trim() == part && !part.starts_with('$') && !part.contains(char::is_control)
    };
    if found.text.len() > PATH_MAX || !found.text.split('.').all(part) {
        let message = "expected the path of a field, such as \"metadata.department\", without $ before a name, and without blanks at its points and ends";
        table.error(found.at, format!("field is {}; {message}", word(found.text)));
        return None;
    }
    Some(found.text.to_owned())
}
