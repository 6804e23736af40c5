//! A dry run: it generates, counts and totals, and writes nothing, not even a spool file.

use std::time::Instant;

use tracing::Instrument as _;

use super::generate::Generation;
use super::lock::A_DAY;
use super::{Pass, Report, Request};
use crate::batch::BatchId;
use crate::exit::Exit;
use crate::failure::{Result, Stage};
use crate::money::Baht;
use crate::outcome::{BatchResult, Outcome};

impl Pass<'_> {
    /// Reports what a pass over this date would export now.
    pub async fn dry_run(&self, request: Request) -> BatchResult {
        let batch = BatchId::new(request.date);
        let span = tracing::info_span!("pass", %batch, attempt = 0, stage = Stage::Generate.name());
        self.progress.begin(span.clone());
        let mut report = Report::new(request, self.reader());
        if let Err(failure) = self.look_only(request, &mut report).instrument(span).await {
            report.result.fail(&failure, Some(report.stage));
        }
        report.end()
    }

    async fn look_only(&self, request: Request, report: &mut Report) -> Result<()> {
        let calendar = &self.config.calendar;
        self.check_clock(self.config.clock.now(), A_DAY)?;
        let cutoff = calendar.cutoff(request.date);
        let began: Instant = report.enter(Stage::Generate);
        let generation = Generation::new(self.config, BatchId::new(request.date), cutoff, self.progress)?;
        let ledger = self.stop.until_signal(self.store.check_records()).await?;
        let generated = self.stop.until_signal(self.generate_nowhere(&generation, ledger)).await?;
        report.leave(began);
        let held = generated.held_for_people();
        let (_, digests) = generated.file.finish();
        let result = &mut report.result;
        result.entries = generated.tally.totals.entries;
        result.rows = generated.tally.totals.rows;
        result.total_debit = Baht::new(generated.tally.totals.total_debit).to_string();
        result.total_credit = Baht::new(generated.tally.totals.total_credit).to_string();
        result.carried_over = generated.carried_over;
        result.describe_cells(&generated.tally);
        result.held = held;
        result.bytes = digests.bytes;
        result.sha256 = Some(digests.sha256);
        result.succeed(Outcome::DryRun);
        debug_assert_eq!(result.exit_code, Exit::Ok);
        Ok(())
    }
}
