//! Columns that no entry can fill.
//!
//! One entry that lacks a field is faulty. When every entry lacks it, the layout is: a path has a typing error, or a column has no `empty`.
//! Where a column has an `empty`, nothing is refused, so a typing error shows only because no entry has the field.

/// What a column asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A field that is there, and not blank.
    Field,
    /// A field of its kind.
    Kind,
    /// An account of the other side.
    ContraAccount,
}

/// A column that no entry satisfies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// Its place in the layout, from 0.
    pub column: usize,
    /// What it asks for.
    pub ask: Ask,
    /// What is wrong with the first entry, for a person.
    pub reason: String,
}

/// Counts them, entry by entry. An entry that lacks nothing costs one addition.
#[derive(Debug)]
pub(super) struct Asks {
    entries: u64,
    /// With the number of entries that lack it, and the last of them.
    unmet: Vec<(Unmet, u64, u64)>,
    /// By column: the number of entries that lack its field where the column says what is written then, and the last of them.
    without: Vec<(u64, u64)>,
}

impl Asks {
    pub(super) fn of(columns: usize) -> Asks {
        Asks { entries: 0, unmet: Vec::new(), without: vec![(0, 0); columns] }
    }

    pub(super) fn next_entry(&mut self) {
        self.entries += 1;
    }

    /// This entry lacks what a column asks for; each of its rows may say so.
    pub(super) fn add(&mut self, column: usize, ask: Ask, reason: &str) {
        let known = self.unmet.iter_mut().find(|(unmet, ..)| unmet.column == column);
        let Some((_, entries, last)) = known else {
            return self.unmet.push((Unmet { column, ask, reason: reason.to_owned() }, 1, self.entries));
        };
        if *last != self.entries {
            (*entries, *last) = (*entries + 1, self.entries);
        }
    }

    /// This entry lacks the field of a column that says what is written then; each of its rows may say so.
    pub(super) fn go_without(&mut self, column: usize) {
        let (entries, last) = &mut self.without[column];
        if *last != self.entries {
            (*entries, *last) = (*entries + 1, self.entries);
        }
    }

    /// The columns whose field no entry has, and that say what is written then, from left to right.
    pub(super) fn of_none(&self) -> Vec<usize> {
        let columns = self.without.iter().enumerate();
        columns.filter(|(_, (entries, _))| *entries > 0 && *entries == self.entries).map(|(column, _)| column).collect()
    }

    /// The columns that no entry satisfied, from left to right.
    pub(super) fn of_all(&self) -> Vec<Unmet> {
        let of_all = self.unmet.iter().filter(|(_, entries, _)| *entries == self.entries);
        let mut unmet: Vec<Unmet> = of_all.map(|(unmet, ..)| unmet.clone()).collect();
        unmet.sort_by_key(|unmet| unmet.column);
        unmet
    }
}
