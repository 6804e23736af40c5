//! What an operator does around the protocol: copies and restores of the database, a change of the destination, a deleted document.
//!
//! A restore ends all processes of that database: the server was away. It does not come between a commit and its seal: a file that
//! was committed and not sealed has nothing that could tell the restored database.

use super::state::{At, Batch, Phase, Second, State};
use super::{Move, Protocol};

impl Protocol {
    /// Steps of the operator.
    pub fn operator(&self, state: &State, moves: &mut Vec<Move>) {
        let mut push = |what, change: &dyn Fn(&mut State)| {
            let mut next = *state;
            change(&mut next);
            moves.push(Move { who: None, what, on: None, next: next.canonical() });
        };
        let trouble = state.trouble;
        if trouble.copies > 0 && state.second == Second::Absent {
            push("the database is copied, and the copy used", &|next| {
                next.trouble.copies -= 1;
                copy(next, Second::Used);
            });
        }
        if trouble.restores > 0 && state.second == Second::Absent {
            push("the database is backed up", &|next| copy(next, Second::Backup));
        }
        let mut committed = state.dbs[0].batches.iter().filter(|doc| doc.is_committed());
        if trouble.restores > 0 && state.second == Second::Backup && committed.all(|doc| doc.sealed) {
            push("the database is RESTORED", &|next| {
                next.trouble.restores -= 1;
                next.dbs[0] = next.dbs[1];
                next.second = Second::Absent;
                next.end_all_of(0);
            });
        }
        if trouble.changes_of_place > 0 {
            push("the operator changes the destination", &|next| {
                next.trouble.changes_of_place -= 1;
                next.place = 1 - next.place;
            });
        }
        let idle = state.holders.iter().all(|holder| holder.at == At::Idle);
        for entry in (0..state.dbs[0].exported.len()).filter(|&entry| state.dbs[0].exported[entry] != 0) {
            if trouble.lost_entries > 0 && idle {
                push("somebody deletes the record of an entry", &|next| {
                    next.trouble.lost_entries -= 1;
                    next.dbs[0].exported[entry] = 0;
                });
            }
        }
        let db = &state.dbs[0];
        let recorded = db.exported.iter().filter(|number| **number != 0).count() as u8;
        if trouble.recounts > 0 && recorded < db.recorded && db.marking.is_none() {
            push("an `init` counts the recorded entries anew", &|next| {
                next.trouble.recounts -= 1;
                next.dbs[0].recorded = recorded;
            });
        }
        for doc in db.batches.iter().filter(|doc| trouble.refills > 0 && doc.phase == Phase::Completed) {
            let lines = doc.committed.into_iter().flat_map(|content| content.rows());
            for (_, line) in lines.filter(|(_, line)| db.exported[line.entry as usize] == 0) {
                push("an `init` records an entry again", &|next| {
                    next.trouble.refills -= 1;
                    next.dbs[0].exported[line.entry as usize] = doc.number;
                    next.dbs[0].recorded = recorded + 1;
                });
            }
        }
        for (batch, doc) in db.batches.iter().enumerate().filter(|_| trouble.lost_pieces > 0) {
            let Some(content) = doc.committed.filter(|_| doc.left != 0) else { continue };
            let mut pieces = (0..super::ROWS).filter(|row| doc.left >> row & 1 == 1);
            // One of them, or all that are left.
            let one = pieces.next().map_or(0, |row| content.piece(row, self.bounds.chunk));
            for lost in [one, doc.left] {
                push("somebody deletes pieces of a row list", &|next| {
                    next.trouble.lost_pieces -= 1;
                    next.dbs[0].batches[batch].left &= !lost;
                });
            }
        }
        if trouble.lost_documents > 0 && state.dbs[0].batches[0].phase == Phase::Completed && idle {
            push("somebody deletes the document of batch 0", &|next| {
                next.trouble.lost_documents -= 1;
                next.dbs[0].batches[0] = Batch::ABSENT;
            });
        }
    }
}

/// The state at one point in time; a transaction in progress is not part of it.
fn copy(state: &mut State, second: Second) {
    state.dbs[1] = state.dbs[0];
    state.dbs[1].pending = None;
    state.second = second;
}
