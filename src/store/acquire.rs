//! The lock: one atomic acquisition of the batch document.
//!
//! Risk: two schedulers, a `retry` on another machine, a person, and a paused run whose lease has ended all race for
//! one batch. So one `findOneAndUpdate` on `_id` with an update pipeline decides everything, with the server's time
//! (`$$NOW`) in every condition. Conditions in the filter would not work: an upsert refuses `$expr`, and a filter that
//! does not match would insert a second document. So the pipeline chooses its changes by a switch, which may
//! choose none. The holder's id in the returned document tells who holds the batch.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;

use super::document::{self, bson_date};
use super::error::{Kind, Result, StoreError, on};
use super::expressions::{attempt, history_with, literal, millis, passed, void_when_given_up};
use super::{Claim, Store, Teller, WAIT_MAX};
use crate::batch::{Batch, BatchId, Class, Ending, Event, State};
use crate::command::CommandName;

#[derive(Clone, Debug)]
pub struct Acquisition {
    pub batch: BatchId,
    /// Identity of this invocation, a UUID.
    pub holder_id: String,
    pub host: String,
    pub command: CommandName,
    /// Zone of a new batch's window.
    pub timezone: Tz,
    /// Cut-off of a new batch; a batch that exists keeps its own, so that every attempt exports the same window.
    pub cutoff: DateTime<Utc>,
    /// Whether a batch may begin: its cut-off has passed, or a person does not wait for it.
    pub begins: bool,
    /// Whether it begins before its cut-off.
    pub early: bool,
    /// Take a failed batch before its back-off has passed.
    pub ignore_back_off: bool,
    /// Take a batch whose refused entries are corrected; its attempts are counted from 1 again.
    pub corrected: bool,
}

#[derive(Clone, Debug)]
pub enum Acquired {
    /// This run holds the batch.
    Ours(Claim, Box<Batch>),
    /// The batch was not acquired: its state says why. `None` when there is no batch, and its day has not begun.
    Refused(Option<Box<Batch>>),
}

impl Store {
    /// Acquires a batch, or says why not.
    pub async fn acquire(&self, request: &Acquisition) -> Result<Acquired> {
        let Some(found) = self.find_and_acquire(request).await? else {
            return Ok(Acquired::Refused(None));
        };
        let batch = document::batch(&found)?;
        if batch.holder.as_ref().is_some_and(|holder| holder.id == request.holder_id) {
            let claim = Claim { batch: batch.id, fence: batch.fence, attempt: batch.attempt };
            return Ok(Acquired::Ours(claim, Box::new(batch)));
        }
        Ok(Acquired::Refused(Some(Box::new(batch))))
    }

    async fn find_and_acquire(&self, request: &Acquisition) -> Result<Option<Document>> {
        let pipeline = self.acquisition_pipeline(request);
        // Two upserts of one new `_id` may collide; the loser finds the document at its next try.
        for _ in 0..3 {
            let update = self
                .batches
                .find_one_and_update(doc! { "_id": request.batch }, pipeline.clone())
                .upsert(request.begins)
                .max_time(WAIT_MAX)
                .return_document(ReturnDocument::After);
            match self.bounded(update).await {
                Err(error) if error.kind == Kind::DuplicateKey => {}
                Ok(found) => return Ok(found),
                Err(error) => {
                    let error = on(&self.batches)(error);
                    return Err(self.conflict_behind(error, doc! { "_id": request.batch }).await);
                }
            }
        }
        Err(StoreError::failing(format!("{} could not be acquired: its creation kept colliding", request.batch)))
    }

    pub(super) fn acquisition_pipeline(&self, request: &Acquisition) -> Vec<Document> {
        let due: Bson = if request.ignore_back_off { true.into() } else { passed("$nextRetryAt").into() };
        let attempts_max = 1 + self.config.retry_delays.len() as i32;
        let is = |state: State| doc! { "$eq": ["$state", state.name()] };
        // No run can read such a document, so no run acquires it. Of a double, the rest is computed only where it is one.
        let is_counter = |field: &str| {
            doc! { "$cond": [
                { "$eq": [{ "$type": field }, "double"] },
                { "$eq": [{ "$mod": [field, 1] }, 0] },
                { "$in": [{ "$type": field }, ["missing", "null", "int", "long"]] },
            ]}
        };
        let without_window = doc! { "$and": [{ "$ne": [{ "$type": "$state" }, "missing"] }, { "$or": [
            { "$ne": [{ "$type": "$window.cutoff" }, "date"] },
            { "$eq": [{ "$ifNull": ["$window.timezone", ""] }, ""] },
        ]}]};
        let counts = doc! { "$and": [is_counter("$fence"), is_counter("$attempt")] };
        let malformed = doc! { "$or": [without_window, { "$not": [counts] }] };
        let case = |condition: Document, changes: Document| doc! { "case": condition, "then": changes };
        // The cut-off decides when a batch begins, not when it continues. A new batch, and the next one of a day that was
        // empty, begin after the cut-off, or earlier when a person asks for it. From then on any run continues the batch at
        // any time. An early batch that is taken up after its cut-off is no longer early: it takes all the day's rows. The
        // last condition is for batches of version 0.1, which could have a date of the future.
        let has_begun = doc! { "$or": [request.begins, "$window.early", { "$lte": ["$window.cutoff", "$$NOW"] }] };
        let ours = self.holding(request);
        let with = |more: Document| {
            let mut changes = ours.clone();
            changes.extend(more);
            changes
        };
        // An interruption uses up no attempt: the next one has the same number.
        let next_attempt = doc! { "$cond": [
            { "$eq": [{ "$last": { "$ifNull": ["$history.outcome", []] } }, Ending::Interrupted.name()] },
            { "$max": [1, "$attempt"] },
            { "$add": [{ "$ifNull": ["$attempt", 0] }, 1] },
        ]};
        let new = doc! {
            "state": State::Running.name(),
            "attempt": 1,
            "window": {
                "timezone": literal(request.timezone.name()),
                "cutoff": bson_date(request.cutoff),
                "early": request.early,
            },
            "marked": 0_i64,
            "createdAt": { "$ifNull": ["$createdAt", "$$NOW"] },
        };
        let still_early = doc! { "$and": [{ "$ifNull": ["$window.early", false] }, request.early || !request.begins] };
        let window = doc! { "$mergeObjects": ["$window", { "early": still_early }] };
        let afresh = doc! { "state": State::Running.name(), "attempt": 1, "window": &window };
        let again = doc! { "state": State::Running.name(), "attempt": next_attempt, "window": &window };
        let take_over = doc! { "attempt": { "$add": ["$attempt", 1] }, "history": crashed(request), "window": &window };
        let exhaust = doc! {
            "state": State::Exhausted.name(),
            "fence": { "$add": ["$fence", 1] },
            "holder": null,
            "leaseExpiresAt": null,
            "updatedAt": "$$NOW",
            "history": crashed(request),
            // The pass that finds it has no result that says so; `retry` delivers it.
            "untold": self.untold(Event::Exhausted.name(), Teller::NextRetry),
            "untoldDetails": "$$REMOVE",
        };
        let is_new = doc! { "$eq": [{ "$ifNull": ["$state", State::Empty.name()] }, State::Empty.name()] };
        let is_expired = doc! { "$and": [is(State::Running), passed("$leaseExpiresAt")] };
        let has_attempts = doc! { "$lt": ["$attempt", attempts_max] };
        let changes = doc! { "$switch": {
            "branches": [
                case(malformed, doc! {}),
                case(doc! { "$and": [is_new, request.begins] }, with(new)),
                case(doc! { "$not": [has_begun] }, doc! {}),
                case(doc! { "$and": [request.corrected, { "$or": [is(State::Failed), is(State::Exhausted)] }] }, with(afresh)),
                case(doc! { "$and": [is(State::Failed), due] }, with(again)),
                case(doc! { "$and": [&is_expired, has_attempts] }, with(take_over)),
                case(is_expired, exhaust),
            ],
            "default": {},
        }};
        vec![doc! { "$replaceWith": { "$mergeObjects": ["$$ROOT", changes] } }, void_when_given_up()]
    }

    /// The fields that every acquisition sets.
    fn holding(&self, request: &Acquisition) -> Document {
        doc! {
            "fence": { "$toLong": { "$add": [{ "$ifNull": ["$fence", 0] }, 1] } },
            "holder": {
                "id": literal(request.holder_id.as_str()),
                "host": literal(request.host.as_str()),
                "pid": i64::from(std::process::id()),
                "command": request.command.name(),
                "since": "$$NOW",
            },
            "leaseExpiresAt": { "$add": ["$$NOW", millis(self.config.lease)] },
            "nextRetryAt": null,
            "refused": [],
            "updatedAt": "$$NOW",
        }
    }
}

/// The history, with the crashed attempt of the last holder added. A holder that ended without a crash added its own
/// entry and removed `holder`; then nothing is added.
fn crashed(request: &Acquisition) -> Document {
    let message = format!("its lease expired; found by {} (pid {})", request.host, std::process::id());
    let entry = attempt(Ending::Crashed, Some(Class::Crashed), None, Some(&message));
    let added = doc! { "$cond": [{ "$eq": [{ "$type": "$holder" }, "object"] }, [entry], []] };
    history_with(added)
}
