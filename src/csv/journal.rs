//! `journal`: one row per entry, the amount on the entry's own side.

use super::rows::Rows;
use super::{Context, Encoding, Layout};
use crate::entry::Valid;

pub(super) const LAYOUT: Layout = Layout {
    name: "journal",
    encoding: Encoding::Utf8,
    header: &["Entry ID", "Date", "Account", "Debit", "Credit", "Description"],
    debit: 3,
    credit: 4,
    rows_per_entry: 1,
    stage,
};

fn stage(rows: &mut Rows, entry: &Valid<'_>, _: &Context<'_>) -> Result<(), String> {
    let day = rows.day(entry.date_ms)?;
    rows.begin();
    rows.ascii(&hexadecimal(entry.id));
    rows.ascii(&day.year_first());
    rows.code("accountCode", entry.account)?;
    rows.sides(entry.side, entry.amount_satang);
    rows.text("description", entry.description)
}

fn hexadecimal(id: [u8; 12]) -> [u8; 24] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 24];
    for (pair, byte) in text.chunks_exact_mut(2).zip(id) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}
