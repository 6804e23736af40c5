//! Rolling a large batch forward: its file is official, some of its rows are not marked yet.
//!
//! As long as the ledger names such a batch, its rows still look queued, so no other batch may be generated: it would export them
//! again. Whoever meets that goes on with the pieces that are left, beside whoever else is at it.

use std::time::{Duration, Instant};

use futures_util::future::ready;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::lease::Lease;
use super::{Pass, Report};
use crate::batch::{Batch, BatchId, State};
use crate::csv::{SheetOptions, entry_ids};
use crate::exit::Exit;
use crate::failure::{Failure, Stage};
use crate::outcome::Outcome;
use crate::spool::SpoolWriter;
use crate::store::{Claim, Ledger, Marked, Records};

/// Pieces that are marked at a time: two connections keep a server busy, and more only collide.
const PIECES_IN_FLIGHT: usize = 2;
/// How long to look on while others mark and nothing moves.
const MARKING_WAIT: Duration = Duration::from_secs(120);
/// How long pieces that are under way may still take after a signal.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Between two looks.
const MARKING_POLL: Duration = Duration::from_millis(100);

impl Pass<'_> {
    /// Marks what remains of a committed batch until a signal comes; the result describes it afterwards.
    pub(super) async fn roll_forward(&self, batch: BatchId, report: &mut Report) -> Result<Outcome, Failure> {
        let ours = self.finish_marking(batch).await?;
        let batch = self.store.batch(batch).await?.ok_or_else(|| gone(batch))?;
        report.result.describe_batch(&batch);
        Ok(if ours { Outcome::Completed } else { Outcome::AlreadyCompleted })
    }

    /// The ledger, once no batch is being marked. `records`: of a moment ago, or read now.
    pub(super) async fn free_ledger(
        &self,
        own_lease: &Lease,
        own: &Claim,
        mut records: Option<Records>,
    ) -> Result<Ledger, Failure> {
        let began = Instant::now();
        loop {
            let work = async {
                let records = match records.take() {
                    Some(records) => records,
                    None => self.store.records(own.batch).await?,
                };
                self.store.ledger(own, records).await
            };
            let ledger = self.under(own_lease, work).await?;
            let Some(other) = ledger.marking else { return Ok(ledger) };
            if began.elapsed() > MARKING_WAIT {
                return Err(still_marking(other));
            }
            tracing::info!(%other, "finishing the marking of another batch first");
            if self.finish_marking(other).await? {
                self.warn_of_changes(other).await?;
            }
        }
    }

    /// The result of this pass is of its own batch, and says nothing of the other one.
    async fn warn_of_changes(&self, other: BatchId) -> Result<(), Failure> {
        let changed = self.store.batch(other).await?.map_or(0, |batch| batch.changed_after_commit.len());
        if changed > 0 {
            tracing::warn!(%other, changed, "rows were changed after its commit; their entries are in its file");
        }
        Ok(())
    }

    /// Marks the pieces that are left, and completes the batch. `false`: somebody else completed it.
    ///
    /// After a signal the pieces that are under way are brought to their ends, for a while: a transaction that is dropped keeps its piece
    /// from others until the server gives it up, which takes a minute.
    async fn finish_marking(&self, id: BatchId) -> Result<bool, Failure> {
        self.stop.with_grace(STOP_GRACE, self.mark_until_stopped(id)).await
    }

    async fn mark_until_stopped(&self, id: BatchId) -> Result<bool, Failure> {
        let batch = self.store.batch(id).await?.ok_or_else(|| gone(id))?;
        self.progress.enter(Stage::Commit, batch.file.as_ref().map_or(0, |file| file.entries));
        let mut moved = (Instant::now(), usize::MAX);
        loop {
            if let Some(signal) = self.stop.requested() {
                return Err(signal.failure());
            }
            let pieces = match self.store.pieces(id).await? {
                Some(pieces) => pieces,
                None if self.is_marking(id).await? => {
                    self.rebuild(&batch).await?;
                    continue;
                }
                None => return Ok(false),
            };
            if pieces.len() < moved.1 {
                moved = (Instant::now(), pieces.len());
            } else if moved.0.elapsed() > MARKING_WAIT {
                return Err(still_marking(id));
            }
            let last_step = pieces.is_empty();
            let done = match last_step {
                true => self.store.complete(&batch).await?,
                false => self.mark_pieces(&batch, pieces).await?,
            };
            match done {
                Marked::Done(_) if last_step => return Ok(true),
                Marked::Done(_) => {}
                Marked::ByOthers => tokio::time::sleep(MARKING_POLL).await,
            }
        }
    }

    /// Two at a time. A piece that another process is at is passed over, so that several soon walk side by side.
    async fn mark_pieces(&self, batch: &Batch, pieces: Vec<String>) -> Result<Marked, Failure> {
        let mut marked = stream::iter(&pieces)
            .take_while(|_| ready(self.stop.requested().is_none()))
            .map(|piece| self.store.mark_piece(batch, piece))
            .buffer_unordered(PIECES_IN_FLIGHT);
        let mut done = Marked::ByOthers;
        while let Some(piece) = marked.try_next().await? {
            if let Marked::Done(rows) = piece {
                self.progress.add(rows);
                done = piece;
            }
        }
        Ok(done)
    }

    async fn is_marking(&self, id: BatchId) -> Result<bool, Failure> {
        Ok(self.store.batch(id).await?.is_some_and(|batch| batch.state == State::Marking))
    }

    /// Makes a lost row list anew from the official file.
    async fn rebuild(&self, batch: &Batch) -> Result<(), Failure> {
        let Some(file) = &batch.file else { return Err(gone(batch.id)) };
        tracing::warn!(batch = %batch.id, "its row list is lost; it is made anew from the file");
        let unusable =
            |error: std::io::Error| Failure::configuration(format!("the spool folder cannot be used: {error}"));
        let mut content = SpoolWriter::create(&self.config.spool_dir).map_err(unusable)?;
        let read = self.destination.read_back(&file.id, &mut content).await?;
        let content = content.into_spool().map_err(unusable)?;
        if read.is_none() || content.digests().sha256 != file.sha256 {
            return Err(lost_list(batch.id, "its official file is not there as it was committed"));
        }
        let layout = match &batch.settings {
            Some(settings) => SheetOptions::stored(settings, batch.id.date(), 0).map(|options| options.layout),
            None => Ok(self.config.layout.clone()),
        };
        let layout = layout.map_err(|reason| lost_list(batch.id, &reason))?;
        let ids = entry_ids(content.open().map_err(unusable)?, &layout);
        let ids = ids.map_err(|reason| lost_list(batch.id, &reason))?;
        let Some(entries) = ids else { return Err(lost_list(batch.id, "its file shows no ids of entries")) };
        self.store.rebuild_row_list(batch, entries, self.config.transaction_rows).await?;
        Ok(())
    }
}

fn still_marking(other: BatchId) -> Failure {
    let waited = MARKING_WAIT.as_secs();
    let message = format!("rows of {other} are still to be marked, and nothing moved for {waited} s");
    Failure::new(Exit::CommitConflict, message)
}

fn gone(batch: BatchId) -> Failure {
    Failure::configuration(format!("the ledger waits for the marking of {batch}, which has no batch document"))
        .next("restore it from a backup, or rebuild it from the export log with `batch-export init --adopt`")
}

fn lost_list(batch: BatchId, reason: &str) -> Failure {
    Failure::configuration(format!(
        "the row list of {batch} in exportbatchrows is lost, and cannot be made anew: {reason}"
    ))
    .next("restore exportbatchrows, or the file, from a backup; then run `batch-export retry`")
}
