//! Compares the database with the content of the file while the commit transaction is open, and once more after it.
//!
//! The reads run beside the transaction, not in it, because they can then run in parallel. They begin after the first
//! write of the transaction was answered, so they see at least everything that the transaction sees. A row that changes
//! later conflicts with the transaction's own write, and the transaction fails. The transaction does not write entries:
//! an edit during the commit is seen only by the comparison after it.

use std::collections::BTreeSet;

use futures_util::future::try_join3;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::{CommitError, CommitRequest};
use crate::id::Id;
use crate::store::Store;
use crate::store::due::{CHUNK_ROWS, RowKey, fingerprint, open_filter, queued_neighbours, rows_of_ids};
use crate::store::entries::hashes;
use crate::store::error::{Result, StoreError};
use crate::store::neighbours::Neighbours;

/// Commands of each kind that are under way at a time.
const IN_FLIGHT: usize = 2;

impl Store {
    /// Compares every row and entry with the fingerprint of the file. Returns a hash of each row's entry, in the order of the entries' ids.
    ///
    /// Rows and entries are read in the order of their ids, whatever the order of the file: so the server reads its disk from one end to the
    /// other.
    pub(super) async fn compare(&self, request: &CommitRequest<'_>) -> Result<Vec<u32>, CommitError> {
        let entries = sorted(request.rows, |key| key.entry);
        let (mut sum, mut contents) = (0_u64, Vec::with_capacity(request.rows.len()));
        let note = |_, hash| {
            sum = sum.wrapping_add(hash);
            contents.push(short(hash));
        };
        let (rows, (), exported) = try_join3(
            self.rows_now(request),
            self.contents(request, &entries, note),
            self.exported_before(request, &entries),
        )
        .await?;
        if rows != request.fingerprint.rows {
            return Err(CommitError::Conflict("rows were taken back or changed since they were read".to_owned()));
        }
        if sum != request.fingerprint.entries {
            return Err(CommitError::Conflict("entries were edited since they were read".to_owned()));
        }
        if exported > 0 {
            return Err(CommitError::Conflict(format!("{exported} entries were exported since they were read")));
        }
        Ok(contents)
    }

    /// The sum over the rows that are still due.
    async fn rows_now(&self, request: &CommitRequest<'_>) -> Result<u64> {
        let order = sorted(request.rows, |key| key.row);
        let sums = stream::iter(order.chunks(CHUNK_ROWS)).map(|order| async move {
            let rows: Vec<Id> = order.iter().map(|at| request.rows[*at as usize].row).collect();
            let mut session = self.client.start_session().await?;
            let near = queued_neighbours(self, &mut session, &rows).await?.rows;
            if near.len() == rows.len() {
                return Ok(fingerprint(near.iter()));
            }
            let due = rows_of_ids(&self.queue, &mut session, &rows, open_filter(request.cutoff)).await?;
            Ok(fingerprint(due.iter()))
        });
        sums.buffered(IN_FLIGHT).try_fold(0, async |sum: u64, more| Ok(sum.wrapping_add(more))).await
    }

    /// Calls `note` with each entry of the file and a hash of its content as it is now, 0 for a missing one. `order` sorts the rows by their
    /// entries.
    async fn contents(&self, request: &CommitRequest<'_>, order: &[u32], mut note: impl FnMut(Id, u64)) -> Result<()> {
        // In the order of their ids they may be neighbours, also where they were none in the order of the file.
        let near = &Neighbours::expected(true);
        let parts = order.chunks(self.entry_size.per_command()).map(|order| entries_of(request.rows, order));
        let mut parts = stream::iter(parts)
            .map(|entries| async move {
                let mut session = self.client.start_session().await?;
                let hashes = hashes(self, &mut session, &entries, request.fields, near).await?;
                Ok::<_, StoreError>((entries, hashes))
            })
            .buffered(self.entry_size.in_flight(IN_FLIGHT));
        while let Some((entries, hashes)) = parts.try_next().await? {
            for entry in entries {
                note(entry, hashes.binary_search_by_key(&entry, |(id, _)| *id).map_or(0, |at| hashes[at].1));
            }
        }
        Ok(())
    }

    /// Counts entries that are in another committed file. Needed only for a large batch, whose entries are recorded
    /// after the commit; otherwise the unique `_id` refuses them in the transaction.
    async fn exported_before(&self, request: &CommitRequest<'_>, order: &[u32]) -> Result<usize> {
        if !request.in_pieces() || self.config.allow_reexport {
            return Ok(0);
        }
        let held = held(request);
        let mut count = 0;
        let mut session = self.client.start_session().await?;
        for order in order.chunks(CHUNK_ROWS) {
            let mut entries = entries_of(request.rows, order);
            entries.retain(|entry| !held.contains(entry));
            count += self.exported(&mut session, &entries).await?.len();
        }
        Ok(count)
    }

    /// The exported entries that changed since the commit compared them.
    pub async fn edited_since(&self, request: &CommitRequest<'_>, contents: &[u32]) -> Result<Vec<Id>> {
        let order = sorted(request.rows, |key| key.entry);
        let held = held(request);
        let (mut edited, mut before) = (Vec::new(), contents.iter());
        let compare = |entry, hash| {
            if before.next() != Some(&short(hash)) && !held.contains(&entry) {
                edited.push(entry);
            }
        };
        self.contents(request, &order, compare).await?;
        Ok(edited)
    }
}

/// What is kept of each entry's hash until the comparison after the commit: enough to tell two contents of one entry apart.
fn short(hash: u64) -> u32 {
    hash as u32
}

/// The entries that are held back.
fn held(request: &CommitRequest<'_>) -> BTreeSet<Id> {
    request.held.iter().map(|(key, _)| key.entry).collect()
}

/// Where the rows are, in the order of one of their ids. A batch may have a million of them, so it is four bytes each.
fn sorted(rows: &[RowKey], by: impl Fn(&RowKey) -> Id) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_unstable_by_key(|at| by(&rows[*at as usize]));
    order
}

fn entries_of(rows: &[RowKey], order: &[u32]) -> Vec<Id> {
    order.iter().map(|at| rows[*at as usize].entry).collect()
}
