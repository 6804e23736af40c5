//! Records how a pass ended: in the result that people see, and in the batch document that `retry` works from.
//!
//! Risk: a run that lost its lease writes into a batch that another run holds. So every write here carries the fence. A
//! lost lease is not recorded, because the document belongs to the other run; an unknown commit is not recorded,
//! because its outcome must be found out first.

use std::time::{Duration, Instant};

use super::generate::Generated;
use super::lease::Lease;
use super::lock::way_on;
use super::{Pass, Request};
use crate::batch::{Batch, State};
use crate::exit::Exit;
use crate::failure::{Failure, Result, Stage};
use crate::outcome::{BatchResult, Outcome};
use crate::reader::Reader;
use crate::spool::Spool;
use crate::store::{Claim, Ended, Ledger, Store};

/// How long the record of a failure or an interruption may take.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the look for a deleted batch document may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// The stage and claim of a pass, and its result so far.
pub(super) struct Report {
    pub(super) stage: Stage,
    pub(super) claim: Option<Claim>,
    pub(super) result: BatchResult,
    began: Instant,
}

impl Report {
    pub(super) fn new(request: Request, reader: Reader) -> Report {
        let result = BatchResult { reader: Some(reader), ..BatchResult::new(request.command, request.date) };
        Report { stage: Stage::Lock, claim: None, result, began: Instant::now() }
    }

    /// The result, once the pass is over.
    pub(super) fn end(mut self) -> BatchResult {
        self.result.durations_ms.total = millis_since(self.began);
        self.result
    }

    /// Enters a stage.
    pub(super) fn enter(&mut self, stage: Stage) -> Instant {
        self.stage = stage;
        tracing::Span::current().record("stage", stage.name());
        tracing::debug!(stage = stage.name(), "begins");
        Instant::now()
    }

    /// Leaves the stage that was entered at `began`.
    pub(super) fn leave(&mut self, began: Instant) {
        let ms = millis_since(began);
        tracing::debug!(stage = self.stage.name(), ms, "ends");
        self.result.durations_ms.add(self.stage, ms);
    }

    /// Takes the facts of the generated file into the result.
    pub(super) fn describe(&mut self, generated: &Generated<Spool>) {
        let digests = generated.file.digests();
        let entries = generated.tally.totals.entries;
        tracing::debug!(
            entries,
            held = generated.held.len(),
            bytes = digests.bytes,
            sha256 = digests.sha256,
            "generated"
        );
        self.result.carried_over = generated.carried_over;
        self.result.describe_cells(&generated.tally);
        self.result.held = generated.held_for_people();
    }
}

impl Pass<'_> {
    /// Records that nothing is due, and voids the file of an earlier attempt.
    pub(super) async fn record_empty(&self, lease: &Lease, ledger: &Ledger, report: &mut Report) -> Result<()> {
        let claim = &lease.claim;
        self.under(lease, self.void_leftover(claim, ledger, "nothing is due any more")).await?;
        self.store.give_up_row_lists(claim).await?;
        match self.store.release(claim, Ended::Empty).await? {
            Some(batch) => {
                report.result.describe_batch(&batch);
                report.result.succeed(Outcome::Empty);
                Ok(())
            }
            None => Err(Failure::lease_lost()),
        }
    }

    /// What took the batch away when no other run did: its document is gone.
    async fn deleted(&self, failure: &Failure, claim: Option<&Claim>) -> Option<Failure> {
        let claim = claim.filter(|_| failure.exit == Exit::LeaseLost)?;
        // The lease may be lost because the database does not answer.
        let found = tokio::time::timeout(LOOK_TIMEOUT, self.store.batch(claim.batch)).await;
        matches!(found, Ok(Ok(None))).then(|| {
            let message = format!("the document of {} was deleted during the run", claim.batch);
            Failure::new(Exit::LeaseLost, message).next(
                "find out who deletes batch documents; nothing was committed by this run. `batch-export retry` begins the batch again, and \
                 says what to do about a file that this run stored",
            )
        })
    }

    /// Puts a failure into the result and, after the lock, into the batch document.
    pub(super) async fn record(&self, failure: &Failure, report: &mut Report) {
        let deleted = self.deleted(failure, report.claim.as_ref()).await;
        let failure = deleted.as_ref().unwrap_or(failure);
        report.result.fail(failure, Some(report.stage));
        report.result.reader = Some(self.reader());
        let Some(claim) = &report.claim else { return };
        if let Some(batch) = release(self.store, claim, report.stage, failure).await {
            report.result.next_retry_at = batch.next_retry_at;
            if batch.state == State::Exhausted {
                report.result.exit_code = Exit::Exhausted;
                report.result.outcome = Outcome::Failed(Exit::Exhausted);
                if let Some(error) = &mut report.result.error {
                    error.next = format!("that was the last retry; {}", way_on(&batch));
                }
            }
        }
    }
}

/// Ends a claim with what went wrong; the document as it is afterwards, when that was recorded.
pub(super) async fn release(store: &Store, claim: &Claim, stage: Stage, failure: &Failure) -> Option<Batch> {
    if matches!(failure.exit, Exit::LeaseLost | Exit::CommitUnknown) {
        return None;
    }
    let ended = match matches!(failure.exit, Exit::InterruptedInt | Exit::InterruptedTerm) {
        true => Ended::Interrupted(stage, failure),
        false => Ended::Failed(stage, failure),
    };
    match tokio::time::timeout(RECORD_TIMEOUT, store.release(claim, ended)).await {
        Ok(Ok(Some(batch))) => return Some(batch),
        Ok(Ok(None)) => tracing::warn!("the failure was not recorded: another run holds {}", claim.batch),
        Ok(Err(error)) => {
            let why = Failure::from(error);
            tracing::error!(next = why.next_step(), "the failure could not be recorded: {why}");
        }
        Err(_) => {
            let next = "nothing: `batch-export retry` takes over when the lease ends";
            tracing::error!(next, "the failure could not be recorded in time");
        }
    }
    None
}

fn millis_since(began: Instant) -> u64 {
    began.elapsed().as_millis() as u64
}
