//! What a spreadsheet makes of a cell that it reads as a number or a date, and writes back.
//!
//! Risk: a value that was lost on the way and looks like mere formatting. So a difference counts as a mere respelling only when both texts
//! certainly mean the same amount or the same date; a code has no spelling but its own.

use chrono::{Days, NaiveDate};
use schemars::JsonSchema;
use serde::Serialize;

use crate::layout::{FieldKind, Value};

/// How a cell differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A code lost the zeros that it began with.
    LeadingZeros,
    /// A date is written in another way, is another one, or was none before.
    Date,
    /// An amount is written in another way, or is another one.
    Amount,
    /// A number that is none lost digits, as in `1.23E+11`.
    Digits,
    /// Any other text.
    Text,
    /// The line is not in the copy.
    MissingLine,
    /// The line is in the copy alone.
    AddedLine,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Date,
    Amount,
    Other,
}

impl Holds {
    pub(super) fn of(value: &Value) -> Holds {
        match value {
            Value::Date(_) | Value::BusinessDate(_) | Value::Field(_, FieldKind::Date(_)) => Holds::Date,
            Value::Debit(_)
            | Value::Credit(_)
            | Value::Amount
            | Value::SignedAmount
            | Value::Field(_, FieldKind::Money) => Holds::Amount,
            Value::EntryId
            | Value::Line
            | Value::Position
            | Value::BatchNumber
            | Value::Voucher
            | Value::Account
            | Value::ContraAccount
            | Value::Side(_)
            | Value::Description
            | Value::Category
            | Value::Client
            | Value::Constant(_)
            | Value::Field(_, FieldKind::Text | FieldKind::Code | FieldKind::Integer) => Holds::Other,
        }
    }
}

/// How the cell of a copy differs from the official one, and whether it means the same; `None` when it does not differ.
pub(super) fn change(holds: Holds, official: &str, copy: &str) -> Option<(Change, bool)> {
    if official == copy || official.replace("\r\n", "\n") == copy.replace("\r\n", "\n") {
        return None;
    }
    Some(match holds {
        Holds::Amount => match (satang(official), satang(copy)) {
            (Some(official), Some(copy)) => (Change::Amount, official == copy),
            _ => (Change::Text, false),
        },
        Holds::Date => {
            let (meant, found) = (dates(official), dates(copy));
            let same = meant.iter().any(|date| found.contains(date));
            if found.is_empty() { (Change::Text, false) } else { (Change::Date, same) }
        }
        Holds::Other => (of_code(official, copy), false),
    })
}

fn of_code(official: &str, copy: &str) -> Change {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(official) && digits(copy) {
        if official.starts_with('0') && official.trim_start_matches('0') == copy.trim_start_matches('0') {
            return Change::LeadingZeros;
        }
        // A spreadsheet keeps 15 digits.
        if official.len() > 15 && official.len() == copy.len() && official.as_bytes()[..15] == copy.as_bytes()[..15] {
            return Change::Digits;
        }
        return Change::Text;
    }
    let number = |text: &str| text.replace(',', ".").parse::<f64>().ok();
    match (number(official), number(copy)) {
        (Some(before), Some(after)) if before == after => Change::Digits,
        // Near is enough: a number in scientific notation has lost its last digits.
        (Some(before), Some(after)) if copy.contains('E') && (before - after).abs() <= before.abs() * 1e-4 => {
            Change::Digits
        }
        _ if dates(official).is_empty() && (!dates(copy).is_empty() || is_month_and_number(copy)) => Change::Date,
        _ => Change::Text,
    }
}

/// An amount in satang, with whatever marks a spreadsheet writes it; nothing and a dash are zero.
fn satang(text: &str) -> Option<i128> {
    let kept: String = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '฿' | '\'')).collect();
    let bracketed = kept.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let (negative, digits) = match (bracketed, kept.strip_prefix('-')) {
        (Some(digits), _) | (None, Some(digits)) => (true, digits),
        (None, None) => (false, &*kept),
    };
    // The last mark is the decimal mark, unless it groups thousands.
    let mark = digits.rfind([',', '.']).filter(|at| digits.len() - at <= 3);
    let (whole, fraction) = mark.map_or((digits, ""), |at| (&digits[..at], &digits[at + 1..]));
    let whole: String = whole.chars().filter(|c| !matches!(c, ',' | '.')).collect();
    let all = format!("{whole}{fraction:0<2}");
    if !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let satang: i128 = all.parse().ok()?;
    Some(if negative { -satang } else { satang })
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

fn month(text: &str) -> Option<u32> {
    let known = MONTHS.iter().position(|name| text.to_ascii_lowercase().starts_with(name));
    known.map(|at| at as u32 + 1)
}

/// `2-Jan`, `Jan-02`: what a spreadsheet makes of `1-2`.
fn is_month_and_number(text: &str) -> bool {
    let Some((one, other)) = text.split_once(['-', ' ']) else { return false };
    let number = |text: &str| text.parse::<u16>().is_ok();
    (month(one).is_some() && number(other)) || (number(one) && month(other).is_some())
}

/// Every date that a text may mean: the order of day and month, and the calendar of the year, are not always told.
fn dates(text: &str) -> Vec<NaiveDate> {
    let day = text.trim().split(' ').next().unwrap_or_default();
    let parts: Vec<&str> = day.split(['-', '/', '.']).collect();
    let number = |text: &str| text.parse::<u32>().ok();
    let mut found = Vec::new();
    let mut add = |year: &str, month: Option<u32>, day: Option<u32>| {
        let Some(((month, day), number)) = month.zip(day).zip(number(year)) else { return };
        let years: &[u32] = match year.len() {
            2 => &[number + 2000, (number + 2500).saturating_sub(543)],
            4 if number > 2400 => &[number - 543],
            4 => &[number],
            _ => &[],
        };
        found.extend(years.iter().filter_map(|year| NaiveDate::from_ymd_opt(*year as i32, month, day)));
    };
    match parts[..] {
        [first, second, third] if first.len() == 4 => add(first, number(second), number(third)),
        [first, second, third] => {
            add(third, number(second), number(first));
            add(third, number(first), number(second));
            add(third, month(second), number(first));
            add(third, month(first), number(second));
        }
        [only] if only.len() == 8 && only.is_ascii() => {
            add(&only[..4], number(&only[4..6]), number(&only[6..]));
            add(&only[4..], number(&only[2..4]), number(&only[..2]));
        }
        // Days since the last one of 1899: a date without its format.
        [only] if only.len() == 5 => {
            let first = NaiveDate::from_ymd_opt(1899, 12, 30);
            found.extend(
                first.zip(number(only)).and_then(|(first, days)| first.checked_add_days(Days::new(days.into()))),
            );
        }
        _ => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_makes_of_a_cell_is_told_by_its_kind() {
        use Holds::{Amount, Date, Other};
        for (holds, official, copy, expected) in [
            (Other, "a\r\nb", "a\nb", None),
            (Other, "00510", "510", Some((Change::LeadingZeros, false))),
            (Other, "510", "00510", Some((Change::Text, false))),
            (Other, "0", "00", Some((Change::LeadingZeros, false))),
            (Other, "123456789012", "1.23457E+11", Some((Change::Digits, false))),
            (Other, "1234567890123456", "1234567890123450", Some((Change::Digits, false))),
            (Other, "1.10", "1.1", Some((Change::Digits, false))),
            (Other, "5101.01", "5101.02", Some((Change::Text, false))),
            (Other, "1-2", "2-Jan", Some((Change::Date, false))),
            (Other, "1/2/26", "01/02/2026", Some((Change::Text, false))),
            (Other, "12-2026", "Dec-26", Some((Change::Date, false))),
            (Other, "rent", "Rent", Some((Change::Text, false))),
            (Date, "2026-01-18", "18/1/2026", Some((Change::Date, true))),
            (Date, "2026-01-18", "1/18/26", Some((Change::Date, true))),
            (Date, "2026-01-18", "18/01/2569", Some((Change::Date, true))),
            (Date, "2026-01-18", "18-Jan-26", Some((Change::Date, true))),
            (Date, "18/01/69", "2026-01-18", Some((Change::Date, true))),
            (Date, "2026-01-18", "46040", Some((Change::Date, true))),
            (Date, "2026-01-18", "2026-01-19", Some((Change::Date, false))),
            (Date, "2026-01-18", "####", Some((Change::Text, false))),
            (Amount, "1234.50", "1,234.50", Some((Change::Amount, true))),
            (Amount, "1234.50", "1.234,5", Some((Change::Amount, true))),
            (Amount, "1000.00", "1,000", Some((Change::Amount, true))),
            (Amount, "0.00", "", Some((Change::Amount, true))),
            (Amount, "0.00", "-", Some((Change::Amount, true))),
            (Amount, "-1234.50", "(1,234.50)", Some((Change::Amount, true))),
            (Amount, "1234.50", "1234.05", Some((Change::Amount, false))),
            (Amount, "1234.50", "1234.505", Some((Change::Amount, false))),
            (Amount, "1234.50", "#VALUE!", Some((Change::Text, false))),
        ] {
            assert_eq!(change(holds, official, copy), expected, "{official} -> {copy}");
        }
    }
}
