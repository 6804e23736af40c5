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
    rows.ascii(&entry.id.hex());
    rows.ascii(&day.year_first());
    rows.code("accountCode", entry.account)?;
    rows.sides(entry.side, entry.amount_satang);
    rows.text("description", entry.description)
}
