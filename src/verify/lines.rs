//! Which entry is on which line of a file that does not name its entries.
//!
//! While all marked rows are as the commit left them, their order is that of the file. The application may take one back, point it at another
//! entry or remove it; `exportbatchentries` then still knows which entries the file holds. Risk: an entry that is compared with the line of
//! another one, so that a correct line is reversed in the books. So the rows that are left keep their order, each of the other lines gets
//! the entry that fits its cells best, and a line that nothing decides is named and left to a person.
//!
//! Cells are compared by 16 bits of their checksums: a few tens of bytes an entry.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use futures_util::TryStreamExt;

use super::Verification;
use super::compare::{push, unwritable};
use crate::batch::{Batch, FileFacts};
use crate::csv::{FileRows, Sheet, SheetOptions};
use crate::entry::{EntryFields, FieldList};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::id::Id;
use crate::layout::{Layout, Value};
use crate::spool::Spool;
use crate::store::{MarkedRows, Snapshot, of_entries};

/// Lines times possible places that are looked at; beyond it, only equal lines are matched.
const STEPS_MAX: usize = 4_000_000;
/// Lines that are matched by likeness.
const ALIKE_MAX: usize = 500;

/// The entries of a file.
pub(super) struct Places {
    /// In the order of the file; [`Id::ABSENT`] where it is not known.
    pub(super) entries: Vec<Id>,
    /// Entries whose place is not known.
    pub(super) unplaced: Vec<Id>,
    /// Whether the order is that of the file.
    pub(super) in_order: bool,
}

impl Places {
    /// Of entries whose order is known.
    fn of(entries: Vec<Id>) -> Places {
        Places { entries, unplaced: Vec::new(), in_order: true }
    }

    /// All entries that are known to be in the file.
    pub(super) fn known(&self) -> Vec<Id> {
        let placed = self.entries.iter().filter(|entry| **entry != Id::ABSENT);
        placed.chain(&self.unplaced).copied().collect()
    }

    /// What a person is told when lines could not be matched.
    pub(super) fn open(&self, layout: &Layout) -> Option<String> {
        let rows = layout.rows_per_entry();
        let unknown = self.entries.iter().zip(0_u64..).filter(|(entry, _)| **entry == Id::ABSENT);
        let lines: Vec<String> =
            unknown.map(|(_, place)| (place * rows + 1 + u64::from(layout.header)).to_string()).collect();
        if lines.is_empty() || !self.in_order {
            return None;
        }
        let some = |texts: Vec<String>| match texts.len() {
            0 => "none that is known".to_owned(),
            1..=10 => texts.join(", "),
            more => format!("{} and {} more", texts[..10].join(", "), more - 10),
        };
        let entries = self.unplaced.iter().map(Id::to_string).collect();
        Some(format!(
            "the file names no entries and rows of the queue were changed, so these lines cannot be matched to entries: {}; entries that \
             belong there: {}; compare them by hand",
            some(lines),
            some(entries)
        ))
    }
}

impl Verification<'_> {
    /// The entries of a file: those that it names, else by the marked rows, and where these were changed by what the entries give now.
    pub(super) async fn places(
        &self,
        snapshot: &Snapshot,
        batch: &Batch,
        file: &FileFacts,
        marked: &MarkedRows,
        content: Option<&Spool>,
        named: Option<Vec<Id>>,
    ) -> Result<Places, Failure> {
        if let Some(named) = named {
            return Ok(Places::of(named));
        }
        let number = batch.number.unwrap_or_default();
        let rows: Vec<Id> = marked.rows.iter().map(|row| row.key.entry).collect();
        let strangers = snapshot.misplaced(number, &rows).await?.unwrap_or_default();
        let in_order = marked.rows.iter().all(|row| row.in_order);
        if in_order && rows.len() as u64 == file.entries && strangers.is_empty() {
            return Ok(Places::of(rows));
        }
        let recorded = snapshot.recorded(number).await?.unwrap_or_default();
        let is_complete = recorded.len() as u64 == file.entries;
        let belongs = |entry: &Id| !is_complete || recorded.binary_search(entry).is_ok();
        let mut seen: BTreeMap<Id, u32> = BTreeMap::new();
        for entry in &rows {
            *seen.entry(*entry).or_default() += 1;
        }
        let kept = marked.rows.iter().filter(|row| row.in_order && seen.get(&row.key.entry) == Some(&1));
        let mut kept: Vec<Id> = kept.map(|row| row.key.entry).filter(belongs).collect();
        let sorted = |mut ids: Vec<Id>| {
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let all = sorted(recorded.iter().chain(&rows).copied().filter(belongs).collect());
        let Some(content) = content else {
            return Ok(Places { entries: all, unplaced: Vec::new(), in_order: false });
        };
        let lines = file.entries as usize;
        if all.len() > lines || (lines + 1 - kept.len()) * lines > STEPS_MAX {
            kept.clear();
        }
        let in_place = sorted(kept.clone());
        let others: Vec<Id> = all.into_iter().filter(|entry| in_place.binary_search(entry).is_err()).collect();
        let options = self.options(batch)?;
        let file = self.prints_of_file(content, &options)?;
        let kept_now = self.prints(snapshot, &options, &kept).await?;
        let others_now = self.prints(snapshot, &options, &others).await?;
        let (entries, unplaced) = matched(&file, (&kept, &kept_now), (&others, &others_now));
        Ok(Places { entries, unplaced, in_order: true })
    }

    fn prints_of_file(&self, content: &Spool, options: &SheetOptions) -> Result<Prints, Failure> {
        let open = content.open().map_err(|error| self.spool_failed(&error))?;
        let (mut rows, mut prints) = (FileRows::new(open, &options.layout), Prints::new(&options.layout));
        while rows.advance().map_err(|reason| Failure::new(Exit::Unexpected, reason))? {
            prints.add(rows.rows().iter().map(|row| |column| row.get(column)));
        }
        Ok(prints)
    }

    /// Of what these entries would be in a file now.
    async fn prints(&self, snapshot: &Snapshot, options: &SheetOptions, entries: &[Id]) -> Result<Prints, Failure> {
        let list = FieldList::of(&options.layout);
        let mut sheet = Sheet::new(io::sink(), options, &list).map_err(unwritable)?;
        let mut prints = Prints::new(&options.layout);
        let mut chunks = std::pin::pin!(snapshot.join(of_entries(entries), &list));
        while let Some((rows, chunk)) = chunks.try_next().await? {
            let mut fields = EntryFields::default();
            for entry in rows.iter().map(|row| row.key.entry) {
                if chunk.read(entry, &list, &mut fields)? {
                    push(&mut sheet, Some(&mut fields)).map_err(unwritable)?;
                    prints.add(sheet.last_rows().map(|row| move |column| row.cell(column)));
                } else {
                    prints.add(std::iter::empty::<fn(usize) -> Option<&'static [u8]>>());
                }
            }
        }
        Ok(prints)
    }
}

/// The cells of entries, without those that count places.
struct Prints {
    columns: Vec<usize>,
    /// Cells of an entry.
    width: usize,
    cells: Vec<u16>,
}

impl Prints {
    fn new(layout: &Layout) -> Prints {
        let counts = |value: &Value| {
            matches!(value, Value::Line | Value::Position | Value::Voucher | Value::BatchNumber | Value::EntryId)
        };
        let columns = layout.columns.iter().enumerate().filter(|(_, column)| !counts(&column.value));
        let columns: Vec<usize> = columns.map(|(number, _)| number).collect();
        let width = columns.len() * layout.rows_per_entry() as usize;
        Prints { columns, width, cells: Vec::new() }
    }

    /// Adds the rows of an entry; none of one that is gone.
    fn add<'a, C: Fn(usize) -> Option<&'a [u8]>>(&mut self, rows: impl Iterator<Item = C>) {
        let end = self.cells.len() + self.width;
        for row in rows {
            for column in &self.columns {
                self.cells.push(row(*column).map_or(0, print));
            }
        }
        self.cells.resize(end, 0);
    }

    fn of(&self, place: usize) -> &[u16] {
        &self.cells[place * self.width..(place + 1) * self.width]
    }

    fn len(&self) -> usize {
        self.cells.len() / self.width.max(1)
    }
}

/// 0 is what no cell has.
fn print(cell: &[u8]) -> u16 {
    let mut hasher = DefaultHasher::new();
    cell.hash(&mut hasher);
    (hasher.finish() as u16).max(1)
}

/// How many cells differ; every cell of an entry that is gone.
fn distance(one: &[u16], other: &[u16]) -> u32 {
    one.iter().zip(other).filter(|(one, other)| one != other || **one == 0).count() as u32
}

/// The entry of each line, and the entries without one. `kept` are in the order of the file.
fn matched(file: &Prints, kept: (&[Id], &Prints), others: (&[Id], &Prints)) -> (Vec<Id>, Vec<Id>) {
    let mut entries = vec![Id::ABSENT; file.len()];
    let open = match kept.0.len() {
        0 => (0..file.len()).collect(),
        _ => open_lines(file, kept.1, others.1),
    };
    let mut is_open = open.iter().peekable();
    let mut next = kept.0.iter();
    for (line, entry) in entries.iter_mut().enumerate() {
        if is_open.next_if(|open| **open == line).is_none() {
            *entry = next.next().copied().unwrap_or(Id::ABSENT);
        }
    }
    let mut left: Vec<usize> = (0..others.0.len()).collect();
    let mut open = open;
    // Equal lines first: which of several equal ones does not matter.
    let mut by_print: BTreeMap<&[u16], Vec<usize>> = BTreeMap::new();
    for other in left.iter().rev() {
        by_print.entry(others.1.of(*other)).or_default().push(*other);
    }
    open.retain(|line| match by_print.get_mut(file.of(*line)).and_then(Vec::pop) {
        Some(other) => {
            entries[*line] = others.0[other];
            false
        }
        None => true,
    });
    left.retain(|other| by_print.get(others.1.of(*other)).is_some_and(|same| same.contains(other)));
    let is_complete = open.len() == left.len();
    while let Some((line, other)) = most_alike(file, &open, others.1, &left, is_complete) {
        entries[open.remove(line)] = others.0[left.remove(other)];
    }
    (entries, left.into_iter().map(|other| others.0[other]).collect())
}

/// The lines that belong to none of the entries that are kept: those without which the others, in their order, fit best.
fn open_lines(file: &Prints, kept: &Prints, others: &Prints) -> Vec<usize> {
    let (lines, open) = (file.len(), file.len().saturating_sub(kept.len()));
    let likely = |line: usize| (0..others.len()).map(|other| distance(file.of(line), others.of(other))).min();
    let mut costs = vec![u32::MAX; open + 1];
    costs[0] = 0;
    // Whether a line is open, for each number of open lines up to it.
    let mut is_open = vec![false; lines * (open + 1)];
    for line in 0..lines {
        let alone = if open == 0 { 0 } else { likely(line).unwrap_or(0) };
        for before in (0..=open.min(line + 1)).rev() {
            let keeps = line.checked_sub(before).filter(|place| *place < kept.len() && costs[before] < u32::MAX);
            let keeps = keeps.map_or(u32::MAX, |place| costs[before] + distance(file.of(line), kept.of(place)));
            let opens = before.checked_sub(1).map_or(u32::MAX, |less| costs[less].saturating_add(alone));
            is_open[line * (open + 1) + before] = opens < keeps;
            costs[before] = keeps.min(opens);
        }
    }
    let mut found = Vec::with_capacity(open);
    let mut number = open;
    for line in (0..lines).rev() {
        if is_open[line * (open + 1) + number] {
            found.push(line);
            number -= 1;
        }
    }
    found.reverse();
    found
}

/// The line and the entry that certainly belong together: the last ones, or two that are more alike than either is to any other.
fn most_alike(
    file: &Prints,
    open: &[usize],
    others: &Prints,
    left: &[usize],
    is_complete: bool,
) -> Option<(usize, usize)> {
    match (open, left) {
        ([], _) | (_, []) => return None,
        ([_], [_]) if is_complete => return Some((0, 0)),
        _ if open.len() > ALIKE_MAX || left.len() > ALIKE_MAX => return None,
        _ => {}
    }
    let far = |line: usize, other: usize| distance(file.of(open[line]), others.of(left[other]));
    let pairs = (0..open.len()).flat_map(|line| (0..left.len()).map(move |other| (line, other)));
    let (line, other) = pairs.min_by_key(|(line, other)| far(*line, *other))?;
    let least = far(line, other);
    let is_certain = (0..open.len()).all(|another| another == line || far(another, other) > least)
        && (0..left.len()).all(|another| another == other || far(line, another) > least);
    (is_certain && least as usize * 2 <= file.width).then_some((line, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each word is an entry, each letter a cell; `-` is an entry that is gone.
    fn prints(words: &str) -> Prints {
        let mut prints = Prints { columns: Vec::new(), width: 4, cells: Vec::new() };
        for word in words.split_whitespace() {
            let cells = word.bytes().map(|cell| if cell == b'-' { 0 } else { u16::from(cell) });
            prints.cells.extend(cells);
        }
        prints
    }

    fn id(number: usize) -> Id {
        Id([number as u8 + 1; 12])
    }

    /// The entry of each line: its place among the kept ones, then among the others, from 0.
    fn places(file: &str, kept: &str, others: &str) -> Vec<Option<usize>> {
        let (file, kept, others) = (prints(file), prints(kept), prints(others));
        let ids: Vec<Id> = (0..kept.len() + others.len()).map(id).collect();
        let (kept_ids, other_ids) = ids.split_at(kept.len());
        let (entries, unplaced) = matched(&file, (kept_ids, &kept), (other_ids, &others));
        let found: Vec<Option<usize>> =
            entries.iter().map(|entry| ids.iter().position(|known| known == entry)).collect();
        let placed = found.iter().flatten().count();
        assert_eq!(placed + unplaced.len(), ids.len());
        found
    }

    #[test]
    fn the_entry_without_a_row_gets_the_line_that_is_left() {
        let some = |places: &[usize]| places.iter().copied().map(Some).collect::<Vec<_>>();
        // Nothing was edited; it was edited; it is gone; its neighbour was edited too.
        assert_eq!(places("aaaa bbbb cccc", "aaaa cccc", "bbbb"), some(&[0, 2, 1]));
        assert_eq!(places("aaaa bbbb cccc", "aaaa cccc", "bbbx"), some(&[0, 2, 1]));
        assert_eq!(places("aaaa bbbb cccc", "aaaa cccc", "----"), some(&[0, 2, 1]));
        assert_eq!(places("aaaa bbbb cccc", "aaaa cccx", "----"), some(&[0, 2, 1]));
        assert_eq!(places("aaaa bbbb cccc dddd", "aaax dddd", "cccx bbbb"), some(&[0, 3, 2, 1]));
        // No row is left, and most lines are what they were.
        assert_eq!(places("aaaa bbbb aaaa cccc", "", "cccx aaaa aaaa bbbb"), some(&[1, 3, 2, 0]));
    }

    #[test]
    fn what_nothing_decides_is_left_open() {
        assert_eq!(places("aaaa bbbb cccc", "cccc", "---- ----"), [None, None, Some(0)]);
        assert_eq!(places("aaaa aaab cccc", "cccc", "aaax aaay"), [None, None, Some(0)]);
        assert_eq!(places("aaaa bbbb cccc", "aaaa cccc", ""), [Some(0), None, Some(1)]);
    }
}
