//! What the model does not control: the application, the servers' delays.

use super::state::{State, Status};
use super::{Move, Protocol};

impl Protocol {
    /// Steps that no process of ours takes.
    pub fn world_moves(&self, state: &State, moves: &mut Vec<Move>) {
        self.application(state, moves);
        self.servers(state, moves);
        self.sweep(state, moves);
    }

    fn application(&self, state: &State, moves: &mut Vec<Move>) {
        for (row, now) in state.rows.iter().enumerate() {
            let mut push = |what, change: &dyn Fn(&mut State)| {
                let mut next = *state;
                change(&mut next);
                moves.push(Move { who: None, what, on: Some(row as u8), next });
            };
            if now.status == Status::Late {
                push("the application queues row", &|next| next.rows[row].status = Status::Queued);
            }
            if now.status != Status::Queued {
                continue;
            }
            if now.version == 0 && state.trouble.edits > 0 {
                push("the application edits row", &|next| {
                    next.trouble.edits -= 1;
                    next.rows[row].version = 1;
                });
            }
            // The first rows are written by a pending commit: whoever else writes them waits. The others it only read.
            let locked = state
                .pending
                .is_some_and(|pending| pending.snapshot.rows().take(self.bounds.chunk).any(|written| written == row));
            if state.trouble.cancellations > 0 && !locked {
                push("the application cancels row", &|next| {
                    next.trouble.cancellations -= 1;
                    next.rows[row].status = Status::Cancelled;
                });
            }
        }
    }

    fn servers(&self, state: &State, moves: &mut Vec<Move>) {
        if let Some(pending) = state.pending {
            let ended = State { pending: None, ..*state };
            moves.push(Move {
                who: None,
                what: "the server aborts the commit of batch",
                on: Some(pending.batch),
                next: ended,
            });
            let mut next = ended;
            self.apply(&mut next, pending);
            moves.push(Move { who: None, what: "the server COMMITS batch", on: Some(pending.batch), next });
        }
        if let Some((id, content)) = state.delayed {
            let lost = State { delayed: None, ..*state };
            moves.push(Move { who: None, what: "the delayed upload is lost, to file", on: Some(id), next: lost });
            let mut next = lost;
            let file = &mut next.files[id as usize];
            if file.content.is_none() {
                file.content = Some(content);
                moves.push(Move { who: None, what: "the delayed upload takes effect, as file", on: Some(id), next });
            }
        }
    }
}
