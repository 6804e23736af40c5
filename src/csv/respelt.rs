//! What a spreadsheet makes of a cell that it reads as a number or a date, and writes back.
//!
//! Risk: a value that was lost on the way and looks like mere formatting. So a difference counts as a mere respelling only when both texts
//! certainly mean the same amount or the same date; a code has no spelling but its own.

use chrono::{Days, NaiveDate};
use schemars::JsonSchema;
use serde::Serialize;

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

/// Whether day or month comes first, in a date that ends with its year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    DayFirst,
    MonthFirst,
}

/// A date that a text may mean.
struct Reading {
    date: NaiveDate,
    /// `None` when the text says which is the month.
    order: Option<Order>,
    /// Whether the other order gives no date, or the same one.
    certain: bool,
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

/// How the cell of a copy differs from the official one, and whether it means the same; `None` when it does not differ. `order` is that of
/// the other dates of this column in the copy, as far as it is known.
pub(super) fn change(holds: Holds, order: Option<Order>, official: &str, copy: &str) -> Option<(Change, bool)> {
    if official == copy || official.replace("\r\n", "\n") == copy.replace("\r\n", "\n") {
        return None;
    }
    Some(match holds {
        Holds::Amount => match (satang(official), satang(copy)) {
            (Some(official), Some(copy)) => (Change::Amount, official == copy),
            (Some(_), None) if is_rounded(official, copy) => (Change::Digits, false),
            _ => (Change::Text, false),
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
        Holds::Amount => match satang(cell) {
            Some(0) => None,
            Some(satang) => Some(satang.to_string()),
            None => Some(cell.to_owned()),
        },
        Holds::Other if cell.is_empty() => None,
        Holds::Other => match cell.replace(',', ".").parse::<f64>().ok().filter(|number| number.is_finite()) {
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

/// The months as a spreadsheet names them, in the two languages of its users: how their names begin, in any case.
const MONTHS: [[&str; 3]; 12] = [
    ["jan", "ม.ค.", "มกราคม"],
    ["feb", "ก.พ.", "กุมภาพันธ์"],
    ["mar", "มี.ค.", "มีนาคม"],
    ["apr", "เม.ย.", "เมษายน"],
    ["may", "พ.ค.", "พฤษภาคม"],
    ["jun", "มิ.ย.", "มิถุนายน"],
    ["jul", "ก.ค.", "กรกฎาคม"],
    ["aug", "ส.ค.", "สิงหาคม"],
    ["sep", "ก.ย.", "กันยายน"],
    ["oct", "ต.ค.", "ตุลาคม"],
    ["nov", "พ.ย.", "พฤศจิกายน"],
    ["dec", "ธ.ค.", "ธันวาคม"],
];

/// How the names of the days of the week begin.
const WEEKDAYS: [&str; 8] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "วัน"];

fn month(text: &str) -> Option<u32> {
    let text = text.to_ascii_lowercase();
    let known = MONTHS.iter().position(|names| names.iter().any(|name| text.starts_with(name)));
    known.map(|at| at as u32 + 1)
}

/// `2-Jan`, `Jan-02`: what a spreadsheet makes of `1-2`.
fn is_month_and_number(text: &str) -> bool {
    let Some((one, other)) = text.split_once(['-', ' ']) else { return false };
    let number = |text: &str| text.parse::<u16>().is_ok();
    (month(one).is_some() && number(other)) || (number(one) && month(other).is_some())
}

/// Every date that a text may mean: the order of day and month, and the calendar of the year, are not always told.
fn readings(text: &str) -> Vec<Reading> {
    let day = text.trim().split(' ').next().unwrap_or_default();
    let parts: Vec<&str> = day.split(['-', '/', '.']).collect();
    let number = |text: &str| text.parse::<u32>().ok();
    let dates = |year: &str, month: Option<u32>, day: Option<u32>| -> Vec<NaiveDate> {
        let Some(((month, day), number)) = month.zip(day).zip(number(year)) else { return Vec::new() };
        let years = match year.len() {
            2 => vec![number + 2000, (number + 2500).saturating_sub(543)],
            4 if number > 2400 => vec![number - 543],
            4 => vec![number],
            _ => Vec::new(),
        };
        years.into_iter().filter_map(|year| NaiveDate::from_ymd_opt(year as i32, month, day)).collect()
    };
    let plain = |dates: Vec<NaiveDate>| dates.into_iter().map(|date| Reading { date, order: None, certain: true });
    match parts[..] {
        [first, second, third] if first.len() == 4 => plain(dates(first, number(second), number(third))).collect(),
        [first, second, third] => {
            let named = dates(third, month(second), number(first));
            let named = named.into_iter().chain(dates(third, month(first), number(second))).collect();
            let day_first = dates(third, number(second), number(first));
            let month_first = dates(third, number(first), number(second));
            let certain = day_first.is_empty() || month_first.is_empty() || day_first == month_first;
            let ordered = |order| move |date| Reading { date, order: Some(order), certain };
            let day_first = day_first.into_iter().map(ordered(Order::DayFirst));
            plain(named).chain(day_first).chain(month_first.into_iter().map(ordered(Order::MonthFirst))).collect()
        }
        [only] if only.len() == 8 && only.is_ascii() => {
            let year_first = dates(&only[..4], number(&only[4..6]), number(&only[6..]));
            plain(year_first).chain(plain(dates(&only[4..], number(&only[2..4]), number(&only[..2])))).collect()
        }
        // Days since the last one of 1899: a date without its format.
        [only] if only.len() == 5 => {
            let first = NaiveDate::from_ymd_opt(1899, 12, 30);
            let date = first.zip(number(only)).and_then(|(first, days)| first.checked_add_days(Days::new(days.into())));
            plain(date.into_iter().collect()).collect()
        }
        _ => in_words(text)
            .map_or_else(Vec::new, |(year, month, day)| plain(dates(year, Some(month), number(day))).collect()),
    }
}

/// Year, month and day of a date that names its month: `Sunday, January 18, 2026`, `18 ม.ค. 69`. Nothing else may stand beside them.
fn in_words(text: &str) -> Option<(&str, u32, &str)> {
    let words = text.split([' ', ',', '-', '/', '\u{a0}']).filter(|word| !word.is_empty());
    let (numbers, names): (Vec<&str>, Vec<&str>) =
        words.partition(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let is_weekday = |name: &str| WEEKDAYS.iter().any(|day| name.to_ascii_lowercase().starts_with(day));
    let month = match names[..] {
        [name] => month(name)?,
        [day, name] | [name, day] if is_weekday(day) => month(name)?,
        _ => return None,
    };
    match numbers[..] {
        [year, day] if year.len() == 4 => Some((year, month, day)),
        [day, year] => Some((year, month, day)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_makes_of_a_cell_is_told_by_its_kind() {
        use Holds::{Amount, Other};
        let date = |format: &str| Holds::Date(format.parse().unwrap());
        let iso = date("yyyy-mm-dd");
        for (holds, official, copy, expected) in [
            (Other, "a\r\nb", "a\nb", None),
            (Other, "00510", "510", Some((Change::LeadingZeros, false))),
            (Other, "510", "00510", Some((Change::Text, false))),
            (Other, "0", "00", Some((Change::LeadingZeros, false))),
            (Other, "123456789012", "1.23457E+11", Some((Change::Digits, false))),
            (Other, "123456789012", "1.2E+11", Some((Change::Digits, false))),
            (Other, "123456789012", "1.24E+11", Some((Change::Text, false))),
            (Other, "1234567890123456", "1234567890123450", Some((Change::Digits, false))),
            (Other, "1.10", "1.1", Some((Change::Digits, false))),
            (Other, "5101.01", "5101.02", Some((Change::Text, false))),
            (Other, "1-2", "2-Jan", Some((Change::Date, false))),
            (Other, "1/2/26", "01/02/2026", Some((Change::Text, false))),
            (Other, "12-2026", "Dec-26", Some((Change::Date, false))),
            (Other, "rent", "Rent", Some((Change::Text, false))),
            (iso, "2026-01-18", "18/1/2026", Some((Change::Date, true))),
            (iso, "2026-01-18", "1/18/26", Some((Change::Date, true))),
            (iso, "2026-01-18", "18/01/2569", Some((Change::Date, true))),
            (iso, "2026-01-18", "18-Jan-26", Some((Change::Date, true))),
            (date("dd/mm/yyyy"), "03/02/2026", "2026-02-03", Some((Change::Date, true))),
            (date("dd/mm/yyyy"), "03/02/2026", "3/2/2026", Some((Change::Date, true))),
            (date("dd/mm/yyyy"), "03/02/2026", "03-Feb-26", Some((Change::Date, true))),
            (date("dd/mm/yyyy"), "03/02/2026", "2026-03-02", Some((Change::Date, false))),
            (date("dd/mm/yyyy"), "03/02/2026", "02-Mar-26", Some((Change::Date, false))),
            (date("dd/mm/yyyy"), "03/02/2026", "02/03/2026", Some((Change::Date, false))),
            (date("mm/dd/yyyy"), "03/02/2026", "2026-03-02", Some((Change::Date, true))),
            (date("dd/mm/bbbb"), "03/02/2569", "2026-02-03", Some((Change::Date, true))),
            (date("yyyymmdd"), "20260203", "03/02/2026", Some((Change::Date, true))),
            (iso, "2026-01-18", "46040", Some((Change::Date, true))),
            (iso, "2026-01-18", "18 January 2026", Some((Change::Date, true))),
            (iso, "2026-01-18", "Sunday, January 18, 2026", Some((Change::Date, true))),
            (iso, "2026-01-18", "2026 Jan 18", Some((Change::Date, true))),
            (iso, "2026-01-18", "18 ม.ค. 69", Some((Change::Date, true))),
            (iso, "2026-01-18", "18-ม.ค.-69", Some((Change::Date, true))),
            (iso, "2026-01-18", "วันอาทิตย์ที่ 18 มกราคม 2569", Some((Change::Date, true))),
            (iso, "2026-01-18", "18 มีนาคม 2569", Some((Change::Date, false))),
            (iso, "2026-01-18", "19 January 2026", Some((Change::Date, false))),
            (iso, "2026-01-18", "paid 18 January 2026", Some((Change::Text, false))),
            (iso, "2026-01-18", "18 January or 18 March 2026", Some((Change::Text, false))),
            (iso, "2026-01-18", "2026-01-19", Some((Change::Date, false))),
            (iso, "2026-01-18", "####", Some((Change::Text, false))),
            (Amount, "1234.50", "1,234.50", Some((Change::Amount, true))),
            (Amount, "1234.50", "1.234,5", Some((Change::Amount, true))),
            (Amount, "1000.00", "1,000", Some((Change::Amount, true))),
            (Amount, "0.00", "", Some((Change::Amount, true))),
            (Amount, "0.00", "-", Some((Change::Amount, true))),
            (Amount, "-1234.50", "(1,234.50)", Some((Change::Amount, true))),
            (Amount, "1234.50", "1234.05", Some((Change::Amount, false))),
            (Amount, "1234.50", "1234.505", Some((Change::Amount, false))),
            (Amount, "1234.50", "#VALUE!", Some((Change::Text, false))),
            (Amount, "1234567.89", "1.23E+06", Some((Change::Digits, false))),
            (Amount, "1234567.89", "1,235E+06", Some((Change::Digits, false))),
            (Amount, "-1234567.89", "-1E+06", Some((Change::Digits, false))),
            (Amount, "1234567.89", "1.24E+06", Some((Change::Text, false))),
            (Amount, "1234567.89", "1.23E+07", Some((Change::Text, false))),
        ] {
            assert_eq!(change(holds, None, official, copy), expected, "{official} -> {copy}");
        }
    }

    #[test]
    fn a_column_writes_its_dates_in_one_order() {
        let iso = Holds::Date(DateFormat::ISO);
        for (order, same) in [(None, true), (Some(Order::DayFirst), false), (Some(Order::MonthFirst), true)] {
            assert_eq!(change(iso, order, "2026-02-03", "02/03/2026"), Some((Change::Date, same)), "{order:?}");
            // There is no month 18.
            assert_eq!(change(iso, order, "2026-01-18", "18/01/2026"), Some((Change::Date, true)), "{order:?}");
        }
        assert_eq!(order_of(DateFormat::ISO, None, "2026-01-18", "18/01/2026"), Some(Order::DayFirst));
        assert_eq!(order_of(DateFormat::ISO, None, "2026-02-03", "02/03/2026"), Some(Order::MonthFirst));
        assert_eq!(order_of(DateFormat::ISO, None, "2026-02-03", "04/03/2026"), None);
    }
}
