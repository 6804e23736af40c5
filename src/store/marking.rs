//! Marking the remaining rows of a large batch, after its commit point.
//!
//! Each step is a transaction of bounded size that checks the fence and moves the progress in the batch document, so that a crash
//! between two of them loses nothing and a second marker cannot count twice. The file is official already: a row that the application
//! took back in the meantime is left as it is, and listed.

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc};

use super::batches::Claim;
use super::commit::{completion, ids, send_commit, transaction_options};
use super::document::int;
use super::error::StoreError;
use super::expressions::millis;
use super::{LEDGER, Store};
use crate::batch::{Batch, BatchId, Event, State};
use crate::id::Id;

/// Times that one step is run when the server asks for it.
const STEP_TRIES: u32 = 6;

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// More rows remain; so many are marked.
    More(u64),
    /// The batch is complete.
    Completed,
    /// Another run holds it.
    LeaseLost,
}

impl Store {
    /// Marks the next rows of a batch that is past its commit point, at most `rows` of them.
    ///
    /// # Errors
    /// When the database fails; then it is not known whether this step took place, and the next one finds out.
    pub async fn mark_step(&self, claim: &Claim, rows: usize) -> Result<Marked, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_mark_step(claim, rows).await {
                // The progress in the batch document tells the next try what took place.
                Err(error) if error.kind.may_run_again() && tries < STEP_TRIES => {
                    tracing::warn!(tries, "a step of the marking has to be run again: {error}");
                    tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(tries)).await;
                }
                result => return result,
            }
        }
    }

    async fn try_mark_step(&self, claim: &Claim, rows: usize) -> Result<Marked, StoreError> {
        let found = self.bounded(self.batches.find_one(claim.filter()).into_future()).await?;
        let Some(found) = found else { return self.completed_or_lost(claim).await };
        let batch = super::document::batch(&found)?;
        let total = batch.file.as_ref().map_or(0, |file| file.entries);
        let step = self.next_rows(&found, &batch, rows).await?;
        if step.is_empty() && (batch.marked as u64) < total {
            return Err(StoreError::malformed(format!("the row list of {} ends too early", batch.id)));
        }
        let last = batch.marked as u64 + step.len() as u64 >= total;
        let mut session = self.client.start_session().await?;
        session.start_transaction().with_options(transaction_options()).await?;
        let done = self.write_step(&mut session, claim, &batch, &step, last).await;
        match done {
            Ok(true) => send_commit(&mut session).await?,
            Ok(false) => {
                let _ = session.abort_transaction().await;
                return Ok(Marked::LeaseLost);
            }
            Err(error) => {
                let _ = session.abort_transaction().await;
                return Err(error.into());
            }
        }
        Ok(if last { Marked::Completed } else { Marked::More(batch.marked as u64 + step.len() as u64) })
    }

    /// The rows that come next in the stored list.
    async fn next_rows(&self, found: &Document, batch: &Batch, rows: usize) -> Result<Vec<Id>, StoreError> {
        let list = found.get_document("rowList").ok();
        let position = list.and_then(|list| Some((int(list, "fence")?, int(list, "from")?)));
        let Some((fence, from)) = position else {
            return Err(StoreError::malformed(format!("{} is marking but names no row list", batch.id)));
        };
        self.row_list(batch.id, fence, (batch.marked - from).max(0) as usize, rows).await
    }

    /// `false`: the fence moved on.
    async fn write_step(
        &self,
        session: &mut ClientSession,
        claim: &Claim,
        batch: &Batch,
        rows: &[Id],
        last: bool,
    ) -> mongodb::error::Result<bool> {
        // The batch document first: from here on a renewal of the lease waits for this transaction instead of breaking it.
        let mut changes = doc! {
            "marked": batch.marked + rows.len() as i64,
            "leaseExpiresAt": { "$add": ["$$NOW", millis(self.settings.lease)] },
            "updatedAt": "$$NOW",
        };
        if last {
            changes.extend(completion(self.untold(Event::Completed.name())));
        }
        let filter =
            doc! { "_id": batch.id, "fence": claim.fence, "state": State::Marking.name(), "marked": batch.marked };
        let update = self.batches.update_one(filter, vec![doc! { "$set": changes }]).session(&mut *session).await?;
        if update.matched_count == 0 {
            return Ok(false);
        }
        let file = batch.file.clone().unwrap_or_default();
        let marked = self.mark_rows(session, rows, claim, &file, None).await?;
        if marked != rows.len() as u64 {
            let changed = self.not_marked(session, rows, batch.id).await?;
            let listed = doc! { "$push": { "changedAfterCommit": { "$each": changed } } };
            self.batches.update_one(doc! { "_id": batch.id }, listed).session(&mut *session).await?;
        }
        if last {
            let free = doc! { "$set": { "marking": null } };
            self.batches.update_one(doc! { "_id": LEDGER, "marking": batch.id }, free).session(&mut *session).await?;
            self.delete_row_lists(session, batch.id).await?;
        }
        Ok(true)
    }

    /// The rows of a step that do not carry this batch's mark.
    async fn not_marked(
        &self,
        session: &mut ClientSession,
        rows: &[Id],
        batch: BatchId,
    ) -> mongodb::error::Result<Vec<Bson>> {
        let filter = doc! { "_id": ids(rows), "metadata.batchId": batch, "status": "completed" };
        let mut cursor = self.queue.find(filter).projection(doc! { "_id": 1 }).session(&mut *session).await?;
        let mut marked = std::collections::HashSet::new();
        while let Some(row) = cursor.next(&mut *session).await {
            let row: Document = row?;
            marked.extend(row.get_object_id("_id").map(|id| Id(id.bytes())));
        }
        Ok(rows.iter().filter(|id| !marked.contains(id)).copied().map(Bson::from).collect())
    }

    /// What it means that the claim matches nothing.
    async fn completed_or_lost(&self, claim: &Claim) -> Result<Marked, StoreError> {
        let batch = self.batch(claim.batch).await?;
        let completed = batch.is_some_and(|batch| batch.fence == claim.fence && batch.state.is_committed());
        Ok(if completed { Marked::Completed } else { Marked::LeaseLost })
    }
}
