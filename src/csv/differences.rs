//! A copy of a file against the official one, line by line.
//!
//! Risk: a line that was removed, after which every other one seems to have changed. So when two lines do not match, the nearest lines of both
//! files are looked through for their partners. Only those are in memory.

use std::collections::VecDeque;
use std::fs::File;

use csv::StringRecord;
use schemars::JsonSchema;
use serde::Serialize;

use super::SheetOptions;
use super::copy::Records;
use super::respelt::{Change, Holds, change};

/// Lines that are looked through for a partner.
const WINDOW: usize = 64;

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

/// Hands out each difference, in the order of the files, and returns in what the copy is written otherwise, as clauses for a person.
///
/// # Errors
/// For a person: which file cannot be read.
pub fn differences(
    official: File,
    copy: File,
    options: &SheetOptions,
    mut each: impl FnMut(Difference),
) -> Result<Vec<String>, String> {
    let layout = &options.layout;
    let encoding = options.encoding.unwrap_or(layout.encoding);
    let (copied, otherwise) = Records::copied(copy, layout, encoding).map_err(|error| error.to_string())?;
    let mut official = Window::new(Records::official(official, layout, encoding));
    let mut copy = Window::new(copied);
    let columns = Columns {
        holds: layout.columns.iter().map(|column| Holds::of(&column.value)).collect(),
        headers: layout.columns.iter().map(|column| column.header.clone()).collect(),
    };
    loop {
        official.fill(1)?;
        copy.fill(1)?;
        let (Some(ours), Some(theirs)) = (official.lines.front(), copy.lines.front()) else { break };
        if ours.1 == theirs.1 || columns.mean_the_same(&ours.1, &theirs.1) {
            columns.compare(ours, theirs, &mut each);
            official.lines.pop_front();
            copy.lines.pop_front();
            continue;
        }
        official.fill(WINDOW)?;
        copy.fill(WINDOW)?;
        let added = copy.distance(|line| columns.mean_the_same(&official.lines[0].1, line));
        let missing = official.distance(|line| columns.mean_the_same(line, &copy.lines[0].1));
        match (missing, added) {
            (Some(lines), other) if other.is_none_or(|other| lines <= other) => {
                official.lines.drain(..lines).for_each(|line| each(Difference::missing(&line)));
            }
            (_, Some(lines)) => copy.lines.drain(..lines).for_each(|line| each(Difference::added(&line))),
            _ => {
                columns.compare(&official.lines[0], &copy.lines[0], &mut each);
                official.lines.pop_front();
                copy.lines.pop_front();
            }
        }
    }
    while let Some(line) = official.next()? {
        each(Difference::missing(&line));
    }
    while let Some(line) = copy.next()? {
        each(Difference::added(&line));
    }
    Ok(otherwise)
}

type Line = (u64, StringRecord);

/// The next lines of a file.
struct Window {
    records: Records,
    lines: VecDeque<Line>,
}

impl Window {
    fn new(records: Records) -> Window {
        Window { records, lines: VecDeque::new() }
    }

    fn fill(&mut self, lines: usize) -> Result<(), String> {
        while self.lines.len() < lines {
            let Some(line) = self.records.next()? else { break };
            self.lines.push_back(line);
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Line>, String> {
        self.fill(1)?;
        Ok(self.lines.pop_front())
    }

    fn distance(&self, is_partner: impl Fn(&StringRecord) -> bool) -> Option<usize> {
        self.lines.iter().position(|line| is_partner(&line.1))
    }
}

struct Columns {
    holds: Vec<Holds>,
    headers: Vec<String>,
}

impl Columns {
    fn cells<'a>(
        &'a self,
        ours: &'a StringRecord,
        theirs: &'a StringRecord,
    ) -> impl Iterator<Item = (usize, &'a str, &'a str)> {
        let cell = |line: &'a StringRecord, column| line.get(column).unwrap_or_default();
        (0..ours.len().max(theirs.len())).map(move |column| (column, cell(ours, column), cell(theirs, column)))
    }

    fn change(&self, column: usize, official: &str, copy: &str) -> Option<(Change, bool)> {
        change(self.holds.get(column).copied().unwrap_or(Holds::Other), official, copy)
    }

    /// Whether a line is the other one, as far as a spreadsheet may have changed it.
    fn mean_the_same(&self, ours: &StringRecord, theirs: &StringRecord) -> bool {
        self.cells(ours, theirs).all(|(column, official, copy)| match self.change(column, official, copy) {
            None | Some((_, true)) | Some((Change::LeadingZeros | Change::Digits, false)) => true,
            Some((Change::Date, false)) => self.holds.get(column) != Some(&Holds::Date),
            Some((Change::Amount | Change::Text | Change::MissingLine | Change::AddedLine, false)) => false,
        })
    }

    fn compare(&self, ours: &Line, theirs: &Line, each: &mut impl FnMut(Difference)) {
        for (column, official, copy) in self.cells(&ours.1, &theirs.1) {
            let Some((change, same_value)) = self.change(column, official, copy) else { continue };
            let header = self.headers.get(column).filter(|header| !header.is_empty()).cloned();
            each(Difference {
                line: Some(ours.0),
                copy_line: Some(theirs.0),
                column: Some(header.unwrap_or_else(|| (column + 1).to_string())),
                change,
                same_value,
                official: Some(official.to_owned()),
                copy: Some(copy.to_owned()),
            });
        }
    }
}

impl Difference {
    fn missing((line, record): &Line) -> Difference {
        let official = Some(whole(record));
        let (copy_line, column, copy) = (None, None, None);
        Difference {
            line: Some(*line),
            copy_line,
            column,
            change: Change::MissingLine,
            same_value: false,
            official,
            copy,
        }
    }

    fn added((line, record): &Line) -> Difference {
        let copy = Some(whole(record));
        let (column, official) = (None, None);
        let change = Change::AddedLine;
        Difference { line: None, copy_line: Some(*line), column, change, same_value: false, official, copy }
    }
}

fn whole(record: &StringRecord) -> String {
    record.iter().collect::<Vec<_>>().join(" | ")
}
