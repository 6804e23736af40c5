//! Counts a file again, from its bytes and its layout alone.
//!
//! It trusts nothing that the writer knew: a file that was cut, edited in a spreadsheet or saved in another encoding must not pass.

use std::fmt::Display;
use std::io::{self, Read};

use csv::{ByteRecord, ReaderBuilder};

use crate::layout::{BYTE_ORDER_MARK, Encoding, Layout, LineEnd, Value, Zero, quoted};
use crate::money;
use crate::totals::ControlTotals;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recount {
    /// Counts, and sums where the layout shows them.
    pub totals: ControlTotals,
    /// Whether the layout shows of which side each amount is.
    pub has_sums: bool,
}

/// Where a row has its amount and its side.
enum Amounts<'a> {
    TwoColumns { debit: (usize, Zero), credit: (usize, Zero) },
    Signed(usize),
    WithSide { amount: usize, side: usize, words: [Vec<u8>; 2], shown: &'a [String; 2] },
    NotShown,
}

/// Counts the entries and rows of a file and adds up its debits and credits, streaming.
///
/// # Errors
/// What is wrong with the file, for a person, with its row when there is one (the header is row 1); or the error of
/// `reader`.
pub fn recount(mut reader: impl Read, layout: &Layout, encoding: Encoding) -> Result<Recount, String> {
    let mut head = Vec::new();
    reader.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut head).map_err(unreadable)?;
    match (encoding, head == BYTE_ORDER_MARK) {
        (Encoding::Utf8Bom, true) => head.clear(),
        (Encoding::Utf8Bom, false) => return Err("the file does not begin with a byte order mark".to_owned()),
        (Encoding::Utf8 | Encoding::Windows874, true) => {
            return Err("the file begins with a byte order mark".to_owned());
        }
        (Encoding::Utf8 | Encoding::Windows874, false) => {}
    }
    let mut records = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(layout.delimiter)
        .from_reader(Tail { reader: head.chain(reader), last: [0; 2] });
    let mut record = ByteRecord::new();
    let mut totals = ControlTotals::default();
    let mut row = 0;
    if layout.header {
        if !records.read_byte_record(&mut record).map_err(unreadable)? {
            return Err("the file is empty".to_owned());
        }
        check_header(&record, layout, encoding)?;
        row = 1;
    }
    let amounts = Amounts::of(layout, encoding)?;
    while records.read_byte_record(&mut record).map_err(unreadable)? {
        row += 1;
        let (debit, credit) =
            sides(&record, layout, encoding, &amounts).map_err(|reason| format!("row {row}: {reason}"))?;
        totals.add_row(debit, credit);
    }
    if row > 0 && !records.get_ref().last.ends_with(layout.line_end.bytes()) {
        let expected = match layout.line_end {
            LineEnd::CrLf => "CRLF",
            LineEnd::Lf => "LF",
        };
        return Err(format!("the file does not end with {expected}: it was cut"));
    }
    let rows_per_entry = layout.rows_per_entry();
    if totals.rows % rows_per_entry != 0 {
        return Err(format!("{} rows are not {rows_per_entry} rows per entry", totals.rows));
    }
    totals.entries = totals.rows / rows_per_entry;
    Ok(Recount { totals, has_sums: !matches!(amounts, Amounts::NotShown) })
}

fn check_header(record: &ByteRecord, layout: &Layout, encoding: Encoding) -> Result<(), String> {
    let expected = layout.columns.iter().map(|column| encoding.bytes(&column.header)).collect::<Option<ByteRecord>>();
    if expected.as_ref() != Some(record) {
        let names: Vec<&str> = layout.columns.iter().map(|column| &*column.header).collect();
        return Err(format!("the header is not {}", names.join(&char::from(layout.delimiter).to_string())));
    }
    Ok(())
}

impl<'a> Amounts<'a> {
    fn of(layout: &'a Layout, encoding: Encoding) -> Result<Amounts<'a>, String> {
        let (mut debit, mut credit, mut signed, mut amount, mut side) = (None, None, None, None, None);
        for (index, column) in layout.columns.iter().enumerate() {
            match &column.value {
                Value::Debit(zero) => debit = Some((index, *zero)),
                Value::Credit(zero) => credit = Some((index, *zero)),
                Value::SignedAmount => signed = Some(index),
                Value::Amount => amount = Some(index),
                Value::Side(words) => side = Some((index, words)),
                _ => {}
            }
        }
        Ok(match (debit, credit, signed, amount, side) {
            (Some(debit), Some(credit), ..) => Amounts::TwoColumns { debit, credit },
            (_, _, Some(column), ..) => Amounts::Signed(column),
            (.., Some(amount), Some((side, shown))) => {
                let lacking = || format!("{} lacks characters of the layout", encoding.name());
                let bytes = |word: &String| encoding.bytes(word).ok_or_else(lacking);
                Amounts::WithSide { amount, side, words: [bytes(&shown[0])?, bytes(&shown[1])?], shown }
            }
            _ => Amounts::NotShown,
        })
    }
}

fn sides(
    record: &ByteRecord,
    layout: &Layout,
    encoding: Encoding,
    amounts: &Amounts<'_>,
) -> Result<(i64, i64), String> {
    if record.len() != layout.columns.len() {
        return Err(format!("the number of cells is {}, not {}", record.len(), layout.columns.len()));
    }
    if let Some(column) = record.iter().position(|cell| !encoding.is_valid(cell)) {
        return Err(format!("{} is not {}", layout.columns[column].header, encoding.name()));
    }
    let not_an_amount = |column: usize| {
        let (cell, mark) = (String::from_utf8_lossy(&record[column]), char::from(layout.decimal_mark));
        format!("{} is {}, not an amount like 1234{mark}50", layout.columns[column].header, quoted(&cell))
    };
    let signed = |column: usize| satang(&record[column], layout).ok_or_else(|| not_an_amount(column));
    let unsigned = |(column, zero): (usize, Zero)| match zero {
        Zero::Empty if record[column].is_empty() => Ok(0),
        Zero::Empty | Zero::Amount => {
            satang(&record[column], layout).filter(|satang| *satang >= 0).ok_or_else(|| not_an_amount(column))
        }
    };
    match amounts {
        Amounts::TwoColumns { debit, credit } => match (unsigned(*debit)?, unsigned(*credit)?) {
            (debit, credit) if (debit == 0) != (credit == 0) => Ok((debit, credit)),
            _ => Err("not exactly one of debit and credit is zero".to_owned()),
        },
        Amounts::Signed(column) => match signed(*column)? {
            0 => Err(format!("{} is zero", layout.columns[*column].header)),
            satang if satang > 0 => Ok((satang, 0)),
            satang => Ok((0, -satang)),
        },
        Amounts::WithSide { amount: column, side, words, shown } => {
            let satang = unsigned((*column, Zero::Amount))?;
            match words.iter().position(|word| **word == record[*side]) {
                Some(0) => Ok((satang, 0)),
                Some(_) => Ok((0, satang)),
                None => Err(format!("{} is neither {} nor {}", layout.columns[*side].header, shown[0], shown[1])),
            }
        }
        Amounts::NotShown => Ok((0, 0)),
    }
}

/// An amount as the layout writes it.
fn satang(cell: &[u8], layout: &Layout) -> Option<i64> {
    if layout.decimal_mark == b'.' {
        return money::parse_baht(cell).and_then(|satang| i64::try_from(satang).ok());
    }
    let mark = cell.len().checked_sub(3).filter(|mark| cell[*mark] == layout.decimal_mark)?;
    let mut with_point = cell.to_vec();
    with_point[mark] = b'.';
    money::parse_baht(&with_point).and_then(|satang| i64::try_from(satang).ok())
}

pub(super) fn unreadable(error: impl Display) -> String {
    format!("the file cannot be read: {error}")
}

/// Remembers the last two bytes that were read: a CSV reader accepts a file that ends in the middle of its last cell.
struct Tail<R> {
    reader: R,
    last: [u8; 2],
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        match buffer[..length] {
            [] => {}
            [only] => self.last = [self.last[1], only],
            [.., second, last] => self.last = [second, last],
        }
        Ok(length)
    }
}
