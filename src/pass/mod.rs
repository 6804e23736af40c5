//! The pass: lock -> generate -> upload -> commit.
//!
//! [`Pass::run`] is the story; the stages decide nothing about each other. What holds them together:
//!
//! - Until the commit no row is touched, so a failure, a signal or a crash needs no clean-up in the queue.
//! - A lost lease or a signal drops the stage where it waits. Dropped work writes nothing more, at the destination neither. Only the
//!   commit is not dropped: it ends, one way or the other, within a bound.
//! - Whatever went wrong after the lock is recorded in the batch document, which is what `retry` goes by.

mod commit;
mod dry_run;
mod generate;
mod generation;
mod lease;
mod lock;
mod roll_forward;
mod upload;
mod voided;

use std::time::{Duration, Instant};

use chrono::NaiveDate;
use tracing::Instrument as _;

use crate::batch::{Batch, State};
use crate::config::Config;
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::{Failure, Stage};
use crate::outcome::{BatchResult, rfc3339};
use crate::progress::Progress;
use crate::stop::{Signal, Stop};
use crate::store::{Claim, Ended, Store};

pub use lock::host_name;
pub use voided::sweep;

use commit::Outcome;
use generation::Generated;
use lease::Lease;
use lock::Locked;

/// Times that a file is generated anew because the rows changed under it.
const REGENERATIONS: u32 = 5;
/// How long the record of a failure or an interruption may take.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked of a pass.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// `run`, `retry`, `backfill`.
    pub command: &'static str,
    /// The business date.
    pub date: NaiveDate,
    /// Take now as the cut-off if that has not been reached.
    pub early: bool,
    /// Take a failed batch before its back-off has passed.
    pub ignore_back_off: bool,
}

/// Everything that a pass works with.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The database.
    pub store: &'a Store,
    /// Where the file goes.
    pub destination: &'a Destination,
    /// The wish to stop.
    pub stop: &'a Stop,
    /// How far it is.
    pub progress: &'a Progress,
}

/// Where a pass is, and what is known of it: what a failure is recorded with.
struct Course {
    stage: Stage,
    claim: Option<Claim>,
    result: BatchResult,
    began: Instant,
}

impl Pass<'_> {
    /// One pass over one batch. Never fails: what went wrong is in the result, and recorded.
    pub async fn run(&self, request: Request) -> BatchResult {
        let batch = crate::batch::batch_id(request.date);
        let span = tracing::info_span!("pass", batch, attempt = 0, stage = Stage::Lock.name());
        self.progress.begin(span.clone());
        self.follow(request).instrument(span).await
    }

    async fn follow(&self, request: Request) -> BatchResult {
        let mut course = Course::new(request);
        if let Err(failure) = self.stages(request, &mut course).await {
            self.record(&failure, &mut course).await;
        }
        course.result.durations_ms.total = millis_since(course.began);
        course.result
    }

    async fn stages(&self, request: Request, course: &mut Course) -> Result<(), Failure> {
        let (claim, batch) = match self.lock(request, course).await? {
            Locked::Ours(claim, batch) => (claim, batch),
            Locked::Done => return Ok(()),
        };
        let mut lease = Lease::keep(self.store, &claim, self.config.lease);
        if batch.state.is_committed() {
            return self.roll_forward(&lease, &claim, course).await;
        }
        for _ in 0..REGENERATIONS {
            let generated = self.generate(&lease, &batch, course).await?;
            if generated.is_empty() {
                return self.record_empty(&lease, &claim, course).await;
            }
            let file = self.upload(&lease, &claim, &generated, course).await?;
            match self.commit(&mut lease, &claim, &batch, &generated, file, course).await? {
                Outcome::Completed => return Ok(()),
                Outcome::Marking => return self.roll_forward(&lease, &claim, course).await,
                Outcome::Conflict(reason) => tracing::warn!("{reason}; generating again"),
            }
        }
        Err(Failure::new(Exit::CommitConflict, format!("the rows changed under the batch {REGENERATIONS} times")))
    }

    /// Runs a stage until it ends, a signal comes, or the lease is lost; then it is dropped where it waits.
    async fn under<T>(&self, lease: &Lease, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            reason = lease.lost() => Err(Failure::new(Exit::LeaseLost, reason)),
            result = self.until_signal(work) => result,
        }
    }

    /// Runs a stage until it ends or a signal comes.
    async fn until_signal<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            signal = self.stop.wait() => Err(stopped_by(signal)),
            result = work => result,
        }
    }

    async fn record_empty(&self, lease: &Lease, claim: &Claim, course: &mut Course) -> Result<(), Failure> {
        self.under(lease, self.give_up_file(claim, "nothing is due any more")).await?;
        self.store.give_up_row_lists(claim).await?;
        match self.store.release(claim, Ended::Empty).await? {
            Some(batch) => {
                course.result.describe_batch(&batch);
                course.result.succeed("empty");
                Ok(())
            }
            None => Err(lease_lost()),
        }
    }

    /// Puts a failure into the result and, after the lock, into the batch document.
    async fn record(&self, failure: &Failure, course: &mut Course) {
        course.result.fail(failure, Some(course.stage));
        let Some(claim) = &course.claim else { return };
        if let Some(batch) = self.release(claim, course.stage, failure).await {
            course.result.next_retry_at = batch.next_retry_at.map(rfc3339);
            if batch.state == State::Exhausted {
                course.result.exit_code = Exit::Exhausted;
                course.result.outcome = Exit::Exhausted.name();
                if let Some(error) = &mut course.result.error {
                    error.message = format!("{}; that was the last retry: {}", error.message, lock::by_hand(&batch.id));
                }
            }
        }
    }

    /// Ends a claim with what went wrong; the document as it is then, when that was recorded. A lost lease is not recorded: the
    /// document belongs to the other run. Nor is an unknown commit: nothing may be written before it is known.
    async fn release(&self, claim: &Claim, stage: Stage, failure: &Failure) -> Option<Batch> {
        let message = failure.full_message();
        let ended = match failure.exit {
            Exit::LeaseLost | Exit::CommitUnknown => return None,
            Exit::InterruptedInt | Exit::InterruptedTerm => Ended::Interrupted(stage, &message),
            exit => Ended::Failed(exit, stage, &message),
        };
        match tokio::time::timeout(RECORD_TIMEOUT, self.store.release(claim, ended)).await {
            Ok(Ok(Some(batch))) => return Some(batch),
            Ok(Ok(None)) => tracing::warn!("the failure was not recorded: another run holds {}", claim.batch),
            Ok(Err(error)) => tracing::error!("the failure could not be recorded: {error}; `retry` takes over"),
            Err(_) => tracing::error!("the failure could not be recorded in time; `retry` takes over"),
        }
        None
    }
}

/// The failure that a signal is.
pub fn stopped_by(signal: Signal) -> Failure {
    Failure::new(signal.exit(), format!("stopped by {}", signal.name()))
}

fn lease_lost() -> Failure {
    Failure::new(Exit::LeaseLost, "another run took over this batch")
}

fn millis_since(began: Instant) -> u64 {
    began.elapsed().as_millis() as u64
}

impl Course {
    fn new(request: Request) -> Course {
        let result = BatchResult::new(request.command, request.date);
        Course { stage: Stage::Lock, claim: None, result, began: Instant::now() }
    }

    /// Enters a stage.
    fn enter(&mut self, stage: Stage) -> Instant {
        self.stage = stage;
        tracing::Span::current().record("stage", stage.name());
        tracing::debug!(stage = stage.name(), "begins");
        Instant::now()
    }

    /// Leaves the stage that was entered at `began`.
    fn leave(&mut self, began: Instant) {
        let ms = millis_since(began);
        tracing::debug!(stage = self.stage.name(), ms, "ends");
        self.result.durations_ms.add(self.stage, ms);
    }

    /// What the file says, as far as it is known.
    fn describe(&mut self, generated: &Generated<crate::spool::Spool>) {
        let digests = generated.file.digests();
        let entries = generated.totals.entries;
        tracing::debug!(
            entries,
            held = generated.held.len(),
            bytes = digests.bytes,
            sha256 = digests.sha256,
            "generated"
        );
        self.result.carried_over = generated.carried_over;
        self.result.guarded_cells = generated.guarded_cells;
        self.result.held = generated.held_for_people();
    }
}
