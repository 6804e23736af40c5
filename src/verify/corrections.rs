//! `corrections`: the exported entries whose lines would be other ones now, for the accountant who has the old lines in the books.
//!
//! The official file is the reference: it is read from where it is, and its checksum is compared before anything else. Risk: a correction
//! by guess, which would be booked. So the layout that is stored with the batch makes the present lines; when the file is not the committed
//! one, the batch is named with the reason and nothing else is said of it; and a line that cannot be matched to an entry is named.
//!
//! The list lies on the disk, not in memory: an application that rewrites a year of descriptions changes every line of it.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::compare::{CellChange, ChangedEntry, What};
use super::{Findings, Problem, ProblemKind, SettingsOf, Unclear, Verification};
use crate::batch::{Batch, BatchId, CorrectionsTold, FileFacts, State};
use crate::csv::{SheetOptions, recount};
use crate::failure::{Explanation, Result};
use crate::id::Id;
use crate::layout::Value;
use crate::schema::name_of;
use crate::spool::{Spool, SpoolWriter};
use crate::store::{MarkedRows, Snapshot, already_logged};

/// What became of an exported entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionKind {
    /// A cell of its line would be another one.
    Edited,
    /// It is no longer approved.
    Cancelled,
    /// It is gone.
    Deleted,
}

/// A cell that the accountant has and the entry no longer gives; of a cancelled or deleted entry, the whole line.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Correction {
    /// `batch_2026-01-18`.
    pub batch: BatchId,
    /// Number of the batch.
    pub number: i64,
    /// Name of the file.
    pub file: String,
    /// Line of the file: from 1, the header counted, a line break inside a cell not.
    pub line: u64,
    /// `_id` of the journal entry.
    pub entry_id: Id,
    /// What became of the entry.
    pub kind: CorrectionKind,
    /// Header of the column; `None` when the whole line no longer stands.
    pub column: Option<String>,
    /// What the file says in that column; of a whole line, its cells with blanks between. Of a cell of more than 32,767 bytes a part, from
    /// a little before the difference, with the length and the checksum of the whole.
    pub exported: String,
    /// What the column would say now; `None` when the entry has nothing that can be written there.
    pub present: Option<String>,
    /// Why a line no longer stands or cannot be written, for a person.
    pub reason: Option<String>,
}

/// A batch that was looked at.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ComparedBatch {
    /// `batch_2026-01-18`.
    pub batch: BatchId,
    /// Its state.
    pub state: State,
    /// Its number, once committed.
    pub number: Option<i64>,
    /// Exported entries.
    pub entries: u64,
    /// Entries among them that have to be corrected; `None` when none of them was compared, for one of the problems.
    pub corrections: Option<u64>,
    /// Entries among them that were not compared, for one of the problems: they are right or not, nobody knows.
    pub not_compared: u64,
    /// Whose layout was taken: `stored` with the batch, or that of `today`, because it was exported by an earlier version.
    pub settings: SettingsOf,
    /// Checksum of the batch's part of the list, or of the reason why there is none; `None` when the list is empty.
    #[serde(skip)]
    pub list_sha256: Option<String>,
    /// What people were told last.
    #[serde(skip)]
    pub told: Option<CorrectionsTold>,
}

/// What was looked at, and what is to be corrected.
pub struct Corrections {
    /// The batches, oldest first.
    pub batches: Vec<ComparedBatch>,
    /// Batches whose documents are lost.
    pub lost: u64,
    /// Batches of which nothing can be said, with the reason.
    pub problems: Vec<Problem>,
    pub list: CorrectionList,
}

/// Corrections by batch and line, on the disk.
pub struct CorrectionList {
    spool: Spool,
    /// How many there are.
    pub count: u64,
}

impl CorrectionList {
    pub fn read(&self) -> io::Result<impl Iterator<Item = io::Result<Correction>> + use<>> {
        let lines = BufReader::new(self.spool.open()?).lines();
        Ok(lines.map(|line| serde_json::from_str(&line?).map_err(io::Error::other)))
    }
}

/// A list that is being made.
struct Draft {
    out: BufWriter<SpoolWriter>,
    count: u64,
    /// Of the present batch.
    digest: Sha256,
    entries: u64,
    /// Whether some of its lines cannot be matched to entries.
    is_open: bool,
}

impl Draft {
    fn add(&mut self, correction: &Correction) -> io::Result<()> {
        let mut line = serde_json::to_vec(correction)?;
        line.push(b'\n');
        self.digest.update(&line);
        self.count += 1;
        self.out.write_all(&line)
    }

    /// Entries and checksum of the batch that ends here; no checksum of nothing.
    fn end_batch(&mut self) -> (u64, Option<String>) {
        let (digest, entries) = (std::mem::take(&mut self.digest), std::mem::take(&mut self.entries));
        let is_empty = entries == 0 && !std::mem::take(&mut self.is_open);
        (entries, (!is_empty).then(|| hex::encode(digest.finalize())))
    }
}

impl Verification<'_> {
    /// Compares every exported entry of these batches with the line that it would give now. Where the settings name another collection of
    /// entries, all of them would count as deleted: that is refused first. A batch without a document is a problem; so are batches `within`
    /// these dates whose documents are lost.
    pub async fn corrections(
        &self,
        batches: &[BatchId],
        within: Option<RangeInclusive<BatchId>>,
    ) -> Result<Corrections> {
        self.store.check_has_exported().await?;
        let out = BufWriter::new(self.spool()?);
        let mut draft = Draft { out, count: 0, digest: Sha256::default(), entries: 0, is_open: false };
        let (mut looked, mut findings) = (Vec::new(), Findings::default());
        for &id in batches {
            let Some((mut snapshot, batch)) = self.batch(id, &mut findings).await? else { continue };
            let file = batch.file.clone().filter(|_| batch.state.is_committed());
            let mut compared = ComparedBatch {
                batch: id,
                state: batch.state,
                number: batch.number,
                entries: file.as_ref().map_or(0, |file| file.entries),
                corrections: Some(0),
                not_compared: 0,
                settings: SettingsOf::batch(&batch),
                list_sha256: None,
                told: batch.corrections_told.clone(),
            };
            if let Some(file) = file {
                match self.correct(&mut snapshot, &batch, &file, &mut draft).await? {
                    Ok(open) => {
                        if let Some((entries, message)) = open {
                            draft.digest.update(message.to_string());
                            draft.is_open = true;
                            compared.not_compared = entries;
                            findings.add(id, ProblemKind::Rows, message);
                        }
                        let (entries, sha256) = draft.end_batch();
                        let is_any = compared.not_compared == 0 || compared.not_compared < compared.entries;
                        compared.corrections = is_any.then_some(entries);
                        compared.list_sha256 = sha256;
                    }
                    Err((kind, message)) => {
                        let reason = format!("{}: {message}", name_of(kind));
                        compared.list_sha256 = Some(hex::encode(Sha256::digest(reason)));
                        (compared.corrections, compared.not_compared) = (None, compared.entries);
                        findings.add(id, kind, message);
                    }
                }
            } else if let Some(export) = snapshot.log(Some(id)).await?.first() {
                compared.corrections = None;
                findings.add(id, ProblemKind::Log, &already_logged(id, export.number));
            }
            looked.push(compared);
        }
        let (out, count) = (draft.out.into_inner().map_err(|error| self.spool_failed(error.error()))?, draft.count);
        let spool = out.into_spool().map_err(|error| self.spool_failed(&error))?;
        let mut lost = 0;
        if let (Some(within), Some(gone)) = (within, self.store.lost_batches().await?) {
            let others = gone.logged.iter().filter(|id| !within.contains(id)).count();
            lost = gone.count.saturating_sub(others as u64);
            if lost > 0 {
                findings.add(None, ProblemKind::Lost, &gone.failure);
            }
        }
        let list = CorrectionList { spool, count };
        Ok(Corrections { batches: looked, lost, problems: findings.problems, list })
    }

    async fn correct(
        &self,
        snapshot: &mut Snapshot,
        batch: &Batch,
        file: &FileFacts,
        draft: &mut Draft,
    ) -> Result<Result<Option<(u64, Explanation)>, Unclear>> {
        if let Some(unclear) = self.without_layout(batch) {
            return Ok(Err(unclear));
        }
        let content = match self.official(batch, file).await? {
            Ok(content) => content,
            Err(unclear) => return Ok(Err(unclear)),
        };
        if let Err(unclear) = self.is_of_layout(batch, &content)? {
            return Ok(Err(unclear));
        }
        let layout = self.options(batch)?.layout;
        let names_entries = layout.columns.iter().any(|column| column.value == Value::EntryId);
        if !names_entries && batch.state != State::Completed {
            let what = "its rows are still being marked, and the layout has no column with the ids of its entries";
            return Ok(Err((ProblemKind::Rows, Explanation::new(what, "`batch-export retry` finishes the marking"))));
        }
        let mut marked = match self.ids_of(batch, &content)? {
            None => snapshot.marked_rows(batch, None).await?,
            entries => MarkedRows { entries, ..MarkedRows::default() },
        };
        let places = self.places(snapshot, batch, file, &mut marked, true).await?;
        drop(marked);
        let compared = self.compare(snapshot, batch, &places.entries, Some(&content), |change| {
            draft.entries += 1;
            let mut records = records(batch, file, change).into_iter();
            records.try_for_each(|record| draft.add(&record)).map_err(|error| self.spool_failed(&error))
        });
        compared.await?;
        Ok(Ok(places.open(&layout)))
    }

    /// The official file, if it is there and the committed one.
    async fn official(&self, batch: &Batch, file: &FileFacts) -> Result<Result<Spool, Unclear>> {
        let content = match self.read_official(file).await? {
            Ok((content, _)) => content,
            Err(unclear) => return Ok(Err(unclear)),
        };
        if content.digests().sha256 != file.sha256 {
            let (name, found, expected) = (&file.name, &content.digests().sha256, &file.sha256);
            let what = format!(
                "{name} is not the committed file, so nothing can be compared: its sha256 is {found}, not {expected}"
            );
            let next = format!("run `batch-export verify --date {}` for details", batch.id.date());
            return Ok(Err((ProblemKind::Content, Explanation::new(what, next))));
        }
        Ok(Ok(content))
    }

    /// Whether the layout is that of the file. Of a batch of an earlier version it is only supposed to be today's.
    fn is_of_layout(&self, batch: &Batch, content: &Spool) -> Result<Result<(), Unclear>> {
        let SheetOptions { layout, encoding, .. } = match SheetOptions::of(batch) {
            Some(Ok(_)) => return Ok(Ok(())),
            Some(Err(reason)) => {
                let next = "restore `settings` of the batch document from a backup; or remove it there, and give --format, --encoding and \
                            --contra-account of that day";
                return Ok(Err((ProblemKind::Settings, Explanation::new(reason, next))));
            }
            None => self.options(batch)?,
        };
        let file = content.open().map_err(|error| self.spool_failed(&error))?;
        let message = |reason| {
            let name = &layout.name;
            Explanation::new(
                format!("no layout is stored with it, and it was not exported with the layout {name}: {reason}"),
                "give its --format, --encoding and --contra-account",
            )
        };
        let counted = recount(file, &layout, encoding.unwrap_or(layout.encoding));
        Ok(counted.map(drop).map_err(|reason| (ProblemKind::Settings, message(reason))))
    }
}

/// One record per cell, or one of the whole line.
fn records(batch: &Batch, file: &FileFacts, change: ChangedEntry) -> Vec<Correction> {
    let reason = change.reason();
    let record = |line, column, exported, present| Correction {
        batch: batch.id,
        number: batch.number.unwrap_or_default(),
        file: file.name.clone(),
        line,
        entry_id: change.entry,
        kind: match change.what {
            What::Deleted => CorrectionKind::Deleted,
            What::Cancelled(_) => CorrectionKind::Cancelled,
            What::Edited(_) => CorrectionKind::Edited,
        },
        column,
        exported,
        present,
        reason: reason.clone(),
    };
    if change.cells.is_empty() {
        return vec![record(change.line.unwrap_or_default(), None, change.whole.clone().unwrap_or_default(), None)];
    }
    let cell =
        |cell: &CellChange| record(cell.line, Some(cell.column.clone()), cell.exported.clone(), cell.present.clone());
    change.cells.iter().map(cell).collect()
}
