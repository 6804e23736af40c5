//! Rolling a large batch forward: its file is official, some of its rows are not marked yet.
//!
//! As long as the ledger names such a batch, its rows still look queued, so no other batch may be generated: it would export them
//! again. Whoever meets that finishes the marking first, or waits for the run that is at it.

use std::time::{Duration, Instant};

use super::lease::Lease;
use super::lock::held;
use super::{Pass, Report, lease_lost};
use crate::batch::BatchId;
use crate::exit::Exit;
use crate::failure::{Failure, Stage};
use crate::host::host_name;
use crate::outcome::Outcome;
use crate::store::{Acquired, Acquisition, Claim, Marked, Refusal};

/// How long to wait for another run to finish its marking.
const MARKING_WAIT: Duration = Duration::from_secs(120);
/// Between two looks.
const MARKING_POLL: Duration = Duration::from_millis(250);

impl Pass<'_> {
    /// Marks what remains of our own batch; it is complete afterwards, and the result says so.
    pub(super) async fn roll_forward(&self, lease: &Lease, claim: &Claim, report: &mut Report) -> Result<(), Failure> {
        let began = report.enter(Stage::Commit);
        let marked = self.under(lease, self.mark_rest(claim)).await;
        report.leave(began);
        marked?;
        let batch = self.store.batch(claim.batch).await?.ok_or_else(lease_lost)?;
        report.result.describe_batch(&batch);
        report.result.succeed(Outcome::Completed);
        Ok(())
    }

    async fn mark_rest(&self, claim: &Claim) -> Result<(), Failure> {
        let batch = self.store.batch(claim.batch).await?.ok_or_else(lease_lost)?;
        let total = batch.file.as_ref().map_or(0, |file| file.entries);
        self.progress.enter(Stage::Commit, total);
        self.progress.set(batch.marked as u64);
        loop {
            match self.store.mark_step(claim, self.config.transaction_rows).await? {
                Marked::More(marked) => self.progress.set(marked),
                Marked::Completed => return Ok(()),
                Marked::LeaseLost => return Err(lease_lost()),
            }
        }
    }

    /// Returns when no other batch is being marked. Runs under our own lease, but not as one piece of work that is dropped: what it
    /// acquires on the way it also has to release.
    pub(super) async fn wait_for_marking(&self, own_lease: &Lease, own: BatchId) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let marking = self.under(own_lease, async { Ok(self.store.marking().await?) }).await?;
            let Some(other) = marking.filter(|other| *other != own) else { return Ok(()) };
            match self.under(own_lease, self.acquire_for_marking(other)).await? {
                Acquired::Ours(claim, batch) if batch.state.is_committed() => {
                    self.mark_other(own_lease, &claim).await?
                }
                Acquired::Refused(refusal) if began.elapsed() > MARKING_WAIT => {
                    return Err(still_marking(other, refusal));
                }
                Acquired::Ours(..) | Acquired::Refused(_) => {
                    let pause = async {
                        tokio::time::sleep(MARKING_POLL).await;
                        Ok(())
                    };
                    self.under(own_lease, pause).await?;
                }
            }
        }
    }

    /// Finishes the marking of another batch, or releases it for whoever comes next.
    async fn mark_other(&self, own_lease: &Lease, claim: &Claim) -> Result<(), Failure> {
        tracing::info!(other = %claim.batch, "finishing the marking of another batch first");
        let lease = Lease::keep(self.store, claim, self.config.lease);
        let marked = self.under(own_lease, self.under(&lease, self.mark_rest(claim))).await;
        match &marked {
            Ok(()) => {
                let changed = self.store.batch(claim.batch).await?.map_or(0, |batch| batch.changed_after_commit.len());
                if changed > 0 {
                    // The result of this pass is of its own batch, and tells nothing of them.
                    tracing::warn!(
                        other = %claim.batch,
                        changed,
                        "rows were changed after its commit and left as they are"
                    );
                }
            }
            Err(failure) => {
                self.release(claim, Stage::Commit, failure).await;
            }
        }
        marked
    }

    async fn acquire_for_marking(&self, batch: BatchId) -> Result<Acquired, Failure> {
        let calendar = &self.config.calendar;
        let acquisition = Acquisition {
            batch,
            holder_id: uuid::Uuid::new_v4().to_string(),
            host: host_name(),
            command: "roll_forward",
            timezone: calendar.zone.name().to_owned(),
            cutoff: calendar.cutoff(batch.date()),
            early: false,
            ignore_back_off: false,
            empty_again: false,
            create: false,
        };
        Ok(self.store.acquire(&acquisition).await?)
    }
}

fn still_marking(other: BatchId, refusal: Refusal) -> Failure {
    let why = match refusal {
        Refusal::Held(batch) => held(&batch).message,
        Refusal::Completed(_) | Refusal::Empty(_) | Refusal::BackOff(_) | Refusal::Exhausted(_) | Refusal::Absent => {
            format!("the ledger waits for {other}, which is not being marked")
        }
    };
    Failure::new(Exit::CommitConflict, format!("rows of another batch are still to be marked: {why}"))
}
