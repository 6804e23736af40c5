//! What a command reports about a batch: the JSON object, and the facts for the text that people read.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::batch::{Batch, BatchId, FileFacts};
use crate::clock;
use crate::command::CommandName;
use crate::csv::Tally;
use crate::exit::Exit;
use crate::failure::{Failure, Invalid, Stage};
use crate::id::Id;
use crate::money::Baht;
use crate::named::named;
use crate::reader::Reader;
use crate::schema::{self, FormatVersion};

named! {
    /// How a command that is no pass ended well.
    pub enum Done {
        /// There was something to look at, and it is in order.
        Ok = "ok",
        /// It did what it was asked for.
        Completed = "completed",
        /// File, log and rows agree.
        Verified = "verified",
        /// No exported line differs from its entry.
        NothingToCorrect = "nothing_to_correct",
        /// The batch is free.
        Unlocked = "unlocked",
        /// There was nothing to unlock.
        NothingToDo = "nothing_to_do",
    }
}

/// How a pass over a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The file is official, every row is marked.
    Completed,
    AlreadyCompleted,
    /// Nothing was due, which is recorded.
    Empty,
    /// There is nothing to do, and nothing to record.
    NothingDue,
    /// A dry run: what a pass would export.
    DryRun,
    /// The pass failed; named like the exit code.
    Failed(Exit),
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::AlreadyCompleted => "already_completed",
            Outcome::Empty => "empty",
            Outcome::NothingDue => "nothing_due",
            Outcome::DryRun => "dry_run",
            Outcome::Failed(exit) => exit.name(),
        }
    }

    pub fn names() -> Vec<&'static str> {
        use Outcome::{AlreadyCompleted, Completed, DryRun, Empty, NothingDue};
        let failed = schema::exit_names().into_iter().filter(|name| *name != Exit::Ok.name());
        [Completed, AlreadyCompleted, Empty, NothingDue, DryRun].map(Outcome::name).into_iter().chain(failed).collect()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Outcome::names() })
    }

    /// Whether the batch takes no more rows after this outcome.
    pub fn closes_day(self) -> bool {
        match self {
            Outcome::Completed | Outcome::AlreadyCompleted | Outcome::Empty => true,
            Outcome::NothingDue | Outcome::DryRun | Outcome::Failed(_) => false,
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The result of one batch.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BatchResult {
    /// `run`, `retry`, `backfill`.
    #[schemars(extend("enum" = ["run", "retry", "backfill"]))]
    pub command: CommandName,
    /// `batch_2026-01-18`.
    pub batch: BatchId,
    /// The business date.
    pub date: NaiveDate,
    /// How it ended.
    #[schemars(schema_with = "Outcome::schema")]
    pub outcome: Outcome,
    /// The exit code of this batch alone.
    #[serde(serialize_with = "code")]
    #[schemars(schema_with = "schema::exit_code")]
    pub exit_code: Exit,
    /// The batch number, once committed.
    pub number: Option<i64>,
    /// 1 is the first run; 0 when no attempt was made.
    pub attempt: i32,
    /// The claim of that attempt; tells apart attempts of one number before and after an unlock.
    #[serde(skip)]
    pub fence: Option<i64>,
    /// The name of the database's installation; `None` while it is not known.
    #[serde(skip)]
    pub installation: Option<String>,
    /// Exported entries.
    pub entries: u64,
    /// Data rows of the file.
    pub rows: u64,
    /// Exported entries that were already due by the previous day's cut-off.
    pub carried_over: u64,
    /// Rows that are due by this batch's cut-off but were queued after the batch was committed; the next day's file
    /// takes them.
    pub late: u64,
    /// Entries because of which nothing was exported.
    pub invalid: Vec<Invalid>,
    /// Whether the error says what is wrong with all of them.
    #[serde(skip)]
    pub is_common: bool,
    /// Entries that were held back while the others were exported.
    pub held: Vec<Invalid>,
    /// Text cells that got a leading `'`.
    pub guarded_cells: u64,
    /// Codes that lost blanks or zero-width characters at their ends.
    pub trimmed_cells: u64,
    /// Zero-width characters that the encoding lacks and the layout drops.
    pub dropped_characters: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Checksum of the file.
    pub sha256: Option<String>,
    /// Sum of the debit column, exact decimal baht.
    pub total_debit: String,
    /// Sum of the credit column, exact decimal baht.
    pub total_credit: String,
    /// The stored file.
    pub file: Option<FileResult>,
    /// Whether it was stored already: by an earlier attempt, or before this database was restored.
    pub adopted: bool,
    /// Rows that the application changed after the commit point.
    pub changed_after_commit: u64,
    /// Entries that were edited during the commit: the file lacks the edit.
    pub edited_after_read: Vec<Id>,
    /// When `retry` takes it up again, RFC 3339.
    #[serde(serialize_with = "clock::serialize")]
    #[schemars(schema_with = "schema::instant")]
    pub next_retry_at: Option<DateTime<Utc>>,
    /// What went wrong.
    pub error: Option<ErrorResult>,
    /// Milliseconds per stage.
    pub durations_ms: Durations,
    /// Version of this object.
    pub format_version: FormatVersion,
    /// Whether no file was given up that may have to be trashed.
    #[serde(skip)]
    pub is_tidy: bool,
    /// Whether this run tried to seal the file. How that ended is in its log.
    #[serde(skip)]
    pub was_sealing: bool,
    /// How a person reads its times; `None` when no pass began.
    #[serde(skip)]
    pub reader: Option<Reader>,
}

/// The stored file of a result.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FileResult {
    /// Its id at the destination.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where a person finds it.
    pub link: Option<String>,
}

impl FileResult {
    pub fn of(file: &FileFacts) -> FileResult {
        FileResult { id: file.id.clone(), name: file.name.clone(), link: file.link.clone() }
    }
}

/// What went wrong, in a result.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ErrorResult {
    /// Name of the exit code of the failure itself.
    #[serde(serialize_with = "name")]
    #[schemars(schema_with = "schema::exit_name")]
    pub class: Exit,
    /// The stage, when it arose in one.
    pub stage: Option<Stage>,
    /// What failed, and where.
    pub message: String,
    /// What to do next.
    pub next: String,
}

impl ErrorResult {
    /// For people, with a line for the next step. `exit` is the code of the command.
    pub fn lines(&self, exit: u8) -> String {
        let (class, message, next) = (self.class.name(), &self.message, &self.next);
        format!("{class}: {message} (exit {exit})\nnext: {next}\n")
    }

    /// The same as the end of a block.
    pub fn block(&self, exit: u8) -> String {
        let stage = self.stage.map(|stage| format!(" ({stage})")).unwrap_or_default();
        let (class, message, next) = (self.class.name(), &self.message, &self.next);
        format!("  {class}{stage}: {message} (exit {exit})\n  next     {next}\n")
    }

    /// The error of a failure; `stage` when the failure arose in one.
    pub fn of(failure: &Failure, stage: Option<Stage>) -> ErrorResult {
        ErrorResult {
            class: failure.exit,
            stage,
            message: failure.why.message.clone(),
            next: failure.next_step().to_owned(),
        }
    }
}

/// Milliseconds per stage.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub struct Durations {
    /// Acquiring the batch.
    pub lock: u64,
    /// Reading and writing the spool file.
    pub generate: u64,
    /// Storing it at the destination.
    pub upload: u64,
    /// The commit, and the marking after it.
    pub commit: u64,
    /// All of it.
    pub total: u64,
}

impl Durations {
    /// Adds to a stage's time: a stage that runs again adds up.
    pub fn add(&mut self, stage: Stage, ms: u64) {
        *match stage {
            Stage::Lock => &mut self.lock,
            Stage::Generate => &mut self.generate,
            Stage::Upload => &mut self.upload,
            Stage::Commit => &mut self.commit,
        } += ms;
    }
}

impl BatchResult {
    /// A result with only its batch filled in.
    pub fn new(command: CommandName, date: NaiveDate) -> BatchResult {
        BatchResult {
            command,
            batch: BatchId::new(date),
            date,
            outcome: Outcome::Failed(Exit::Unexpected),
            exit_code: Exit::Unexpected,
            number: None,
            attempt: 0,
            fence: None,
            installation: None,
            entries: 0,
            rows: 0,
            carried_over: 0,
            late: 0,
            invalid: Vec::new(),
            is_common: false,
            held: Vec::new(),
            guarded_cells: 0,
            trimmed_cells: 0,
            dropped_characters: 0,
            bytes: 0,
            sha256: None,
            total_debit: Baht::new(0).to_string(),
            total_credit: Baht::new(0).to_string(),
            file: None,
            adopted: false,
            changed_after_commit: 0,
            edited_after_read: Vec::new(),
            next_retry_at: None,
            error: None,
            durations_ms: Durations::default(),
            format_version: FormatVersion,
            is_tidy: false,
            was_sealing: false,
            reader: None,
        }
    }

    pub fn succeed(&mut self, outcome: Outcome) {
        (self.outcome, self.exit_code) = (outcome, Exit::Ok);
    }

    /// Records a failure; `stage` when the failure arose in one.
    pub fn fail(&mut self, failure: &Failure, stage: Option<Stage>) {
        self.exit_code = failure.exit;
        self.outcome = Outcome::Failed(failure.exit);
        (self.invalid, self.is_common) = (failure.invalid.clone(), failure.is_common);
        self.error = Some(ErrorResult::of(failure, stage));
    }

    pub fn describe_file(&mut self, file: &FileFacts) {
        self.entries = file.entries;
        self.rows = file.rows;
        self.bytes = file.bytes;
        self.sha256 = Some(file.sha256.clone());
        self.total_debit = Baht::new(i128::from(file.total_debit)).to_string();
        self.total_credit = Baht::new(i128::from(file.total_credit)).to_string();
        self.file = Some(FileResult::of(file));
    }

    /// Forgets the file of an earlier generation, which is given up or no longer has the rows that are due.
    pub fn forget_file(&mut self) {
        self.describe_file(&FileFacts::default());
        self.describe_cells(&Tally::default());
        (self.sha256, self.file) = (None, None);
        (self.carried_over, self.adopted) = (0, false);
        self.held.clear();
    }

    pub fn describe_cells(&mut self, tally: &Tally) {
        self.guarded_cells = tally.guarded_cells;
        self.trimmed_cells = tally.trimmed_cells;
        self.dropped_characters = tally.dropped_characters;
    }

    /// Takes over the facts of a batch document.
    pub fn describe_batch(&mut self, batch: &Batch) {
        self.number = batch.number;
        self.attempt = batch.attempt;
        self.changed_after_commit = batch.changed_after_commit.len() as u64;
        self.edited_after_read = batch.edited_after_read.clone();
        self.next_retry_at = batch.next_retry_at;
        if let Some(file) = batch.file.as_ref().filter(|_| batch.state.is_committed()) {
            self.describe_file(file);
        }
    }
}

fn name<S: serde::Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(exit.name())
}

fn code<S: serde::Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(exit.code())
}
