//! `batch-export layout`: lists the built-in layouts, prints one to start from, and checks a layout file.
//!
//! It works without a database and without settings, because the author of a layout is often not the operator.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Serialize;

use super::args::{LayoutAction, LayoutArgs, OutputFormat};
use super::layout_file;
use super::render::{self, Head, Render};
use crate::command::CommandName;
use crate::csv::{Sheet, SheetOptions};
use crate::entry::{EntryFields, FieldList, StoredValue};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::id::Id;
use crate::layout::{BUILT_IN, FieldKind, Layout, LayoutError, Value, nearest, quoted};
use crate::money::Number;
use crate::outcome::Done;
use crate::plausible::shown_word;

/// 18 January 2026, noon in Bangkok.
const SAMPLE_DATE_MS: i64 = 1_768_712_400_000;

/// The sample entries: type, account, description.
const SAMPLES: [(&str, &str, &str); 3] = [
    ("debit", "5101-00", "ค่าเช่าสำนักงาน เดือนมกราคม 2569"),
    ("credit", "4101-01", "Consulting services January"),
    ("debit", " 5302-10 ", "=1+1; \"quoted\", and a second\nline"),
];

/// Errors of a file that are shown to a person.
const SHOWN_MAX: usize = 50;

/// The result of `layout`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct LayoutResult {
    #[serde(flatten)]
    head: Head,
    action: &'static str,
    /// Of `list`.
    layouts: Vec<ListedLayout>,
    /// Of `show` and `check`.
    name: Option<String>,
    /// Of `show`: the file to start from.
    text: Option<String>,
    /// Of `check`: the checked file.
    file: Option<String>,
    /// Of `check`: every error.
    errors: Vec<LayoutError>,
    /// Of `check`: paths of fields that are probably none.
    warnings: Vec<String>,
    /// Of `check`: the sample entries that are not refused, in this layout.
    sample: Option<String>,
    /// Of `check`: sample entries that this layout refuses, and why.
    refused: Vec<String>,
}

/// A built-in layout.
#[derive(Debug, Serialize, JsonSchema)]
struct ListedLayout {
    name: String,
    encoding: &'static str,
    rows_per_entry: u64,
    columns: Vec<String>,
}

impl LayoutResult {
    fn new(action: &'static str) -> LayoutResult {
        LayoutResult { action, ..LayoutResult::default() }
    }
}

impl Render for LayoutResult {
    fn text(&self) -> String {
        let mut text = self.text.clone().unwrap_or_default();
        for layout in &self.layouts {
            let rows = if layout.rows_per_entry == 1 { "one row" } else { "two rows" };
            let columns = layout.columns.join(", ");
            let _ = writeln!(text, "{:8} {}, {rows} per entry: {columns}", layout.name, layout.encoding);
        }
        let Some(file) = &self.file else { return text };
        for wrong in self.errors.iter().take(SHOWN_MAX) {
            let _ = writeln!(text, "{file}, line {}: {}", wrong.line, wrong.message);
        }
        if let Some(more) = self.errors.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
            let _ = writeln!(text, "and {more} more; --output json has all of them");
        }
        if let (Some(name), Some(sample)) = (&self.name, &self.sample) {
            let told = match self.refused.len() {
                0 => format!("Three sample entries as the file would have them:\n\n{sample}"),
                3 => "It refuses each of the three sample entries:".to_owned(),
                refused => format!("{} of three sample entries as the file would have them:\n\n{sample}", 3 - refused),
            };
            let _ = writeln!(text, "{file} is the layout {name}. {told}");
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        for refused in &self.refused {
            let _ = writeln!(text, "{refused}");
        }
        text
    }
}

/// Runs the action and prints its result.
pub fn execute(args: &LayoutArgs, output: OutputFormat) -> Result<Exit> {
    let result = match &args.action {
        None | Some(LayoutAction::List) => list(),
        Some(LayoutAction::Show { name }) => show(name)?,
        Some(LayoutAction::Check { file }) => check(file)?,
    };
    let exit = if result.errors.is_empty() { Exit::Ok } else { Exit::Configuration };
    let head = Head::new(CommandName::Layout, Done::Completed, exit);
    render::print(&LayoutResult { head, ..result }, output);
    Ok(exit)
}

fn list() -> LayoutResult {
    let layouts = BUILT_IN.iter().filter_map(|(name, _)| Layout::built_in(name)).map(|layout| ListedLayout {
        encoding: layout.encoding.name(),
        rows_per_entry: layout.rows_per_entry(),
        columns: layout.columns.into_iter().map(|column| column.header).collect(),
        name: layout.name,
    });
    LayoutResult { layouts: layouts.collect(), ..LayoutResult::new("list") }
}

fn show(name: &str) -> Result<LayoutResult> {
    let Some((name, text)) = BUILT_IN.into_iter().find(|(known, _)| *known == name) else {
        let names = BUILT_IN.map(|(name, _)| name).join(" and ");
        return Err(Failure::configuration(format!("{} is not a built-in layout", shown_word(name))).next(
            match nearest(name, &BUILT_IN.map(|(name, _)| name)) {
                Some(near) => format!("did you mean {near}?"),
                None => {
                    format!("the built-in layouts are {names}; others are files, such as those in examples/layouts")
                }
            },
        ));
    };
    Ok(LayoutResult { name: Some(name.to_owned()), text: Some(text.to_owned()), ..LayoutResult::new("show") })
}

fn check(file: &str) -> Result<LayoutResult> {
    let result = LayoutResult { file: Some(file.to_owned()), ..LayoutResult::new("check") };
    let layout = match layout_file::checked(file)? {
        Ok(layout) => layout,
        Err(errors) => return Ok(LayoutResult { errors, ..result }),
    };
    let (name, warnings) = (Some(layout.name.clone()), layout.doubts());
    let (sample, refused) = sample(layout).map_err(|error| Failure::new(Exit::Unexpected, error.to_string()))?;
    Ok(LayoutResult { name, warnings, sample: Some(sample), refused, ..result })
}

/// A debit, a credit and an entry with special characters in this layout; and the sample entries that it refuses.
fn sample(layout: Layout) -> std::io::Result<(String, Vec<String>)> {
    let fields = FieldList::of(&layout);
    let encoding = layout.encoding;
    let options = SheetOptions {
        layout: Arc::new(layout),
        encoding: None,
        zone: chrono_tz::Asia::Bangkok,
        business_date: const { NaiveDate::from_ymd_opt(2026, 1, 18).unwrap() },
        batch_number: 1,
        contra_account: None,
    };
    let mut sheet = Sheet::new(Vec::new(), &options, &fields)?;
    let mut refused = Vec::new();
    for (number, (kind, account, description)) in (1..).zip(SAMPLES) {
        let entry = sample_entry(&options.layout, &fields, number, kind, account, description);
        if let Err(reason) = sheet.push(&entry)? {
            refused.push(format!("the {kind} entry {} is not written: {reason}", quoted(description)));
        }
    }
    let (bytes, _) = sheet.finish()?;
    Ok((encoding.decode(&bytes), refused))
}

fn sample_entry<'a>(
    layout: &'a Layout,
    list: &FieldList,
    number: u8,
    kind: &'a str,
    account: &'a str,
    description: &'a str,
) -> EntryFields<'a> {
    let id = |kind: u8| Id([0x69, 0x6c, 0x6b, kind, 0, 0, 0, 0, 0, 0, 0, number]);
    let mut fields = EntryFields { id: id(1), values: vec![StoredValue::Missing; list.slots()] };
    let mut set = |path: &str, value| {
        if let Some(slot) = list.slot(path) {
            fields.values[slot] = value;
        }
    };
    for column in &layout.columns {
        if let Value::Field(path, kind) = &column.value {
            set(
                path,
                match kind {
                    FieldKind::Text => StoredValue::Text("text"),
                    FieldKind::Code => StoredValue::Text("A1"),
                    FieldKind::Integer => StoredValue::Number(Number::Int(7)),
                    FieldKind::Money => StoredValue::Number(Number::Int(700)),
                    FieldKind::Date(_) => StoredValue::Date(SAMPLE_DATE_MS),
                },
            );
        }
    }
    for (path, text) in [
        ("status", "approved"),
        ("type", kind),
        ("accountCode", account),
        ("description", description),
        ("category", "general"),
        ("metadata.crAccount", "1102-00"),
        ("metadata.drAccount", "1102-00"),
    ] {
        set(path, StoredValue::Text(text));
    }
    set("clientId", StoredValue::Id(id(3)));
    set("amount", StoredValue::Number(Number::Int(123_450)));
    set("date", StoredValue::Date(SAMPLE_DATE_MS));
    fields
}
