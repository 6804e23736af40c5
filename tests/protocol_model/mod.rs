//! The commit protocol as a state machine: what one step of one process, of the application or of bad luck can do.
//!
//! The danger of a model is that it proves something else than what is built. So every write here carries the same filter as the
//! product's (`Turn::write`), every step is one round trip to MongoDB or to the destination, and a process may be overtaken between any
//! two of them. `Without` takes one rule out, to show that the checker would notice.

mod commit;
mod lease;
pub mod properties;
mod state;
mod turn;
mod upload;
mod world;
pub mod worlds;

pub use state::{ROWS, Trouble};

use state::{At, Batch, DATES, File, HOLDERS, Holder, IDS, Row, State, Status};
use stateright::{Model, Property};
use turn::Turn;

/// A rule of the protocol that can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// The commit is not filtered by fence and file id.
    CommitFence,
    /// The marking is not filtered by fence.
    MarkFence,
    /// A failure is recorded without a fence.
    FailureFence,
    /// The commit neither compares the ledger's number nor looks at `marking`, nor does the generator.
    Ledger,
    /// The ledger's number is compared, but nobody looks at `marking`.
    Marking,
    /// An existing id is overwritten.
    WriteOnce,
    /// A file is voided without a fence.
    VoidFence,
    /// A file is trashed before it is recorded as voided.
    VoidBeforeTrash,
    /// The id is stored only with the commit.
    StoredId,
    /// An unknown commit is settled by reading the batch document.
    SettlingWrite,
    /// As before, and the voiding does not look at the state either.
    SettlingWriteAndVoidState,
    /// An empty day is recorded while an earlier upload is live.
    EmptyVoids,
    /// An empty day voids the stored id only when a file is seen under it.
    EmptyVoidsUnseen,
    /// A voided id under which nothing is found counts as trashed.
    TrashedMeansSeen,
    /// Trashing frees the id for another creation (a folder of plain names).
    TrashKeepsId,
    /// The commit does not compare the entries with what was read.
    EditDetection,
    /// The commit looks only at the rows that it marks itself.
    WholeListChecked,
    /// Storing a row list removes every other list of the batch, those of newer fences too.
    NewerListsKept,
    /// The marking leaves a row alone whose entry was edited after the commit point, though it is still queued.
    MarkingOfEdited,
    /// The upload's checksum is not verified.
    VerifiedUpload,
    /// Whatever lies under the id is adopted.
    ChecksumOfAdopted,
    /// An exhausted batch keeps the file that it uploaded.
    ExhaustionVoids,
    /// A take-over does not count the attempt that crashed.
    CountedCrash,
    /// An interruption costs an attempt.
    FreeInterruption,
    /// Voided files are trashed by the pass that voided them or never.
    Sweep,
    /// A marking is rolled forward by its own date only; the others neither do it nor wait, but fail.
    RollForward,
}

/// How large the world is.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub holders: usize,
    pub dates: usize,
    /// Per row: the first date on which it is due, and whether it is queued only later; `None` leaves it out.
    pub rows: [Option<(u8, Queued)>; ROWS],
    /// Rows marked per transaction.
    pub chunk: usize,
    /// Attempts, the first one included.
    pub attempts: u8,
    /// Regenerations after a conflict within one attempt.
    pub regenerations: u8,
    pub trouble: Trouble,
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
    /// The holder, by its batch and fence (nobody: the application, the servers, a process that only begins).
    who: Option<(u8, u8)>,
    what: &'static str,
    /// The row, batch or file that the words end with.
    on: Option<u8>,
    next: State,
}

impl std::fmt::Debug for Move {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((batch, fence)) = self.who {
            write!(f, "[batch {batch}, fence {fence}] ")?;
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
                At::Create => turn.create(),
                At::Void => turn.void(),
                At::Trash => turn.trash(),
                At::RecordEmpty => turn.record_empty(),
                At::StoreList => turn.store_list(),
                At::Commit => turn.commit(),
                At::Settle => turn.settle(),
                At::Mark => turn.mark(),
                At::Help => turn.help(),
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
        let row = |due: Option<(u8, Queued)>| Row {
            status: match due {
                Some((_, Queued::AtOnce)) => Status::Queued,
                Some((_, Queued::Late)) => Status::Late,
                None => Status::Cancelled,
            },
            version: 0,
        };
        vec![State {
            rows: self.bounds.rows.map(row),
            batches: [Batch::ABSENT; DATES],
            files: [File { content: None, trashed: false }; IDS],
            next_id: 0,
            number: 0,
            marking: None,
            holders: [Holder::default(); HOLDERS],
            pending: None,
            delayed: None,
            trouble: self.bounds.trouble,
            trespassed: false,
            stale: false,
            contradicted: false,
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
