//! An exported file against what its entries give now: each entry is written again, in its place, and its cells are compared.
//!
//! An edit that does not touch the file does not matter, and one that does is found whatever the application does with `updatedAt`. An
//! entry that can no longer be written keeps its place by a stand-in, because running numbers count places; so a line, a position, a
//! generated voucher and the number of the batch are what they were, and never count as changed.
//!
//! The file may be gone. Then the entries are still written again: the checksum shows whether they give the committed
//! file.

use std::fs::File;
use std::io;

use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use super::Verification;
use crate::batch::Batch;
use crate::csv::{FileRows, LastRow, Sheet, SheetOptions};
use crate::entry::{EntryFields, FieldList, NO_SUCH_ENTRY};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::id::Id;
use crate::layout::{Encoding, Layout};
use crate::spool::{Digesting, Spool};
use crate::store::{Snapshot, of_entries};

/// Bytes of a cell that are shown, so that not even an entry of 16 MB makes a finding of that size. A spreadsheet's cell takes as many
/// characters.
const SHOWN_BYTES: usize = 32_767;
/// Bytes that are shown before the place where a longer cell differs.
const BEFORE_BYTES: usize = 120;

/// An entry that differs from its line in the file.
pub(super) struct ChangedEntry {
    pub(super) entry: Id,
    /// The line of its first row; `None` without a file.
    pub(super) line: Option<u64>,
    pub(super) what: What,
    /// The cells that would be other ones, in the order of the file; empty without a file, and for what is cancelled or deleted.
    pub(super) cells: Vec<CellChange>,
    /// Its lines, where no cell is named.
    pub(super) whole: Option<String>,
}

/// How an entry changed after its export.
pub(super) enum What {
    /// It is gone.
    Deleted,
    /// It is no longer approved: its status, as part of a sentence.
    Cancelled(String),
    /// It would be another line, or none at all, for a reason.
    Edited(Option<String>),
}

impl ChangedEntry {
    /// Why the line no longer stands, beside the cells.
    pub(super) fn reason(&self) -> Option<String> {
        match &self.what {
            What::Deleted => Some(NO_SUCH_ENTRY.to_owned()),
            What::Cancelled(status) => Some(format!("its {status}, no longer approved")),
            What::Edited(reason) => reason.clone(),
        }
    }
}

/// A cell that would be another one.
pub(super) struct CellChange {
    pub(super) line: u64,
    /// The header of its column, else the number of the column.
    pub(super) column: String,
    /// What the file says.
    pub(super) exported: String,
    /// What it would say; `None` when the entry has nothing that can be written there.
    pub(super) present: Option<String>,
}

/// How a comparison ended.
pub(super) struct Regenerated {
    /// Checksum of the file that the entries give now.
    pub(super) sha256: String,
    /// Entries that changed.
    pub(super) changes: u64,
}

impl Verification<'_> {
    /// Writes these entries again, in the order of the file, compares them with it where it is there, and hands out what changed. Lines of
    /// [`Id::ABSENT`] are passed over.
    pub(super) async fn compare(
        &self,
        snapshot: &Snapshot,
        batch: &Batch,
        entries: &[Id],
        content: Option<&Spool>,
        mut each: impl FnMut(ChangedEntry) -> Result<()>,
    ) -> Result<Regenerated> {
        let options = self.options(batch)?;
        let list = FieldList::of(&options.layout);
        let mut lines = content.map(|content| Lines::open(self, content, &options)).transpose()?;
        let mut again = Sheet::new(Digesting::new(io::sink()), &options, &list).map_err(unwritable)?;
        let mut changes = 0;
        let mut chunks = std::pin::pin!(snapshot.join(of_entries(entries), &list));
        while let Some((rows, chunk)) = chunks.try_next().await? {
            let mut chunk = Some(chunk);
            for (at, entry) in rows.iter().map(|row| row.key.entry).enumerate() {
                if entry == Id::ABSENT {
                    again.push_stand_in().map_err(unwritable)?;
                    lines.as_mut().map_or(Ok(()), Lines::skip)?;
                    continue;
                }
                let what = {
                    let mut fields = EntryFields::default();
                    let is_there = chunk.as_ref().map_or(Ok(false), |chunk| chunk.read(entry, &list, &mut fields))?;
                    push(&mut again, is_there.then_some(&mut fields)).map_err(unwritable)?
                };
                // What the last one needs is in its rows. Beside the line of a large entry there is no room for its third copy.
                if at + 1 == rows.len() {
                    chunk = None;
                }
                let change = match &mut lines {
                    Some(lines) => lines.next(entry, what, again.last_rows())?,
                    None => what.map(|what| ChangedEntry { entry, line: None, what, cells: Vec::new(), whole: None }),
                };
                again.forget_large();
                lines.iter_mut().for_each(|lines| lines.rows.forget_large());
                if let Some(change) = change {
                    changes += 1;
                    each(change)?;
                }
            }
        }
        let (again, _) = again.finish().map_err(unwritable)?;
        Ok(Regenerated { sha256: again.finish().1.sha256, changes })
    }
}

/// Writes an entry, or a stand-in; what is wrong with it, as far as it shows without the file.
pub(super) fn push<W: io::Write>(
    sheet: &mut Sheet<W>,
    entry: Option<&mut EntryFields<'_>>,
) -> io::Result<Option<What>> {
    let Some(fields) = entry else {
        sheet.push_stand_in()?;
        return Ok(Some(What::Deleted));
    };
    let cancelled = fields.cancellation();
    fields.approve();
    let refused = sheet.push(fields)?.err();
    if refused.is_some() {
        sheet.push_stand_in()?;
    }
    // The line of a cancelled entry may be the same; it only no longer stands.
    Ok(cancelled.map(What::Cancelled).or_else(|| refused.map(|reason| What::Edited(Some(reason)))))
}

/// The official file beside what is written again.
struct Lines<'a> {
    rows: FileRows<File>,
    layout: &'a Layout,
    encoding: Encoding,
}

impl<'a> Lines<'a> {
    fn open(verification: &Verification<'_>, content: &Spool, options: &'a SheetOptions) -> Result<Lines<'a>> {
        let file = content.open().map_err(|error| verification.spool_failed(&error))?;
        let layout = &options.layout;
        Ok(Lines { rows: FileRows::new(file, layout), layout, encoding: options.encoding.unwrap_or(layout.encoding) })
    }

    /// Goes to the next entry of the file.
    fn skip(&mut self) -> Result<()> {
        let unexpected = |reason: String| Failure::new(Exit::Unexpected, reason);
        if !self.rows.advance().map_err(unexpected)? {
            return Err(unexpected("the file has fewer entries than were exported".to_owned()));
        }
        Ok(())
    }

    /// Compares the next entry of the file with the rows that it gives now.
    fn next<'r>(
        &mut self,
        entry: Id,
        what: Option<What>,
        now: impl Iterator<Item = LastRow<'r>>,
    ) -> Result<Option<ChangedEntry>> {
        self.skip()?;
        let line = Some(self.rows.line());
        let cells = match what {
            Some(What::Deleted | What::Cancelled(_)) => Vec::new(),
            Some(What::Edited(_)) | None => self.differing(now),
        };
        let what = what.or_else(|| (!cells.is_empty()).then_some(What::Edited(None)));
        Ok(what.map(|what| {
            let whole = cells.is_empty().then(|| self.whole());
            ChangedEntry { entry, line, what, cells, whole }
        }))
    }

    /// The lines of the entry as text, for a person who looks for them.
    fn whole(&self) -> String {
        let rows = self.rows.rows().iter().map(|row| {
            let filled = row.iter().filter(|cell| !cell.is_empty());
            filled.map(|cell| shown(self.encoding, cell, 0)).collect::<Vec<_>>().join(" | ")
        });
        rows.collect::<Vec<_>>().join(" / ")
    }

    fn differing<'r>(&self, now: impl Iterator<Item = LastRow<'r>>) -> Vec<CellChange> {
        let mut cells = Vec::new();
        for ((row, now), line) in self.rows.rows().iter().zip(now).zip(self.rows.line()..) {
            for (number, exported) in row.iter().enumerate() {
                let present = now.cell(number);
                if present != Some(exported) {
                    let column = self.name(number);
                    let common =
                        exported.iter().zip(present.unwrap_or_default()).take_while(|(was, is)| was == is).count();
                    let exported = shown(self.encoding, exported, common);
                    let present = present.map(|cell| shown(self.encoding, cell, common));
                    cells.push(CellChange { line, column, exported, present });
                }
            }
        }
        cells
    }

    fn name(&self, column: usize) -> String {
        match self.layout.columns.get(column) {
            Some(column) if !column.header.is_empty() => column.header.clone(),
            _ => format!("column {}", column + 1),
        }
    }
}

/// A cell as text: of a longer one a part, from a little before the place where it differs, and by what the whole is known.
fn shown(encoding: Encoding, cell: &[u8], differs_at: usize) -> String {
    if cell.len() <= SHOWN_BYTES {
        return encoding.decode(cell);
    }
    let begin = encoding.boundary(cell, differs_at.saturating_sub(BEFORE_BYTES));
    let end = encoding.boundary(cell, begin + SHOWN_BYTES);
    let [before, after] = [begin > 0, end < cell.len()].map(|is_cut| if is_cut { "…" } else { "" });
    let sha256 = hex::encode(Sha256::digest(cell));
    let part = encoding.decode(&cell[begin..end]);
    format!("{before}{part}{after} ({} bytes, sha256 {sha256})", cell.len())
}

pub(super) fn unwritable(error: io::Error) -> Failure {
    Failure::new(Exit::Unexpected, format!("the file cannot be made again: {error}"))
}
