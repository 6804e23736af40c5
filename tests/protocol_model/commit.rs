//! Generation, the commit transaction, and its unknown outcome.
//!
//! The transaction is one step: every document that it depends on is also written by it, so that MongoDB's write conflicts make it
//! serial; the entries, which it only reads, are judged at its snapshot. Where the client does not learn the outcome it is two: the
//! locks first, the end later, by the server's decision.

use super::content::{Content, ENTRIES, Line};
use super::state::{At, Database, Holder, Phase, State, Status, Transaction};
use super::turn::Turn;
use super::{Protocol, Without};

impl Protocol {
    /// Whether nobody records exported entries, nor looks them up.
    pub fn lacks_entries(&self) -> bool {
        self.lacks(Without::Entries) || self.lacks(Without::LedgerAndEntries)
    }

    /// Whether nobody looks at the ledger's number.
    fn lacks_ledger(&self) -> bool {
        self.lacks(Without::Ledger) || self.lacks(Without::LedgerAndEntries)
    }

    /// Whether entries are missing on record. While a batch is marking, some are by right. Rules that leave entries out would be noticed here.
    fn lacks_records(&self, db: &Database) -> bool {
        let others = [Without::Recorded, Without::EntriesOfPieces, Without::EntriesOfChangedRows];
        let counts = !self.lacks_entries() && !others.into_iter().any(|rule| self.lacks(rule));
        let has = db.exported.iter().filter(|number| **number != 0).count();
        counts && db.marking.is_none() && has < db.recorded as usize
    }

    /// Rows that this batch would export now. One whose entry is in a committed file already, or is named by an earlier row too, is
    /// held back.
    fn due(&self, db: &Database, batch: u8) -> Content {
        let looks_up = !self.lacks_entries() && !self.lacks(Without::EntriesLookedUp);
        let due = |row: &usize| {
            self.bounds.rows[*row].is_some_and(|due| due.date <= batch) && db.rows[*row].status == Status::Queued
        };
        (0..db.rows.len()).filter(due).fold(Content::default(), |content, row| {
            let (entry, moved) = (db.rows[row].entry, db.rows[row].moved);
            let exported = looks_up && db.exported[entry as usize] != 0;
            if exported || content.entries() >> entry & 1 == 1 {
                return content.with_held(row);
            }
            content.with(row, Line { entry, version: db.versions[entry as usize], moved })
        })
    }

    /// Whether each of these rows is still queued, as it was read.
    fn rows_unchanged(&self, db: &Database, snapshot: Content, looks_at: usize, compares: bool) -> bool {
        let queued = |row: usize| db.rows[row].status == Status::Queued;
        snapshot.held().all(queued)
            && snapshot.rows().take(looks_at).all(|(row, line)| {
                let same = (db.rows[row].entry, db.rows[row].moved) == (line.entry, line.moved);
                queued(row) && (same || !compares)
            })
    }

    /// Whether each of these entries is still as it was read.
    fn entries_unchanged(&self, db: &Database, snapshot: Content) -> bool {
        snapshot.rows().all(|(_, line)| db.versions[line.entry as usize] == line.version)
    }

    /// Records an entry as exported.
    pub fn record_entry(&self, db: &mut Database, entry: u8, number: u8) {
        if !self.lacks_entries() {
            db.exported[entry as usize] = number;
        }
    }

    /// The effects of the commit transaction.
    pub fn apply(&self, state: &mut State, db: u8, transaction: Transaction) {
        let Transaction { batch, fence, file, snapshot, number, denied } = transaction;
        let db = &mut state.dbs[db as usize];
        state.contradicted |= denied;
        let earlier =
            db.batches.iter().filter_map(|doc| doc.committed).fold(0, |mask, content| mask | content.entries());
        if self.bounds.trouble.recounts > 0 {
            let unrecorded =
                (0..ENTRIES).filter(|entry| db.exported[*entry] == 0).fold(0, |mask, entry| mask | 1 << entry);
            state.forgotten |= snapshot.entries() & earlier & unrecorded;
        }
        state.trespassed |= db.batches[batch as usize].fence != fence;
        state.files[file as usize].official = true;
        let first = snapshot.marked_at_once(self.bounds.chunk);
        for (row, line) in snapshot.rows().filter(|(row, _)| first >> row & 1 == 1) {
            db.rows[row].status = Status::Completed;
            db.rows[row].mark = Some(batch);
            self.record_entry(db, line.entry, number);
        }
        for row in snapshot.held() {
            db.rows[row].status = Status::Failed;
        }
        let left = snapshot.mask() & !first;
        db.recorded += snapshot.rows().count() as u8;
        db.number = number;
        db.marking = (left != 0).then_some(batch);
        db.logs[batch as usize] += 1;
        let doc = &mut db.batches[batch as usize];
        doc.phase = if left == 0 { Phase::Completed } else { Phase::Marking };
        // From here on nobody holds the batch.
        doc.live = false;
        doc.left = left;
        doc.marked = first;
        doc.list = doc.list.filter(|_| left != 0);
        doc.number = number;
        (doc.file, doc.unsent) = (Some(file), false);
        doc.committed = Some(snapshot);
        doc.committed_by = fence;
    }
}

impl Turn<'_> {
    /// Reads rows, entries, `exportbatchentries` and ledger at one point in time.
    pub fn generate(&mut self) {
        let blind = self.model.lacks_ledger() || self.model.lacks(Without::Marking);
        let db = self.db();
        if let Some(other) = db.marking.filter(|_| !blind) {
            return self.roll_forward_first(other);
        }
        if self.model.lacks_records(db) {
            return self.fail("finds entries missing on record", |_| ());
        }
        let snapshot = self.model.due(db, self.me.batch);
        let empty_voids = !self.model.lacks(Without::EmptyVoids);
        self.step("generates", |_, me| {
            me.snapshot = snapshot;
            me.number = db.number;
            me.at = match (snapshot.is_empty(), me.file) {
                (true, Some(_)) if empty_voids => At::Look,
                (true, _) => At::RecordEmpty,
                (false, _) => At::LookForName,
            };
        });
    }

    /// Another batch is being marked: its rows are in a file already, though still queued.
    fn roll_forward_first(&mut self, other: u8) {
        if self.model.lacks(Without::RollForward) {
            return self.fail("finds another batch in marking, and fails", |_| ());
        }
        self.step("goes on with the marking of the other batch", |_, me| {
            me.helps = Some(other);
            me.at = At::Pick;
        });
    }

    /// What follows the upload. A file with more rows than one transaction marks needs its row list first.
    pub fn once_stored(&self) -> At {
        if self.me.snapshot.rows().count() > self.model.bounds.chunk { At::StoreList } else { At::Commit }
    }

    /// Stores the list of rows in place of an earlier one, together with a look at the fence: a holder that lost its lease must not
    /// touch the list of its successor.
    pub fn store_list(&mut self) {
        let fenced = !self.model.lacks(Without::ListFence);
        self.write("stores the row list", fenced, |next, me| {
            me.doc_in(next).list = Some(me.snapshot);
            me.at = At::Commit;
        });
    }

    pub fn commit(&mut self) {
        let (model, me, db, doc) = (self.model, self.me, self.db(), self.doc());
        if db.pending.is_some() {
            return; // Another transaction has the ledger.
        }
        let file = me.file.expect("an id is known here");
        let ours = doc.fence == me.fence && (doc.file == me.file || model.lacks(Without::StoredId));
        if doc.phase != Phase::Running || !ours && !model.lacks(Without::CommitFence) {
            return self.stop("finds its lease lost at the commit");
        }
        if db.logs[me.batch as usize] > 0 && !model.lacks(Without::LogLookedFor) {
            return self.fail("finds a log of this batch", |_| ());
        }
        let no_ledger = model.lacks_ledger();
        let follows = db.number == me.number || no_ledger;
        let unmarked = db.marking.is_none() || no_ledger || model.lacks(Without::Marking);
        let looks_at = if model.lacks(Without::WholeListChecked) { model.bounds.chunk } else { db.rows.len() };
        let rows = model.rows_unchanged(db, me.snapshot, looks_at, !model.lacks(Without::RowsCompared));
        let entries = model.lacks(Without::EditDetection) || model.entries_unchanged(db, me.snapshot);
        let recorded = me.snapshot.rows().any(|(_, line)| db.exported[line.entry as usize] != 0);
        if !follows || !unmarked || !rows || !entries || recorded && !model.lacks(Without::UniqueKey) {
            return self.conflict("meets a conflict", |_| ());
        }
        // Without the ledger's filter, each one counts on from what it saw.
        let (batch, fence, snapshot, number) = (me.batch, me.fence, me.snapshot, me.number + 1);
        let transaction = Transaction { batch, fence, file, snapshot, number, denied: false };
        self.send_commit(transaction);
    }

    fn send_commit(&mut self, transaction: Transaction) {
        let (model, db) = (self.model, self.db());
        let all = db.rows.len();
        let stale = !model.rows_unchanged(db, transaction.snapshot, all, true)
            || !model.entries_unchanged(db, transaction.snapshot);
        let file = self.state.files[transaction.file as usize];
        let misplaced = file.place != self.me.place || file.installation != db.installation;
        self.step("COMMITS", |next, me| {
            next.stale |= stale;
            next.misplaced |= misplaced;
            model.apply(next, me.db, transaction);
            match me.doc_in(next).phase {
                Phase::Marking => me.at = At::Pick,
                _ => *me = Holder::default(),
            }
        });
        if self.state.trouble.unknown_commits > 0 {
            self.step("gets no answer to its commit", |next, me| {
                next.trouble.unknown_commits -= 1;
                next.stale |= stale;
                next.dbs[me.db as usize].pending = Some(transaction);
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
        if self.db().is_locked(self.me.batch) && !by_reading {
            return;
        }
        let doc = *self.doc();
        if doc.fence != self.me.fence {
            return self.stop("finds its lease lost while settling");
        }
        match doc.phase {
            Phase::Marking => self.step("learns that it committed, and goes on to mark", |_, me| me.at = At::Pick),
            Phase::Completed => self.stop("learns that it committed"),
            Phase::Running => {
                let me = self.me;
                self.conflict("learns that it did not commit", |next| {
                    let ours = |pending: &&mut Transaction| (pending.batch, pending.fence) == (me.batch, me.fence);
                    if let Some(pending) = next.dbs[me.db as usize].pending.as_mut().filter(ours) {
                        pending.denied = true;
                    }
                });
            }
            Phase::Absent | Phase::Failed | Phase::Exhausted | Phase::Empty => {
                self.stop("finds its lease lost while settling");
            }
        }
    }
}
