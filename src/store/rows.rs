//! The row list of a large batch: which rows are still to be marked after the commit point.
//!
//! It is stored before the commit, keyed by fence, so that whoever comes after a crash marks exactly the rows of the committed file
//! and need not generate anything. 12 bytes a row, in pieces that stay far below the limit of a document. A list whose fence did not
//! commit is never read; it goes with the next list of the same batch, or when the batch is complete.

use mongodb::ClientSession;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};

use super::Store;
use super::batches::Claim;
use super::error::StoreError;

/// Rows per stored piece: 600 kB.
pub(super) const PIECE_ROWS: usize = 50_000;

impl Store {
    /// Stores the list of rows, in order, in place of lists of earlier fences. One of a later fence stays: we may be the run that was
    /// paused, and the list the one of the committed file.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn store_row_list(&self, claim: &Claim, rows: &[[u8; 12]]) -> Result<(), StoreError> {
        self.bounded(
            self.row_lists.delete_many(of_batch(&claim.batch, &format!("{:010}/", claim.fence))).into_future(),
        )
        .await?;
        for (piece, rows) in rows.chunks(PIECE_ROWS).enumerate() {
            let ids = Binary { subtype: BinarySubtype::Generic, bytes: rows.concat() };
            let document = doc! {
                "_id": piece_id(&claim.batch, claim.fence, piece),
                "batch": &claim.batch,
                "fence": claim.fence,
                "piece": piece as i64,
                "ids": ids,
            };
            self.bounded(self.row_lists.insert_one(document).into_future()).await?;
        }
        Ok(())
    }

    /// Rows `from..from + count` of a stored list; fewer at its end.
    ///
    /// # Errors
    /// When the database fails, or a piece is missing.
    pub(super) async fn row_list(
        &self,
        batch: &str,
        fence: i64,
        from: usize,
        count: usize,
    ) -> Result<Vec<[u8; 12]>, StoreError> {
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
            rows.extend(all.iter().skip(skip).take(count - rows.len()));
            if all.len() < PIECE_ROWS {
                break;
            }
            (piece, skip) = (piece + 1, 0);
        }
        Ok(rows)
    }

    /// Removes every list of a batch, inside the transaction that completes it.
    pub(super) async fn delete_row_lists(
        &self,
        session: &mut ClientSession,
        batch: &str,
    ) -> mongodb::error::Result<()> {
        self.row_lists.delete_many(of_batch(batch, ALL_FENCES)).session(session).await?;
        Ok(())
    }
}

/// Behind every fence in the order of the ids.
const ALL_FENCES: &str = "~";

/// The pieces of a batch with fences before one, found through the index on `_id`.
fn of_batch(batch: &str, before: &str) -> Document {
    doc! { "_id": { "$gte": format!("{batch}/"), "$lt": format!("{batch}/{before}") } }
}

fn piece_id(batch: &str, fence: i64, piece: usize) -> String {
    format!("{batch}/{fence:010}/{piece:06}")
}
