//! The bad luck, and the acts of other people, that an execution has before it.

/// How much trouble is still to come. Everything here is spent one by one, which is why every execution ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trouble {
    /// Processes killed.
    pub crashes: u8,
    /// Leases that expire under a living holder: it was paused, or cut off from the database.
    pub pauses: u8,
    /// Failures that the holder can record.
    pub failures: u8,
    /// SIGTERM.
    pub interruptions: u8,
    /// Commits whose result gets lost.
    pub unknown_commits: u8,
    /// Creations that take effect after their client gave up on them, or never.
    pub delayed_creations: u8,
    /// Creations that are refused before the first byte leaves.
    pub refusals: u8,
    /// Uploads that arrive damaged.
    pub garbled: u8,
    /// Trashings that the destination refuses.
    pub trash_failures: u8,
    /// Entries edited by the application.
    pub edits: u8,
    /// Rows taken back by the application.
    pub cancellations: u8,
    /// Rows queued again by the application: cancelled, failed and completed ones.
    pub requeues: u8,
    /// Rows that the application makes name another entry.
    pub repoints: u8,
    /// Rows whose `scheduledFor` the application moves.
    pub moves: u8,
    /// Rows whose `metadata` the application empties.
    pub emptied: u8,
    /// Releases by hand.
    pub unlocks: u8,
    /// Days recorded as empty that are run again.
    pub reruns: u8,
    /// Changes of the destination in the operator's settings.
    pub changes_of_place: u8,
    /// Copies of the database that somebody works on, with the same destination.
    pub copies: u8,
    /// Restores of an earlier state of the database.
    pub restores: u8,
    /// Batch documents that somebody deletes.
    pub lost_documents: u8,
    /// Records of exported entries that somebody deletes.
    pub lost_entries: u8,
    /// Counts of the recorded entries by an `init` that cannot read the official file.
    pub recounts: u8,
    /// Entries that an `init` records again.
    pub refills: u8,
    /// Pieces of a row list, or what is left of it, that somebody deletes.
    pub lost_pieces: u8,
}

impl Trouble {
    pub const NONE: Self = Self {
        crashes: 0,
        pauses: 0,
        failures: 0,
        interruptions: 0,
        unknown_commits: 0,
        delayed_creations: 0,
        refusals: 0,
        garbled: 0,
        trash_failures: 0,
        edits: 0,
        cancellations: 0,
        requeues: 0,
        repoints: 0,
        moves: 0,
        emptied: 0,
        unlocks: 0,
        reruns: 0,
        changes_of_place: 0,
        copies: 0,
        restores: 0,
        lost_documents: 0,
        lost_entries: 0,
        recounts: 0,
        refills: 0,
        lost_pieces: 0,
    };
}
