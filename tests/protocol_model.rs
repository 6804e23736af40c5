//! The commit protocol, explored exhaustively: every interleaving of two or three processes, two overlapping dates, the application, and
//! a bounded amount of bad luck.
//!
//! Several small worlds, each with one kind of trouble, reach further than a large one with a little of each. For each of them: every
//! property holds in every state, what ought to be possible is reached, and nothing that can happen leaves the work undone. Then each rule
//! of the protocol is taken out in turn, and the checker must find the harm that the rule prevents.

#[path = "protocol_model/mod.rs"]
mod model;

use model::worlds;
use model::{Bounds, Protocol, Without, properties::*};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::HashMap;
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

/// Explores a world without one rule until `broken` is found to be broken.
fn breaks(without: Without, bounds: Bounds, broken: &'static str) {
    let began = Instant::now();
    let protocol = Protocol { bounds, without: Some(without) };
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
/// on last states has judged.
fn ends(name: &str, bounds: Bounds) {
    let model = Protocol { bounds, without: None };
    let mut on_path = HashMap::new();
    let mut path = Vec::new();
    let mut next = model.init_states().pop();
    loop {
        if let Some(state) = next.take() {
            match on_path.insert(state, true) {
                None => path.push((state, model.next_states(&state))),
                Some(open) => {
                    assert!(!open, "{name}: an execution returns to where it was");
                    on_path.insert(state, false);
                }
            }
        }
        let Some((state, successors)) = path.last_mut() else { break };
        next = successors.pop();
        if next.is_none() {
            on_path.insert(*state, false);
            path.pop();
        }
    }
    println!("{name}: every execution ends ({} states)", on_path.len());
}

#[test]
fn overlapping_dates_never_share_an_entry() {
    holds("overlapping dates", worlds::OVERLAP, &[TAKEN_OVER, ADOPTED, VOIDED, BOTH_COMPLETED]);
}

#[test]
fn a_marking_is_rolled_forward_by_whoever_comes_next() {
    holds("marking", worlds::MARKING, &[HELPED, ROLLED_FORWARD, CHANGED]);
}

#[test]
fn a_marking_is_rolled_forward_by_one_of_three() {
    holds("crowded marking", worlds::CROWDED_MARKING, &[HELPED, ROLLED_FORWARD, TAKEN_OVER]);
}

#[test]
fn a_marking_released_by_hand_goes_on() {
    holds("unlocked marking", worlds::UNLOCKED_MARKING, &[HELPED, ROLLED_FORWARD, CHANGED]);
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

/// One rule each; the name is the rule's, and the property is the one that it protects.
macro_rules! needed {
    ($($name:ident: $without:ident, $world:ident, $broken:ident;)+) => {
        $(#[test]
        fn $name() {
            breaks(Without::$without, worlds::$world, $broken);
        })+
    };
}

needed! {
    the_commit_needs_its_fence: CommitFence, OVERLAP, COMMITTED_FILE;
    the_marking_needs_its_fence: MarkFence, MARKING, OLD_FENCE;
    a_recorded_failure_needs_its_fence: FailureFence, ATTEMPTS_USED, OLD_FENCE;
    the_ledger_is_needed: Ledger, MARKING, ONE_FILE_PER_ENTRY;
    the_ledgers_marking_is_needed: Marking, MARKING, ONE_FILE_PER_ENTRY;
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
    a_row_list_outlives_an_older_holder: NewerListsKept, MARKING, ROW_LIST;
    a_row_still_queued_is_marked_whatever_was_edited: MarkingOfEdited, EDITS, ONE_FILE_PER_ENTRY;
    an_upload_is_verified: VerifiedUpload, DESTINATION, COMMITTED_FILE;
    only_the_same_content_is_adopted: ChecksumOfAdopted, OVERLAP, COMMITTED_FILE;
    a_crash_costs_an_attempt: CountedCrash, ATTEMPTS_USED, ATTEMPTS;
    an_exhausted_batch_voids_its_file: ExhaustionVoids, EXHAUSTION, ONE_LIVE_FILE;
    an_interruption_costs_no_attempt: FreeInterruption, ATTEMPTS_USED, LOST_TO_TROUBLE;
    the_sweep_is_needed: Sweep, OVERLAP, ENDS_WELL;
    other_dates_roll_forward: RollForward, MARKING, LOST_TO_TROUBLE;
}
