//! The commit: one transaction that makes the file official, and what to believe when its outcome is not told.
//!
//! In this order: the ledger (another batch that committed since the snapshot stops it here), the batch document (a lost lease stops it
//! here; and as this transaction now holds that document, an acquisition or a renewal has to wait for its end), the entries once more
//! (an edit since they were read stops it here), the rows (a row that the application took back stops it here), the log.
//!
//! Nothing outside the transaction is written before it succeeds, so whatever stops it leaves nothing behind.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use mongodb::bson::{Document, doc, oid::ObjectId};
use mongodb::options::{Acknowledgment, ReadConcern, ReturnDocument, TransactionOptions, WriteConcern};
use mongodb::{ClientSession, error::Error};

use super::batches::Claim;
use super::document::{date, file_document, literal};
use super::entries::{CHUNK_ROWS, Ledger, RowKey, due_filter, entry_ids, fetch};
use super::error::{Kind, StoreError};
use super::{LEDGER, Store, acquire};
use crate::batch::{FileFacts, State};

/// Ids per command: the server is fastest with few large lists.
const ROWS_PER_COMMAND: usize = 10_000;
/// Times that the whole transaction is run when the server asks for it. A server short of cache asks for ever.
const TRANSACTION_TRIES: u32 = 6;
/// Times that the commit alone is sent when its outcome is not told.
const COMMIT_TRIES: u32 = 3;
/// How long one commit command may take before its outcome counts as not told.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long all tries together may take: the bound that a stop has to wait for.
pub const COMMIT_LIMIT: Duration = Duration::from_secs(90);

/// What is to be committed.
#[derive(Clone, Copy, Debug)]
pub struct CommitRequest<'a> {
    /// The right to do it.
    pub claim: &'a Claim,
    /// The stored file.
    pub file: &'a FileFacts,
    /// The ledger as it was at the snapshot.
    pub ledger: &'a Ledger,
    /// Every row that was due at the snapshot, in order.
    pub rows: &'a [RowKey],
    /// Per 5,000 of them, what their entries looked like.
    pub fingerprints: &'a [u64],
    /// Whether the fingerprints cover `metadata`.
    pub with_metadata: bool,
    /// The rows among them that are held back, in order, with the reason.
    pub held: &'a [(RowKey, String)],
    /// The window's cut-off.
    pub cutoff: DateTime<Utc>,
    /// Rows that one transaction may mark.
    pub transaction_rows: usize,
    /// The business date, `2026-01-18`.
    pub business_date: &'a str,
}

/// A commit that took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The batch's number.
    pub number: i64,
    /// Whether rows remain to be marked.
    pub marking: bool,
}

/// A commit that did not, or of which that is not known.
#[derive(Clone, Debug)]
pub enum CommitError {
    /// What the file shows is not what the database has now: regenerate.
    Conflict(String),
    /// Another run holds the batch.
    LeaseLost,
    /// Nobody can tell whether it took place.
    Unknown(String),
    /// It did not take place, because the database fails.
    Failed(StoreError),
}

/// Why one run of the transaction ended.
enum Stopped {
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
    /// Commits a batch. Once `stopping` says so, a transaction that did not take place is not run again.
    ///
    /// # Errors
    /// Nothing was committed, but for [`CommitError::Unknown`].
    pub async fn commit(
        &self,
        request: &CommitRequest<'_>,
        stopping: &(dyn Fn() -> bool + Sync),
    ) -> Result<Committed, CommitError> {
        let exported = exported_rows(request.rows, request.held);
        let rest = exported.get(request.transaction_rows..).unwrap_or_default();
        if !rest.is_empty() && !self.store_row_list(request.claim, rest).await.map_err(CommitError::Failed)? {
            return Err(CommitError::LeaseLost);
        }
        let deadline = Instant::now() + COMMIT_LIMIT;
        let mut tries = 0;
        loop {
            tries += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let result = match tokio::time::timeout(left, self.transaction(request, &exported)).await {
                Ok(result) => result,
                Err(_) => Err(Stopped::Unanswered(StoreError::timeout(COMMIT_LIMIT))),
            };
            let trouble = match result {
                Ok(committed) => return Ok(committed),
                Err(Stopped::Conflict(reason)) => return Err(CommitError::Conflict(reason)),
                Err(Stopped::LeaseLost) => return Err(CommitError::LeaseLost),
                Err(Stopped::Error(error)) if error.kind != Kind::TransientTransaction => {
                    return Err(CommitError::Failed(error));
                }
                Err(Stopped::Error(error)) => error,
                Err(Stopped::Unanswered(error)) => match self.settle(request).await? {
                    Some(committed) => return Ok(committed),
                    None => error,
                },
            };
            tracing::warn!(tries, "the commit transaction has to be run again: {trouble}");
            if tries == TRANSACTION_TRIES || Instant::now() >= deadline || stopping() {
                return Err(CommitError::Failed(trouble));
            }
            tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(tries)).await;
        }
    }

    /// Finds out what became of a commit that was not answered, by a fenced write on the batch document. The transaction wrote that
    /// document too, so this waits for its end; and when it then still finds the batch uncommitted under our fence, that transaction
    /// is gone for good. `None`: not committed.
    async fn settle(&self, request: &CommitRequest<'_>) -> Result<Option<Committed>, CommitError> {
        let unknown = |error: StoreError| CommitError::Unknown(error.message);
        let found = match self.renew(request.claim).await.map_err(unknown)? {
            Some(batch) => batch,
            None => match self.batch(&request.claim.batch).await.map_err(unknown)? {
                Some(batch) => batch,
                None => return Err(CommitError::LeaseLost),
            },
        };
        let ours = found.number == Some(request.ledger.number + 1)
            && found.file.as_ref().is_some_and(|file| file.id == request.file.id);
        if found.fence != request.claim.fence {
            return Err(CommitError::LeaseLost);
        }
        if found.state.is_committed() && ours {
            let number = request.ledger.number + 1;
            return Ok(Some(Committed { number, marking: found.state == State::Marking }));
        }
        Ok(None)
    }

    async fn transaction(&self, request: &CommitRequest<'_>, exported: &[[u8; 12]]) -> Result<Committed, Stopped> {
        let mut session = self.client.start_session().await?;
        session.start_transaction().with_options(transaction_options()).await?;
        let committed = match self.write_all(&mut session, request, exported).await {
            Ok(committed) => committed,
            Err(stopped) => {
                // Best effort: a transaction that nobody commits ends by itself.
                let _ = tokio::time::timeout(Duration::from_secs(2), session.abort_transaction()).await;
                return Err(stopped);
            }
        };
        commit_session(&mut session).await?;
        Ok(committed)
    }

    async fn write_all(
        &self,
        session: &mut ClientSession,
        request: &CommitRequest<'_>,
        exported: &[[u8; 12]],
    ) -> Result<Committed, Stopped> {
        let first = &exported[..exported.len().min(request.transaction_rows)];
        let rest = &exported[first.len()..];
        let committed = Committed { number: request.ledger.number + 1, marking: !rest.is_empty() };
        self.advance_ledger(session, request, committed).await?;
        let now = self.write_batch(session, request, committed, first.len()).await?;
        self.check_entries(session, request).await?;
        self.check_queued(session, request, rest).await?;
        let marked = self.mark_rows(session, first, request.claim, request.file, Some(request.cutoff)).await?;
        if marked != first.len() as u64 {
            let changed = first.len() as u64 - marked;
            return Err(Stopped::Conflict(format!("{changed} rows were taken back or changed since they were read")));
        }
        self.hold_rows(session, request).await?;
        self.log.insert_one(log_entry(request, committed, now)).session(&mut *session).await?;
        if !committed.marking {
            // Of an earlier attempt, or of this one before rows were taken back.
            self.delete_row_lists(session, &request.claim.batch).await?;
        }
        Ok(committed)
    }

    async fn advance_ledger(
        &self,
        session: &mut ClientSession,
        request: &CommitRequest<'_>,
        committed: Committed,
    ) -> Result<(), Stopped> {
        let marking = committed.marking.then_some(&request.claim.batch);
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
            changes.extend(completion());
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
            let now = fetch(&self.entries, session, entry_ids(rows), request.with_metadata).await?;
            if now.fingerprint != *fingerprint {
                return Err(Stopped::Conflict("entries were edited since they were read".to_owned()));
            }
        }
        Ok(())
    }

    /// Rows that are marked after the commit point must still be due at it.
    async fn check_queued(
        &self,
        session: &mut ClientSession,
        request: &CommitRequest<'_>,
        rest: &[[u8; 12]],
    ) -> Result<(), Stopped> {
        for rows in rest.chunks(ROWS_PER_COMMAND) {
            let mut filter = due_filter(request.cutoff);
            filter.insert("_id", ids(rows));
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
    pub(super) async fn mark_rows(
        &self,
        session: &mut ClientSession,
        rows: &[[u8; 12]],
        claim: &Claim,
        file: &FileFacts,
        cutoff: Option<DateTime<Utc>>,
    ) -> mongodb::error::Result<u64> {
        // A pipeline, because it writes below `metadata` even where that is null.
        let changes = doc! { "$set": {
            "status": "completed",
            "completedAt": "$$NOW",
            "updatedAt": "$$NOW",
            "metadata.batchId": literal(claim.batch.as_str()),
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
                    filter.insert("_id", ObjectId::from_bytes(key.row));
                    let reason = literal(reason.as_str());
                    let changes = doc! { "status": "failed", "lastError": reason, "updatedAt": "$$NOW" };
                    doc! { "q": filter, "u": [{ "$set": changes }] }
                })
                .collect();
            let command = doc! { "update": &self.settings.collections.queue, "updates": updates };
            let answer = self.db.run_command(command).session(&mut *session).await?;
            if super::document::int(&answer, "nModified") != Some(held.len() as i64) {
                return Err(Stopped::Conflict(
                    "rows that were to be held back changed since they were read".to_owned(),
                ));
            }
        }
        Ok(())
    }
}

/// Sends the commit until it is answered, a bounded number of times.
pub(super) async fn send_commit(session: &mut ClientSession) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match tokio::time::timeout(COMMIT_TIMEOUT, session.commit_transaction()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => StoreError::from(error),
            Err(_) => StoreError { kind: Kind::UnknownCommit, ..StoreError::timeout(COMMIT_TIMEOUT) },
        };
        if error.kind != Kind::UnknownCommit || tries == COMMIT_TRIES {
            return Err(error);
        }
        tracing::warn!(tries, "the outcome of the commit is not told, asking again: {error}");
        tokio::time::sleep(Duration::from_millis(100) * tries).await;
    }
}

async fn commit_session(session: &mut ClientSession) -> Result<(), Stopped> {
    send_commit(session).await.map_err(|error| match error.kind {
        // The server rolled it back, and says so.
        Kind::TransientTransaction => Stopped::Error(error),
        Kind::Denied
        | Kind::UnknownCommit
        | Kind::Snapshot
        | Kind::DuplicateKey
        | Kind::PathNotViable
        | Kind::Unavailable => Stopped::Unanswered(error),
    })
}

pub(super) fn transaction_options() -> TransactionOptions {
    TransactionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .write_concern(WriteConcern::builder().w(Acknowledgment::Majority).build())
        .build()
}

/// What the batch document gets when its last row is marked.
pub(super) fn completion() -> Document {
    let entry = doc! {
        "attempt": "$attempt",
        "holder": "$holder",
        "startedAt": "$holder.since",
        "endedAt": "$$NOW",
        "outcome": "completed",
        "class": null,
        "stage": "commit",
        "message": null,
    };
    doc! {
        "state": State::Completed.name(),
        "completedAt": "$$NOW",
        "holder": null,
        "leaseExpiresAt": null,
        "history": acquire::capped(doc! { "$concatArrays": [{ "$ifNull": ["$history", []] }, [entry]] }),
    }
}

/// Rows as a condition on `_id`.
pub(super) fn ids(rows: &[[u8; 12]]) -> Document {
    doc! { "$in": rows.iter().map(|row| ObjectId::from_bytes(*row)).collect::<Vec<_>>() }
}

/// The rows without those that are held back; both are in the same order.
fn exported_rows(rows: &[RowKey], held: &[(RowKey, String)]) -> Vec<[u8; 12]> {
    let mut held = held.iter().map(|(key, _)| key).peekable();
    rows.iter().filter(|key| held.next_if_eq(key).is_none()).map(|key| key.row).collect()
}

fn log_entry(request: &CommitRequest<'_>, committed: Committed, now: DateTime<Utc>) -> Document {
    let (claim, file) = (request.claim, request.file);
    doc! {
        "queueId": null,
        "action": "csv_generated",
        "message": format!("Exported {} entries to {} (batch number {})", file.entries, file.name, committed.number),
        "performedBy": "system",
        "createdAt": super::document::bson_date(now),
        "metadata": {
            "batchDate": request.business_date,
            "batchId": &claim.batch,
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
