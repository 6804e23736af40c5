//! Reading back what was committed, for `verify`: the log, the batches, and the rows that carry a batch's id. Writes nothing.
//!
//! Everything of one batch is read at one snapshot, so that a commit or an edit during the check is not taken for a
//! fault.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, RawDocument, doc};

use super::document::{self, bson_date, int, text};
use super::due::{CHUNK_ROWS, due_row, row_fields};
use super::error::StoreError;
use super::expressions::literal;
use super::snapshot::{Snapshot, snapshot_session};
use super::{LEDGER, RowKey};
use crate::batch::{Batch, BatchId, FileFacts, State};
use crate::id::Id;
use crate::layout::quoted;

/// For a batch that is not committed: how long before its cut-off to look for rows that carry its id although they
/// should not.
const UNCOMMITTED: TimeDelta = TimeDelta::days(7);

/// An entry of the export log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFacts {
    /// The batch it names.
    pub batch: String,
    /// Number of the batch.
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
    /// Whether it carries the batch's id and is due when rows of the batch were: else its place may be another one by now.
    pub in_order: bool,
}

impl Snapshot {
    /// The export log of one batch, or all of it, by number.
    pub async fn log(&mut self, batch: Option<BatchId>) -> Result<Vec<LogFacts>, StoreError> {
        let mut filter = doc! { "action": "csv_generated", "metadata.batchId": { "$type": "string" } };
        if let Some(batch) = batch {
            filter.insert("metadata.batchId", batch);
        }
        let collection = self.store.log.clone();
        let mut log: Vec<LogFacts> = self.read(&collection, filter).await?.iter().map(log_facts).collect();
        log.sort_by_key(|entry| entry.number);
        Ok(log)
    }

    /// The batches that have a number, by number.
    ///
    /// # Errors
    /// When the database fails, or a document makes no sense.
    pub async fn numbered_batches(&mut self) -> Result<Vec<Batch>, StoreError> {
        let committed = [State::Marking.name(), State::Completed.name()];
        let filter = doc! { "_id": { "$ne": LEDGER }, "state": { "$in": &committed[..] } };
        let collection = self.store.ledger_at_snapshot.clone();
        let found = self.read(&collection, filter).await?;
        let mut batches = found.iter().map(document::batch).collect::<Result<Vec<_>, _>>()?;
        batches.sort_by_key(|batch| batch.number);
        Ok(batches)
    }

    /// A batch as it was at this instant.
    ///
    /// # Errors
    /// When the database fails, or the document makes no sense.
    pub async fn batch(&mut self, id: BatchId) -> Result<Option<Batch>, StoreError> {
        let collection = self.store.ledger_at_snapshot.clone();
        self.read(&collection, doc! { "_id": id }).await?.first().map(document::batch).transpose()
    }

    /// The batches with a file of this checksum, official or voided, newest first.
    ///
    /// # Errors
    /// When the database fails, or a document makes no sense.
    pub async fn batches_of_file(&mut self, sha256: &str) -> Result<Vec<Batch>, StoreError> {
        self.batches_with(doc! { "$or": [{ "file.sha256": sha256 }, { "voided.sha256": sha256 }] }).await
    }

    /// The batches with a file of this name, newest first.
    ///
    /// # Errors
    /// When the database fails, or a document makes no sense.
    pub async fn batches_of_name(&mut self, name: &str) -> Result<Vec<Batch>, StoreError> {
        self.batches_with(doc! { "file.name": name }).await
    }

    async fn batches_with(&mut self, filter: Document) -> Result<Vec<Batch>, StoreError> {
        let collection = self.store.ledger_at_snapshot.clone();
        let found = self.read(&collection, doc! { "$and": [{ "_id": { "$ne": LEDGER } }, filter] }).await?;
        let mut batches = found.iter().map(document::batch).collect::<Result<Vec<_>, _>>()?;
        batches.sort_by_key(|batch| std::cmp::Reverse(batch.id));
        Ok(batches)
    }

    /// The rows that a batch exported, found by when they were due, which the index of the application serves, whatever
    /// happened to the rest of the queue. Only when some are missing there, rows are looked for that are not completed
    /// any more.
    pub async fn marked_rows(&mut self, batch: &Batch) -> Result<MarkedRows, StoreError> {
        let entries = batch.file.as_ref().map_or(0, |file| file.entries) as usize;
        let mut marked = MarkedRows { rows: Vec::with_capacity(entries), odd: Vec::new(), away: 0 };
        let changed: BTreeSet<Id> = batch.changed_after_commit.iter().copied().collect();
        let ids: Vec<Bson> = changed.iter().copied().map(Bson::from).collect();
        for ids in ids.chunks(CHUNK_ROWS) {
            let none = BTreeSet::new();
            self.read_marked(doc! { "_id": { "$in": ids } }, batch, &none, &mut marked).await?;
        }
        marked.away = (changed.len() - marked.rows.len()) as u64;
        // A row that the application took back after the commit carries the batch's id and has a status of its own.
        marked.odd.clear();
        let of_batch = |condition: Document| {
            let mut filter = doc! { "exportPath": "scheduled", "metadata.batchId": batch.id };
            filter.extend(condition);
            filter
        };
        let completed = doc! { "status": "completed", "scheduledFor": scheduled(batch) };
        self.read_marked(of_batch(completed), batch, &changed, &mut marked).await?;
        if marked.rows.len() as u64 + marked.away < entries as u64 {
            let open = of_batch(doc! { "status": { "$in": ["queued", "processing", "failed"] } });
            self.read_marked(open, batch, &changed, &mut marked).await?;
        }
        marked.rows.sort_unstable();
        Ok(marked)
    }

    /// Adds the rows that match a filter, but for these.
    async fn read_marked(
        &mut self,
        filter: Document,
        batch: &Batch,
        but: &BTreeSet<Id>,
        marked: &mut MarkedRows,
    ) -> Result<(), StoreError> {
        let mut session = snapshot_session(&self.store, self.at).await?;
        let find = self.store.queue.find(filter).projection(marked_fields(batch)).batch_size(CHUNK_ROWS as u32);
        let mut cursor = find.session(&mut session).batch().await?;
        let mut answers = cursor.stream(&mut session);
        while let Some(answer) = answers.try_next().await? {
            for row in answer.doc_slices()? {
                let row = row?.as_document().ok_or_else(|| StoreError::malformed("a row is no document"))?;
                let Ok(due) = due_row(row)? else { continue };
                let ours = row.get_bool("ours").unwrap_or(false);
                if but.contains(&due.key.row) || !ours {
                    continue;
                }
                let within = batch.exported.is_none_or(|span| {
                    (span.first.timestamp_millis()..=span.last.timestamp_millis()).contains(&due.scheduled_ms)
                });
                marked.rows.push(MarkedRow { scheduled_ms: due.scheduled_ms, key: due.key, in_order: within });
                if let Some(reason) = oddity(row) {
                    marked.odd.push((due.key.row, reason));
                }
            }
        }
        drop(answers);
        self.at = session.snapshot_time().or(self.at);
        Ok(())
    }

    async fn read(&mut self, from: &Collection<Document>, filter: Document) -> Result<Vec<Document>, StoreError> {
        let mut session = snapshot_session(&self.store, self.at).await?;
        let mut cursor = from.find(filter).session(&mut session).await?;
        let found = cursor.stream(&mut session).try_collect().await?;
        self.at = session.snapshot_time().or(self.at);
        Ok(found)
    }
}

/// When the exported rows of a batch were due, as a condition. Batches of earlier versions do not tell the first one, and what is not
/// committed has none: of that, the days before the cut-off are looked at.
fn scheduled(batch: &Batch) -> Document {
    match batch.exported {
        Some(span) => doc! { "$gte": bson_date(span.first), "$lte": bson_date(span.last) },
        None if batch.state.is_committed() => doc! { "$lte": bson_date(batch.cutoff) },
        None => doc! { "$gte": bson_date(batch.cutoff - UNCOMMITTED), "$lte": bson_date(batch.cutoff) },
    }
}

/// What a [`MarkedRow`] is made of, its status, and whether it names the batch and the batch's file.
fn marked_fields(batch: &Batch) -> Document {
    let file = batch.file.clone().unwrap_or_default();
    let names_file = |field: &str, expected: Option<String>| {
        let field = format!("$metadata.{field}");
        doc! { "$eq": [{ "$ifNull": [field, null] }, literal(expected)] }
    };
    let mut fields = row_fields();
    fields.insert("status", 1);
    fields.insert("ours", doc! { "$eq": ["$metadata.batchId", literal(batch.id)] });
    let named = [names_file("googleDriveFileId", Some(file.id)), names_file("googleDriveUrl", file.link)];
    fields.insert("named", doc! { "$and": &named[..] });
    fields
}

fn oddity(row: &RawDocument) -> Option<String> {
    let status = row.get_str("status").unwrap_or_default();
    if status != "completed" {
        return Some(format!("it is marked as exported and its status is {}", quoted(status)));
    }
    let named = row.get_bool("named").unwrap_or(false);
    (!named).then(|| "it names another file than the batch".to_owned())
}

fn log_facts(entry: &Document) -> LogFacts {
    let Ok(metadata) = entry.get_document("metadata") else { return LogFacts::default() };
    LogFacts {
        batch: text(metadata, "batchId").unwrap_or_default(),
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
