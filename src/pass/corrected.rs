//! A batch that was refused for its entries is due again by itself, once people have corrected them.
//!
//! Correcting an entry, cancelling it or taking it from the queue is the person's act; nobody should have to unlock the batch as well. Whether
//! it happened is found out as a run finds it: by a generation that is written nowhere.

use std::io;

use super::Pass;
use super::generate::{Generation, Window, passed_limit, sheet_options};
use crate::batch::Batch;
use crate::config::InvalidPolicy;
use crate::exit::Exit;
use crate::failure::{Failure, Invalid};
use crate::spool::Digesting;

impl Pass<'_> {
    /// Whether none of the entries that the last attempt refused is due and invalid any more. `false` for a batch that ended otherwise.
    pub(super) async fn is_corrected(&self, batch: &Batch) -> Result<bool, Failure> {
        if batch.refused.is_empty() {
            return Ok(false);
        }
        let calendar = &self.config.calendar;
        let window = Window { cutoff: batch.cutoff, previous: calendar.previous_cutoff(batch.id.date()) };
        let options = sheet_options(self.config, batch.id.date());
        let generation = Generation { window, options, policy: InvalidPolicy::Fail, progress: self.progress };
        let limit = self.config.generate_timeout;
        let look = async {
            let ledger = self.store.ledger_now().await?;
            let work = generation.generate(self.store, ledger, || Ok(Digesting::new(io::sink())));
            match tokio::time::timeout(limit, work).await {
                Ok(generated) => generated.map(drop),
                Err(_) => Err(passed_limit(limit)),
            }
        };
        match self.stop.until_signal(look).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.exit == Exit::InvalidEntries => {
                Ok(!failure.invalid.iter().map(Invalid::id).any(|id| batch.refused.iter().any(|refused| refused == id)))
            }
            Err(failure) => Err(failure),
        }
    }
}
