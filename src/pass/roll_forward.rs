//! Rolls a large batch forward: its file is official, and some of its rows are not marked yet.
//!
//! Risk: the rows that are left still look queued, and another batch would export them again. So no batch is generated
//! while the ledger names a batch that is marking. Any run that finds one marks the pieces that are left, and several
//! runs may do so at the same time.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::ready;
use futures_util::stream::{self, StreamExt};

use super::lease::Lease;
use super::{Pass, Report};
use crate::batch::{Batch, BatchId, State};
use crate::csv::{SheetOptions, entry_ids};
use crate::exit::Exit;
use crate::failure::{Explanation, Failure, Result, Stage};
use crate::outcome::Outcome;
use crate::reader::counted;
use crate::spool::SpoolWriter;
use crate::store::{Ledger, Marked, Records, Teller};

/// Pieces that are marked at a time: two connections keep a server busy, and more only collide.
const PIECES_IN_FLIGHT: usize = 2;
/// How long to wait while other runs mark and no piece completes.
const MARKING_WAIT: Duration = Duration::from_secs(120);
/// How long pieces in flight may still take after a signal.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// The time without progress after which the log says what the marking waits for.
const TOLD_AFTER: Duration = Duration::from_secs(2);
/// The wait between two looks.
const MARKING_POLL: Duration = Duration::from_millis(100);

impl Pass<'_> {
    /// Marks the rows that are left of a committed batch, until a signal comes; then describes the batch in the result.
    pub(super) async fn roll_forward(&self, batch: BatchId, report: &mut Report) -> Result<Outcome> {
        let ours = self.finish_marking(batch, Teller::ThisRun).await?;
        let batch = self.store.batch(batch).await?.ok_or_else(|| gone(batch))?;
        report.result.describe_batch(&batch);
        if ours {
            warn_of_changes(&batch);
        }
        Ok(if ours { Outcome::Completed } else { Outcome::AlreadyCompleted })
    }

    /// The ledger, once no batch is marking. Without `records` it reads them first.
    pub(super) async fn free_ledger(
        &self,
        lease: &Lease,
        cutoff: DateTime<Utc>,
        mut records: Option<Records>,
    ) -> Result<Ledger> {
        let began = Instant::now();
        let mut completed = None;
        loop {
            let work = async {
                let records = match records.take() {
                    Some(records) => records,
                    None => self.store.records(lease.claim.batch).await?,
                };
                self.store.ledger(&lease.claim, cutoff, records).await
            };
            let ledger = self.under(lease, work).await?;
            let Some(other) = ledger.marking else { return Ok(ledger) };
            // One transaction completes a batch and frees the ledger.
            if completed == Some(other) {
                return Err(marked_already(other));
            }
            if began.elapsed() > MARKING_WAIT {
                return Err(self.not_marked(other, still_marking(other)).await);
            }
            tracing::info!(%other, "finishing the marking of another batch first");
            let ours = self.finish_marking(other, Teller::NextRetry).await?;
            match self.store.batch(other).await? {
                Some(batch) if ours => warn_of_changes(&batch),
                Some(batch) if batch.state == State::Completed => completed = Some(other),
                Some(_) | None => {}
            }
        }
    }

    /// Marks the pieces that are left, and completes the batch. `false` when another run completed it.
    ///
    /// After a signal the pieces in flight have some time to end: a dropped transaction locks its piece until the
    /// server aborts it, which takes a minute.
    async fn finish_marking(&self, id: BatchId, teller: Teller) -> Result<bool> {
        match self.stop.with_grace(STOP_GRACE, self.mark_until_stopped(id, teller)).await {
            Err(failure) => Err(self.not_marked(id, failure).await),
            marked => marked,
        }
    }

    /// A failure of the marking that `retry` makes good, with the words that the file is official: the same failure of a commit means that it
    /// is not.
    async fn not_marked(&self, id: BatchId, failure: Failure) -> Failure {
        let is_conflict = failure.exit == Exit::CommitConflict;
        if !is_conflict && (failure.exit != Exit::DatabaseUnavailable || failure.why.next.is_some()) {
            return failure;
        }
        let counted = if is_conflict { self.store.rows_to_mark(id).await.ok() } else { None };
        let left = counted.map_or("some".to_owned(), |rows| rows.to_string());
        let lasts = if is_conflict { "; when this lasts, db.currentOp() shows which program keeps them" } else { "" };
        let what = format!("{failure}; the file of {id} is committed, and {left} of its rows are still to be marked");
        let next = format!("`batch-export retry` goes on with them{lasts}");
        Failure { why: Explanation::new(what, next), ..failure }
    }

    async fn mark_until_stopped(&self, id: BatchId, teller: Teller) -> Result<bool> {
        let batch = self.store.batch(id).await?.filter(|batch| batch.state.is_committed()).ok_or_else(|| gone(id))?;
        self.progress.enter(Stage::Commit, batch.file.as_ref().map_or(0, |file| file.entries));
        if batch.state == State::Marking && self.store.has_old_row_list(id).await? {
            self.rebuild(&batch, Why::Old).await?;
        }
        let mut moved = (Instant::now(), usize::MAX);
        let (mut marked_here, mut told) = (0, false);
        loop {
            if let Some(signal) = self.stop.requested() {
                return Err(signal.failure());
            }
            let pieces = self.store.pieces(id).await?.unwrap_or_default();
            // Without a piece left, every entry of the file is on record, or pieces were lost.
            if pieces.is_empty() && batch.file.as_ref().is_none_or(|file| marked_here != file.entries) {
                let marking = |batch: &Batch| batch.state == State::Marking;
                let Some(batch) = self.store.batch(id).await?.filter(marking) else { return Ok(false) };
                // A list that another run makes again from here on writes the document, and is not replaced.
                if self.store.pieces(id).await?.is_some_and(|pieces| !pieces.is_empty()) {
                    continue;
                }
                let missing = self.store.unrecorded(&batch).await?;
                if missing > 0 {
                    self.rebuild(&batch, Why::Lost(missing)).await?;
                    continue;
                }
            }
            // One that does not fit into the server's cache becomes several.
            if pieces.len() != moved.1 {
                moved = (Instant::now(), pieces.len());
            } else if moved.0.elapsed() > MARKING_WAIT {
                return Err(still_marking(id));
            }
            let last_step = pieces.is_empty();
            let done = match last_step {
                true => self.store.complete(&batch, teller).await.map_err(|error| refused_mark(id, error.into()))?,
                false => self.mark_pieces(&batch, pieces).await?,
            };
            match done {
                Marked::Done(_) if last_step => return Ok(true),
                Marked::Done(rows) => marked_here += rows,
                Marked::ByOthers => {
                    if moved.0.elapsed() > TOLD_AFTER && !std::mem::replace(&mut told, true) {
                        tracing::info!(
                            batch = %id,
                            pieces = moved.1,
                            "waits for rows of this batch that another run is marking; if that run was killed, the server ends its \
                             transaction by itself, within two minutes"
                        );
                    }
                    // Another run may have completed the batch.
                    marked_here = 0;
                    tokio::time::sleep(MARKING_POLL).await;
                }
            }
        }
    }

    /// Marks two pieces at a time. A piece that another process is marking is skipped, so that several processes share
    /// the work. When one piece fails, no further one begins, and the one beside it comes to its end: a dropped
    /// transaction locks its piece until the server aborts it.
    async fn mark_pieces(&self, batch: &Batch, pieces: Vec<String>) -> Result<Marked> {
        let failed = OnceLock::new();
        let mut marked = stream::iter(&pieces)
            .take_while(|_| ready(self.stop.requested().is_none() && failed.get().is_none()))
            .map(|piece| self.store.mark_piece(batch, piece))
            .buffer_unordered(PIECES_IN_FLIGHT);
        let mut done = Marked::ByOthers;
        while let Some(piece) = marked.next().await {
            match piece {
                Ok(Marked::Done(rows)) => {
                    self.progress.add(rows);
                    let before = if let Marked::Done(before) = done { before } else { 0 };
                    done = Marked::Done(before + rows);
                }
                Ok(Marked::ByOthers) => {}
                // Of two failures the first one is told.
                Err(error) => _ = failed.set(error),
            }
        }
        drop(marked);
        failed.into_inner().map_or(Ok(done), |error| Err(refused_mark(batch.id, error.into())))
    }

    /// Makes a row list again from the official file: the entries in it decide, not what the rows name by now.
    async fn rebuild(&self, batch: &Batch, why: Why) -> Result<()> {
        let Some(file) = &batch.file else { return Err(gone(batch.id)) };
        let unusable =
            |error: std::io::Error| Failure::configuration(format!("the spool folder cannot be used: {error}"));
        let mut content = SpoolWriter::create(&self.config.spool_dir).map_err(unusable)?;
        // The settings may name another destination since the commit.
        let Some(there) = self.destination.reach(file.destination.as_deref()) else {
            let at = file.destination.as_deref().unwrap_or_default();
            return Err(why
                .failure(batch.id, &format!("its official file is at {at}, which these settings do not reach"))
                .next(format!("run `batch-export retry --destination {at}` once")));
        };
        let read = there.read_back(&file.id, &mut content).await?;
        let content = content.into_spool().map_err(unusable)?;
        if read.is_none() || content.digests().sha256 != file.sha256 {
            return Err(why.failure(batch.id, "its official file is not there as it was committed"));
        }
        let layout = match SheetOptions::of(batch) {
            Some(stored) => stored.map_err(|reason| why.failure(batch.id, &reason))?.layout,
            None => self.config.format()?.layout.clone(),
        };
        let ids = entry_ids(content.open().map_err(unusable)?, &layout);
        let ids = ids.map_err(|reason| why.failure(batch.id, &reason))?;
        let Some(entries) = ids else {
            let failure = why.failure(batch.id, "its file has no column with the ids of entries");
            return Err(match why {
                Why::Old => failure,
                Why::Lost(_) => failure.next(
                    "run `batch-export init`, which records the entries of marked rows, then `batch-export retry`. If that ends here again, \
                     restore exportbatchrows from a backup and run `batch-export retry`. Without a backup, compare the file with the queue, and \
                     mark the rows of its entries by hand: status completed, and below metadata the batchId, and googleDriveFileId and \
                     googleDriveUrl as `file.id` and `file.link` of the batch document have them. Then run `batch-export init` and \
                     `batch-export retry` again, which completes the batch",
                ),
            });
        };
        if entries.len() as u64 != file.entries {
            return Err(why.failure(batch.id, "its file has another number of entries than the batch document"));
        }
        if self.store.rebuild_row_list(batch, entries, self.config.transaction_rows).await? {
            tracing::warn!(batch = %batch.id, "the row list {}: it was made again from the file", why.text());
        }
        Ok(())
    }
}

/// Rows that changed after the commit are no failure, but nobody looks for them without being told.
fn warn_of_changes(batch: &Batch) {
    let changed = batch.changed_after_commit.len();
    if changed > 0 {
        tracing::warn!(batch = %batch.id, changed, "rows were changed after its commit; their entries are in its file, see changedAfterCommit");
    }
}

fn still_marking(other: BatchId) -> Failure {
    let waited = MARKING_WAIT.as_secs();
    let message = format!("the rows of {other} are still being marked, and nothing was completed for {waited} s");
    Failure::new(Exit::CommitConflict, message)
}

/// The failure of a mark. Where the database refuses it for good, people learn too that the file is official.
fn refused_mark(batch: BatchId, failure: Failure) -> Failure {
    if failure.exit != Exit::Configuration {
        return failure;
    }
    let message = format!("{failure}; the file of {batch} is committed, and some of its rows are still to be marked");
    let step = failure.next_step();
    Failure::configuration(message).next(match step.contains("`batch-export retry`") {
        true => step.to_owned(),
        false => format!("{step}; then run `batch-export retry`"),
    })
}

fn marked_already(batch: BatchId) -> Failure {
    Failure::configuration(format!(
        "the ledger waits for the marking of {batch}, which is completed: somebody edited the ledger or that batch document"
    ))
    .next("run `batch-export init --adopt`, which frees the ledger; then `batch-export retry`")
}

fn gone(batch: BatchId) -> Failure {
    Failure::configuration(format!(
        "the ledger waits for the marking of {batch}, whose batch document is lost or not committed"
    ))
    .next("restore it from a backup, or rebuild it from the export log with `batch-export init --adopt`")
}

/// Why a row list is made again.
#[derive(Clone, Copy)]
enum Why {
    /// It lacks so many rows, or all of it is lost.
    Lost(u64),
    /// It names rows without their entries, as version 0.1 stored it.
    Old,
}

impl Why {
    fn text(self) -> String {
        match self {
            Why::Lost(missing) => format!("is lost or lacks pieces, with {}", counted(missing, "row", "rows")),
            Why::Old => "is one of version 0.1".to_owned(),
        }
    }

    fn failure(self, batch: BatchId, reason: &str) -> Failure {
        let next = match self {
            Why::Lost(_) => "restore exportbatchrows, or the file, from a backup; then run `batch-export retry`",
            Why::Old => "let version 0.1 finish it: run `batch-export retry` of that version; then go on with this one",
        };
        let text = self.text();
        let message = format!("the row list of {batch} in exportbatchrows {text}, and cannot be made again: {reason}");
        Failure::configuration(message).next(next)
    }
}
