//! What a spreadsheet makes of a cell that it reads as a number or a date, and writes back.
//!
//! Risk: a value that was lost on the way and looks like mere formatting. So a difference counts as a mere respelling only when both texts
//! certainly mean the same amount or the same date; a code has no spelling but its own.

use schemars::JsonSchema;
use serde::Serialize;

use super::amounts::{Marks, is_same, micro};
use super::dates::{Order, Reading, is_month_and_number, readings};
use crate::layout::{DateFormat, FieldKind, Value};

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
    Date(DateFormat),
    Amount,
    Other,
}

impl Holds {
    pub(super) fn of(value: &Value) -> Holds {
        match value {
            Value::Date(format) | Value::BusinessDate(format) | Value::Field(_, FieldKind::Date(format)) => {
                Holds::Date(*format)
            }
            Value::Debit(_)
            | Value::Credit(_)
            | Value::Amount
            | Value::SignedAmount
            | Value::Field(_, FieldKind::Money) => Holds::Amount,
            _ => Holds::Other,
        }
    }
}

/// How the cell of a copy differs from the official one, and whether it means the same; `None` when it does not differ. `order` is that of
/// the other dates of this column in the copy, as far as it is known, and `marks` are those of its amounts.
pub(super) fn change(
    holds: Holds,
    order: Option<Order>,
    marks: Marks,
    official: &str,
    copy: &str,
) -> Option<(Change, bool)> {
    if official == copy || official.replace("\r\n", "\n") == copy.replace("\r\n", "\n") {
        return None;
    }
    Some(match holds {
        Holds::Amount => match is_same(official, copy, marks) {
            Some(same) => (Change::Amount, same),
            None if is_rounded(official, copy) => (Change::Digits, false),
            None => (Change::Text, false),
        },
        Holds::Date(format) => {
            let found = readings(copy);
            let same = matching(format, order, official, &found).is_some();
            if found.is_empty() { (Change::Text, false) } else { (Change::Date, same) }
        }
        Holds::Other => (of_code(official, copy), false),
    })
}

/// What a spreadsheet leaves of a cell: equal for two cells that mean the same. `None` for a cell that says nothing, or that it may rewrite
/// beyond recognition.
pub(super) fn essence(holds: Holds, cell: &str) -> Option<String> {
    match holds {
        Holds::Date(_) => None,
        Holds::Amount => match micro(cell) {
            Some(0) => None,
            Some(micro) => Some(micro.to_string()),
            None => Some(cell.to_owned()),
        },
        Holds::Other if cell.is_empty() => None,
        Holds::Other => match number(cell).filter(|number| number.is_finite()) {
            Some(number) if number.abs() < 1e11 => Some(number.to_string()),
            // Its last digits may be lost.
            Some(number) => Some(format!("{number:.4e}")),
            None => Some(cell.replace("\r\n", "\n")),
        },
    }
}

/// The order in which a copy writes a date that means the official one.
pub(super) fn order_of(format: DateFormat, order: Option<Order>, official: &str, copy: &str) -> Option<Order> {
    matching(format, order, official, &readings(copy))?.order
}

/// The reading that is the official date. The official cell has one meaning, that of its format; an order of day and month that the copy
/// leaves open is the format's own, else that of the rest of its column.
fn matching<'a>(format: DateFormat, order: Option<Order>, official: &str, found: &'a [Reading]) -> Option<&'a Reading> {
    let meant = format.read(official)?;
    let own = format.is_day_first().map(|day_first| if day_first { Order::DayFirst } else { Order::MonthFirst });
    let known = own.or(order);
    found
        .iter()
        .find(|read| read.date == meant && (read.certain || known.is_none_or(|known| read.order == Some(known))))
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
    match (number(official), number(copy)) {
        (Some(before), Some(after)) if before == after => Change::Digits,
        _ if is_rounded(official, copy) => Change::Digits,
        _ if readings(official).is_empty() && (!readings(copy).is_empty() || is_month_and_number(copy)) => Change::Date,
        _ => Change::Text,
    }
}

fn number(text: &str) -> Option<f64> {
    text.replace(',', ".").parse().ok()
}

/// Whether the copy is the official number in scientific notation, as in `1.23E+06`: rounded to the digits that it shows.
fn is_rounded(official: &str, copy: &str) -> bool {
    let Some((digits, _)) = copy.split_once(['E', 'e']) else { return false };
    let decimals = digits.split_once(['.', ',']).map_or(0, |(_, decimals)| decimals.len());
    let (Some(before), Some(after)) = (number(official), number(copy)) else { return false };
    decimals <= 15 && number(&format!("{before:.decimals$e}")) == Some(after)
}
