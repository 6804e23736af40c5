//! A batch that failed because of invalid entries becomes due again once they are corrected; no `unlock` is needed.
//!
//! A person corrects an entry, cancels it or takes it out of the queue. A generation that writes to nowhere finds out
//! whether that happened, by the same rules as a run.

use super::Pass;
use super::generate::Generation;
use crate::batch::Batch;
use crate::config::InvalidPolicy;
use crate::exit::Exit;
use crate::failure::{Failure, Invalid, Result};

impl Pass<'_> {
    /// Whether every entry that the last attempt refused is valid now or no longer due; of a batch that was refused as a
    /// whole, because it is not balanced, whether it would pass now. `false` when the last attempt ended for another
    /// reason.
    pub(super) async fn is_corrected(&self, batch: &Batch) -> Result<bool> {
        if !batch.waits_for_entries() {
            return Ok(false);
        }
        let is_refused = |invalid: &Invalid| batch.refused.iter().any(|refused| refused == invalid.id());
        let mut generation = Generation::new(self.config, batch.id, batch.cutoff, self.progress)?;
        generation.policy = InvalidPolicy::Fail;
        // Until the entries are corrected, each `retry` looks.
        generation.warns = false;
        let look = async {
            let generated = self.generate_nowhere(&generation, self.store.ledger_now().await?).await?;
            Ok::<_, Failure>(self.check_balance(&generated.tally.totals).is_ok())
        };
        match self.stop.until_signal(look).await {
            Ok(is_balanced) => Ok(is_balanced || !batch.refused.is_empty()),
            Err(failure) if failure.exit == Exit::InvalidEntries => {
                Ok(!batch.refused.is_empty() && !failure.invalid.iter().any(is_refused))
            }
            Err(failure) => Err(failure),
        }
    }
}
