//! Reading back what was committed, for `verify`: the log, the batches, and the rows that carry a batch's id. Writes nothing.
//!
//! Everything of one batch is read at one snapshot, so that a commit or an edit during the check is not taken for a
//! fault.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, doc};

use super::document::{self, Damaged, bson_date, int, text};
use super::due::{CHUNK_ROWS, RowMetadata, due_row};
use super::error::{Result, StoreError};
use super::exported::{EXPORTED_AS, ExportedEntry};
use super::expressions::literal;
use super::lost::committed;
use super::neighbours::each;
use super::snapshot::Snapshot;
use super::{LEDGER, RowKey};
use crate::batch::{Batch, BatchId, FileFacts, State};
use crate::id::Id;
use crate::layout::quoted;

/// For a batch that is not committed: how long before its cut-off to look for rows that carry its id although they
/// should not.
const UNCOMMITTED: TimeDelta = TimeDelta::days(7);
/// Most rows of a batch are due within its day.
const ONE_DAY: TimeDelta = TimeDelta::days(1);
/// What the application makes of a row before it is completed.
const OPEN: [&str; 3] = ["queued", "processing", "failed"];

/// An entry of the export log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFacts {
    pub batch: Option<BatchId>,
    pub number: Option<i64>,
    /// The business date, `2026-01-18`.
    pub date: String,
    /// The attempt that committed it.
    pub attempt: Option<i64>,
    /// Checksum of the file of the batch before it.
    pub previous_sha256: Option<String>,
    /// What it says of the file; `md5` is not logged.
    pub file: FileFacts,
}

/// The rows that a batch exported, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct MarkedRows {
    /// Rows that carry the batch's id, whatever the application changed after the commit point.
    pub rows: Vec<MarkedRow>,
    /// Marked rows that are not what the commit made of them, as `_id` and what is wrong.
    pub odd: Vec<(Id, String)>,
    /// Marked rows with a status that is neither open nor completed, as `_id` and status: the application put them aside.
    pub retired: Vec<(Id, String)>,
    /// The entries of the file, in its order; [`Id::ABSENT`] where it is not known. `None` where nothing names them.
    pub entries: Option<Vec<Id>>,
    /// Rows that were changed after the commit and do not carry the batch's id: pointed at another entry, emptied or removed.
    pub away: u64,
}

/// A row that a batch exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkedRow {
    /// `scheduledFor`, milliseconds since 1970 UTC.
    scheduled_ms: i64,
    /// What it is known by.
    pub key: RowKey,
    /// Whether it carries the batch's id and is due when rows of the batch were: else its position may be another one by now.
    pub in_order: bool,
}

impl MarkedRows {
    /// Sorts them, each once.
    fn finish(&mut self) {
        self.rows.sort_unstable();
        self.rows.dedup();
        for list in [&mut self.odd, &mut self.retired] {
            list.sort_unstable();
            list.dedup();
        }
    }
}

impl Snapshot {
    /// The export log of one batch, or all of it, by number.
    pub async fn log(&mut self, batch: Option<BatchId>) -> Result<Vec<LogFacts>> {
        let mut filter = doc! { "action": "csv_generated", "metadata.batchId": { "$type": "string" } };
        if let Some(batch) = batch {
            filter.insert("metadata.batchId", batch);
        }
        let collection = self.store.log.clone();
        let mut log: Vec<LogFacts> = self.read(&collection, filter).await?.iter().map(log_facts).collect();
        log.sort_by_key(|entry| entry.number);
        Ok(log)
    }

    /// The batches that have a number, by number; and those of which nobody can tell.
    pub async fn numbered_batches(&mut self) -> Result<(Vec<Batch>, Vec<Damaged>)> {
        let (mut batches, mut damaged) = (Vec::new(), Vec::new());
        for found in self.batches(committed()).await? {
            match found {
                Ok(batch) => batches.push(batch),
                Err(unread) => damaged.push(unread),
            }
        }
        batches.sort_by_key(|batch: &Batch| batch.number);
        Ok((batches, damaged))
    }

    /// A batch as it was at this instant.
    pub async fn batch(&mut self, id: BatchId) -> Result<Option<Result<Batch, Damaged>>> {
        Ok(self.batches(doc! { "_id": id }).await?.pop())
    }

    /// The batches with a file of this checksum, official or voided, newest first.
    pub async fn batches_of_file(&mut self, sha256: &str) -> Result<Vec<Batch>> {
        self.newest_first(doc! { "$or": [{ "file.sha256": sha256 }, { "voided.sha256": sha256 }] }).await
    }

    /// The batches with a file of this name, newest first.
    pub async fn batches_of_name(&mut self, name: &str) -> Result<Vec<Batch>> {
        self.newest_first(doc! { "file.name": name }).await
    }

    async fn newest_first(&mut self, filter: Document) -> Result<Vec<Batch>> {
        let found = self.batches(filter).await?;
        let mut batches: Vec<Batch> = found.into_iter().filter_map(Result::ok).collect();
        batches.sort_by_key(|batch| std::cmp::Reverse(batch.id));
        Ok(batches)
    }

    async fn batches(&mut self, filter: Document) -> Result<Vec<Result<Batch, Damaged>>> {
        let collection = self.store.ledger_at_snapshot.clone();
        let found = self.read(&collection, doc! { "$and": [{ "_id": { "$ne": LEDGER } }, filter] }).await?;
        Ok(found.iter().filter_map(document::read).collect())
    }

    /// The rows that a batch exported, and the entries of its file: those that it names, else as far as they are recorded.
    ///
    /// Rows of the batch's last day are found by when they were due, which the index of the application serves. Others are found by their ids:
    /// rows that an earlier day left behind, and rows that the application changed since. Where entries or rows are not on record, all rows are
    /// read that were due like the batch's, or that are open.
    pub async fn marked_rows(&mut self, batch: &Batch, named: Option<Vec<Id>>) -> Result<MarkedRows> {
        let expected = batch.file.as_ref().map_or(0, |file| file.entries) as usize;
        let mut marked = MarkedRows { rows: Vec::with_capacity(expected), ..MarkedRows::default() };
        let changed: BTreeSet<Id> = batch.changed_after_commit.iter().copied().collect();
        let ids: Vec<Id> = changed.iter().copied().collect();
        self.read_by_id(&ids, batch, &mut marked).await?;
        marked.away = (changed.len() - marked.rows.len()) as u64;
        // A row that the application took back after the commit carries the batch's id and has a status of its own.
        (marked.odd, marked.retired) = (Vec::new(), Vec::new());
        let is_short = |marked: &MarkedRows| marked.rows.len() + (marked.away as usize) < expected;
        let completed =
            |since| of_batch(batch, doc! { "status": "completed", "scheduledFor": scheduled(batch, since) });
        let since = named.as_ref().map(|_| batch.cutoff - ONE_DAY);
        self.read_marked(completed(since), batch, &changed, &mut marked).await?;
        marked.entries = match (named, batch.number.filter(|_| batch.state == State::Completed)) {
            (None, Some(number)) => self.recorded_entries(number, expected, &marked).await?,
            (named, _) => named,
        };
        let are_on_record = self.read_missing(batch, &changed, &mut marked).await?;
        if !are_on_record && is_short(&marked) {
            if since.is_some() {
                self.read_marked(completed(None), batch, &changed, &mut marked).await?;
                marked.finish();
            }
            if is_short(&marked) {
                let open = of_batch(batch, doc! { "status": { "$in": &OPEN[..] } });
                self.read_marked(open, batch, &changed, &mut marked).await?;
            }
        }
        marked.finish();
        Ok(marked)
    }

    /// The entries of a file in their order, as recorded; [`Id::ABSENT`] where nothing names the entry. `None` of a batch of an earlier
    /// version. No index finds them by number: they are found by the entries of the rows. Where some are missing then, their ids mostly lie
    /// between those of the others, which the index of the ids serves; all of the collection is read last.
    async fn recorded_entries(&self, number: i64, expected: usize, marked: &MarkedRows) -> Result<Option<Vec<Id>>> {
        let mut entries = vec![Id::ABSENT; expected];
        let (mut left, mut unplaced) = (expected, BTreeSet::new());
        let mut fill = |records: Vec<ExportedEntry>| {
            for ExportedEntry { key, position, .. } in records {
                match position.map(|position| entries.get_mut(position as usize).filter(|entry| **entry == Id::ABSENT))
                {
                    Some(Some(entry)) => {
                        *entry = key.entry;
                        left -= 1;
                    }
                    Some(None) => {}
                    None => drop(unplaced.insert(key.entry)),
                }
            }
            left
        };
        let of_rows: Vec<Id> = marked.rows.iter().map(|row| row.key.entry).collect();
        let (records, _) = self.recorded(number, &of_rows).await?;
        let are_placed = records.iter().any(|record| record.position.is_some());
        let mut are_missing = fill(records) > 0 && (are_placed || of_rows.is_empty());
        let between = of_rows.iter().min().zip(of_rows.iter().max());
        let between = between.map(|(first, last)| doc! { "_id": { "$gte": *first, "$lte": *last } });
        for which in between.into_iter().chain([doc! {}]) {
            if are_missing {
                let mut session = self.store.snapshot_session(self.at).await?;
                let found = self.store.find_recorded(&mut session, number, which).await;
                are_missing = fill(self.store.with_cause(found).await?) > 0;
            }
        }
        if left == expected {
            return Ok(None);
        }
        if left == unplaced.len() {
            place_unplaced(&mut entries, unplaced, marked);
        }
        Ok(Some(entries))
    }

    /// Adds the rows on record of those entries that have none yet. Returns whether each of these entries has one on record.
    async fn read_missing(&mut self, batch: &Batch, but: &BTreeSet<Id>, marked: &mut MarkedRows) -> Result<bool> {
        let Some(entries) = &marked.entries else { return Ok(false) };
        let with_row: BTreeSet<Id> = marked.rows.iter().map(|row| row.key.entry).collect();
        let missing: Vec<Id> = entries.iter().filter(|entry| !with_row.contains(entry)).copied().collect();
        drop(with_row);
        if missing.is_empty() {
            return Ok(true);
        }
        let (records, _) = self.recorded(batch.number.unwrap_or(0), &missing).await?;
        let seen: BTreeSet<Id> = marked.rows.iter().map(|row| row.key.row).collect();
        let mut rows: Vec<Id> = records.iter().map(|record| record.key.row).filter(|row| *row != Id::ABSENT).collect();
        let are_on_record = rows.len() == missing.len();
        rows.retain(|row| !but.contains(row) && !seen.contains(row));
        self.read_by_id(&rows, batch, marked).await?;
        Ok(are_on_record)
    }

    async fn read_by_id(&mut self, rows: &[Id], batch: &Batch, marked: &mut MarkedRows) -> Result<()> {
        for rows in rows.chunks(CHUNK_ROWS) {
            self.read_marked(each(rows), batch, &BTreeSet::new(), marked).await?;
        }
        Ok(())
    }

    /// Adds the rows that match a filter and carry the batch's id, but for these.
    async fn read_marked(
        &mut self,
        filter: Document,
        batch: &Batch,
        but: &BTreeSet<Id>,
        marked: &mut MarkedRows,
    ) -> Result<()> {
        let mut session = self.store.snapshot_session(self.at).await?;
        let find = self.store.queue.find(filter).projection(marked_fields(batch)).batch_size(CHUNK_ROWS as u32);
        let mut cursor = self.store.with_cause(find.session(&mut session).batch().await).await?;
        let mut answers = cursor.stream(&mut session);
        while let Some(answer) = answers.try_next().await? {
            for row in answer.doc_slices()? {
                let row = row?.as_document().ok_or_else(|| StoreError::malformed("a row is no document"))?;
                let Ok(due) = due_row(row, RowMetadata::Type)? else { continue };
                let ours = row.get_bool("ours").unwrap_or(false);
                if but.contains(&due.key.row) || !ours {
                    continue;
                }
                let within = batch.exported.is_none_or(|span| {
                    (span.first.timestamp_millis()..=span.last.timestamp_millis()).contains(&due.scheduled_ms)
                });
                marked.rows.push(MarkedRow { scheduled_ms: due.scheduled_ms, key: due.key, in_order: within });
                let status = row.get_str("status").unwrap_or_default();
                match status {
                    "completed" if row.get_bool("named").unwrap_or(false) => {}
                    "completed" => marked.odd.push((due.key.row, "it names another file than the batch".to_owned())),
                    // `--invalid hold` set it aside when it was queued again: no run takes it.
                    "failed" if row.get_str("held").is_ok_and(|reason| reason.contains(EXPORTED_AS)) => {}
                    open if OPEN.contains(&open) => {
                        let reason = format!("it is marked as exported and its status is {}", quoted(open));
                        marked.odd.push((due.key.row, reason));
                    }
                    other => marked.retired.push((due.key.row, quoted(other))),
                }
            }
        }
        drop(answers);
        self.at = session.snapshot_time().or(self.at);
        Ok(())
    }

    async fn read(&mut self, from: &Collection<Document>, filter: Document) -> Result<Vec<Document>> {
        let mut session = self.store.snapshot_session(self.at).await?;
        let mut cursor = self.store.with_cause(from.find(filter).session(&mut session).await).await?;
        let found = cursor.stream(&mut session).try_collect().await?;
        self.at = session.snapshot_time().or(self.at);
        Ok(found)
    }
}

/// Puts entries of the file on the lines that are left, as many as these: an entry that an earlier version exported again has only its position in
/// the later file on record. One of them is on the one line; several are in the order of the rows, while that is the order of all other lines.
fn place_unplaced(entries: &mut [Id], unplaced: BTreeSet<Id>, marked: &MarkedRows) {
    let mut rows = marked.rows.clone();
    rows.sort_unstable();
    let rows: Vec<Id> = rows.iter().map(|row| row.key.entry).collect();
    let fits = |(entry, row): (&Id, &Id)| entry == row || (*entry == Id::ABSENT && unplaced.contains(row));
    if unplaced.len() > 1 && !(rows.len() == entries.len() && entries.iter().zip(&rows).all(fits)) {
        return;
    }
    let in_order: Vec<Id> = match unplaced.len() {
        1 => unplaced.into_iter().collect(),
        _ => rows.into_iter().filter(|row| unplaced.contains(row)).collect(),
    };
    for (entry, unplaced) in entries.iter_mut().filter(|entry| **entry == Id::ABSENT).zip(in_order) {
        *entry = unplaced;
    }
}

/// Rows that carry the batch's id, under a condition.
fn of_batch(batch: &Batch, condition: Document) -> Document {
    let mut filter = doc! { "exportPath": "scheduled", "metadata.batchId": batch.id };
    filter.extend(condition);
    filter
}

/// When the exported rows of a batch were due, as a condition; `since` leaves out those before. Batches of earlier versions do not tell the
/// first one, and what is not committed has none: of that, the days before the cut-off are looked at.
fn scheduled(batch: &Batch, since: Option<DateTime<Utc>>) -> Document {
    let (first, last) = match batch.exported {
        Some(span) => (Some(span.first), span.last),
        None if batch.state.is_committed() => (None, batch.cutoff),
        None => (Some(batch.cutoff - UNCOMMITTED), batch.cutoff),
    };
    match first.max(since) {
        Some(first) => doc! { "$gte": bson_date(first), "$lte": bson_date(last) },
        None => doc! { "$lte": bson_date(last) },
    }
}

/// What a [`MarkedRow`] is made of, its status, and whether it names the batch and the batch's file.
fn marked_fields(batch: &Batch) -> Document {
    let file = batch.file.clone().unwrap_or_default();
    let names_file = |field: &str, expected: Option<String>| {
        let field = format!("$metadata.{field}");
        doc! { "$eq": [{ "$ifNull": [field, null] }, literal(expected)] }
    };
    let mut fields = RowMetadata::Type.row_fields();
    fields.insert("status", 1);
    fields.insert("held", doc! { "$cond": [{ "$eq": ["$status", "failed"] }, "$lastError", "$$REMOVE"] });
    fields.insert("ours", doc! { "$eq": ["$metadata.batchId", literal(batch.id)] });
    let named = [names_file("googleDriveFileId", Some(file.id)), names_file("googleDriveUrl", file.link)];
    fields.insert("named", doc! { "$and": &named[..] });
    fields
}

pub(super) fn log_facts(entry: &Document) -> LogFacts {
    let Ok(metadata) = entry.get_document("metadata") else { return LogFacts::default() };
    LogFacts {
        batch: text(metadata, "batchId").and_then(|batch| batch.parse().ok()),
        number: int(metadata, "number"),
        date: text(metadata, "batchDate").unwrap_or_default(),
        attempt: int(metadata, "attempt"),
        previous_sha256: text(metadata, "previousSha256"),
        file: FileFacts {
            id: text(metadata, "fileId").unwrap_or_default(),
            name: text(metadata, "filename").unwrap_or_default(),
            sha256: text(metadata, "sha256").unwrap_or_default(),
            bytes: int(metadata, "csvSize").unwrap_or(0) as u64,
            rows: int(metadata, "rowCount").unwrap_or(0) as u64,
            entries: int(metadata, "entryCount").unwrap_or(0) as u64,
            total_debit: int(metadata, "totalDebit").unwrap_or(0),
            total_credit: int(metadata, "totalCredit").unwrap_or(0),
            link: text(metadata, "webViewLink"),
            ..FileFacts::default()
        },
    }
}
