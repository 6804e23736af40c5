//! The cells of the rows of one entry, staged because even the last cell may refuse the entry.
//!
//! Each kind of cell has its own method, and the kind decides the treatment: text is guarded and encoded, codes are
//! encoded, and figures and dates are generated ASCII. So a text column cannot miss the guard.

use std::io::Write;

use csv::ByteRecord;

use super::Tally;
use super::plan::{Plan, PlannedColumn};
use crate::entry::{Code, Faults, is_plain};
use crate::layout::{
    BYTE_ORDER_MARK, Encoder, Invisible, LineBreaks, characters, is_control, is_hidden, is_zero_width, quoted,
};
use crate::money::Baht;

/// Bytes of a row that a buffer may keep for the next one. Beside a larger one there may be no room for the entry that is fetched next.
const KEPT_BYTES: usize = 1 << 20;

/// How a text is treated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Text,
    Code,
}

/// One staged row.
#[derive(Default)]
pub(super) struct Row {
    pub(super) cells: ByteRecord,
    pub(super) debit_satang: i64,
    pub(super) credit_satang: i64,
    /// Guarded and trimmed cells, dropped characters.
    pub(super) counts: Tally,
    /// Columns for which a refused entry has no value.
    pub(super) unknown: Vec<usize>,
}

/// The staged rows of one entry. Keeps its buffers from entry to entry.
pub(super) struct Cells {
    rows: [Row; 2],
    staged: usize,
    encoder: Encoder,
    formula_guard: bool,
    line_breaks: LineBreaks,
    invisible: Invisible,
    decimal_comma: bool,
    text: String,
    kept: String,
    bytes: Vec<u8>,
}

impl Cells {
    pub(super) fn new(plan: &Plan) -> Cells {
        Cells {
            rows: Default::default(),
            staged: 0,
            encoder: Encoder::new(plan.encoding),
            formula_guard: plan.formula_guard,
            line_breaks: plan.line_breaks,
            invisible: plan.invisible,
            decimal_comma: plan.decimal_comma,
            text: String::new(),
            kept: String::new(),
            bytes: Vec::new(),
        }
    }

    /// Forgets the last entry.
    pub(super) fn clear(&mut self) {
        self.staged = 0;
    }

    /// Frees the buffers that an unusually large entry has left.
    pub(super) fn forget_large(&mut self) {
        for row in &mut self.rows {
            forget_large(&mut row.cells);
        }
        for text in [&mut self.text, &mut self.kept] {
            if text.len() > KEPT_BYTES {
                *text = String::new();
            }
        }
    }

    /// The rows since [`Cells::clear`].
    pub(super) fn staged(&self) -> &[Row] {
        &self.rows[..self.staged]
    }

    /// Begins a row; the second one at most.
    pub(super) fn begin(&mut self, debit_satang: i64, credit_satang: i64) {
        let row = &mut self.rows[self.staged];
        row.cells.clear();
        row.unknown.clear();
        (row.debit_satang, row.credit_satang, row.counts) = (debit_satang, credit_satang, Tally::default());
        self.staged += 1;
    }

    /// Whether the cells of the first row can be repeated in the second one, because none of them was counted.
    pub(super) fn can_repeat(&self) -> bool {
        self.staged == 2 && self.rows[0].counts == Tally::default()
    }

    /// A cell of the second row that is the same in the first one.
    pub(super) fn repeat(&mut self, column: usize) {
        let [first, second] = &mut self.rows;
        second.cells.push_field(&first.cells[column]);
    }

    /// A cell whose bytes need no treatment: generated, or the layout's own text.
    pub(super) fn plain(&mut self, column: &PlannedColumn, cell: &[u8], faults: &mut Faults) {
        // Only generated ASCII depends on the entry; the layout's own texts were checked with the layout.
        check_length(column, &column.name, cell.len(), faults);
        self.row().cells.push_field(cell);
    }

    /// A cell of the layout's own text, whose length was checked with the layout.
    pub(super) fn own(&mut self, cell: &[u8]) {
        self.row().cells.push_field(cell);
    }

    /// A number in decimal digits.
    pub(super) fn number(&mut self, column: &PlannedColumn, number: impl std::fmt::Display, faults: &mut Faults) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        // Writing to a Vec cannot fail.
        let _ = write!(bytes, "{number}");
        self.plain(column, &bytes, faults);
        self.bytes = bytes;
    }

    /// An amount.
    pub(super) fn money(&mut self, column: &PlannedColumn, satang: i64, faults: &mut Faults) {
        let baht = Baht::new(satang.into());
        if !self.decimal_comma {
            return self.plain(column, baht.as_bytes(), faults);
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes.extend(baht.as_bytes().iter().map(|&byte| if byte == b'.' { b',' } else { byte }));
        self.plain(column, &bytes, faults);
        self.bytes = bytes;
    }

    /// A code that the importing program looks up: encoded, otherwise left alone. A character that nobody sees inside of
    /// it would find nothing there.
    pub(super) fn code(&mut self, column: &PlannedColumn, code: Code<'_>, faults: &mut Faults) {
        let counts = &mut self.rows[self.staged - 1].counts;
        counts.trimmed_cells += u64::from(code.trimmed);
        let cells = self.row().cells.len();
        self.encoded(column, code.field, code.text, Treatment::Code, faults);
        if code.faulty {
            self.row().cells.truncate(cells);
        }
    }

    /// Text that a person wrote: guarded, so that no spreadsheet takes it for a formula, and encoded.
    pub(super) fn text(&mut self, column: &PlannedColumn, text: &str, faults: &mut Faults) {
        if !is_plain(text) {
            faults.add(format!("{} has {}", column.name, characters(text, is_control)));
        }
        if self.line_breaks == LineBreaks::Keep || !has_line_break(text) {
            return self.encoded(column, &column.name, text, Treatment::Text, faults);
        }
        let mut line = std::mem::take(&mut self.text);
        line.clear();
        let mut rest = text;
        while let Some(at) = rest.find(['\r', '\n']) {
            line.push_str(&rest[..at]);
            line.push(' ');
            rest = rest[at..].strip_prefix("\r\n").unwrap_or(&rest[at + 1..]);
        }
        line.push_str(rest);
        self.encoded(column, &column.name, &line, Treatment::Text, faults);
        self.text = line;
    }

    /// Whether nothing of a text is left in the file but blanks.
    pub(super) fn is_blank(&self, text: &str) -> bool {
        text.chars().all(|character| character.is_whitespace() || self.drops(character))
    }

    /// Counts what is left out of a text of which nothing else is left.
    pub(super) fn count_dropped(&mut self, text: &str) {
        let dropped = text.chars().filter(|character| self.drops(*character)).count();
        self.row().counts.dropped_characters += dropped as u64;
    }

    /// Whether a character is invisible and left out.
    fn drops(&self, character: char) -> bool {
        self.invisible == Invisible::Drop && is_zero_width(character) && self.encoder.lacks(character)
    }

    /// `field` names the text in reasons.
    fn encoded(&mut self, column: &PlannedColumn, field: &str, text: &str, kind: Treatment, faults: &mut Faults) {
        let is_clean = kind == Treatment::Text || text.is_ascii() || !text.contains(is_hidden);
        if is_clean && let Ok(encoded) = self.encoder.encode(text) {
            if column.begins_file && encoded.starts_with(BYTE_ORDER_MARK) {
                faults.add(format!("{field} is {}: its beginning would be taken for a byte order mark", quoted(text)));
            }
            if column.max_chars.is_some() {
                check_length(column, field, text.chars().count(), faults);
            }
            let guard = kind == Treatment::Text && self.formula_guard && is_formula(text);
            put(&mut self.rows[self.staged - 1], &mut self.bytes, encoded, guard);
            return;
        }
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        kept.extend(text.chars().filter(|character| !self.drops(*character)));
        self.without_dropped(column, field, text, &kept, kind, faults);
        self.kept = kept;
    }

    /// As [`Cells::encoded`], of a text that has characters to drop, or others that the cell must not hold.
    fn without_dropped(
        &mut self,
        column: &PlannedColumn,
        field: &str,
        text: &str,
        kept: &str,
        kind: Treatment,
        faults: &mut Faults,
    ) {
        let is_refused = |character: char| kind == Treatment::Code && is_hidden(character);
        let encoder = &self.encoder;
        let hidden = characters(kept, is_refused);
        // A control character of a code is among the faults already.
        let is_told = |character: char| is_refused(character) || (kind == Treatment::Code && character.is_control());
        let lacking = characters(kept, |character| !is_told(character) && encoder.lacks(character));
        if kept.len() < text.len() && hidden.is_empty() && lacking.is_empty() {
            self.row().counts.dropped_characters += (text.chars().count() - kept.chars().count()) as u64;
            return self.encoded(column, field, kept, kind, faults);
        }
        if !hidden.is_empty() {
            faults.add(format!("{field} has {hidden}, which nobody sees in a code"));
        }
        if !lacking.is_empty() {
            faults.add(format!("{field} has {lacking}, which {} lacks", encoder.encoding().name()));
        }
        check_length(column, field, kept.chars().count(), faults);
    }

    /// Adds an empty cell for a column that got none, so that the other cells of a refused entry stay in their columns.
    pub(super) fn fill_up(&mut self, column: usize) {
        let row = self.row();
        if row.cells.len() == column {
            row.cells.push_field(b"");
            row.unknown.push(column);
        }
    }

    fn row(&mut self) -> &mut Row {
        &mut self.rows[self.staged - 1]
    }
}

/// Frees the buffer of an unusually large row.
pub(super) fn forget_large(row: &mut ByteRecord) {
    if row.as_slice().len() > KEPT_BYTES {
        *row = ByteRecord::new();
    }
}

fn has_line_break(text: &str) -> bool {
    // No early return, so that the compiler can check many bytes at a time.
    text.bytes().fold(false, |found, byte| found | matches!(byte, b'\r' | b'\n'))
}

/// Whether a spreadsheet takes a text for a formula.
pub(super) fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
}

fn put(row: &mut Row, scratch: &mut Vec<u8>, encoded: &[u8], guard: bool) {
    if !guard {
        return row.cells.push_field(encoded);
    }
    scratch.clear();
    scratch.push(b'\'');
    scratch.extend_from_slice(encoded);
    row.cells.push_field(scratch);
    row.counts.guarded_cells += 1;
}

fn check_length(column: &PlannedColumn, field: &str, chars: usize, faults: &mut Faults) {
    if let Some(most) = column.max_chars.filter(|most| chars > *most) {
        faults.add(format!("{field} has {chars} characters, more than the {most} of its column"));
    }
}
