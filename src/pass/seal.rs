//! The seal of a committed file: its batch number on it, and nobody changes it any more as far as the destination can see to that.
//!
//! It comes after the commit, because before it nobody knows the number; and at once, because until then a copy of the database could take
//! the file for a leftover. It never changes the outcome of a pass: the batch is committed, and what failed here is done by `retry`.

use std::time::Duration;

use super::{Pass, Report};
use crate::batch::{Batch, BatchId, FileFacts};
use crate::destination::{Destination, Owner};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::store::{Ledger, Store};

/// How long one seal may take before it is left to `retry`.
const SEAL_LIMIT: Duration = Duration::from_secs(30);

/// How long it may still take after a signal: one or two requests, and nobody has to come for it again.
const STOP_GRACE: Duration = Duration::from_secs(3);

impl Pass<'_> {
    /// Seals the file that was committed a moment ago.
    pub(super) async fn seal(&self, ledger: &Ledger, file: &FileFacts, report: &Report) {
        let (batch, number, installation) = (report.result.batch, ledger.number + 1, ledger.installation.as_deref());
        // Adopted with the seal of this very number.
        if file.sealed {
            return;
        }
        let work = put_seal(self.store, self.destination, batch, installation, number, file, false);
        if let Err(failure) = self.stop.with_grace(STOP_GRACE, work).await {
            tracing::warn!(%batch, next = failure.next, "the committed file is not sealed yet, `retry` does it: {failure}");
        }
    }
}

/// Seals the official file of a batch if that is missing. A failure is logged; it stays missing.
pub async fn seal_missing(store: &Store, destination: &Destination, batch: &Batch) {
    // Files of earlier versions have no destination, and stay as they are.
    let official = batch.file.as_ref().filter(|file| batch.state.is_committed() && file.destination.is_some());
    let (Some(file), Some(number)) = (official.filter(|file| !file.sealed), batch.number) else { return };
    let work = async {
        let installation = store.ledger_now().await?.installation;
        put_seal(store, destination, batch.id, installation.as_deref(), number, file, true).await
    };
    if let Err(failure) = work.await {
        tracing::warn!(batch = %batch.id, next = failure.next, "the committed file is not sealed yet: {failure}");
    }
}

async fn put_seal(
    store: &Store,
    destination: &Destination,
    batch: BatchId,
    installation: Option<&str>,
    number: i64,
    file: &FileFacts,
    look: bool,
) -> Result<(), Failure> {
    let Some(place) = destination.reach(file.destination.as_deref()) else {
        tracing::info!(%batch, at = file.destination, "the committed file is where these settings do not reach, and is not sealed");
        return Ok(());
    };
    let owner = Owner {
        installation: installation.map(str::to_owned),
        batch_id: Some(batch.to_string()),
        number: Some(number),
        sealed: true,
        restricted: false,
    };
    let sealed = tokio::time::timeout(SEAL_LIMIT, place.seal(file, &owner, look)).await;
    match sealed.map_err(|_| Failure::new(Exit::UploadFailed, format!("not done within {SEAL_LIMIT:?}")))?? {
        Some(restricted) => Ok(store.mark_sealed(batch, &file.id, restricted).await?),
        None => Err(Failure::new(
            Exit::UploadFailed,
            format!("{} is not at the destination as it was committed", file.name),
        )
        .next("`batch-export verify` tells what became of it")),
    }
}
