//! Journal entries, read at a snapshot for the file, once more in the commit, and once more after it.
//!
//! Only the needed fields are decoded: entries stay in the buffers from the network and are read in place.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::AddAssign;

use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::bson::spec::ElementType;
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument};
use mongodb::raw_batch_cursor::{RawBatch, SessionRawBatchCursor};

use super::Store;
use super::due::RowKey;
use super::error::{Result, StoreError};
use super::exported::ExportedIn;
use super::neighbours::{Neighbours, Ranges, each};
use super::portion::EntrySize;
use crate::entry::{EntryFields, FieldList, PathNode, StoredValue};
use crate::id::{Id, content_hash};
use crate::money::Number;

/// Entries of up to 5,000 consecutive rows, in the buffer that came from the wire.
pub struct EntryChunk {
    /// `None` when none of the entries exists.
    answer: Option<RawBatch>,
    /// Sorted by id: where each entry lies.
    ranges: Vec<(Id, ByteRange)>,
    /// The place where the next look-up probably ends: most rows are queued in the order in which their entries were
    /// created.
    next: Cell<usize>,
    /// The entries among them that are already in a committed file.
    pub(super) exported: BTreeMap<Id, ExportedIn>,
    /// The fingerprint of the rows and their entries.
    pub fingerprint: Fingerprint,
}

/// A fingerprint of rows and their entries, as two sums: equal when nothing that is exported changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of the rows.
    pub(super) rows: u64,
    /// Of the exported fields of each row's entry.
    pub(super) entries: u64,
}

impl AddAssign for Fingerprint {
    fn add_assign(&mut self, other: Fingerprint) {
        self.rows = self.rows.wrapping_add(other.rows);
        self.entries = self.entries.wrapping_add(other.entries);
    }
}

#[derive(Clone, Copy)]
struct ByteRange {
    offset: u32,
    length: u32,
    /// Tells one content of the entry from another.
    hash: u64,
}

impl EntryChunk {
    /// The batch that has this entry in its file, if one has it.
    pub fn exported(&self, id: &Id) -> Option<ExportedIn> {
        self.exported.get(id).copied()
    }

    /// Reads the entry of an id into `fields`, by the list that the chunk was fetched with; `false` when there is no such entry.
    pub fn read<'a>(&'a self, id: Id, list: &FieldList, fields: &mut EntryFields<'a>) -> Result<bool> {
        let (Some(range), Some(answer)) = (self.find(&id), &self.answer) else { return Ok(false) };
        let bytes = &answer.as_raw_document().as_bytes()[range.offset as usize..(range.offset + range.length) as usize];
        fields.id = id;
        fields.values.clear();
        fields.values.resize(list.slots(), StoredValue::Missing);
        read(list.tree(), RawDocument::from_bytes(bytes)?, &mut fields.values)?;
        Ok(true)
    }

    fn find(&self, id: &Id) -> Option<ByteRange> {
        let guess = self.next.get();
        let index = match self.ranges.get(guess) {
            Some((guessed, _)) if guessed == id => guess,
            _ => self.ranges.binary_search_by(|(other, _)| other.cmp(id)).ok()?,
        };
        self.next.set(index + 1);
        Some(self.ranges[index].1)
    }
}

/// The ids of the entries of these rows, sorted.
pub(super) fn entry_ids<'a>(keys: impl Iterator<Item = &'a RowKey>) -> Vec<Id> {
    let mut ids: Vec<Id> = keys.map(|key| key.entry).collect();
    ids.sort_unstable();
    ids
}

/// The entries of these ids, in the given session: at a snapshot, or as they are now.
struct Fetch<'a> {
    cursor: SessionRawBatchCursor,
    session: &'a mut ClientSession,
    size: &'a EntrySize,
    /// Sorted.
    ids: &'a [Id],
    fields: &'a FieldList,
}

impl<'a> Fetch<'a> {
    async fn start(
        store: &'a Store,
        session: &'a mut ClientSession,
        ids: &'a [Id],
        fields: &'a FieldList,
        ranges: Option<Ranges>,
    ) -> Result<Fetch<'a>> {
        // The fields that the file depends on, and `_id`, which comes always.
        let below_id = |path: &str| path == "_id" || path.starts_with("_id.");
        let wanted = fields.outermost().filter(|path| !below_id(path)).map(|path| (path.to_owned(), Bson::Int32(1)));
        let wanted: Document = wanted.collect();
        let find = match ranges {
            Some(Ranges { filter, limit }) => store.entries.find(filter).limit(limit as i64).batch_size(limit as u32),
            None => store.entries.find(each(ids)).batch_size(ids.len() as u32 + 1),
        };
        let cursor = find.projection(wanted).session(&mut *session).batch().await?;
        Ok(Fetch { cursor, session, size: &store.entry_size, ids, fields })
    }

    /// The next answer, where the wanted entries lie in it, and the number of all that it holds.
    async fn next(&mut self) -> Result<Option<(RawBatch, Vec<(Id, ByteRange)>, usize)>> {
        let Some(answer) = self.cursor.stream(self.session).try_next().await? else { return Ok(None) };
        let (ranges, count) = ranges(&answer, self.ids, self.fields)?;
        self.size.observe(answer.as_raw_document().as_bytes().len(), count);
        Ok(Some((answer, ranges, count)))
    }
}

/// The entries of these ids, which are sorted, by one answer in the given session; `None` when they are more than an answer takes.
pub(super) async fn fetch(
    store: &Store,
    session: &mut ClientSession,
    ids: &[Id],
    fields: &FieldList,
) -> Result<Option<EntryChunk>> {
    let mut ranges = store.near_entries.ranges(ids);
    loop {
        let limit = ranges.as_ref().map_or(usize::MAX, |ranges| ranges.limit);
        let mut fetch = Fetch::start(store, session, ids, fields, ranges.take()).await?;
        let (answer, mut ranges) = match fetch.next().await? {
            Some((answer, ..)) if goes_on(&answer)? => return Ok(None),
            Some((.., count)) if count >= limit => {
                store.near_entries.expect(false);
                continue;
            }
            Some((answer, ranges, _)) => (Some(answer), ranges),
            None => {
                store.entry_size.observe(0, 0);
                (None, Vec::new())
            }
        };
        // They come in the order of the ids already; a sorted run costs one pass.
        ranges.sort_unstable_by_key(|(id, _)| *id);
        // One hash for each row, also where two rows name one entry: how they are cut into portions must not count.
        let of = |id: &Id| ranges.binary_search_by_key(id, |(id, _)| *id).map_or(0, |at| ranges[at].1.hash);
        let entries = ids.iter().fold(0, |sum: u64, id| sum.wrapping_add(of(id)));
        let fingerprint = Fingerprint { rows: 0, entries };
        return Ok(Some(EntryChunk { answer, ranges, next: Cell::new(0), exported: BTreeMap::new(), fingerprint }));
    }
}

/// Hashes of the present entries of these ids, which are sorted: by id. The entries are not kept.
pub(super) async fn hashes(
    store: &Store,
    session: &mut ClientSession,
    ids: &[Id],
    fields: &FieldList,
    near: &Neighbours,
) -> Result<Vec<(Id, u64)>> {
    let mut ranges = near.ranges(ids);
    loop {
        let limit = ranges.as_ref().map_or(usize::MAX, |ranges| ranges.limit);
        let mut fetch = Fetch::start(store, session, ids, fields, ranges.take()).await?;
        let (mut hashes, mut read) = (Vec::with_capacity(ids.len()), 0);
        while let Some((_, ranges, count)) = fetch.next().await? {
            hashes.extend(ranges.into_iter().map(|(id, range)| (id, range.hash)));
            read += count;
        }
        if read < limit {
            hashes.sort_unstable();
            return Ok(hashes);
        }
        near.expect(false);
    }
}

fn goes_on(answer: &RawBatch) -> Result<bool> {
    let cursor = answer.as_raw_document().get_document("cursor").map_err(StoreError::from)?;
    Ok(cursor.get_i64("id").map_err(StoreError::from)? != 0)
}

/// Where the entries of these ids lie, and the number of all entries in the answer.
fn ranges(answer: &RawBatch, ids: &[Id], fields: &FieldList) -> Result<(Vec<(Id, ByteRange)>, usize)> {
    let start = answer.as_raw_document().as_bytes().as_ptr() as usize;
    let (mut ranges, mut count, mut values) = (Vec::with_capacity(ids.len()), 0, Vec::new());
    for entry in answer.doc_slices()? {
        let entry = entry?.as_document().ok_or_else(|| StoreError::malformed("an entry is no document"))?;
        count += 1;
        let id = Id(entry.get_object_id("_id").map_err(StoreError::from)?.bytes());
        if ids.binary_search(&id).is_err() {
            continue;
        }
        let bytes = entry.as_bytes();
        let hash = if shows_only_fields(fields.tree(), entry)? {
            content_hash(bytes)
        } else {
            values.clear();
            values.resize(fields.slots(), StoredValue::Missing);
            read(fields.tree(), entry, &mut values)?;
            content_hash((id, &values))
        };
        let offset = (bytes.as_ptr() as usize - start) as u32;
        ranges.push((id, ByteRange { offset, length: bytes.len() as u32, hash }));
    }
    Ok((ranges, count))
}

/// Whether an answer has nothing but fields of these paths. An empty document shows what lies around a field: that it appears or goes is no
/// edit of the entry.
fn shows_only_fields(tree: &[PathNode], document: &RawDocument) -> Result<bool> {
    for node in tree.iter().filter(|node| !node.below.is_empty()) {
        let Some(RawBsonRef::Document(inside)) = document.get(&node.name).map_err(StoreError::from)? else {
            return Ok(false);
        };
        if node.slot.is_some() || inside.is_empty() || !shows_only_fields(&node.below, inside)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads each element of the document once. A value that cannot be read is no failure of the database: the entry is
/// refused by name, and the other entries are exported.
fn read<'a>(tree: &[PathNode], document: &'a RawDocument, values: &mut [StoredValue<'a>]) -> Result<()> {
    for element in document.iter_elements() {
        let element = element?;
        let Some(node) = tree.iter().find(|node| node.name == element.key().as_str()) else { continue };
        let value = element.value();
        match &value {
            Ok(RawBsonRef::Document(document)) => read(&node.below, document, values)?,
            Ok(RawBsonRef::Array(list)) if !list.is_empty() => inside_a_list(&node.below, values),
            Ok(_) | Err(_) => {}
        }
        if let Some(slot) = node.slot {
            values[slot] = match value {
                Ok(value) => stored(value),
                Err(_) if element.element_type() == ElementType::String => StoredValue::NotUtf8,
                Err(_) => StoredValue::Other("a value that cannot be read"),
            };
        }
    }
    Ok(())
}

/// A path through a list does not name a single value.
fn inside_a_list(tree: &[PathNode], values: &mut [StoredValue<'_>]) {
    for node in tree {
        if let Some(slot) = node.slot {
            values[slot] = StoredValue::Other("something inside a list, and the elements of lists cannot be read");
        }
        inside_a_list(&node.below, values);
    }
}

fn stored(value: RawBsonRef<'_>) -> StoredValue<'_> {
    match value {
        RawBsonRef::Null | RawBsonRef::Undefined => StoredValue::Missing,
        RawBsonRef::String(text) => StoredValue::Text(text),
        RawBsonRef::Int32(n) => StoredValue::Number(Number::Int(i64::from(n))),
        RawBsonRef::Int64(n) => StoredValue::Number(Number::Int(n)),
        RawBsonRef::Double(n) => StoredValue::Number(Number::Double(n)),
        RawBsonRef::Decimal128(n) => StoredValue::Number(Number::Decimal(n.bytes())),
        RawBsonRef::DateTime(date) => StoredValue::Date(date.timestamp_millis()),
        RawBsonRef::ObjectId(id) => StoredValue::Id(Id(id.bytes())),
        RawBsonRef::Boolean(_) => StoredValue::Other("true or false"),
        RawBsonRef::Array(_) => StoredValue::Other("a list"),
        RawBsonRef::Document(_) => StoredValue::Other("a document"),
        _ => StoredValue::Other("a value of another type"),
    }
}
