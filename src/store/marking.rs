//! Marking the rows of a large batch, after its commit point, one piece of its row list at a time.
//!
//! The content is committed, so nothing is decided here and nobody has to hold the batch. The transaction that marks
//! the rows of a piece and records its entries also removes the piece from the list. So each piece is marked once, also
//! when several processes mark at the same time, and the transaction of a paused process fails. Fence and lease are not
//! needed. The list itself is the record of progress, which is simpler than a document that counts the marked rows: a
//! paused process could write an old count over a newer one, so such a document would need a fence. The last step checks
//! that no piece is left, completes the batch and frees the ledger.
//!
//! Risk: somebody removes a piece that was not marked. So a batch is completed only when as many entries are on record
//! under its number as its file has; else the list is made again from the file.
//!
//! Risk: rows that the application changed after the commit. Their entries are in the file and are recorded. A row with
//! another status keeps that status and gets the batch's id. A row that now names another entry, or whose `metadata`
//! cannot take a mark, stays as it is. Both kinds are listed in the batch document.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc};

use super::commit::{completed, marks};
use super::document::{batch_id, date};
use super::due::{RowKey, by_id, queued_neighbours, rows_of_ids};
use super::error::{Kind, Result, StoreError, on};
use super::exported::Again;
use super::neighbours::each;
use super::row_list::Piece;
use super::{LEDGER, Store, Teller};
use crate::batch::{Batch, Event, State};
use crate::id::Id;

/// How often one transaction is run when the server asks to run it again.
const TRIES: u32 = 6;

/// The outcome of a piece, or of the last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// Done, with the number of rows or batches.
    Done(u64),
    /// Another process did it, or is doing it.
    ByOthers,
}

/// How well a row fits an entry of a file whose row list was lost, the best first; of equal ones the older row is taken. A row that was queued
/// later, for another day, is not the one that was exported.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It is queued, and was due for the file.
    Due,
    /// It is queued for later.
    Queued,
    /// It names the entry and has another status.
    Named,
    /// There is none.
    None,
}

impl Store {
    /// Marks the rows of one piece.
    ///
    /// # Errors
    /// When the database fails. Then the outcome is unknown until the list of pieces is read again.
    pub async fn mark_piece(&self, batch: &Batch, piece: &str) -> Result<Marked> {
        let (mut tries, mut again) = (0, Again::Refuse);
        loop {
            tries += 1;
            let written = self.in_transaction(async |session| self.write_piece(session, batch, piece, again).await);
            match written.await {
                // The entry is in another batch's file. Exporting it again was allowed before the commit, so it moves
                // to this batch.
                Err(error) if error.kind == Kind::DuplicateKey && again == Again::Refuse => again = Again::Move,
                Err(error) if error.kind == Kind::CacheFull && tries < TRIES => match self.split_piece(piece).await {
                    Ok(true) => return Ok(Marked::Done(0)),
                    Ok(false) => pause(tries, &error).await,
                    Err(error) if error.kind.may_run_again() => pause(tries, &error).await,
                    Err(error) => return Err(error),
                },
                Err(error) if error.kind.may_run_again() && tries < TRIES => pause(tries, &error).await,
                written => return Ok(written?.map_or(Marked::ByOthers, Marked::Done)),
            }
        }
    }

    async fn write_piece(
        &self,
        session: &mut ClientSession,
        batch: &Batch,
        piece: &str,
        again: Again,
    ) -> Result<Option<u64>> {
        // The piece is removed first: of two processes one stops here, before the work is done twice.
        let piece = match self.take_piece(session, piece).await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(None),
            Err(error) if error.kind == Kind::WriteConflict => return Ok(None),
            Err(error) => return Err(error),
        };
        let ids = row_ids(&piece.rows);
        if ids.len() > self.fitting_rows.load(Ordering::Relaxed) {
            let message = "an earlier piece of this size did not fit".to_owned();
            return Err(StoreError { kind: Kind::CacheFull, message });
        }
        match self.write_rows(session, batch, &ids, piece, again).await {
            Ok(()) => Ok(Some(ids.len() as u64)),
            Err(error) => Err(self.by_size(error, &ids).await),
        }
    }

    async fn write_rows(
        &self,
        session: &mut ClientSession,
        batch: &Batch,
        ids: &[Id],
        Piece { rows, positions }: Piece,
        again: Again,
    ) -> Result<()> {
        let near = queued_neighbours(self, session, ids).await?;
        let mut queued = as_listed(&rows, near.rows);
        if queued.len() < rows.len() {
            let filter = doc! { "exportPath": "scheduled", "status": "queued" };
            queued = as_listed(&rows, rows_of_ids(&self.queue, session, ids, filter).await?);
        }
        let file = batch.file.clone().unwrap_or_default();
        let marks = marks(batch.id.into(), &file);
        let mark = |which: Document, update: Document| self.queue.update_many(which, vec![update]).hint(by_id());
        // A range is found faster than each row by its id. A row that comes into it now is not in the transaction's snapshot.
        let alone = near.alone.filter(|_| queued.len() == rows.len());
        let which = alone.unwrap_or_else(|| each(&queued));
        mark(which, completed(&marks)).session(&mut *session).await.map_err(on(&self.queue))?;
        if queued.len() < rows.len() {
            let done: std::collections::BTreeSet<&Id> = queued.iter().collect();
            let changed: Vec<RowKey> = rows.iter().filter(|key| !done.contains(&key.row)).copied().collect();
            let found = rows_of_ids(&self.queue, session, &row_ids(&changed), doc! {}).await?;
            let taken_back = as_listed(&changed, found);
            mark(each(&taken_back), doc! { "$set": &marks }).session(&mut *session).await.map_err(on(&self.queue))?;
            let listed: Vec<Bson> =
                changed.iter().filter(|key| key.row != Id::ABSENT).map(|key| key.row.into()).collect();
            let list = doc! { "$push": { "changedAfterCommit": { "$each": listed } } };
            self.batches.update_one(doc! { "_id": batch.id }, list).session(&mut *session).await?;
        }
        let number = batch.number.unwrap_or(0);
        let mut positions = positions.into_iter();
        self.insert_exported(session, rows.iter().map(|key| (key, positions.next())), number, again).await
    }

    /// Completes a batch without pieces left, and frees the ledger; `teller` notifies people. [`Marked::ByOthers`] when the batch is completed
    /// already, or a piece is left.
    pub async fn complete(&self, batch: &Batch, teller: Teller) -> Result<Marked> {
        let mut tries = 0;
        loop {
            tries += 1;
            let written = self.in_transaction(async |session| self.write_completion(session, batch, teller).await);
            match written.await {
                Err(error) if error.kind.may_run_again() && tries < TRIES => pause(tries, &error).await,
                written => return Ok(written?.map_or(Marked::ByOthers, |()| Marked::Done(1))),
            }
        }
    }

    async fn write_completion(&self, session: &mut ClientSession, batch: &Batch, teller: Teller) -> Result<Option<()>> {
        let marking = doc! { "_id": batch.id, "state": State::Marking.name() };
        let changes = doc! { "$set": {
            "state": State::Completed.name(),
            "completedAt": "$$NOW",
            "updatedAt": "$$NOW",
            "marked": "$file.entries",
            "untold": self.untold(Event::Completed.name(), teller),
        }};
        let update = self.batches.update_one(marking, vec![changes]).session(&mut *session).await;
        let update = update.map_err(on(&self.batches))?;
        if update.matched_count == 0 || self.has_piece(session, batch.id).await? {
            return Ok(None);
        }
        let free = doc! { "$set": { "marking": null } };
        self.batches.update_one(doc! { "_id": LEDGER, "marking": batch.id }, free).session(&mut *session).await?;
        self.delete_head(session, batch.id).await?;
        Ok(Some(()))
    }

    /// How many entries of the file of a batch are not on record under its number. This reads all recorded entries once.
    pub async fn unrecorded(&self, batch: &Batch) -> Result<u64> {
        let entries = batch.file.as_ref().map_or(0, |file| file.entries);
        Ok(entries.saturating_sub(self.exported.count_documents(doc! { "n": batch.number }).await?))
    }

    /// Makes the lost row list of a batch again from the entries in its file: the rows that name these entries, without
    /// entries that are recorded already. `false` when somebody wrote the batch document since it was read: another process may have made the
    /// list again.
    pub async fn rebuild_row_list(&self, batch: &Batch, entries: Vec<Id>, piece_rows: usize) -> Result<bool> {
        if !self.has_exported().await? {
            return Err(StoreError::earlier_version("the collection exportbatchentries is missing"));
        }
        // Each with the best row for it so far.
        let mut left: BTreeMap<Id, (Fit, Id)> =
            entries.into_iter().map(|entry| (entry, (Fit::None, Id::ABSENT))).collect();
        let ids: Vec<Bson> = left.keys().copied().map(Bson::from).collect();
        for ids in ids.chunks(10_000) {
            let number = batch.number.unwrap_or(0);
            let find = self.exported.find(doc! { "_id": { "$in": ids }, "n": number });
            let mut done = self.bounded(find).await?;
            while let Some(entry) = self.bounded(done.try_next()).await? {
                if let Ok(id) = entry.get_object_id("_id") {
                    left.remove(&Id(id.bytes()));
                }
            }
        }
        // This scans the whole queue once: no index of the application finds rows by entry, and some rows may no longer
        // be queued.
        let wanted = doc! { "entryId": 1, "status": 1, "scheduledFor": 1, "metadata.batchId": 1 };
        let mut rows = self.queue.find(doc! { "exportPath": "scheduled" }).projection(wanted).await?;
        while let Some(row) = rows.try_next().await? {
            let (Ok(id), Ok(entry)) = (row.get_object_id("_id"), row.get_object_id("entryId")) else { continue };
            let exported =
                row.get_document("metadata").is_ok_and(|metadata| matches!(batch_id(metadata, "batchId"), Ok(Some(_))));
            let queued = matches!(row.get_str("status"), Ok("queued"));
            let is_due = date(&row, "scheduledFor").is_some_and(|at| at <= batch.cutoff);
            let fit = match (queued, is_due) {
                (true, true) => Fit::Due,
                (true, false) => Fit::Queued,
                (false, _) => Fit::Named,
            };
            if let Some(known) = left.get_mut(&Id(entry.bytes())).filter(|_| !exported) {
                *known = (*known).min((fit, Id(id.bytes())));
            }
        }
        let rows: Vec<RowKey> = left.into_iter().map(|(entry, (_, row))| RowKey { row, entry }).collect();
        self.store_row_list_again(batch, &rows, piece_rows).await
    }
}

fn row_ids(rows: &[RowKey]) -> Vec<Id> {
    rows.iter().map(|key| key.row).collect()
}

/// The rows that still name the entry in the list, and whose `metadata` can take a mark. The list is sorted.
fn as_listed(list: &[RowKey], found: Vec<super::DueRow>) -> Vec<Id> {
    let listed = |key: &RowKey| list.binary_search(key).is_ok();
    found.iter().filter(|row| listed(&row.key) && !row.unmarkable).map(|row| row.key.row).collect()
}

async fn pause(tries: u32, error: &StoreError) {
    tracing::debug!(tries, "a step of the marking has to be run again: {error}");
    tokio::time::sleep(Duration::from_millis(25) * 2_u32.pow(tries)).await;
}
