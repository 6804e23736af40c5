//! The commit protocol as a state machine: what one step of one process, of the application, of an operator or of bad luck can do.
//!
//! Risk: a model can prove something else than what is built. So every write here carries the same filter as the product's
//! (`Turn::write`), every step is one round trip to MongoDB or to the destination, and a process may be overtaken between any two of
//! them. `Without` takes one rule out, to show that the checker would notice.
//!
//! What the model leaves out:
//!
//! - `--invalid fail` (an entry that may not be exported is held back here), `--allow-reexport`, `--early`, and entries that are invalid for
//!   another reason than an earlier export.
//! - The moment between a look at a file and its trashing. In that moment, and between an upload and its seal, a copy of the database can
//!   still void or trash a committed file. The protocol accepts that: before the commit nobody knows which state of the database is the
//!   true one.
//! - Rows that the application deletes, and rows whose `metadata` takes no mark: they are listed as changed, as rows that name another entry.
//! - Pieces that are split because the server's cache is full, and transactions that are run again: each is a transaction of its own.
//! - The answer to a marking transaction that gets lost. Its sender reads the list again, as the next process does after a kill.
//! - Writes that a failover takes back: every write waits for the majority.
//! - What an administrator runs or undoes: `init --adopt`, a ledger, a log, rows or a whole collection that are deleted, an upgrade from 0.1.
//! - The times of leases and retries (a lease can end whenever its holder is paused), and messages to people.

mod commit;
mod content;
mod databases;
mod destination;
mod lease;
mod marking;
mod names;
pub mod properties;
mod rules;
mod state;
mod trouble;
mod turn;
mod world;
pub mod worlds;

pub use content::ROWS;
pub use rules::Without;
pub use trouble::Trouble;

use content::ENTRIES;
use state::{At, Batch, DATES, Database, File, HOLDERS, Holder, IDS, Row, Second, State, Status};
use stateright::{Model, Property};
use turn::Turn;

/// How large the world is.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub holders: usize,
    pub dates: usize,
    /// `None` leaves a row out.
    pub rows: [Option<Due>; ROWS],
    /// Rows marked per transaction.
    pub chunk: usize,
    /// Attempts, the first one included.
    pub attempts: u8,
    /// Regenerations after a conflict within one attempt.
    pub regenerations: u8,
    /// Whether a second installation with a database of its own uses the same destination.
    pub neighbour: bool,
    /// Whether a process begins only when no process works on the other database.
    pub in_turns: bool,
    /// Whether a date is begun only when all earlier ones are finished.
    pub in_order: bool,
    /// Whether a process begins only when every committed file is sealed: not in the moment between the two.
    pub seals_at_once: bool,
    /// Whether `init` made the ledger before the world begins, so that every backup has the name of the installation.
    pub initialized: bool,
    /// Whether files are sealed. Only another database notices, so that worlds with one database do without.
    pub seals: bool,
    pub trouble: Trouble,
}

/// A row of the queue, as the world begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The first date on which it is due.
    pub date: u8,
    pub queued: Queued,
    pub entry: u8,
}

/// When a row enters the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    AtOnce,
    Late,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Protocol {
    pub bounds: Bounds,
    pub without: Option<Without>,
}

/// One step, with the state that it leads to.
#[derive(Clone, PartialEq)]
pub struct Move {
    /// The holder, by its database, batch and fence (nobody: the application, the servers, a process that only begins).
    who: Option<(u8, u8, u8)>,
    what: &'static str,
    /// The row, batch or file that the words end with.
    on: Option<u8>,
    next: State,
}

impl std::fmt::Debug for Move {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((db, batch, fence)) = self.who {
            write!(f, "[database {db}, batch {batch}, fence {fence}] ")?;
        }
        f.write_str(self.what)?;
        self.on.map_or(Ok(()), |on| write!(f, " {on}"))
    }
}

impl Protocol {
    fn lacks(&self, rule: Without) -> bool {
        self.without == Some(rule)
    }

    /// Every step that can be taken next.
    fn moves(&self, state: &State) -> Vec<Move> {
        let mut moves = Vec::new();
        self.world_moves(state, &mut moves);
        self.lease_moves(state, &mut moves);
        for holder in 0..HOLDERS {
            let mut turn = Turn::new(self, state, holder, &mut moves);
            match turn.me.at {
                At::Idle => continue,
                At::Generate => turn.generate(),
                At::StoreId => turn.store_id(),
                At::Look => turn.look(),
                At::LookForName => turn.look_for_name(),
                At::AdoptName => turn.adopt_name(),
                At::Create => turn.create(),
                At::Void => turn.void(),
                At::Trash => turn.trash(),
                At::RecordEmpty => turn.record_empty(),
                At::StoreList => turn.store_list(),
                At::Commit => turn.commit(),
                At::Settle => turn.settle(),
                At::Pick => turn.pick(),
                At::Count => turn.count(),
                At::Rebuild => turn.rebuild(),
                At::Mark => turn.mark(),
                At::DeletePiece => turn.delete_piece(),
                At::Finish => turn.finish(),
            }
            turn.may_be_stopped();
        }
        moves
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Move;

    fn init_states(&self) -> Vec<State> {
        let row = |due: Option<Due>| Row {
            status: match due {
                Some(Due { queued: Queued::AtOnce, .. }) => Status::Queued,
                Some(Due { queued: Queued::Late, .. }) => Status::Late,
                None => Status::Cancelled,
            },
            entry: due.map_or(0, |due| due.entry),
            moved: false,
            mark: None,
            requeued: false,
            repointed: false,
            emptied: false,
        };
        let database = Database {
            rows: self.bounds.rows.map(row),
            versions: [0; ENTRIES],
            exported: [0; ENTRIES],
            batches: [Batch::ABSENT; DATES],
            logs: [0; DATES],
            number: 0,
            marking: None,
            installation: self.bounds.initialized.into(),
            recorded: 0,
            pending: None,
        };
        vec![State {
            dbs: [database; 2],
            second: if self.bounds.neighbour { Second::Used } else { Second::Absent },
            files: [File::ABSENT; IDS],
            next_id: 0,
            next_installation: 1 + u8::from(self.bounds.initialized),
            place: 0,
            holders: [Holder::default(); HOLDERS],
            delayed: None,
            trouble: self.bounds.trouble,
            trespassed: false,
            stale: false,
            contradicted: false,
            forgotten: 0,
            misplaced: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Move>) {
        actions.extend(self.moves(state));
    }

    fn next_state(&self, _: &State, action: Move) -> Option<State> {
        Some(action.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
