//! The batch: one document per business date, which is lock, state machine, retry schedule and manifest in one.
//!
//! These are the types that the rest of the program sees. The store knows how a batch is stored and how each change is made atomic.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::clock;
use crate::command::CommandName;
use crate::exit::Exit;
use crate::failure::{Invalid, Stage};
use crate::id::Id;
use crate::named::named;
use crate::schema;
use crate::trace;

/// Id of the batch of a business date, `batch_2026-01-18`: the `_id` of its document and the usual start of its file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(NaiveDate);

impl BatchId {
    /// What every batch id begins with.
    pub const PREFIX: &str = "batch_";
    /// The first batch that an id can name.
    pub const FIRST: BatchId = BatchId(NaiveDate::from_ymd_opt(0, 1, 1).unwrap());
    /// The last batch that an id can name: years have four digits.
    pub const LAST: BatchId = BatchId(NaiveDate::from_ymd_opt(9999, 12, 31).unwrap());

    /// The batch of a business date.
    pub fn new(date: NaiveDate) -> BatchId {
        BatchId(date)
    }

    /// The business date.
    pub fn date(self) -> NaiveDate {
        self.0
    }

    /// Name of the batch's file, the same at every destination: the pattern with the date in place of `{date}`, else
    /// the id with this ending.
    pub fn file_name(self, pattern: Option<&str>, ending: &str) -> String {
        match pattern {
            Some(pattern) => pattern.replace("{date}", &self.0.format("%Y-%m-%d").to_string()),
            None => format!("{self}.{ending}"),
        }
    }

    /// Whether some batch's file has this name.
    pub fn is_file_name(pattern: Option<&str>, name: &str) -> bool {
        let date = match pattern {
            Some(pattern) => pattern.split_once("{date}").and_then(|(before, _)| name.strip_prefix(before)),
            None => name.strip_prefix(BatchId::PREFIX),
        };
        let id = date.and_then(|date| format!("{}{}", BatchId::PREFIX, date.get(..10)?).parse::<BatchId>().ok());
        id.is_some_and(|id| match pattern {
            Some(_) => name == id.file_name(pattern, ""),
            None => name.starts_with(&id.file_name(None, "")),
        })
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", BatchId::PREFIX, self.0.format("%Y-%m-%d"))
    }
}

impl FromStr for BatchId {
    type Err = NotABatchId;

    fn from_str(text: &str) -> Result<BatchId, NotABatchId> {
        let date = text.strip_prefix(BatchId::PREFIX).and_then(|date| NaiveDate::parse_from_str(date, "%Y-%m-%d").ok());
        // Compared as text: the parser also takes dates without their leading zeros, which no document has.
        date.map(BatchId).filter(|id| id.to_string() == text).ok_or(NotABatchId)
    }
}

impl JsonSchema for BatchId {
    fn schema_name() -> Cow<'static, str> {
        "BatchId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^batch_[0-9]{4}-[0-9]{2}-[0-9]{2}$" })
    }
}

impl serde::Serialize for BatchId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for BatchId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<BatchId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Text that is no batch id: the ledger, for example, lives in the same collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no batch id like batch_2026-01-18")]
pub struct NotABatchId;

named! {
    /// Where a batch stands.
    pub enum State {
        /// A run holds it, or held it when it crashed.
        Running = "running",
        /// The last attempt failed or was interrupted; due again at `nextRetryAt`.
        Failed = "failed",
        /// All retries used; a person has to act.
        Exhausted = "exhausted",
        /// Committed; some of its rows are not marked yet.
        Marking = "marking",
        /// Committed, every row marked.
        Completed = "completed",
        /// Nothing was due.
        Empty = "empty",
    }
}

impl State {
    /// Whether the commit point is passed: the file is official.
    pub fn is_committed(self) -> bool {
        matches!(self, State::Marking | State::Completed)
    }
}

/// Who holds, or held, a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, JsonSchema)]
pub struct Holder {
    /// Identity of the invocation, a UUID.
    pub id: String,
    /// Host name.
    pub host: String,
    /// Process id on that host.
    pub pid: i64,
    /// The command: `run`, `retry`, `backfill`; `None` when the document holds a name that this program does not know.
    #[serde(serialize_with = "command_or_unknown")]
    #[schemars(with = "String")]
    pub command: Option<CommandName>,
    /// When it was acquired, by the database's clock.
    #[serde(serialize_with = "clock::serialize")]
    #[schemars(schema_with = "schema::instant")]
    pub since: Option<DateTime<Utc>>,
}

/// Control totals, size and checksums of a batch's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// Id at the destination, written once.
    pub id: String,
    /// Name that people see.
    pub name: String,
    /// The destination that the id belongs to, in its normal form, like `gdrive://FOLDER` or `file:///dir`; `None` in a document of an
    /// earlier version.
    pub destination: Option<String>,
    /// Whether the file carries its batch number. A sealed file is never removed.
    pub sealed: bool,
    /// Whether Drive keeps people from changing its content and name.
    pub restricted: bool,
    /// Whether it is certain that nothing exists under this id, because no byte was sent or the id was refused: then nobody has to look for
    /// a file.
    pub unsent: bool,
    /// 64 lower-case hexadecimal digits; empty before the first generation.
    pub sha256: String,
    /// 32 lower-case hexadecimal digits.
    pub md5: String,
    /// Bytes.
    pub bytes: u64,
    /// Data rows of the CSV, the header not counted.
    pub rows: u64,
    /// Exported entries.
    pub entries: u64,
    /// Sum of the debit column, satang.
    pub total_debit: i64,
    /// Sum of the credit column, satang.
    pub total_credit: i64,
    /// Where a person finds it; known after the upload.
    pub link: Option<String>,
}

/// The settings that decided the bytes of a batch's file. Stored with the batch, so that the file can be made again on
/// any later day, even when the settings have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportSettings {
    /// The layout's normal form, TOML.
    pub layout: String,
    /// Checksum of that text, 64 lower-case hexadecimal digits.
    pub layout_sha256: String,
    /// Name of the encoding.
    pub encoding: String,
    /// Zone of the dates, as a name of the zone database.
    pub timezone: String,
    /// Contra account of entries that name none.
    pub contra_account: Option<String>,
    /// What the pass did with invalid entries: `fail` or `hold`.
    pub invalid: String,
    /// Version of the program.
    pub version: String,
}

/// A file id that will never be official.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, JsonSchema)]
pub struct Voided {
    /// The id.
    pub id: String,
    /// The destination that it belongs to; `None` in a document of an earlier version.
    pub destination: Option<String>,
    /// Checksum of the file that was stored under it, when known.
    pub sha256: Option<String>,
    /// Why.
    pub reason: String,
    /// When, by the database's clock.
    #[serde(serialize_with = "clock::serialize")]
    #[schemars(schema_with = "schema::instant")]
    pub at: Option<DateTime<Utc>>,
    /// Whether it is known to be in the trash (or never existed).
    pub trashed: bool,
}

named! {
    /// How an attempt ended.
    pub enum Ending {
        /// Its file is official and every row is marked.
        Completed = "completed",
        /// Nothing was due.
        Empty = "empty",
        /// It failed, with a class.
        Failed = "failed",
        /// It was told to stop.
        Interrupted = "interrupted",
        /// Its lease ran out.
        Crashed = "crashed",
        /// A person took the batch away from it.
        Unlocked = "unlocked",
    }
}

named! {
    /// Something about a batch that people are notified of.
    pub enum Event {
        /// Its file is official and every row is marked.
        Completed = "completed",
        /// An attempt failed; it is retried.
        Failed = "failed",
        /// The last retry failed; a person has to act.
        Exhausted = "exhausted",
        /// An attempt was told to stop.
        Interrupted = "interrupted",
    }
}

/// What the notification of an event says, and the batch document has nowhere else. Kept until it is delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Exported entries that were already due by the previous day's cut-off.
    pub carried_over: u64,
    /// Entries that were held back.
    pub held: CutList,
    /// Entries because of which nothing was exported.
    pub refused: CutList,
    /// What to do next; `None` where the kind of failure says enough.
    pub next: Option<String>,
    /// The trace of the invocation in which it happened.
    pub trace: Option<String>,
}

impl Details {
    /// Of an event in this invocation.
    pub fn of_this_invocation() -> Details {
        Details { trace: trace::current().map(str::to_owned), ..Details::default() }
    }
}

/// A list of entries, cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CutList {
    /// How many there are.
    pub count: u64,
    /// The first ones, at most [`CutList::MAX`].
    pub first: Vec<Invalid>,
}

impl CutList {
    /// Entries that such a list names at most.
    pub const MAX: usize = 100;
}

impl From<&[Invalid]> for CutList {
    fn from(all: &[Invalid]) -> CutList {
        CutList { count: all.len() as u64, first: all.iter().take(CutList::MAX).cloned().collect() }
    }
}

/// An event whose notification has not been delivered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untold {
    /// What happened.
    pub event: Event,
    /// The attempt that it ended.
    pub attempt: i32,
    /// The claim that it ended: after an unlock, attempts are counted from 1 again.
    pub fence: Option<i64>,
    /// When it happened, by the database's clock.
    pub since: Option<DateTime<Utc>>,
}

/// The word for a name in a document that this program does not know.
pub const UNKNOWN: &str = "unknown";

fn command_or_unknown<S: serde::Serializer>(command: &Option<CommandName>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(command.map_or(UNKNOWN, CommandName::name))
}

fn ending_or_unknown<S: serde::Serializer>(ending: &Option<Ending>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(ending.map_or(UNKNOWN, Ending::name))
}

/// Why an attempt did not reach its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Its failure, or the signal that stopped it.
    Exit(Exit),
    /// Its lease ran out.
    Crashed,
}

impl Class {
    /// The name in documents and results: the exit code's, or `crashed`.
    pub fn name(self) -> &'static str {
        match self {
            Class::Exit(exit) => exit.name(),
            Class::Crashed => Ending::Crashed.name(),
        }
    }

    /// The class of a name.
    pub fn from_name(name: &str) -> Option<Class> {
        let exits = Exit::ALL.into_iter().map(Class::Exit);
        exits.chain([Class::Crashed]).find(|class| class.name() == name)
    }
}

impl serde::Serialize for Class {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

fn ending_schema(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = Ending::ALL.map(Ending::name).into_iter().chain([UNKNOWN]).collect();
    json_schema!({ "type": "string", "enum": names })
}

/// One attempt of the past.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, JsonSchema)]
pub struct Attempt {
    /// Its number: 1 is the first run.
    pub attempt: i32,
    /// Who made it.
    pub holder: Option<Holder>,
    /// When it began, by the database's clock.
    #[serde(serialize_with = "clock::serialize")]
    #[schemars(schema_with = "schema::instant")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, or was found to have ended.
    #[serde(serialize_with = "clock::serialize")]
    #[schemars(schema_with = "schema::instant")]
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended; `None` when the document holds a name that this program does not know.
    #[serde(rename = "outcome", serialize_with = "ending_or_unknown")]
    #[schemars(schema_with = "ending_schema")]
    pub ending: Option<Ending>,
    /// Name of the exit code when it failed, else `interrupted` or `crashed`.
    #[schemars(with = "Option<String>")]
    pub class: Option<Class>,
    /// Stage in which it ended.
    pub stage: Option<Stage>,
    /// What happened, in words.
    pub message: Option<String>,
    /// What to do about it; `None` when nothing is to be done, and in documents of earlier versions.
    pub next: Option<String>,
}

/// The earliest and the latest `scheduledFor` of the exported rows, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// `scheduledFor` of the first row of the file.
    pub first: DateTime<Utc>,
    /// `scheduledFor` of the last one.
    pub last: DateTime<Utc>,
}

/// What people were told last of the corrections of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrectionsTold {
    /// Checksum of the list, or of the reason why there is none; `None` when the list was empty.
    pub sha256: Option<String>,
    /// When, by the database's clock.
    pub at: Option<DateTime<Utc>>,
}

/// A batch document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its business date, as an id.
    pub id: BatchId,
    /// Where it stands.
    pub state: State,
    /// Gapless number, allotted in the commit.
    pub number: Option<i64>,
    /// 1 is the first run, 2.. are retries.
    pub attempt: i32,
    /// Fencing token: grows by one at every acquisition.
    pub fence: i64,
    /// Who holds it now.
    pub holder: Option<Holder>,
    /// When the lease ends unless it is renewed, by the database's clock.
    pub lease_expires_at: Option<DateTime<Utc>>,
    /// Zone of the window.
    pub timezone: Tz,
    /// The cut-off: rows scheduled up to and including this instant are due.
    pub cutoff: DateTime<Utc>,
    /// Whether it was closed by hand before its cut-off.
    pub early: bool,
    /// `scheduledFor` of the first and of the last exported row: the range in which the index finds them again. `None`
    /// before the commit, and in batches of earlier versions.
    pub exported: Option<Span>,
    /// When it is due again, by the database's clock; only when failed.
    pub next_retry_at: Option<DateTime<Utc>>,
    /// The file, from the moment its id is stored.
    pub file: Option<FileFacts>,
    /// The settings that decided the bytes of the file, or what is wrong with the stored ones; `None` in batches of earlier versions.
    pub settings: Option<Result<ExportSettings, String>>,
    /// File ids that will never be official, oldest first.
    pub voided: Vec<Voided>,
    /// Ids of the first entries that the last attempt refused as invalid, as text; empty when it ended for another reason.
    pub refused: Vec<String>,
    /// Past attempts, newest last.
    pub history: Vec<Attempt>,
    /// The event whose notification has not been delivered yet.
    pub untold: Option<Untold>,
    /// What that notification says besides; empty when there is none.
    pub untold_details: Details,
    /// What people were told last of its corrections; `None` when they were never told of any.
    pub corrections_told: Option<CorrectionsTold>,
    /// Rows marked so far.
    pub marked: i64,
    /// `_id`s of the rows that the application changed after the commit point.
    pub changed_after_commit: Vec<Id>,
    /// Entries that were edited during the commit: the file lacks the edit.
    pub edited_after_read: Vec<Id>,
    /// When the document was created.
    pub created_at: Option<DateTime<Utc>>,
    /// Last change.
    pub updated_at: Option<DateTime<Utc>>,
    /// When the last row was marked.
    pub completed_at: Option<DateTime<Utc>>,
}

impl Batch {
    /// Whether its last attempt was refused because of its entries: it is due again once people have corrected them.
    pub fn waits_for_entries(&self) -> bool {
        let last = self.history.last().and_then(|attempt| attempt.class);
        matches!(self.state, State::Failed | State::Exhausted) && last == Some(Class::Exit(Exit::InvalidEntries))
    }
}
