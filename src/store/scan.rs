//! The search for due rows, which goes on while their entries are already fetched.
//!
//! The file's order is `scheduledFor`, then `_id`. A server-side sort by it costs more than the rest of the join, and
//! an index that serves the query gives nearly that order: rows of one `scheduledFor` come in the order in which they
//! were queued, which is that of their `_id` except for neighbours. So [`InOrder`] holds a window of rows back, sorts
//! within it, and hands out chunks while the server goes on. Risk: a row that comes after its place in the order was
//! handed out. This is always noticed: the caller then starts again with all rows at once. The same happens for a row
//! without an ObjectId, and when rows with a large `metadata` follow small ones.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use futures_util::stream::{self, Stream};
use mongodb::ClientSession;
use mongodb::bson::Timestamp;
use mongodb::raw_batch_cursor::{RawBatch, SessionRawBatchCursor};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::Store;
use super::due::{CHUNK_ROWS, DueRow, DueRows, RowKey, RowMetadata, due_filter, read_rows, rows_of, undated_filter};
use super::error::{Result, StoreError};
use crate::failure::Failure;
use crate::id::Id;

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

/// A search for due rows that runs in the background. Dropping it ends it.
pub struct DueScan {
    /// Rows whose `scheduledFor` is no Date, which are searched for beside.
    undated: AbortOnDropHandle<Result<DueRows>>,
    answers: mpsc::Receiver<ScanAnswer>,
    _task: AbortOnDropHandle<()>,
}

/// Rows, or `None` at the end. A search that stops without `None` is an error, not the end.
type ScanAnswer = Result<Option<DueRows>, ScanError>;

impl DueScan {
    /// Sends the query; returns the instant at which it reads, too.
    pub(super) async fn start(
        store: &Store,
        session: ClientSession,
        cutoff: DateTime<Utc>,
        metadata: RowMetadata,
    ) -> Result<(DueScan, Option<Timestamp>)> {
        let mut search = Search { store: store.clone(), session, cutoff, metadata };
        let cursor = search.begin().await?;
        let at = search.session.snapshot_time();
        let (sender, answers) = mpsc::channel(ANSWERS_AHEAD);
        let task = AbortOnDropHandle::new(tokio::spawn(search.read_on(cursor, sender)));
        let (queue, mut session) = (store.queue.clone(), store.snapshot_session(at).await?);
        let undated = async move { read_rows(queue.find(undated_filter()), &mut session).await };
        let undated = AbortOnDropHandle::new(tokio::spawn(undated));
        Ok((DueScan { undated, answers, _task: task }, at))
    }

    async fn next(&mut self) -> ScanAnswer {
        let ended = || Err(StoreError::failing("the search for due rows stopped before its end").into());
        self.answers.recv().await.unwrap_or_else(ended)
    }

    async fn undated(&mut self) -> Result<DueRows> {
        let stopped = |_| StoreError::failing("the search for rows without a date stopped before its end");
        (&mut self.undated).await.map_err(stopped)?
    }

    /// All due rows, sorted. The search must be one by types, which takes rows of any size.
    pub(super) async fn all(mut self) -> Result<DueRows, Failure> {
        let mut due = self.undated().await?;
        let failed = |error| match error {
            ScanError::Failed(failure) => failure,
            ScanError::Irregular => {
                StoreError::failing("the search for due rows met rows that are too large for it").into()
            }
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

/// Rows that are all there, 5,000 at a time.
pub fn in_chunks(rows: &[DueRow]) -> impl Stream<Item = Result<Vec<DueRow>>> {
    stream::iter(rows.chunks(CHUNK_ROWS).map(|chunk| Ok(chunk.to_vec())))
}

/// Entries by their ids, 5,000 at a time, as if each had a row.
pub fn of_entries(ids: &[Id]) -> impl Stream<Item = Result<Vec<DueRow>>> {
    let row = |&entry: &Id| DueRow { key: RowKey { row: Id::ABSENT, entry }, ..DueRow::default() };
    stream::iter(ids.chunks(CHUNK_ROWS).map(move |chunk| Ok(chunk.iter().map(row).collect())))
}

/// Why the rows cannot be had in order.
#[derive(Clone, Debug)]
pub enum ScanError {
    /// A row came too late for the window that sorts the rows, has no ObjectId as `_id`, or has a large `metadata` after many small ones.
    Irregular,
    /// The search failed, or what is made of its rows.
    Failed(Failure),
}

impl From<StoreError> for ScanError {
    fn from(error: StoreError) -> ScanError {
        ScanError::Failed(error.into())
    }
}

impl From<Failure> for ScanError {
    fn from(failure: Failure) -> ScanError {
        ScanError::Failed(failure)
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

/// The search itself.
struct Search {
    store: Store,
    session: ClientSession,
    cutoff: DateTime<Utc>,
    metadata: RowMetadata,
}

impl Search {
    async fn begin(&mut self) -> mongodb::error::Result<SessionRawBatchCursor> {
        let find = self.store.queue.find(due_filter(self.cutoff)).projection(self.metadata.row_fields());
        find.batch_size(ANSWER_ROWS).session(&mut self.session).batch().await
    }

    /// Reads until the end, as far ahead as the receiver allows. Rows that turn out to be large at once are searched for again by their types.
    async fn read_on(mut self, mut cursor: SessionRawBatchCursor, answers: mpsc::Sender<ScanAnswer>) {
        let mut is_first = true;
        loop {
            let found = cursor.stream(&mut self.session).try_next().await;
            let answer = match found {
                Ok(Some(batch)) if self.is_large(&batch) && is_first => {
                    self.metadata = RowMetadata::Type;
                    drop((batch, cursor));
                    match self.begin().await {
                        Ok(again) => cursor = again,
                        Err(error) => return drop(answers.send(Err(StoreError::from(error).into())).await),
                    }
                    continue;
                }
                Ok(Some(batch)) if self.is_large(&batch) => Err(ScanError::Irregular),
                Ok(Some(batch)) => rows_of(&batch, self.metadata).map(Some).map_err(ScanError::from),
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

    /// Whether an answer has more bytes than its number of rows should have.
    fn is_large(&self, batch: &RawBatch) -> bool {
        let is_large = self.metadata == RowMetadata::Whole
            && batch.as_raw_document().as_bytes().len() > ANSWER_ROWS as usize * ROW_BYTES;
        self.store.near_rows.expect(self.metadata == RowMetadata::Whole && !is_large);
        is_large
    }
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

    fn none_undated() -> AbortOnDropHandle<Result<DueRows>> {
        AbortOnDropHandle::new(tokio::spawn(async { Ok(DueRows::default()) }))
    }

    /// What comes out when these answers come in; `None`: irregular.
    fn ordered(answers: Vec<DueRows>) -> Option<Vec<Vec<DueRow>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sender, receiver) = mpsc::channel(1);
            let task = AbortOnDropHandle::new(tokio::spawn(async move {
                for answer in answers.into_iter().map(Some).chain([None]) {
                    let _ = sender.send(Ok(answer)).await;
                }
            }));
            let mut in_order = InOrder::new(
                DueScan { undated: none_undated(), answers: receiver, _task: task },
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
            let sending = tokio::spawn(async move { drop(sender.send(Ok(Some(answer))).await) });
            let task = AbortOnDropHandle::new(sending);
            assert!(DueScan { undated: none_undated(), answers: receiver, _task: task }.all().await.is_err());
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
