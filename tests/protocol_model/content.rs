//! What a snapshot saw, and what a file holds: rows with their entries, four bits each.

/// Rows of the queue.
pub const ROWS: usize = 3;
/// Journal entries.
pub const ENTRIES: usize = 3;

const BITS: usize = 4;
const HELD: u16 = 15;

/// One exported row: the entry that it names, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub entry: u8,
    pub version: u8,
    pub moved: bool,
}

/// Per row: nothing, a line of the file, or that it is held back. The bytes of a file have the same form, with the lines moved together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Content(u16);

impl Content {
    /// What a damaged upload leaves: no generation yields it.
    pub const GARBLED: Self = Self(u16::MAX);

    pub fn with(self, row: usize, line: Line) -> Self {
        let code = 1 + u16::from(line.entry) * 4 + u16::from(line.version) * 2 + u16::from(line.moved);
        Self(self.0 | code << (BITS * row))
    }

    pub fn with_held(self, row: usize) -> Self {
        Self(self.0 | HELD << (BITS * row))
    }

    fn code(self, row: usize) -> u16 {
        self.0 >> (BITS * row) & HELD
    }

    pub fn line(self, row: usize) -> Option<Line> {
        let code = self.code(row).checked_sub(1).filter(|code| *code < HELD - 1)?;
        Some(Line { entry: (code / 4) as u8, version: (code / 2 % 2) as u8, moved: code % 2 == 1 })
    }

    pub fn is_held(self, row: usize) -> bool {
        self.code(row) == HELD
    }

    /// The rows that are in the file.
    pub fn rows(self) -> impl Iterator<Item = (usize, Line)> {
        (0..ROWS).filter_map(move |row| Some((row, self.line(row)?)))
    }

    pub fn held(self) -> impl Iterator<Item = usize> {
        (0..ROWS).filter(move |&row| self.is_held(row))
    }

    /// Whether no row is in the file.
    pub fn is_empty(self) -> bool {
        self.rows().next().is_none()
    }

    /// One bit per row of the file.
    pub fn mask(self) -> u8 {
        self.rows().fold(0, |mask, (row, _)| mask | 1 << row)
    }

    /// One bit per entry of the file.
    pub fn entries(self) -> u8 {
        self.rows().fold(0, |mask, (_, line)| mask | 1 << line.entry)
    }

    /// The piece of this row: the rows that one transaction marks together, `length` at most.
    pub fn piece(self, row: usize, length: usize) -> u8 {
        let place = self.rows().position(|(other, _)| other == row).map(|place| place / length);
        let same = |&(index, _): &(usize, (usize, Line))| Some(index / length) == place;
        self.rows().enumerate().filter(same).fold(0, |mask, (_, (row, _))| mask | 1 << row)
    }

    /// The rows that the commit itself marks: all, or none where they are marked in pieces afterwards.
    pub fn marked_at_once(self, length: usize) -> u8 {
        if self.rows().count() > length { 0 } else { self.mask() }
    }

    /// The bytes of the file: the entries in order, whichever rows named them.
    pub fn bytes(self) -> Self {
        let lines = self.rows().map(|(_, line)| Line { moved: false, ..line });
        lines.enumerate().fold(Self::default(), |bytes, (position, line)| bytes.with(position, line))
    }
}
