//! The worlds that are explored: what exists in each, and which failures happen in it.

use super::Queued::{AtOnce, Late};
use super::{Bounds, Due, Trouble};

const NONE: Trouble = Trouble::NONE;

const fn due(date: u8, entry: u8) -> Option<Due> {
    Some(Due { date, entry, queued: AtOnce })
}

const fn late(date: u8, entry: u8) -> Option<Due> {
    Some(Due { date, entry, queued: Late })
}

const PEACE: Bounds = Bounds {
    holders: 2,
    dates: 2,
    rows: [due(0, 0), due(1, 1), None],
    chunk: 3,
    attempts: 2,
    regenerations: 1,
    neighbour: false,
    in_turns: false,
    in_order: false,
    seals_at_once: false,
    initialized: false,
    seals: false,
    trouble: NONE,
};

/// Three processes, two dates, a row that comes late, kills and pauses.
pub const OVERLAP: Bounds = Bounds {
    holders: 3,
    rows: [due(0, 0), due(1, 1), late(0, 2)],
    trouble: Trouble { crashes: 1, pauses: 1, ..NONE },
    ..PEACE
};

/// One row per transaction: a marking whose processes are killed and paused, and that others go on with.
pub const MARKING: Bounds = Bounds {
    rows: [due(0, 0), due(0, 1), due(1, 2)],
    chunk: 1,
    trouble: Trouble { crashes: 1, pauses: 1, ..NONE },
    ..PEACE
};

/// Two pieces and a third process.
pub const CROWDED_MARKING: Bounds =
    Bounds { holders: 3, rows: [due(0, 0), due(0, 1), due(0, 2)], trouble: Trouble { pauses: 1, ..NONE }, ..MARKING };

/// A large batch that a second holder generates anew with one row more.
pub const LATE_ROW: Bounds =
    Bounds { dates: 1, rows: [due(0, 0), due(0, 1), late(0, 2)], trouble: Trouble { pauses: 1, ..NONE }, ..MARKING };

/// The result of the commit gets lost.
pub const UNKNOWN: Bounds = Bounds {
    rows: [due(0, 0), due(0, 1), late(1, 2)],
    chunk: 1,
    trouble: Trouble { unknown_commits: 2, pauses: 1, ..NONE },
    ..PEACE
};

/// The application edits an entry, moves the time of a row and takes one back.
pub const EDITS: Bounds = Bounds {
    dates: 1,
    rows: [due(0, 0), due(0, 1), None],
    chunk: 1,
    trouble: Trouble { edits: 1, cancellations: 1, moves: 1, crashes: 1, ..NONE },
    ..PEACE
};

/// The application takes a row back, at any time, and queues it again; it also empties its metadata.
pub const TAKEN_BACK: Bounds = Bounds {
    rows: [due(0, 0), due(0, 1), None],
    chunk: 1,
    trouble: Trouble { cancellations: 1, requeues: 1, emptied: 1, ..NONE },
    ..PEACE
};

/// The same with a process that is killed, without empty metadata and without a second generation.
pub const TAKEN_BACK_AND_KILLED: Bounds =
    Bounds { trouble: Trouble { cancellations: 1, requeues: 1, crashes: 1, ..NONE }, regenerations: 0, ..TAKEN_BACK };

/// The application queues an entry again, in the same row and in a new one.
pub const QUEUED_AGAIN: Bounds = Bounds {
    rows: [due(0, 0), late(0, 0), due(1, 1)],
    regenerations: 3,
    trouble: Trouble { requeues: 1, ..NONE },
    ..PEACE
};

/// The application points a row to another entry.
pub const POINTED_ELSEWHERE: Bounds =
    Bounds { rows: [due(0, 0), due(0, 1), None], chunk: 1, trouble: Trouble { repoints: 1, ..NONE }, ..PEACE };

/// The same in a batch that is marked by its commit.
pub const POINTED_ELSEWHERE_SMALL: Bounds = Bounds { chunk: 3, ..POINTED_ELSEWHERE };

/// One date, three processes, and a destination that answers late, damages, refuses to trash.
pub const DESTINATION: Bounds = Bounds {
    holders: 3,
    dates: 1,
    rows: [due(0, 0), late(0, 1), None],
    attempts: 3,
    trouble: Trouble { delayed_creations: 1, garbled: 1, trash_failures: 1, pauses: 1, failures: 1, ..NONE },
    ..PEACE
};

/// Everything that costs an attempt, and what costs none.
pub const ATTEMPTS_USED: Bounds = Bounds {
    dates: 1,
    rows: [due(0, 0), late(0, 1), None],
    attempts: 2,
    trouble: Trouble { crashes: 2, failures: 1, interruptions: 1, pauses: 1, unlocks: 1, ..NONE },
    ..PEACE
};

/// Two dates, one of which runs out of attempts with a file uploaded.
pub const EXHAUSTION: Bounds =
    Bounds { trouble: Trouble { failures: 2, delayed_creations: 1, unlocks: 1, ..NONE }, ..PEACE };

/// Days that turn out to be empty after something was uploaded for them.
pub const EMPTY_DAYS: Bounds = Bounds {
    holders: 2,
    dates: 1,
    rows: [due(0, 0), late(0, 1), None],
    attempts: 2,
    trouble: Trouble { cancellations: 2, delayed_creations: 1, pauses: 1, failures: 1, crashes: 1, reruns: 1, ..NONE },
    ..PEACE
};

/// The operator changes the destination, between two attempts and during one.
pub const MOVED_AWAY: Bounds = Bounds {
    dates: 1,
    rows: [due(0, 0), late(0, 1), None],
    attempts: 3,
    trouble: Trouble { changes_of_place: 2, pauses: 1, crashes: 1, delayed_creations: 1, ..NONE },
    ..PEACE
};

/// A copy of the database is used with the same destination: one database at a time, and never between a commit and its seal.
pub const COPIED: Bounds = Bounds {
    dates: 1,
    rows: [due(0, 0), None, None],
    in_turns: true,
    seals_at_once: true,
    seals: true,
    trouble: Trouble { copies: 1, edits: 1, crashes: 1, cancellations: 1, ..NONE },
    ..PEACE
};

/// The same, with both at any time.
pub const COPIED_BESIDE: Bounds = Bounds {
    in_turns: false,
    seals_at_once: false,
    trouble: Trouble { copies: 1, edits: 1, crashes: 1, ..NONE },
    ..COPIED
};

/// The same in turns, with a creation that takes effect after its client died.
pub const COPIED_AND_DELAYED: Bounds =
    Bounds { seals_at_once: false, trouble: Trouble { copies: 1, crashes: 1, delayed_creations: 1, ..NONE }, ..COPIED };

/// An earlier state of the database comes back, and exports its days again, in order.
pub const RESTORED: Bounds = Bounds {
    rows: [due(0, 0), due(1, 1), late(0, 2)],
    in_order: true,
    seals: true,
    trouble: Trouble { restores: 1, edits: 1, ..NONE },
    ..PEACE
};

/// The same, with a row that comes late and dates in any order: a date may get another number than before.
pub const RESTORED_OUT_OF_ORDER: Bounds = Bounds {
    rows: [late(0, 0), due(1, 1), None],
    in_order: false,
    initialized: true,
    trouble: Trouble { restores: 1, ..NONE },
    ..RESTORED
};

/// Two installations use one folder.
pub const NEIGHBOURS: Bounds = Bounds {
    dates: 1,
    rows: [due(0, 0), late(0, 1), None],
    neighbour: true,
    in_turns: true,
    seals: true,
    trouble: Trouble { crashes: 1, failures: 1, ..NONE },
    ..PEACE
};

/// Somebody deletes the document of a committed batch, and the destination changes, so that its name is free again.
pub const LOST_DOCUMENT: Bounds = Bounds {
    dates: 1,
    rows: [due(0, 0), late(0, 1), None],
    trouble: Trouble { lost_documents: 1, changes_of_place: 1, crashes: 1, ..NONE },
    ..PEACE
};

/// Uploads that are refused before the first byte, under a new id and under one of an earlier attempt, and another destination.
pub const REFUSED: Bounds = Bounds {
    dates: 1,
    rows: [due(0, 0), late(0, 1), None],
    attempts: 3,
    trouble: Trouble { refusals: 1, changes_of_place: 1, crashes: 1, failures: 1, delayed_creations: 1, ..NONE },
    ..PEACE
};

/// Somebody deletes the record of an exported entry, and one `init` counts anew without it, while another one records it again, at any
/// moment: also after the generator looked it up.
pub const FORGOTTEN: Bounds =
    Bounds { regenerations: 1, trouble: Trouble { lost_entries: 1, recounts: 1, refills: 1, ..NONE }, ..QUEUED_AGAIN };

/// Somebody deletes pieces of a row list, or all of it, before they are marked.
pub const LOST_PIECES: Bounds = Bounds {
    dates: 1,
    rows: [due(0, 0), due(0, 1), due(0, 2)],
    trouble: Trouble { lost_pieces: 1, ..NONE },
    ..MARKING
};

/// Somebody deletes the record of an exported entry, which the application queues again.
pub const LOST_ENTRIES: Bounds =
    Bounds { regenerations: 1, trouble: Trouble { lost_entries: 1, requeues: 1, ..NONE }, ..QUEUED_AGAIN };
