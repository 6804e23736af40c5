//! What the commit transaction reads and writes, in the order that the module above gives reasons for.

use chrono::{DateTime, Utc};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use mongodb::{ClientSession, error::Error};

use super::{CommitRequest, Committed, completion};
use crate::batch::{Event, FileFacts, State};
use crate::id::Id;
use crate::store::batches::Claim;
use crate::store::document::{bson_date, date, file_document, int};
use crate::store::due::{CHUNK_ROWS, due_filter};
use crate::store::entries::fetch;
use crate::store::error::StoreError;
use crate::store::expressions::literal;
use crate::store::{LEDGER, Store};

/// Ids per command: the server is fastest with few large lists.
const ROWS_PER_COMMAND: usize = 10_000;

/// Why one run of the transaction ended.
pub(super) enum Stopped {
    Conflict(String),
    LeaseLost,
    Error(StoreError),
    /// The commit was sent and not answered.
    Unanswered(StoreError),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Stopped {
        Stopped::Error(error.into())
    }
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Stopped {
        Stopped::Error(error)
    }
}

impl Store {
    /// Everything that happens inside the transaction.
    pub(super) async fn write_all(
        &self,
        session: &mut ClientSession,
        request: &CommitRequest<'_>,
    ) -> Result<Committed, Stopped> {
        let first = request.first();
        let committed = Committed { number: request.ledger.number + 1, marking: request.has_rest() };
        self.advance_ledger(session, request, committed).await?;
        let now = self.write_batch(session, request, committed, first.len()).await?;
        self.check_entries(session, request).await?;
        self.check_queued(session, request).await?;
        let marked = self.mark_rows(session, &first, request.claim, request.file, Some(request.cutoff)).await?;
        if marked != first.len() as u64 {
            let changed = first.len() as u64 - marked;
            return Err(Stopped::Conflict(format!("{changed} rows were taken back or changed since they were read")));
        }
        self.hold_rows(session, request).await?;
        self.log.insert_one(log_entry(request, committed, now)).session(&mut *session).await?;
        if !committed.marking {
            // Of an earlier attempt, or of this one before rows were taken back.
            self.delete_row_lists(session, request.claim.batch).await?;
        }
        Ok(committed)
    }

    async fn advance_ledger(
        &self,
        session: &mut ClientSession,
        request: &CommitRequest<'_>,
        committed: Committed,
    ) -> Result<(), Stopped> {
        let marking = committed.marking.then_some(request.claim.batch);
        let seen = doc! { "_id": LEDGER, "number": request.ledger.number, "marking": null };
        let next = doc! { "$set": {
            "number": committed.number,
            "lastSha256": &request.file.sha256,
            "marking": marking,
        }};
        let result = self.batches.update_one(seen, next).session(session).await?;
        if result.matched_count == 0 {
            return Err(Stopped::Conflict("another batch was committed since the entries were read".to_owned()));
        }
        Ok(())
    }

    /// Returns the database's clock.
    async fn write_batch(
        &self,
        session: &mut ClientSession,
        request: &CommitRequest<'_>,
        committed: Committed,
        marked: usize,
    ) -> Result<DateTime<Utc>, Stopped> {
        let mut filter = request.claim.uncommitted();
        filter.insert("file.id", &request.file.id);
        let mut changes = doc! {
            "state": State::Marking.name(),
            "number": committed.number,
            "file": literal(file_document(request.file)),
            "marked": marked as i64,
            "updatedAt": "$$NOW",
        };
        if committed.marking {
            changes.insert("rowList", doc! { "fence": request.claim.fence, "from": marked as i64 });
        } else {
            changes.extend(completion(self.untold(Event::Completed.name())));
        }
        let update = self
            .batches
            .find_one_and_update(filter, vec![doc! { "$set": changes }])
            .return_document(ReturnDocument::After)
            .session(session);
        let Some(batch) = update.await? else { return Err(Stopped::LeaseLost) };
        Ok(date(&batch, "updatedAt").unwrap_or_default())
    }

    /// The entries must still be what the file says. Read inside the transaction, so that nothing comes between.
    async fn check_entries(&self, session: &mut ClientSession, request: &CommitRequest<'_>) -> Result<(), Stopped> {
        for (rows, fingerprint) in request.rows.chunks(CHUNK_ROWS).zip(request.fingerprints) {
            let now = fetch(&self.entries, session, rows.iter(), request.with_metadata).await?;
            if now.fingerprint != *fingerprint {
                return Err(Stopped::Conflict("entries were edited since they were read".to_owned()));
            }
        }
        Ok(())
    }

    /// Rows that are marked after the commit point must still be due at it.
    async fn check_queued(&self, session: &mut ClientSession, request: &CommitRequest<'_>) -> Result<(), Stopped> {
        for rows in chunks(request.rest(), ROWS_PER_COMMAND) {
            let mut filter = due_filter(request.cutoff);
            filter.insert("_id", ids(&rows));
            let queued = self.queue.count_documents(filter).session(&mut *session).await?;
            if queued != rows.len() as u64 {
                let changed = rows.len() as u64 - queued;
                let reason = format!("{changed} rows were taken back or changed since they were read");
                return Err(Stopped::Conflict(reason));
            }
        }
        Ok(())
    }

    /// Marks rows as exported; returns how many still were as expected. With a cut-off they must still be due by it.
    pub(in crate::store) async fn mark_rows(
        &self,
        session: &mut ClientSession,
        rows: &[Id],
        claim: &Claim,
        file: &FileFacts,
        cutoff: Option<DateTime<Utc>>,
    ) -> mongodb::error::Result<u64> {
        // A pipeline, because it writes below `metadata` even where that is null.
        let changes = doc! { "$set": {
            "status": "completed",
            "completedAt": "$$NOW",
            "updatedAt": "$$NOW",
            "metadata.batchId": literal(claim.batch),
            "metadata.googleDriveFileId": literal(file.id.as_str()),
            "metadata.googleDriveUrl": literal(file.link.clone()),
        }};
        let mut marked = 0;
        for rows in rows.chunks(ROWS_PER_COMMAND) {
            let mut filter = match cutoff {
                Some(cutoff) => due_filter(cutoff),
                None => doc! { "exportPath": "scheduled", "status": "queued" },
            };
            filter.insert("_id", ids(rows));
            let update = self.queue.update_many(filter, vec![changes.clone()]).session(&mut *session);
            marked += update.await?.modified_count;
        }
        Ok(marked)
    }

    /// Marks the rows that are held back as failed, each with its reason.
    async fn hold_rows(&self, session: &mut ClientSession, request: &CommitRequest<'_>) -> Result<(), Stopped> {
        for held in request.held.chunks(1_000) {
            let updates: Vec<Document> = held
                .iter()
                .map(|(key, reason)| {
                    let mut filter = due_filter(request.cutoff);
                    filter.insert("_id", key.row);
                    let reason = literal(reason.as_str());
                    let changes = doc! { "status": "failed", "lastError": reason, "updatedAt": "$$NOW" };
                    doc! { "q": filter, "u": [{ "$set": changes }] }
                })
                .collect();
            let command = doc! { "update": &self.settings.collections.queue, "updates": updates };
            let answer = self.db.run_command(command).session(&mut *session).await?;
            if int(&answer, "nModified") != Some(held.len() as i64) {
                return Err(Stopped::Conflict(
                    "rows that were to be held back changed since they were read".to_owned(),
                ));
            }
        }
        Ok(())
    }
}

/// Rows as a condition on `_id`.
pub(in crate::store) fn ids(rows: &[Id]) -> Document {
    doc! { "$in": rows.iter().copied().map(Bson::from).collect::<Vec<_>>() }
}

/// Cut into pieces, the last one shorter.
pub(in crate::store) fn chunks<T>(mut all: impl Iterator<Item = T>, length: usize) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let chunk: Vec<T> = all.by_ref().take(length).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn log_entry(request: &CommitRequest<'_>, committed: Committed, now: DateTime<Utc>) -> Document {
    let (claim, file) = (request.claim, request.file);
    doc! {
        "queueId": null,
        "action": "csv_generated",
        "message": format!("Exported {} entries to {} (batch number {})", file.entries, file.name, committed.number),
        "performedBy": "system",
        "createdAt": bson_date(now),
        "metadata": {
            "batchDate": claim.batch.date().to_string(),
            "batchId": claim.batch,
            "number": committed.number,
            "previousSha256": request.ledger.last_sha256.clone(),
            "attempt": claim.attempt,
            "filename": &file.name,
            "fileId": &file.id,
            "webViewLink": file.link.clone(),
            "entryCount": file.entries as i64,
            "rowCount": file.rows as i64,
            "csvSize": file.bytes as i64,
            "sha256": &file.sha256,
            "totalDebit": file.total_debit,
            "totalCredit": file.total_credit,
        },
    }
}
