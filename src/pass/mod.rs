//! The pass: lock -> generate -> upload -> commit.
//!
//! [`Pass::stages`] is the story, and no stage decides anything about another one. The rules that they share:
//!
//! - Until the commit no row is touched, so a failure, a signal or a crash needs no clean-up in the queue.
//! - A lost lease or a signal drops the stage where it waits. A dropped stage writes nothing more, neither in the
//!   database nor at the destination. Only the commit is not dropped at once: it goes on to its own limit, or for some seconds after a signal.
//! - A file at the destination names its owner. The upload adopts or voids only files of this installation
//!   ([`ownership`]), the commit makes the file official, and the seal after it keeps the file for good ([`seal`]).
//! - A failure after the lock is recorded in the batch document, and `retry` works from that record ([`record`]). Three kinds of
//!   failure are not recorded: a pass that lost its lease writes nothing more; a commit without an answer may have succeeded; and after the
//!   commit the state of the batch shows what is left.

mod asked;
mod commit;
mod corrected;
mod dry_run;
mod due_compared;
mod generate;
mod lease;
mod lock;
mod ownership;
mod record;
mod refused;
mod roll_forward;
mod seal;
mod upload;
mod voided;

use std::time::Duration;

use chrono::NaiveDate;
use tracing::Instrument as _;

use crate::batch::BatchId;
use crate::command::CommandName;
use crate::config::Config;
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::{Failure, Result, Stage};
use crate::outcome::BatchResult;
use crate::progress::Progress;
use crate::reader::Reader;
use crate::stop::Stop;
use crate::store::Store;
use crate::stuck::{self, Guard};

pub use due_compared::{DueCompared, compare_due};
pub use lock::{exhausted, way_on};
pub use seal::unsealed;
pub use voided::clear_up;

use commit::CommitOutcome;
use lease::Lease;
use lock::Locked;
use record::Report;

/// How often a file is generated before the pass gives up, because its rows or entries changed before each commit.
const GENERATIONS: u32 = 5;

/// What to do in a pass.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub command: CommandName,
    pub date: NaiveDate,
    /// Do not wait for today's cut-off: take what is queued for it so far.
    pub early: bool,
    /// Take a failed batch before its back-off has passed.
    pub ignore_back_off: bool,
}

/// Everything that a pass works with.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    pub config: &'a Config,
    pub store: &'a Store,
    pub destination: &'a Destination,
    /// Tells whether a signal asked the pass to stop.
    pub stop: &'a Stop,
    pub progress: &'a Progress,
    /// Called once a batch is acquired, when there is certainly work to do. It must not wait.
    pub on_claim: &'a (dyn Fn() + Sync),
}

impl Pass<'_> {
    /// The stages in their order, until the batch is done or a stage fails.
    ///
    /// A conflict in the commit means that the file is stale: the file is then generated again from a new snapshot.
    async fn stages(&self, request: Request, report: &mut Report) -> Result<()> {
        let (claim, mut batch, mut records) = match self.lock(request, report).await? {
            Locked::Ours(claim, batch, records) => (claim, batch, Some(records)),
            Locked::Marking => return self.go_on_marking(request, report).await,
            Locked::Done => return Ok(()),
        };
        let mut lease = Lease::keep(self.store, claim, self.config.lease);
        // What was read with the lock serves the first generation; a later one reads it anew.
        for _ in 0..GENERATIONS {
            let generated = self.generate(&lease, &batch, records.take(), report).await?;
            if generated.is_empty() {
                return self.record_empty(&lease, &generated.ledger, report).await;
            }
            let file = self.upload(&lease, &mut batch, &generated, report).await?;
            match self.commit(&mut lease, &batch, &generated, &file, report).await? {
                CommitOutcome::Completed => return Ok(()),
                CommitOutcome::Conflict(reason) => tracing::warn!("{reason}; generating again"),
            }
        }
        Err(Failure::new(
            Exit::CommitConflict,
            format!("rows or entries changed before the commit {GENERATIONS} times"),
        ))
    }

    /// Marks the rows that the commit of an earlier run left.
    async fn go_on_marking(&self, request: Request, report: &mut Report) -> Result<()> {
        let began = report.enter(Stage::Commit);
        let outcome = self.roll_forward(BatchId::new(request.date), report).await?;
        report.leave(began);
        report.result.succeed(outcome);
        Ok(())
    }

    /// One pass over one batch. It never returns an error: a failure is in the result and in the batch document.
    pub async fn run(&self, request: Request) -> BatchResult {
        let batch = BatchId::new(request.date);
        let span = tracing::info_span!("pass", %batch, attempt = 0, stage = Stage::Lock.name());
        self.progress.begin(span.clone());
        let pass = async {
            let mut report = Report::new(request, self.reader());
            if let Err(failure) = self.stages(request, &mut report).await {
                self.record(&failure, &mut report).await;
            }
            report.end()
        };
        pass.instrument(span).await
    }

    /// The reader of the result: in the zone of the batch, by the database's clock when it is known.
    fn reader(&self) -> Reader {
        Reader::new(self.config.calendar.zone, self.store.now_or(&self.config.clock))
    }

    /// Stands beside a stage. At the stage's limit, or at a signal, it ends the renewals of the lease. When the kernel still holds the stage some
    /// seconds later, it records the failure and ends the process.
    fn guard(&self, lease: &Lease, stage: Stage, limit: Duration, at_limit: Failure) -> Guard {
        let (renewals, stop) = (lease.end_of_renewals(), self.stop.clone());
        let (store, claim) = (self.store.clone(), lease.claim);
        stuck::guard(async move {
            let failure = tokio::select! {
                () = tokio::time::sleep(limit) => at_limit,
                signal = stop.wait() => signal.failure(),
            };
            renewals.abort();
            tokio::time::sleep(stuck::GRACE).await;
            let failure = stuck::in_the_kernel(failure);
            record::release(&store, &claim, stage, &failure).await;
            failure
        })
    }

    /// Runs a stage until it ends. A signal or a lost lease drops it where it waits.
    async fn under<T>(&self, lease: &Lease, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            reason = lease.lost() => Err(Failure::new(Exit::LeaseLost, reason)),
            result = self.stop.until_signal(work) => result,
        }
    }
}
