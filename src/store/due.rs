//! The due rows of the queue: what makes a row due, how it is read, and how the commit sees it again.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use mongodb::action::Find;
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument, doc};
use mongodb::options::Hint;
use mongodb::raw_batch_cursor::RawBatch;
use mongodb::{ClientSession, Collection};

use super::Store;
use super::document::bson_date;
use super::error::{Result, StoreError};
use super::neighbours::{Ranges, each};
use crate::failure::Invalid;
use crate::id::{Id, content_hash};

/// Rows that are handed out at a time, and whose entries are fetched by one command.
pub(super) const CHUNK_ROWS: usize = 5_000;

/// The ids of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// `_id` of the queue row.
    pub row: Id,
    /// `entryId`; [`Id::ABSENT`] when the row has none.
    pub entry: Id,
}

impl RowKey {
    /// The row in a list of entries that are not exported.
    pub fn invalid(&self, reason: String) -> Invalid {
        let entry_id = if self.entry == Id::ABSENT { String::new() } else { self.entry.to_string() };
        Invalid { entry_id, row_id: self.row.to_string(), reason }
    }
}

/// A due row, in the order of the file: `scheduledFor`, then `_id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DueRow {
    /// `scheduledFor`, milliseconds since 1970 UTC; [`NO_DATE`] when that is no Date.
    pub scheduled_ms: i64,
    /// What it is known by.
    pub key: RowKey,
    /// Whether `metadata` holds something that a mark would destroy: no object, and not absent or null either.
    pub unmarkable: bool,
}

/// Stands for a `scheduledFor` that is no Date: such rows come first, and are always invalid.
pub const NO_DATE: i64 = i64::MIN;

/// A sum over rows: equal when each of them still names the same entry and is due at the same time.
pub(super) fn fingerprint<'a>(rows: impl Iterator<Item = &'a DueRow>) -> u64 {
    rows.fold(0, |sum, row| sum.wrapping_add(content_hash(row)))
}

#[derive(Debug, Default)]
pub struct DueRows {
    /// In the order of the file.
    pub rows: Vec<DueRow>,
    /// Rows that cannot be addressed, because their `_id` is no ObjectId: as text.
    pub unaddressable: Vec<String>,
}

/// How the type of a row's `metadata` becomes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowMetadata {
    /// By the whole value. The server is faster when it computes nothing; but the value can be large.
    Whole,
    /// By its type alone, which the server reports.
    Type,
}

impl RowMetadata {
    /// What a [`DueRow`] is made of.
    pub(super) fn row_fields(self) -> Document {
        let metadata = match self {
            RowMetadata::Whole => Bson::Int32(1),
            RowMetadata::Type => doc! { "$type": "$metadata" }.into(),
        };
        doc! { "entryId": 1, "scheduledFor": 1, "metadata": metadata }
    }

    /// Whether a mark can be written below this value, or in place of it.
    fn takes_a_mark(self, value: Option<RawBsonRef<'_>>) -> bool {
        match self {
            RowMetadata::Whole => {
                matches!(value, Some(RawBsonRef::Document(_) | RawBsonRef::Null | RawBsonRef::Undefined))
            }
            RowMetadata::Type => matches!(value, Some(RawBsonRef::String("object" | "missing" | "null" | "undefined"))),
        }
    }
}

impl DueRows {
    pub(super) fn extend(&mut self, more: DueRows) {
        self.rows.extend(more.rows);
        self.unaddressable.extend(more.unaddressable);
    }
}

pub(super) fn rows_of(batch: &RawBatch, metadata: RowMetadata) -> Result<DueRows> {
    let mut due = DueRows::default();
    for row in batch.doc_slices()? {
        let row = row?.as_document().ok_or_else(|| StoreError::malformed("a row is no document"))?;
        match due_row(row, metadata)? {
            Ok(row) => due.rows.push(row),
            Err(id) => due.unaddressable.push(id),
        }
    }
    Ok(due)
}

/// The rows that a search finds, in no order.
pub(super) async fn read_rows(find: Find<'_, Document>, session: &mut ClientSession) -> Result<DueRows> {
    let by_type = RowMetadata::Type;
    let mut cursor = find.projection(by_type.row_fields()).session(&mut *session).batch().await?;
    let mut batches = cursor.stream(session);
    let mut due = DueRows::default();
    while let Some(batch) = batches.try_next().await? {
        due.extend(rows_of(&batch, by_type)?);
    }
    Ok(due)
}

/// The rows of these ids that match a filter, in no order.
pub(super) async fn rows_of_ids(
    queue: &Collection<Document>,
    session: &mut ClientSession,
    rows: &[Id],
    mut filter: Document,
) -> Result<Vec<DueRow>> {
    filter.extend(each(rows));
    Ok(read_rows(queue.find(filter).hint(by_id()).batch_size(rows.len() as u32 + 1), session).await?.rows)
}

/// Queued rows that were read by ranges.
#[derive(Default)]
pub(super) struct NearRows {
    /// In no order.
    pub(super) rows: Vec<DueRow>,
    /// Matches the rows that are asked for and no other: there was no stranger among what was read.
    pub(super) alone: Option<Document>,
}

/// Queued rows of these ids, which are sorted, as far as they can be read by ranges. A row that is queued in an unusual way, with a
/// list in place of a text, is not among them: whoever misses a row asks for it by its id.
pub(super) async fn queued_neighbours(store: &Store, session: &mut ClientSession, rows: &[Id]) -> Result<NearRows> {
    let Some(Ranges { filter, limit }) = store.near_rows.ranges(rows) else { return Ok(NearRows::default()) };
    let whole = RowMetadata::Whole;
    let mut fields = whole.row_fields();
    fields.extend(doc! { "status": 1, "exportPath": 1 });
    // The rows are looked at here and not by a filter, so that the server reads no more of them than the limit.
    let find = store.queue.find(filter.clone()).projection(fields).limit(limit as i64).batch_size(limit as u32);
    let mut cursor = find.session(&mut *session).batch().await?;
    let mut batches = cursor.stream(session);
    let (mut found, mut read) = (Vec::with_capacity(rows.len()), 0);
    while let Some(batch) = batches.try_next().await? {
        for row in batch.doc_slices()? {
            let row = row?.as_document().ok_or_else(|| StoreError::malformed("a row is no document"))?;
            read += 1;
            let is_queued =
                matches!(row.get_str("status"), Ok("queued")) && matches!(row.get_str("exportPath"), Ok("scheduled"));
            let due = if is_queued { due_row(row, whole)?.ok() } else { None };
            found.extend(due.filter(|due| rows.binary_search(&due.key.row).is_ok()));
        }
    }
    if read >= limit {
        store.near_rows.expect(false);
    }
    let alone = (read == rows.len() && found.len() == read).then_some(filter);
    Ok(NearRows { rows: found, alone })
}

/// The index on `_id`: with `status` in the filter the server may try another one first.
pub(super) fn by_id() -> Hint {
    Hint::Keys(doc! { "_id": 1 })
}

/// Queued rows whose `scheduledFor` is not a Date. The filter lists the other types, because each type is a range of
/// the index: a negation would read every queued row. (A list of dates matches by its dates. Lists of lists are no
/// range of it; `never_due` counts them.)
pub(super) fn undated_filter() -> Document {
    let types = "double string object binData objectId bool regex javascript javascriptWithScope symbol dbPointer int \
                 timestamp long decimal minKey maxKey";
    let types: Vec<&str> = types.split(' ').collect();
    let queued = |condition: Document| {
        doc! { "exportPath": "scheduled", "status": "queued", "scheduledFor": condition }
    };
    doc! { "$or": [queued(doc! { "$in": [null, []] }), queued(doc! { "$type": types })] }
}

/// What a row of the file must still be at the commit: due, or, when it is held back, without a date.
pub(super) fn open_filter(cutoff: DateTime<Utc>) -> Document {
    let no_date = doc! { "scheduledFor": { "$not": { "$type": "date" } } };
    let list = doc! { "scheduledFor": { "$type": "array" } };
    let due = doc! { "scheduledFor": { "$lte": bson_date(cutoff) } };
    doc! { "exportPath": "scheduled", "status": "queued", "$or": [due, no_date, list] }
}

/// What makes a row due.
pub(super) fn due_filter(cutoff: DateTime<Utc>) -> Document {
    doc! { "exportPath": "scheduled", "status": "queued", "scheduledFor": { "$lte": bson_date(cutoff) } }
}

/// A row in memory, or its `_id` as text when that is no ObjectId.
pub(super) fn due_row(row: &RawDocument, metadata: RowMetadata) -> Result<Result<DueRow, String>> {
    let mut due = DueRow { scheduled_ms: NO_DATE, ..DueRow::default() };
    for element in row.iter_elements() {
        let element = element?;
        // A text that is not UTF-8 cannot be read, and is none of the values that count here.
        match (element.key().as_str(), element.value()) {
            ("_id", Ok(RawBsonRef::ObjectId(id))) => due.key.row = Id(id.bytes()),
            ("_id", Ok(other)) => {
                return Ok(Err(Bson::try_from(other).map_or_else(|_| "?".to_owned(), |id| id.to_string())));
            }
            ("_id", Err(_)) => return Ok(Err("a text that is not UTF-8".to_owned())),
            ("entryId", Ok(RawBsonRef::ObjectId(id))) => due.key.entry = Id(id.bytes()),
            ("scheduledFor", Ok(RawBsonRef::DateTime(date))) => due.scheduled_ms = date.timestamp_millis(),
            ("metadata", value) => due.unmarkable = !metadata.takes_a_mark(value.ok()),
            _ => {}
        }
    }
    Ok(Ok(due))
}
