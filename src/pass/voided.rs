//! Files that will never be official: given up in the database first, brought to the trash afterwards, and listed until they are there.
//!
//! On Drive a voided id is voided for ever, so anybody may trash it at any time. In a directory ids share a name, and only the checksum
//! tells whose file lies there; so there it is done under the directory's lock, and never to the checksum that is official now.

use std::time::Duration;

use super::{Pass, lease_lost};
use crate::batch::{Batch, BatchId, FileFacts, State};
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::outcome::BatchResult;
use crate::store::{Claim, Store};

/// Wait for a directory before voided files are left to a later sweep.
const SWEEP_WAIT: Duration = Duration::from_secs(30);

impl Pass<'_> {
    /// Gives up a file id: written down first, with the id that takes its place, then trashed as far as that works now.
    pub(super) async fn void(
        &self,
        claim: &Claim,
        old: &str,
        sha256: Option<&str>,
        reason: &str,
        replacement: Option<&FileFacts>,
    ) -> Result<(), Failure> {
        tracing::warn!(file = old, "giving up a file: {reason}");
        if !self.store.void_file(claim, old, sha256, reason, replacement).await? {
            return Err(lease_lost());
        }
        trash(self.store, self.destination, claim.batch, old, sha256).await;
        Ok(())
    }

    /// Gives up whatever file an earlier attempt left, because there will be none.
    pub(super) async fn give_up_file(&self, claim: &Claim, reason: &str) -> Result<(), Failure> {
        let batch = self.store.batch(claim.batch).await?.ok_or_else(lease_lost)?;
        let Some(file) = batch.file else { return Ok(()) };
        let _exclusive = self.destination.exclusive(self.config.upload_timeout).await?;
        self.void(claim, &file.id, Some(&file.sha256), reason, None).await
    }
}

impl Pass<'_> {
    /// Trashes what the pass with this result left voided, unless the pass ended because it has to stop or cannot ask the database; a
    /// signal ends it. The batch may belong to another run by now, which sweeps it itself.
    pub async fn sweep_after(&self, result: &BatchResult) {
        let over = [Exit::LeaseLost, Exit::CommitUnknown, Exit::DatabaseUnavailable];
        if over.contains(&result.exit_code) {
            return;
        }
        let work = async {
            if let Ok(Some(batch)) = self.store.batch(result.batch).await {
                sweep(self.store, self.destination, &batch).await;
            }
        };
        tokio::select! {
            biased;
            _ = self.stop.wait() => {}
            () = work => {}
        }
    }
}

/// Trashes the voided files of a batch that are not in the trash yet. Trouble is logged; they stay listed.
pub async fn sweep(store: &Store, destination: &Destination, batch: &Batch) {
    if batch.voided.iter().all(|voided| voided.trashed) {
        return;
    }
    match destination {
        Destination::Drive(_) => {
            for voided in batch.voided.iter().filter(|voided| !voided.trashed) {
                trash(store, destination, batch.id, &voided.id, voided.sha256.as_deref()).await;
            }
        }
        Destination::Directory(_) => {
            if let Err(error) = sweep_directory(store, destination, batch.id).await {
                tracing::warn!(batch = %batch.id, next = error.next, "voided files are still there: {error}");
            }
        }
    }
}

/// Under the directory's lock, and judged by the document as it is then: an unfinished batch is left to its next pass.
async fn sweep_directory(store: &Store, destination: &Destination, batch: BatchId) -> Result<(), Failure> {
    let _exclusive = destination.exclusive(SWEEP_WAIT).await?;
    let Some(batch) = store.batch(batch).await? else { return Ok(()) };
    let official = match batch.state {
        State::Completed | State::Marking => batch.file.as_ref().map(|file| file.sha256.as_str()),
        State::Empty | State::Exhausted => None,
        State::Running | State::Failed => return Ok(()),
    };
    for voided in batch.voided.iter().filter(|voided| !voided.trashed) {
        // The same content became official later: then the file under that name is the official one.
        let theirs = voided.sha256.as_deref().filter(|sha256| Some(*sha256) != official);
        trash(store, destination, batch.id, &voided.id, theirs).await;
    }
    Ok(())
}

async fn trash(store: &Store, destination: &Destination, batch: BatchId, file: &str, sha256: Option<&str>) {
    let done = match destination.discard(file, sha256).await {
        Ok(()) => store.mark_trashed(batch, file).await.map_err(Failure::from),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = done {
        tracing::warn!(%batch, file, next = error.next, "a voided file is not in the trash yet: {error}");
    }
}
