//! The due rows of the queue, and the search that finds them while their entries are already fetched.
//!
//! The file's order is `scheduledFor`, then `_id`. A server-side sort by it costs more than the rest of the join, and
//! an index that serves the query gives nearly that order: rows of one `scheduledFor` come in the order in which they
//! were queued, which is that of their `_id` except for neighbours. So [`InOrder`] holds a window of rows back, sorts
//! within it, and hands out chunks while the server goes on. Risk: a row that comes after its place in the order was
//! handed out. This is always noticed: the caller then starts again with all rows at once. The same happens for a row
//! without an ObjectId.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use futures_util::stream::{self, Stream};
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument, Timestamp, doc};
use mongodb::options::Hint;
use mongodb::raw_batch_cursor::{RawBatch, SessionRawBatchCursor};
use mongodb::{ClientSession, Collection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Store;
use super::document::bson_date;
use super::error::StoreError;
use super::neighbours::{Ranges, each};
use super::snapshot::snapshot_session;
use crate::failure::Invalid;
use crate::id::Id;

/// Rows that are handed out at a time, and whose entries are fetched by one command.
pub(super) const CHUNK_ROWS: usize = 5_000;
/// Queue rows per answer.
const ANSWER_ROWS: u32 = 5_000;
/// Answers that wait while entries are fetched.
const ANSWERS_AHEAD: usize = 3;
/// Rows that are handed out at first: fewer, so that the size of an entry is soon known.
const FIRST_ROWS: usize = 1_000;
/// Rows that wait in the window, because an earlier row may follow. With the first rows, they are one answer.
const WINDOW_ROWS: usize = ANSWER_ROWS as usize - FIRST_ROWS;
/// The bytes that a row may have for its `metadata` to be fetched as it is; usual are some 120.
const ROW_BYTES: usize = 400;

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
    rows.fold(0, |sum, row| {
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        sum.wrapping_add(hasher.finish())
    })
}

/// The due rows of a window.
#[derive(Debug, Default)]
pub struct DueRows {
    /// In the order of the file.
    pub rows: Vec<DueRow>,
    /// Rows that cannot be addressed, because their `_id` is no ObjectId: as text.
    pub unaddressable: Vec<String>,
}

/// How the type of a row's `metadata` becomes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metadata {
    /// By the whole value. The server is faster when it computes nothing; but the value can be large.
    Whole,
    /// By its type alone, which the server tells.
    Type,
}

impl Metadata {
    /// What a [`DueRow`] is made of.
    pub(super) fn row_fields(self) -> Document {
        let metadata = match self {
            Metadata::Whole => Bson::Int32(1),
            Metadata::Type => doc! { "$type": "$metadata" }.into(),
        };
        doc! { "entryId": 1, "scheduledFor": 1, "metadata": metadata }
    }

    /// Whether a mark can be written below this value, or in place of it.
    fn takes_a_mark(self, value: Option<RawBsonRef<'_>>) -> bool {
        match self {
            Metadata::Whole => {
                matches!(value, Some(RawBsonRef::Document(_) | RawBsonRef::Null | RawBsonRef::Undefined))
            }
            Metadata::Type => matches!(value, Some(RawBsonRef::String("object" | "missing" | "null" | "undefined"))),
        }
    }
}

/// A search for due rows that runs in the background. Dropping it ends it.
pub struct DueScan {
    /// Rows whose `scheduledFor` is no Date, which are searched for beside.
    undated: JoinHandle<Result<DueRows, StoreError>>,
    answers: mpsc::Receiver<Answer>,
    task: JoinHandle<()>,
}

/// Rows, or `None` at the end. A search that stops without `None` is an error, not the end.
type Answer = Result<Option<DueRows>, ScanError>;

impl Drop for DueScan {
    fn drop(&mut self) {
        self.task.abort();
        self.undated.abort();
    }
}

impl DueScan {
    /// Sends the query; returns the instant at which it reads, too.
    pub(super) async fn start(
        store: &Store,
        session: ClientSession,
        cutoff: DateTime<Utc>,
        metadata: Metadata,
    ) -> Result<(DueScan, Option<Timestamp>), StoreError> {
        let mut search = Search { store: store.clone(), session, cutoff, metadata };
        let cursor = search.begin().await?;
        let at = search.session.snapshot_time();
        let (sender, answers) = mpsc::channel(ANSWERS_AHEAD);
        let task = tokio::spawn(search.read_on(cursor, sender));
        let undated = tokio::spawn(read_undated(store.queue.clone(), snapshot_session(store, at).await?));
        Ok((DueScan { undated, answers, task }, at))
    }

    async fn next(&mut self) -> Answer {
        let ended = || Err(StoreError::failing("the search for due rows stopped before its end").into());
        self.answers.recv().await.unwrap_or_else(ended)
    }

    async fn undated(&mut self) -> Result<DueRows, StoreError> {
        let stopped = |_| StoreError::failing("the search for rows without a date stopped before its end");
        (&mut self.undated).await.map_err(stopped)?
    }

    /// All due rows, sorted. The search must be one by types, which takes rows of any size.
    pub(super) async fn all(mut self) -> Result<DueRows, StoreError> {
        let mut due = self.undated().await?;
        let failed = |error| match error {
            ScanError::Failed(error) => error,
            ScanError::Irregular => StoreError::failing("the search for due rows met rows that are too large for it"),
        };
        while let Some(answer) = self.next().await.map_err(failed)? {
            due.extend(answer);
        }
        due.rows.sort_unstable();
        Ok(due)
    }

    /// The due rows in the order of the file, 5,000 at a time, as soon as it is likely that no earlier one follows.
    /// `all_found` gets the number of rows once it is known.
    pub fn in_order(self, all_found: impl Fn(u64)) -> impl Stream<Item = Result<Vec<DueRow>, ScanError>> {
        let in_order = InOrder::new(self, WINDOW_ROWS, [FIRST_ROWS, CHUNK_ROWS], all_found);
        stream::try_unfold(
            in_order,
            |mut in_order| async move { Ok(in_order.next().await?.map(|chunk| (chunk, in_order))) },
        )
    }
}

impl DueRows {
    fn extend(&mut self, more: DueRows) {
        self.rows.extend(more.rows);
        self.unaddressable.extend(more.unaddressable);
    }
}

/// Rows that are all there, 5,000 at a time.
pub fn in_chunks(rows: &[DueRow]) -> impl Stream<Item = Result<Vec<DueRow>, StoreError>> {
    stream::iter(rows.chunks(CHUNK_ROWS).map(|chunk| Ok(chunk.to_vec())))
}

/// Entries by their ids, 5,000 at a time, as if each had a row.
pub fn of_entries(ids: &[Id]) -> impl Stream<Item = Result<Vec<DueRow>, StoreError>> {
    let row = |&entry: &Id| DueRow { key: RowKey { row: Id::ABSENT, entry }, ..DueRow::default() };
    stream::iter(ids.chunks(CHUNK_ROWS).map(move |chunk| Ok(chunk.iter().map(row).collect())))
}

/// Why the rows cannot be had in order.
#[derive(Clone, Debug)]
pub enum ScanError {
    /// A row came too late for the window that sorts the rows, has no ObjectId as `_id`, or has a large `metadata` after many small ones.
    Irregular,
    /// The database fails.
    Failed(StoreError),
}

impl From<StoreError> for ScanError {
    fn from(error: StoreError) -> ScanError {
        ScanError::Failed(error)
    }
}

/// Sorts within a window.
struct InOrder<F> {
    scan: DueScan,
    window_rows: usize,
    first_rows: usize,
    chunk_rows: usize,
    /// Sorted.
    window: Vec<DueRow>,
    /// The last row that was handed out.
    given: Option<DueRow>,
    found: u64,
    ended: bool,
    all_found: F,
}

impl<F: Fn(u64)> InOrder<F> {
    fn new(scan: DueScan, window_rows: usize, [first_rows, chunk_rows]: [usize; 2], all_found: F) -> InOrder<F> {
        let window = Vec::new();
        InOrder { scan, window_rows, first_rows, chunk_rows, window, given: None, found: 0, ended: false, all_found }
    }

    async fn next(&mut self) -> Result<Option<Vec<DueRow>>, ScanError> {
        let mut length = if self.given.is_none() { self.first_rows } else { self.chunk_rows };
        while !self.ended && self.window.len() < self.window_rows + length {
            match self.scan.next().await? {
                Some(answer) => self.take_in(answer)?,
                None => {
                    self.ended = true;
                    (self.all_found)(self.found);
                }
            }
        }
        // A small day is one chunk.
        if self.ended && self.window.len() <= self.chunk_rows {
            length = self.window.len();
        }
        let chunk: Vec<DueRow> = self.window.drain(..self.window.len().min(length)).collect();
        self.given = chunk.last().copied().or(self.given);
        if !chunk.is_empty() {
            return Ok(Some(chunk));
        }
        // They come first in the file, and hardly ever are there any.
        match self.scan.undated().await? {
            none if none.rows.is_empty() && none.unaddressable.is_empty() => Ok(None),
            _ => Err(ScanError::Irregular),
        }
    }

    fn take_in(&mut self, answer: DueRows) -> Result<(), ScanError> {
        let late = |row: &DueRow| self.given.is_some_and(|given| *row < given);
        if !answer.unaddressable.is_empty() || answer.rows.iter().any(late) {
            return Err(ScanError::Irregular);
        }
        self.found += answer.rows.len() as u64;
        self.window.extend(answer.rows);
        self.window.sort();
        Ok(())
    }
}

async fn read_undated(queue: Collection<Document>, mut session: ClientSession) -> Result<DueRows, StoreError> {
    let mut undated = DueRows::default();
    let by_type = Metadata::Type;
    let find = queue.find(undated_filter()).projection(by_type.row_fields());
    let mut cursor = find.session(&mut session).batch().await?;
    let mut batches = cursor.stream(&mut session);
    while let Some(batch) = batches.try_next().await? {
        undated.extend(rows_of(&batch, by_type)?);
    }
    Ok(undated)
}

/// The search itself.
struct Search {
    store: Store,
    session: ClientSession,
    cutoff: DateTime<Utc>,
    metadata: Metadata,
}

impl Search {
    async fn begin(&mut self) -> mongodb::error::Result<SessionRawBatchCursor> {
        let find = self.store.queue.find(due_filter(self.cutoff)).projection(self.metadata.row_fields());
        find.batch_size(ANSWER_ROWS).session(&mut self.session).batch().await
    }

    /// Reads until the end, as far ahead as the receiver allows. Rows that turn out to be large at once are searched for again by their types.
    async fn read_on(mut self, mut cursor: SessionRawBatchCursor, answers: mpsc::Sender<Answer>) {
        let mut is_first = true;
        loop {
            let found = cursor.stream(&mut self.session).try_next().await;
            let answer = match found {
                Ok(Some(batch)) if self.is_large(&batch) && is_first => {
                    self.metadata = Metadata::Type;
                    drop((batch, cursor));
                    match self.begin().await {
                        Ok(again) => cursor = again,
                        Err(error) => return drop(answers.send(Err(StoreError::from(error).into())).await),
                    }
                    continue;
                }
                Ok(Some(batch)) if self.is_large(&batch) => Err(ScanError::Irregular),
                Ok(Some(batch)) => rows_of(&batch, self.metadata).map(Some).map_err(ScanError::Failed),
                Ok(None) => Ok(None),
                Err(error) => Err(StoreError::from(error).into()),
            };
            is_first = false;
            let goes_on = matches!(answer, Ok(Some(_)));
            if answers.send(answer).await.is_err() || !goes_on {
                return;
            }
        }
    }

    /// Whether an answer has more bytes than one of so many rows should have.
    fn is_large(&self, batch: &RawBatch) -> bool {
        let is_large = self.metadata == Metadata::Whole
            && batch.as_raw_document().as_bytes().len() > ANSWER_ROWS as usize * ROW_BYTES;
        self.store.near_rows.expect(self.metadata == Metadata::Whole && !is_large);
        is_large
    }
}

fn rows_of(batch: &RawBatch, metadata: Metadata) -> Result<DueRows, StoreError> {
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

/// The rows of these ids that match a filter, in no order.
pub(super) async fn rows_of_ids(
    queue: &Collection<Document>,
    session: &mut ClientSession,
    rows: &[Id],
    mut filter: Document,
) -> Result<Vec<DueRow>, StoreError> {
    filter.extend(each(rows));
    let by_type = Metadata::Type;
    let find = queue.find(filter).projection(by_type.row_fields()).hint(by_id()).batch_size(rows.len() as u32 + 1);
    let mut cursor = find.session(&mut *session).batch().await?;
    let mut batches = cursor.stream(session);
    let mut found = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        found.extend(rows_of(&batch, by_type)?.rows);
    }
    Ok(found)
}

/// Queued rows of these ids, which are sorted, in no order, as far as they can be read by ranges. A row that is queued in an unusual way, with a
/// list in place of a text, is not among them: whoever misses a row asks for it by its id.
pub(super) async fn queued_neighbours(
    store: &Store,
    session: &mut ClientSession,
    rows: &[Id],
) -> Result<Vec<DueRow>, StoreError> {
    let Some(Ranges { filter, limit }) = store.near_rows.ranges(rows) else { return Ok(Vec::new()) };
    let whole = Metadata::Whole;
    let mut fields = whole.row_fields();
    fields.extend(doc! { "status": 1, "exportPath": 1 });
    // The rows are looked at here and not by a filter, so that the server reads no more of them than the limit.
    let find = store.queue.find(filter).projection(fields).limit(limit as i64).batch_size(limit as u32);
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
    Ok(found)
}

/// The index on `_id`: with `status` in the filter the server may try another one first.
pub(super) fn by_id() -> Hint {
    Hint::Keys(doc! { "_id": 1 })
}

/// Queued rows whose `scheduledFor` is not a Date. The filter lists the other types, because each type is a range of
/// the index: a negation would read every queued row. (A list of dates matches by its dates. Lists of lists are no
/// range of it; `never_due` counts them.)
pub(super) fn undated_filter() -> Document {
    let types = [
        "double",
        "string",
        "object",
        "binData",
        "objectId",
        "bool",
        "regex",
        "javascript",
        "javascriptWithScope",
        "symbol",
        "dbPointer",
        "int",
        "timestamp",
        "long",
        "decimal",
        "minKey",
        "maxKey",
    ];
    let queued = |condition: Document| {
        doc! { "exportPath": "scheduled", "status": "queued", "scheduledFor": condition }
    };
    doc! { "$or": [queued(doc! { "$in": [null, []] }), queued(doc! { "$type": &types[..] })] }
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
pub(super) fn due_row(row: &RawDocument, metadata: Metadata) -> Result<Result<DueRow, String>, StoreError> {
    let mut due = DueRow { scheduled_ms: NO_DATE, ..DueRow::default() };
    for element in row.iter_elements() {
        let element = element?;
        // A text that is not UTF-8 cannot be read, and is none of the values that count here.
        match (element.key().as_str(), element.value()) {
            ("_id", Ok(RawBsonRef::ObjectId(id))) => due.key.row = Id(id.bytes()),
            ("_id", Ok(other)) => return Ok(Err(format!("{other:?}"))),
            ("_id", Err(_)) => return Ok(Err("a text that is not UTF-8".to_owned())),
            ("entryId", Ok(RawBsonRef::ObjectId(id))) => due.key.entry = Id(id.bytes()),
            ("scheduledFor", Ok(RawBsonRef::DateTime(date))) => due.scheduled_ms = date.timestamp_millis(),
            ("metadata", value) => due.unmarkable = !metadata.takes_a_mark(value.ok()),
            _ => {}
        }
    }
    Ok(Ok(due))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: usize = 6;
    const FIRST: usize = 2;
    const CHUNK: usize = 3;

    fn row(number: usize) -> DueRow {
        let key = RowKey { row: Id([number as u8; 12]), entry: Id::ABSENT };
        DueRow { scheduled_ms: (number / 4) as i64, key, unmarkable: false }
    }

    fn none_undated() -> JoinHandle<Result<DueRows, StoreError>> {
        tokio::spawn(async { Ok(DueRows::default()) })
    }

    /// What comes out when these answers come in; `None`: irregular.
    fn ordered(answers: Vec<DueRows>) -> Option<Vec<Vec<DueRow>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sender, receiver) = mpsc::channel(1);
            let task = tokio::spawn(async move {
                for answer in answers.into_iter().map(Some).chain([None]) {
                    let _ = sender.send(Ok(answer)).await;
                }
            });
            let mut in_order = InOrder::new(
                DueScan { undated: none_undated(), answers: receiver, task },
                WINDOW,
                [FIRST, CHUNK],
                |_| (),
            );
            let mut chunks = Vec::new();
            loop {
                match in_order.next().await {
                    Ok(Some(chunk)) => chunks.push(chunk),
                    Ok(None) => return Some(chunks),
                    Err(ScanError::Irregular) => return None,
                    Err(ScanError::Failed(error)) => panic!("{error}"),
                }
            }
        })
    }

    fn in_answers(rows: &[DueRow], length: usize) -> Vec<DueRows> {
        rows.chunks(length).map(|rows| DueRows { rows: rows.to_vec(), unaddressable: Vec::new() }).collect()
    }

    #[test]
    fn a_search_that_stops_is_no_search_that_found_everything() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sender, receiver) = mpsc::channel(1);
            let answer = DueRows { rows: (0..3).map(row).collect(), unaddressable: Vec::new() };
            let task = tokio::spawn(async move { drop(sender.send(Ok(Some(answer))).await) });
            assert!(DueScan { undated: none_undated(), answers: receiver, task }.all().await.is_err());
        });
    }

    #[test]
    fn a_row_that_cannot_be_addressed_ends_it() {
        let mut answers = in_answers(&(0..20).map(row).collect::<Vec<_>>(), 5);
        answers[3].unaddressable.push("7".to_owned());
        assert_eq!(ordered(answers), None);
    }

    proptest! {
        #[test]
        fn what_comes_in_any_order_comes_out_sorted_or_not_at_all(
            order in Just((0..40).collect::<Vec<usize>>()).prop_shuffle(), length in 1..9usize,
        ) {
            let found: Vec<DueRow> = order.into_iter().map(row).collect();
            if let Some(chunks) = ordered(in_answers(&found, length)) {
                prop_assert_eq!(chunks[0].len(), FIRST);
                prop_assert!(chunks[1..].iter().rev().skip(1).all(|chunk| chunk.len() == CHUNK));
                prop_assert_eq!(chunks.concat(), (0..40).map(row).collect::<Vec<_>>());
            }
        }

        #[test]
        fn neighbours_that_changed_places_are_put_right(
            swaps in proptest::collection::vec(0..38usize, 0..20), length in 1..9usize,
        ) {
            // Moved by two places: less than the window.
            let mut order: Vec<usize> = (0..40).collect();
            let mut touched = [false; 40];
            for at in swaps {
                if !touched[at] && !touched[at + 1] && !touched[at + 2] {
                    order.swap(at, at + 2);
                    touched[at..at + 3].fill(true);
                }
            }
            let found: Vec<DueRow> = order.into_iter().map(row).collect();
            let chunks = ordered(in_answers(&found, length)).expect("within the window");
            prop_assert_eq!(chunks.concat(), (0..40).map(row).collect::<Vec<_>>());
        }

        #[test]
        fn a_row_that_comes_too_late_is_always_noticed(late in 0..20usize) {
            let order: Vec<usize> = (0..40).filter(|number| *number != late).chain([late]).collect();
            let found: Vec<DueRow> = order.into_iter().map(row).collect();
            prop_assert_eq!(ordered(in_answers(&found, 5)), None);
        }
    }
}
