//! The row list of a large batch: which rows its file holds, for the marking after the commit point.
//!
//! The list is stored before the commit, in pieces that one transaction each can mark, so that a run after a crash
//! marks exactly the rows of the committed file without generating it again. It has 28 bytes per row: the ids of the
//! row and its entry, and the entry's position in the file. The pieces are sorted by row id: the order of marking does not
//! matter, and neighbouring rows are marked faster.
//!
//! A head document is stored beside the pieces, and stays until the batch is completed: `init --adopt` knows by it that a
//! batch was being marked. Whether pieces were lost is told by the entries on record ([`super::marking`]).

use std::sync::atomic::Ordering;
use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};

use super::batches::Claim;
use super::commit::smaller;
use super::document::{bson_date, int, text};
use super::due::RowKey;
use super::error::{Result, StoreError, on};
use super::portion::chunks;
use super::{COMMAND_TIMEOUT, Store};
use crate::batch::{Batch, BatchId, State};
use crate::id::Id;

/// The largest piece: 5.6 MB.
const PIECE_ROWS_MAX: usize = 200_000;
/// Rows that are stored by one transaction, in whole pieces: 1.1 MB, which is in memory three times on its way to the server.
const ROWS_PER_TRANSACTION: usize = 40_000;
/// How often a part of the list is stored when the server asks to store it again.
const STORE_TRIES: u32 = 6;

/// Bytes of the ids of a row and its entry in a piece, and of the entry's position in the file.
const ROW_BYTES: usize = 24;
const POSITION_BYTES: usize = 4;
/// Rows of at most this many bytes fit into the smallest cache, many times over.
const SMALL_BYTES: i64 = 4 << 20;

/// The rows of a piece.
pub(super) struct Piece {
    /// In the order of their ids.
    pub(super) rows: Vec<RowKey>,
    /// The position of each one's entry in the file, from 0; empty in a list that was made again.
    pub(super) positions: Vec<u32>,
}

/// Pieces that one transaction stores.
struct Part {
    /// Matches the batch document as long as the list may be stored.
    holds: Document,
    /// What they take the place of.
    replaced: Document,
    /// The pieces.
    documents: Vec<Document>,
}

impl Store {
    /// Stores the list of these rows, which are in the order of the file, without those at the positions in `held`, in place of every list of this
    /// fence and earlier ones. `false` when the claim is lost.
    ///
    /// Each part is stored in a transaction that checks the fence: otherwise a paused run could store a list after the
    /// batch was completed, and nobody would remove it.
    pub(super) async fn store_row_list(
        &self,
        claim: &Claim,
        rows: &[RowKey],
        held: &[u32],
        piece_rows: usize,
    ) -> Result<bool> {
        let mut order: Vec<u32> = (0..rows.len() as u32).filter(|at| held.binary_search(at).is_err()).collect();
        order.sort_unstable_by_key(|at| rows[*at as usize]);
        let in_file = |at: &u32| at - held.partition_point(|held| held < at) as u32;
        let pieces = order
            .chunks(piece_length(piece_rows))
            .map(|piece| (piece.iter().map(|at| &rows[*at as usize]).collect(), piece.iter().map(in_file).collect()));
        let first = [claim.filter(), replaced_by(claim.batch, claim.fence)];
        self.store_pieces(claim.batch, claim.fence, first, claim.filter(), pieces, piece_rows).await
    }

    /// Stores a list again that was lost while the batch was marking, in place of what is left of it. `false`: the batch document was written
    /// since it was read, so another process may have stored the list again, or even marked its rows.
    pub(super) async fn store_row_list_again(&self, batch: &Batch, rows: &[RowKey], piece_rows: usize) -> Result<bool> {
        let marking = doc! { "_id": batch.id, "state": State::Marking.name() };
        let mut unchanged = marking.clone();
        unchanged.insert("updatedAt", batch.updated_at.map(bson_date));
        let mut rows: Vec<&RowKey> = rows.iter().collect();
        rows.sort_unstable();
        let pieces = rows.chunks(piece_length(piece_rows)).map(|rows| (rows.to_vec(), Vec::new()));
        let first = [unchanged, doc! { "_id": below(batch.id) }];
        self.store_pieces(batch.id, batch.fence, first, marking, pieces, piece_rows).await
    }

    async fn store_pieces<'a>(
        &self,
        batch: BatchId,
        fence: i64,
        [first_holds, first_replaced]: [Document; 2],
        holds: Document,
        pieces: impl Iterator<Item = (Vec<&'a RowKey>, Vec<u32>)>,
        piece_rows: usize,
    ) -> Result<bool> {
        let parts = (ROWS_PER_TRANSACTION / piece_length(piece_rows)).max(1);
        let pieces = pieces.enumerate();
        let pieces = pieces.map(|(number, (rows, positions))| piece_document(batch, fence, number, &rows, &positions));
        let head = head_document(batch, fence);
        for (number, part) in chunks(std::iter::once(head).chain(pieces), parts).enumerate() {
            // The first part replaces earlier lists; an earlier try may have stored the others already.
            let ids = || part.iter().filter_map(|d| d.get("_id").cloned()).collect::<Vec<_>>();
            let (holds, replaced) = match number {
                0 => (first_holds.clone(), first_replaced.clone()),
                _ => (holds.clone(), doc! { "_id": { "$in": ids() } }),
            };
            if !self.store_part(&Part { holds, replaced, documents: part }).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn store_part(&self, part: &Part) -> Result<bool> {
        let mut tries = 0;
        loop {
            tries += 1;
            let stored = tokio::time::timeout(COMMAND_TIMEOUT, self.try_store_part(part)).await;
            match stored.unwrap_or_else(|_| Err(StoreError::timeout(COMMAND_TIMEOUT))) {
                // Storing a part twice does no harm.
                Err(error) if error.kind.may_run_again() && tries < STORE_TRIES => {
                    tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(tries)).await;
                }
                result => return result,
            }
        }
    }

    async fn try_store_part(&self, part: &Part) -> Result<bool> {
        let store = async |session: &mut ClientSession| {
            let touch = vec![doc! { "$set": { "updatedAt": "$$NOW" } }];
            let held = self.batches.update_one(part.holds.clone(), touch).session(&mut *session).await;
            let held = held.map_err(on(&self.batches))?;
            if held.matched_count == 0 {
                return Ok(None);
            }
            let replaced = self.row_lists.delete_many(part.replaced.clone()).session(&mut *session).await;
            replaced.map_err(on(&self.row_lists))?;
            let inserted = self.row_lists.insert_many(&part.documents).session(session).await;
            inserted.map_err(on(&self.row_lists))?;
            Ok(Some(()))
        };
        Ok(self.in_transaction(store).await?.is_some())
    }

    /// The pieces of a batch that are still to be marked; `None` when there is no list at all.
    pub async fn pieces(&self, batch: BatchId) -> Result<Option<Vec<String>>> {
        let find = self.row_lists.find(of_batch(batch, i64::MAX)).projection(doc! { "_id": 1 });
        let found = self.all(find).await.map_err(on(&self.row_lists))?;
        let head = head_id(batch);
        let (heads, pieces): (Vec<String>, Vec<String>) =
            found.iter().filter_map(|found| text(found, "_id")).partition(|id| *id == head);
        Ok((!heads.is_empty() || !pieces.is_empty()).then_some(pieces))
    }

    /// How many rows are still to be marked.
    pub async fn rows_to_mark(&self, batch: BatchId) -> Result<u64> {
        let bytes = doc! { "$binarySize": { "$ifNull": ["$rows", ""] } };
        let count = [
            doc! { "$match": of_batch(batch, i64::MAX) },
            doc! { "$group": { "_id": null, "bytes": { "$sum": bytes } } },
        ];
        let counted = self.all(self.row_lists.aggregate(count)).await.map_err(on(&self.row_lists))?;
        Ok(counted.first().and_then(|counted| int(counted, "bytes")).unwrap_or(0) as u64 / ROW_BYTES as u64)
    }

    /// Whether the list is one of version 0.1, which names rows and not their entries.
    pub async fn has_old_row_list(&self, batch: BatchId) -> Result<bool> {
        let mut old = of_batch(batch, i64::MAX);
        old.insert("ids", doc! { "$exists": true });
        Ok(self.bounded(self.row_lists.find_one(old)).await.map_err(on(&self.row_lists))?.is_some())
    }

    /// Removes a piece from the list, inside the transaction that marks its rows. `None` when another process did.
    pub(super) async fn take_piece(&self, session: &mut ClientSession, piece: &str) -> Result<Option<Piece>> {
        let found = self.row_lists.find_one_and_delete(doc! { "_id": piece }).session(session).await;
        let found = found.map_err(on(&self.row_lists))?;
        let Some(found) = found else { return Ok(None) };
        if found.contains_key("ids") {
            let message =
                format!("{piece} in exportbatchrows is a row list of version 0.1, which this version cannot mark by");
            return Err(StoreError::earlier_version(message));
        }
        let malformed = || StoreError::malformed(format!("{piece} in exportbatchrows has no list of rows"));
        let bytes = found.get_binary_generic("rows").map_err(|_| malformed())?;
        let (rows, rest) = bytes.as_chunks::<ROW_BYTES>();
        if !rest.is_empty() {
            return Err(malformed());
        }
        let half = |bytes: &[u8]| bytes.try_into().map(Id).map_err(|_| malformed());
        let rows = rows.iter().map(|row| Ok(RowKey { row: half(&row[..12])?, entry: half(&row[12..])? }));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let positions = found.get_binary_generic("places").map(|bytes| bytes.as_chunks().0).unwrap_or_default();
        Ok(Some(Piece { rows, positions: positions.iter().copied().map(u32::from_le_bytes).collect() }))
    }

    /// Puts smaller pieces in place of one that the server's cache cannot hold. `false` when it is small already: then the cache is full of
    /// something else, which passes.
    pub(super) async fn split_piece(&self, piece: &str) -> Result<bool> {
        let split = async |session: &mut ClientSession| {
            let found = self.row_lists.find_one_and_delete(doc! { "_id": piece }).session(&mut *session).await;
            let found = found.map_err(on(&self.row_lists))?;
            // Another process marked it or split it.
            let Some(found) = found else { return Ok(Some(())) };
            let bytes = |key: &str| found.get_binary_generic(key).map_or(&[][..], Vec::as_slice);
            let (rows, positions) = (bytes("rows").chunks(ROW_BYTES), bytes("places"));
            let ids: Vec<Id> = rows.clone().filter_map(|row| row[..12].try_into().ok().map(Id)).collect();
            let known = self.fitting_rows.load(Ordering::Relaxed);
            // One that was not even tried is cut to what fitted before, whatever its bytes.
            let is_tried = ids.len() <= known;
            if is_tried && (ids.len() < 2 || self.bytes_of(&ids).await.is_some_and(|bytes| bytes < SMALL_BYTES)) {
                return Ok(None);
            }
            let fitting = if is_tried { smaller(ids.len()) } else { known };
            self.fitting_rows.fetch_min(fitting, Ordering::Relaxed);
            let positions =
                positions.chunks(fitting * POSITION_BYTES).map(<[u8]>::to_vec).chain(std::iter::repeat(Vec::new()));
            let parts = bytes("rows").chunks(fitting * ROW_BYTES).zip(positions).enumerate().map(
                |(part, (rows, positions))| {
                    let mut smaller = found.clone();
                    smaller.insert("_id", format!("{piece}/{part:06}"));
                    smaller.insert("rows", binary(rows.to_vec()));
                    smaller.insert("places", binary(positions));
                    smaller
                },
            );
            self.row_lists.insert_many(parts).session(session).await.map_err(on(&self.row_lists))?;
            Ok(Some(()))
        };
        Ok(self.in_transaction(split).await?.is_some())
    }

    /// Whether a piece is left, inside the transaction that completes the batch.
    pub(super) async fn has_piece(&self, session: &mut ClientSession, batch: BatchId) -> Result<bool> {
        let mut pieces = of_batch(batch, i64::MAX);
        pieces.insert("piece", doc! { "$exists": true });
        Ok(self.row_lists.find_one(pieces).session(session).await.map_err(on(&self.row_lists))?.is_some())
    }

    /// Removes the head, inside the transaction that completes the batch.
    pub(super) async fn delete_head(&self, session: &mut ClientSession, batch: BatchId) -> Result<()> {
        let head = self.row_lists.delete_one(doc! { "_id": head_id(batch) });
        head.session(session).await.map(drop).map_err(on(&self.row_lists))
    }

    /// Removes the lists of this attempt and of earlier ones, which will not be committed. A later holder's list stays.
    pub async fn give_up_row_lists(&self, claim: &Claim) -> Result<()> {
        let deleted = self.bounded(self.row_lists.delete_many(of_batch(claim.batch, claim.fence))).await;
        deleted.map(drop).map_err(on(&self.row_lists))
    }
}

/// The list of a batch, of fences up to this one, found through the index on `_id`.
fn of_batch(batch: BatchId, fence: i64) -> Document {
    doc! { "_id": below(batch), "fence": { "$lte": fence } }
}

/// Matches the ids of the documents of a list.
fn below(batch: BatchId) -> Document {
    doc! { "$gte": format!("{batch}/"), "$lt": format!("{batch}/~") }
}

/// What a new list takes the place of: lists of this fence and earlier ones, and one of version 0.1.
fn replaced_by(batch: BatchId, fence: i64) -> Document {
    doc! { "_id": below(batch), "$or": [{ "fence": { "$lte": fence } }, { "ids": { "$exists": true } }] }
}

fn head_id(batch: BatchId) -> String {
    format!("{batch}/head")
}

/// The documents of a list whose pieces have one row each. A list that is stored has two pieces at least.
pub(super) fn whole_list(batch: BatchId, fence: i64, rows: &[RowKey]) -> Vec<Document> {
    let pieces = rows.iter().enumerate();
    let pieces = pieces.map(|(number, row)| piece_document(batch, fence, number, &[row], &[number as u32]));
    std::iter::once(head_document(batch, fence)).chain(pieces).collect()
}

fn head_document(batch: BatchId, fence: i64) -> Document {
    doc! { "_id": head_id(batch), "fence": fence }
}

fn piece_length(piece_rows: usize) -> usize {
    piece_rows.clamp(1, PIECE_ROWS_MAX)
}

fn binary(bytes: Vec<u8>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes }
}

fn piece_document(batch: BatchId, fence: i64, piece: usize, rows: &[&RowKey], positions: &[u32]) -> Document {
    let keys = rows.iter().flat_map(|key| key.row.0.into_iter().chain(key.entry.0)).collect();
    doc! {
        "_id": format!("{batch}/{fence:010}/{piece:06}"),
        "batch": Bson::from(batch),
        "fence": fence,
        "piece": piece as i64,
        "rows": binary(keys),
        "places": binary(positions.iter().flat_map(|position| position.to_le_bytes()).collect()),
    }
}
