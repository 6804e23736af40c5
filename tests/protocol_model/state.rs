//! Everything that exists in one instant of the model: the application's rows, the batch documents, the ledger, the files, and what
//! each holder believes.
//!
//! Small and `Copy`, because millions of them are kept. Fields marked "ghost" exist in no database: they remember what the properties
//! have to judge. A holder's copy of a fact may be stale; that is the point.

/// Rows of the queue.
pub const ROWS: usize = 3;
/// Business dates; the later one also sees what is due on the earlier one.
pub const DATES: usize = 2;
/// Processes that may hold a batch at the same time.
pub const HOLDERS: usize = 3;
/// File ids that can be drawn; the model panics when they run out, so that a bound never hides a state.
pub const IDS: usize = 7;

/// The content of a file, or what a snapshot saw: two bits per row, 0 = not in it, 1 or 2 = the entry's first or second version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Content(pub u8);

impl Content {
    /// What a damaged upload leaves: no generation yields it.
    pub const GARBLED: Self = Self(u8::MAX);

    pub fn with(self, row: usize, version: u8) -> Self {
        Self(self.0 | (version + 1) << (2 * row))
    }

    pub fn version(self, row: usize) -> Option<u8> {
        (self.0 >> (2 * row) & 3).checked_sub(1)
    }

    pub fn rows(self) -> impl Iterator<Item = usize> {
        (0..ROWS).filter(move |&row| self.version(row).is_some())
    }

    /// One bit per row.
    pub fn mask(self) -> u8 {
        self.rows().fold(0, |mask, row| mask | 1 << row)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not queued yet.
    Late,
    Queued,
    /// Marked as exported by this batch.
    Marked(u8),
    /// Taken back by the application.
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    pub status: Status,
    /// Of the journal entry behind it: 0, or 1 after an edit.
    pub version: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Absent,
    Running,
    Failed,
    Exhausted,
    Marking,
    Completed,
    Empty,
}

/// A batch document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    pub phase: Phase,
    pub attempt: u8,
    pub fence: u8,
    /// The lease by the database's clock.
    pub live: bool,
    pub file: Option<u8>,
    /// One bit per file id.
    pub voided: u8,
    /// Those of `voided` that are recorded as trashed.
    pub trashed: u8,
    /// Rows of the committed file that are still to be marked.
    pub left: u8,
    /// Rows of the committed file that the application changed before they were marked.
    pub changed: u8,
    pub number: u8,
    /// The list of exported rows, stored with the commit.
    pub committed: Option<Content>,
    /// The fence that committed, by which the row list is found.
    pub committed_by: u8,
    /// Fences under which a row list is stored: one bit each.
    pub lists: u8,
    /// ExportLogs of this batch.
    pub logs: u8,
    /// Attempts that failed or crashed since a person last looked (ghost: counted apart from `attempt`).
    pub lost: u8,
}

impl Batch {
    pub const ABSENT: Self = Self {
        phase: Phase::Absent,
        attempt: 0,
        fence: 0,
        live: false,
        file: None,
        voided: 0,
        trashed: 0,
        left: 0,
        changed: 0,
        number: 0,
        committed: None,
        committed_by: 0,
        lists: 0,
        logs: 0,
        lost: 0,
    };

    /// No attempt is left. What was uploaded becomes void in the same write: another date may export its entries long before a person
    /// comes, and the folder must not keep both files.
    pub fn exhaust(&mut self, voids: bool) {
        self.phase = Phase::Exhausted;
        self.live = false;
        if let Some(id) = self.file.take_if(|_| voids) {
            self.voided |= 1 << id;
        }
    }

    pub fn is_committed(&self) -> bool {
        matches!(self.phase, Phase::Marking | Phase::Completed)
    }
}

/// A file id at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct File {
    /// `None` until something is created under the id.
    pub content: Option<Content>,
    pub trashed: bool,
}

impl File {
    pub fn is_live(&self) -> bool {
        self.content.is_some() && !self.trashed
    }
}

/// A commit transaction whose outcome its client does not know: it holds its locks until the server ends it, one way or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    pub batch: u8,
    pub fence: u8,
    pub file: u8,
    pub snapshot: Content,
    pub number: u8,
    /// Its client went on in the belief that it did not happen (ghost).
    pub denied: bool,
}

/// Where a holder stands; the next step it will take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum At {
    #[default]
    Idle,
    Generate,
    StoreId,
    Look,
    Create,
    Void,
    Trash,
    RecordEmpty,
    StoreList,
    Commit,
    Settle,
    Mark,
    /// Rolling another batch's marking forward, before generating its own.
    Help,
}

/// One process, with what it remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    pub at: At,
    pub batch: u8,
    pub fence: u8,
    pub file: Option<u8>,
    /// The id that it voided, to be trashed next.
    pub to_trash: Option<u8>,
    pub snapshot: Content,
    /// The ledger's number at the snapshot.
    pub number: u8,
    pub regenerated: u8,
    /// Batch and fence of the marking that it rolls forward.
    pub helps: Option<(u8, u8)>,
    /// The file was there already (ghost).
    pub adopted: bool,
}

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
    /// Uploads that arrive damaged.
    pub garbled: u8,
    /// Trashings that the destination refuses.
    pub trash_failures: u8,
    /// Entries edited by the application.
    pub edits: u8,
    /// Rows taken back by the application.
    pub cancellations: u8,
    /// Releases by hand.
    pub unlocks: u8,
    /// Days recorded as empty that are run again.
    pub reruns: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub rows: [Row; ROWS],
    pub batches: [Batch; DATES],
    pub files: [File; IDS],
    /// The next file id that will be drawn.
    pub next_id: u8,
    /// The ledger: the last batch number, and the batch that is being marked.
    pub number: u8,
    pub marking: Option<u8>,
    pub holders: [Holder; HOLDERS],
    pub pending: Option<Transaction>,
    /// A creation still on the wire.
    pub delayed: Option<(u8, Content)>,
    pub trouble: Trouble,
    /// A write took effect although its writer's fence was old (ghost).
    pub trespassed: bool,
    /// A commit marked or listed a row that was no longer as in the file (ghost).
    pub stale: bool,
    /// A commit happened that its client had declared not to have happened (ghost).
    pub contradicted: bool,
}

impl State {
    /// Processes have no identity: the sorted order stands for all orders.
    pub fn canonical(mut self) -> Self {
        self.holders.sort_unstable();
        self
    }

    /// Whether a transaction in progress keeps writers of this batch document waiting.
    pub fn is_locked(&self, batch: u8) -> bool {
        self.pending.is_some_and(|transaction| transaction.batch == batch)
    }

    /// Whether a living process believes in the lease that this batch document shows.
    pub fn has_holder(&self, batch: u8) -> bool {
        let fence = self.batches[batch as usize].fence;
        self.holders.iter().any(|holder| {
            holder.at != At::Idle
                && ((holder.batch, holder.fence) == (batch, fence) || holder.helps == Some((batch, fence)))
        })
    }
}
