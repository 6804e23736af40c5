//! What the model does not control: the application, the servers' delays.

use super::state::{Database, Row, State, Status};
use super::{Move, Protocol, Queued, Trouble};

impl Protocol {
    /// Steps that no process of ours takes, or any.
    pub fn world_moves(&self, state: &State, moves: &mut Vec<Move>) {
        for db in (0..2).filter(|&db| state.is_used(db)) {
            self.edits(state, db, moves);
            for row in 0..state.dbs[db].rows.len() {
                self.application(state, (db, row), moves);
            }
            self.commits(state, db, moves);
        }
        creations(state, moves);
        self.operator(state, moves);
        self.later_invocations(state, moves);
    }

    /// A journal entry that a queued row names changes.
    fn edits(&self, state: &State, db: usize, moves: &mut Vec<Move>) {
        for (entry, version) in state.dbs[db].versions.iter().enumerate() {
            let queued = |row: &Row| row.entry as usize == entry && row.status == Status::Queued;
            let named = state.dbs[db].rows.iter().any(queued);
            if state.trouble.edits > 0 && *version == 0 && named {
                let mut next = *state;
                next.trouble.edits -= 1;
                next.dbs[db].versions[entry] = 1;
                moves.push(Move { who: None, what: "the application edits entry", on: Some(entry as u8), next });
            }
        }
    }

    /// What the application does to one row.
    fn application(&self, state: &State, (db, row): (usize, usize), moves: &mut Vec<Move>) {
        let (database, trouble, now) = (&state.dbs[db], state.trouble, state.dbs[db].rows[row]);
        let mut push = |what, change: &dyn Fn(&mut Database, &mut Trouble)| {
            let mut next = *state;
            change(&mut next.dbs[db], &mut next.trouble);
            moves.push(Move { who: None, what, on: Some(row as u8), next });
        };
        // Whoever else writes a row that a pending commit marks waits. Those of a large batch it only read.
        let written = |snapshot: super::content::Content| snapshot.marked_at_once(self.bounds.chunk) >> row & 1 == 1;
        if self.bounds.rows[row].is_none() || database.pending.is_some_and(|pending| written(pending.snapshot)) {
            return;
        }
        let late = matches!(self.bounds.rows[row], Some(due) if due.queued == Queued::Late);
        if now.status == Status::Late {
            push("the application queues row", &|db, _| db.rows[row].status = Status::Queued);
        }
        if now.status == Status::Queued && trouble.cancellations > 0 {
            push("the application takes back row", &|db, trouble| {
                trouble.cancellations -= 1;
                db.rows[row].status = Status::Cancelled;
            });
        }
        if !matches!(now.status, Status::Queued | Status::Late) && trouble.requeues > 0 {
            push("the application queues again row", &|db, trouble| {
                trouble.requeues -= 1;
                (db.rows[row].status, db.rows[row].requeued) = (Status::Queued, true);
            });
        }
        if now.status == Status::Queued && !now.moved && trouble.moves > 0 {
            push("the application moves the time of row", &|db, trouble| {
                trouble.moves -= 1;
                db.rows[row].moved = true;
            });
        }
        if now.status == Status::Queued && !late && now.entry == row as u8 && trouble.repoints > 0 {
            push("the application points to another entry row", &|db, trouble| {
                trouble.repoints -= 1;
                db.rows[row].entry = super::content::ENTRIES as u8 - 1;
                db.rows[row].repointed = true;
            });
        }
        if now.mark.is_some() && trouble.emptied > 0 {
            push("the application empties the metadata of row", &|db, trouble| {
                trouble.emptied -= 1;
                (db.rows[row].mark, db.rows[row].emptied) = (None, true);
            });
        }
    }

    /// A commit whose client does not know its outcome ends.
    fn commits(&self, state: &State, db: usize, moves: &mut Vec<Move>) {
        let Some(pending) = state.dbs[db].pending else { return };
        let mut push = |what, next: State| moves.push(Move { who: None, what, on: Some(pending.batch), next });
        let mut next = *state;
        next.dbs[db].pending = None;
        push("the server aborts the commit of batch", next);
        self.apply(&mut next, db as u8, pending);
        push("the server COMMITS batch", next);
    }
}

/// A creation that its client gave up arrives late, or never.
fn creations(state: &State, moves: &mut Vec<Move>) {
    let Some((id, content)) = state.delayed else { return };
    let mut next = State { delayed: None, ..*state };
    moves.push(Move { who: None, what: "the delayed upload is lost, to file", on: Some(id), next });
    let file = &mut next.files[id as usize];
    if file.content.is_none() {
        file.content = Some(content);
        moves.push(Move { who: None, what: "the delayed upload takes effect, as file", on: Some(id), next });
    }
}
