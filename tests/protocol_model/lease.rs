//! Acquisition, renewal, expiry, and release by hand.
//!
//! Time is the database's and nobody's to predict: a lease whose holder is dead expires at any later moment, and one whose holder is
//! alive expires as often as the bounds allow pauses. Back-off needs no clock here: an acquisition at any later moment covers every delay.

use super::state::{At, Batch, Holder, Phase, State};
use super::{Move, Protocol, Without};

impl Protocol {
    /// Steps on the leases of all batches.
    pub fn lease_moves(&self, state: &State, moves: &mut Vec<Move>) {
        for db in (0..2).filter(|&db| state.is_used(db)) {
            for batch in 0..self.bounds.dates as u8 {
                if state.dbs[db].is_locked(batch) {
                    continue;
                }
                self.acquire(state, db, batch, moves);
                self.expire(state, db, batch, moves);
                self.unlock(state, db, batch, moves);
            }
        }
        self.renew(state, moves);
    }

    fn acquire(&self, state: &State, db: usize, batch: u8, moves: &mut Vec<Move>) {
        let busy = || state.holders.iter().filter(|holder| holder.at != At::Idle);
        let Some(index) = state.holders.iter().position(|holder| holder.at == At::Idle) else { return };
        let full = busy().count() >= self.bounds.holders;
        if full || !self.may_begin(state, db) || !self.is_in_order(state, db, batch) {
            return;
        }
        let mut next = *state;
        let database = &mut next.dbs[db];
        let Some(what) = take(&mut database.batches[batch as usize], self, state.trouble.reruns > 0) else { return };
        let doc = database.batches[batch as usize];
        if database.installation == 0 {
            database.installation = next.next_installation;
            next.next_installation += 1;
        }
        if state.dbs[db].batches[batch as usize].phase == Phase::Empty {
            next.trouble.reruns -= 1;
        }
        let at = match doc.phase {
            Phase::Exhausted => At::Idle,
            Phase::Marking => At::Pick,
            _ => At::Generate,
        };
        if at != At::Idle {
            let (db, place) = (db as u8, state.place);
            next.holders[index] = Holder {
                at,
                db,
                place,
                batch,
                fence: doc.fence,
                file: doc.file,
                unsent: doc.unsent,
                ..Holder::default()
            };
        }
        moves.push(Move { who: None, what, on: Some(batch), next: next.canonical() });
    }

    /// Whether a process may begin to work on this database, in worlds where the two do not meet.
    pub fn may_begin(&self, state: &State, db: usize) -> bool {
        let mut busy = state.holders.iter().filter(|holder| holder.at != At::Idle);
        let others_turn = self.bounds.in_turns && busy.any(|holder| holder.db as usize != db);
        let mut documents = state.used().flat_map(|db| db.batches.iter());
        let waits = self.bounds.seals_at_once && !self.lacks(Without::Seal);
        !(others_turn || waits && documents.any(|doc| doc.is_committed() && !doc.sealed))
    }

    fn is_in_order(&self, state: &State, db: usize, batch: u8) -> bool {
        let earlier = &state.dbs[db].batches[..batch as usize];
        !self.bounds.in_order || earlier.iter().all(|doc| matches!(doc.phase, Phase::Completed | Phase::Empty))
    }

    fn expire(&self, state: &State, db: usize, batch: u8, moves: &mut Vec<Move>) {
        let doc = &state.dbs[db].batches[batch as usize];
        let held = state.has_holder(db, batch);
        if !doc.live || held && state.trouble.pauses == 0 {
            return;
        }
        let mut next = *state;
        next.dbs[db].batches[batch as usize].live = false;
        next.trouble.pauses -= u8::from(held);
        moves.push(Move { who: None, what: "the lease expires of batch", on: Some(batch), next });
    }

    /// Renewals run beside the pass. One that finds another fence cancels the pass, which writes nothing more.
    fn renew(&self, state: &State, moves: &mut Vec<Move>) {
        for (index, holder) in state.holders.iter().enumerate().filter(|(_, holder)| holder.at != At::Idle) {
            let (database, batch) = (&state.dbs[holder.db as usize], holder.batch);
            let doc = &database.batches[batch as usize];
            if database.is_locked(batch) {
                continue;
            }
            let mut next = *state;
            let what = if doc.fence != holder.fence {
                next.holders[index] = Holder::default();
                "cannot renew the lease, and is cancelled: batch"
            } else if !doc.live && doc.phase == Phase::Running {
                // Nobody took it in the meantime: still ours.
                holder.doc_in(&mut next).live = true;
                "renews the expired lease of batch"
            } else {
                continue;
            };
            let who = Some((holder.db, batch, holder.fence));
            moves.push(Move { who, what, on: Some(batch), next: next.canonical() });
        }
    }

    /// `unlock`, `--force` included: the fence makes it safe.
    fn unlock(&self, state: &State, db: usize, batch: u8, moves: &mut Vec<Move>) {
        let doc = &state.dbs[db].batches[batch as usize];
        if state.trouble.unlocks == 0 || !matches!(doc.phase, Phase::Running | Phase::Exhausted) {
            return;
        }
        let mut next = *state;
        next.trouble.unlocks -= 1;
        let doc = &mut next.dbs[db].batches[batch as usize];
        doc.fence += 1;
        doc.live = false;
        doc.phase = Phase::Failed;
        (doc.attempt, doc.lost) = (0, 0);
        moves.push(Move { who: None, what: "a person unlocks batch", on: Some(batch), next });
    }
}

/// The acquisition's update pipeline; `None` where it takes nothing.
fn take(doc: &mut Batch, model: &Protocol, rerun_empty: bool) -> Option<&'static str> {
    let what = match doc.phase {
        Phase::Absent => "a run begins batch",
        Phase::Failed => "a retry takes batch",
        Phase::Running if !doc.live => {
            doc.lost += 1;
            if doc.attempt >= model.bounds.attempts && !model.lacks(Without::CountedCrash) {
                doc.exhaust(!model.lacks(Without::ExhaustionVoids));
                doc.fence += 1;
                return Some("a retry finds no attempt left for batch");
            }
            doc.attempt -= u8::from(model.lacks(Without::CountedCrash));
            "a retry takes over batch"
        }
        // Nobody holds it, and anybody may go on.
        Phase::Marking => return Some("a retry goes on with the marking of batch"),
        Phase::Empty if rerun_empty => {
            (doc.attempt, doc.lost) = (0, 0);
            "a run begins the empty batch again: batch"
        }
        Phase::Running | Phase::Empty | Phase::Exhausted | Phase::Completed => return None,
    };
    doc.phase = Phase::Running;
    doc.attempt += 1;
    doc.fence += 1;
    doc.live = true;
    Some(what)
}
