//! Which entry is on which line of a file.
//!
//! The file names its entries, or `exportbatchentries` records the place of each. Batches of earlier versions have neither where their layout
//! shows no ids: while all their rows are as the commit left them, the order of the rows is that of the file. Risk: an entry that is compared
//! with the line of another one, so that a correct line is reversed in the books. So a line that nothing decides is named and left to a
//! person.

use super::Verification;
use crate::batch::{Batch, FileFacts};
use crate::failure::{Explanation, Result};
use crate::id::Id;
use crate::layout::Layout;
use crate::store::{MarkedRows, Snapshot};
use crate::terminal::some;

/// The entries of a file.
pub(super) struct Places {
    /// In the order of the file, if that is known; [`Id::ABSENT`] where an entry is not known.
    pub(super) entries: Vec<Id>,
    /// Whether the order is that of the file.
    pub(super) in_order: bool,
}

impl Places {
    /// All entries that are known to be in the file.
    pub(super) fn known(&self) -> Vec<Id> {
        self.entries.iter().filter(|entry| **entry != Id::ABSENT).copied().collect()
    }

    /// How many entries of the file are not known, and what a person is told of their lines.
    pub(super) fn open(&self, layout: &Layout) -> Option<(u64, Explanation)> {
        let rows = layout.rows_per_entry();
        let unknown = self.entries.iter().zip(0_u64..).filter(|(entry, _)| **entry == Id::ABSENT);
        let lines: Vec<String> =
            unknown.map(|(_, place)| (place * rows + 1 + u64::from(layout.header)).to_string()).collect();
        if lines.is_empty() {
            return None;
        }
        let some = some(&lines, 10);
        let what = format!(
            "the layout has no column with the ids of the entries, and nothing else tells which entry is on which of these lines (the rows were \
             changed, the entries were exported again, or their records were removed from exportbatchentries: restore those): {some}"
        );
        Some((lines.len() as u64, Explanation::new(what, "compare them by hand")))
    }
}

impl Verification<'_> {
    /// The entries of a file: those that are known to be on its lines, else those of the marked rows while they are as the commit left them.
    pub(super) async fn places(
        &self,
        snapshot: &Snapshot,
        batch: &Batch,
        file: &FileFacts,
        marked: &mut MarkedRows,
        is_there: bool,
    ) -> Result<Places> {
        if let Some(entries) = marked.entries.take() {
            return Ok(Places { entries, in_order: true });
        }
        let rows: Vec<Id> = marked.rows.iter().map(|row| row.key.entry).collect();
        let (_, strangers) = snapshot.recorded(batch.number.unwrap_or_default(), &rows).await?;
        let in_order = marked.rows.iter().all(|row| row.in_order);
        if in_order && rows.len() as u64 == file.entries && strangers.is_empty() {
            return Ok(Places { entries: rows, in_order: true });
        }
        // Without the file there are no lines that could be taken for others.
        Ok(match is_there {
            true => Places { entries: vec![Id::ABSENT; file.entries as usize], in_order: true },
            false => Places { entries: rows, in_order: false },
        })
    }
}
