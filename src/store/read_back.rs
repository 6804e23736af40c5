//! Reading back what was committed, for `verify`: the log, the batches, and the rows that carry a batch's id. Writes nothing.
//!
//! Everything of one batch is read at one instant, so that a commit or an edit during the look is not taken for a fault.

use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, doc};

use super::document::{self, date, int, text};
use super::error::StoreError;
use super::snapshot::{Snapshot, snapshot_session};
use super::{DueRow, LEDGER, RowKey};
use crate::batch::{Batch, BatchId, FileFacts, State};
use crate::id::Id;

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
    /// Rows that carry the batch's id, and those that the application changed after the commit point.
    pub rows: Vec<DueRow>,
    /// How many carry the batch's id.
    pub marked: u64,
    /// Marked rows that are not what the commit made of them, as `_id` and what is wrong.
    pub odd: Vec<(Id, String)>,
}

impl Snapshot {
    /// The export log of one batch, or all of it, by number.
    ///
    /// # Errors
    /// When the database fails.
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

    /// The rows that a batch exported.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn marked_rows(&mut self, batch: &Batch) -> Result<MarkedRows, StoreError> {
        let collection = self.store.queue.clone();
        let marked = self.read(&collection, doc! { "metadata.batchId": batch.id }).await?;
        let changed = &batch.changed_after_commit;
        let left = match changed.is_empty() {
            true => Vec::new(),
            false => {
                let filter = doc! { "_id": { "$in": changed.clone() }, "metadata.batchId": { "$ne": batch.id } };
                self.read(&collection, filter).await?
            }
        };
        let file = batch.file.clone().unwrap_or_default();
        let mut rows: Vec<DueRow> = marked.iter().chain(&left).map(due_row).collect();
        rows.sort_unstable();
        // A row that the application took back after the commit carries the batch's id and has a status of its own.
        let kept = marked.iter().filter(|row| !changed.contains(&due_row(row).key.row));
        let odd = kept.filter_map(|row| Some((due_row(row).key.row, oddity(row, &file)?))).collect();
        Ok(MarkedRows { rows, marked: marked.len() as u64, odd })
    }

    async fn read(&mut self, from: &Collection<Document>, filter: Document) -> Result<Vec<Document>, StoreError> {
        let mut session = snapshot_session(&self.store, self.at).await?;
        let mut cursor = from.find(filter).session(&mut session).await?;
        let found = cursor.stream(&mut session).try_collect().await?;
        self.at = session.snapshot_time().or(self.at);
        Ok(found)
    }
}

fn due_row(row: &Document) -> DueRow {
    let id = |name| row.get_object_id(name).map_or(Id::ABSENT, |id| Id(id.bytes()));
    DueRow {
        scheduled_ms: date(row, "scheduledFor").map_or(0, |instant| instant.timestamp_millis()),
        key: RowKey { row: id("_id"), entry: id("entryId") },
        unmarkable: false,
    }
}

fn oddity(row: &Document, file: &FileFacts) -> Option<String> {
    let status = text(row, "status").unwrap_or_default();
    if status != "completed" {
        return Some(format!("it is marked as exported and its status is {status:?}"));
    }
    let named = |field| row.get_document("metadata").ok().and_then(|metadata| text(metadata, field));
    let same = named("googleDriveFileId").as_ref() == Some(&file.id) && named("googleDriveUrl") == file.link;
    (!same).then(|| "it names another file than the batch".to_owned())
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
