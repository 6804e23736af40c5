//! Journal entries, read at a snapshot for the file, once more in the commit, and once more after it.
//!
//! Nothing is decoded that is not needed: entries stay in the buffers that came from the wire and are looked at in place.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument, doc};
use mongodb::raw_batch_cursor::RawBatch;
use mongodb::{ClientSession, Collection};

use super::due::{CHUNK_ROWS, RowKey};
use super::error::StoreError;
use super::exported::ExportedIn;
use crate::entry::EntryFields;
use crate::id::Id;
use crate::money::Number;

/// Entries of up to 5,000 consecutive rows, in the buffers that came from the wire.
pub struct EntryChunk {
    batches: Vec<RawBatch>,
    /// Sorted by id: where each entry lies.
    places: Vec<(Id, Place)>,
    /// Where the next look-up probably ends: rows are queued in the order in which their entries were made, mostly.
    next: Cell<usize>,
    /// Those of them that are in a committed file already.
    pub(super) exported: BTreeMap<Id, ExportedIn>,
    /// What the rows and their entries looked like.
    pub fingerprint: Fingerprint,
}

/// What a chunk of rows and their entries looked like, as two sums: equal when nothing that is exported changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of the rows.
    pub(super) rows: u64,
    /// Of the fields of the entries that are exported.
    pub(super) entries: u64,
}

#[derive(Clone, Copy)]
struct Place {
    batch: u32,
    offset: u32,
    length: u32,
    /// Half of the entry's hash.
    hash: u32,
}

impl EntryChunk {
    /// The batch that has this entry in its file, if one has it.
    pub fn exported(&self, id: &Id) -> Option<ExportedIn> {
        self.exported.get(id).copied()
    }

    /// Tells one content of an entry from another; `None` when there is no such journal entry.
    pub(super) fn hash(&self, id: &Id) -> Option<u32> {
        Some(self.find(id)?.hash)
    }

    /// The entry of an id; `None` when there is no such journal entry.
    ///
    /// # Errors
    /// When the document is malformed.
    pub fn entry(&self, id: &Id) -> Result<Option<EntryFields<'_>>, StoreError> {
        let Some(place) = self.find(id) else { return Ok(None) };
        let reply = self.batches[place.batch as usize].as_raw_document().as_bytes();
        let bytes = &reply[place.offset as usize..(place.offset + place.length) as usize];
        fields(*id, RawDocument::from_bytes(bytes)?).map(Some)
    }

    fn find(&self, id: &Id) -> Option<Place> {
        let guess = self.next.get();
        let index = match self.places.get(guess) {
            Some((guessed, _)) if guessed == id => guess,
            _ => self.places.binary_search_by(|(other, _)| other.cmp(id)).ok()?,
        };
        self.next.set(index + 1);
        Some(self.places[index].1)
    }
}

/// The ids of the entries of these rows.
pub(super) fn entry_ids<'a>(keys: impl Iterator<Item = &'a RowKey>) -> Vec<Bson> {
    keys.map(|key| key.entry.into()).collect()
}

/// The entries of these ids, in the given session: at a snapshot, or as they are now.
pub(super) async fn fetch(
    entries: &Collection<Document>,
    session: &mut ClientSession,
    ids: &[Bson],
    with_metadata: bool,
) -> Result<EntryChunk, StoreError> {
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
    let mut chunk = EntryChunk {
        batches: Vec::new(),
        places: Vec::with_capacity(ids.len()),
        next: Cell::new(0),
        exported: BTreeMap::new(),
        fingerprint: Fingerprint::default(),
    };
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
            let hash = hasher.finish();
            self.fingerprint.entries = self.fingerprint.entries.wrapping_add(hash);
            let offset = (bytes.as_ptr() as usize - start) as u32;
            let id = entry.get_object_id("_id").map_err(StoreError::from)?;
            let place = Place { batch: index, offset, length: bytes.len() as u32, hash: hash as u32 };
            self.places.push((Id(id.bytes()), place));
        }
        self.batches.push(batch);
        Ok(())
    }
}

/// One pass over the document: each element is looked at once.
fn fields(id: Id, entry: &RawDocument) -> Result<EntryFields<'_>, StoreError> {
    let mut fields = EntryFields { id, ..EntryFields::default() };
    for element in entry.iter_elements() {
        let element = element?;
        let value = element.value()?;
        match element.key().as_str() {
            "status" => fields.status = value.as_str(),
            "date" => fields.date_ms = value.as_datetime().map(|date| date.timestamp_millis()),
            "accountCode" => fields.account = text("accountCode", value, &mut fields.not_text),
            "description" => fields.description = text("description", value, &mut fields.not_text),
            "amount" => fields.amount = number(value),
            "type" => fields.kind = value.as_str(),
            "metadata" => {
                let Some(metadata) = value.as_document() else { continue };
                for element in metadata.iter_elements() {
                    let element = element?;
                    let value = element.value()?;
                    let not_text = &mut fields.not_text;
                    match element.key().as_str() {
                        "crAccount" => fields.cr_account = text("metadata.crAccount", value, not_text),
                        "drAccount" => fields.dr_account = text("metadata.drAccount", value, not_text),
                        "voucherNo" => fields.voucher_no = text("metadata.voucherNo", value, not_text),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(fields)
}

/// The text of a field; remembers the field's name when it holds something else: an account number that was stored as a number is not
/// an account that was left empty.
fn text<'a>(field: &'static str, value: RawBsonRef<'a>, not_text: &mut Option<&'static str>) -> Option<&'a str> {
    match value {
        RawBsonRef::String(text) => Some(text),
        RawBsonRef::Null | RawBsonRef::Undefined => None,
        _ => {
            not_text.get_or_insert(field);
            None
        }
    }
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
