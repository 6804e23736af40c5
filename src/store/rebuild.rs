//! Rebuilds lost records from the export log, which every commit writes: the ledger, and batch documents that lack
//! their commit.
//!
//! Risk: declaring a file official that never was. So only the log is used as a source of documents, and a document with a commit stays as it
//! is. The ledger's number is the highest that the log, a document or an exported entry knows.

use chrono::{DateTime, NaiveDate, Utc};
use mongodb::bson::{Document, doc};

use super::batches::ids_of_batches;
use super::document::{bson_date, file_document, text};
use super::error::{Kind, Result};
use super::{COMMITTED, LEDGER, LogFacts, Snapshot, Store};
use crate::batch::{BatchId, State};

impl Store {
    /// Rebuilds the ledger, and the documents of batches that are in the log but not committed in the database. Returns
    /// the batches that were written, and whether the ledger was missing: the name of the installation is lost with it. `zone` and `cutoff`
    /// give the windows of missing documents.
    pub async fn rebuild(
        &self,
        zone: &str,
        cutoff: &(dyn Fn(NaiveDate) -> DateTime<Utc> + Sync),
    ) -> Result<(Vec<BatchId>, bool)> {
        let log = Snapshot::open(self).await?.log(None).await?;
        let last = log.iter().filter_map(|facts| facts.number).max();
        let mut rebuilt = Vec::new();
        for facts in &log {
            let Some(id) = facts.batch else { continue };
            let cutoff = cutoff(id.date());
            let window = doc! { "timezone": zone, "cutoff": bson_date(cutoff) };
            // All batches before the last one were marked, or it could not begin.
            let is_marking = self.pieces(id).await?.is_some()
                || (facts.number.is_some() && facts.number == last && self.has_unmarked(id, facts, cutoff).await?);
            let state = if is_marking { State::Marking } else { State::Completed };
            if self.rebuild_batch(id, facts, window, state).await? {
                rebuilt.push(id);
            }
        }
        let made = self.rebuild_ledger(&log).await?;
        Ok((rebuilt, made))
    }

    /// Whether rows of a batch may still be queued: neither its marked rows nor its records are all there, and rows are due by its cut-off.
    /// This reads the queue and all records once.
    async fn has_unmarked(&self, id: BatchId, facts: &LogFacts, cutoff: DateTime<Utc>) -> Result<bool> {
        if self.due_count(cutoff).await? == 0 {
            return Ok(false);
        }
        let number = facts.number;
        let recorded = self.exported.count_documents(doc! { "$or": [{ "n": number }, { "before": number }] }).await?;
        let marked = self.queue.count_documents(doc! { "metadata.batchId": id }).await?;
        Ok(recorded.max(marked) < facts.file.entries)
    }

    async fn rebuild_batch(&self, id: BatchId, facts: &LogFacts, window: Document, state: State) -> Result<bool> {
        let unknown = doc! { "_id": id, "state": { "$nin": &COMMITTED[..] } };
        let content = doc! {
            "$set": {
                "state": state.name(),
                "number": facts.number,
                "file": file_document(&facts.file),
                "marked": if state == State::Marking { 0 } else { facts.file.entries as i64 },
                "holder": null,
                "leaseExpiresAt": null,
                "nextRetryAt": null,
            },
            "$max": { "fence": 1_i64, "attempt": facts.attempt.unwrap_or(1) as i32 },
            "$setOnInsert": { "window": window },
            "$currentDate": { "updatedAt": true },
        };
        match self.bounded(self.batches.update_one(unknown, content).upsert(true)).await {
            Ok(_) => Ok(true),
            // The document exists and is committed.
            Err(error) if error.kind == Kind::DuplicateKey => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn rebuild_ledger(&self, log: &[LogFacts]) -> Result<bool> {
        // The log may lack the last ones, too: a number is never given out twice.
        let (mut number, mut sha256) = self.highest_number().await?;
        if let Some(last) = log.iter().max_by_key(|facts| facts.number).filter(|last| last.number >= Some(number)) {
            (number, sha256) = (last.number.unwrap_or(0), Some(last.file.sha256.clone()));
        }
        if number == 0 {
            return Ok(false);
        }
        let marking = doc! { "_id": ids_of_batches(), "state": State::Marking.name() };
        let marking = self.bounded(self.batches.find_one(marking)).await?;
        let marking = doc! { "marking": marking.as_ref().and_then(|batch| text(batch, "_id")) };
        let mut next = doc! { "number": number, "lastSha256": sha256 };
        next.extend(marking.clone());
        let behind = doc! { "_id": LEDGER, "number": { "$lt": number } };
        let update = self.batches.update_one(behind, doc! { "$set": next }).upsert(true);
        match self.bounded(update).await {
            // The ledger exists, and its number is not lower.
            Err(error) if error.kind == Kind::DuplicateKey => {
                let update = self.batches.update_one(doc! { "_id": LEDGER }, doc! { "$set": marking });
                self.bounded(update).await.map(|_| false)
            }
            result => result.map(|done| done.upserted_id.is_some()),
        }
    }
}
