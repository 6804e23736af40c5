//! How many entries one command asks for, so that the bytes in flight are limited.
//!
//! A server limits an answer to 16 MB, and no command can ask for less by bytes. So each answer says how large an entry is at the moment,
//! and the next command asks for as many as fit. Small entries are fetched by whole chunks, as if there were no limit.
//!
//! Risk: the first answer, and the first ones after entries became larger, can be full. So nothing else is fetched
//! before the size of an entry is known, and an answer that was cut off is discarded and asked for again in smaller
//! portions.

use std::sync::Arc;

use tokio::sync::watch;

use super::due::CHUNK_ROWS;

/// The bytes that the entries of one command may have together. A chunk of usual entries, some 400 bytes each, has half
/// of that.
const PORTION_BYTES: usize = 4 << 20;

/// Bytes of an entry, as far as they are fetched: the average of the last answer. Shared by everything that reads entries.
#[derive(Clone)]
pub(super) struct EntrySize(Arc<watch::Sender<Option<usize>>>);

impl EntrySize {
    pub(super) fn unknown() -> EntrySize {
        EntrySize(Arc::new(watch::Sender::new(None)))
    }

    /// Notes an answer. One without entries says nothing of their size, but nobody needs to wait for the first answer any longer.
    pub(super) fn observe(&self, bytes: usize, entries: usize) {
        self.0.send_modify(|size| {
            let seen = bytes.checked_div(entries).or(*size);
            *size = Some(seen.unwrap_or(0));
        });
    }

    /// Entries that one command should ask for: at least one.
    pub(super) fn per_command(&self) -> usize {
        let size = self.0.borrow().unwrap_or(0);
        PORTION_BYTES.checked_div(size).unwrap_or(CHUNK_ROWS).clamp(1, CHUNK_ROWS)
    }

    /// How many commands may be under way at a time: `most`, or one when a single entry is more than a portion.
    pub(super) fn in_flight(&self, most: usize) -> usize {
        if self.0.borrow().is_some_and(|size| size > PORTION_BYTES) { 1 } else { most }
    }

    /// Returns once there was an answer.
    pub(super) async fn known(&self) {
        // It fails only when the sender is gone, and that is `self`.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }
}

/// Cut into pieces, the last one shorter.
pub(super) fn chunks<T>(mut all: impl Iterator<Item = T>, length: usize) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let chunk: Vec<T> = all.by_ref().take(length).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_asks_for_as_many_entries_as_fit_and_for_a_whole_chunk_of_small_ones() {
        let size = EntrySize::unknown();
        assert_eq!(size.per_command(), CHUNK_ROWS);
        let answers = [(0, 0, CHUNK_ROWS), (5_000 * 421, 5_000, CHUNK_ROWS), (20_480 * 100, 100, 204)];
        let large = [(1 << 24, 16, 4), (1 << 24, 1, 1), (0, 0, 1), (421, 1, CHUNK_ROWS)];
        for (bytes, entries, expected) in answers.into_iter().chain(large) {
            size.observe(bytes, entries);
            assert_eq!(size.per_command(), expected, "after {bytes} bytes in {entries} entries");
        }
    }
}
