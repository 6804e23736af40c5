//! A copy of a file, such as the one that the accountant imported, against the official one.
//!
//! Only the copy is judged: whether rows, log and numbers are right is another question, and so is what became of the official file when the
//! copy has the very checksum of the commit. The reference for its lines is the official file at the destination, after its checksum was
//! compared with the record. Risk: a path that leads to a named pipe, whose opening waits for ever; so
//! only regular files are opened. Both files are read off the runtime's threads.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Findings, ProblemKind, Verification, checked};
use crate::batch::{Batch, BatchId, Voided};
use crate::csv::{Change, Difference, SheetOptions, differences};
use crate::exit::Exit;
use crate::failure::{Explanation, Failure, Result};
use crate::files::open_regular;
use crate::id::Id;
use crate::secret::is_a_key;
use crate::spool::{Digesting, Digests, Spool};
use crate::store::{Damaged, Snapshot};
use crate::terminal::some;

/// Differences of each kind that are shown; all are counted.
const SHOWN: u64 = 125;

/// Columns of a kind of difference that a message names.
const COLUMNS: usize = 8;
/// Columns and kinds that are counted apart.
const COLUMNS_MAX: usize = 1_000;

/// How much of the beginning of a copy is searched for ids.
const HEAD_BYTES: u64 = 64 * 1024;
/// Ids that are looked up to find the batch of a copy.
const IDS_MAX: usize = 200;

/// What a copy turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CopyVerdict {
    /// The same bytes as the official file.
    Same,
    /// Other bytes, the same values.
    Rewritten,
    /// Lines that are not those of the official file, or the official file of another batch.
    Different,
    /// A file that was voided.
    Voided,
    /// There is no official file to compare it with.
    #[default]
    Unknown,
}

/// A copy that was looked at.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Copy {
    /// Its path, as given.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    pub sha256: String,
    /// What it is.
    pub verdict: CopyVerdict,
    /// In what it is not written like the official file, as clauses for a person.
    pub rewritten: Vec<String>,
    /// Cells and lines that differ, in the order of the official file: the first 125 of each kind, each cell cut after 500 characters.
    pub differences: Vec<Difference>,
    /// How many differ.
    pub differing: u64,
    /// How many of them do not mean the same amount or the same date.
    pub changed: u64,
    /// The voided file that it is.
    pub voided: Option<Voided>,
    /// How many differ in each way, by column.
    #[serde(skip)]
    counts: Counts,
}

impl Verification<'_> {
    /// Compares a copy with the official file of this batch, else of the one that its checksum, its entries or its name point to.
    pub async fn check_copy(&self, path: &str, batch: Option<BatchId>) -> Result<(Findings, Copy)> {
        let name = PathBuf::from(path);
        let (opened, head, digests) = blocking(move || open(&name).and_then(digest)).await.map_err(|error| {
            Failure::configuration(format!("--file \"{path}\" cannot be read: {error}"))
                .next("give --file the path of a regular file that you may read")
        })?;
        // A comparison would show its lines.
        if is_a_key(&String::from_utf8_lossy(&head)) {
            return Err(Failure::configuration("--file names a key, and not a copy of a file of this program")
                .next("give --file the path of the file that was imported"));
        }
        let mut findings = Findings::default();
        let (bytes, sha256) = (digests.bytes, digests.sha256);
        let mut copy = Copy { path: path.to_owned(), bytes, sha256, ..Copy::default() };
        let mut snapshot = Snapshot::open(self.store).await?;
        let same = snapshot.batches_of_file(&copy.sha256).await?;
        let owner = same.iter().find(|batch| official_sha256(batch) == Some(&copy.sha256)).or(same.first());
        let found = match (batch, owner) {
            (Some(id), _) => snapshot.batch(id).await?,
            (None, Some(owner)) => Some(Ok(owner.clone())),
            (None, None) => batch_of(&mut snapshot, path, &head).await?,
        };
        if let (Some(id), Some(owner)) = (batch, owner)
            && same.iter().all(|batch| batch.id != id)
        {
            findings.checked.extend(found.iter().flatten().map(checked));
            copy.is_of_another(id, owner, &mut findings);
            return Ok((findings, copy));
        }
        let Some(batch) = found else {
            let message: Explanation = match batch {
                Some(_) => "there is no batch to compare the file with".to_owned().into(),
                None => Explanation::new(
                    "neither its checksum nor its entries nor its name tell of which batch it is a copy",
                    "give --date",
                ),
            };
            findings.add(batch, ProblemKind::MissingBatch, message);
            return Ok((findings, copy));
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(damaged) => {
                self.damaged(&damaged, &mut findings);
                return Ok((findings, copy));
            }
        };
        findings.checked.push(checked(&batch));
        if let Some(voided) = voided(&batch, &copy.sha256) {
            findings.add(batch.id, ProblemKind::VoidedCopy, told(&batch, voided, "the same batch"));
            (copy.verdict, copy.voided) = (CopyVerdict::Voided, Some(voided.clone()));
            return Ok((findings, copy));
        }
        let Some(file) = batch.file.as_ref().filter(|_| batch.state.is_committed()) else {
            let message = format!("{} is {}: it has no official file yet", batch.id, batch.state.name());
            findings.add(batch.id, ProblemKind::MissingFile, message);
            return Ok((findings, copy));
        };
        if file.sha256 == copy.sha256 {
            copy.verdict = CopyVerdict::Same;
        } else if let Some(official) = self.check_file(&batch, file, &mut findings).await? {
            self.compare_copy(&batch, &official, opened, &mut copy).await?;
            if let Some((kind, message)) = copy.problem() {
                findings.add(batch.id, kind, message);
            }
        }
        Ok((findings, copy))
    }

    async fn compare_copy(&self, batch: &Batch, official: &Spool, opened: File, copy: &mut Copy) -> Result<()> {
        let options: SheetOptions = self.options(batch)?;
        let official = official.open().map_err(|error| self.spool_failed(&error))?;
        let scratch = self.spool()?.into_spool().map_err(|error| self.spool_failed(&error))?;
        let lines = scratch.open().map_err(|error| self.spool_failed(&error))?;
        let compared = blocking(move || {
            let mut kept = Kept::default();
            let otherwise = differences(official, opened, lines, &options, |difference| kept.add(difference));
            otherwise.map(|otherwise| (otherwise, kept)).map_err(io::Error::other)
        });
        let (otherwise, kept) = compared.await.map_err(|error| {
            Failure::new(Exit::Configuration, format!("--file \"{}\" cannot be compared: {error}", copy.path))
                .next("give --file the CSV file that was imported; of a workbook, its sheet saved as CSV")
        })?;
        copy.rewritten = otherwise;
        copy.differing = kept.counts.0.values().sum();
        // The last kind is written otherwise, and no more.
        copy.changed = copy.differing - kept.counts.of(KINDS.len() - 1);
        (copy.differences, copy.counts) = (kept.differences, kept.counts);
        if copy.rewritten.is_empty() && copy.differing == 0 {
            copy.rewritten.push("its quotes, line breaks or empty lines are written otherwise".to_owned());
        }
        copy.verdict = if copy.changed == 0 { CopyVerdict::Rewritten } else { CopyVerdict::Different };
        Ok(())
    }
}

/// The batch that a file belongs to: by the entries that its beginning names, by its name. `None` when nothing names one.
async fn batch_of(snapshot: &mut Snapshot, path: &str, head: &[u8]) -> Result<Option<Result<Batch, Damaged>>> {
    let mut named: BTreeMap<BatchId, u64> = BTreeMap::new();
    for exported in snapshot.exported_in(&ids_in(head)).await? {
        *named.entry(exported).or_default() += 1;
    }
    if let Some((id, _)) = named.into_iter().max_by_key(|(_, count)| *count) {
        return Ok(snapshot.batch(id).await?);
    }
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let [batch] = &snapshot.batches_of_name(&name).await?[..] {
        return Ok(Some(Ok(batch.clone())));
    }
    match date_in(&name) {
        Some(date) => Ok(snapshot.batch(BatchId::new(date)).await?),
        None => Ok(None),
    }
}

impl Copy {
    /// Its checksum is that of a file of another batch than the one that was asked for: its lines have nothing to do with that one.
    fn is_of_another(&mut self, asked: BatchId, owner: &Batch, findings: &mut Findings) {
        let number = owner.number.map_or(String::new(), |number| format!(" (number {number})"));
        let name = format!("{}{number}", owner.id);
        if let Some(voided) = voided(owner, &self.sha256) {
            findings.add(asked, ProblemKind::VoidedCopy, told(owner, voided, &format!("{name}, not of {asked}")));
            (self.verdict, self.voided) = (CopyVerdict::Voided, Some(voided.clone()));
        } else {
            let what = format!("this is the official file of {name}, not of {asked}");
            let next = format!("if it was imported for that one, the file of {asked} is still to be imported");
            findings.add(asked, ProblemKind::DifferentCopy, Explanation::new(what, next));
            self.verdict = CopyVerdict::Different;
        }
    }

    fn problem(&self) -> Option<(ProblemKind, String)> {
        let anew = match &self.rewritten[..] {
            [] => "a spreadsheet has saved it again".to_owned(),
            clauses => format!("a spreadsheet has saved it again: {}", clauses.join("; ")),
        };
        match self.verdict {
            CopyVerdict::Same | CopyVerdict::Voided | CopyVerdict::Unknown => None,
            CopyVerdict::Rewritten => {
                let cells = match self.differing {
                    0 => "every cell is the official one".to_owned(),
                    _ => format!("every value is the official one: {}", self.counts.told()),
                };
                Some((ProblemKind::RewrittenCopy, format!("{anew}; {cells}")))
            }
            CopyVerdict::Different => {
                let is_anew = !self.rewritten.is_empty() || self.counts.are_of_spreadsheet();
                let anew = if is_anew { format!("; {anew}") } else { String::new() };
                Some((ProblemKind::DifferentCopy, format!("{}{anew}", self.counts.told())))
            }
        }
    }
}

/// How many differences there are of each of [`KINDS`], by column.
#[derive(Clone, Debug, Default)]
struct Counts(BTreeMap<(usize, Option<String>), u64>);

impl Counts {
    fn of(&self, kind: usize) -> u64 {
        self.columns(kind).map(|(_, count)| count).sum()
    }

    fn columns(&self, kind: usize) -> impl Iterator<Item = (Option<&str>, u64)> {
        let of_kind = self.0.iter().filter(move |((of, _), _)| *of == kind);
        of_kind.map(|((_, column), count)| (column.as_deref(), *count))
    }

    /// What nobody types by hand.
    fn are_of_spreadsheet(&self) -> bool {
        [0, 1, KINDS.len() - 1].into_iter().any(|kind| self.of(kind) > 0)
    }

    /// Every kind that there is, with its columns: most of one first.
    fn told(&self) -> String {
        let mut kinds = Vec::new();
        for (kind, (one, many, _)) in KINDS.iter().enumerate() {
            let count = match self.of(kind) {
                0 => continue,
                1 => (*one).to_owned(),
                count => format!("{count} {many}"),
            };
            let mut columns: Vec<(&str, u64)> =
                self.columns(kind).filter_map(|(column, count)| Some((column?, count))).collect();
            columns.sort_by_key(|(_, count)| Reverse(*count));
            let named = match &columns[..] {
                [] => String::new(),
                [(column, _)] => format!(" ({column})"),
                several => {
                    let named: Vec<String> =
                        several.iter().map(|(column, count)| format!("{column} {count}")).collect();
                    format!(" ({})", some(&named, COLUMNS))
                }
            };
            kinds.push(count + &named);
        }
        kinds.join(", ")
    }
}

type Belongs = fn(&Difference) -> bool;

/// The kinds of differences, one and many of them; each difference is of one kind. The first two and the last one are what a spreadsheet does.
const KINDS: [(&str, &str, Belongs); 8] = [
    ("1 code lost leading zeros", "codes lost leading zeros", |d| d.change == Change::LeadingZeros),
    ("1 number lost digits", "numbers lost digits", |d| d.change == Change::Digits),
    ("1 amount differs", "amounts differ", |d| d.change == Change::Amount && !d.same_value),
    ("1 date differs", "dates differ", |d| d.change == Change::Date && !d.same_value),
    ("1 text differs", "texts differ", |d| d.change == Change::Text),
    ("1 line is missing", "lines are missing", |d| d.change == Change::MissingLine),
    ("1 line was added", "lines were added", |d| d.change == Change::AddedLine),
    ("1 amount or date is only written otherwise", "amounts or dates are only written otherwise", |d| d.same_value),
];

/// The differences that are kept for people, of all that there are. A spreadsheet writes each date in its own way, and takes the zeros of
/// each code: so no kind takes the room of another one.
#[derive(Default)]
struct Kept {
    counts: Counts,
    /// Of each kind, how many are kept.
    shown: [u64; KINDS.len()],
    differences: Vec<Difference>,
}

impl Kept {
    fn add(&mut self, difference: Difference) {
        let Some(kind) = KINDS.iter().position(|(_, _, belongs)| belongs(&difference)) else { return };
        let of_column = (kind, difference.column.clone());
        // A line of a broken copy may have a million columns.
        let has_room = self.counts.0.len() < COLUMNS_MAX || self.counts.0.contains_key(&of_column);
        *self.counts.0.entry(if has_room { of_column } else { (kind, None) }).or_default() += 1;
        self.shown[kind] += 1;
        if self.shown[kind] <= SHOWN {
            self.differences.push(difference);
        }
    }
}

fn official_sha256(batch: &Batch) -> Option<&str> {
    batch.file.as_ref().filter(|_| batch.state.is_committed()).map(|file| &*file.sha256)
}

/// The voided file of this checksum; the official one may have the same.
fn voided<'a>(batch: &'a Batch, sha256: &str) -> Option<&'a Voided> {
    let of_copy = |voided: &&Voided| voided.sha256.as_deref() == Some(sha256);
    batch.voided.iter().rev().find(of_copy).filter(|_| official_sha256(batch) != Some(sha256))
}

/// What is to be said of a voided file of a batch, which the text calls `name`.
fn told(batch: &Batch, voided: &Voided, name: &str) -> Explanation {
    let day = |at: DateTime<Utc>| at.with_timezone(&batch.timezone).date_naive().to_string();
    let on = voided.at.map_or("an unknown day".to_owned(), day);
    let next = match &batch.file {
        Some(file) if batch.state.is_committed() => {
            format!(
                "the official file is {}: if the voided one was imported, reverse that and import the official one",
                file.name
            )
        }
        Some(_) | None => "there is no official file yet".to_owned(),
    };
    let what = format!("this is file {} of {name}, which was voided on {on} because {}", voided.id, voided.reason);
    Explanation::new(what, next)
}

/// A path of a person may be a link; what it leads to must be a regular file.
fn open(path: &Path) -> io::Result<File> {
    open_regular(&path.canonicalize()?)
}

/// The file, at its beginning, what it begins with, and its digests.
fn digest(mut file: File) -> io::Result<(File, Vec<u8>, Digests)> {
    let mut head = Vec::new();
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    file.rewind()?;
    let mut sink = Digesting::new(io::sink());
    io::copy(&mut file, &mut sink)?;
    file.rewind()?;
    Ok((file, head, sink.finish().1))
}

/// What looks like ids of entries, in whatever encoding: the zeros of UTF-16 are left out.
fn ids_in(head: &[u8]) -> Vec<Id> {
    let text: Vec<u8> = head.iter().copied().filter(|byte| *byte != 0).collect();
    let words = text.split(|byte| !byte.is_ascii_alphanumeric());
    words.filter_map(|word| Id::from_hex(str::from_utf8(word).ok()?)).take(IDS_MAX).collect()
}

/// The first date in a name, `2026-01-18` or `20260118`.
fn date_in(name: &str) -> Option<NaiveDate> {
    let at = |from: usize| {
        let iso = name.get(from..from + 10).and_then(|text| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok());
        let figures = name.get(from..from + 8).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        iso.or_else(|| NaiveDate::parse_from_str(figures?, "%Y%m%d").ok())
    };
    (0..name.len()).find_map(at)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
