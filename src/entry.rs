//! A journal entry: which fields an export needs, and when they must not be exported as they are.
//!
//! The danger is an entry that slips through half filled. So the formats never see [`EntryFields`], only [`Valid`], which nothing but
//! [`validate`] makes. All that is wrong is said at once: whoever repairs an entry should not meet the next fault tomorrow.

use crate::money::{self, Number};

/// The fields of a journal entry as the database has them, borrowed from its answer. A field that is missing, null, or of another type
/// is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EntryFields<'a> {
    /// `_id`.
    pub id: [u8; 12],
    /// `status`.
    pub status: Option<&'a str>,
    /// `date`, milliseconds since 1970 UTC.
    pub date_ms: Option<i64>,
    /// `accountCode`.
    pub account: Option<&'a str>,
    /// `description`.
    pub description: Option<&'a str>,
    /// `amount`; a value of another type is [`Number::Other`].
    pub amount: Option<Number>,
    /// `type`.
    pub kind: Option<&'a str>,
    /// `metadata.crAccount`.
    pub cr_account: Option<&'a str>,
    /// `metadata.drAccount`.
    pub dr_account: Option<&'a str>,
    /// `metadata.voucherNo`.
    pub voucher_no: Option<&'a str>,
}

/// The side of the ledger that an entry's own account takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `type: "debit"`.
    Debit,
    /// `type: "credit"`.
    Credit,
}

impl Side {
    /// The other side.
    pub fn opposite(self) -> Side {
        match self {
            Side::Debit => Side::Credit,
            Side::Credit => Side::Debit,
        }
    }
}

/// An entry that may be exported. Whether its text fits the file's encoding, and whether a contra account is needed, is for the format
/// to say.
#[derive(Clone, Copy, Debug)]
pub struct Valid<'a> {
    pub(crate) id: [u8; 12],
    pub(crate) date_ms: i64,
    pub(crate) account: &'a str,
    pub(crate) description: &'a str,
    pub(crate) amount_satang: i64,
    pub(crate) side: Side,
    /// `metadata.crAccount` of a debit entry, `metadata.drAccount` of a credit entry; never blank.
    pub(crate) contra_account: Option<&'a str>,
    /// Never blank.
    pub(crate) voucher_no: Option<&'a str>,
}

/// The reason for a queue row whose `entryId` leads nowhere.
pub const NO_SUCH_ENTRY: &str = "no such journal entry";

/// Checks everything that does not depend on the file's format.
///
/// # Errors
/// All that is wrong, for a person: each part names a field and its value, joined with `; `.
pub fn validate<'a>(fields: &EntryFields<'a>) -> Result<Valid<'a>, String> {
    let side = match fields.kind {
        Some("debit") => Ok(Side::Debit),
        Some("credit") => Ok(Side::Credit),
        other => Err(format!("type {}, not debit or credit", found(other))),
    };
    let amount = money::amount(fields.amount);
    match (fields.status, &side, &amount, filled(fields.account), fields.date_ms) {
        (Some("approved"), &Ok(side), &Ok(amount_satang), Some(account), Some(date_ms)) => Ok(Valid {
            id: fields.id,
            date_ms,
            account,
            description: fields.description.unwrap_or_default(),
            amount_satang,
            side,
            contra_account: filled(match side {
                Side::Debit => fields.cr_account,
                Side::Credit => fields.dr_account,
            }),
            voucher_no: filled(fields.voucher_no),
        }),
        _ => Err(reasons(fields, side.err(), amount.err())),
    }
}

fn reasons(fields: &EntryFields<'_>, side: Option<String>, amount: Option<String>) -> String {
    let status = (fields.status != Some("approved")).then(|| format!("status {}, not approved", found(fields.status)));
    let account = filled(fields.account).is_none().then(|| format!("accountCode {}", found(fields.account)));
    let date = fields.date_ms.is_none().then(|| "date is missing or not a date".to_owned());
    [status, amount, side, account, date].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The text when there is something in it: a field of blanks was left empty by whoever filled in the form.
fn filled(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}

/// What a text field holds, in a few characters and harmless on a terminal.
fn found(text: Option<&str>) -> String {
    const LONGEST: usize = 40;
    match text {
        None => "is missing".to_owned(),
        Some(text) if text.trim().is_empty() => "is empty".to_owned(),
        Some(text) => match text.char_indices().nth(LONGEST) {
            None => format!("is {text:?}"),
            Some((end, _)) => format!("is {:?}...", &text[..end]),
        },
    }
}
