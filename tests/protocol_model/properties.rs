//! What must hold in every state, what must hold when nothing is left to do, and what must be reached at all.

use super::state::{At, Phase, State, Status, Trouble};
use super::{Protocol, Queued};
use stateright::Property;

pub const ONE_LOG: &str = "a batch has at most one log";
pub const COMMITTED_FILE: &str = "a committed file is live and holds exactly the committed rows";
pub const ONE_FILE_PER_ENTRY: &str = "an entry is in at most one committed file";
pub const MARKED_ROWS: &str = "the marked rows are the rows of the committed file";
pub const GAPLESS: &str = "batch numbers are gapless";
pub const LEDGER: &str = "the ledger names the batch that is being marked";
pub const ROW_LIST: &str = "a batch that is being marked has its row list";
pub const OLD_FENCE: &str = "an old fence changes nothing";
pub const ATTEMPTS: &str = "attempts stay within the limit";
pub const LOST_TO_TROUBLE: &str = "an attempt is lost only to trouble";
pub const VOID_FILE: &str = "a voided id is never official";
pub const KNOWN_FILE: &str = "every live file is accounted for when all are idle";
pub const FRESH: &str = "nothing is committed that changed since it was read";
pub const SETTLED: &str = "a commit declared not to have happened never happens";
pub const ONE_LIVE_FILE: &str = "when nothing can happen any more, no entry is in two live files";
pub const ENDS_WELL: &str = "when nothing can happen any more, everything is done";

pub const ADOPTED: &str = "a file is adopted";
pub const VOIDED: &str = "a file is voided and trashed";
pub const TAKEN_OVER: &str = "a paused holder lives beside its successor";
pub const HELPED: &str = "another date rolls a marking forward";
pub const ROLLED_FORWARD: &str = "a later holder rolls a marking forward";
pub const UNKNOWN_COMMITTED: &str = "an unknown commit happened";
pub const EXHAUSTED: &str = "a batch is exhausted";
pub const EMPTY: &str = "a day is empty after a file was voided";
pub const CHANGED: &str = "a row changed after the commit point";
pub const BOTH_COMPLETED: &str = "both dates complete with a file each";

/// All of them. Those that ask for something to be reached are looked at by the tests whose bounds allow it.
pub fn all() -> Vec<Property<Protocol>> {
    let always = Property::<Protocol>::always;
    let sometimes = Property::<Protocol>::sometimes;
    vec![
        always(ONE_LOG, |_, state| state.batches.iter().all(|doc| doc.logs <= 1)),
        always(COMMITTED_FILE, committed_file),
        always(ONE_FILE_PER_ENTRY, |_, state| {
            let [first, second] = state.batches.map(|doc| doc.committed.map_or(0, |content| content.mask()));
            first & second == 0
        }),
        always(MARKED_ROWS, marked_rows),
        always(GAPLESS, |_, state| {
            let numbers = state.batches.iter().filter(|doc| doc.logs > 0).fold(0, |mask, doc| mask | 1 << doc.number);
            numbers == (1_u8 << (state.number + 1)) - 2
        }),
        always(LEDGER, |_, state| {
            (0..state.batches.len())
                .all(|batch| (state.batches[batch].phase == Phase::Marking) == (state.marking == Some(batch as u8)))
        }),
        always(ROW_LIST, |_, state| {
            state.batches.iter().all(|doc| doc.phase != Phase::Marking || doc.lists >> doc.committed_by & 1 == 1)
        }),
        always(OLD_FENCE, |_, state| !state.trespassed),
        always(ATTEMPTS, |model, state| {
            state.batches.iter().all(|doc| {
                let limit = model.bounds.attempts;
                doc.lost <= limit && doc.attempt <= limit && (doc.phase != Phase::Exhausted || doc.lost == limit)
            })
        }),
        always(LOST_TO_TROUBLE, lost_to_trouble),
        always(VOID_FILE, |_, state| {
            state.batches.iter().all(|doc| doc.file.is_none_or(|id| doc.voided >> id & 1 == 0))
        }),
        always(KNOWN_FILE, |_, state| !all_idle(state) || live_files_are_known(state, false)),
        always(FRESH, |_, state| !state.stale),
        always(SETTLED, |_, state| !state.contradicted),
        always(ENDS_WELL, ends_well),
        always(ONE_LIVE_FILE, one_live_file),
        sometimes(ADOPTED, |_, state| state.holders.iter().any(|holder| holder.adopted)),
        sometimes(VOIDED, |_, state| state.batches.iter().any(|doc| doc.trashed != 0)),
        sometimes(TAKEN_OVER, |_, state| {
            state
                .holders
                .iter()
                .any(|holder| holder.at != At::Idle && holder.fence < state.batches[holder.batch as usize].fence)
        }),
        sometimes(HELPED, |_, state| state.holders.iter().any(|holder| holder.at == At::Help)),
        sometimes(ROLLED_FORWARD, |_, state| {
            let later = |doc: &super::Batch| doc.phase == Phase::Completed && doc.fence > doc.committed_by;
            state.batches.iter().any(later)
        }),
        sometimes(UNKNOWN_COMMITTED, |_, state| {
            state.holders.iter().any(|holder| {
                let doc = &state.batches[holder.batch as usize];
                holder.at == At::Settle && doc.is_committed() && doc.committed_by == holder.fence
            })
        }),
        sometimes(EXHAUSTED, |_, state| state.batches.iter().any(|doc| doc.phase == Phase::Exhausted)),
        sometimes(EMPTY, |_, state| state.batches.iter().any(|doc| doc.phase == Phase::Empty && doc.trashed != 0)),
        sometimes(CHANGED, |_, state| state.batches.iter().any(|doc| doc.changed != 0)),
        sometimes(BOTH_COMPLETED, |_, state| state.batches.iter().all(|doc| doc.phase == Phase::Completed)),
    ]
}

fn committed_file(_: &Protocol, state: &State) -> bool {
    state.batches.iter().filter(|doc| doc.is_committed()).all(|doc| {
        doc.file.is_some_and(|id| {
            let file = state.files[id as usize];
            file.is_live() && file.content == doc.committed
        })
    })
}

/// Each row that carries a batch's mark is in that batch's file; and once it is completed, the others of the file are those that the
/// application changed.
fn marked_rows(_: &Protocol, state: &State) -> bool {
    state.batches.iter().enumerate().all(|(batch, doc)| {
        let is_marked = |row: &usize| state.rows[*row].status == Status::Marked(batch as u8);
        let marked = (0..state.rows.len()).filter(is_marked).fold(0, |mask, row| mask | 1 << row);
        let listed = doc.committed.map_or(0, |content| content.mask());
        match doc.phase {
            Phase::Completed => marked | doc.changed == listed && marked & doc.changed == 0 && doc.left == 0,
            _ => marked & !listed == 0 && marked & doc.left == 0,
        }
    })
}

/// Neither a wait for another batch nor an interruption costs an attempt; conflicts do, once they outnumber the regenerations.
fn lost_to_trouble(model: &Protocol, state: &State) -> bool {
    let spent = |kind: fn(&Trouble) -> u8| kind(&model.bounds.trouble) - kind(&state.trouble);
    let trouble = spent(|all| all.crashes) + spent(|all| all.pauses) + spent(|all| all.failures);
    let changes =
        spent(|all| all.edits) + spent(|all| all.cancellations) + spent(|all| all.unknown_commits) + state.number;
    let conflicts = changes * model.bounds.dates as u8;
    let lost: u8 = state.batches.iter().map(|doc| doc.lost).sum();
    lost <= trouble + conflicts / (model.bounds.regenerations + 1)
}

fn all_idle(state: &State) -> bool {
    state.holders.iter().all(|holder| holder.at == At::Idle)
}

/// A live file is official, or the current file of an unfinished batch, or (until everything is done) on the list of what is to be trashed.
fn live_files_are_known(state: &State, done: bool) -> bool {
    (0..state.next_id).filter(|&id| state.files[id as usize].is_live()).all(|id| {
        state.batches.iter().any(|doc| {
            let current = doc.file == Some(id) && doc.phase != Phase::Empty;
            let listed = (doc.voided & !doc.trashed) >> id & 1 == 1;
            current || listed && !done
        })
    })
}

/// Also while a batch waits for a person.
fn one_live_file(model: &Protocol, state: &State) -> bool {
    let live = state.files.iter().filter(|file| file.is_live()).filter_map(|file| file.content);
    let overlap = live.fold((0, 0), |(seen, twice), content| (seen | content.mask(), twice | seen & content.mask())).1;
    overlap == 0 || !all_idle(state) || state.pending.is_some() || !model.moves(state).is_empty()
}

/// A state without a next one: each batch is finished or needs a person, nothing due is left behind, no other file is live.
fn ends_well(model: &Protocol, state: &State) -> bool {
    if !all_idle(state) || state.pending.is_some() || !model.moves(state).is_empty() {
        return true;
    }
    let finished = |phase| matches!(phase, Phase::Completed | Phase::Empty | Phase::Exhausted);
    let dates = &state.batches[..model.bounds.dates];
    let exported = |row: usize| match model.bounds.rows[row] {
        Some((_, Queued::AtOnce)) => state.rows[row].status != Status::Queued,
        _ => true,
    };
    let exhausted = dates.iter().any(|doc| doc.phase == Phase::Exhausted);
    dates.iter().all(|doc| finished(doc.phase))
        && state.marking.is_none()
        && live_files_are_known(state, true)
        && (exhausted || (0..state.rows.len()).all(exported))
}
