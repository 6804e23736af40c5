//! The marked rows, and the entries behind them: does what they say now still give the committed file?
//!
//! Which entry is on which line is named by the file itself, else by [`lines`](super::lines).

use std::collections::BTreeMap;

use super::compare::{ChangedEntry, Regenerated, What};
use super::{Checked, Findings, Problem, ProblemKind, Verification};
use crate::batch::{Batch, BatchId, FileFacts, State};
use crate::csv::{SheetOptions, entry_ids};
use crate::exit::Exit;
use crate::failure::{Explanation, Failure, Result};
use crate::id::Id;
use crate::layout::quoted_against;
use crate::reader::counted;
use crate::spool::Spool;
use crate::store::{ExportedEntry, ExportedIn, Misplaced, RowKey, Short, Snapshot};
use crate::terminal::some;

/// Ids that a message names.
const NAMED: usize = 10;

/// The next step for an entry of two files.
const REVERSE_ONE: &str = "if it is in both files, reverse one of them in the accounting package";

/// The next step where rows were removed and their entries are exported.
const ACCEPT: &str = "accept it with --allow-removed-rows";

/// The next step for an entry that differs from its line in the accountant's books. A person decides first: the edit may be a
/// mistake, or the application may have reversed the entry already.
const REVERSAL: &str = "the exported line no longer stands: decide which side is right before anything is reversed (README, \"How to correct an exported entry\")";

impl Verification<'_> {
    pub(super) async fn check_rows(
        &self,
        snapshot: &mut Snapshot,
        batch: &Batch,
        file: &FileFacts,
        content: Option<&Spool>,
        findings: &mut Findings,
    ) -> Result<()> {
        let named = content.map(|content| self.ids_of(batch, content)).transpose()?.flatten();
        let mut marked = snapshot.marked_rows(batch, named).await?;
        for (row, reason) in &marked.odd {
            findings.add(batch.id, ProblemKind::Rows, format!("queue row {row}: {reason}"));
        }
        if let Some(message) = retired(&marked.retired) {
            findings.add(batch.id, ProblemKind::RemovedRows, message);
        }
        if batch.marked as u64 != file.entries {
            let message = format!("the batch document counts {} marked rows, not {}", batch.marked, file.entries);
            findings.add(batch.id, ProblemKind::Rows, message);
        }
        let places = self.places(snapshot, batch, file, &mut marked, content.is_some()).await?;
        let (away, rows) = (marked.away, marked.rows.iter().map(|row| row.key).collect());
        drop(marked);
        let known = places.known();
        let (records, misplaced) = snapshot.recorded(batch.number.unwrap_or_default(), &known).await?;
        check_ids(batch, file, rows, away, &known, &records, findings);
        let again = exported_again(batch, &records);
        drop(records);
        let batches = self.store.batches_of_numbers(&again.keys().copied().collect()).await?;
        for (number, entries) in again {
            let in_batch = batches.get(&number).map(|batch| format!(" in {batch}")).unwrap_or_default();
            findings.note(format!(
                "{} exported again with --allow-reexport, as number {number}{in_batch}: {}",
                counted(entries.len() as u64, "entry was", "entries were"),
                some(&entries, NAMED)
            ));
        }
        check_numbers(batch, misplaced, findings);
        let options = self.options(batch)?;
        if let Some((_, message)) = places.open(&options.layout) {
            findings.add(batch.id, ProblemKind::Rows, message);
        }
        let lines = content.filter(|_| places.in_order);
        let compared = self.compare(snapshot, batch, &places.entries, lines, |change| {
            findings.add_with(batch.id, kind(&change), || told(&change));
            Ok(())
        });
        let Regenerated { sha256, changes } = compared.await?;
        let is_whole = places.in_order && known.len() as u64 == file.entries;
        if sha256 == file.sha256 || changes > 0 || !is_whole {
            return Ok(());
        }
        // This does not say "edited": with settings of another format, somebody would reverse correct lines in the
        // books.
        let are_stored = matches!(SheetOptions::of(batch), Some(Ok(_)));
        let what = match (content, are_stored) {
            (None, true) => {
                "the entries as they are now do not give the committed file, so at least one was edited; which one cannot be told without \
                 the file"
            }
            (None, false) => {
                "the entries as they are now do not give the committed file: either some were edited, or --format, --encoding or \
                 --contra-account is not that of the export"
            }
            (Some(_), true) => "the same cells give other bytes: the stored settings are not those of the export",
            (Some(_), false) => {
                "the same cells give other bytes: the settings (layout, encoding) are not those of the export"
            }
        };
        let is_lost = content.is_none() && are_stored;
        let next = is_lost.then(|| "put it back, then `batch-export corrections` lists what changed".to_owned());
        findings.add(batch.id, ProblemKind::Content, Explanation { next, ..what.to_owned().into() });
        Ok(())
    }

    /// Reports entries of the checked files that are in another file too: an entry is on record under one number, so the other file is one
    /// of which entries are not on record.
    pub(super) async fn check_two_files(&self, findings: &mut Findings) -> Result<()> {
        let checked: BTreeMap<i64, BatchId> =
            findings.checked.iter().filter_map(|checked| Some((checked.number?, checked.batch))).collect();
        if checked.is_empty() || !self.store.lacks_records().await? {
            return Ok(());
        }
        for Short { batch: other, .. } in self.store.short_batches().await? {
            let number = other.number.unwrap_or_default();
            let mut snapshot = Snapshot::open(self.store).await?;
            let named = self.entries_of(&other).await?.ok();
            let is_named = named.is_some();
            let entries = match named {
                Some(entries) => entries,
                None => snapshot.marked_rows(&other, None).await?.rows.iter().map(|row| row.key.entry).collect(),
            };
            let (_, misplaced) = snapshot.recorded(number, &entries).await?;
            for (entry, under) in misplaced.into_iter().filter_map(|found| Some((found.entry, found.under?))) {
                // Of a file that names its entries, that is told already.
                if !is_named && checked.contains_key(&number) {
                    findings.add(other.id, ProblemKind::TwoFiles, recorded_elsewhere(entry, number, under));
                }
                if let Some(batch) = checked.get(&under.number) {
                    let what = format!(
                        "entry {entry} is in this file, number {}, and in that of number {number} ({})",
                        under.number, other.id
                    );
                    findings.add(*batch, ProblemKind::TwoFiles, Explanation::new(what, REVERSE_ONE));
                }
            }
        }
        Ok(())
    }

    /// Reports entries that are on record as exported in one of the checked files, and are in no file: no run exports them. The records are read
    /// only where their number, or what was found before, tells that something is wrong.
    pub(super) async fn check_surplus(&self, findings: &mut Findings) -> Result<()> {
        let is_wrong = |one: &Problem| matches!(one.kind, ProblemKind::Unrecorded | ProblemKind::TwoFiles);
        let is_done = |checked: &&Checked| checked.state == State::Completed;
        let done = findings.checked.iter().filter(is_done).filter_map(|checked| Some((checked.number?, checked)));
        let done: Vec<(i64, BatchId, u64)> =
            done.map(|(number, checked)| (number, checked.batch, checked.entries)).collect();
        if done.is_empty() || !(findings.problems.iter().any(is_wrong) || self.store.may_have_strange_records().await?)
        {
            return Ok(());
        }
        let recorded = self.store.recorded_by_number().await?;
        for (number, id, entries) in done {
            let surplus = recorded.get(&number).copied().unwrap_or(0).saturating_sub(entries);
            // A record may have taken the place of another one.
            let is_short = findings.problems.iter().any(|one| is_wrong(one) && one.batch == Some(id));
            if surplus == 0 && !is_short {
                continue;
            }
            let mut snapshot = Snapshot::open(self.store).await?;
            let Some(Ok(batch)) = snapshot.batch(id).await? else { continue };
            // A document that was edited is told as that: it cannot tell which records are strange.
            let log = snapshot.log(Some(id)).await?;
            let is_logged = |file: &FileFacts| {
                log.iter().any(|log| (&log.file.sha256, log.file.entries) == (&file.sha256, file.entries))
            };
            if !batch.file.as_ref().is_some_and(is_logged) {
                continue;
            }
            let mut known = match self.entries_of(&batch).await? {
                Ok(named) => named,
                Err(_) => snapshot.marked_rows(&batch, None).await?.entries.unwrap_or_default(),
            };
            known.retain(|entry| *entry != Id::ABSENT);
            known.sort_unstable();
            let strange = without(&snapshot.recorded_under(number).await?, &known);
            if surplus == 0 && (known.len() as u64 != entries || strange.is_empty()) {
                continue;
            }
            if known.len() as u64 != entries || strange.is_empty() {
                let more = counted(surplus, "entry more is", "entries more are");
                let what = format!("{more} recorded as exported in number {number} than its file has");
                let next = "find out who wrote that; leave the records until it is known which entries the file has";
                findings.add(id, ProblemKind::Totals, Explanation::new(what, next));
                continue;
            }
            let next = "find out who wrote that; if it shall be exported, delete its document from exportbatchentries, run \
                        `batch-export init`, and queue it again";
            for entry in strange {
                findings.add_with(id, ProblemKind::Totals, || {
                    let what =
                        format!("entry {entry} is recorded as exported in number {number}, and is not in its file");
                    Explanation::new(what, next)
                });
            }
        }
        Ok(())
    }

    /// The entries that the official file names, where its layout shows them.
    pub(super) fn ids_of(&self, batch: &Batch, content: &Spool) -> Result<Option<Vec<Id>>> {
        let file = content.open().map_err(|error| self.spool_failed(&error))?;
        entry_ids(file, &self.options(batch)?.layout).map_err(|reason| Failure::new(Exit::Unexpected, reason))
    }
}

/// Each entry of the file is written down under its number: that keeps it out of every other file.
fn check_numbers(batch: &Batch, misplaced: Vec<Misplaced>, findings: &mut Findings) {
    let number = batch.number.unwrap_or_default();
    for Misplaced { entry, under } in misplaced {
        let (kind, message) = match under {
            Some(under) => (ProblemKind::TwoFiles, recorded_elsewhere(entry, number, under)),
            None => {
                let what = format!("entry {entry} is in the file and not in exportbatchentries");
                let next =
                    "`batch-export init` adds what is missing there, with the same --destination from the file itself";
                (ProblemKind::Unrecorded, Explanation::new(what, next))
            }
        };
        findings.add(batch.id, kind, message);
    }
}

/// What is said of an entry of a file that is on record under another number.
fn recorded_elsewhere(entry: Id, number: i64, ExportedIn { number: other, batch }: ExportedIn) -> Explanation {
    let in_batch = batch.map(|batch| format!(" ({batch})")).unwrap_or_default();
    let what =
        format!("entry {entry} is in this file, number {number}, and recorded as exported in number {other}{in_batch}");
    Explanation::new(what, REVERSE_ONE)
}

/// The entries of this file that somebody allowed to be exported again, by the number of the later file.
fn exported_again(batch: &Batch, records: &[ExportedEntry]) -> BTreeMap<i64, Vec<Id>> {
    let mut again: BTreeMap<i64, Vec<Id>> = BTreeMap::new();
    for record in records.iter().filter(|record| Some(record.number) != batch.number) {
        again.entry(record.number).or_default().push(record.key.entry);
    }
    again
}

/// Rows that the application put aside: they are not open, so no run takes them again.
fn retired(rows: &[(Id, String)]) -> Option<Explanation> {
    let named: Vec<String> = rows.iter().map(|(row, status)| format!("{row} ({status})")).collect();
    (!rows.is_empty()).then(|| {
        let what = format!(
            "{} a status that is neither completed nor open: {}; the entries stay exported",
            counted(rows.len() as u64, "marked row has", "marked rows have"),
            some(&named, NAMED)
        );
        Explanation::new(what, ACCEPT)
    })
}

/// Checks that the file and the rows name the same entries, each by the row that was exported for it. The batch document lists rows
/// that the application changed after the commit; `away` of them were not found.
fn check_ids(
    batch: &Batch,
    file: &FileFacts,
    mut rows: Vec<RowKey>,
    away: u64,
    known: &[Id],
    records: &[ExportedEntry],
    findings: &mut Findings,
) {
    let mut of_row: Vec<RowKey> = records.iter().map(|record| record.key).filter(|key| key.row != Id::ABSENT).collect();
    of_row.sort_unstable();
    let is_whole = of_row.len() == known.len() && known.len() as u64 == file.entries;
    let recorded = |row: &Id| of_row.binary_search_by_key(row, |key| key.row).ok().map(|at| of_row[at].entry);
    // Entries whose row names another one now.
    let mut left = Vec::new();
    let mut foreign = Vec::new();
    rows.retain(|key| match recorded(&key.row) {
        Some(entry) if entry != key.entry => {
            let named = if key.entry == Id::ABSENT { "no entry".to_owned() } else { format!("entry {}", key.entry) };
            let what = format!("queue row {} was exported for entry {entry} and names {named} now", key.row);
            let next = format!("entry {entry} stays exported, so put its id back into the row");
            findings.add(batch.id, ProblemKind::Rows, Explanation::new(what, next));
            left.push(entry);
            false
        }
        Some(_) => true,
        // Every row of the file is on record, and this is none of them.
        None if is_whole => {
            foreign.push(key.row);
            false
        }
        None => true,
    });
    let sorted = |mut ids: Vec<Id>| {
        ids.sort_unstable();
        ids
    };
    let (ids, left) = (sorted(known.to_vec()), sorted(left));
    let marked = (rows.len() + left.len() + foreign.len()) as u64;
    let rows = sorted(rows.into_iter().map(|key| key.entry).collect());
    // The row of an entry that was exported again may carry the mark of the later batch.
    let again = sorted(exported_again(batch, records).into_values().flatten().collect());
    let unmarked = without(&without(&ids, &rows), &left);
    let (missing, strange) = (without(&unmarked, &again), without(&rows, &ids));
    let marked_elsewhere = (unmarked.len() - missing.len()) as u64;
    if missing.len() as u64 > away {
        let what = format!(
            "{} no marked row any more, so the application removed or emptied these rows: {}; the entries stay exported",
            counted(missing.len() as u64, "entry of the file has", "entries of the file have"),
            some(&missing, NAMED)
        );
        findings.add(batch.id, ProblemKind::RemovedRows, Explanation::new(what, ACCEPT));
    } else if !(marked + away..=marked + away + marked_elsewhere).contains(&file.entries) && foreign.is_empty() {
        let message = format!("{marked} rows are marked, {} entries are in the file", file.entries);
        findings.add(batch.id, ProblemKind::Rows, message);
    }
    if !foreign.is_empty() {
        let what = format!(
            "{} the mark of this batch and did not export an entry of it: {}",
            counted(foreign.len() as u64, "queue row carries", "queue rows carry"),
            some(&foreign, NAMED)
        );
        let next = "find out who wrote the mark there";
        findings.add(batch.id, ProblemKind::Rows, Explanation::new(what, next));
    }
    // Where entries of the file are not known, nobody can say that one is not in it.
    if !strange.is_empty() && known.len() as u64 == file.entries {
        let message = format!(
            "{} marked as exported and not in the file: {}",
            counted(strange.len() as u64, "entry is", "entries are"),
            some(&strange, NAMED)
        );
        findings.add(batch.id, ProblemKind::Rows, message);
    }
}

/// The ids in `these` that are not in `others`; both are sorted.
fn without(these: &[Id], others: &[Id]) -> Vec<Id> {
    these.iter().filter(|id| others.binary_search(id).is_err()).copied().collect()
}

fn kind(change: &ChangedEntry) -> ProblemKind {
    match change.what {
        What::Deleted => ProblemKind::Deleted,
        What::Cancelled(_) => ProblemKind::Cancelled,
        What::Edited(_) => ProblemKind::Edited,
    }
}

fn told(change: &ChangedEntry) -> Explanation {
    let line = change.line.filter(|_| change.cells.is_empty());
    let line = line.map(|line| format!(" (line {line})")).unwrap_or_default();
    let mut parts: Vec<String> = change.reason().into_iter().collect();
    parts.extend(change.cells.iter().map(|cell| {
        let (was, is) = (&cell.exported, cell.present.as_deref());
        let now = is.map_or("nothing that can be exported".to_owned(), |now| quoted_against(now, was));
        let was = quoted_against(was, is.unwrap_or_default());
        format!("{} of line {} was {was} and is {now}", cell.column, cell.line)
    }));
    let edited = if matches!(change.what, What::Edited(_)) { " was edited" } else { "" };
    let entry = change.entry;
    Explanation::new(format!("entry {entry}{line}{edited}: {}", parts.join(", ")), REVERSAL)
}
