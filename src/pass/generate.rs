//! The second stage: everything that is due, at one instant of the database, as a spool file.
//!
//! The stage has a limit and can be dropped at any chunk; then the spool file goes with it.

use std::io;
use std::time::Duration;

use super::generation::{Generated, Generation, Window};
use super::lease::Lease;
use super::{Course, Pass};
use crate::batch::{Batch, date_of};
use crate::config::Config;
use crate::csv::SheetOptions;
use crate::exit::Exit;
use crate::failure::{Failure, Stage};
use crate::money::Baht;
use crate::spool::{Spool, SpoolWriter};

impl Pass<'_> {
    pub(super) async fn generate(
        &self,
        lease: &Lease,
        batch: &Batch,
        course: &mut Course,
    ) -> Result<Generated<Spool>, Failure> {
        let began = course.enter(Stage::Generate);
        self.wait_for_marking(lease, &batch.id).await?;
        let options = sheet_options(self.config, course.result.date);
        let date = date_of(&batch.id).unwrap_or(course.result.date);
        let window = Window { cutoff: batch.cutoff, previous: self.config.calendar.previous_cutoff(date) };
        let limit = self.config.generate_timeout;
        let spool = || SpoolWriter::create(&self.config.spool_dir).map_err(|error| self.spool_trouble(&error));
        let generation = Generation { window, options, policy: self.config.invalid, progress: self.progress };
        let work = async {
            match tokio::time::timeout(limit, generation.generate(self.store, true, spool)).await {
                Ok(generated) => generated,
                Err(_) => Err(passed_limit(limit)),
            }
        };
        let generated = self.under(lease, work).await;
        course.leave(began);
        let generated = self.finish(generated?)?;
        course.describe(&generated);
        Ok(generated)
    }

    fn finish(&self, generated: Generated<SpoolWriter>) -> Result<Generated<Spool>, Failure> {
        if self.config.require_balanced && generated.totals.difference() != 0 {
            let totals = &generated.totals;
            let message = format!(
                "the batch is not balanced: debits {} and credits {} differ by {}",
                Baht::new(totals.total_debit),
                Baht::new(totals.total_credit),
                Baht::new(totals.difference())
            );
            return Err(Failure::new(Exit::InvalidEntries, message).next("correct the entries"));
        }
        let Generated { file, ledger, rows, fingerprints, held, totals, guarded_cells, carried_over } = generated;
        let file = file.into_spool().map_err(|error| self.spool_trouble(&error))?;
        Ok(Generated { file, ledger, rows, fingerprints, held, totals, guarded_cells, carried_over })
    }

    fn spool_trouble(&self, error: &io::Error) -> Failure {
        spool_trouble(self.config, error)
    }
}

fn spool_trouble(config: &Config, error: &io::Error) -> Failure {
    Failure::configuration(format!("the spool file in {} cannot be written: {error}", config.spool_dir.display()))
        .next("free space there, or set BATCH_EXPORT_SPOOL_DIR to a private folder with room for the file")
}

/// What decides the bytes of the file.
pub(super) fn sheet_options(config: &Config, business_date: chrono::NaiveDate) -> SheetOptions {
    SheetOptions {
        format: config.format,
        encoding: config.encoding,
        zone: config.calendar.zone,
        business_date,
        contra_account: config.contra_account.clone(),
    }
}

pub(super) fn passed_limit(limit: Duration) -> Failure {
    let message = format!("generation passed its limit of {}", humantime::format_duration(limit));
    Failure::new(Exit::GenerateTimeout, message).next("raise --generate-timeout if this repeats")
}
