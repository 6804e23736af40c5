//! Why due rows are refused, for people: the faults of a row, and the next step, which has to fit them.

use crate::entry::NO_SUCH_ENTRY;
use crate::exit::Exit;
use crate::failure::{Failure, Invalid};
use crate::id::Id;
use crate::store::{DueRow, ExportedIn, NO_DATE};

/// How the next step ends where entries are due that need no correction.
pub(super) const OTHERS_MAY_GO: &str = ", or export the others with --invalid hold";

/// What has to be done about refused entries.
#[derive(Default)]
pub(super) struct Needs {
    /// Some were exported before.
    not_again: bool,
    /// Some are queued more than once.
    once: bool,
    /// Some, or their rows, have other faults.
    pub(super) corrections: bool,
}

impl Needs {
    /// Adds the needs of a row with this number of faults.
    pub(super) fn add(&mut self, twice: bool, exported: bool, faults: usize) {
        self.once |= twice;
        self.not_again |= exported;
        self.corrections |= faults > usize::from(twice) + usize::from(exported);
    }

    /// The next step for a person.
    pub(super) fn steps(&self) -> String {
        let correct = if self.not_again || self.once { "correct the others" } else { "correct the entries" };
        let steps = [
            (
                self.not_again,
                "take what was exported before out of the queue, or allow a second export with --allow-reexport",
            ),
            (self.once, "leave one row in the queue of each entry that is queued more than once"),
            (self.corrections, correct),
        ];
        let steps: Vec<&str> = steps.into_iter().filter_map(|(needed, step)| needed.then_some(step)).collect();
        steps.join("; ")
    }
}

/// The faults of a row, apart from those of its entry. Empty, without an allocation, for nearly every row.
pub(super) fn row_faults(row: &DueRow, found: bool, twice: bool, exported: Option<ExportedIn>) -> Vec<String> {
    let mut faults = Vec::new();
    if row.scheduled_ms == NO_DATE {
        faults.push("the queue row's scheduledFor is not a Date, so it would never be due".to_owned());
    }
    if row.unmarkable {
        faults.push("the queue row's metadata is not an object".to_owned());
    }
    if !found && row.key.entry == Id::ABSENT {
        faults.push("the queue row's entryId is missing or no ObjectId".to_owned());
    } else if !found {
        faults.push(NO_SUCH_ENTRY.to_owned());
    } else if twice {
        faults.push("the entry is queued more than once for this file".to_owned());
    }
    faults.extend(exported.map(|exported| exported.to_string()));
    faults
}

pub(super) fn no_object_id(row_id: String) -> Invalid {
    Invalid { entry_id: String::new(), row_id, reason: "the queue row's _id is not an ObjectId".to_owned() }
}

pub(super) fn invalid_entries(refused: Vec<Invalid>, next: String) -> Failure {
    let name = |invalid: &Invalid| match &*invalid.entry_id {
        "" => format!("queue row {}", invalid.row_id),
        entry => format!("entry {entry}"),
    };
    let message = match &refused[..] {
        [only] => format!("{} must not be exported: {}", name(only), only.reason),
        all => {
            let first = name(&all[0]);
            format!("{} entries must not be exported, the first one is {first}: {}", all.len(), all[0].reason)
        }
    };
    let mut failure = Failure::new(Exit::InvalidEntries, message).next(next);
    failure.invalid = refused;
    failure
}
