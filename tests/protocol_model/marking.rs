//! The marking of a large batch after its commit point, piece by piece.
//!
//! No fence, no lease and no record of progress guard it. The content is committed, so every marker does the same; a
//! piece is deleted by the transaction that marks it, so it is marked once; and the final transaction looks for pieces
//! that are left. Two markers of one process are two holders here, which is more than the product does: they also die
//! apart.

use super::content::Line;
use super::state::{At, Batch, Database, Holder, Phase, Status};
use super::turn::Turn;
use super::{Protocol, Without};

impl Protocol {
    /// The transaction that marks a piece and deletes it.
    fn mark_piece(&self, db: &mut Database, batch: u8, piece: u8) {
        let doc = db.batches[batch as usize];
        let content = doc.committed.expect("a committed batch");
        for (row, line) in content.rows().filter(|(row, _)| piece >> row & 1 == 1) {
            let completed = self.mark_row(db, batch, row, line);
            let recorded = completed || !self.lacks(Without::EntriesOfChangedRows);
            if recorded && !self.lacks(Without::EntriesOfPieces) {
                self.record_entry(db, line.entry, doc.number);
            }
        }
        if !self.lacks(Without::DeletionInTransaction) {
            db.batches[batch as usize].left &= !piece;
        }
    }

    /// The rows of a committed file whose entries are not on record under its number: one bit per row.
    fn unrecorded(&self, db: &Database, doc: &Batch) -> u8 {
        let rows = doc.committed.into_iter().flat_map(|content| content.rows());
        rows.filter(|(_, line)| db.exported[line.entry as usize] != doc.number)
            .fold(0, |mask, (row, _)| mask | 1 << row)
    }

    /// Whether a batch is completed only when all its entries are on record. Rules that leave records out would be noticed here.
    fn counts_records(&self) -> bool {
        let others = [Without::RecordsCounted, Without::EntriesOfPieces, Without::EntriesOfChangedRows];
        !self.lacks_entries() && !others.into_iter().any(|rule| self.lacks(rule))
    }

    /// Completes a row that is as it was. One that changed keeps its status and is listed; it gets the batch's id unless it names
    /// another entry by now.
    fn mark_row(&self, db: &mut Database, batch: u8, row: usize, line: Line) -> bool {
        let edited = db.versions[line.entry as usize] != line.version && self.lacks(Without::MarkingOfEdited);
        let now = &mut db.rows[row];
        let same_entry = now.entry == line.entry || self.lacks(Without::EntryOfMarkedRow);
        let completes = now.status == Status::Queued && same_entry && !edited;
        if completes {
            now.status = Status::Completed;
        }
        if same_entry && (completes || !self.lacks(Without::MarkOfChangedRow)) {
            now.mark = Some(batch);
        }
        let doc = &mut db.batches[batch as usize];
        doc.again |= (doc.marked | doc.changed) & 1 << row;
        *(if completes { &mut doc.marked } else { &mut doc.changed }) |= 1 << row;
        completes
    }
}

impl Turn<'_> {
    /// The batch that is being marked: its own, or the one that it helps.
    fn marked_batch(&self) -> (u8, Batch) {
        let batch = self.me.helps.unwrap_or(self.me.batch);
        (batch, self.db().batches[batch as usize])
    }

    /// Reads which pieces are left, and takes one of them.
    pub fn pick(&mut self) {
        let (batch, doc) = self.marked_batch();
        if doc.phase != Phase::Marking {
            return self.step("finds the marking done", |_, me| me.leave_marking());
        }
        let content = doc.committed.expect("a committed batch");
        let mut pieces: Vec<u8> = (0..super::ROWS)
            .filter(|row| doc.left >> row & 1 == 1)
            .map(|row| content.piece(row, self.model.bounds.chunk))
            .collect();
        pieces.dedup();
        let deletes = self.model.lacks(Without::NoDeletionBefore);
        for piece in pieces {
            self.step("takes a piece", |next, me| {
                if deletes {
                    next.dbs[me.db as usize].batches[batch as usize].left &= !piece;
                }
                me.piece = piece;
                me.at = At::Mark;
            });
        }
        if doc.left == 0 || self.model.lacks(Without::FinalLook) {
            let then = if self.model.counts_records() && doc.left == 0 { At::Count } else { At::Finish };
            self.step("finds no piece left", |_, me| me.at = then);
        }
    }

    /// Reads the batch document, then once more that no piece is left, and how many entries are on record.
    pub fn count(&mut self) {
        let (model, (_, doc)) = (self.model, self.marked_batch());
        let missing = model.unrecorded(self.db(), &doc);
        if doc.phase != Phase::Marking || doc.left != 0 && !model.lacks(Without::PiecesReadAgain) {
            return self.step("finds that somebody went on with the list", |_, me| me.at = At::Pick);
        }
        if missing == 0 {
            return self.step("finds all entries on record", |_, me| me.at = At::Finish);
        }
        self.step("finds entries that are not on record", |_, me| {
            (me.piece, me.lists, me.at) = (missing, doc.lists, At::Rebuild);
        });
    }

    /// Makes the list again for these rows, in place of what is left of it, unless the batch document was written since it was read.
    pub fn rebuild(&mut self) {
        let (model, missing, (batch, doc)) = (self.model, self.me.piece, self.marked_batch());
        let unchanged = doc.lists == self.me.lists || model.lacks(Without::UnchangedBatch);
        if doc.phase != Phase::Marking || !unchanged {
            return self.step("finds that another made the list again", |_, me| {
                (me.piece, me.lists, me.at) = (0, 0, At::Pick);
            });
        }
        self.db_step("makes the row list again", |db, me| {
            let doc = &mut db.batches[batch as usize];
            (doc.left, doc.lists) = (missing, doc.lists + 1);
            (me.piece, me.lists, me.at) = (0, 0, At::Pick);
        });
    }

    /// The piece's transaction. Whoever was overtaken finds no piece, and marks nothing.
    pub fn mark(&mut self) {
        let (model, piece, (batch, doc)) = (self.model, self.me.piece, self.marked_batch());
        let looks = !model.lacks(Without::PieceLookedAt) && !model.lacks(Without::NoDeletionBefore);
        if doc.left & piece != piece && looks {
            return self.step("finds that its piece was marked", |_, me| (me.piece, me.at) = (0, At::Pick));
        }
        if !model.lacks(Without::DeletionInTransaction) {
            return self.db_step("marks its piece", |db, me| {
                model.mark_piece(db, batch, piece);
                (me.piece, me.at) = (0, At::Pick);
            });
        }
        self.db_step("marks its piece, to delete it later", |db, me| {
            model.mark_piece(db, batch, piece);
            me.at = At::DeletePiece;
        });
    }

    /// What a marker does that deletes its piece only afterwards.
    pub fn delete_piece(&mut self) {
        let (piece, (batch, _)) = (self.me.piece, self.marked_batch());
        self.db_step("deletes its piece", |db, me| {
            db.batches[batch as usize].left &= !piece;
            (me.piece, me.at) = (0, At::Pick);
        });
    }

    /// The final transaction: the batch is complete and the ledger free, unless pieces are left or somebody else was faster.
    pub fn finish(&mut self) {
        let (model, (batch, doc)) = (self.model, self.marked_batch());
        if doc.phase != Phase::Marking || doc.left != 0 && !model.lacks(Without::FinalLook) {
            return self.step("finds that it was too early or too late", |_, me| me.at = At::Pick);
        }
        self.db_step("completes the batch", |db, me| {
            let doc = &mut db.batches[batch as usize];
            doc.phase = Phase::Completed;
            doc.list = None;
            db.marking = None;
            me.leave_marking();
        });
    }
}

impl Holder {
    /// The marking is over: a helper goes on with its own batch.
    fn leave_marking(&mut self) {
        match self.helps.take() {
            Some(_) => (self.piece, self.at) = (0, At::Generate),
            None => *self = Holder::default(),
        }
    }
}
