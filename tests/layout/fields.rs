//! Entries for tests of the pure parts, field by field, as the database would hand them over.

use batch_export::entry::{EntryFields, FieldList, StoredValue};
use batch_export::id::Id;
use batch_export::layout::Layout;
use batch_export::money::Number;

/// 18 January 2026, 23:59:59.999 in Bangkok.
pub const DATE_MS: i64 = 1_768_755_599_999;

/// An entry: pairs of path and value. What is not among them is missing.
#[derive(Clone, Debug)]
pub struct TestEntry<'a> {
    pub id: Id,
    values: Vec<(&'a str, StoredValue<'a>)>,
}

impl<'a> TestEntry<'a> {
    /// An entry that is good in every layout.
    pub fn good(description: &'a str) -> TestEntry<'a> {
        let text = StoredValue::Text;
        TestEntry {
            id: Id([0x65, 0xab, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0xff]),
            values: vec![
                ("status", text("approved")),
                ("date", StoredValue::Date(DATE_MS)),
                ("accountCode", text("1000-01")),
                ("description", text(description)),
                ("amount", StoredValue::Number(Number::Int(123_450))),
                ("type", text("debit")),
                ("category", text("general")),
                ("clientId", StoredValue::Id(Id([0x69; 12]))),
                ("metadata.crAccount", text("2000")),
                ("metadata.drAccount", text("3000")),
            ],
        }
    }

    /// Replaces a value.
    pub fn with(mut self, path: &'a str, value: StoredValue<'a>) -> TestEntry<'a> {
        self.values.retain(|(known, _)| *known != path);
        self.values.push((path, value));
        self
    }

    /// Replaces a value by a text.
    pub fn text(self, path: &'a str, text: &'a str) -> TestEntry<'a> {
        self.with(path, StoredValue::Text(text))
    }

    /// Leaves a value out.
    pub fn without(self, path: &'a str) -> TestEntry<'a> {
        self.with(path, StoredValue::Missing)
    }

    /// The value of a path.
    pub fn value(&self, path: &str) -> StoredValue<'a> {
        self.values.iter().find(|(known, _)| *known == path).map_or(StoredValue::Missing, |(_, value)| *value)
    }

    /// As the database would hand it over for a layout.
    pub fn read(&self, layout: &Layout) -> EntryFields<'a> {
        let list = FieldList::of(layout);
        let mut values = vec![StoredValue::Missing; list.slots()];
        for (path, value) in &self.values {
            if let Some(slot) = list.slot(path) {
                values[slot] = *value;
            }
        }
        EntryFields { id: self.id, values }
    }
}
