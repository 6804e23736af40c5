//! Acquisition, renewal, expiry, and release by hand.
//!
//! Time is the database's and nobody's to predict: a lease whose holder is dead expires at any later moment, and one whose holder is
//! alive expires as often as the bounds allow pauses. Back-off needs no clock here: an acquisition at any later moment covers every delay.

use super::state::{At, Batch, Holder, Phase, State};
use super::{Move, Protocol, Without};

impl Protocol {
    /// Steps on the leases of all batches.
    pub fn lease_moves(&self, state: &State, moves: &mut Vec<Move>) {
        for batch in 0..self.bounds.dates as u8 {
            if state.is_locked(batch) {
                continue;
            }
            self.acquire(state, batch, moves);
            self.expire(state, batch, moves);
            self.unlock(state, batch, moves);
        }
        self.renew(state, moves);
    }

    fn acquire(&self, state: &State, batch: u8, moves: &mut Vec<Move>) {
        let busy = state.holders.iter().filter(|holder| holder.at != At::Idle).count();
        let Some(index) = state.holders.iter().position(|holder| holder.at == At::Idle) else { return };
        if busy >= self.bounds.holders {
            return;
        }
        let mut next = *state;
        let Some(what) = take(&mut next.batches[batch as usize], self, state.trouble.reruns > 0) else { return };
        let doc = next.batches[batch as usize];
        if state.batches[batch as usize].phase == Phase::Empty {
            next.trouble.reruns -= 1;
        }
        let at = match doc.phase {
            Phase::Exhausted => At::Idle,
            Phase::Marking => At::Mark,
            _ => At::Generate,
        };
        if at != At::Idle {
            next.holders[index] = Holder { at, batch, fence: doc.fence, file: doc.file, ..Holder::default() };
        }
        moves.push(Move { who: None, what, on: Some(batch), next: next.canonical() });
    }

    fn expire(&self, state: &State, batch: u8, moves: &mut Vec<Move>) {
        let doc = &state.batches[batch as usize];
        let held = state.has_holder(batch);
        if !doc.live || held && state.trouble.pauses == 0 {
            return;
        }
        let mut next = *state;
        next.batches[batch as usize].live = false;
        next.trouble.pauses -= u8::from(held);
        moves.push(Move { who: None, what: "the lease expires of batch", on: Some(batch), next });
    }

    /// Renewals run beside the pass. One that finds another fence cancels the pass, which writes nothing more.
    fn renew(&self, state: &State, moves: &mut Vec<Move>) {
        for (index, holder) in state.holders.iter().enumerate().filter(|(_, holder)| holder.at != At::Idle) {
            for (batch, fence) in std::iter::once((holder.batch, holder.fence)).chain(holder.helps) {
                let doc = &state.batches[batch as usize];
                if state.is_locked(batch) {
                    continue;
                }
                let mut next = *state;
                let what = if doc.fence != fence {
                    next.holders[index] = Holder::default();
                    "cannot renew the lease, and is cancelled: batch"
                } else if !doc.live && matches!(doc.phase, Phase::Running | Phase::Marking) {
                    // Nobody took it in the meantime: still ours.
                    next.batches[batch as usize].live = true;
                    "renews the expired lease of batch"
                } else {
                    continue;
                };
                let who = Some((holder.batch, holder.fence));
                moves.push(Move { who, what, on: Some(batch), next: next.canonical() });
            }
        }
    }

    /// `unlock`, `--force` included: the fence makes it safe.
    fn unlock(&self, state: &State, batch: u8, moves: &mut Vec<Move>) {
        let doc = &state.batches[batch as usize];
        if state.trouble.unlocks == 0 || !matches!(doc.phase, Phase::Running | Phase::Marking | Phase::Exhausted) {
            return;
        }
        let mut next = *state;
        next.trouble.unlocks -= 1;
        let doc = &mut next.batches[batch as usize];
        doc.fence += 1;
        doc.live = false;
        if doc.phase != Phase::Marking {
            doc.phase = Phase::Failed;
            (doc.attempt, doc.lost) = (0, 0);
        }
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
        Phase::Marking if !doc.live => {
            (doc.fence, doc.live) = (doc.fence + 1, true);
            return Some("a retry takes over the marking of batch");
        }
        Phase::Empty if rerun_empty => {
            (doc.attempt, doc.lost) = (0, 0);
            "a run begins the empty batch again: batch"
        }
        Phase::Running | Phase::Marking | Phase::Empty | Phase::Exhausted | Phase::Completed => return None,
    };
    doc.phase = Phase::Running;
    doc.attempt += 1;
    doc.fence += 1;
    doc.live = true;
    Some(what)
}

/// A roll-forward by a run for another date: acquires a marking whose lease has expired. `None` while it is held.
pub fn take_marking(doc: &mut Batch) -> Option<u8> {
    if doc.phase != Phase::Marking || doc.live {
        return None;
    }
    doc.fence += 1;
    doc.live = true;
    Some(doc.fence)
}
