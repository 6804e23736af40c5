//! Compares the database with the content of the file while the commit transaction is open, and once more after it.
//!
//! The reads run beside the transaction, not in it, because they can then run in parallel. They begin after the first
//! write of the transaction was answered, so they see at least everything that the transaction sees. A row that changes
//! later conflicts with the transaction's own write, and the transaction fails. The transaction does not write entries:
//! an edit during the commit is seen only by the comparison after it.

use std::collections::BTreeSet;

use futures_util::future::try_join3;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use mongodb::bson::{Bson, doc};

use super::{CommitRequest, Stopped};
use crate::entry::FieldList;
use crate::id::Id;
use crate::store::Store;
use crate::store::due::{CHUNK_ROWS, RowKey, fingerprint, open_filter, rows_of_ids};
use crate::store::entries::{Fingerprint, entry_ids, hashes};
use crate::store::error::StoreError;

/// Chunks that are compared at a time.
const CHUNKS_IN_FLIGHT: usize = 2;

impl Store {
    /// Compares every row and entry with the fingerprints of the file. Returns a hash of each row's entry.
    pub(super) async fn compare(&self, request: &CommitRequest<'_>) -> Result<Vec<u32>, Stopped> {
        let chunks = request.rows.chunks(CHUNK_ROWS).zip(request.fingerprints);
        let compared = stream::iter(chunks).map(|(rows, expected)| self.compare_chunk(request, rows, expected));
        let mut compared = compared.buffered(CHUNKS_IN_FLIGHT);
        let mut contents = Vec::with_capacity(request.rows.len());
        while let Some(chunk) = compared.try_next().await? {
            contents.extend(chunk);
        }
        Ok(contents)
    }

    async fn compare_chunk(
        &self,
        request: &CommitRequest<'_>,
        rows: &[RowKey],
        expected: &Fingerprint,
    ) -> Result<Vec<u32>, Stopped> {
        let (now, contents, exported) = try_join3(
            self.rows_now(request, rows),
            self.contents(rows, request.fields),
            self.exported_before(request, rows),
        )
        .await?;
        let (entries, contents) = contents;
        if now != expected.rows {
            return Err(Stopped::Conflict("rows were taken back or changed since they were read".to_owned()));
        }
        if entries != expected.entries {
            return Err(Stopped::Conflict("entries were edited since they were read".to_owned()));
        }
        if exported > 0 {
            return Err(Stopped::Conflict(format!("{exported} entries were exported since they were read")));
        }
        Ok(contents)
    }

    /// The rows of a chunk that are still due.
    async fn rows_now(&self, request: &CommitRequest<'_>, rows: &[RowKey]) -> Result<u64, StoreError> {
        let mut session = self.client.start_session().await?;
        let due = rows_of_ids(&self.queue, &mut session, rows.iter(), open_filter(request.cutoff)).await?;
        Ok(fingerprint(due.iter()))
    }

    /// The sum over the entries of these rows, and a hash of each entry; 0 for a missing one.
    async fn contents(&self, rows: &[RowKey], fields: &FieldList) -> Result<(u64, Vec<u32>), StoreError> {
        let mut session = self.client.start_session().await?;
        let hashes = hashes(self, &mut session, &entry_ids(rows.iter()), fields).await?;
        let sum = hashes.iter().fold(0, |sum: u64, (_, hash)| sum.wrapping_add(*hash));
        // Half of each hash is kept for every row: enough to tell two contents of one entry apart.
        let of =
            |key: &RowKey| hashes.binary_search_by_key(&key.entry, |(id, _)| *id).map_or(0, |at| hashes[at].1 as u32);
        Ok((sum, rows.iter().map(of).collect()))
    }

    /// Counts entries that are in another committed file. Needed only for a large batch, whose entries are recorded
    /// after the commit; otherwise the unique `_id` refuses them in the transaction.
    async fn exported_before(&self, request: &CommitRequest<'_>, rows: &[RowKey]) -> Result<u64, StoreError> {
        if !request.in_pieces() || self.settings.allow_reexport {
            return Ok(0);
        }
        let held: BTreeSet<&RowKey> = request.held.iter().map(|(key, _)| key).collect();
        let entries: Vec<Bson> = rows.iter().filter(|key| !held.contains(key)).map(|key| key.entry.into()).collect();
        self.bounded(self.exported.count_documents(doc! { "_id": { "$in": entries } }).into_future()).await
    }

    /// The exported entries that changed since the commit compared them.
    pub async fn edited_since(&self, request: &CommitRequest<'_>, contents: &[u32]) -> Result<Vec<Id>, StoreError> {
        let chunks = request.rows.chunks(CHUNK_ROWS).zip(contents.chunks(CHUNK_ROWS));
        let mut held = request.held.iter().map(|(key, _)| key).peekable();
        let mut edited = Vec::new();
        for (rows, before) in chunks {
            let (_, now) = self.contents(rows, request.fields).await?;
            for ((key, before), now) in rows.iter().zip(before).zip(now) {
                if held.next_if_eq(&key).is_none() && *before != now {
                    edited.push(key.entry);
                }
            }
        }
        Ok(edited)
    }
}
