//! A batch document as `status` and `unlock` show it: its state, its file and its history.
//!
//! Risk: somebody books totals that were never committed. So entries and totals are shown for committed batches only.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::batch::{Batch, BatchId, Class, Ending, Event, Holder, State};
use crate::clock;
use crate::failure::{Explanation, Stage};
use crate::money::Baht;
use crate::outcome::FileResult;
use crate::pass::unsealed;
use crate::reader::Reader;
use crate::schema;
use crate::store::{Damaged, Overview};

/// A business date and its batch.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BatchLine {
    /// `batch_2026-01-18`.
    pub batch: BatchId,
    /// The business date.
    pub date: NaiveDate,
    /// The stored state, or `missing`, or `damaged` when the document cannot be read.
    #[schemars(with = "String")]
    pub state: DayState,
    /// The batch number, once committed.
    pub number: Option<i64>,
    /// Attempts made; 0 after `unlock`.
    pub attempt: i32,
    /// Exported entries, once committed.
    pub entries: Option<u64>,
    /// Sum of the debit column, exact decimal baht, once committed.
    pub total_debit: Option<String>,
    /// Sum of the credit column, exact decimal baht, once committed.
    pub total_credit: Option<String>,
    /// The file: official once committed; before that, the id under which the next attempt stores it or finds it stored.
    pub file: Option<FileResult>,
    /// Checksum of the file, once committed.
    pub sha256: Option<String>,
    /// Whether it was closed by hand before its cut-off.
    pub early: bool,
    /// Rows that came too late for it and wait for the next day's file; counted for the latest closed batch and for early ones.
    pub late: u64,
    /// Rows among them of entries that are in a file already, which were queued again.
    #[serde(skip)]
    pub again: u64,
    /// Whether its back-off or its lease has run out, by the database's clock.
    pub due: bool,
    /// Who holds it.
    pub holder: Option<Holder>,
    /// When the lease ends unless it is renewed, RFC 3339.
    #[serde(serialize_with = "clock::serialize")]
    #[schemars(schema_with = "schema::instant")]
    pub lease_expires_at: Option<DateTime<Utc>>,
    /// When `retry` takes it up again, RFC 3339.
    #[serde(serialize_with = "clock::serialize")]
    #[schemars(schema_with = "schema::instant")]
    pub next_retry_at: Option<DateTime<Utc>>,
    /// Name of the exit code of the last attempt that failed, while the batch is not done.
    #[schemars(with = "Option<String>")]
    pub last_class: Option<Class>,
    /// Rows marked so far.
    pub marked: i64,
    /// Rows that the application changed after the commit point.
    pub changed_after_commit: u64,
    /// The event that people could not be notified of yet.
    pub untold: Option<Event>,
    /// Voided files that are not known to be in the trash: `status --date` names them.
    pub void_files: u64,
    /// When the last row was marked, RFC 3339.
    #[serde(serialize_with = "clock::serialize")]
    #[schemars(schema_with = "schema::instant")]
    pub completed_at: Option<DateTime<Utc>>,
    /// Whether an attempt that failed has stored its file.
    #[serde(skip)]
    pub is_stored: bool,
    /// Whether its official file is still to be sealed.
    #[serde(skip)]
    pub is_unsealed: bool,
    /// Whether its day has not come yet.
    #[serde(skip)]
    pub is_ahead: bool,
    /// Who reads the line, and when; `None` without a document.
    #[serde(skip)]
    pub reader: Option<Reader>,
}

impl BatchLine {
    /// What the document of a business date says, if there is one.
    pub fn of(date: NaiveDate, seen: Option<&Overview>) -> BatchLine {
        let batch = seen.map(|seen| &seen.batch);
        let committed = batch.filter(|batch| batch.state.is_committed()).and_then(|batch| batch.file.as_ref());
        let unfinished = batch.filter(|batch| !matches!(batch.state, State::Completed | State::Empty));
        let baht = |satang: i64| Baht::new(i128::from(satang)).to_string();
        BatchLine {
            batch: BatchId::new(date),
            date,
            state: batch.map_or(DayState::Missing, |batch| DayState::Known(batch.state)),
            number: batch.and_then(|batch| batch.number),
            attempt: batch.map_or(0, |batch| batch.attempt),
            entries: committed.map(|file| file.entries),
            total_debit: committed.map(|file| baht(file.total_debit)),
            total_credit: committed.map(|file| baht(file.total_credit)),
            file: batch.and_then(file_of),
            sha256: committed.map(|file| file.sha256.clone()),
            early: batch.is_some_and(|batch| batch.early),
            late: 0,
            again: 0,
            is_unsealed: batch.is_some_and(|batch| unsealed(batch).is_some()),
            due: seen.is_some_and(|seen| seen.due),
            holder: batch.and_then(|batch| batch.holder.clone()),
            lease_expires_at: batch.and_then(|batch| batch.lease_expires_at),
            next_retry_at: batch.and_then(|batch| batch.next_retry_at),
            last_class: unfinished.and_then(|batch| batch.history.last()?.class),
            marked: batch.map_or(0, |batch| batch.marked),
            changed_after_commit: batch.map_or(0, |batch| batch.changed_after_commit.len() as u64),
            untold: batch.and_then(|batch| batch.untold).map(|untold| untold.event),
            void_files: batch.map_or(0, |batch| batch.voided.iter().filter(|voided| !voided.trashed).count() as u64),
            completed_at: batch.and_then(|batch| batch.completed_at),
            is_stored: batch.is_some_and(|batch| {
                batch.state == State::Failed
                    && batch.history.last().is_some_and(|last| last.stage == Some(Stage::Commit))
            }),
            is_ahead: seen.is_some_and(Overview::is_ahead),
            reader: seen.map(Reader::of),
        }
    }

    /// The day of a document that cannot be read.
    pub fn damaged(damaged: &Damaged) -> BatchLine {
        let blank = BatchLine::of(damaged.batch.date(), None);
        BatchLine { state: DayState::Damaged, number: damaged.number, ..blank }
    }

    /// The state of the batch for a person, in one clause.
    pub fn note(&self) -> String {
        let (date, stored) = (self.date, self.file.as_ref().filter(|_| self.is_stored));
        let Explanation { message, next } = self.standing();
        let clauses = [
            Some(message),
            next.filter(|_| self.holder.is_none()).map(|next| format!("(next: {next})")),
            self.is_ahead.then(|| "(its day has not come yet)".to_owned()),
            // A copy of this database may have made the file official: only the file itself tells.
            stored.map(|file| {
                format!("(do not import {} before `batch-export verify --date {date}` has said whose it is)", file.name)
            }),
            self.is_unsealed.then(|| {
                "(the file is not sealed yet: `batch-export retry` seals it, or says why it cannot)".to_owned()
            }),
            (self.void_files > 0)
                .then(|| format!("(void files left behind: {}, see `status --date {date}`)", self.void_files)),
            self.untold.map(|event| {
                format!("(nobody was notified yet that it is {}: `batch-export retry` tries again)", event.name())
            }),
        ];
        clauses.into_iter().flatten().collect::<Vec<_>>().join("  ").trim().to_owned()
    }

    /// How it stands, and what happens next where its state says so.
    pub fn standing(&self) -> Explanation {
        if let Some((holder, reader)) = self.holder.as_ref().zip(self.reader) {
            let (what, next) = match self.due {
                true => ("its lease has run out, held by", "`batch-export retry` takes it over"),
                false => ("held by", "wait; if that run is dead, its lease ends by itself"),
            };
            return Explanation::new(format!("{what} {}", reader.holder(holder)), next);
        }
        let class = self.last_class.map(Class::name);
        let message = match (self.next_retry_at.zip(self.reader), &self.file) {
            (Some(_), _) if self.due => format!("{}, due now", class.unwrap_or(Ending::Unlocked.name())),
            (Some((when, reader)), _) => {
                format!("{}, again at {}", class.unwrap_or(State::Failed.name()), reader.ahead(when))
            }
            (None, Some(_)) if self.state == DayState::Known(State::Marking) => {
                return Explanation::new("official, rows are still to be marked", "`batch-export retry` continues");
            }
            (None, Some(file)) if self.entries.is_some() => {
                let (changed, late, again) = (self.changed_after_commit, self.late, self.again);
                const REFUSED: &str = "which the next run refuses without --allow-reexport";
                let clauses = [
                    (changed, format!("rows changed after the commit: {changed}, see changedAfterCommit")),
                    (late, format!("late rows that wait for the next day's file: {late}")),
                    (again, format!("among them, rows queued again after their export, {REFUSED}: {again}")),
                ];
                let link = file.link.as_ref().unwrap_or(&file.name).clone();
                let clauses = clauses.into_iter().filter(|(count, _)| *count > 0);
                clauses.fold(link, |note, (_, clause)| format!("{note}  ({clause})"))
            }
            (None, _) if self.late > 0 => {
                let message = format!("rows that are due for it now: {}", self.late);
                return Explanation::new(message, "`batch-export retry` does it again");
            }
            (None, _) => class.unwrap_or_default().to_owned(),
        };
        message.into()
    }
}

/// Where a business date stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayState {
    /// It has no document.
    Missing,
    /// Its document cannot be read.
    Damaged,
    Known(State),
}

impl DayState {
    pub fn name(self) -> &'static str {
        match self {
            DayState::Missing => "missing",
            DayState::Damaged => "damaged",
            DayState::Known(state) => state.name(),
        }
    }

    /// Whether the day is in one of these states.
    pub fn is_any(self, states: &[State]) -> bool {
        matches!(self, DayState::Known(state) if states.contains(&state))
    }
}

impl Serialize for DayState {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The file of the document, committed or not.
fn file_of(batch: &Batch) -> Option<FileResult> {
    batch.file.as_ref().filter(|file| !file.id.is_empty()).map(FileResult::of)
}
