//! Seals a committed file: writes its batch number on the file, and protects the file from changes where the destination can.
//!
//! The file is sealed after the commit, because the number is known only then; and at once, because a copy of the
//! database takes an unsealed file for a leftover. A failure here never changes the outcome of a pass: the batch is
//! committed, and `retry` seals the file.
//!
//! Risk: between the upload and the seal, a copy of the database removes the file. The batch is committed all the same, and
//! nothing is exported again. So the log has an error, `verify` fails, and `status` notes an official file that is not sealed.

use std::time::Duration;

use super::Pass;
use crate::batch::{Batch, BatchId, FileFacts};
use crate::destination::{Destination, DestinationError, Owner, Reached, Sealed};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::store::{Ledger, Store};

/// How long one seal may take before it is left to `retry`.
const SEAL_LIMIT: Duration = Duration::from_secs(30);

/// How long a seal may still take after a signal: it is one or two requests, and saves a retry.
const STOP_GRACE: Duration = Duration::from_secs(3);

impl Pass<'_> {
    /// Seals the file that was committed a moment ago. A failure is logged, and leaves it to `retry`.
    pub(super) async fn seal(&self, batch: BatchId, ledger: &Ledger, file: &FileFacts) {
        let (number, installation) = (ledger.number + 1, ledger.installation.as_deref());
        // The pass adopted a file that was sealed with this number.
        if file.sealed {
            return;
        }
        let work = put_seal(self.store, self.destination, batch, installation, number, file, false);
        if let Err(failure) = self.stop.with_grace(STOP_GRACE, work).await {
            log_unsealed(batch, &failure);
        }
    }
}

/// The official file of a batch, when it is not sealed yet. Files of earlier versions have no destination, and stay as they are.
pub fn unsealed(batch: &Batch) -> Option<&FileFacts> {
    batch.file.as_ref().filter(|file| batch.state.is_committed() && file.destination.is_some() && !file.sealed)
}

/// Seals the official file of a batch when it is not sealed yet. A failure is logged, and the file stays unsealed.
pub async fn seal_missing(store: &Store, destination: &Destination, batch: &Batch) {
    let (Some(file), Some(number)) = (unsealed(batch), batch.number) else { return };
    let work = async {
        let installation = store.ledger_now().await?.installation;
        put_seal(store, destination, batch.id, installation.as_deref(), number, file, true).await
    };
    if let Err(failure) = work.await {
        log_unsealed(batch.id, &failure);
    }
}

/// Waiting helps when the destination fails, not when the file is gone or refused.
fn log_unsealed(batch: BatchId, failure: &Failure) {
    match failure.exit == Exit::DriveRejected {
        true => tracing::error!(%batch, next = failure.why.next, "the committed file is not sealed yet: {failure}"),
        false => {
            let next = failure.why.next.as_deref().unwrap_or("nothing: `batch-export retry` seals it");
            tracing::warn!(%batch, next, "the committed file is not sealed yet: {failure}")
        }
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
) -> Result<()> {
    let Some(there) = destination.reach(file.destination.as_deref()) else {
        tracing::info!(%batch, at = file.destination, "the committed file is not sealed: it is at a destination that these settings do not reach");
        return Ok(());
    };
    if let Reached::There(other) = &there {
        refuse_unnamed(other, &file.id).await?;
    }
    let owner = Owner {
        installation: installation.map(str::to_owned),
        batch_id: Some(batch.to_string()),
        number: Some(number),
        sealed: true,
        restricted: false,
    };
    let sealed = tokio::time::timeout(SEAL_LIMIT, there.seal(file, &owner, look)).await;
    match sealed.map_err(|_| {
        Failure::new(
            Exit::UploadFailed,
            format!("the seal was not written within {}", humantime::format_duration(SEAL_LIMIT)),
        )
    })?? {
        Some(Sealed { restricted, notes }) => {
            for note in notes {
                tracing::info!(%batch, "{note}; it is sealed there");
            }
            Ok(store.mark_sealed(batch, &file.id, restricted).await?)
        }
        None => Err(gone(batch, file, &there).await?),
    }
}

/// What became of a committed file that is not found, and not sealed.
async fn gone(batch: BatchId, file: &FileFacts, there: &Destination) -> Result<Failure, DestinationError> {
    let FileFacts { name, sha256, .. } = file;
    let (what, back) = match there.is_trashed(file).await? {
        true => (format!("{name} is in the trash"), "restore it".to_owned()),
        false => (there.missing(file).message, format!("put a copy of the file with the sha256 {sha256} back")),
    };
    Ok(Failure::new(Exit::DriveRejected, what).next(format!(
        "the batch is committed, and no entry is exported again: {back}, and run `batch-export verify --date {}`. A copy of this database \
         that uses the same destination removes such a file: give the copy another folder",
        batch.date()
    )))
}

/// Refuses a file that does not name its owner, at a destination that only the batch document names: others can write there.
pub(super) async fn refuse_unnamed(there: &Destination, id: &str) -> Result<(), DestinationError> {
    match there.owner(id).await? {
        Some(owner) if owner.installation.is_none() && owner.batch_id.is_none() => Err(DestinationError::rejected(
            format!("{id} at {} is left as it is: it does not name its owner", there.location()),
            "compare that file with the batch document, which somebody may have edited",
        )),
        Some(_) | None => Ok(()),
    }
}
