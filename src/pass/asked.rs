//! What the layout asks of every due entry in vain: its fault, and not the entries'.
//!
//! Risk: a typing error in the path of a field makes every entry invalid, and people look for the fault in each of them.
//! So one failure names the layout, its columns, and how to correct them.

use crate::config::Format;
use crate::csv::{Ask, Unmet};
use crate::entry::Faults;
use crate::exit::Exit;
use crate::failure::Failure;

/// The failure of a file whose layout asks each of so many entries for something in vain; `None` when it asks for nothing
/// of that kind.
pub(super) fn asked_in_vain(format: &Format, unmet: &[Unmet], entries: usize) -> Option<Failure> {
    if unmet.is_empty() {
        return None;
    }
    let layout = match &format.layout_file {
        Some(file) => format!("{} ({file})", format.layout.name),
        None => format.layout.name.clone(),
    };
    let who = match entries {
        1 => "the only due entry lacks".to_owned(),
        entries => format!("all {entries} due entries lack"),
    };
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

fn column(format: &Format, unmet: &Unmet) -> String {
    let header = match &*format.layout.columns[unmet.column].header {
        "" => (unmet.column + 1).to_string(),
        header => format!("\"{header}\""),
    };
    format!("column {header}: {}", unmet.reason)
}

fn next(format: &Format, unmet: &[Unmet]) -> String {
    let asks = |ask| unmet.iter().any(|unmet| unmet.ask == ask);
    let mut steps = Vec::new();
    if asks(Ask::ContraAccount) {
        steps.push("set --contra-account".to_owned());
    }
    match &format.layout_file {
        Some(file) if asks(Ask::Field) => {
            steps.push(format!("give the column `empty = \"...\"` or correct the path of its field in {file}"));
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
