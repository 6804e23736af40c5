//! A copy of a file against the official one, line by line.
//!
//! Risk: a line that was removed or moved, after which every other one seems to have changed. So the lines of both files are put beside each
//! other first ([`align`](super::align)): by their content, as far as a spreadsheet leaves it, then by the entry that they name, then by their
//! place. In memory are a few numbers of each line; the lines of the copy lie on the disk, because those of a sorted copy are needed in another
//! order.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Seek;

use csv::StringRecord;
use schemars::JsonSchema;
use serde::Serialize;

use super::SheetOptions;
use super::align::{NONE, Pairs};
use super::amounts::Marks;
use super::copy::{CsvRecords, Shelf};
use super::dates::Order;
use super::respelt::{Change, Holds, change, essence, order_of};
use crate::id::{Id, content_hash};
use crate::layout::Value;
use crate::secret::cut;

/// Characters of a cell that are shown: it may have megabytes.
const CELL_CHARS: usize = 500;

/// A cell or a line of a copy that is not as in the official file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// The line of the official file, from 1, the header counted; none for a line that the copy alone has.
    pub line: Option<u64>,
    /// The line of the copy; none for a line that it lacks.
    pub copy_line: Option<u64>,
    /// The header of the column, else its number; none for a whole line.
    pub column: Option<String>,
    /// How it differs.
    pub change: Change,
    /// Whether both mean the same amount or the same date.
    pub same_value: bool,
    /// What the official file says; a whole line with its cells separated by ` | `.
    pub official: Option<String>,
    /// What the copy says.
    pub copy: Option<String>,
}

/// Hands out each difference, in the order of the official file, and returns in what the copy is written otherwise, as clauses for a person.
/// `scratch` is an empty file that may be written.
///
/// # Errors
/// For a person: which file cannot be read.
pub fn differences(
    official: File,
    copy: File,
    scratch: File,
    options: &SheetOptions,
    mut each: impl FnMut(Difference),
) -> Result<Vec<String>, String> {
    let layout = &options.layout;
    let encoding = options.encoding.unwrap_or(layout.encoding);
    let mut columns = Columns {
        holds: layout.columns.iter().map(|column| Holds::of(&column.value)).collect(),
        headers: layout.columns.iter().map(|column| column.header.clone()).collect(),
        entry: layout.columns.iter().position(|column| column.value == Value::EntryId),
        voucher: layout.columns.iter().position(|column| column.value == Value::Voucher),
        orders: vec![None; layout.columns.len()],
        marks: Marks::new(layout.decimal_mark),
        are_there: Vec::new(),
    };
    let (mut again, mut shelf) = (official.try_clone().map_err(unreadable)?, Shelf::new(scratch));
    let (mut ours, mut theirs) = (Keys::default(), Keys::default());
    let (mut copied, mut otherwise) = CsvRecords::copied(copy, layout, encoding).map_err(|error| error.to_string())?;
    columns.are_there = (0..layout.columns.len()).map(|column| copied.has(column)).collect();
    let mut records = CsvRecords::official(official, layout, encoding);
    let mut longest = 0;
    while let Some((_, record)) = records.next()? {
        longest = longest.max(record.as_slice().len() + record.len());
        ours.add(&columns, &record);
    }
    copied.allow(longest);
    while let Some((line, record)) = copied.next()? {
        theirs.add(&columns, &record);
        columns.learn(&record);
        shelf.put(line, &record).map_err(unreadable)?;
    }
    let mut pairs = Pairs::of(&ours.contents, &theirs.contents);
    pairs.join_by(&ours.entries, &theirs.entries);
    // A line that names an entry of its own is another line, not a changed one.
    pairs.join_neighbours(|copy| columns.entry.is_some() && theirs.entries[copy].is_some());
    let in_order = pairs.in_order();
    let moved = pairs.copies.iter().filter(|copy| **copy != NONE).count() - in_order.len();
    if moved > 0 {
        otherwise.push(format!("its lines are in another order ({moved} are elsewhere)"));
    }
    again.rewind().map_err(unreadable)?;
    let mut records = CsvRecords::official(again, layout, encoding);
    let mut in_order = in_order.into_iter().peekable();
    let mut shown = 0;
    let mut add_until = |until: usize, shelf: &mut Shelf, each: &mut dyn FnMut(Difference)| {
        for copy in (shown..until).filter(|copy| !pairs.is_taken(*copy)) {
            each(Difference::added(&shelf.get(copy).map_err(unreadable)?));
        }
        shown = shown.max(until);
        Ok::<_, String>(())
    };
    for (at, copy) in pairs.copies.iter().enumerate() {
        let Some(line) = records.next()? else { return Err("the official file changed while it was read".to_owned()) };
        if let Some((_, copy)) = in_order.next_if(|(place, _)| *place == at) {
            add_until(copy, &mut shelf, &mut each)?;
        }
        match *copy {
            NONE => each(Difference::missing(&line)),
            copy => columns.compare(&line, &shelf.get(copy as usize).map_err(unreadable)?, &mut each),
        }
    }
    add_until(theirs.contents.len(), &mut shelf, &mut each)?;
    Ok(otherwise)
}

fn unreadable(error: std::io::Error) -> String {
    format!("a temporary file cannot be used: {error}")
}

pub(super) type NumberedRecord = (u64, StringRecord);

/// What the lines of a file are known by.
#[derive(Default)]
struct Keys {
    /// Their cells, as far as a spreadsheet leaves them.
    contents: Vec<u64>,
    /// The entry that they name, where the layout shows it; else the voucher.
    entries: Vec<Option<u64>>,
}

impl Keys {
    fn add(&mut self, columns: &Columns, record: &StringRecord) {
        let mut content = DefaultHasher::new();
        for (column, cell) in record.iter().enumerate() {
            let holds = columns.holds.get(column).copied().unwrap_or(Holds::Other);
            let is_there = columns.are_there.get(column).is_none_or(|is_there| *is_there);
            if let Some(essence) = essence(holds, cell).filter(|_| is_there) {
                (column, essence).hash(&mut content);
            }
        }
        self.contents.push(content.finish());
        let cell = |column: Option<usize>| record.get(column?).filter(|cell| !cell.is_empty());
        let entry = match columns.entry {
            Some(_) => cell(columns.entry).filter(|cell| Id::from_hex(cell).is_some()),
            None => cell(columns.voucher),
        };
        self.entries.push(entry.map(|entry| content_hash(essence(Holds::Other, entry))));
    }
}

struct Columns {
    holds: Vec<Holds>,
    headers: Vec<String>,
    entry: Option<usize>,
    voucher: Option<usize>,
    /// In which order the copy writes day and month, by column, as far as its dates show it.
    orders: Vec<Option<Order>>,
    /// Which marks the copy uses for decimals.
    marks: Marks,
    /// Which columns the copy has.
    are_there: Vec<bool>,
}

impl Columns {
    fn cells<'a>(ours: &'a StringRecord, theirs: &'a StringRecord) -> impl Iterator<Item = (usize, &'a str, &'a str)> {
        let cell = |line: &'a StringRecord, column| line.get(column).unwrap_or_default();
        (0..ours.len().max(theirs.len())).map(move |column| (column, cell(ours, column), cell(theirs, column)))
    }

    /// Reads what a line of the copy shows of its marks.
    fn learn(&mut self, record: &StringRecord) {
        for (holds, cell) in self.holds.iter().zip(record) {
            if *holds == Holds::Amount {
                self.marks.learn(cell);
            }
        }
    }

    fn compare(&mut self, ours: &NumberedRecord, theirs: &NumberedRecord, each: &mut impl FnMut(Difference)) {
        for (column, official, copy) in Columns::cells(&ours.1, &theirs.1) {
            let holds = self.holds.get(column).copied().unwrap_or(Holds::Other);
            let order = self.orders.get(column).copied().flatten();
            let Some((change, same_value)) = change(holds, order, self.marks, official, copy) else { continue };
            if let (Holds::Date(format), None, Some(known)) = (holds, order, self.orders.get_mut(column)) {
                *known = order_of(format, order, official, copy);
            }
            let header = self.headers.get(column).filter(|header| !header.is_empty()).cloned();
            each(Difference {
                line: Some(ours.0),
                copy_line: Some(theirs.0),
                column: Some(header.unwrap_or_else(|| (column + 1).to_string())),
                change,
                same_value,
                official: Some(cut(official, CELL_CHARS)),
                copy: Some(cut(copy, CELL_CHARS)),
            });
        }
    }
}

impl Difference {
    fn missing((line, record): &NumberedRecord) -> Difference {
        let official = Some(whole(record));
        Difference { line: Some(*line), official, ..Difference::of_line(Change::MissingLine) }
    }

    fn added((line, record): &NumberedRecord) -> Difference {
        let copy = Some(whole(record));
        Difference { copy_line: Some(*line), copy, ..Difference::of_line(Change::AddedLine) }
    }

    fn of_line(change: Change) -> Difference {
        let (line, copy_line, column, official, copy) = (None, None, None, None, None);
        Difference { line, copy_line, column, change, same_value: false, official, copy }
    }
}

fn whole(record: &StringRecord) -> String {
    let cells: Vec<String> = record.iter().map(|cell| cut(cell, CELL_CHARS)).collect();
    cut(&cells.join(" | "), CELL_CHARS)
}
