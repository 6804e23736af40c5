//! Journal entries, read at a snapshot for the file, once more in the commit, and once more after it.
//!
//! Nothing is decoded that is not needed: entries stay in the buffers that came from the wire and are looked at in place.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use futures_util::TryStreamExt;
use mongodb::bson::spec::ElementType;
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument, doc};
use mongodb::raw_batch_cursor::RawBatch;
use mongodb::{ClientSession, Collection};

use super::due::{CHUNK_ROWS, RowKey};
use super::error::StoreError;
use super::exported::ExportedIn;
use crate::entry::{EntryFields, FieldList, PathNode, Stored};
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

    /// Reads the entry of an id into `fields`, by the list that the chunk was fetched with; `false` when there is no such entry.
    ///
    /// # Errors
    /// When the document is malformed.
    pub fn read<'a>(&'a self, id: Id, list: &FieldList, fields: &mut EntryFields<'a>) -> Result<bool, StoreError> {
        let Some(place) = self.find(&id) else { return Ok(false) };
        let reply = self.batches[place.batch as usize].as_raw_document().as_bytes();
        let bytes = &reply[place.offset as usize..(place.offset + place.length) as usize];
        fields.id = id;
        fields.values.clear();
        fields.values.resize(list.len(), Stored::Missing);
        read(list.tree(), RawDocument::from_bytes(bytes)?, &mut fields.values)?;
        Ok(true)
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
    fields: &FieldList,
) -> Result<EntryChunk, StoreError> {
    // Exactly the fields that the file depends on: the fingerprint covers what comes. `_id` comes always.
    let below_id = |path: &str| path == "_id" || path.starts_with("_id.");
    let wanted = fields.outermost().filter(|path| !below_id(path)).map(|path| (path.to_owned(), Bson::Int32(1)));
    let wanted: Document = wanted.collect();
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

/// One pass over the document: each element is looked at once. What cannot be read is a value that no column takes, not a failure of
/// the database: the entry is refused by name, and the others go on.
fn read<'a>(tree: &[PathNode], document: &'a RawDocument, values: &mut [Stored<'a>]) -> Result<(), StoreError> {
    for element in document.iter_elements() {
        let element = element?;
        let Some(node) = tree.iter().find(|node| node.name == element.key().as_str()) else { continue };
        let value = element.value();
        match &value {
            Ok(RawBsonRef::Document(document)) => read(&node.below, document, values)?,
            Ok(RawBsonRef::Array(_)) => inside_a_list(&node.below, values),
            Ok(_) | Err(_) => {}
        }
        if let Some(slot) = node.slot {
            values[slot] = match value {
                Ok(value) => stored(value),
                Err(_) if element.element_type() == ElementType::String => Stored::NotUtf8,
                Err(_) => Stored::Other("a value that cannot be read"),
            };
        }
    }
    Ok(())
}

/// A path that leads through a list names no one value.
fn inside_a_list(tree: &[PathNode], values: &mut [Stored<'_>]) {
    for node in tree {
        if let Some(slot) = node.slot {
            values[slot] = Stored::Other("something inside a list");
        }
        inside_a_list(&node.below, values);
    }
}

fn stored(value: RawBsonRef<'_>) -> Stored<'_> {
    match value {
        RawBsonRef::Null | RawBsonRef::Undefined => Stored::Missing,
        RawBsonRef::String(text) => Stored::Text(text),
        RawBsonRef::Int32(n) => Stored::Number(Number::Int(i64::from(n))),
        RawBsonRef::Int64(n) => Stored::Number(Number::Int(n)),
        RawBsonRef::Double(n) => Stored::Number(Number::Double(n)),
        RawBsonRef::Decimal128(n) => Stored::Number(Number::Decimal(n.bytes())),
        RawBsonRef::DateTime(date) => Stored::Date(date.timestamp_millis()),
        RawBsonRef::ObjectId(id) => Stored::Id(Id(id.bytes())),
        RawBsonRef::Boolean(_) => Stored::Other("true or false"),
        RawBsonRef::Array(_) => Stored::Other("a list"),
        RawBsonRef::Document(_) => Stored::Other("a document"),
        _ => Stored::Other("a value of another type"),
    }
}
