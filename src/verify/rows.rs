//! The marked rows, and the entries behind them: does what they say now still give the committed file?
//!
//! The file tells which entries it holds, where its layout shows their ids; else the marked rows do, in their order, as long as all of
//! them are there.

use super::compare::{Change, Compared, What};
use super::{Findings, Kind, Verification};
use crate::batch::{Batch, FileFacts};
use crate::csv::entry_ids;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::id::Id;
use crate::spool::Spool;
use crate::store::{ExportedIn, MarkedRows, Misplaced, Snapshot};

/// The next step for an entry that differs from its line in the accountant's books.
const REVERSAL: &str = "the exported line no longer stands: a reversal is needed in the accounting package";

impl Verification<'_> {
    pub(super) async fn check_rows(
        &self,
        snapshot: &Snapshot,
        batch: &Batch,
        file: &FileFacts,
        marked: MarkedRows,
        content: Option<&Spool>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        for (row, reason) in &marked.odd {
            findings.add(batch.id, Kind::Rows, format!("queue row {row}: {reason}"));
        }
        let rows: Vec<Id> = marked.rows.iter().map(|row| row.key.entry).collect();
        let in_file_order = marked.in_file_order;
        drop(marked);
        let all_there = rows.len() as u64 == file.entries;
        if !all_there {
            let message = format!("{} rows are marked, {} entries are in the file", rows.len(), file.entries);
            findings.add(batch.id, Kind::Rows, message);
        }
        if batch.marked as u64 != file.entries {
            let message = format!("the batch document counts {} marked rows, not {}", batch.marked, file.entries);
            findings.add(batch.id, Kind::Rows, message);
        }
        let ids = content.map(|content| self.ids_of(batch, content)).transpose()?.flatten();
        // Without ids, a row that is missing or was moved leaves open which line is whose.
        let lines = content.filter(|_| ids.is_some() || (all_there && in_file_order));
        let entries = match ids {
            Some(ids) => {
                check_ids(batch, rows, &ids, findings);
                ids
            }
            None => rows,
        };
        self.check_numbers(snapshot, batch, &entries, findings).await?;
        let compared = self.compare(snapshot, batch, &entries, lines, |change| {
            findings.add(batch.id, kind(&change), told(&change));
            Ok(())
        });
        let Compared { sha256, changes } = compared.await?;
        if sha256 == file.sha256 || changes > 0 || entries.len() as u64 != file.entries {
            return Ok(());
        }
        // This does not say "edited": with settings of another format, somebody would reverse correct lines in the
        // books.
        let message = match content {
            None => {
                "the entries as they are now do not give the committed file: either some were edited, or --format, --encoding or \
                 --contra-account is not that of the export"
            }
            Some(_) => "the same cells give other bytes: the settings (encoding) are not those of the export",
        };
        findings.add(batch.id, Kind::Content, message);
        Ok(())
    }

    /// Each entry of the file is written down under its number: that keeps it out of every other file.
    async fn check_numbers(
        &self,
        snapshot: &Snapshot,
        batch: &Batch,
        entries: &[Id],
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let number = batch.number.unwrap_or_default();
        for Misplaced { entry, under } in snapshot.misplaced(number, entries).await?.unwrap_or_default() {
            let (kind, message) = match under {
                Some(ExportedIn { number: other, batch: in_batch }) => {
                    let in_batch = in_batch.map(|batch| format!(" ({batch})")).unwrap_or_default();
                    let message = format!(
                        "entry {entry} is in this file, number {number}, and recorded as exported in number {other}{in_batch}: if it is in \
                         both files, reverse one of them in the accounting package"
                    );
                    (Kind::TwoFiles, message)
                }
                None => {
                    let message = format!(
                        "entry {entry} is in the file and not in exportbatchentries: `batch-export init` adds what is missing there"
                    );
                    (Kind::Unrecorded, message)
                }
            };
            findings.add(batch.id, kind, message);
        }
        Ok(())
    }

    /// The entries that the official file names, where its layout shows them.
    pub(super) fn ids_of(&self, batch: &Batch, content: &Spool) -> Result<Option<Vec<Id>>, Failure> {
        let file = content.open().map_err(|error| self.spool_failed(&error))?;
        entry_ids(file, &self.options(batch)?.layout).map_err(|reason| Failure::new(Exit::Unexpected, reason))
    }
}

/// Checks that the file and the rows name the same entries.
fn check_ids(batch: &Batch, mut rows: Vec<Id>, ids: &[Id], findings: &mut Findings) {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    rows.sort_unstable();
    for id in without(&ids, &rows) {
        findings.add(batch.id, Kind::Rows, format!("entry {id} is in the file and no row is marked for it"));
    }
    for id in without(&rows, &ids) {
        findings.add(batch.id, Kind::Rows, format!("entry {id} is marked as exported and not in the file"));
    }
}

/// The ids in `these` that are not in `others`; both are sorted.
fn without<'a>(these: &'a [Id], others: &'a [Id]) -> impl Iterator<Item = &'a Id> {
    these.iter().filter(|id| others.binary_search(id).is_err())
}

fn kind(change: &Change) -> Kind {
    match change.what {
        What::Deleted => Kind::Deleted,
        What::Cancelled(_) => Kind::Cancelled,
        What::Edited(_) => Kind::Edited,
    }
}

fn told(change: &Change) -> String {
    let line = change.line.filter(|_| change.cells.is_empty());
    let line = line.map(|line| format!(" (line {line})")).unwrap_or_default();
    let mut parts: Vec<String> = change.reason().into_iter().collect();
    parts.extend(change.cells.iter().map(|cell| {
        let now = cell.present.as_ref().map_or("nothing that can be exported".to_owned(), |now| format!("{now:?}"));
        format!("{} of line {} was {:?} and is {now}", cell.column, cell.line, cell.exported)
    }));
    let edited = if matches!(change.what, What::Edited(_)) { " was edited" } else { "" };
    let entry = change.entry;
    format!("entry {entry}{line}{edited}: {}; {REVERSAL}", parts.join(", "))
}
