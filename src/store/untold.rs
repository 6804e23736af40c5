//! Events whose notification has not been delivered: stored in the update that changes the state, and removed after delivery.
//!
//! Risk: a process dies between its commit and its notification, or the network of the webhook is down. The next
//! `retry` finds and delivers what is left. Each change of state replaces an older event, because people need the
//! newest one. The other risk: two processes deliver the same event. So an event is taken from the start by the run
//! that will deliver it, and a `retry` takes it only some time later.

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;

use super::document::{self, details_document};
use super::error::Result;
use super::expressions::literal;
use super::{Store, WAIT_MAX};
use crate::batch::{Batch, BatchId, Details, Untold};
use crate::id::Id;

/// How long one machine may take to deliver a notification before another one tries.
const TAKEN_MS: i64 = 30_000;

/// Entries that were edited during a commit, and that the batch document lists at most.
const EDITED_MAX: usize = 1000;

/// Who delivers an event first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// This invocation, once its pass is over.
    ThisRun,
    /// The next `retry`.
    NextRetry,
}

impl Store {
    /// The value of `untold` after a change of state: an event as an expression, or none. Without a webhook the field
    /// is removed.
    pub(super) fn untold(&self, event: impl Into<Bson>, teller: Teller) -> Bson {
        match (self.config.webhook.is_some(), event.into()) {
            (false, _) | (true, Bson::Null) => "$$REMOVE".into(),
            (true, event) => {
                let mut untold = doc! { "event": event, "attempt": "$attempt", "fence": "$fence", "since": "$$NOW" };
                if teller == Teller::ThisRun {
                    untold.insert("triedAt", "$$NOW");
                }
                // As an expression: a plain document would be merged with the older event.
                doc! { "$mergeObjects": [untold] }.into()
            }
        }
    }

    /// The value of `untoldDetails` beside it; it replaces the details of an older event.
    pub(super) fn untold_details(&self, details: &Details) -> Bson {
        match self.config.webhook.is_some() {
            true => literal(details_document(details)),
            false => "$$REMOVE".into(),
        }
    }

    /// Records which entries of a committed batch were edited during its commit.
    pub async fn note_edited(&self, batch: BatchId, edited: &[Id]) -> Result<()> {
        let ids: Vec<Bson> = edited.iter().take(EDITED_MAX).copied().map(Bson::from).collect();
        let update = self.batches.update_one(doc! { "_id": batch }, doc! { "$set": { "editedAfterRead": ids } });
        self.bounded(update).await.map(drop)
    }

    /// Takes the event of a batch, so that only one machine delivers it. `None` when there is none, or another machine
    /// has taken it.
    pub async fn take_untold(&self, batch: BatchId) -> Result<Option<Batch>> {
        let free = doc! { "$lte": ["$untold.triedAt", { "$subtract": ["$$NOW", TAKEN_MS] }] };
        let filter = doc! { "_id": batch, "untold": { "$type": "object" }, "$expr": free };
        let changes = vec![doc! { "$set": { "untold.triedAt": "$$NOW" } }];
        let update = self.batches.find_one_and_update(filter, changes).return_document(ReturnDocument::After);
        let found = self.bounded(update.max_time(WAIT_MAX)).await?;
        found.as_ref().map(document::batch).transpose()
    }

    /// Records that an event was delivered, or that its delivery failed and any machine may try again. Does nothing
    /// when a newer event has replaced it.
    pub async fn note_untold(&self, batch: BatchId, untold: &Untold, told: bool) -> Result<()> {
        let filter = doc! { "_id": batch, "untold.event": untold.event.name(), "untold.fence": untold.fence };
        let removed = if told {
            doc! { "untold": "", "untoldDetails": "" }
        } else {
            doc! { "untold.triedAt": "" }
        };
        let update = self.batches.update_one(filter, doc! { "$unset": removed });
        self.bounded(update).await.map(drop)
    }

    /// Notes which list of corrections people were told; `None`: that there is none any more.
    pub async fn note_corrections(&self, batch: BatchId, sha256: Option<&str>) -> Result<()> {
        let change = doc! { "$set": { "correctionsTold": { "sha256": sha256, "at": "$$NOW" } } };
        self.bounded(self.batches.update_one(doc! { "_id": batch }, vec![change])).await.map(drop)
    }
}

/// Matches the batches with an undelivered event.
pub(super) fn something_left() -> Document {
    doc! { "untold": { "$type": "object" } }
}
