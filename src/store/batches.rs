//! The batch documents between acquisition and commit: every write carries the holder's fence.
//!
//! A fenced write that matches nothing means that another run took over. It is not an error of the database: it is returned
//! as `false` or `None`, and the pass ends without another write.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use mongodb::options::ReturnDocument;

use super::document::{self, Damaged, file_document, settings_document};
use super::error::{Kind, Result, StoreError, on};
use super::expressions::{attempt, failed_attempt, history_with, literal, millis, passed, void_when_given_up};
use super::untold::{Teller, something_left};
use super::{COMMITTED, Store, WAIT_MAX};
use crate::batch::{Batch, BatchId, CutList, Details, Ending, Event, ExportSettings, FileFacts, State, Voided};
use crate::failure::{Failure, Stage};

/// The right to work on a batch, until another run acquires the batch.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub batch: BatchId,
    /// The fencing token of this acquisition.
    pub fence: i64,
    pub attempt: i32,
}

impl Claim {
    /// Matches the batch document while it is held under this claim. After the commit nobody holds it.
    pub(super) fn filter(&self) -> Document {
        doc! { "_id": self.batch, "fence": self.fence, "state": State::Running.name() }
    }
}

/// How an attempt ended without a commit.
#[derive(Clone, Copy, Debug)]
pub enum Ended<'a> {
    Empty,
    Failed(Stage, &'a Failure),
    /// It was told to stop.
    Interrupted(Stage, &'a Failure),
}

/// A batch in a list, with the database's time.
#[derive(Clone, Debug)]
pub struct Overview {
    pub batch: Batch,
    /// Whether its back-off or its lease has run out, by the database's clock.
    pub due: bool,
    /// The database's clock at the time of the scan.
    pub now: DateTime<Utc>,
}

impl Overview {
    /// Whether its day has not come yet by the database's clock, and nobody began it early. Version 0.1 could make such a
    /// batch.
    pub fn is_ahead(&self) -> bool {
        !self.batch.early && self.batch.cutoff > self.now
    }
}

impl Store {
    /// Extends the lease; allowed until another run acquires the batch, even when the lease ran out.
    ///
    /// It writes the same document as the commit transaction, so it waits for a commit in progress and returns the
    /// state after that commit. `None` when the batch is held under another fence or no longer held.
    pub async fn renew(&self, claim: &Claim) -> Result<Option<Batch>> {
        let until = doc! { "$add": ["$$NOW", millis(self.config.lease)] };
        self.change(claim.filter(), vec![doc! { "$set": { "leaseExpiresAt": until } }]).await
    }

    /// Whether the batch is still held under this claim.
    pub(crate) async fn is_held(&self, claim: &Claim) -> Result<bool> {
        let held = self.batches.count_documents(claim.filter());
        Ok(self.bounded(held).await? > 0)
    }

    /// Stores the manifest with the file id, and what decided the bytes, before the first byte leaves. The document as it is then, or
    /// `None` when the claim is lost.
    pub async fn record_file(
        &self,
        claim: &Claim,
        file: &FileFacts,
        settings: &ExportSettings,
    ) -> Result<Option<Batch>> {
        self.change(claim.filter(), vec![file_changes(file, settings)]).await
    }

    /// Records that nothing exists under the id of the batch's file.
    pub async fn mark_unsent(&self, claim: &Claim, file_id: &str) -> Result<()> {
        let mut filter = claim.filter();
        filter.insert("file.id", file_id);
        self.change(filter, vec![doc! { "$set": { "file.unsent": true, "updatedAt": "$$NOW" } }]).await.map(drop)
    }

    /// Gives up a file id for good and stores the one that replaces it, in one step. An id under which nothing can exist is not listed. The
    /// document as it is then, or `None` when the claim is lost.
    pub async fn void_file(
        &self,
        claim: &Claim,
        old: &Voided,
        replacement: Option<&FileFacts>,
    ) -> Result<Option<Batch>> {
        let entry = doc! {
            "id": literal(old.id.as_str()),
            "destination": literal(old.destination.clone()),
            "sha256": literal(old.sha256.clone()),
            "reason": literal(old.reason.as_str()),
            "at": "$$NOW",
            "trashed": false,
        };
        let mut filter = claim.filter();
        filter.insert("file.id", &old.id);
        let listed = doc! { "$cond": [{ "$eq": ["$file.unsent", true] }, [], [entry]] };
        let changes = doc! { "$set": {
            "voided": { "$concatArrays": [{ "$ifNull": ["$voided", []] }, listed] },
            "file": literal(replacement.map(file_document)),
            "updatedAt": "$$NOW",
        }};
        self.change(filter, vec![changes]).await
    }

    /// Records that a voided file is in the trash. It needs no fence: a voided id never becomes official. `false` when no voided file has this
    /// id.
    pub async fn mark_trashed(&self, batch: BatchId, file_id: &str) -> Result<bool> {
        let filter = doc! { "_id": batch, "voided.id": file_id };
        let update = self
            .batches
            .update_one(filter, doc! { "$set": { "voided.$[it].trashed": true } })
            .array_filters([doc! { "it.id": file_id }]);
        Ok(self.bounded(update).await?.matched_count > 0)
    }

    /// Records that an official file is sealed, and whether Drive protects it from changes. It needs no fence: a
    /// committed batch keeps its file for good.
    pub async fn mark_sealed(&self, batch: BatchId, file_id: &str, restricted: bool) -> Result<()> {
        let filter = doc! { "_id": batch, "file.id": file_id, "state": { "$in": &COMMITTED[..] } };
        let changes = doc! { "$set": { "file.sealed": true, "file.restricted": restricted } };
        self.bounded(self.batches.update_one(filter, changes)).await.map(drop)
    }

    /// Ends the attempt and releases the batch.
    ///
    /// Returns the document after the write; `None` when the claim is lost.
    pub async fn release(&self, claim: &Claim, ended: Ended<'_>) -> Result<Option<Batch>> {
        self.change(claim.filter(), self.released(ended)).await
    }

    /// The changes of a batch whose attempt ends.
    pub(super) fn released(&self, ended: Ended<'_>) -> Vec<Document> {
        let delays: Vec<i64> = self.config.retry_delays.iter().map(|delay| millis(*delay)).collect();
        let used_up = doc! { "$gt": ["$attempt", delays.len() as i32] };
        let delay = doc! { "$arrayElemAt": [&delays, { "$subtract": ["$attempt", 1] }] };
        let (entry, state, next, event): (Document, Bson, Bson, Bson) = match ended {
            Ended::Empty => (
                attempt(Ending::Empty, None, Some(Stage::Generate), None),
                State::Empty.name().into(),
                Bson::Null,
                Bson::Null,
            ),
            Ended::Failed(stage, failure) => (
                failed_attempt(Ending::Failed, stage, failure),
                doc! { "$cond": [&used_up, State::Exhausted.name(), State::Failed.name()] }.into(),
                doc! { "$cond": [&used_up, null, { "$add": ["$$NOW", delay] }] }.into(),
                doc! { "$cond": [&used_up, Event::Exhausted.name(), Event::Failed.name()] }.into(),
            ),
            Ended::Interrupted(stage, failure) => (
                failed_attempt(Ending::Interrupted, stage, failure),
                State::Failed.name().into(),
                "$$NOW".into(),
                Event::Interrupted.name().into(),
            ),
        };
        let (refused, details) = match ended {
            Ended::Failed(_, failure) => {
                let refused = CutList::from(&failure.invalid[..]);
                let ids = refused.first.iter().map(|invalid| refused_id(invalid.id())).collect();
                let next = Some(failure.next_step().to_owned());
                (ids, self.untold_details(&Details { refused, next, ..Details::of_this_invocation() }))
            }
            Ended::Interrupted(..) => (Vec::new(), self.untold_details(&Details::of_this_invocation())),
            Ended::Empty => (Vec::new(), "$$REMOVE".into()),
        };
        let changes = doc! { "$set": {
            "state": state,
            "refused": literal(refused),
            "nextRetryAt": next,
            "history": history_with(vec![entry]),
            "untold": self.untold(event, Teller::ThisRun),
            "untoldDetails": details,
            "holder": null,
            "leaseExpiresAt": null,
            "updatedAt": "$$NOW",
        }};
        vec![changes, void_when_given_up()]
    }

    /// Takes a batch from its holder and makes it due at once, with all its attempts again; a batch whose day has not come
    /// is given up instead, and its day begins anew at its cut-off. The fence grows, so that the old holder can write
    /// nothing more. `None` when the document changed since `seen` was read.
    pub async fn unlock(&self, seen: &Overview, by: &str, reason: Option<&str>) -> Result<Option<Batch>> {
        let message = format!("by {by}: {}", reason.unwrap_or("no reason given"));
        let entry = attempt(Ending::Unlocked, None, None, Some(&message));
        let marking = doc! { "$eq": ["$state", State::Marking.name()] };
        let (free, next): (State, Bson) =
            if seen.is_ahead() { (State::Empty, Bson::Null) } else { (State::Failed, "$$NOW".into()) };
        let changes = doc! { "$set": {
            "state": { "$cond": [&marking, "$state", free.name()] },
            "attempt": { "$cond": [&marking, "$attempt", 0] },
            "nextRetryAt": { "$cond": [&marking, null, next] },
            "fence": { "$add": ["$fence", 1] },
            "history": history_with(vec![entry]),
            "untold": "$$REMOVE",
            "untoldDetails": "$$REMOVE",
            "holder": null,
            "leaseExpiresAt": null,
            "updatedAt": "$$NOW",
        }};
        let seen = &seen.batch;
        let filter = doc! { "_id": seen.id, "fence": seen.fence, "state": seen.state.name() };
        self.change(filter, vec![changes, void_when_given_up()]).await
    }

    pub async fn batch(&self, id: BatchId) -> Result<Option<Batch>> {
        let found = self.bounded(self.batches.find_one(doc! { "_id": id })).await?;
        found.as_ref().map(document::batch).transpose()
    }

    /// The batch whose official file has this id.
    pub async fn batch_of_file(&self, id: &str) -> Result<Option<BatchId>> {
        let filter = doc! { "_id": ids_of_batches(), "file.id": id, "state": { "$in": &COMMITTED[..] } };
        let found = self.bounded(self.batches.find_one(filter).projection(doc! { "_id": 1 })).await?;
        Ok(found.and_then(|found| document::text(&found, "_id")?.parse().ok()))
    }

    /// Batches of a range of business dates (both ends included), newest first, at most `limit`.
    pub async fn batch_range(
        &self,
        dates: RangeInclusive<BatchId>,
        limit: i64,
    ) -> Result<Vec<Result<Overview, Damaged>>> {
        self.overview(doc! { "_id": { "$gte": dates.start(), "$lte": dates.end() } }, limit).await
    }

    /// The latest `limit` batches of a range of business dates (both ends included), oldest first, whatever is in their documents.
    pub async fn batch_ids(&self, dates: RangeInclusive<BatchId>, limit: i64) -> Result<Vec<BatchId>> {
        let within = doc! { "_id": { "$gte": dates.start(), "$lte": dates.end() } };
        let find = self.batches.find(doc! { "$and": [within, { "_id": ids_of_batches() }] });
        let find = find.sort(doc! { "_id": -1 }).limit(limit).projection(doc! { "_id": 1 });
        let found = self.all(find).await?;
        Ok(found.iter().rev().filter_map(|batch| document::text(batch, "_id")?.parse().ok()).collect())
    }

    /// The batch documents that cannot be read, oldest first.
    pub async fn damaged_batches(&self) -> Result<Vec<Damaged>> {
        self.damaged_among(doc! { "_id": ids_of_batches() }).await
    }

    /// The batch documents that match and cannot be read, oldest first. Reads only what every batch needs.
    pub(super) async fn damaged_among(&self, filter: Document) -> Result<Vec<Damaged>> {
        let needed = doc! { "state": 1, "window": 1, "fence": 1, "attempt": 1, "number": 1 };
        let found = self.all(self.batches.find(filter).sort(doc! { "_id": 1 }).projection(needed)).await?;
        Ok(found.iter().filter_map(document::read).filter_map(Result::err).collect())
    }

    /// How many batches are older than this one.
    pub async fn older_batches(&self, than: BatchId) -> Result<u64> {
        let filter = doc! { "$and": [{ "_id": { "$lt": than } }, { "_id": ids_of_batches() }] };
        self.bounded(self.batches.count_documents(filter)).await
    }

    /// The earliest batch; `None` before the first one.
    pub async fn earliest_batch(&self) -> Result<Option<BatchId>> {
        let find = self.batches.find_one(doc! { "_id": ids_of_batches() });
        let find = find.sort(doc! { "_id": 1 }).projection(doc! { "_id": 1 });
        let found = self.bounded(find).await?;
        Ok(found.and_then(|found| document::text(&found, "_id")?.parse().ok()))
    }

    /// The batches that may need work: unfinished ones, those with a voided file that is not in the trash, with an
    /// official file that is not sealed or with an event that was not notified, those with an unknown state, and the batch `latest`.
    pub async fn unfinished(&self, latest: BatchId) -> Result<Vec<Result<Overview, Damaged>>> {
        let unfinished = [State::Failed, State::Running, State::Marking, State::Exhausted].map(State::name);
        // A run takes a document without any state for a new one, so none is begun because of it.
        let known = State::ALL.map(|state| Bson::from(state.name())).into_iter().chain([Bson::Null]);
        let filter = doc! { "$or": [
            { "_id": latest },
            { "state": { "$in": &unfinished[..] } },
            { "state": { "$nin": known.collect::<Vec<_>>() } },
            { "voided.trashed": false },
            something_left(),
            { "state": State::Completed.name(), "file.sealed": false },
        ]};
        self.overview(filter, 10_000).await
    }

    async fn overview(&self, filter: Document, limit: i64) -> Result<Vec<Result<Overview, Damaged>>> {
        let held = [State::Running.name(), State::Marking.name()];
        let pipeline = [
            doc! { "$match": { "$and": [filter, { "_id": ids_of_batches() }] } },
            doc! { "$sort": { "_id": -1 } },
            doc! { "$limit": limit },
            doc! { "$set": {
                "_now": "$$NOW",
                "_due": { "$switch": {
                    "branches": [
                        { "case": { "$eq": ["$state", State::Failed.name()] }, "then": passed("$nextRetryAt") },
                        { "case": { "$in": ["$state", &held[..]] }, "then": passed("$leaseExpiresAt") },
                    ],
                    "default": false,
                }},
            }},
        ];
        let documents = self.all(self.batches.aggregate(pipeline)).await?;
        documents
            .iter()
            .filter_map(|found| Some((found, document::read(found)?)))
            .map(|(found, read)| {
                let due = found.get_bool("_due").unwrap_or(false);
                let now = document::date(found, "_now")
                    .ok_or_else(|| StoreError::malformed("a batch came without the database's time"))?;
                Ok(read.map(|batch| Overview { batch, due, now }))
            })
            .collect()
    }

    async fn change(&self, filter: Document, pipeline: Vec<Document>) -> Result<Option<Batch>> {
        let update = self.batches.find_one_and_update(filter.clone(), pipeline).return_document(ReturnDocument::After);
        match self.bounded(update.max_time(WAIT_MAX)).await {
            Ok(found) => found.as_ref().map(document::batch).transpose(),
            Err(error) => Err(self.conflict_behind(on(&self.batches)(error), filter).await),
        }
    }

    /// The write conflict behind a write that waited for too long: the server does not tell what it waited for. In a transaction a write does
    /// not wait for another one, and fails at once.
    pub(super) async fn conflict_behind(&self, error: StoreError, filter: Document) -> StoreError {
        if error.kind != Kind::PassedLimit {
            return error;
        }
        let touched = doc! { "$currentDate": { "updatedAt": true } };
        let tried = self.in_transaction(async |session| {
            self.bounded(self.batches.update_one(filter, touched).session(session)).await?;
            Ok(None::<()>)
        });
        match tried.await {
            Err(StoreError { kind: Kind::WriteConflict, .. }) => {
                let name = self.batches.name();
                StoreError::held(format!("a transaction that has not ended holds the batch document in {name}"))
            }
            Ok(_) | Err(_) => error,
        }
    }
}

/// What [`Store::record_file`] writes.
pub(super) fn file_changes(file: &FileFacts, settings: &ExportSettings) -> Document {
    doc! { "$set": {
        "file": literal(file_document(file)),
        "settings": literal(settings_document(settings)),
        "updatedAt": "$$NOW",
    }}
}

/// Matches the ids of batches, but neither the ledger in the same collection nor what somebody else put there.
pub(super) fn ids_of_batches() -> Document {
    doc! { "$regex": format!("^{}[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$", BatchId::PREFIX) }
}

/// The id in the type of the application's documents: an ObjectId, unless it is something else.
fn refused_id(id: &str) -> Bson {
    ObjectId::parse_str(id).map_or_else(|_| Bson::String(id.to_owned()), Bson::ObjectId)
}
