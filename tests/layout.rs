//! Layouts: the files that describe the accountant's columns, and the engine that writes by them.

mod allocations;
mod asked;
mod bytes;
mod command;
mod examples;
pub mod fields;
mod lost;
mod malformed;
mod mixed;
mod naive;
mod not_toml;
mod one_fault;

use std::sync::Arc;

use batch_export::calendar::{parse_date, parse_zone};
use batch_export::csv::{Sheet, SheetOptions, Tally};
use batch_export::entry::FieldList;
use batch_export::layout::Layout;

use fields::TestEntry;

/// A file of 2026-01-18 in Bangkok, the seventeenth.
pub fn options(layout: &Layout) -> SheetOptions {
    SheetOptions {
        layout: Arc::new(layout.clone()),
        encoding: None,
        zone: parse_zone("Asia/Bangkok").unwrap(),
        business_date: parse_date("2026-01-18").unwrap(),
        batch_number: 17,
        contra_account: None,
    }
}

/// Writes entries; those that are refused with their reasons.
pub fn write(options: &SheetOptions, entries: &[TestEntry<'_>]) -> (Vec<u8>, Tally, Vec<String>) {
    let mut sheet = Sheet::new(Vec::new(), options, &FieldList::of(&options.layout)).unwrap();
    let mut refused = Vec::new();
    for entry in entries {
        if let Err(reason) = sheet.push(&entry.read(&options.layout)).unwrap() {
            refused.push(reason);
        }
    }
    let (bytes, tally) = sheet.finish().unwrap();
    (bytes, tally, refused)
}
