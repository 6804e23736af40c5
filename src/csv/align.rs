//! Which line of a copy is which line of the official file, by keys of their content.
//!
//! Risk: one removed line, after which every other one seems to have changed; or a sorted copy, of which every line seems to have changed. So
//! lines with equal keys belong together wherever they are, in the order of both files as far as possible. Needs a few tens of bytes a line.

/// A line without a partner.
pub(super) const NONE: u32 = u32::MAX;

/// The lines of two files, and how they belong together.
pub(super) struct Pairs {
    /// For each official line the line of the copy, from 0, or [`NONE`].
    pub(super) copies: Vec<u32>,
    taken: Vec<bool>,
}

impl Pairs {
    /// Pairs lines whose keys are equal.
    pub(super) fn of(official: &[u64], copy: &[u64]) -> Pairs {
        let mut pairs = Pairs { copies: vec![NONE; official.len()], taken: vec![false; copy.len()] };
        let (ours, theirs) = (sorted(official), sorted(copy));
        let anchors = unique_in_both(&ours, &theirs);
        let kept = longest_rising(anchors.iter().map(|(_, copy)| *copy));
        let ends = [(official.len(), copy.len())];
        let fixed = kept.into_iter().map(|at| (anchors[at].0 as usize, anchors[at].1 as usize)).chain(ends);
        let (mut from, mut next) = (0, 0);
        for (until, copy_until) in fixed {
            // Between two lines that are certain, equal keys are taken in their order.
            for (line, wanted) in official.iter().enumerate().take(until).skip(from) {
                let at = theirs.partition_point(|found| *found < (*wanted, next as u32));
                if let Some((key, found)) = theirs.get(at).copied()
                    && key == *wanted
                    && (found as usize) < copy_until
                {
                    pairs.join(line, found);
                    next = found as usize + 1;
                }
            }
            if until < official.len() {
                pairs.join(until, copy_until as u32);
            }
            (from, next) = (until + 1, copy_until + 1);
        }
        pairs.join_equal(&ours, &theirs);
        pairs
    }

    fn join(&mut self, line: usize, copy: u32) {
        self.copies[line] = copy;
        self.taken[copy as usize] = true;
    }

    /// Pairs what is left by other keys, wherever it is; lines without such a key stay alone.
    pub(super) fn join_by(&mut self, official: &[Option<u64>], copy: &[Option<u64>]) {
        let known = |keys: &[Option<u64>]| {
            let known = keys.iter().enumerate().filter_map(|(line, key)| Some(((*key)?, line as u32)));
            let mut known: Vec<(u64, u32)> = known.collect();
            known.sort_unstable();
            known
        };
        self.join_equal(&known(official), &known(copy));
    }

    fn join_equal(&mut self, ours: &[(u64, u32)], theirs: &[(u64, u32)]) {
        let mut next = 0;
        for (key, line) in ours.iter().filter(|(_, line)| self.copies[*line as usize] == NONE).collect::<Vec<_>>() {
            while next < theirs.len() && (theirs[next].0 < *key || self.taken[theirs[next].1 as usize]) {
                next += 1;
            }
            if let Some((found, copy)) = theirs.get(next)
                && found == key
            {
                self.join(*line as usize, *copy);
            }
        }
    }

    /// Pairs what is left between two pairs, one after the other: these lines were changed. Not those lines of the copy that are others.
    pub(super) fn join_neighbours(&mut self, is_another: impl Fn(usize) -> bool) {
        let mut fixed: Vec<(usize, usize)> = self.in_order();
        fixed.push((self.copies.len(), self.taken.len()));
        let (mut from, mut copy_from) = (0, 0);
        for (until, copy_until) in fixed {
            let free: Vec<u32> = (copy_from..copy_until)
                .filter(|copy| !self.taken[*copy] && !is_another(*copy))
                .map(|copy| copy as u32)
                .collect();
            let lines: Vec<usize> = (from..until).filter(|line| self.copies[*line] == NONE).collect();
            for (line, copy) in lines.into_iter().zip(free) {
                self.join(line, copy);
            }
            (from, copy_from) = (until + 1, copy_until + 1);
        }
    }

    /// The pairs that are in the order of both files.
    pub(super) fn in_order(&self) -> Vec<(usize, usize)> {
        let paired: Vec<usize> = (0..self.copies.len()).filter(|line| self.copies[*line] != NONE).collect();
        let kept = longest_rising(paired.iter().map(|line| self.copies[*line]));
        kept.into_iter().map(|at| (paired[at], self.copies[paired[at]] as usize)).collect()
    }

    pub(super) fn is_taken(&self, copy: usize) -> bool {
        self.taken[copy]
    }
}

fn sorted(keys: &[u64]) -> Vec<(u64, u32)> {
    let mut sorted: Vec<(u64, u32)> = keys.iter().enumerate().map(|(line, key)| (*key, line as u32)).collect();
    sorted.sort_unstable();
    sorted
}

/// Lines whose key is there once in either file, in the order of the first one.
fn unique_in_both(ours: &[(u64, u32)], theirs: &[(u64, u32)]) -> Vec<(u32, u32)> {
    let once = |sorted: &[(u64, u32)], at: usize| {
        let key = sorted[at].0;
        (at == 0 || sorted[at - 1].0 != key) && sorted.get(at + 1).is_none_or(|next| next.0 != key)
    };
    let mut found = Vec::new();
    let mut at = 0;
    for place in (0..ours.len()).filter(|place| once(ours, *place)) {
        let (key, line) = ours[place];
        while at < theirs.len() && theirs[at].0 < key {
            at += 1;
        }
        if at < theirs.len() && theirs[at].0 == key && once(theirs, at) {
            found.push((line, theirs[at].1));
        }
    }
    found.sort_unstable();
    found
}

/// The places of a longest rising subsequence.
fn longest_rising(values: impl Iterator<Item = u32>) -> Vec<usize> {
    // For each length the place of the smallest last value; for each place the one before it.
    let (mut ends, mut before): (Vec<(u32, u32)>, Vec<u32>) = (Vec::new(), Vec::new());
    for (place, value) in values.enumerate() {
        let length = ends.partition_point(|(end, _)| *end < value);
        before.push(if length == 0 { NONE } else { ends[length - 1].1 });
        match ends.get_mut(length) {
            Some(end) => *end = (value, place as u32),
            None => ends.push((value, place as u32)),
        }
    }
    let mut places = Vec::with_capacity(ends.len());
    let mut place = ends.last().map_or(NONE, |(_, place)| *place);
    while place != NONE {
        places.push(place as usize);
        place = before[place as usize];
    }
    places.reverse();
    places
}
