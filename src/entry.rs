//! A journal entry: which fields an export needs, and when they must not be exported as they are.
//!
//! Risk: an entry that slips through half filled. So the formats never see [`EntryFields`], only [`Valid`], which nothing but
//! [`validate`] makes. All that is wrong is said at once: whoever repairs an entry should not meet the next fault tomorrow.

use crate::id::Id;
use crate::money::{self, Number};

/// The fields of a journal entry as the database has them, borrowed from its answer. A field that is missing, null, or of another type
/// is `None`; a text field of another type is named by `not_text` as well, so that it is not taken for one that was left empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct EntryFields<'a> {
    /// `_id`.
    pub id: Id,
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
    /// The first of these text fields that holds something else than text: `accountCode`, `description`, those of `metadata`.
    pub not_text: Option<&'static str>,
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
    pub(crate) id: Id,
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
    match (fields.status, &side, &amount, filled(fields.account).filter(|_| fields.not_text.is_none()), fields.date_ms)
    {
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
    let no_account = filled(fields.account).is_none() && fields.not_text != Some("accountCode");
    let account = no_account.then(|| format!("accountCode {}", found(fields.account)));
    let not_text = fields.not_text.map(|field| format!("{field} is not text"));
    let date = fields.date_ms.is_none().then(|| "date is missing or not a date".to_owned());
    [status, amount, side, account, not_text, date].into_iter().flatten().collect::<Vec<_>>().join("; ")
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

#[cfg(test)]
mod tests {
    use super::{EntryFields, Side, validate};
    use crate::id::Id;
    use crate::money::Number;

    fn good() -> EntryFields<'static> {
        EntryFields {
            id: Id([7; 12]),
            status: Some("approved"),
            date_ms: Some(0),
            account: Some("1000-01"),
            description: Some("ค่าเช่า"),
            amount: Some(Number::Double(123_450.0)),
            kind: Some("debit"),
            cr_account: Some("2000"),
            dr_account: Some("3000"),
            voucher_no: Some("PV-1"),
            not_text: None,
        }
    }

    #[test]
    fn a_good_entry_keeps_its_fields() {
        let valid = validate(&good()).unwrap();
        assert_eq!((valid.amount_satang, valid.side, valid.account), (123_450, Side::Debit, "1000-01"));
        assert_eq!((valid.description, valid.voucher_no), ("ค่าเช่า", Some("PV-1")));
    }

    #[test]
    fn the_contra_account_is_the_other_side_s() {
        assert_eq!(validate(&good()).unwrap().contra_account, Some("2000"));
        assert_eq!(validate(&EntryFields { kind: Some("credit"), ..good() }).unwrap().contra_account, Some("3000"));
    }

    #[test]
    fn blank_optional_fields_are_absent() {
        let fields = EntryFields { description: None, voucher_no: Some(" "), cr_account: Some(""), ..good() };
        let valid = validate(&fields).unwrap();
        assert_eq!((valid.description, valid.voucher_no, valid.contra_account), ("", None, None));
    }

    #[test]
    fn each_fault_names_the_field_and_the_value() {
        for (fields, reason) in [
            (EntryFields { status: Some("draft"), ..good() }, "status is \"draft\", not approved"),
            (EntryFields { status: None, ..good() }, "status is missing, not approved"),
            (EntryFields { status: Some("Approved"), ..good() }, "status is \"Approved\", not approved"),
            (EntryFields { kind: Some("transfer"), ..good() }, "type is \"transfer\", not debit or credit"),
            (EntryFields { kind: None, ..good() }, "type is missing, not debit or credit"),
            (EntryFields { account: None, ..good() }, "accountCode is missing"),
            (EntryFields { account: Some("\u{a0}\t"), ..good() }, "accountCode is empty"),
            (EntryFields { account: None, not_text: Some("accountCode"), ..good() }, "accountCode is not text"),
            (
                EntryFields { cr_account: None, not_text: Some("metadata.crAccount"), ..good() },
                "metadata.crAccount is not text",
            ),
            (EntryFields { date_ms: None, ..good() }, "date is missing or not a date"),
            (EntryFields { amount: Some(Number::Double(0.5)), ..good() }, "amount 0.5 is a fraction of a satang"),
        ] {
            assert_eq!(validate(&fields).unwrap_err(), reason);
        }
    }

    #[test]
    fn all_faults_are_said_at_once() {
        assert_eq!(
            validate(&EntryFields::default()).unwrap_err(),
            "status is missing, not approved; amount is missing; type is missing, not debit or credit; accountCode is missing; \
             date is missing or not a date"
        );
    }

    #[test]
    fn a_reason_is_short_and_harmless_on_a_terminal() {
        let long = format!("\u{1b}[31m{}", "ก".repeat(500));
        let reason = validate(&EntryFields { status: Some(&long), ..good() }).unwrap_err();
        assert!(reason.starts_with("status is \"\\u{1b}[31mก") && reason.ends_with("ก\"..., not approved"), "{reason}");
        assert!(reason.chars().count() < 90 && !reason.contains('\u{1b}'), "{reason}");
    }
}
