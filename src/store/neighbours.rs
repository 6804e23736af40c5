//! Documents of many ids, asked for by a few ranges of ids.
//!
//! A server reads a range twice as fast as the same documents one by one. The documents of a day mostly are neighbours,
//! because they were created one after the other. So a list of ids is cut at its widest gaps into a few ranges.
//!
//! Risk: strangers in a range, which nobody asked for. So an answer is limited to a quarter more documents than were
//! asked for, and its reader drops the strangers. When that is not enough, the documents of this collection are asked
//! for by their ids, for the rest of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::bson::{Bson, Document, doc};

use crate::id::Id;

/// The fewest ids that are worth it. One answer too many is a round trip more, which a small day would feel.
const IDS_MIN: usize = 2_000;
/// Ranges of one command.
const RANGES_MAX: usize = 8;

/// Whether the documents of a collection that belong together lie together. Shared by everything that reads them.
#[derive(Clone)]
pub(super) struct Neighbours(Arc<AtomicBool>);

/// Ranges that hold all ids of a list.
pub(super) struct Ranges {
    /// Matches the documents in the ranges, in the order of their ids.
    pub(super) filter: Document,
    /// The most documents that may be in the ranges. An answer with that number may lack some.
    pub(super) limit: usize,
}

impl Neighbours {
    pub(super) fn expected(are: bool) -> Neighbours {
        Neighbours(Arc::new(AtomicBool::new(are)))
    }

    /// Notes what an answer showed.
    pub(super) fn expect(&self, are: bool) {
        self.0.store(are, Ordering::Relaxed);
    }

    /// The ranges to ask for in place of these ids, which are sorted; `None` when they are to be asked for by themselves.
    pub(super) fn ranges(&self, ids: &[Id]) -> Option<Ranges> {
        let worth_it = self.0.load(Ordering::Relaxed) && ids.len() >= IDS_MIN;
        worth_it.then(|| Ranges { filter: ranges(ids), limit: ids.len() + ids.len() / 4 })
    }
}

/// Matches exactly these ids.
pub(super) fn each(ids: &[Id]) -> Document {
    doc! { "_id": { "$in": ids.iter().copied().map(Bson::from).collect::<Vec<_>>() } }
}

fn ranges(ids: &[Id]) -> Document {
    let mut ranges: Vec<Document> =
        spans(ids).map(|(first, last)| doc! { "_id": { "$gte": first, "$lte": last } }).collect();
    match ranges.len() {
        1 => ranges.swap_remove(0),
        _ => doc! { "$or": ranges },
    }
}

/// The first and the last id of each range.
fn spans(ids: &[Id]) -> impl Iterator<Item = (Id, Id)> {
    let mut gaps: Vec<(u128, usize)> =
        ids.windows(2).enumerate().map(|(at, pair)| (number(pair[1]) - number(pair[0]), at + 1)).collect();
    let widest = gaps.len().min(RANGES_MAX - 1);
    if widest < gaps.len() {
        gaps.select_nth_unstable_by(widest, |one, other| other.cmp(one));
    }
    // Next to each other, two ids need no cut.
    let mut cuts: Vec<usize> = gaps[..widest].iter().filter(|(gap, _)| *gap > 1).map(|(_, at)| *at).collect();
    cuts.sort_unstable();
    let starts: Vec<usize> = std::iter::once(0).chain(cuts.iter().copied()).collect();
    let ends: Vec<usize> = cuts.into_iter().chain([ids.len()]).collect();
    starts.into_iter().zip(ends).map(|(start, end)| (ids[start], ids[end - 1]))
}

fn number(id: Id) -> u128 {
    id.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u32) -> Id {
        let mut id = Id::ABSENT;
        id.0[8..].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[test]
    fn a_list_is_cut_at_its_widest_gaps() {
        let ids: Vec<Id> = (0..100).chain(500..600).chain([700]).map(id).collect();
        let found: Vec<(Id, Id)> = spans(&ids).collect();
        assert_eq!(found, [(id(0), id(99)), (id(500), id(599)), (id(700), id(700))]);
    }

    #[test]
    fn few_ids_and_those_among_strangers_are_asked_for_by_themselves() {
        let ids: Vec<Id> = (0..IDS_MIN as u32).map(id).collect();
        let near = Neighbours::expected(true);
        assert_eq!(near.ranges(&ids).map(|ranges| ranges.limit), Some(IDS_MIN + IDS_MIN / 4));
        assert!(near.ranges(&ids[1..]).is_none());
        near.expect(false);
        assert!(near.ranges(&ids).is_none());
    }

    proptest! {
        #[test]
        fn the_ranges_hold_every_id(numbers in proptest::collection::btree_set(0..10_000_u32, 1..300)) {
            let ids: Vec<Id> = numbers.into_iter().map(id).collect();
            let spans: Vec<(Id, Id)> = spans(&ids).collect();
            prop_assert!(spans.len() <= RANGES_MAX);
            prop_assert!(spans.is_sorted() && spans.iter().all(|(first, last)| first <= last));
            for id in ids {
                prop_assert!(spans.iter().any(|(first, last)| (first..=last).contains(&&id)));
            }
        }
    }
}
