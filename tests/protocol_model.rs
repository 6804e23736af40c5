//! The commit protocol, explored exhaustively: every interleaving of two or three processes, two overlapping dates, the application, and
//! a bounded amount of bad luck.
//!
//! Several small worlds, each with one kind of failure, reach further than a large one with a few of each. For each of
//! them: every property holds in every state, what ought to be possible is reached, and nothing that can happen leaves
//! the work undone. Then each rule of the protocol is taken out in turn, and the checker must find the harm that the
//! rule prevents.

#[path = "protocol_model/mod.rs"]
mod model;

use model::worlds;
use model::{Bounds, Protocol, Without, properties::*};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

/// Explores all of a world; everything must hold there, everything in `reached` must be reached, and every execution must end.
fn holds(name: &str, bounds: Bounds, reached: &[&'static str]) {
    let began = Instant::now();
    let checker = Protocol { bounds, without: None }.checker().spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{name}: {states} states, {depth} steps deep, {:.1} s", began.elapsed().as_secs_f32());
    let discoveries = checker.discoveries();
    for property in checker.model().properties() {
        if let Some(path) = discoveries.get(property.name).filter(|_| property.expectation.discovery_is_failure()) {
            panic!("{name}: broken: {}\n{}", property.name, trace(&path.clone().into_actions()));
        }
    }
    for property in reached {
        assert!(discoveries.contains_key(property), "{name}: never reached: {property}");
    }
    drop(checker);
    ends(name, bounds);
}

/// Explores a world without one rule, or with all of them, until `broken` is found to be broken.
fn breaks(without: Option<Without>, bounds: Bounds, broken: &'static str) {
    let began = Instant::now();
    let protocol = Protocol { bounds, without };
    let checker = protocol.checker().finish_when(HasDiscoveries::AllOf([broken].into())).spawn_bfs().join();
    let states = checker.unique_state_count();
    let path = checker.discovery(broken).unwrap_or_else(|| {
        let found: Vec<_> = checker.discoveries().into_keys().collect();
        panic!("without {without:?}, {states} states: still holds: {broken}; found: {found:?}")
    });
    let seconds = began.elapsed().as_secs_f32();
    println!(
        "without {without:?}: broken after {states} states, {seconds:.1} s: {broken}\n{}",
        trace(&path.into_actions())
    );
}

fn trace(steps: &[impl std::fmt::Debug]) -> String {
    steps.iter().map(|step| format!("    {step:?}\n")).collect()
}

/// Walks all executions of a world depth first: none comes back to a state that it was in. So each one ends, in a state that the property
/// on last states has judged. States are known by their hashes, as in the checker.
fn ends(name: &str, bounds: Bounds) {
    let model = Protocol { bounds, without: None };
    let mut on_path = HashMap::new();
    let mut path = Vec::new();
    let mut next = model.init_states().pop();
    loop {
        if let Some(state) = next.take() {
            let known = fingerprint(&state);
            match on_path.insert(known, true) {
                None => path.push((known, model.next_states(&state))),
                Some(open) => {
                    assert!(!open, "{name}: an execution returns to where it was");
                    on_path.insert(known, false);
                }
            }
        }
        let Some((known, successors)) = path.last_mut() else { break };
        next = successors.pop();
        if next.is_none() {
            on_path.insert(*known, false);
            path.pop();
        }
    }
    println!("{name}: every execution ends ({} states)", on_path.len());
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn overlapping_dates_never_share_an_entry() {
    holds("overlapping dates", worlds::OVERLAP, &[TAKEN_OVER, ADOPTED, VOIDED, BOTH_COMPLETED]);
}

#[test]
fn a_marking_is_rolled_forward_by_whoever_comes_next() {
    holds("marking", worlds::MARKING, &[HELPED, TWO_MARKERS, OVERTAKEN, ROLLED_FORWARD]);
}

#[test]
fn pieces_are_marked_once_by_two_markers_at_once() {
    holds("crowded marking", worlds::CROWDED_MARKING, &[HELPED, TWO_MARKERS, OVERTAKEN, ROLLED_FORWARD, TAKEN_OVER]);
}

#[test]
fn a_large_batch_that_is_generated_anew_marks_its_own_rows() {
    holds("late row", worlds::LATE_ROW, &[TWO_MARKERS, TAKEN_OVER, ROLLED_FORWARD]);
}

#[test]
fn an_unknown_commit_is_settled() {
    holds("unknown commits", worlds::UNKNOWN, &[UNKNOWN_COMMITTED]);
}

#[test]
fn a_changed_entry_is_never_committed_as_it_was() {
    holds("edits", worlds::EDITS, &[CHANGED, VOIDED]);
}

#[test]
fn an_entry_that_is_taken_back_during_the_marking_is_exported_once() {
    holds("taken back", worlds::TAKEN_BACK, &[HELPED, CHANGED]);
}

#[test]
fn an_entry_that_is_taken_back_beside_a_kill_is_exported_once() {
    holds("taken back and killed", worlds::TAKEN_BACK_AND_KILLED, &[HELPED, CHANGED, ROLLED_FORWARD]);
}

#[test]
fn an_entry_that_is_queued_again_is_exported_once() {
    holds("queued again", worlds::QUEUED_AGAIN, &[HELD, BOTH_COMPLETED]);
}

#[test]
fn a_row_that_is_pointed_elsewhere_loses_no_entry() {
    holds("pointed elsewhere", worlds::POINTED_ELSEWHERE, &[CHANGED, BOTH_COMPLETED]);
}

#[test]
fn whatever_the_destination_does_one_file_remains() {
    holds("destination", worlds::DESTINATION, &[ADOPTED, VOIDED]);
}

#[test]
fn attempts_are_counted_whatever_ends_them() {
    holds("attempts", worlds::ATTEMPTS_USED, &[EXHAUSTED]);
}

#[test]
fn an_exhausted_batch_leaves_no_file_beside_the_one_of_the_next_date() {
    holds("exhaustion", worlds::EXHAUSTION, &[EXHAUSTED, BOTH_COMPLETED, VOIDED]);
}

#[test]
fn an_empty_day_leaves_no_file() {
    holds("empty days", worlds::EMPTY_DAYS, &[EMPTY]);
}

#[test]
fn a_change_of_destination_leaves_no_unlisted_file() {
    holds("moved away", worlds::MOVED_AWAY, &[MOVED, VOIDED]);
}

#[test]
fn a_copied_database_removes_nothing_and_makes_no_second_file() {
    holds("copied", worlds::COPIED, &[ADOPTED, BOTH_COMMITTED, SEALED_IN_BOTH]);
}

#[test]
fn a_copied_database_removes_no_sealed_file_at_any_time() {
    holds("copied beside", worlds::COPIED_BESIDE, &[BOTH_COMMITTED, SEALED_IN_BOTH]);
}

#[test]
fn a_restored_database_finds_its_own_files() {
    holds("restored", worlds::RESTORED, &[ADOPTED, BOTH_COMPLETED, EXHAUSTED]);
}

#[test]
fn neighbours_in_one_folder_keep_their_files() {
    holds("neighbours", worlds::NEIGHBOURS, &[EXHAUSTED]);
}

#[test]
fn a_refused_upload_leaves_no_unlisted_file() {
    holds("refused", worlds::REFUSED, &[MOVED, EXHAUSTED]);
}

#[test]
fn a_lost_record_of_an_entry_leads_to_no_second_export() {
    holds("lost entries", worlds::LOST_ENTRIES, &[HELD, EXHAUSTED, BOTH_COMPLETED]);
}

#[test]
fn an_entry_that_is_recorded_again_after_it_was_looked_up_is_exported_once() {
    holds("forgotten", worlds::FORGOTTEN, &[HELD, BOTH_COMPLETED]);
}

#[test]
fn a_row_list_that_lost_pieces_is_made_again() {
    holds("lost pieces", worlds::LOST_PIECES, &[REBUILT, TWO_MARKERS]);
}

#[test]
fn a_lost_batch_document_leads_to_no_second_log() {
    holds("lost document", worlds::LOST_DOCUMENT, &[EXHAUSTED]);
}

/// Whoever exports a later date first would carry the earlier one's entries over, beside the file that the lost state of the database made
/// of them. That file bears the number which this export would get.
#[test]
fn a_restored_database_exports_nothing_twice_in_whatever_order() {
    holds("restored, out of order", worlds::RESTORED_OUT_OF_ORDER, &[EXHAUSTED]);
}

/// One rule each; the name is the rule's, and the property is the one that it protects.
macro_rules! needed {
    ($($name:ident: $without:ident, $world:ident, $broken:ident;)+) => {
        $(#[test]
        fn $name() {
            breaks(Some(Without::$without), worlds::$world, $broken);
        })+
    };
}

needed! {
    the_commit_needs_its_fence: CommitFence, OVERLAP, COMMITTED_FILE;
    a_recorded_failure_needs_its_fence: FailureFence, ATTEMPTS_USED, OLD_FENCE;
    the_ledger_is_needed: Ledger, MARKING, ONE_FILE_PER_ENTRY;
    the_ledger_and_the_recorded_entries_are_needed: LedgerAndEntries, MARKING, ONE_FILE_PER_ENTRY;
    the_ledgers_marking_is_needed: Marking, MARKING, ONE_FILE_PER_ENTRY;
    recorded_entries_are_needed: Entries, QUEUED_AGAIN, ONE_FILE_PER_ENTRY;
    recorded_entries_are_looked_up: EntriesLookedUp, QUEUED_AGAIN, LOST_TO_TROUBLE;
    recorded_entries_have_a_unique_key: UniqueKey, FORGOTTEN, ONE_FILE_PER_ENTRY;
    a_batch_is_completed_when_its_entries_are_on_record: RecordsCounted, LOST_PIECES, ENTRIES;
    whoever_misses_records_looks_for_pieces_again: PiecesReadAgain, LOST_PIECES, MARKED_ROWS;
    a_list_is_not_made_again_over_another: UnchangedBatch, LOST_PIECES, MARKED_ROWS;
    the_marking_records_its_entries: EntriesOfPieces, TAKEN_BACK, ONE_FILE_PER_ENTRY;
    the_marking_records_the_entries_of_changed_rows: EntriesOfChangedRows, TAKEN_BACK, ONE_FILE_PER_ENTRY;
    the_commit_compares_the_rows: RowsCompared, POINTED_ELSEWHERE_SMALL, NOT_LOST;
    the_commit_compares_the_times_of_rows: RowsCompared, EDITS, FRESH;
    the_marking_compares_the_entry_of_a_row: EntryOfMarkedRow, POINTED_ELSEWHERE, NOT_LOST;
    a_changed_row_gets_the_batch_id: MarkOfChangedRow, TAKEN_BACK, MARKED_ROWS;
    the_commit_looks_for_a_log: LogLookedFor, LOST_DOCUMENT, ONE_LOG;
    the_count_of_recorded_entries_is_compared: Recorded, LOST_ENTRIES, ONE_FILE_PER_ENTRY;
    only_an_id_that_nothing_was_sent_under_is_unsent: UnsentOfFreshIds, REFUSED, KNOWN_FILE;
    an_id_is_unsent_no_more_before_something_is_sent: UnsentTakenBack, REFUSED, KNOWN_FILE;
    write_once_is_needed: WriteOnce, OVERLAP, COMMITTED_FILE;
    fenced_voiding_is_needed: VoidFence, OVERLAP, COMMITTED_FILE;
    voiding_comes_before_trashing: VoidBeforeTrash, OVERLAP, COMMITTED_FILE;
    the_id_is_stored_beforehand: StoredId, OVERLAP, KNOWN_FILE;
    an_unknown_commit_is_settled_by_a_write: SettlingWrite, UNKNOWN, SETTLED;
    voiding_looks_at_the_state: SettlingWriteAndVoidState, UNKNOWN, COMMITTED_FILE;
    an_empty_day_voids_what_was_uploaded: EmptyVoids, EMPTY_DAYS, KNOWN_FILE;
    an_empty_day_voids_even_an_unseen_file: EmptyVoidsUnseen, EMPTY_DAYS, KNOWN_FILE;
    only_a_file_that_was_seen_counts_as_trashed: TrashedMeansSeen, EMPTY_DAYS, KNOWN_FILE;
    a_trashed_file_keeps_its_id: TrashKeepsId, DESTINATION, KNOWN_FILE;
    edits_are_detected: EditDetection, EDITS, FRESH;
    the_commit_looks_at_the_whole_list: WholeListChecked, EDITS, FRESH;
    a_row_list_needs_its_fence: ListFence, LATE_ROW, ROW_LIST;
    a_piece_is_deleted_in_its_transaction: DeletionInTransaction, CROWDED_MARKING, MARKED_ONCE;
    a_piece_is_not_deleted_before_its_transaction: NoDeletionBefore, CROWDED_MARKING, MARKED_ONCE;
    a_marker_looks_whether_its_piece_is_left: PieceLookedAt, CROWDED_MARKING, MARKED_ONCE;
    the_final_transaction_looks_for_pieces: FinalLook, CROWDED_MARKING, NO_PIECE;
    a_row_still_queued_is_marked_whatever_was_edited: MarkingOfEdited, EDITS, MARKED_ROWS;
    an_upload_is_verified: VerifiedUpload, DESTINATION, COMMITTED_FILE;
    only_the_same_content_is_adopted: ChecksumOfAdopted, OVERLAP, COMMITTED_FILE;
    a_crash_costs_an_attempt: CountedCrash, ATTEMPTS_USED, ATTEMPTS;
    an_exhausted_batch_voids_its_file: ExhaustionVoids, EXHAUSTION, ONE_LIVE_FILE;
    an_interruption_costs_no_attempt: FreeInterruption, ATTEMPTS_USED, LOST_TO_TROUBLE;
    the_sweep_is_needed: Sweep, EMPTY_DAYS, ENDS_WELL;
    other_dates_roll_forward: RollForward, MARKING, LOST_TO_TROUBLE;
    the_old_id_is_voided_after_a_change_of_destination: OldPlaceVoided, MOVED_AWAY, KNOWN_FILE;
    a_file_of_the_old_destination_is_not_adopted: PlaceCompared, MOVED_AWAY, ONE_OWNER;
    the_name_is_looked_for: NameLookedFor, RESTORED, ONE_NAME;
    the_name_is_looked_for_beside_a_neighbour: NameLookedFor, NEIGHBOURS, ONE_NAME;
    a_file_of_a_neighbour_is_not_adopted: InstallationCompared, NEIGHBOURS, ONE_OWNER;
    a_number_that_is_taken_is_looked_for: AheadLookedFor, RESTORED_OUT_OF_ORDER, ONE_OFFICIAL_FILE;
    a_file_with_another_number_is_not_adopted: NumberCompared, RESTORED_OUT_OF_ORDER, SEALED_NUMBER;
    the_replaced_id_is_voided: ReplacedIdVoided, COPIED_AND_DELAYED, KNOWN_FILE;
    a_sealed_file_counts_though_it_is_listed_as_void: SealedVoidCounts, COPIED, ONE_NAME;
    a_sealed_file_is_not_voided: SealStopsVoid, COPIED, ONE_NAME;
    a_sealed_file_is_not_trashed: SealStopsTrash, COPIED, SEALED_FILE;
    a_committed_file_is_sealed: Seal, COPIED, COMMITTED_FILE;
}
