//! The worlds that are explored: what exists in each, and what trouble it has.

use super::Queued::{AtOnce, Late};
use super::{Bounds, Trouble};

const PEACE: Bounds = Bounds {
    holders: 2,
    dates: 2,
    rows: [Some((0, AtOnce)), Some((1, AtOnce)), None],
    chunk: 3,
    attempts: 2,
    regenerations: 1,
    trouble: Trouble {
        crashes: 0,
        pauses: 0,
        failures: 0,
        interruptions: 0,
        unknown_commits: 0,
        delayed_creations: 0,
        garbled: 0,
        trash_failures: 0,
        edits: 0,
        cancellations: 0,
        unlocks: 0,
        reruns: 0,
    },
};
const NONE: Trouble = PEACE.trouble;

/// Three processes, two dates, a row that comes late, kills and pauses.
pub const OVERLAP: Bounds = Bounds {
    holders: 3,
    rows: [Some((0, AtOnce)), Some((1, AtOnce)), Some((0, Late))],
    attempts: 3,
    trouble: Trouble { crashes: 1, pauses: 2, ..NONE },
    ..PEACE
};

/// One row per transaction: a marking that is killed, paused, taken over and rolled forward.
pub const MARKING: Bounds = Bounds {
    rows: [Some((0, AtOnce)), Some((0, AtOnce)), Some((1, AtOnce))],
    chunk: 1,
    trouble: Trouble { crashes: 1, pauses: 1, cancellations: 1, ..NONE },
    ..PEACE
};

/// The same with a third process.
pub const CROWDED_MARKING: Bounds =
    Bounds { holders: 3, trouble: Trouble { crashes: 1, pauses: 2, interruptions: 1, ..NONE }, ..MARKING };

/// The same, released by hand while it is held.
pub const UNLOCKED_MARKING: Bounds =
    Bounds { trouble: Trouble { crashes: 1, unlocks: 1, cancellations: 1, ..NONE }, ..MARKING };

/// The result of the commit gets lost.
pub const UNKNOWN: Bounds = Bounds {
    rows: [Some((0, AtOnce)), Some((0, AtOnce)), Some((1, Late))],
    chunk: 1,
    trouble: Trouble { unknown_commits: 2, crashes: 1, pauses: 1, ..NONE },
    ..PEACE
};

/// The application changes everything while it can.
pub const EDITS: Bounds = Bounds {
    rows: [Some((0, AtOnce)), Some((0, AtOnce)), None],
    chunk: 1,
    trouble: Trouble { edits: 1, cancellations: 1, crashes: 1, ..NONE },
    ..PEACE
};

/// One date, three processes, and a destination that answers late, damages, refuses to trash.
pub const DESTINATION: Bounds = Bounds {
    holders: 3,
    dates: 1,
    rows: [Some((0, AtOnce)), Some((0, Late)), None],
    attempts: 3,
    trouble: Trouble { delayed_creations: 1, garbled: 1, trash_failures: 1, pauses: 2, failures: 1, ..NONE },
    ..PEACE
};

/// Everything that costs an attempt, and what costs none.
pub const ATTEMPTS_USED: Bounds = Bounds {
    dates: 1,
    rows: [Some((0, AtOnce)), Some((0, Late)), None],
    attempts: 2,
    trouble: Trouble { crashes: 3, failures: 2, interruptions: 1, pauses: 1, unlocks: 1, ..NONE },
    ..PEACE
};

/// Two dates, one of which runs out of attempts with a file uploaded.
pub const EXHAUSTION: Bounds =
    Bounds { trouble: Trouble { failures: 2, crashes: 1, delayed_creations: 1, unlocks: 1, ..NONE }, ..PEACE };

/// Days that turn out to be empty after something was uploaded for them.
pub const EMPTY_DAYS: Bounds = Bounds {
    holders: 2,
    dates: 1,
    rows: [Some((0, AtOnce)), Some((0, Late)), None],
    attempts: 2,
    trouble: Trouble { cancellations: 2, delayed_creations: 1, pauses: 2, failures: 1, crashes: 1, reruns: 1, ..NONE },
    ..PEACE
};
