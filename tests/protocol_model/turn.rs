//! One holder's turn: reading, writing with a filter, going on, stopping.
//!
//! The one place where a fence is compared. A write that the protocol lets through although the writer's fence is old is recorded as a
//! trespass, so that a forgotten filter is seen even where it does no visible harm yet.

use super::state::{At, Batch, Database, Holder, Phase, State};
use super::{Move, Protocol, Without};

pub struct Turn<'a> {
    pub model: &'a Protocol,
    pub state: &'a State,
    index: usize,
    pub me: Holder,
    moves: &'a mut Vec<Move>,
}

impl<'a> Turn<'a> {
    pub fn new(model: &'a Protocol, state: &'a State, index: usize, moves: &'a mut Vec<Move>) -> Self {
        Self { model, state, index, me: state.holders[index], moves }
    }

    pub fn db(&self) -> &'a Database {
        &self.state.dbs[self.me.db as usize]
    }

    pub fn doc(&self) -> &'a Batch {
        &self.db().batches[self.me.batch as usize]
    }

    /// Whether the batch document still shows this holder's fence and is running: the filter of nearly all its writes.
    pub fn holds(&self) -> bool {
        self.doc().fence == self.me.fence && self.doc().phase == Phase::Running
    }

    /// A step that ends with this holder in another place.
    pub fn step(&mut self, what: &'static str, change: impl FnOnce(&mut State, &mut Holder)) {
        let mut next = *self.state;
        let mut me = self.me;
        change(&mut next, &mut me);
        next.holders[self.index] = me;
        let who = Some((self.me.db, self.me.batch, self.me.fence));
        self.moves.push(Move { who, what, on: None, next: next.canonical() });
    }

    /// A step that changes the holder's database.
    pub fn db_step(&mut self, what: &'static str, change: impl FnOnce(&mut Database, &mut Holder)) {
        self.step(what, |next, me| change(&mut next.dbs[me.db as usize], me));
    }

    /// A step that writes the holder's batch document, filtered by fence and `running`. Without a match the lease is lost, and the pass
    /// stops without another write; while a transaction has the document, the writer waits.
    pub fn write(&mut self, what: &'static str, fenced: bool, change: impl FnOnce(&mut State, &mut Holder)) {
        if self.db().is_locked(self.me.batch) {
            return;
        }
        if fenced && !self.holds() {
            return self.stop("finds its lease lost");
        }
        let trespasses = self.doc().fence != self.me.fence;
        self.step(what, |next, me| {
            next.trespassed |= trespasses;
            change(next, me);
        });
    }

    /// The end of the process.
    pub fn stop(&mut self, what: &'static str) {
        self.step(what, |_, me| *me = Holder::default());
    }

    /// The failure of this attempt is recorded, and the process ends.
    pub fn fail(&mut self, what: &'static str, spend: impl FnOnce(&mut State)) {
        let attempts = self.model.bounds.attempts;
        let fenced = !self.model.lacks(Without::FailureFence);
        let voids = !self.model.lacks(Without::ExhaustionVoids);
        self.write(what, fenced, |next, me| {
            spend(next);
            let doc = me.doc_in(next);
            doc.lost += 1;
            doc.phase = Phase::Failed;
            doc.live = false;
            if doc.attempt >= attempts {
                doc.exhaust(voids);
            }
            *me = Holder::default();
        });
    }

    /// A signal is recorded; the attempt is given back and due at once.
    fn interrupt(&mut self) {
        if self.model.lacks(Without::FreeInterruption) {
            return self.fail("is interrupted, which counts", |next| next.trouble.interruptions -= 1);
        }
        self.write("is interrupted", true, |next, me| {
            next.trouble.interruptions -= 1;
            let doc = me.doc_in(next);
            doc.attempt -= 1;
            doc.phase = Phase::Failed;
            doc.live = false;
            *me = Holder::default();
        });
    }

    /// What can end a pass from outside at any of its steps: a failure, a signal, a kill.
    pub fn may_be_stopped(&mut self) {
        let trouble = self.state.trouble;
        // From the commit on, the outcome is settled first.
        let past_commit = self.me.at >= At::Settle;
        let before_commit = !past_commit || self.me.helps.is_some();
        let may_fail = self.holds() || self.model.lacks(Without::FailureFence);
        if before_commit && trouble.failures > 0 && may_fail {
            self.fail("records a failure", |next| next.trouble.failures -= 1);
        }
        if before_commit && self.me.at != At::Commit && trouble.interruptions > 0 && self.holds() {
            self.interrupt();
        }
        // A stale process that dies changes nothing that its cancellation would not.
        if trouble.crashes > 0 && self.doc().fence == self.me.fence {
            self.step("is killed", |next, me| {
                next.trouble.crashes -= 1;
                *me = Holder::default();
            });
        }
    }
}

impl Holder {
    /// Its batch document.
    pub fn doc_in<'a>(&self, state: &'a mut State) -> &'a mut Batch {
        &mut state.dbs[self.db as usize].batches[self.batch as usize]
    }
}
