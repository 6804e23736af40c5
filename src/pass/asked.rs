//! Columns of the layout that no due entry can fill: the fault is the layout's, and not the entries'.
//!
//! Risk: a typing error in the path of a field makes every entry invalid, and people look for the fault in each of them.
//! So one failure names the layout, its columns, and how to correct them.

use crate::config::Format;
use crate::csv::{Ask, Unmet};
use crate::entry::Faults;
use crate::exit::Exit;
use crate::failure::{Explanation, Failure};
use crate::layout::Value;

/// The failure of a file whose layout asks each of the entries for something in vain; `None` when it asks for nothing
/// of that kind.
pub(super) fn asked_in_vain(format: &Format, unmet: &[Unmet], entries: usize) -> Option<Failure> {
    if unmet.is_empty() {
        return None;
    }
    let (layout, who) = (named(format), all(entries));
    let columns: Vec<String> = unmet.iter().map(|unmet| column(format, unmet)).collect();
    let message = format!("{who} what the layout {layout} asks for: {}", columns.join("; "));
    Some(Failure::new(Exit::InvalidEntries, message).next(next(format, unmet)))
}

/// Whether nothing else is wrong with any of the entries that were refused for these reasons.
pub(super) fn are_all<'a>(unmet: &[Unmet], mut reasons: impl Iterator<Item = &'a str>) -> bool {
    // Two columns of one field are one fault.
    let mut common = Faults::default();
    unmet.iter().for_each(|unmet| common.add(unmet.reason.clone()));
    let common = common.joined();
    reasons.all(|reason| reason == common)
}

/// The explanation for people when no entry has the field of some columns, which have an `empty`. A typing error looks like this, and so does
/// a field that is rarely filled; so nothing is refused. In a built-in layout it is no typing error.
pub(super) fn without_field(format: &Format, columns: &[usize], entries: usize) -> Option<Explanation> {
    let file = format.layout_file.as_ref()?;
    let told: Vec<String> = columns
        .iter()
        .filter_map(|&number| match &format.layout.columns[number].value {
            Value::Field(path, _) => Some(format!("column {}: {path}", format.layout.column_name(number))),
            _ => None,
        })
        .collect();
    let message = format!(
        "{} the field of a column of the layout {}, so the column stays as its `empty` says: {}",
        all(entries),
        named(format),
        told.join("; ")
    );
    let next = format!(
        "check the path of the field in {file}; write a column that is always the same with `value = \"constant\"` and `text = \"\"`"
    );
    (!told.is_empty()).then(|| Explanation::new(message, next))
}

fn named(format: &Format) -> String {
    match &format.layout_file {
        Some(file) => format!("{} ({file})", format.layout.name),
        None => format.layout.name.clone(),
    }
}

fn all(entries: usize) -> String {
    match entries {
        1 => "the only due entry lacks".to_owned(),
        entries => format!("all {entries} due entries lack"),
    }
}

fn column(format: &Format, unmet: &Unmet) -> String {
    format!("column {}: {}", format.layout.column_name(unmet.column), unmet.reason)
}

fn next(format: &Format, unmet: &[Unmet]) -> String {
    let asks = |ask| unmet.iter().any(|unmet| unmet.ask == ask);
    let mut steps = Vec::new();
    if asks(Ask::ContraAccount) {
        steps.push("set --contra-account".to_owned());
    }
    match &format.layout_file {
        Some(file) if asks(Ask::Field) => {
            let is_path = |unmet: &Unmet| matches!(format.layout.columns[unmet.column].value, Value::Field(..));
            let path = if unmet.iter().any(is_path) { "check the path of the field, or " } else { "" };
            steps.push(format!("{path}give the column `empty = \"...\"` in {file}"));
        }
        Some(file) if asks(Ask::Kind) => steps.push(format!("correct the column's kind or path in {file}")),
        Some(_) => {}
        None if asks(Ask::Field) || asks(Ask::Kind) => {
            steps.push("use a layout of your own: `batch-export layout show NAME` prints one to start from".to_owned());
        }
        None => {}
    }
    format!("{}; or correct the entries", steps.join("; "))
}
