//! Generation, the commit transaction, its unknown outcome, and the marking of what is left.
//!
//! The transaction is one step: every document that it depends on is also written by it, so that MongoDB's write conflicts make it
//! serial; the entries, which it only reads, are judged at its snapshot. Where the client does not learn the outcome it is two: the
//! locks first, the end later, by the server's decision.

use super::lease::take_marking;
use super::state::{At, Content, Holder, Phase, State, Status, Transaction};
use super::turn::Turn;
use super::{Protocol, Without};

impl Protocol {
    /// Rows that this batch would export now.
    fn due(&self, state: &State, batch: u8) -> Content {
        (0..state.rows.len()).fold(Content::default(), |content, row| {
            let due = self.bounds.rows[row].is_some_and(|(date, _)| date <= batch);
            let queued = state.rows[row].status == Status::Queued;
            if due && queued { content.with(row, state.rows[row].version) } else { content }
        })
    }

    /// Whether each of these rows is still queued, with the entry that was read.
    fn unchanged(&self, state: &State, snapshot: Content, looks_at: usize, compares: bool) -> bool {
        snapshot.rows().take(looks_at).all(|row| {
            let now = state.rows[row];
            now.status == Status::Queued && (!compares || snapshot.version(row) == Some(now.version))
        })
    }

    /// The effects of the commit transaction.
    pub fn apply(&self, state: &mut State, transaction: Transaction) {
        let Transaction { batch, fence, file, snapshot, number, denied } = transaction;
        state.contradicted |= denied;
        state.trespassed |= state.batches[batch as usize].fence != fence;
        let mut left = snapshot.mask();
        for row in snapshot.rows().take(self.bounds.chunk) {
            state.rows[row].status = Status::Marked(batch);
            left &= !(1 << row);
        }
        state.number = number;
        state.marking = (left != 0).then_some(batch);
        let doc = &mut state.batches[batch as usize];
        doc.phase = if left == 0 { Phase::Completed } else { Phase::Marking };
        doc.live &= left != 0;
        doc.left = left;
        doc.lists = if left == 0 { 0 } else { doc.lists };
        doc.number = number;
        doc.file = Some(file);
        doc.committed = Some(snapshot);
        doc.committed_by = fence;
        doc.logs += 1;
    }

    /// One transaction of the marking.
    fn mark_chunk(&self, state: &mut State, batch: u8) {
        for _ in 0..self.bounds.chunk {
            let left = state.batches[batch as usize].left;
            if left == 0 {
                break;
            }
            let row = left.trailing_zeros() as usize;
            let doc = &mut state.batches[batch as usize];
            doc.left &= !(1 << row);
            let now = state.rows[row];
            let edited = doc.committed.is_none_or(|content| content.version(row) != Some(now.version));
            if now.status == Status::Queued && !(edited && self.lacks(Without::MarkingOfEdited)) {
                state.rows[row].status = Status::Marked(batch);
            } else {
                doc.changed |= 1 << row;
            }
        }
        let doc = &mut state.batches[batch as usize];
        if doc.left == 0 {
            doc.phase = Phase::Completed;
            doc.live = false;
            doc.lists = 0;
            state.marking = None;
        }
    }
}

impl Turn<'_> {
    /// Reads rows, entries and ledger at one point in time.
    pub fn generate(&mut self) {
        let blind = self.model.lacks(Without::Ledger) || self.model.lacks(Without::Marking);
        match self.state.marking {
            Some(other) if !blind => self.roll_forward_first(other),
            _ => {
                let snapshot = self.model.due(self.state, self.me.batch);
                let number = self.state.number;
                let empty_voids = !self.model.lacks(Without::EmptyVoids);
                self.step("generates", |_, me| {
                    me.snapshot = snapshot;
                    me.number = number;
                    me.at = match (snapshot == Content::default(), me.file) {
                        (true, Some(_)) if empty_voids => At::Void,
                        (true, _) => At::RecordEmpty,
                        (false, Some(_)) => At::Look,
                        (false, None) => At::StoreId,
                    };
                });
            }
        }
    }

    /// Another batch is being marked: its rows are in a file already, though still queued. While it is held, this holder waits.
    fn roll_forward_first(&mut self, other: u8) {
        if self.model.lacks(Without::RollForward) {
            return self.fail("finds another batch in marking, and fails", |_| ());
        }
        if self.state.is_locked(other) {
            return;
        }
        let mut doc = self.state.batches[other as usize];
        if let Some(fence) = take_marking(&mut doc) {
            self.step("takes over the marking of the other batch", |next, me| {
                next.batches[other as usize] = doc;
                me.helps = Some((other, fence));
                me.at = At::Help;
            });
        }
    }

    /// What follows the upload: a file with more rows than one transaction marks needs its row list first.
    pub fn once_stored(&self) -> At {
        if self.me.snapshot.rows().count() > self.model.bounds.chunk { At::StoreList } else { At::Commit }
    }

    /// Stores the list of rows under its fence, in place of earlier ones. No filter guards this: a holder that lost its lease does it
    /// too, and must not take away the list of its successor.
    pub fn store_list(&mut self) {
        let (batch, fence) = (self.me.batch as usize, self.me.fence);
        assert!(fence < 8, "a batch document's `lists` is too small for these bounds");
        let newer = if self.model.lacks(Without::NewerListsKept) { 0 } else { u8::MAX << fence };
        self.step("stores the row list", |next, me| {
            let lists = &mut next.batches[batch].lists;
            *lists = *lists & newer | 1 << fence;
            me.at = At::Commit;
        });
    }

    pub fn commit(&mut self) {
        let (model, state, me, doc) = (self.model, self.state, self.me, self.doc());
        if state.pending.is_some() {
            return; // Another transaction has the ledger.
        }
        let file = me.file.expect("an id is known here");
        let ours = doc.fence == me.fence && (doc.file == me.file || model.lacks(Without::StoredId));
        if doc.phase != Phase::Running || !ours && !model.lacks(Without::CommitFence) {
            return self.stop("finds its lease lost at the commit");
        }
        let no_ledger = model.lacks(Without::Ledger);
        let follows = state.number == me.number || no_ledger;
        let unmarked = state.marking.is_none() || no_ledger || model.lacks(Without::Marking);
        let looks_at = if model.lacks(Without::WholeListChecked) { model.bounds.chunk } else { state.rows.len() };
        let same = model.unchanged(state, me.snapshot, looks_at, !model.lacks(Without::EditDetection));
        if !follows || !unmarked || !same {
            return self.conflict("meets a conflict", |_| ());
        }
        // Without the ledger's filter, each one counts on from what it saw.
        let number = me.number + 1;
        let transaction =
            Transaction { batch: me.batch, fence: me.fence, file, snapshot: me.snapshot, number, denied: false };
        let stale = !model.unchanged(state, me.snapshot, state.rows.len(), true);
        self.step("COMMITS", |next, me| {
            next.stale |= stale;
            model.apply(next, transaction);
            match next.batches[transaction.batch as usize].phase {
                Phase::Marking => me.at = At::Mark,
                _ => *me = Holder::default(),
            }
        });
        if state.trouble.unknown_commits > 0 {
            self.step("gets no answer to its commit", |next, me| {
                next.trouble.unknown_commits -= 1;
                next.stale |= stale;
                next.pending = Some(transaction);
                me.at = At::Settle;
            });
        }
    }

    /// Generates again, a bounded number of times, then fails.
    fn conflict(&mut self, what: &'static str, note: impl Fn(&mut State)) {
        if self.me.regenerated < self.model.bounds.regenerations {
            self.step(what, |next, me| {
                note(next);
                me.regenerated += 1;
                me.at = At::Generate;
            });
        } else {
            self.fail("gives up after conflicts", |next| note(next));
        }
    }

    /// Finds out what became of the commit, by a fenced write to a document that the transaction wrote: the write waits for the
    /// transaction's end, and if it matches, the commit did not happen and cannot any more.
    pub fn settle(&mut self) {
        let by_reading =
            self.model.lacks(Without::SettlingWrite) || self.model.lacks(Without::SettlingWriteAndVoidState);
        if self.state.is_locked(self.me.batch) && !by_reading {
            return;
        }
        let doc = *self.doc();
        if doc.fence != self.me.fence {
            return self.stop("finds its lease lost while settling");
        }
        match doc.phase {
            Phase::Marking => self.step("learns that it committed, and goes on to mark", |_, me| me.at = At::Mark),
            Phase::Completed => self.stop("learns that it committed"),
            Phase::Running => {
                let ours = (self.me.batch, self.me.fence);
                self.conflict("learns that it did not commit", |next| {
                    if let Some(pending) =
                        next.pending.as_mut().filter(|pending| (pending.batch, pending.fence) == ours)
                    {
                        pending.denied = true;
                    }
                });
            }
            Phase::Absent | Phase::Failed | Phase::Exhausted | Phase::Empty => {
                self.stop("finds its lease lost while settling");
            }
        }
    }

    /// The next rows of its own committed batch.
    pub fn mark(&mut self) {
        let (model, batch) = (self.model, self.me.batch);
        let doc = self.doc();
        let ours = doc.fence == self.me.fence || model.lacks(Without::MarkFence);
        if !ours || doc.phase != Phase::Marking {
            return self.stop("finds its lease lost while marking");
        }
        let trespasses = doc.fence != self.me.fence;
        self.step("marks rows", |next, me| {
            next.trespassed |= trespasses;
            model.mark_chunk(next, batch);
            if next.batches[batch as usize].phase == Phase::Completed {
                *me = Holder::default();
            }
        });
    }

    /// The next rows of the other batch; then back to its own.
    pub fn help(&mut self) {
        let (model, (other, fence)) = (self.model, self.me.helps.expect("a batch is being helped"));
        let doc = &self.state.batches[other as usize];
        if doc.fence != fence || doc.phase != Phase::Marking {
            return self.step("is no longer needed by the other batch", |_, me| {
                me.helps = None;
                me.at = At::Generate;
            });
        }
        self.step("marks rows of the other batch", |next, _| model.mark_chunk(next, other));
    }
}
