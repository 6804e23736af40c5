//! What people have not heard yet: written in the update that changes the state, removed once it was told.
//!
//! Risk: a process that dies between its commit and its message, and a webhook that is down with the network. What is left is found by the
//! next `retry`. Each change of state replaces what an older one left: the newest event is what people need.

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;

use super::Store;
use super::document;
use super::error::StoreError;
use crate::batch::{Batch, BatchId, Untold};

/// How long one machine has for telling before another one tries.
const TAKEN_MS: i64 = 30_000;

impl Store {
    /// The value of `untold` after a change of state: an event, as an expression, or none. Without anybody to tell it is removed.
    pub(super) fn untold(&self, event: impl Into<Bson>) -> Bson {
        match (self.settings.tells, event.into()) {
            (false, _) | (true, Bson::Null) => "$$REMOVE".into(),
            (true, event) => {
                let untold = doc! { "event": event, "attempt": "$attempt", "fence": "$fence", "since": "$$NOW" };
                // As an expression: else it would be mixed with what an older event left.
                doc! { "$mergeObjects": [untold] }.into()
            }
        }
    }

    /// Takes what is left of a batch, so that one machine alone tells it. `None` when nothing is left, or another one is at it.
    ///
    /// # Errors
    /// When the database fails, or the document makes no sense.
    pub async fn take_untold(&self, batch: BatchId) -> Result<Option<Batch>, StoreError> {
        let free = doc! { "$lte": ["$untold.triedAt", { "$subtract": ["$$NOW", TAKEN_MS] }] };
        let filter = doc! { "_id": batch, "untold": { "$type": "object" }, "$expr": free };
        let changes = vec![doc! { "$set": { "untold.triedAt": "$$NOW" } }];
        let update = self.batches.find_one_and_update(filter, changes).return_document(ReturnDocument::After);
        let found = self.bounded(update.into_future()).await?;
        found.as_ref().map(document::batch).transpose()
    }

    /// Notes that an event was told, or that telling it failed and anybody may try; nothing when a newer one has replaced it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_untold(&self, batch: BatchId, untold: &Untold, told: bool) -> Result<(), StoreError> {
        let filter = doc! { "_id": batch, "untold.event": untold.event.name(), "untold.fence": untold.fence };
        let what = if told { "untold" } else { "untold.triedAt" };
        let update = self.batches.update_one(filter, doc! { "$unset": { what: "" } });
        self.bounded(update.into_future()).await?;
        Ok(())
    }
}

/// Matches the batches of which something is left to tell.
pub(super) fn something_left() -> Document {
    doc! { "untold": { "$type": "object" } }
}
