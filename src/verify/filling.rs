//! The entries of an official file, for `init`, which records them again where their rows are gone.
//!
//! Risk: recording entries of a file that is not the committed one: they would never be exported. So only a file with
//! the committed checksum counts, and only when it names as many entries as the batch document.

use super::Verification;
use crate::batch::Batch;
use crate::csv::entry_ids;
use crate::exit::Exit;
use crate::failure::{Explanation, Failure, Result};
use crate::id::Id;

impl Verification<'_> {
    /// The installation that the official file of a batch bears; `None` when the committed file is not there or bears none.
    pub async fn installation_of(&self, batch: &Batch) -> Result<Option<String>> {
        let file = batch.file.clone().unwrap_or_default();
        let Ok((content, None)) = self.read_official(&file).await? else { return Ok(None) };
        let place = self.destination.reach(file.destination.as_deref());
        let Some(place) = place.filter(|_| content.digests().sha256 == file.sha256) else { return Ok(None) };
        let owner = place.owner(&file.id).await?.unwrap_or_default();
        let is_own = owner.batch_id.as_ref().is_none_or(|id| *id == batch.id.to_string());
        Ok(owner.installation.filter(|_| is_own))
    }

    /// The entries that the official file of a batch names; or why it does not name them.
    pub async fn entries_of(&self, batch: &Batch) -> Result<Result<Vec<Id>, Explanation>> {
        let file = batch.file.clone().unwrap_or_default();
        let name = &file.name;
        let put_back = |reason: String| {
            Ok(Err(Explanation::new(reason, format!("put {name} back, and run `batch-export init` again"))))
        };
        let content = match self.read_official(&file).await {
            Ok(Ok((content, _))) => content,
            Ok(Err((_, why))) => return put_back(why.message),
            Err(failure) if failure.exit == Exit::DriveRejected => return Ok(Err(unread(&failure))),
            Err(failure) => return Err(failure),
        };
        if content.digests().sha256 != file.sha256 {
            return put_back(format!("{name} is not as it was committed"));
        }
        let restore = |reason: String| {
            Ok(Err(Explanation::new(reason, "restore exportbatchentries from a backup of the database")))
        };
        let layout = match self.options(batch) {
            Ok(options) => options.layout,
            Err(failure) => return Ok(Err(unread(&failure))),
        };
        let open = content.open().map_err(|error| self.spool_failed(&error))?;
        match entry_ids(open, &layout) {
            Ok(Some(ids)) if ids.len() as u64 == file.entries => Ok(Ok(ids)),
            Ok(Some(ids)) => {
                restore(format!("{name} names {} entries, and the batch document counts {}", ids.len(), file.entries))
            }
            Ok(None) => restore(format!("{name} has no column with the ids of its entries")),
            Err(reason) => restore(format!("{name} does not tell its entries: {reason}")),
        }
    }
}

/// What a failure says, for a file that cannot be read.
pub fn unread(failure: &Failure) -> Explanation {
    let next = format!("{}; then run `batch-export init` again", failure.next_step());
    Explanation::new(format!("the official file cannot be read: {failure}"), next)
}
