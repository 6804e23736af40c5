//! The writes of the commit transaction, in the order that [`super`] explains.

use chrono::{DateTime, Utc};
use futures_util::future::{join3, try_join};
use mongodb::bson::{Bson, Document, doc};
use mongodb::{ClientSession, error::Error};

use super::{CommitError, CommitRequest};
use crate::batch::{CutList, Details, Ending, Event, FileFacts, State};
use crate::failure::Stage;
use crate::id::Id;
use crate::store::batches::Claim;
use crate::store::document::{bson_date, date, file_document, int, settings_document};
use crate::store::due::{by_id, due_filter, open_filter};
use crate::store::error::{Kind, StoreError, on};
use crate::store::exported::Again;
use crate::store::expressions::{attempt, history_with, literal};
use crate::store::neighbours::each;
use crate::store::read_back::log_facts;
use crate::store::untold::Teller;
use crate::store::{LEDGER, Store};

/// Ids per command: the server is fastest with few large lists.
pub(super) const ROWS_PER_COMMAND: usize = 10_000;

/// What one step of the transaction comes to.
pub(super) type Written<T = ()> = Result<T, CommitError>;

impl From<Error> for CommitError {
    fn from(error: Error) -> CommitError {
        StoreError::from(error).into()
    }
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> CommitError {
        match error.kind == Kind::DuplicateKey {
            true => CommitError::Conflict("an entry was exported since it was read".to_owned()),
            false => CommitError::Failed(error),
        }
    }
}

impl Store {
    /// Runs everything inside the transaction, and the comparison beside it. Returns a hash of each row's entry.
    pub(super) async fn write_all(
        &self,
        session: &mut ClientSession,
        request: &CommitRequest<'_>,
    ) -> Written<Vec<u32>> {
        self.advance(session, request).await?;
        // All three run to their ends: a transaction whose command was dropped half way cannot be aborted cleanly.
        let (compared, marked, found) =
            join3(self.compare(request), self.mark(session, request), self.look(request)).await;
        let contents = compared?;
        marked?;
        let previous = request.ledger.last_sha256.as_deref();
        let log = log_entry(request.claim, request.file, request.ledger.number + 1, previous, found?);
        let logged = self.log.insert_one(log).session(&mut *session).await;
        logged.map_err(on(&self.log))?;
        Ok(contents)
    }

    /// The ledger and the batch document, in one command.
    pub(super) async fn advance(&self, session: &mut ClientSession, request: &CommitRequest<'_>) -> Written {
        let in_pieces = request.in_pieces();
        let seen = doc! { "_id": LEDGER, "number": request.ledger.number, "marking": null };
        let next = doc! {
            "$set": {
                "number": request.ledger.number + 1,
                "lastSha256": &request.file.sha256,
                "marking": in_pieces.then_some(request.claim.batch),
            },
            // Entries that move here from another number are taken off again where they are recorded.
            "$inc": { "recorded": request.file.entries as i64 },
        };
        let mut held = request.claim.filter();
        held.insert("file.id", &request.file.id);
        let entry = attempt(Ending::Completed, None, Some(Stage::Commit), None);
        let state = if in_pieces { State::Marking } else { State::Completed };
        let mut changes = doc! {
            "state": state.name(),
            "number": request.ledger.number + 1,
            "file": literal(file_document(request.file)),
            "settings": literal(settings_document(request.settings)),
            "window.first": request.exported.map(|span| bson_date(span.first)),
            "window.last": request.exported.map(|span| bson_date(span.last)),
            "marked": if in_pieces { 0 } else { request.file.entries as i64 },
            "completedAt": if in_pieces { Bson::Null } else { "$$NOW".into() },
            // From here on nobody holds the batch, and any run may mark its rows.
            "holder": null,
            "leaseExpiresAt": null,
            "history": history_with(vec![entry]),
            "updatedAt": "$$NOW",
        };
        let first = request.held.iter().take(CutList::MAX).map(|(key, reason)| key.invalid(reason.clone()));
        let listed = CutList { count: request.held.len() as u64, first: first.collect() };
        let details = Details { carried_over: request.carried_over, held: listed, ..Details::of_this_invocation() };
        changes.insert("untoldDetails", self.untold_details(&details));
        if !in_pieces {
            changes.insert("untold", self.untold(Event::Completed.name(), Teller::ThisRun));
        }
        let updates = vec![doc! { "q": &seen, "u": next }, doc! { "q": &held, "u": [{ "$set": changes }] }];
        let command = doc! { "update": self.batches.name(), "updates": updates };
        let answer = self.db.run_command(command).session(&mut *session).await;
        let answer = answer.map_err(on(&self.batches))?;
        if let Some(error) = StoreError::in_answer(&answer) {
            return Err(on(&self.batches)(error).into());
        }
        if int(&answer, "n") == Some(2) {
            return Ok(());
        }
        let held = self.batches.find_one(doc! { "_id": request.claim.batch, "fence": request.claim.fence });
        match held.session(session).await? {
            Some(_) => Err(CommitError::Conflict("another batch was committed since the entries were read".to_owned())),
            None => Err(CommitError::LeaseLost),
        }
    }

    /// Marks the rows and records their entries, unless that is done in pieces afterwards; marks the held rows.
    pub(super) async fn mark(&self, session: &mut ClientSession, request: &CommitRequest<'_>) -> Written {
        if !request.in_pieces() {
            let rows: Vec<Id> = request.exported().map(|key| key.row).collect();
            let marks = marks(request.claim.batch.into(), request.file);
            let mut marked = 0;
            for rows in rows.chunks(ROWS_PER_COMMAND) {
                let mut filter = due_filter(request.cutoff);
                filter.extend(each(rows));
                let update = self.queue.update_many(filter, vec![completed(&marks)]).hint(by_id());
                let updated = update.session(&mut *session).await;
                marked += updated.map_err(on(&self.queue))?.modified_count;
            }
            if marked != rows.len() as u64 {
                let changed = rows.len() as u64 - marked;
                let reason = format!("{changed} rows were taken back or changed since they were read");
                return Err(CommitError::Conflict(reason));
            }
            let again = if self.config.allow_reexport { Again::Move } else { Again::Refuse };
            self.insert_exported(session, request.exported().zip((0..).map(Some)), request.ledger.number + 1, again)
                .await?;
        }
        self.hold_rows(session, request).await
    }

    /// Marks the held rows as failed, each with its reason.
    pub(super) async fn hold_rows(&self, session: &mut ClientSession, request: &CommitRequest<'_>) -> Written {
        for held in request.held.chunks(1_000) {
            let updates: Vec<Document> = held
                .iter()
                .map(|(key, reason)| {
                    let mut filter = open_filter(request.cutoff);
                    filter.insert("_id", key.row);
                    let reason = literal(reason.as_str());
                    let changes = doc! { "status": "failed", "lastError": reason, "updatedAt": "$$NOW" };
                    doc! { "q": filter, "u": [{ "$set": changes }] }
                })
                .collect();
            let command = doc! { "update": &self.config.collections.queue, "updates": updates };
            let answer = self.db.run_command(command).session(&mut *session).await;
            let answer = answer.map_err(on(&self.queue))?;
            if let Some(error) = StoreError::in_answer(&answer) {
                return Err(on(&self.queue)(error).into());
            }
            if int(&answer, "nModified") != Some(held.len() as i64) {
                return Err(CommitError::Conflict(
                    "rows that were to be held back changed since they were read".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// The work beside the transaction: checks that the log has no export of this batch yet, removes row lists of
    /// earlier attempts when this one has none, and returns the database's clock.
    async fn look(&self, request: &CommitRequest<'_>) -> Written<DateTime<Utc>> {
        let of_batch = doc! { "action": "csv_generated", "metadata.batchId": request.claim.batch };
        let pipeline = [
            doc! { "$match": { "_id": LEDGER } },
            doc! { "$project": { "now": "$$NOW" } },
            doc! { "$unionWith": { "coll": self.log.name(), "pipeline": [{ "$match": of_batch }] } },
        ];
        let look = self.all(self.batches.aggregate(pipeline));
        let give_up = async {
            match request.in_pieces() {
                true => Ok(()),
                false => self.give_up_row_lists(request.claim).await,
            }
        };
        let (found, ()) = try_join(look, give_up).await?;
        match found.iter().find(|found| found.contains_key("action")) {
            Some(log) => Err(CommitError::Logged(log_facts(log).number)),
            None => match found.first().and_then(|found| date(found, "now")) {
                Some(now) => Ok(now),
                None => Err(StoreError::malformed(format!("the ledger is gone from {}", self.batches.name())).into()),
            },
        }
    }
}

/// The fields that every exported row gets below `metadata`.
pub(in crate::store) fn marks(batch: Bson, file: &FileFacts) -> Document {
    doc! {
        "metadata.batchId": literal(batch),
        "metadata.googleDriveFileId": literal(file.id.as_str()),
        "metadata.googleDriveUrl": literal(file.link.clone()),
    }
}

/// The update of a row that is completed. A pipeline, because it writes below `metadata` even where that is null.
pub(in crate::store) fn completed(marks: &Document) -> Document {
    let mut changes = doc! { "status": "completed", "completedAt": "$$NOW", "updatedAt": "$$NOW" };
    changes.extend(marks.clone());
    doc! { "$set": changes }
}

pub(super) fn log_entry(
    claim: &Claim,
    file: &FileFacts,
    number: i64,
    previous_sha256: Option<&str>,
    now: DateTime<Utc>,
) -> Document {
    doc! {
        "queueId": null,
        "action": "csv_generated",
        "message": format!("Exported {} entries to {} (batch number {number})", file.entries, file.name),
        "performedBy": "system",
        "createdAt": bson_date(now),
        "metadata": {
            "batchDate": claim.batch.date().to_string(),
            "batchId": claim.batch,
            "number": number,
            "previousSha256": previous_sha256,
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
