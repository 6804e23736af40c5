//! What must hold in every state, what must hold when nothing is left to do, and what must be reached at all.

use super::state::{At, Batch, Database, File, Holder, Phase, Second, State, Status};
use super::{Protocol, Queued, Trouble};
use stateright::Property;

pub const ONE_LOG: &str = "a batch has at most one log";
pub const COMMITTED_FILE: &str = "a committed file is live and holds exactly the committed rows";
pub const ONE_FILE_PER_ENTRY: &str = "an entry is in at most one committed file";
pub const ONE_OFFICIAL_FILE: &str = "an entry is in at most one file that any state of the database committed";
pub const ENTRIES: &str = "the recorded entries are those of the committed files";
pub const MARKED_ROWS: &str =
    "the marked rows are the rows of the committed file, but for those that the application changed";
pub const MARKED_ONCE: &str = "a batch marks a row once, or lists it once as changed";
pub const NO_PIECE: &str = "a completed batch has no piece left";
pub const NOT_LOST: &str = "the entry of a completed row is in a committed file";
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
pub const ONE_NAME: &str = "no two live files share a name, but for unsealed ones that are listed as void";
pub const ONE_OWNER: &str = "a committed file is of the installation and the destination that committed it";
pub const SEALED_FILE: &str = "a sealed file is never removed";
pub const SEALED_NUMBER: &str = "the number on a file is the number of its batch";

pub const ADOPTED: &str = "a file is adopted";
pub const VOIDED: &str = "a file is voided and trashed";
pub const TAKEN_OVER: &str = "a paused holder lives beside its successor";
pub const HELPED: &str = "another date rolls a marking forward";
pub const TWO_MARKERS: &str = "two markers are at work at once";
pub const OVERTAKEN: &str = "a marker wakes up after its piece was marked";
pub const ROLLED_FORWARD: &str = "a later process of the same date finishes a marking";
pub const REBUILT: &str = "a row list is made again";
pub const UNKNOWN_COMMITTED: &str = "an unknown commit happened";
pub const EXHAUSTED: &str = "a batch is exhausted";
pub const EMPTY: &str = "a day is empty after a file was voided";
pub const CHANGED: &str = "a row changed after the commit point";
pub const HELD: &str = "a row is held back because its entry was exported";
pub const BOTH_COMPLETED: &str = "both dates complete with a file each";
pub const MOVED: &str = "a batch completes at another destination after its first file was voided";
pub const BOTH_COMMITTED: &str = "two databases complete the same date";
pub const SEALED_IN_BOTH: &str = "two databases commit and seal the same file";

/// All of them. Those that ask for something to be reached are looked at by the tests whose bounds allow it.
pub fn all() -> Vec<Property<Protocol>> {
    [of_database(), of_folder(), of_ends(), reached()].concat()
}

fn of_database() -> Vec<Property<Protocol>> {
    let always = Property::<Protocol>::always;
    vec![
        always(ONE_LOG, |_, state| state.used().all(|db| db.logs.iter().all(|logs| *logs <= 1))),
        always(ONE_FILE_PER_ENTRY, |_, state| {
            state.used().all(|db| {
                let [first, second] = db.batches.map(|doc| doc.committed.map_or(0, |content| content.entries()));
                first & second & !state.forgotten == 0
            })
        }),
        always(ENTRIES, |model, state| state.used().all(|db| recorded_entries(model, db))),
        always(MARKED_ROWS, |model, state| state.used().all(|db| marked_rows(model, db))),
        always(MARKED_ONCE, |_, state| documents(state).all(|doc| doc.again == 0)),
        always(NO_PIECE, |_, state| documents(state).all(|doc| !completed(doc) || doc.left == 0)),
        always(NOT_LOST, |model, state| {
            let lost_documents = model.bounds.trouble.lost_documents > 0;
            lost_documents
                || state.used().all(|db| {
                    let committed = db.batches.iter().filter_map(|doc| doc.committed);
                    let entries = committed.fold(0, |entries, content| entries | content.entries());
                    db.rows.iter().all(|row| row.status != Status::Completed || entries >> row.entry & 1 == 1)
                })
        }),
        always(GAPLESS, |_, state| {
            state.used().all(|db| {
                let numbered = db.batches.iter().zip(db.logs).filter(|(doc, logs)| *logs > 0 && doc.number > 0);
                let lost = db.batches.iter().zip(db.logs).filter(|(doc, logs)| *logs > 0 && doc.number == 0).count();
                let numbers = numbered.fold(0_u8, |mask, (doc, _)| mask | 1 << doc.number);
                lost > 0 || numbers == (1_u8 << (db.number + 1)) - 2
            })
        }),
        always(LEDGER, |_, state| {
            let named = |db: &Database, batch: usize| db.marking == Some(batch as u8);
            let marking = |db: &Database, batch: usize| db.batches[batch].phase == Phase::Marking;
            state.used().all(|db| (0..db.batches.len()).all(|batch| marking(db, batch) == named(db, batch)))
        }),
        always(ROW_LIST, |_, state| {
            documents(state).all(|doc| doc.phase != Phase::Marking || doc.list == doc.committed)
        }),
        always(OLD_FENCE, |_, state| !state.trespassed),
        always(ATTEMPTS, |model, state| {
            let limit = model.bounds.attempts;
            let within = |doc: &Batch| doc.lost <= limit && doc.attempt <= limit;
            documents(state).all(|doc| within(doc) && (doc.phase != Phase::Exhausted || doc.lost == limit))
        }),
        always(LOST_TO_TROUBLE, lost_to_trouble),
        always(VOID_FILE, |_, state| documents(state).all(|doc| doc.file.is_none_or(|id| doc.voided >> id & 1 == 0))),
        always(FRESH, |_, state| !state.stale),
        always(SETTLED, |_, state| !state.contradicted),
    ]
}

fn of_folder() -> Vec<Property<Protocol>> {
    let always = Property::<Protocol>::always;
    vec![
        always(COMMITTED_FILE, committed_file),
        always(ONE_OFFICIAL_FILE, |model, state| {
            let official = || state.files.iter().filter(|file| file.official && file.is_live());
            let entries = official().filter_map(|file| file.content).map(|content| content.entries());
            let entries = entries.map(|mask| mask & !state.forgotten);
            has_rivals(model) || is_disjoint(entries)
        }),
        always(ONE_NAME, |model, state| {
            let named: Vec<(u8, u8)> = (0..state.next_id)
                .map(|id| (id, state.files[id as usize]))
                .filter(|&(id, file)| file.is_live() && (file.is_sealed() || !is_listed(state, id)))
                .map(|(_, file)| (file.place, file.name))
                .collect();
            let twice = (1..named.len()).any(|later| named[..later].contains(&named[later]));
            has_rivals(model) && !model.bounds.in_turns || !twice
        }),
        always(ONE_OWNER, |_, state| !state.misplaced),
        always(SEALED_FILE, |_, state| state.files.iter().all(|file| !file.is_sealed() || file.is_live())),
        always(SEALED_NUMBER, |_, state| {
            documents(state).filter(|doc| doc.is_committed()).all(|doc| {
                let number = doc.file.map_or(0, |id| state.files[id as usize].number);
                number == 0 || number == doc.number
            })
        }),
    ]
}

fn of_ends() -> Vec<Property<Protocol>> {
    let always = Property::<Protocol>::always;
    vec![
        always(KNOWN_FILE, |model, state| !all_idle(state) || live_files_are_known(model, state, false)),
        always(ENDS_WELL, |model, state| !is_last(model, state) || ends_well(model, state)),
        always(ONE_LIVE_FILE, |model, state| {
            let counts = |id: &u8| {
                let file: File = state.files[*id as usize];
                file.is_live() && (file.place == state.place || !is_listed(state, *id))
            };
            let live = (0..state.next_id).filter(counts).filter_map(|id| state.files[id as usize].content);
            !is_alone(model) || is_disjoint(live.map(|content| content.entries())) || !is_last(model, state)
        }),
    ]
}

fn reached() -> Vec<Property<Protocol>> {
    let sometimes = Property::<Protocol>::sometimes;
    vec![
        sometimes(ADOPTED, |_, state| any_holder(state, |_, holder| holder.adopted)),
        sometimes(VOIDED, |_, state| documents(state).any(|doc| doc.trashed != 0)),
        sometimes(TAKEN_OVER, |_, state| {
            any_holder(state, |state, holder| holder.at != At::Idle && holder.fence < document(state, holder).fence)
        }),
        sometimes(HELPED, |_, state| any_holder(state, |_, holder| holder.helps.is_some())),
        sometimes(TWO_MARKERS, |_, state| state.holders.iter().filter(|holder| holder.at == At::Mark).count() > 1),
        sometimes(OVERTAKEN, |_, state| {
            any_holder(state, |state, holder| {
                let batch = holder.helps.unwrap_or(holder.batch);
                holder.at == At::Mark && state.dbs[holder.db as usize].batches[batch as usize].left & holder.piece == 0
            })
        }),
        sometimes(ROLLED_FORWARD, |_, state| {
            let joined = |holder: &Holder| holder.helps.is_none() && holder.snapshot.is_empty();
            state.holders.iter().any(|holder| holder.at == At::Finish && joined(holder))
        }),
        sometimes(REBUILT, |_, state| documents(state).any(|doc| doc.phase == Phase::Completed && doc.lists != 0)),
        sometimes(UNKNOWN_COMMITTED, |_, state| {
            any_holder(state, |state, holder| {
                let doc = document(state, holder);
                holder.at == At::Settle && doc.is_committed() && doc.committed_by == holder.fence
            })
        }),
        sometimes(EXHAUSTED, |_, state| documents(state).any(|doc| doc.phase == Phase::Exhausted)),
        sometimes(EMPTY, |_, state| documents(state).any(|doc| doc.phase == Phase::Empty && doc.trashed != 0)),
        sometimes(CHANGED, |_, state| documents(state).any(|doc| doc.changed != 0)),
        sometimes(HELD, |_, state| state.used().any(|db| db.rows.iter().any(|row| row.status == Status::Failed))),
        sometimes(BOTH_COMPLETED, |_, state| state.used().any(|db| db.batches.iter().all(completed))),
        sometimes(MOVED, |_, state| documents(state).any(|doc| completed(doc) && doc.voided & !doc.trashed != 0)),
        sometimes(BOTH_COMMITTED, |_, state| {
            state.second == Second::Used && state.dbs.iter().all(|db| completed(&db.batches[0]))
        }),
        sometimes(SEALED_IN_BOTH, |_, state| {
            let [first, second] = state.dbs.map(|db| db.batches[0]);
            state.second == Second::Used && first.sealed && second.sealed && first.file == second.file
        }),
    ]
}

fn completed(doc: &Batch) -> bool {
    doc.phase == Phase::Completed
}

fn any_holder(state: &State, has: fn(&State, &Holder) -> bool) -> bool {
    state.holders.iter().any(|holder| has(state, holder))
}

fn documents(state: &State) -> impl Iterator<Item = &Batch> {
    state.used().flat_map(|db| db.batches.iter())
}

fn document<'a>(state: &'a State, holder: &Holder) -> &'a Batch {
    &state.dbs[holder.db as usize].batches[holder.batch as usize]
}

/// Whether two databases may be in use in this world.
fn has_rivals(model: &Protocol) -> bool {
    model.bounds.neighbour || model.bounds.trouble.copies > 0
}

/// Whether the one database of this world knows all that ever happened.
fn is_alone(model: &Protocol) -> bool {
    let trouble = &model.bounds.trouble;
    !has_rivals(model) && [trouble.restores, trouble.lost_documents, trouble.lost_entries] == [0; 3]
}

fn is_disjoint(masks: impl Iterator<Item = u8>) -> bool {
    masks.fold((0, 0), |(seen, twice), mask| (seen | mask, twice | seen & mask)).1 == 0
}

/// Between upload and seal, a copy of the database may still void the file.
fn committed_file(model: &Protocol, state: &State) -> bool {
    documents(state).filter(|doc| doc.is_committed()).all(|doc| {
        let Some(file) = doc.file.map(|id| state.files[id as usize]) else { return false };
        let accepted = model.bounds.trouble.copies > 0 && !model.bounds.seals_at_once && !file.is_sealed();
        accepted || file.is_live() && file.content == doc.committed.map(|content| content.bytes())
    })
}

/// Whether the row list of a batch may lack pieces that were not marked, until that is noticed.
fn may_lack_pieces(model: &Protocol, doc: &Batch) -> bool {
    model.bounds.trouble.lost_pieces > 0 && doc.phase == Phase::Marking
}

/// Each entry of a committed file is recorded under its number, but for those in pieces that are left; and no other is.
fn recorded_entries(model: &Protocol, db: &Database) -> bool {
    let entries_of = |doc: &Batch, left: bool| {
        let rows = doc.committed.into_iter().flat_map(|content| content.rows());
        let counts = |row: usize| left || doc.left >> row & 1 == 0;
        rows.filter(|(row, _)| counts(*row)).fold(0_u8, |mask, (_, line)| mask | 1 << line.entry)
    };
    db.batches.iter().filter(|doc| doc.is_committed()).all(|doc| {
        let recorded = (0..db.exported.len()).filter(|entry| db.exported[*entry] == doc.number);
        let recorded = recorded.fold(0_u8, |mask, entry| mask | 1 << entry);
        let all = may_lack_pieces(model, doc) || entries_of(doc, false) & !recorded == 0;
        recorded & !entries_of(doc, true) == 0 && all
    }) || model.bounds.trouble.lost_documents + model.bounds.trouble.lost_entries > 0
}

/// Each row of a committed file was marked once, or is left, or is listed because the application changed it; it carries the batch's id
/// unless the application removed that or made the row name another entry.
fn marked_rows(model: &Protocol, db: &Database) -> bool {
    let found = |row: usize, batch: u8| {
        let line = db.batches[batch as usize].committed.and_then(|content| content.line(row));
        line.is_some_and(|line| line.entry == db.rows[row].entry || db.rows[row].repointed)
    };
    let of_batches = db.batches.iter().enumerate().all(|(batch, doc)| {
        let listed = doc.committed.map_or(0, |content| content.mask());
        let seen = doc.marked | doc.changed;
        let carries = |row: usize| {
            let row = db.rows[row];
            row.mark == Some(batch as u8) || row.repointed || row.emptied
        };
        let all_carry = (0..db.rows.len()).filter(|row| seen >> row & 1 == 1).all(carries);
        let untouched = |row: usize| {
            let now = db.rows[row];
            now.status == Status::Queued && !now.requeued && !now.repointed
        };
        let left_alone = (0..db.rows.len()).any(|row| doc.changed >> row & 1 == 1 && untouched(row));
        let all = seen == listed & !doc.left || may_lack_pieces(model, doc) && seen & !(listed & !doc.left) == 0;
        all && doc.marked & doc.changed == 0 && all_carry && !left_alone
    });
    let of_rows = (0..db.rows.len()).all(|row| db.rows[row].mark.is_none_or(|batch| found(row, batch)));
    model.bounds.trouble.lost_documents > 0 || of_batches && of_rows
}

/// Neither a wait for another batch nor an interruption costs an attempt; conflicts do, once they outnumber the regenerations.
fn lost_to_trouble(model: &Protocol, state: &State) -> bool {
    let spent = |kind: fn(&Trouble) -> u8| kind(&model.bounds.trouble) - kind(&state.trouble);
    let trouble =
        spent(|all| all.crashes) + spent(|all| all.pauses) + spent(|all| all.failures) + spent(|all| all.refusals);
    let by_application = spent(|all| all.edits) + spent(|all| all.cancellations) + spent(|all| all.requeues);
    let of_rows = spent(|all| all.repoints) + spent(|all| all.moves);
    let changes = by_application + of_rows + spent(|all| all.unknown_commits) + state.dbs[0].number;
    let conflicts = changes * model.bounds.dates as u8;
    let lost: u8 = documents(state).map(|doc| doc.lost).sum();
    !is_alone(model) || lost <= trouble + conflicts / (model.bounds.regenerations + 1)
}

fn all_idle(state: &State) -> bool {
    state.holders.iter().all(|holder| holder.at == At::Idle)
}

/// Whether nothing can happen any more.
fn is_last(model: &Protocol, state: &State) -> bool {
    all_idle(state) && state.used().all(|db| db.pending.is_none()) && model.moves(state).is_empty()
}

/// Whether a database lists the file as void and to be trashed.
fn is_listed(state: &State, id: u8) -> bool {
    documents(state).any(|doc| (doc.voided & !doc.trashed) >> id & 1 == 1)
}

/// A live file is official, or the current file of an unfinished batch, or on the list of what is to be trashed: until everything is
/// done, or for ever where the settings name another destination, or the file is sealed. A restored database does not know all files.
fn live_files_are_known(model: &Protocol, state: &State, done: bool) -> bool {
    let forgetful = model.bounds.trouble.restores > 0 || model.bounds.trouble.lost_documents > 0;
    forgetful
        || (0..state.next_id).filter(|&id| state.files[id as usize].is_live()).all(|id| {
            let file = state.files[id as usize];
            let current = documents(state).any(|doc| doc.file == Some(id) && doc.phase != Phase::Empty);
            let stays = !done || file.place != state.place || file.is_sealed();
            current || is_listed(state, id) && stays
        })
}

/// Each batch is finished or needs a person, nothing due is left behind, no other file is live.
fn ends_well(model: &Protocol, state: &State) -> bool {
    let finished = |doc: &Batch| matches!(doc.phase, Phase::Completed | Phase::Empty | Phase::Exhausted);
    let of_database = |db: &Database| {
        let dates = &db.batches[..model.bounds.dates];
        let exhausted = dates.iter().any(|doc| doc.phase == Phase::Exhausted);
        let exported = |row: usize| match model.bounds.rows[row] {
            Some(due) if due.queued == Queued::AtOnce => {
                let row = db.rows[row];
                let again = row.requeued || row.repointed || db.exported[row.entry as usize] != 0;
                row.status != Status::Queued || again
            }
            _ => true,
        };
        let all_finished = dates.iter().all(finished) || model.bounds.in_order && exhausted;
        all_finished && db.marking.is_none() && (exhausted || (0..db.rows.len()).all(exported))
    };
    state.used().all(of_database) && live_files_are_known(model, state, true)
}
