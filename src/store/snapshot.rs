//! One instant of the database: the ledger, the due rows and their entries as they were together.
//!
//! A snapshot session fixes the instant with its first read, and further sessions read at the same one, so that fetches run side by
//! side without a transaction held open. The ledger is read first: its number tells the commit whether another batch came in between.

use chrono::{DateTime, Utc};
use futures_util::stream::{Stream, StreamExt};
use mongodb::ClientSession;
use mongodb::bson::{Document, Timestamp, doc};
use mongodb::options::SessionOptions;

use super::document::{batch_id, int, text};
use super::due::{DueRow, DueRows, DueScan};
use super::entries::{EntryChunk, fetch};
use super::error::StoreError;
use super::{LEDGER, Store};
use crate::batch::BatchId;

/// Commands in flight: the server joins two chunks while the client writes another. Of two cores, the third one uses what two leave idle:
/// 8 % of the time, for 1 MiB.
const CHUNKS_IN_FLIGHT: usize = 3;

/// The one document that numbers and chains the batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Number of the last committed batch; 0 before the first one.
    pub number: i64,
    /// Checksum of its file.
    pub last_sha256: Option<String>,
    /// The batch whose rows are still being marked.
    pub marking: Option<BatchId>,
}

/// One instant of the database.
pub struct Snapshot {
    pub(super) store: Store,
    /// `None` until the first read returns a snapshot time; a read of a missing collection returns none.
    pub(super) at: Option<Timestamp>,
    ledger: Ledger,
}

impl Snapshot {
    /// Fixes the instant, and reads the ledger at it. Where there is no ledger yet, `create` makes it; a look without it counts as
    /// before the first batch.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(store: &Store, create: bool) -> Result<Snapshot, StoreError> {
        let (snapshot, exists) = Snapshot::look(store).await?;
        if exists || !create {
            return Ok(snapshot);
        }
        store.create_ledger().await?;
        match Snapshot::look(store).await? {
            (snapshot, true) => Ok(snapshot),
            (_, false) => {
                Err(StoreError::malformed("the ledger was created but cannot be seen; is the primary in doubt?"))
            }
        }
    }

    async fn look(store: &Store) -> Result<(Snapshot, bool), StoreError> {
        let mut session = snapshot_session(store, None).await?;
        let find = store.ledger_at_snapshot.find_one(doc! { "_id": LEDGER }).session(&mut session);
        let found = store.bounded(find.into_future()).await?;
        let at = session.snapshot_time();
        let ledger = found.as_ref().map(ledger).transpose()?;
        let exists = ledger.is_some();
        Ok((Snapshot { store: store.clone(), at, ledger: ledger.unwrap_or_default() }, exists))
    }

    /// The ledger at this instant.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Starts to find the rows due by the cut-off.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn scan_due(&mut self, cutoff: DateTime<Utc>) -> Result<DueScan, StoreError> {
        let session = snapshot_session(&self.store, self.at).await?;
        let (scan, at) = DueScan::start(&self.store.queue, session, cutoff).await?;
        self.at = at;
        Ok(scan)
    }

    /// All rows due by the cut-off, sorted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_rows(&mut self, cutoff: DateTime<Utc>) -> Result<DueRows, StoreError> {
        self.scan_due(cutoff).await?.all().await
    }

    /// The entries of these rows, chunk by chunk. The next chunk is fetched while the caller looks at one.
    pub fn join<'a, E: From<StoreError> + 'a>(
        &'a self,
        chunks: impl Stream<Item = Result<Vec<DueRow>, E>> + 'a,
        with_metadata: bool,
    ) -> impl Stream<Item = Result<(Vec<DueRow>, EntryChunk), E>> + 'a {
        chunks
            .map(move |rows| async move {
                let rows = rows?;
                let mut session = snapshot_session(&self.store, self.at).await?;
                let keys = rows.iter().map(|row| &row.key);
                let chunk = fetch(&self.store.entries, &mut session, keys, with_metadata).await?;
                Ok((rows, chunk))
            })
            .buffered(CHUNKS_IN_FLIGHT)
    }
}

impl Store {
    /// The batch whose rows are still being marked, now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn marking(&self) -> Result<Option<BatchId>, StoreError> {
        let found = self.bounded(self.batches.find_one(doc! { "_id": LEDGER }).into_future()).await?;
        Ok(found.as_ref().map(ledger).transpose()?.and_then(|ledger| ledger.marking))
    }

    async fn create_ledger(&self) -> Result<(), StoreError> {
        // Everything that the commit transaction writes has to exist before it: creating a collection inside of one is fragile.
        for collection in [&self.batches, &self.log, &self.row_lists] {
            self.create_collection(collection).await?;
        }
        let first = doc! { "$setOnInsert": { "number": 0_i64, "lastSha256": null, "marking": null } };
        let upsert = self.batches.update_one(doc! { "_id": LEDGER }, first).upsert(true);
        self.bounded(upsert.into_future()).await?;
        Ok(())
    }
}

fn ledger(found: &Document) -> Result<Ledger, StoreError> {
    Ok(Ledger {
        number: int(found, "number").unwrap_or(0),
        last_sha256: text(found, "lastSha256"),
        marking: batch_id(found, "marking")?,
    })
}

pub(super) async fn snapshot_session(store: &Store, at: Option<Timestamp>) -> Result<ClientSession, StoreError> {
    let options = SessionOptions::builder().snapshot(true).snapshot_time(at).build();
    Ok(store.client.start_session().with_options(options).await?)
}
