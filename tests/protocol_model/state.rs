//! Everything that exists in one instant of the model: one or two databases, the files of all of them, and what each holder believes.
//!
//! Small and `Copy`, because millions of them are kept. Fields marked "ghost" exist in no database: they remember what the properties
//! have to judge. A holder's copy of a fact may be stale; that is the point.

use super::content::{Content, ENTRIES, ROWS};
use super::trouble::Trouble;

/// Business dates; the later one also sees what is due on the earlier one.
pub const DATES: usize = 2;
/// Processes that may hold a batch at the same time.
pub const HOLDERS: usize = 3;
/// File ids that can be drawn; the model panics when they run out, so that a bound never hides a state.
pub const IDS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not queued yet.
    Late,
    Queued,
    /// Exported.
    Completed,
    /// Taken back by the application.
    Cancelled,
    /// Held back by a commit.
    Failed,
}

/// A row of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    pub status: Status,
    /// The entry that it names.
    pub entry: u8,
    /// Whether its `scheduledFor` was moved, still before the cut-off.
    pub moved: bool,
    /// `metadata.batchId`.
    pub mark: Option<u8>,
    /// The application queued it again (ghost).
    pub requeued: bool,
    /// The application made it name another entry (ghost).
    pub repointed: bool,
    /// The application emptied its metadata (ghost).
    pub emptied: bool,
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
    /// `file.unsent`: nothing exists under the id, for certain.
    pub unsent: bool,
    /// One bit per file id.
    pub voided: u8,
    /// Those of `voided` that are recorded as trashed.
    pub trashed: u8,
    /// Rows in the pieces that are still there: one bit per row.
    pub left: u8,
    /// Rows that this batch completed (ghost: the rows themselves may have changed since).
    pub marked: u8,
    /// Rows that are listed as changed by the application after the commit point.
    pub changed: u8,
    /// Rows that were marked or listed once more (ghost).
    pub again: u8,
    pub number: u8,
    /// The rows of the committed file.
    pub committed: Option<Content>,
    /// The fence that committed (ghost).
    pub committed_by: u8,
    /// The row list of a large batch.
    pub list: Option<Content>,
    /// How often the list was made again: each time writes the document.
    pub lists: u8,
    /// `file.sealed`.
    pub sealed: bool,
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
        unsent: false,
        voided: 0,
        trashed: 0,
        left: 0,
        marked: 0,
        changed: 0,
        again: 0,
        number: 0,
        committed: None,
        committed_by: 0,
        list: None,
        lists: 0,
        sealed: false,
        lost: 0,
    };

    /// No attempt is left. What was uploaded becomes void in the same write: another date may export its entries long before a person
    /// comes, and the folder must not keep both files.
    pub fn exhaust(&mut self, voids: bool) {
        self.phase = Phase::Exhausted;
        self.live = false;
        if let Some(id) = self.file.take_if(|_| voids) {
            self.void(id);
        }
    }

    /// Lists an id as void, unless nothing can exist under it.
    pub fn void(&mut self, id: u8) {
        self.voided |= u8::from(!std::mem::take(&mut self.unsent)) << id;
    }

    pub fn is_committed(&self) -> bool {
        matches!(self.phase, Phase::Marking | Phase::Completed)
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

/// A database: the application's collections and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Database {
    pub rows: [Row; ROWS],
    /// Per entry: 0, or 1 after an edit.
    pub versions: [u8; ENTRIES],
    /// `exportbatchentries`: per entry the number of the batch that exported it, or 0.
    pub exported: [u8; ENTRIES],
    pub batches: [Batch; DATES],
    /// ExportLogs per batch.
    pub logs: [u8; DATES],
    /// The ledger: the last batch number, the batch that is being marked, and the installation (0: no ledger yet).
    pub number: u8,
    pub marking: Option<u8>,
    pub installation: u8,
    /// How many entries the ledger counts as recorded.
    pub recorded: u8,
    pub pending: Option<Transaction>,
}

impl Database {
    /// Whether a transaction in progress keeps writers of this batch document waiting.
    pub fn is_locked(&self, batch: u8) -> bool {
        self.pending.is_some_and(|transaction| transaction.batch == batch)
    }
}

/// A file id at a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct File {
    /// The bytes; `None` until something is created under the id.
    pub content: Option<Content>,
    pub trashed: bool,
    /// The batch that its name tells.
    pub name: u8,
    /// The destination that its id is for.
    pub place: u8,
    /// `properties.installation`, given with the first byte.
    pub installation: u8,
    /// `properties.number`, given by the seal; 0 before.
    pub number: u8,
    /// Some database committed it (ghost).
    pub official: bool,
}

impl File {
    pub const ABSENT: Self =
        Self { content: None, trashed: false, name: 0, place: 0, installation: 0, number: 0, official: false };

    pub fn is_live(&self) -> bool {
        self.content.is_some() && !self.trashed
    }

    pub fn is_sealed(&self) -> bool {
        self.number != 0
    }
}

/// Where a holder stands; the next step it will take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum At {
    #[default]
    Idle,
    Generate,
    StoreId,
    Look,
    LookForName,
    AdoptName,
    Create,
    Void,
    Trash,
    RecordEmpty,
    StoreList,
    Commit,
    Settle,
    Pick,
    Count,
    Rebuild,
    Mark,
    DeletePiece,
    Finish,
}

/// One process, with what it remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    pub at: At,
    /// The database that it works on.
    pub db: u8,
    /// The destination in its settings.
    pub place: u8,
    pub batch: u8,
    pub fence: u8,
    pub file: Option<u8>,
    /// No attempt has sent anything under that id.
    pub unsent: bool,
    /// The id that it voided, to be trashed next; or the file of its batch's name, to be adopted next.
    pub other: Option<u8>,
    pub snapshot: Content,
    /// The ledger's number at the snapshot.
    pub number: u8,
    pub regenerated: u8,
    /// The batch whose marking it rolls forward before generating its own.
    pub helps: Option<u8>,
    /// The piece that it will mark, or the list that it will make again: one bit per row.
    pub piece: u8,
    /// How often the list had been made again, as it read the batch document.
    pub lists: u8,
    /// The file was there already (ghost).
    pub adopted: bool,
}

/// What the second database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Second {
    Absent,
    /// Nobody works on it; it can be restored.
    Backup,
    /// Processes work on it: a copy of the first, or a neighbour's.
    Used,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub dbs: [Database; 2],
    pub second: Second,
    pub files: [File; IDS],
    /// The next file id, and the next installation, that will be drawn.
    pub next_id: u8,
    pub next_installation: u8,
    /// The destination that the operator's settings name now.
    pub place: u8,
    pub holders: [Holder; HOLDERS],
    /// A creation still on the wire.
    pub delayed: Option<(u8, Content)>,
    pub trouble: Trouble,
    /// A write took effect although its writer's fence was old (ghost).
    pub trespassed: bool,
    /// A commit marked or listed a row that was no longer as in the file (ghost).
    pub stale: bool,
    /// A commit happened that its client had declared not to have happened (ghost).
    pub contradicted: bool,
    /// Entries that were committed once more while no record told that they are in a file, one bit each (ghost).
    pub forgotten: u8,
    /// A file was committed that is not at the destination of the settings, or that another installation made (ghost).
    pub misplaced: bool,
}

impl State {
    /// Processes have no identity: the sorted order stands for all orders.
    pub fn canonical(mut self) -> Self {
        self.holders.sort_unstable();
        self
    }

    /// Whether somebody works on this database.
    pub fn is_used(&self, db: usize) -> bool {
        db == 0 || self.second == Second::Used
    }

    /// The databases that somebody works on.
    pub fn used(&self) -> impl Iterator<Item = &Database> {
        self.dbs.iter().enumerate().filter(|&(db, _)| self.is_used(db)).map(|(_, database)| database)
    }

    /// Whether a living process believes in the lease that this batch document shows.
    pub fn has_holder(&self, db: usize, batch: u8) -> bool {
        let fence = self.dbs[db].batches[batch as usize].fence;
        self.holders.iter().any(|holder| {
            holder.at != At::Idle && (holder.db as usize, holder.batch, holder.fence) == (db, batch, fence)
        })
    }

    /// The process that forgets everything at once: all those of a database.
    pub fn end_all_of(&mut self, db: u8) {
        for holder in self.holders.iter_mut().filter(|holder| holder.db == db) {
            *holder = Holder::default();
        }
    }
}
