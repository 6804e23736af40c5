//! A snapshot of the database: the ledger, the due rows and their entries at one instant.
//!
//! A snapshot session fixes the instant with its first read, and further sessions read at the same one, so that fetches
//! run in parallel without an open transaction. The ledger is read first or earlier: by its number the commit finds out
//! whether another batch was committed in between.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::future::{join, try_join};
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use mongodb::bson::{Bson, Document, Timestamp, doc};

use super::document::{batch_id, int, text};
use super::due::{DueRow, DueRows, RowMetadata, fingerprint};
use super::entries::{EntryChunk, entry_ids, fetch};
use super::error::{Result, StoreError};
use super::exported::{ExportedEntry, ExportedIn, Misplaced};
use super::scan::DueScan;
use super::{LEDGER, Store};
use crate::batch::BatchId;
use crate::entry::FieldList;
use crate::failure::Failure;
use crate::id::Id;

/// Commands in flight: the server joins two portions while the client writes another. Of two cores, the third one uses what two leave idle:
/// 8 % of the time, for 1 MiB.
const PORTIONS_IN_FLIGHT: usize = 3;

/// The one document that numbers and chains the batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Number of the last committed batch; 0 before the first one.
    pub number: i64,
    /// Checksum of its file.
    pub last_sha256: Option<String>,
    /// The batch whose rows are still being marked.
    pub marking: Option<BatchId>,
    /// The least number of entries in `exportbatchentries` while no batch is marking; 0 where an earlier version did not count them.
    pub recorded: i64,
    /// The name of this installation: a UUID, created with the ledger. A copy of the database has the same one.
    pub installation: Option<String>,
}

/// One instant of the database.
pub struct Snapshot {
    pub(super) store: Store,
    /// `None` until the first read returns a snapshot time; a read of a missing collection returns none.
    pub(super) at: Option<Timestamp>,
    ledger: Ledger,
    /// Whether to look up, with each entry, the batch that exported it before.
    looks_up_exported: bool,
}

impl Snapshot {
    /// Fixes the instant, and reads the ledger at it. A database without one counts as before the first batch.
    pub async fn open(store: &Store) -> Result<Snapshot> {
        let mut session = store.snapshot_session(None).await?;
        let find = store.ledger_at_snapshot.find_one(doc! { "_id": LEDGER }).session(&mut session);
        let found = store.with_cause(store.bounded(find).await).await?;
        let at = session.snapshot_time();
        let ledger = found.as_ref().map(ledger).transpose()?.unwrap_or_default();
        Ok(Snapshot { store: store.clone(), at, ledger, looks_up_exported: false })
    }

    /// A snapshot for a new file; the first read fixes the instant. The ledger was read before: when another batch was
    /// committed in between, the commit finds another number, and the file is generated again.
    pub fn of_new_file(store: &Store, ledger: Ledger) -> Snapshot {
        Snapshot { store: store.clone(), at: None, ledger, looks_up_exported: !store.config.allow_reexport }
    }

    /// The ledger at this instant.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether a search found the queue.
    pub fn has_queue(&self) -> bool {
        self.at.is_some()
    }

    /// Starts the search for rows that are due by the cut-off.
    pub async fn scan_due(&mut self, cutoff: DateTime<Utc>) -> Result<DueScan> {
        self.search(cutoff, RowMetadata::Whole).await
    }

    async fn search(&mut self, cutoff: DateTime<Utc>, metadata: RowMetadata) -> Result<DueScan> {
        let session = self.store.snapshot_session(self.at).await?;
        // A file of rows that cannot be marked would be stored before the commit notices it.
        let (started, may_mark) =
            join(DueScan::start(&self.store, session, cutoff, metadata), self.store.check_rows_can_be_marked()).await;
        may_mark?;
        let (scan, at) = self.store.with_cause(started).await?;
        if at.is_none() {
            // The queue is missing, or the server passes over what it was asked for.
            self.store.with_cause(self.store.try_snapshot().await).await?;
        }
        self.at = at;
        Ok(scan)
    }

    /// All rows due by the cut-off, sorted.
    pub async fn due_rows(&mut self, cutoff: DateTime<Utc>) -> Result<DueRows, Failure> {
        self.search(cutoff, RowMetadata::Type).await?.all().await
    }

    /// The entries of these rows, in portions that are bounded in bytes. The next ones are fetched while the caller looks at one; what has
    /// arrived of them waits in the sockets, which bounds it, too.
    pub fn join<'a, E: From<StoreError> + 'a>(
        &'a self,
        chunks: impl Stream<Item = Result<Vec<DueRow>, E>> + 'a,
        fields: &'a FieldList,
    ) -> impl Stream<Item = Result<(Vec<DueRow>, EntryChunk), E>> + 'a {
        let mut first = true;
        let portions = chunks.map_ok(move |rows| self.portions::<E>(rows, std::mem::take(&mut first))).try_flatten();
        let fetched = portions.map(move |rows: Result<Vec<DueRow>, E>| async move {
            let rows = rows?;
            let entries = self.entries(&rows, fields).await?;
            Ok::<_, E>((rows, entries))
        });
        let whole_or_cut = fetched.buffered(PORTIONS_IN_FLIGHT);
        whole_or_cut.map_ok(move |(rows, entries)| self.whole(rows, entries, fields).err_into()).try_flatten()
    }

    /// Cuts a chunk of rows, each portion when its turn comes. Only the very first one does not wait until the size of an entry is known.
    fn portions<E>(&self, chunk: Vec<DueRow>, first: bool) -> impl Stream<Item = Result<Vec<DueRow>, E>> {
        stream::try_unfold((chunk, first), move |(mut rows, first)| async move {
            if !first {
                self.store.entry_size.known().await;
            }
            let portion = self.portion(&mut rows);
            Ok((!portion.is_empty()).then_some((portion, (rows, false))))
        })
    }

    /// Takes the next portion from these rows.
    fn portion(&self, rows: &mut Vec<DueRow>) -> Vec<DueRow> {
        let rest = rows.split_off(self.store.entry_size.per_command().min(rows.len()));
        std::mem::replace(rows, rest)
    }

    /// A portion and its entries; where they were cut off, in smaller portions, one after the other.
    fn whole<'a>(
        &'a self,
        rows: Vec<DueRow>,
        entries: Option<EntryChunk>,
        fields: &'a FieldList,
    ) -> impl Stream<Item = Result<(Vec<DueRow>, EntryChunk)>> + 'a {
        stream::try_unfold((rows, entries), move |(mut rows, entries)| async move {
            if let Some(entries) = entries {
                return Ok(Some(((rows, entries), (Vec::new(), None))));
            }
            while !rows.is_empty() {
                let mut portion = self.portion(&mut rows);
                if let Some(entries) = self.entries(&portion, fields).await? {
                    return Ok(Some(((portion, entries), (rows, None))));
                }
                portion.append(&mut rows);
                rows = portion;
            }
            Ok(None)
        })
    }

    /// The entries of these rows; `None` when they are too large for one command.
    async fn entries(&self, rows: &[DueRow], fields: &FieldList) -> Result<Option<EntryChunk>> {
        let mut session = self.store.snapshot_session(self.at).await?;
        let ids = entry_ids(rows.iter().map(|row| &row.key));
        let entries = fetch(&self.store, &mut session, &ids, fields);
        let (entries, exported) = self.store.with_cause(try_join(entries, self.exported(&ids)).await).await?;
        Ok(entries.map(|mut entries| {
            entries.exported = exported;
            entries.fingerprint.rows = fingerprint(rows.iter());
            entries
        }))
    }

    /// Read at the same instant, so that an entry of a large batch is found here exactly when its row is seen as
    /// marked.
    async fn exported(&self, entries: &[Id]) -> Result<BTreeMap<Id, ExportedIn>> {
        if !self.looks_up_exported {
            return Ok(BTreeMap::new());
        }
        let mut session = self.store.snapshot_session(self.at).await?;
        self.store.exported(&mut session, entries).await
    }

    /// For each of these entries that a batch exported, the batch.
    pub async fn exported_in(&self, entries: &[Id]) -> Result<Vec<BatchId>> {
        let mut ids = entries.to_vec();
        ids.sort_unstable();
        let mut session = self.store.snapshot_session(self.at).await?;
        let found = self.store.with_cause(self.store.exported(&mut session, &ids).await).await?;
        Ok(found.into_values().filter_map(|exported| exported.batch).collect())
    }

    /// What is recorded of these entries of a file under its number, and those that are not written down under it.
    pub async fn recorded(&self, number: i64, entries: &[Id]) -> Result<(Vec<ExportedEntry>, Vec<Misplaced>)> {
        let mut session = self.store.snapshot_session(self.at).await?;
        self.store.with_cause(self.store.recorded(&mut session, number, entries).await).await
    }

    /// The entries that are recorded under a number. No index serves it: all records are read.
    pub async fn recorded_under(&self, number: i64) -> Result<Vec<Id>> {
        let mut session = self.store.snapshot_session(self.at).await?;
        let found = self.store.find_recorded(&mut session, number, doc! {}).await;
        Ok(self.store.with_cause(found).await?.iter().map(|record| record.key.entry).collect())
    }
}

pub(super) fn ledger(found: &Document) -> Result<Ledger> {
    let is_absent = |key: &str| matches!(found.get(key), None | Some(Bson::Null));
    let malformed = |key: &str, needed: &str| {
        let value = found.get(key).map(ToString::to_string).unwrap_or_default();
        StoreError::malformed(format!("{key} of the ledger is {value}, not {needed}"))
    };
    let words = |key: &str| match text(found, key) {
        None if !is_absent(key) => Err(malformed(key, "a text")),
        words => Ok(words),
    };
    Ok(Ledger {
        number: match int(found, "number") {
            Some(number) if number >= 0 => number,
            None if is_absent("number") => 0,
            Some(_) | None => return Err(malformed("number", "a number of batches")),
        },
        last_sha256: words("lastSha256")?,
        marking: batch_id(found, "marking")
            .map_err(|error| StoreError::malformed(format!("of the ledger, {}", error.message)))?,
        recorded: int(found, "recorded").unwrap_or(0),
        installation: words("installation")?,
    })
}
