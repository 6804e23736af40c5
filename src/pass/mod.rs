//! The pass: lock -> generate -> upload -> commit.
//!
//! [`Pass::stages`] is the story; the stages decide nothing about each other. What holds them together:
//!
//! - Until the commit no row is touched, so a failure, a signal or a crash needs no clean-up in the queue.
//! - A lost lease or a signal drops the stage where it waits. Dropped work writes nothing more, at the destination neither. Only the
//!   commit is not dropped: it ends, one way or the other, within a bound.
//! - Whatever failed after the lock is recorded in the batch document, which is what `retry` goes by ([`record`]).

mod commit;
mod corrected;
mod dry_run;
mod generate;
mod lease;
mod lock;
mod ownership;
mod record;
mod roll_forward;
mod seal;
mod upload;
mod voided;

use chrono::NaiveDate;
use tracing::Instrument as _;

use crate::batch::BatchId;
use crate::config::Config;
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::{Failure, Stage};
use crate::outcome::BatchResult;
use crate::progress::Progress;
use crate::reader::Reader;
use crate::stop::Stop;
use crate::store::Store;

pub use lock::way_on;
pub use voided::clear_up;

use commit::CommitOutcome;
use lease::Lease;
use lock::Locked;
use record::Report;

/// Times that a file is generated anew because the rows changed under it.
const REGENERATIONS: u32 = 5;

/// What is asked of a pass.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// `run`, `retry`, `backfill`.
    pub command: &'static str,
    /// The business date.
    pub date: NaiveDate,
    /// Do not wait for today's cut-off: take what is queued for it so far.
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

impl Pass<'_> {
    /// The stages in their order, until the batch is done or one of them fails.
    ///
    /// A conflict in the commit means that the file is stale: then it is generated again, at a new instant of the database.
    async fn stages(&self, request: Request, report: &mut Report) -> Result<(), Failure> {
        let (claim, batch, mut records) = match self.lock(request, report).await? {
            Locked::Ours(claim, batch, records) => (claim, batch, Some(records)),
            Locked::Marking => return self.go_on_marking(request, report).await,
            Locked::Done => return Ok(()),
        };
        let mut lease = Lease::keep(self.store, &claim, self.config.lease);
        for _ in 0..REGENERATIONS {
            let generated = self.generate(&lease, &claim, &batch, records.take(), report).await?;
            if generated.is_empty() {
                return self.record_empty(&lease, &claim, &generated.ledger, report).await;
            }
            let file = self.upload(&lease, &claim, &generated, report).await?;
            match self.commit(&mut lease, &claim, &batch, &generated, &file, report).await? {
                CommitOutcome::Completed => return Ok(()),
                CommitOutcome::Conflict(reason) => tracing::warn!("{reason}; generating again"),
            }
        }
        Err(Failure::new(Exit::CommitConflict, format!("the rows changed under the batch {REGENERATIONS} times")))
    }

    /// The batch is official; what is left is the marking.
    async fn go_on_marking(&self, request: Request, report: &mut Report) -> Result<(), Failure> {
        let began = report.enter(Stage::Commit);
        let outcome = self.roll_forward(BatchId::new(request.date), report).await?;
        report.leave(began);
        report.result.succeed(outcome);
        Ok(())
    }

    /// One pass over one batch. Never fails: a failure is in the result, and recorded.
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

    /// Who reads the result: in the zone of the batch, by the database's clock where that is known.
    fn reader(&self) -> Reader {
        Reader::new(self.config.calendar.zone, self.store.now().unwrap_or_else(|| self.config.clock.now()))
    }

    /// Runs a stage until it ends, a signal comes, or the lease is lost; then it is dropped where it waits.
    async fn under<T>(&self, lease: &Lease, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            reason = lease.lost() => Err(Failure::new(Exit::LeaseLost, reason)),
            result = self.stop.until_signal(work) => result,
        }
    }
}

/// The failure of a holder whose fence no longer matches.
fn lease_lost() -> Failure {
    Failure::new(Exit::LeaseLost, "another run took over this batch")
}
