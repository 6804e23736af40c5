//! Reading: the ledger, the due rows and their entries, all at one instant.
//!
//! A snapshot session fixes the instant with its first read, and further sessions read at the same one, so that fetches run side by
//! side without a transaction held open. The ledger is read first: its number tells the commit whether another batch came in between.
//!
//! Nothing is decoded that is not needed. A due row is 32 bytes in memory, sorted here because a server-side sort on
//! `{scheduledFor, _id}` costs more than it. Entries stay in the buffers that came from the wire and are looked at in place.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use mongodb::bson::{Document, RawBsonRef, RawDocument, Timestamp, doc, oid::ObjectId};
use mongodb::options::SessionOptions;
use mongodb::raw_batch_cursor::RawBatch;
use mongodb::{ClientSession, Collection};

use super::document::{bson_date, int, text};
use super::error::StoreError;
use super::{LEDGER, Store};
use crate::entry::EntryFields;
use crate::money::Number;

/// Rows whose entries are fetched by one command.
pub(super) const CHUNK_ROWS: usize = 5_000;
/// Commands in flight: the server joins one chunk while the client writes another. Not on tasks of their own: measured on two cores,
/// that gains 7 % of the generation for 2 to 6 MiB of memory.
const CHUNKS_IN_FLIGHT: usize = 2;
/// Queue rows per answer.
const QUEUE_BATCH: u32 = 20_000;

/// The one document that numbers and chains the batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Number of the last committed batch; 0 before the first one.
    pub number: i64,
    /// Checksum of its file.
    pub last_sha256: Option<String>,
    /// The batch whose rows are still being marked.
    pub marking: Option<String>,
}

/// A due row, in the order of the file: `scheduledFor`, then `_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// `scheduledFor`, milliseconds since 1970 UTC.
    pub scheduled_ms: i64,
    /// `_id` of the queue row.
    pub row: [u8; 12],
    /// `entryId`; all zero when the row has none.
    pub entry: [u8; 12],
}

/// The due rows of a window.
#[derive(Debug, Default)]
pub struct DueRows {
    /// In the order of the file.
    pub rows: Vec<RowKey>,
    /// Rows that cannot be addressed, because their `_id` is no ObjectId: as text.
    pub unaddressable: Vec<String>,
}

/// One instant of the database.
pub struct Snapshot {
    pub(super) store: Store,
    /// `None` until a read told it, which one of a collection that does not exist never does.
    pub(super) at: Option<Timestamp>,
    ledger: Ledger,
}

/// Entries of up to 5,000 consecutive rows, in the buffers that came from the wire.
pub struct EntryChunk {
    batches: Vec<RawBatch>,
    /// Sorted by id: where each entry lies.
    places: Vec<([u8; 12], Place)>,
    /// Sum of the hashes of the raw documents: equal when nothing that is exported changed.
    pub fingerprint: u64,
}

#[derive(Clone, Copy)]
struct Place {
    batch: u32,
    offset: u32,
    length: u32,
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
        let ledger = found.as_ref().map(|found| Ledger {
            number: int(found, "number").unwrap_or(0),
            last_sha256: text(found, "lastSha256"),
            marking: text(found, "marking"),
        });
        let exists = ledger.is_some();
        Ok((Snapshot { store: store.clone(), at, ledger: ledger.unwrap_or_default() }, exists))
    }

    /// The ledger at this instant.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// All rows due by the cut-off, sorted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_rows(&mut self, cutoff: DateTime<Utc>) -> Result<DueRows, StoreError> {
        let mut session = snapshot_session(&self.store, self.at).await?;
        let mut cursor = self
            .store
            .queue
            .find(due_filter(cutoff))
            .projection(doc! { "entryId": 1, "scheduledFor": 1 })
            .batch_size(QUEUE_BATCH)
            .session(&mut session)
            .batch()
            .await?;
        let mut due = DueRows::default();
        let mut batches = cursor.stream(&mut session);
        while let Some(batch) = batches.try_next().await? {
            for row in batch.doc_slices()? {
                let row = row?.as_document().ok_or_else(|| StoreError::malformed("a row is no document"))?;
                match row_key(row)? {
                    Ok(key) => due.rows.push(key),
                    Err(id) => due.unaddressable.push(id),
                }
            }
        }
        drop(batches);
        self.at = session.snapshot_time();
        due.rows.sort_unstable();
        Ok(due)
    }

    /// The entries of these rows, chunk by chunk in order. Each chunk belongs to the next 5,000 rows.
    pub fn chunks<'a>(
        &'a self,
        rows: &'a [RowKey],
        with_metadata: bool,
    ) -> impl Stream<Item = Result<(&'a [RowKey], EntryChunk), StoreError>> + 'a {
        stream::iter(rows.chunks(CHUNK_ROWS))
            .map(move |rows| async move {
                let mut session = snapshot_session(&self.store, self.at).await?;
                let chunk = fetch(&self.store.entries, &mut session, entry_ids(rows), with_metadata).await?;
                Ok((rows, chunk))
            })
            .buffered(CHUNKS_IN_FLIGHT)
    }
}

impl EntryChunk {
    /// The entry of an id; `None` when there is no such journal entry.
    ///
    /// # Errors
    /// When the document is malformed.
    pub fn entry(&self, id: &[u8; 12]) -> Result<Option<EntryFields<'_>>, StoreError> {
        let Ok(index) = self.places.binary_search_by(|(other, _)| other.cmp(id)) else { return Ok(None) };
        let place = self.places[index].1;
        let reply = self.batches[place.batch as usize].as_raw_document().as_bytes();
        let bytes = &reply[place.offset as usize..(place.offset + place.length) as usize];
        fields(*id, RawDocument::from_bytes(bytes)?).map(Some)
    }
}

impl Store {
    /// The batch whose rows are still being marked, now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn marking(&self) -> Result<Option<String>, StoreError> {
        let ledger = self.bounded(self.batches.find_one(doc! { "_id": LEDGER }).into_future()).await?;
        Ok(ledger.and_then(|ledger| text(&ledger, "marking")))
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

/// What makes a row due.
pub(super) fn due_filter(cutoff: DateTime<Utc>) -> Document {
    doc! { "exportPath": "scheduled", "status": "queued", "scheduledFor": { "$lte": bson_date(cutoff) } }
}

pub(super) async fn snapshot_session(store: &Store, at: Option<Timestamp>) -> Result<ClientSession, StoreError> {
    let options = SessionOptions::builder().snapshot(true).snapshot_time(at).build();
    Ok(store.client.start_session().with_options(options).await?)
}

/// The entries that these rows ask for.
pub(super) fn entry_ids(rows: &[RowKey]) -> Vec<ObjectId> {
    rows.iter().map(|key| ObjectId::from_bytes(key.entry)).collect()
}

/// The entries of a chunk of rows, in the given session: at a snapshot, or inside a transaction.
pub(super) async fn fetch(
    entries: &Collection<Document>,
    session: &mut ClientSession,
    ids: Vec<ObjectId>,
    with_metadata: bool,
) -> Result<EntryChunk, StoreError> {
    let expected = ids.len();
    let mut wanted = doc! { "status": 1, "date": 1, "accountCode": 1, "description": 1, "amount": 1, "type": 1 };
    if with_metadata {
        wanted.extend(doc! { "metadata.crAccount": 1, "metadata.drAccount": 1, "metadata.voucherNo": 1 });
    }
    let mut cursor = entries
        .find(doc! { "_id": { "$in": ids } })
        .projection(wanted)
        .batch_size(CHUNK_ROWS as u32 + 1)
        .session(&mut *session)
        .batch()
        .await?;
    let mut chunk = EntryChunk { batches: Vec::new(), places: Vec::with_capacity(expected), fingerprint: 0 };
    let mut batches = cursor.stream(session);
    while let Some(batch) = batches.try_next().await? {
        chunk.add(batch)?;
    }
    // They come in the order of the ids already; a sorted run costs one pass.
    chunk.places.sort_unstable_by_key(|(id, _)| *id);
    Ok(chunk)
}

impl EntryChunk {
    fn add(&mut self, batch: RawBatch) -> Result<(), StoreError> {
        let index = self.batches.len() as u32;
        let start = batch.as_raw_document().as_bytes().as_ptr() as usize;
        for entry in batch.doc_slices()? {
            let entry = entry?.as_document().ok_or_else(|| StoreError::malformed("an entry is no document"))?;
            let bytes = entry.as_bytes();
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            self.fingerprint = self.fingerprint.wrapping_add(hasher.finish());
            let offset = (bytes.as_ptr() as usize - start) as u32;
            let id = entry.get_object_id("_id").map_err(StoreError::from)?;
            self.places.push((id.bytes(), Place { batch: index, offset, length: bytes.len() as u32 }));
        }
        self.batches.push(batch);
        Ok(())
    }
}

/// A row in memory, or its `_id` as text when that is no ObjectId.
fn row_key(row: &RawDocument) -> Result<Result<RowKey, String>, StoreError> {
    let mut key = RowKey { scheduled_ms: 0, row: [0; 12], entry: [0; 12] };
    for element in row.iter_elements() {
        let element = element?;
        match (element.key().as_str(), element.value()?) {
            ("_id", RawBsonRef::ObjectId(id)) => key.row = id.bytes(),
            ("_id", other) => return Ok(Err(format!("{other:?}"))),
            ("entryId", RawBsonRef::ObjectId(id)) => key.entry = id.bytes(),
            ("scheduledFor", RawBsonRef::DateTime(date)) => key.scheduled_ms = date.timestamp_millis(),
            _ => {}
        }
    }
    Ok(Ok(key))
}

/// One pass over the document: each element is looked at once.
fn fields(id: [u8; 12], entry: &RawDocument) -> Result<EntryFields<'_>, StoreError> {
    let mut fields = EntryFields { id, ..EntryFields::default() };
    for element in entry.iter_elements() {
        let element = element?;
        let value = element.value()?;
        match element.key().as_str() {
            "status" => fields.status = value.as_str(),
            "date" => fields.date_ms = value.as_datetime().map(|date| date.timestamp_millis()),
            "accountCode" => fields.account = value.as_str(),
            "description" => fields.description = value.as_str(),
            "amount" => fields.amount = number(value),
            "type" => fields.kind = value.as_str(),
            "metadata" => {
                let Some(metadata) = value.as_document() else { continue };
                for element in metadata.iter_elements() {
                    let element = element?;
                    let value = element.value()?.as_str();
                    match element.key().as_str() {
                        "crAccount" => fields.cr_account = value,
                        "drAccount" => fields.dr_account = value,
                        "voucherNo" => fields.voucher_no = value,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(fields)
}

fn number(value: RawBsonRef<'_>) -> Option<Number> {
    match value {
        RawBsonRef::Int32(n) => Some(Number::Int(i64::from(n))),
        RawBsonRef::Int64(n) => Some(Number::Int(n)),
        RawBsonRef::Double(n) => Some(Number::Double(n)),
        RawBsonRef::Decimal128(n) => Some(Number::Decimal(n.bytes())),
        RawBsonRef::Null | RawBsonRef::Undefined => None,
        RawBsonRef::String(_) => Some(Number::Other("string")),
        RawBsonRef::Boolean(_) => Some(Number::Other("boolean")),
        _ => Some(Number::Other("value of another type")),
    }
}
