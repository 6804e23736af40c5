//! A copy of a file, such as the one that the accountant imported, against the official one.
//!
//! Only the copy is judged: whether rows, log and numbers are right is another question, and so is what became of the official file when the
//! copy has the very checksum of the commit. The reference for its lines is the official file at the destination, after its checksum was
//! compared with the record. Risk: a path that leads to a named pipe, whose opening waits for ever; so
//! only regular files are opened. Both files are read off the runtime's threads.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Findings, Kind, Verification, checked};
use crate::batch::{Batch, BatchId, Voided};
use crate::csv::{Change, Difference, SheetOptions, differences};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::files::open_regular;
use crate::spool::{Digesting, Digests, Spool};
use crate::store::Snapshot;

/// Differences that are shown; all are counted.
const SHOWN: usize = 1000;

/// What a copy turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CopyVerdict {
    /// The same bytes as the official file.
    Same,
    /// Other bytes, the same values.
    Rewritten,
    /// Lines that are not those of the official file.
    Different,
    /// A file of the batch that was voided.
    Voided,
    /// There is no official file to compare it with.
    Unknown,
}

/// A copy that was looked at.
#[derive(Clone, Debug, Serialize, JsonSchema)]
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
    /// Cells and lines that differ: the first 1000 of them.
    pub differences: Vec<Difference>,
    /// How many differ.
    pub differing: u64,
    /// How many of them do not mean the same amount or the same date.
    pub changed: u64,
    /// The voided file that it is.
    pub voided: Option<Voided>,
}

impl Verification<'_> {
    /// Compares a copy with the official file of these batches that it belongs to by its checksum, else of the latest one.
    ///
    /// # Errors
    /// When the copy, the database, the destination or the spool folder fails.
    pub async fn check_copy(&self, path: &str, batches: &[BatchId]) -> Result<(Findings, Copy), Failure> {
        let name = PathBuf::from(path);
        let (opened, digests) = blocking(move || open(&name).and_then(digest)).await.map_err(|error| {
            Failure::configuration(format!("--file {path:?} cannot be read: {error}"))
                .next("give --file the path of a regular file that you may read")
        })?;
        let mut findings = Findings::default();
        let mut copy = Copy {
            path: path.to_owned(),
            bytes: digests.bytes,
            sha256: digests.sha256,
            verdict: CopyVerdict::Unknown,
            rewritten: Vec::new(),
            differences: Vec::new(),
            differing: 0,
            changed: 0,
            voided: None,
        };
        let Some(batch) = self.batch_of(batches, &copy.sha256).await? else {
            let id = batches.last().map(BatchId::to_string).unwrap_or_default();
            findings.add(id, Kind::MissingBatch, "there is no batch to compare the file with");
            return Ok((findings, copy));
        };
        findings.checked.push(checked(&batch));
        if let Some(voided) = voided(&batch, &copy.sha256) {
            findings.add(batch.id, Kind::VoidedCopy, told(&batch, voided));
            (copy.verdict, copy.voided) = (CopyVerdict::Voided, Some(voided.clone()));
            return Ok((findings, copy));
        }
        let Some(file) = batch.file.as_ref().filter(|_| batch.state.is_committed()) else {
            let message = format!("{} is {}: it has no official file yet", batch.id, batch.state.name());
            findings.add(batch.id, Kind::MissingFile, message);
            return Ok((findings, copy));
        };
        if file.sha256 == copy.sha256 {
            copy.verdict = CopyVerdict::Same;
        } else if let Some(official) = self.check_file(&batch, file, &mut findings).await? {
            self.compare_copy(&batch, &official, opened, &mut copy).await?;
            findings.problems.extend(copy.problem(&batch));
        }
        Ok((findings, copy))
    }

    /// The batch that a file of this checksum belongs to, else the latest one that has a file.
    async fn batch_of(&self, batches: &[BatchId], sha256: &str) -> Result<Option<Batch>, Failure> {
        let mut snapshot = Snapshot::open(self.store).await?;
        let mut best: Option<Batch> = None;
        for &id in batches {
            let Some(batch) = snapshot.batch(id).await? else { continue };
            if official_sha256(&batch) == Some(sha256) || voided(&batch, sha256).is_some() {
                return Ok(Some(batch));
            }
            if batch.state.is_committed() || best.is_none() {
                best = Some(batch);
            }
        }
        Ok(best)
    }

    async fn compare_copy(
        &self,
        batch: &Batch,
        official: &Spool,
        opened: File,
        copy: &mut Copy,
    ) -> Result<(), Failure> {
        let options: SheetOptions = self.options(batch)?;
        let official = official.open().map_err(|error| self.spool_failed(&error))?;
        let compared = blocking(move || {
            let (mut shown, mut differing, mut changed) = (Vec::new(), 0, 0);
            let otherwise = differences(official, opened, &options, |difference| {
                differing += 1;
                changed += u64::from(!difference.same_value);
                if shown.len() < SHOWN {
                    shown.push(difference);
                }
            });
            otherwise.map(|otherwise| (otherwise, shown, differing, changed)).map_err(io::Error::other)
        });
        let compared = compared.await.map_err(|error| {
            Failure::new(Exit::Configuration, format!("{:?} cannot be compared: {error}", copy.path))
                .next("give --file the CSV file that was imported")
        })?;
        (copy.rewritten, copy.differences, copy.differing, copy.changed) = compared;
        if copy.rewritten.is_empty() && copy.differing == 0 {
            copy.rewritten.push("its quotes, line breaks or empty lines are written otherwise".to_owned());
        }
        copy.verdict = if copy.changed == 0 { CopyVerdict::Rewritten } else { CopyVerdict::Different };
        Ok(())
    }
}

impl Copy {
    fn problem(&self, batch: &Batch) -> Option<super::Problem> {
        let anew = match &self.rewritten[..] {
            [] => "it was saved anew, as a spreadsheet does".to_owned(),
            clauses => format!("it was saved anew, as a spreadsheet does: {}", clauses.join("; ")),
        };
        let (kind, message) = match self.verdict {
            CopyVerdict::Same | CopyVerdict::Voided | CopyVerdict::Unknown => return None,
            CopyVerdict::Rewritten => {
                let cells = match self.differing {
                    0 => "every cell is the official one".to_owned(),
                    _ => format!("every value is the official one: {}", self.counted()),
                };
                (Kind::RewrittenCopy, format!("{anew}; {cells}"))
            }
            CopyVerdict::Different => {
                let anew = if self.rewritten.is_empty() { String::new() } else { format!("; {anew}") };
                (Kind::DifferentCopy, format!("it differs from the official file: {}{anew}", self.counted()))
            }
        };
        Some(super::Problem { batch: batch.id.to_string(), kind, message })
    }

    /// The differences by their kinds, as far as they are shown.
    fn counted(&self) -> String {
        type Belongs = fn(&Difference) -> bool;
        let kinds: [(&str, Belongs); 8] = [
            ("lost leading zeros", |d| d.change == Change::LeadingZeros),
            ("lost digits", |d| d.change == Change::Digits),
            ("other amounts", |d| d.change == Change::Amount && !d.same_value),
            ("other dates", |d| d.change == Change::Date && !d.same_value),
            ("other text", |d| d.change == Change::Text),
            ("missing lines", |d| d.change == Change::MissingLine),
            ("added lines", |d| d.change == Change::AddedLine),
            ("amounts or dates that are only written otherwise", |d| d.same_value),
        ];
        let counted = kinds.map(|(name, is)| (name, self.differences.iter().filter(|d| is(d)).count()));
        let known: Vec<String> = counted
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        let first = if self.differing > self.differences.len() as u64 {
            format!(" (of the first {SHOWN} of {} differences)", self.differing)
        } else {
            String::new()
        };
        format!("{}{first}", known.join(", "))
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

fn told(batch: &Batch, voided: &Voided) -> String {
    let zone: Tz = batch.timezone.parse().unwrap_or(Tz::UTC);
    let day = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive().to_string();
    let on = voided.at.map_or("an unknown day".to_owned(), day);
    let next = match &batch.file {
        Some(file) if batch.state.is_committed() => {
            format!(
                "the official file is {}: if the voided one was imported, reverse that and import this one",
                file.id
            )
        }
        Some(_) | None => "there is no official file yet".to_owned(),
    };
    format!("this is file {} of the same batch, which was voided on {on} because {}; {next}", voided.id, voided.reason)
}

/// A path of a person may be a link; what it leads to must be a regular file.
fn open(path: &Path) -> io::Result<File> {
    open_regular(&path.canonicalize()?)
}

/// The file, at its beginning, and its digests.
fn digest(mut file: File) -> io::Result<(File, Digests)> {
    let mut sink = Digesting::new(io::sink());
    io::copy(&mut file, &mut sink)?;
    io::Seek::rewind(&mut file)?;
    Ok((file, sink.finish().1))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
