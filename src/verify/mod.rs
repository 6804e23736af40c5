//! `verify`: checks that the exported files still match the records, and that the records agree with each other.
//!
//! It reads the file back from the destination, relies on no earlier result, and changes nothing. An error on the way
//! (no database, no destination) is not a finding: the command then fails with that error's code.

mod chain;
mod compare;
mod copy;
mod corrections;
mod file;
mod filling;
mod lines;
mod marked_rows;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::batch::{Batch, BatchId, State};
use crate::config::Config;
use crate::csv::SheetOptions;
use crate::destination::Destination;
use crate::failure::{Explanation, Result};
use crate::money::Baht;
use crate::named::named;
use crate::pass::unsealed;
use crate::reader::counted;
use crate::schema::name_of;
use crate::store::{Damaged, LogFacts, Snapshot, Store, already_logged};

pub use copy::{Copy, CopyVerdict};
pub use corrections::{ComparedBatch, Correction, CorrectionList, Corrections};
pub use filling::unread;

/// Findings of one kind that are listed of a batch. An application that rewrites a year of descriptions makes a million of them.
const LISTED_MAX: u64 = 1_000;

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// There is no batch for the date, or the log names one that is gone.
    MissingBatch,
    /// Records of exported batches are gone: the ledger, batch documents, ExportLogs, or all that is recorded of entries.
    Lost,
    /// The batch document cannot be read.
    Document,
    /// The official file is gone.
    MissingFile,
    /// The official file is in the trash.
    TrashedFile,
    /// The settings that are stored with the batch cannot be read.
    Settings,
    /// The file is not the one that was committed.
    Content,
    /// Counts or sums of the file are not those on record.
    Totals,
    /// The ExportLog is missing, double, or says something else.
    Log,
    /// The marked rows and the file disagree.
    Rows,
    /// Rows of exported entries are gone, or nothing in them names the export any more.
    RemovedRows,
    /// An entry was changed after its export.
    Edited,
    /// An entry is no longer approved.
    Cancelled,
    /// An entry is gone.
    Deleted,
    /// An entry of the file is recorded as exported in another one.
    TwoFiles,
    /// An entry of the file is not recorded as exported at all.
    Unrecorded,
    /// The batch document names a file by an id that cannot be one.
    FileId,
    /// Another live file of the batch, or one of a failed attempt whose entries are in a later file.
    SecondFile,
    /// A file of the same name that is not ours.
    ForeignFile,
    /// The copy is a file of the batch that was voided.
    VoidedCopy,
    /// The copy was saved anew: its bytes are other ones, its values are not.
    RewrittenCopy,
    /// The copy says something else than the official file.
    DifferentCopy,
    /// The official file is at a destination that these settings do not reach.
    Elsewhere,
    /// A voided file that is not in the trash.
    UntrashedVoided,
    /// A batch number that is missing or used twice.
    Number,
    /// A log that does not follow from the one before it.
    Chain,
}

/// Why nothing can be said of a batch.
type Unclear = (ProblemKind, Explanation);

named! {
    /// Whose layout, encoding, zone and contra account are taken for a batch.
    pub enum SettingsOf {
        /// Those that are stored with it.
        Stored = "stored",
        /// Those of today, because an earlier version exported it.
        Today = "today",
    }
}

impl SettingsOf {
    /// Of a batch.
    pub fn batch(batch: &Batch) -> SettingsOf {
        if batch.settings.is_some() { SettingsOf::Stored } else { SettingsOf::Today }
    }
}

/// A problem that was found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// The batch it concerns; empty when it concerns all batches.
    #[serde(serialize_with = "or_empty")]
    #[schemars(with = "String")]
    pub batch: Option<BatchId>,
    /// Its kind.
    pub kind: ProblemKind,
    /// What is wrong, and what to do, for a person.
    #[serde(flatten)]
    pub why: Explanation,
}

impl Problem {
    /// The batch, for a person.
    pub fn batch_name(&self) -> String {
        self.batch.map_or("all batches".to_owned(), |batch| batch.to_string())
    }

    /// For a list on a terminal.
    pub fn lines(&self) -> String {
        format!("  {}  {}: {}", self.batch_name(), name_of(self.kind), self.why.lines("    "))
    }
}

fn or_empty<S: serde::Serializer>(batch: &Option<BatchId>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&batch.map(|batch| batch.to_string()).unwrap_or_default())
}

/// A checked batch.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Checked {
    /// `batch_2026-01-18`.
    pub batch: BatchId,
    /// Its state.
    pub state: State,
    /// Its number, once committed.
    pub number: Option<i64>,
    /// Exported entries, by the batch document.
    pub entries: u64,
    /// Sum of the debit column, exact decimal baht.
    pub total_debit: String,
    /// Sum of the credit column, exact decimal baht.
    pub total_credit: String,
    /// Whose layout, encoding, zone and contra account were taken: `stored` with the batch, or those of `today`, because it was exported
    /// by an earlier version.
    pub settings: SettingsOf,
    /// What people did with the file that is no fault: moved it, renamed it.
    pub notes: Vec<String>,
    /// How many problems it has, listed or not.
    pub problems: u64,
}

/// The checked batches, and the problems that were found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The batches, oldest first.
    pub checked: Vec<Checked>,
    /// The problems, in the order in which they were found; what is only counted comes last.
    pub problems: Vec<Problem>,
    /// How many were found, listed or not.
    pub found: u64,
    /// How often each kind was found in a batch.
    counted: BTreeMap<(Option<BatchId>, ProblemKind), u64>,
}

impl Findings {
    /// Problems of this kind are no fault: whoever asks accepts them, this time.
    pub fn accept(&mut self, kind: ProblemKind, note: &str) {
        let problems = std::mem::take(&mut self.problems);
        for problem in problems {
            let batch = self.checked.iter_mut().find(|checked| Some(checked.batch) == problem.batch);
            match batch {
                Some(batch) if problem.kind == kind => {
                    batch.notes.push(note.to_owned());
                    batch.problems -= 1;
                    self.found -= 1;
                }
                _ => self.problems.push(problem),
            }
        }
    }

    /// Of the batch that is looked at.
    fn note(&mut self, note: String) {
        if let Some(checked) = self.checked.last_mut() {
            checked.notes.push(note);
        }
    }

    fn add(&mut self, batch: impl Into<Option<BatchId>>, kind: ProblemKind, message: impl Into<Explanation>) {
        self.add_with(batch, kind, || message.into());
    }

    /// The message is made only where it is listed.
    fn add_with(
        &mut self,
        batch: impl Into<Option<BatchId>>,
        kind: ProblemKind,
        message: impl FnOnce() -> Explanation,
    ) {
        let batch = batch.into();
        self.found += 1;
        if let Some(checked) = self.checked.iter_mut().rev().find(|checked| Some(checked.batch) == batch) {
            checked.problems += 1;
        }
        let count = self.counted.entry((batch, kind)).or_default();
        *count += 1;
        if *count <= LISTED_MAX {
            self.problems.push(Problem { batch, kind, why: message() });
        }
    }

    /// Says of which kinds more was found than is listed.
    fn finish(mut self) -> Findings {
        let counted = std::mem::take(&mut self.counted);
        for ((batch, kind), count) in counted.into_iter().filter(|(_, count)| *count > LISTED_MAX) {
            let is_correction = matches!(kind, ProblemKind::Edited | ProblemKind::Cancelled | ProblemKind::Deleted);
            let next = is_correction.then(|| "`batch-export corrections` lists all".to_owned());
            let why = Explanation { message: format!("and {} more of this kind", count - LISTED_MAX), next };
            self.problems.push(Problem { batch, kind, why });
        }
        self
    }
}

/// A verification.
pub struct Verification<'a> {
    /// The settings; layout, encoding and contra account count only for batches that have none stored.
    pub config: &'a Config,
    /// The database.
    pub store: &'a Store,
    /// Where the files are.
    pub destination: &'a Destination,
}

impl Verification<'_> {
    /// Checks these batches, and the numbers and the chain of all batches.
    pub async fn check(&self, batches: &[BatchId]) -> Result<Findings> {
        self.store.check_has_exported().await?;
        let mut findings = Findings::default();
        for &batch in batches {
            self.check_batch(batch, &mut findings).await?;
        }
        self.check_two_files(&mut findings).await?;
        self.check_surplus(&mut findings).await?;
        self.check_chain(&mut findings).await?;
        Ok(findings.finish())
    }

    async fn check_batch(&self, id: BatchId, findings: &mut Findings) -> Result<()> {
        let Some((mut snapshot, batch)) = self.batch(id, findings).await? else { return Ok(()) };
        findings.checked.push(checked(&batch));
        let log = snapshot.log(Some(id)).await?;
        let official = batch.file.as_ref().filter(|_| batch.state.is_committed());
        self.check_copies(&batch, official, &log, snapshot.ledger().installation.as_deref(), findings).await?;
        let Some(file) = official else {
            for facts in &log {
                findings.add(id, ProblemKind::Log, &already_logged(id, facts.number));
            }
            let marked = snapshot.marked_rows(&batch, None).await?.rows.len();
            if marked > 0 {
                let message = format!("{marked} rows are marked and the batch is {}", batch.state.name());
                findings.add(id, ProblemKind::Rows, message);
            }
            return Ok(());
        };
        if unsealed(&batch).is_some() {
            let next = "`batch-export retry` seals it, or says why it cannot";
            findings.note(format!("{} is not sealed yet: {next}", file.name));
        }
        check_log(&batch, &log, findings);
        if let Some((kind, message)) = self.without_layout(&batch) {
            findings.add(batch.id, kind, message);
            return Ok(());
        }
        if let Some(Err(reason)) = SheetOptions::of(&batch) {
            findings.add(batch.id, ProblemKind::Settings, format!("{reason}; today's settings are taken instead"));
        }
        let content = self.check_file(&batch, file, findings).await?;
        match batch.state {
            State::Completed => self.check_rows(&mut snapshot, &batch, file, content.as_ref(), findings).await,
            _ => self.check_marking(&batch, findings).await,
        }
    }

    /// While the rows of a batch are being marked, fewer of them are: that is no fault. But each entry is on record, or its row is in the list.
    /// The list is read first: what is marked meanwhile is on record then.
    async fn check_marking(&self, batch: &Batch, findings: &mut Findings) -> Result<()> {
        let listed = self.store.rows_to_mark(batch.id).await?;
        let missing = self.store.unrecorded(batch).await?.saturating_sub(listed);
        if missing > 0 && !self.store.has_old_row_list(batch.id).await? {
            let entries = counted(missing, "entry of the file is", "entries of the file are");
            let what = format!("{entries} neither on record as exported nor in the row list of exportbatchrows");
            let next = "`batch-export retry` makes the list again from the official file, or says how to go on";
            findings.add(batch.id, ProblemKind::Lost, Explanation::new(what, next));
        }
        Ok(())
    }

    /// A batch at a new snapshot. One without a document that can be read is a finding.
    async fn batch(&self, id: BatchId, findings: &mut Findings) -> Result<Option<(Snapshot, Batch)>> {
        let mut snapshot = Snapshot::open(self.store).await?;
        match snapshot.batch(id).await? {
            Some(Ok(batch)) => return Ok(Some((snapshot, batch))),
            Some(Err(damaged)) => self.damaged(&damaged, findings),
            None => match self.store.lost_batches().await?.filter(|lost| lost.may_be(id)) {
                Some(lost) => findings.add(id, ProblemKind::MissingBatch, &lost.failure),
                None => {
                    let next = "`batch-export status` lists the batches, and `batch-export run --date` exports a day that is due";
                    let what = "no batch is recorded for this date";
                    findings.add(id, ProblemKind::MissingBatch, Explanation::new(what, next));
                }
            },
        }
        Ok(None)
    }

    /// A document that cannot be read is told once.
    fn damaged(&self, damaged: &Damaged, findings: &mut Findings) {
        let batch = Some(damaged.batch);
        if !findings.problems.iter().any(|one| one.kind == ProblemKind::Document && one.batch == batch) {
            findings.add(batch, ProblemKind::Document, damaged.why());
        }
    }

    /// Why nothing of a batch can be compared: neither its own settings nor those of today have a layout.
    fn without_layout(&self, batch: &Batch) -> Option<Unclear> {
        let why = match SheetOptions::of(batch) {
            Some(Ok(_)) => return None,
            Some(Err(reason)) => reason,
            None => {
                "no layout is stored with it: an earlier version exported it, or its document was rebuilt".to_owned()
            }
        };
        let today = self.config.format().err()?.why.message;
        let what = format!("{why}, and {today}; nothing in its file was compared");
        Some((ProblemKind::Settings, Explanation::new(what, "give the --format of that day")))
    }

    /// What decided the bytes of the file: as stored with the batch, else as set today.
    fn options(&self, batch: &Batch) -> Result<SheetOptions> {
        if let Some(Ok(stored)) = SheetOptions::of(batch) {
            return Ok(stored);
        }
        let today = self.config.sheet_options(batch.id.date())?;
        Ok(SheetOptions { zone: batch.timezone, batch_number: batch.number.unwrap_or_default(), ..today })
    }
}

fn checked(batch: &Batch) -> Checked {
    let file = batch.file.clone().filter(|_| batch.state.is_committed()).unwrap_or_default();
    Checked {
        batch: batch.id,
        state: batch.state,
        number: batch.number,
        entries: file.entries,
        total_debit: Baht::new(i128::from(file.total_debit)).to_string(),
        total_credit: Baht::new(i128::from(file.total_credit)).to_string(),
        settings: SettingsOf::batch(batch),
        notes: Vec::new(),
        problems: 0,
    }
}

/// Checks that the log has the batch once, with the facts of the batch document.
fn check_log(batch: &Batch, log: &[LogFacts], findings: &mut Findings) {
    let [entry] = log else {
        let message = format!("{} ExportLogs of this batch exist, not one", log.len());
        findings.add(batch.id, ProblemKind::Log, message);
        return;
    };
    let file = batch.file.clone().unwrap_or_default();
    let same = [
        ("number", entry.number == batch.number),
        ("batchDate", entry.date == batch.id.date().to_string()),
        ("attempt", entry.attempt == Some(batch.attempt.into())),
        ("fileId", entry.file.id == file.id),
        ("filename", entry.file.name == file.name),
        ("webViewLink", entry.file.link == file.link),
        ("sha256", entry.file.sha256 == file.sha256),
        ("csvSize", entry.file.bytes == file.bytes),
        ("rowCount", entry.file.rows == file.rows),
        ("entryCount", entry.file.entries == file.entries),
        ("totalDebit", entry.file.total_debit == file.total_debit),
        ("totalCredit", entry.file.total_credit == file.total_credit),
    ];
    let differing: Vec<&str> = same.into_iter().filter(|(_, same)| !same).map(|(field, _)| field).collect();
    if !differing.is_empty() {
        let message = format!("ExportLog and batch document differ in {}", differing.join(", "));
        findings.add(batch.id, ProblemKind::Log, message);
    }
}
