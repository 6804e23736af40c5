//! Voided files: recorded in the database first, moved to the trash afterwards, and listed until they are in the trash.
//!
//! A file is discarded at its own destination, which may differ from the destination of the settings. On Drive a voided
//! id stays voided, so any run may discard it at any time. In a directory all ids of a batch share one file name, and
//! only the checksum tells them apart; so there a file is discarded under the directory's lock, and never when its
//! checksum is the official one. A sealed file is never discarded, whatever the database says.

use std::time::Duration;

use super::Pass;
use super::ownership::Numbering;
use super::seal::{refuse_unnamed, seal_missing};
use crate::batch::{Batch, BatchId, FileFacts, State, Voided};
use crate::destination::{Destination, Mark, Reached};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::outcome::BatchResult;
use crate::store::{Claim, Ledger, Store};

/// Wait for a directory before voided files are left to a later run.
const DISCARD_WAIT: Duration = Duration::from_secs(30);

impl Pass<'_> {
    /// Voids a file id: records it first, with the id that takes its place, then tries to discard the file.
    pub(super) async fn void(&self, claim: &Claim, old: &Voided, replacement: Option<&FileFacts>) -> Result<Batch> {
        tracing::warn!(file = old.id, "voiding a file: {}", old.reason);
        let Some(batch) = self.store.void_file(claim, old, replacement).await? else {
            return Err(match self.store.is_held(claim).await? {
                true => self.destination.forged(&old.id).into(),
                false => Failure::lease_lost(),
            });
        };
        if batch.voided.iter().any(|listed| listed.id == old.id) {
            discard_one(self.store, self.destination, claim.batch, old).await;
        }
        Ok(batch)
    }

    /// Voids the file of the batch document, at whatever destination it is, unless the file was committed.
    pub(super) async fn void_uncommitted(
        &self,
        claim: &Claim,
        old: &FileFacts,
        reason: &str,
        replacement: Option<&FileFacts>,
        numbering: &Numbering<'_>,
    ) -> Result<Batch> {
        if self.destination.owns(old) {
            self.refuse_committed(old, numbering).await?;
        } else if let Some(Reached::There(there)) = self.destination.reach(old.destination.as_deref()) {
            // The settings may name another destination because this one is out of order; then its file cannot be
            // checked.
            if let Ok(Some(owner)) = there.owner(&old.id).await {
                numbering.may_void(&old.name, &old.id, &owner)?;
            }
        }
        self.void(claim, &voided_record(old, Some(old.sha256.clone()), reason), replacement).await
    }

    /// Voids the file that an earlier attempt left, because this batch gets no file.
    pub(super) async fn void_leftover(&self, claim: &Claim, ledger: &Ledger, reason: &str) -> Result<()> {
        let batch = self.store.batch(claim.batch).await?.ok_or_else(Failure::lease_lost)?;
        let Some(file) = batch.file else { return Ok(()) };
        let _exclusive = self.destination.exclusive(self.config.upload_timeout).await?;
        let voided = self.void_uncommitted(claim, &file, reason, None, &Numbering::of(ledger)).await;
        self.unless_taken_over(claim, voided).await.map(drop)
    }

    /// Seals and discards after a pass with this result. It does nothing when the pass was stopped or cannot reach the
    /// database, and a signal ends it. Another run may hold the batch by now; it does the same.
    pub async fn clear_up_after(&self, result: &BatchResult) {
        let over = [Exit::LeaseLost, Exit::CommitUnknown, Exit::DatabaseUnavailable];
        if result.is_tidy || over.contains(&result.exit_code) {
            return;
        }
        let work = async {
            if let Ok(Some(batch)) = self.store.batch(result.batch).await {
                if !result.was_sealing {
                    seal_missing(self.store, self.destination, &batch).await;
                }
                discard_voided(self.store, self.destination, &batch).await;
            }
        };
        let _ = self.stop.or_signal(work).await;
    }
}

/// The record of a voided file.
pub(super) fn voided_record(file: &FileFacts, sha256: Option<String>, reason: &str) -> Voided {
    let (id, destination) = (file.id.clone(), file.destination.clone());
    Voided { id, destination, sha256, reason: reason.to_owned(), at: None, trashed: false }
}

/// Finishes the work of a batch at the destination: seals its official file and discards its voided files. Failures are
/// logged.
pub async fn clear_up(store: &Store, destination: &Destination, batch: &Batch) {
    seal_missing(store, destination, batch).await;
    discard_voided(store, destination, batch).await;
}

/// Discards the voided files of a batch that are still there. A failure is logged, and its file stays listed.
async fn discard_voided(store: &Store, destination: &Destination, batch: &Batch) {
    if batch.voided.iter().all(|voided| voided.trashed) {
        return;
    }
    if let Err(error) = discard_voided_of(store, destination, batch.id).await {
        tracing::warn!(batch = %batch.id, next = error.why.next, "voided files are not in the trash yet: {error}");
    }
}

/// Reads the document again once this run alone uses the destination, and decides by that.
async fn discard_voided_of(store: &Store, destination: &Destination, batch: BatchId) -> Result<()> {
    let _exclusive = destination.exclusive(DISCARD_WAIT).await?;
    let Some(batch) = store.batch(batch).await? else { return Ok(()) };
    let official = match batch.state {
        State::Completed | State::Marking => batch.file.as_ref().filter(|file| destination.owns(file)),
        State::Empty | State::Exhausted => None,
        // The next pass of this batch discards them.
        State::Running | State::Failed if destination.shares_names() => return Ok(()),
        State::Running | State::Failed => None,
    };
    for voided in batch.voided.iter().filter(|voided| !voided.trashed) {
        if let Some(of) = store.batch_of_file(&voided.id).await? {
            let (id, next) = (&voided.id, "remove that id from `voided`; the file stays where it is");
            tracing::warn!(batch = %batch.id, next, "`voided` lists {id}, the official file of {of}: somebody edited it");
            continue;
        }
        let mut voided = voided.clone();
        let is_here = destination.is_at(voided.destination.as_deref());
        let same = official.is_some_and(|file| voided.sha256.as_deref() == Some(&file.sha256));
        if destination.shares_names() && is_here && same {
            // The same content became official later, so the file under that name is the official one.
            voided.sha256 = None;
        }
        discard_one(store, destination, batch.id, &voided).await;
    }
    Ok(())
}

async fn discard_one(store: &Store, destination: &Destination, batch: BatchId, voided: &Voided) {
    let file = voided.id.as_str();
    let done = async {
        if !discard(store, destination, batch, voided).await? {
            let at = voided.destination.as_deref();
            tracing::info!(%batch, file, at, "a voided file is not trashed: it is at a destination that these settings do not reach");
            return Ok::<_, Failure>(());
        }
        if !store.mark_trashed(batch, file).await? {
            let next = "find out who changes batch documents. In `voided`, set `trashed` of that id to true, if it is there still";
            tracing::warn!(
                %batch,
                file,
                next,
                "that a voided file is in the trash could not be recorded: somebody edited, removed or restored the batch document"
            );
        }
        Ok(())
    };
    if let Err(error) = done.await {
        tracing::warn!(%batch, file, next = error.why.next, "a voided file is not in the trash yet: {error}");
    }
}

/// `false` when the file is at a destination that these settings do not reach.
async fn discard(store: &Store, here: &Destination, batch: BatchId, voided: &Voided) -> Result<bool> {
    let installation = store.ledger_now().await?.installation;
    let mark = Mark { batch: Some(batch), installation: installation.as_deref() };
    let (id, sha256) = (voided.id.as_str(), voided.sha256.as_deref());
    match here.reach(voided.destination.as_deref()) {
        None => return Ok(false),
        Some(Reached::Here(here)) => here.discard(id, sha256, &mark).await?,
        Some(Reached::There(there)) => {
            let _exclusive = there.exclusive(DISCARD_WAIT).await?;
            refuse_unnamed(&there, id).await?;
            there.discard(id, sha256, &mark).await?;
        }
    }
    Ok(true)
}
