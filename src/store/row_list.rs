//! The row list of a large batch: which rows are still to be marked after the commit point.
//!
//! It is stored before the commit, keyed by fence, so that whoever comes after a crash marks exactly the rows of the committed file
//! and need not generate anything. 12 bytes a row, in pieces that stay far below the limit of a document. A list whose fence did not
//! commit is never read; it goes with the next list of the same batch, or when the batch is complete.

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};

use super::batches::Claim;
use super::commit::{chunks, send_commit};
use super::error::StoreError;
use super::{COMMAND_TIMEOUT, Store};
use crate::batch::BatchId;
use crate::id::Id;

/// Rows per stored piece: 600 kB.
pub(super) const PIECE_ROWS: usize = 50_000;
/// Times that a piece is stored when the server asks for it.
const PIECE_TRIES: u32 = 6;

impl Store {
    /// Stores the list of rows, in order, in place of lists of earlier fences. One of a later fence stays. `false`: the claim is lost.
    ///
    /// Every piece goes in together with a look at the fence: a run that was paused would otherwise leave a list behind that nobody
    /// removes, because the batch was completed meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn store_row_list(
        &self,
        claim: &Claim,
        rows: impl Iterator<Item = Id>,
    ) -> Result<bool, StoreError> {
        for (piece, rows) in chunks(rows, PIECE_ROWS).enumerate() {
            let ids = Binary { subtype: BinarySubtype::Generic, bytes: rows.iter().flat_map(|row| row.0).collect() };
            let document = doc! {
                "_id": piece_id(claim.batch, claim.fence, piece),
                "batch": claim.batch,
                "fence": claim.fence,
                "piece": piece as i64,
                "ids": ids,
            };
            if !self.store_piece(claim, &document).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn store_piece(&self, claim: &Claim, document: &Document) -> Result<bool, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let stored = tokio::time::timeout(COMMAND_TIMEOUT, self.try_store_piece(claim, document)).await;
            match stored.unwrap_or_else(|_| Err(StoreError::timeout(COMMAND_TIMEOUT))) {
                // Stored twice it is the same piece.
                Err(error) if error.kind.may_run_again() && tries < PIECE_TRIES => {
                    tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(tries)).await;
                }
                result => return result,
            }
        }
    }

    async fn try_store_piece(&self, claim: &Claim, document: &Document) -> Result<bool, StoreError> {
        let mut session = self.client.start_session().await?;
        // Not at a snapshot: the first list ever creates the collection, which the server does not do there.
        session.start_transaction().await?;
        match self.write_piece(&mut session, claim, document).await {
            Ok(true) => send_commit(&mut session).await.map(|()| true),
            Ok(false) => {
                let _ = session.abort_transaction().await;
                Ok(false)
            }
            Err(error) => {
                let _ = session.abort_transaction().await;
                Err(error.into())
            }
        }
    }

    async fn write_piece(
        &self,
        session: &mut ClientSession,
        claim: &Claim,
        document: &Document,
    ) -> mongodb::error::Result<bool> {
        let touch = vec![doc! { "$set": { "updatedAt": "$$NOW" } }];
        if self.batches.update_one(claim.uncommitted(), touch).session(&mut *session).await?.matched_count == 0 {
            return Ok(false);
        }
        let earlier = of_batch(claim.batch, &format!("{:010}/", claim.fence));
        self.row_lists.delete_many(earlier).session(&mut *session).await?;
        let same = doc! { "_id": document.get("_id") };
        self.row_lists.replace_one(same, document).upsert(true).session(&mut *session).await?;
        Ok(true)
    }

    /// Rows `from..from + count` of a stored list; fewer at its end.
    ///
    /// # Errors
    /// When the database fails, or a piece is missing.
    pub(super) async fn row_list(
        &self,
        batch: BatchId,
        fence: i64,
        from: usize,
        count: usize,
    ) -> Result<Vec<Id>, StoreError> {
        let mut rows = Vec::new();
        let mut piece = from / PIECE_ROWS;
        let mut skip = from % PIECE_ROWS;
        while rows.len() < count {
            let id = piece_id(batch, fence, piece);
            let Some(found) = self.bounded(self.row_lists.find_one(doc! { "_id": &id }).into_future()).await? else {
                return Err(StoreError::malformed(format!("the row list {id} is missing in exportbatchrows")));
            };
            let ids = found.get_binary_generic("ids").map_err(|_| StoreError::malformed(format!("{id} has no ids")))?;
            let (all, _) = ids.as_chunks::<12>();
            rows.extend(all.iter().skip(skip).take(count - rows.len()).copied().map(Id));
            if all.len() < PIECE_ROWS {
                break;
            }
            (piece, skip) = (piece + 1, 0);
        }
        Ok(rows)
    }

    /// Removes the lists of this attempt and of earlier ones, because nothing will be committed. A later holder's list stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_up_row_lists(&self, claim: &Claim) -> Result<(), StoreError> {
        let until_ours = of_batch(claim.batch, &format!("{:010}/", claim.fence + 1));
        self.bounded(self.row_lists.delete_many(until_ours).into_future()).await?;
        Ok(())
    }

    /// Removes every list of a batch, inside the transaction that completes it.
    pub(super) async fn delete_row_lists(
        &self,
        session: &mut ClientSession,
        batch: BatchId,
    ) -> mongodb::error::Result<()> {
        self.row_lists.delete_many(of_batch(batch, ALL_FENCES)).session(session).await?;
        Ok(())
    }
}

/// Behind every fence in the order of the ids.
const ALL_FENCES: &str = "~";

/// The pieces of a batch with fences before one, found through the index on `_id`.
fn of_batch(batch: BatchId, before: &str) -> Document {
    doc! { "_id": { "$gte": format!("{batch}/"), "$lt": format!("{batch}/{before}") } }
}

fn piece_id(batch: BatchId, fence: i64, piece: usize) -> String {
    format!("{batch}/{fence:010}/{piece:06}")
}
