//! `express`: two rows per entry, debit first, for the Thai accounting package.
//!
//! The danger is a contra account by guess: books that balance and are wrong. The other side of an entry is its own
//! `metadata.crAccount` (debit entries) or `metadata.drAccount` (credit entries), else `--contra-account`, else the entry is refused.
//! A blank field counts as absent.
//!
//! The voucher is the entry's `metadata.voucherNo`, else `JV-YYMMDD-NNNNN`: the batch's date and the entry's position in the file. All
//! entries count, those with a voucher of their own too, so a number also tells where in the file the entry stands. From 100,000 on
//! the number has more digits. Years are Gregorian throughout.

use super::rows::Rows;
use super::{Context, Encoding, Layout};
use crate::calendar::Day;
use crate::entry::{Side, Valid};

pub(super) const LAYOUT: Layout = Layout {
    name: "express",
    encoding: Encoding::Windows874,
    header: &["Date", "Voucher No", "Account", "Debit", "Credit", "Description"],
    debit: 3,
    credit: 4,
    rows_per_entry: 2,
    stage,
};

/// An account, with the name of the field that it comes from.
type Account<'a> = (&'static str, &'a str);

fn stage(rows: &mut Rows, entry: &Valid<'_>, context: &Context<'_>) -> Result<(), String> {
    let date = rows.day(entry.date_ms)?.day_first();
    let own = ("accountCode", entry.account);
    let contra = contra_account(entry, context)?;
    let (debit, credit) = match entry.side {
        Side::Debit => (own, contra),
        Side::Credit => (contra, own),
    };
    row(rows, &date, entry, context, Side::Debit, debit)?;
    row(rows, &date, entry, context, Side::Credit, credit)
}

fn contra_account<'a>(entry: &Valid<'a>, context: &Context<'a>) -> Result<Account<'a>, String> {
    let field = match entry.side {
        Side::Debit => "metadata.crAccount",
        Side::Credit => "metadata.drAccount",
    };
    let own = entry.contra_account.map(|account| (field, account));
    let general = context.contra_account.map(|account| ("--contra-account", account));
    own.or(general).ok_or_else(|| format!("no contra account: {field} is empty and --contra-account is not set"))
}

fn row(
    rows: &mut Rows,
    date: &[u8],
    entry: &Valid<'_>,
    context: &Context<'_>,
    side: Side,
    (field, account): Account<'_>,
) -> Result<(), String> {
    rows.begin();
    rows.ascii(date);
    match entry.voucher_no {
        Some(voucher) => rows.text("metadata.voucherNo", voucher)?,
        None => {
            let (bytes, length) = voucher(context)?;
            rows.ascii(&bytes[..length]);
        }
    }
    rows.code(field, account)?;
    rows.sides(side, entry.amount_satang);
    rows.text("description", entry.description)
}

/// `JV-YYMMDD-NNNNN` and its length.
fn voucher(context: &Context<'_>) -> Result<([u8; 30], usize), String> {
    let day = Day::from_date(context.business_date).ok_or("the business date is outside the years 1 to 9999")?;
    let mut bytes = [b'0'; 30];
    bytes[..3].copy_from_slice(b"JV-");
    bytes[3..9].copy_from_slice(&day.short());
    bytes[9] = b'-';
    let digits = context.number.checked_ilog10().map_or(1, |log| log as usize + 1).max(5);
    let mut rest = context.number;
    for byte in bytes[10..10 + digits].iter_mut().rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    Ok((bytes, 10 + digits))
}
