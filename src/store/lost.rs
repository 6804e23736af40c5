//! Batches that the records tell of and whose documents are gone: a part of the database was deleted or restored.
//!
//! Risk: a check that finds nothing to look at, and says that all is well. So the number of batch documents is compared with the highest number
//! that the ledger, the newest ExportLog or the newest exported entry knows. An index serves each read.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use futures_util::future::{try_join, try_join3};
use mongodb::bson::{Document, doc};

use super::document::{bson_date, int, text};
use super::error::StoreError;
use super::{LEDGER, Store};
use crate::batch::{BatchId, State};
use crate::failure::Failure;

/// Batches that a message names.
const NAMED: usize = 5;
/// Completed rows that are looked at.
const ROWS_MAX: i64 = 1_000;

/// Batch documents that are gone.
#[derive(Clone, Debug)]
pub struct LostBatches {
    /// The highest number that anything knows.
    pub told: i64,
    /// Those that the log names.
    pub logged: Vec<BatchId>,
    /// What is gone, and the way out.
    pub failure: Failure,
}

impl Store {
    /// The batches whose documents are gone; `None` when none is known to be.
    pub async fn lost_batches(&self) -> Result<Option<LostBatches>, StoreError> {
        let (log, entry, ledger) = try_join3(self.newest_log(), self.newest_entry(), self.ledger_now()).await?;
        let told = ledger.number.max(log).max(entry);
        // Counted last: a batch may be committed meanwhile.
        let has = self.bounded(self.batches.count_documents(committed()).into_future()).await?;
        if i64::try_from(has).unwrap_or(i64::MAX) >= told {
            return Ok(None);
        }
        let logged = self.logged_and_gone().await?;
        let name = self.batches.name();
        let named: Vec<String> = logged.iter().take(NAMED).map(BatchId::to_string).collect();
        let more = logged.len() - named.len();
        let lost = match (named.is_empty(), more) {
            (true, _) => "; the others are lost".to_owned(),
            (false, 0) => format!("; lost: {}", named.join(", ")),
            (false, more) => format!("; lost: {} and {more} more", named.join(", ")),
        };
        let failure = Failure::configuration(format!(
            "batches up to number {told} were exported, and {name} has {has} of their documents{lost}"
        ));
        let failure = match logged.is_empty() {
            true => failure.next(format!(
                "restore {name} and {} from a backup: without an ExportLog, the document of a batch cannot be rebuilt",
                self.log.name()
            )),
            false => failure.next(format!(
                "restore {name} from a backup, or rebuild the documents from the export log with `batch-export init --adopt`"
            )),
        };
        Ok(Some(LostBatches { told, logged, failure }))
    }

    /// Refuses a database in which exported entries are not on record because the documents of their batches are lost.
    pub async fn refuse_unrecorded(&self) -> Result<(), Failure> {
        match self.lost_batches().await? {
            Some(lost) if self.check_records().await.is_err() => {
                let Failure { message, next, .. } = lost.failure;
                let message = format!("exported entries are not on record, and could be exported again: {message}");
                Err(Failure { next, ..Failure::configuration(message) })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses to record a day as empty whose rows carry its mark, while its batch document and its ExportLog are lost.
    pub async fn refuse_lost_day(&self, batch: BatchId, cutoff: DateTime<Utc>) -> Result<(), Failure> {
        let Some(lost) = self.lost_batches().await? else { return Ok(()) };
        let within = doc! { "$gt": bson_date(cutoff - TimeDelta::days(1)), "$lte": bson_date(cutoff) };
        let marked = doc! { "status": "completed", "scheduledFor": within, "metadata.batchId": batch };
        if self.bounded(self.queue.find_one(marked).into_future()).await?.is_none() {
            return Ok(());
        }
        let message = format!("rows are marked as exported by {batch}, whose batch document and ExportLog are lost");
        Err(Failure::configuration(format!("{message}; {}", lost.failure.message)).next(
            "restore both from a backup: the entries are not exported again meanwhile. Without a backup, rename `metadata.batchId` of these \
             rows, and the day is recorded as empty",
        ))
    }

    /// A batch that the newest completed rows name as theirs, in a database that has no record of any export.
    pub async fn marked_by_nobody(&self) -> Result<Option<String>, StoreError> {
        if self.ledger_now().await?.number > 0 {
            return Ok(None);
        }
        self.marked_rows().await
    }

    /// A batch that the newest completed rows name as theirs.
    pub(super) async fn marked_rows(&self) -> Result<Option<String>, StoreError> {
        let newest = [
            doc! { "$match": { "status": "completed", "scheduledFor": { "$type": "date" } } },
            doc! { "$sort": { "scheduledFor": -1 } },
            doc! { "$limit": ROWS_MAX },
            doc! { "$match": { "metadata.batchId": { "$regex": format!("^{}", BatchId::PREFIX) } } },
            doc! { "$limit": 1 },
        ];
        let cursor = self.bounded(self.queue.aggregate(newest).into_future()).await?;
        let found: Vec<Document> = self.bounded(cursor.try_collect()).await?;
        Ok(found.first().and_then(|row| text(row.get_document("metadata").ok()?, "batchId")))
    }

    async fn newest_log(&self) -> Result<i64, StoreError> {
        let find = self.log.find_one(logs()).sort(doc! { "metadata.batchId": -1 });
        let found = self.bounded(find.into_future()).await?;
        Ok(found.and_then(|log| int(log.get_document("metadata").ok()?, "number")).unwrap_or(0))
    }

    /// The highest number that a batch document or an exported entry knows, with the checksum of its file. This reads all entries once.
    pub(super) async fn highest_number(&self) -> Result<(i64, Option<String>), StoreError> {
        let batch = self.batches.find_one(committed()).sort(doc! { "number": -1 });
        let entry = self.exported.find_one(doc! {}).sort(doc! { "n": -1 });
        let (batch, entry) = try_join(self.bounded(batch.into_future()), self.bounded(entry.into_future())).await?;
        let of_entry = entry.and_then(|entry| int(&entry, "n")).unwrap_or(0);
        let of_batch = batch.as_ref().and_then(|batch| int(batch, "number")).unwrap_or(0);
        if of_entry > of_batch {
            return Ok((of_entry, None));
        }
        let sha256 = batch.and_then(|batch| text(batch.get_document("file").ok()?, "sha256"));
        Ok((of_batch, sha256))
    }

    async fn newest_entry(&self) -> Result<i64, StoreError> {
        let find = self.exported.find_one(doc! {}).sort(doc! { "_id": -1 });
        let found = self.bounded(find.into_future()).await?;
        Ok(found.and_then(|entry| int(&entry, "n")).unwrap_or(0))
    }

    async fn logged_and_gone(&self) -> Result<Vec<BatchId>, StoreError> {
        let cursor =
            self.bounded(self.log.find(logs()).projection(doc! { "metadata.batchId": 1 }).into_future()).await?;
        let found: Vec<Document> = self.bounded(cursor.try_collect()).await?;
        let named = found.iter().filter_map(|log| text(log.get_document("metadata").ok()?, "batchId")?.parse().ok());
        let mut logged: BTreeSet<BatchId> = named.collect();
        let find = self.batches.find(committed()).projection(doc! { "_id": 1 });
        let cursor = self.bounded(find.into_future()).await?;
        let there: Vec<Document> = self.bounded(cursor.try_collect()).await?;
        for batch in there.iter().filter_map(|batch| text(batch, "_id")?.parse().ok()) {
            logged.remove(&batch);
        }
        Ok(logged.into_iter().collect())
    }
}

fn committed() -> Document {
    doc! { "_id": { "$ne": LEDGER }, "state": { "$in": [State::Marking.name(), State::Completed.name()] } }
}

/// The ExportLogs of this program: those of an earlier one have no number.
fn logs() -> Document {
    doc! { "action": "csv_generated", "metadata.batchId": { "$gte": BatchId::PREFIX }, "metadata.number": { "$gt": 0 } }
}
