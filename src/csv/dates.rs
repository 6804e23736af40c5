//! Dates as people and spreadsheets write them, in the two languages of the users.
//!
//! Risk: a date that was read into a text that says something else. So every word has to be known, and a day of the week has to be that of the
//! date.

use chrono::{Datelike, Days, NaiveDate};

/// Whether day or month comes first, in a date that ends with its year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    DayFirst,
    MonthFirst,
}

/// A date that a text may mean.
pub(super) struct Reading {
    pub(super) date: NaiveDate,
    /// `None` when the text says which is the month.
    pub(super) order: Option<Order>,
    /// Whether the other order gives no date, or the same one.
    pub(super) certain: bool,
}

/// Short and long names of the months, without the point behind an abbreviation.
const MONTHS: [[&str; 4]; 12] = [
    ["jan", "january", "ม.ค", "มกราคม"],
    ["feb", "february", "ก.พ", "กุมภาพันธ์"],
    ["mar", "march", "มี.ค", "มีนาคม"],
    ["apr", "april", "เม.ย", "เมษายน"],
    ["may", "may", "พ.ค", "พฤษภาคม"],
    ["jun", "june", "มิ.ย", "มิถุนายน"],
    ["jul", "july", "ก.ค", "กรกฎาคม"],
    ["aug", "august", "ส.ค", "สิงหาคม"],
    ["sep", "september", "ก.ย", "กันยายน"],
    ["oct", "october", "ต.ค", "ตุลาคม"],
    ["nov", "november", "พ.ย", "พฤศจิกายน"],
    ["dec", "december", "ธ.ค", "ธันวาคม"],
];

/// Short and long names of the days of the week, from Sunday; a Thai one may stand between `วัน` and `ที่`.
const WEEKDAYS: [[&str; 4]; 7] = [
    ["sun", "sunday", "อา", "อาทิตย์"],
    ["mon", "monday", "จ", "จันทร์"],
    ["tue", "tuesday", "อ", "อังคาร"],
    ["wed", "wednesday", "พ", "พุธ"],
    ["thu", "thursday", "พฤ", "พฤหัสบดี"],
    ["fri", "friday", "ศ", "ศุกร์"],
    ["sat", "saturday", "ส", "เสาร์"],
];

/// What stands between the words of a date.
const BETWEEN: [char; 6] = [' ', '\u{a0}', ',', '-', '/', '.'];

/// A Thai digit as the Arabic one; any other character as it is.
pub(super) fn arabic(character: char) -> char {
    match character {
        '๐'..='๙' => char::from_digit(character as u32 - '๐' as u32, 10).unwrap_or(character),
        other => other,
    }
}

fn place(names: &[[&str; 4]], word: &str) -> Option<u32> {
    let word = word.to_ascii_lowercase();
    names.iter().zip(0..).find(|(names, _)| names.contains(&&*word)).map(|(_, at)| at)
}

fn month(word: &str) -> Option<u32> {
    place(&MONTHS, word.trim_end_matches('.')).map(|at| at + 1)
}

/// Days from Sunday.
fn weekday(word: &str) -> Option<u32> {
    let word = word.strip_prefix("วัน").unwrap_or(word);
    place(&WEEKDAYS, word.strip_suffix("ที่").unwrap_or(word))
}

/// `2-Jan`, `Jan-02`: what a spreadsheet makes of `1-2`.
pub(super) fn is_month_and_number(text: &str) -> bool {
    let Some((one, other)) = text.split_once(['-', ' ']) else { return false };
    let number = |text: &str| text.parse::<u16>().is_ok();
    (month(one).is_some() && number(other)) || (number(one) && month(other).is_some())
}

/// The calendar that a year is counted in, where the text says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Era {
    Buddhist,
    Common,
}

/// Every date that a text may mean: the order of day and month, and the calendar of the year, are not always known.
pub(super) fn readings(text: &str) -> Vec<Reading> {
    let text: String = text.trim().chars().map(arabic).collect();
    let text = without_time(&text);
    let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
    let plain = |dates: Vec<NaiveDate>| dates.into_iter().map(|date| Reading { date, order: None, certain: true });
    if !parts.iter().all(|part| is_number(part)) {
        return plain(in_words(text).unwrap_or_default()).collect();
    }
    match parts[..] {
        [year, month, day] if year.len() == 4 => plain(dates(year, None, number(month), day)).collect(),
        [first, second, year] => {
            let day_first = dates(year, None, number(second), first);
            let month_first = dates(year, None, number(first), second);
            let certain = day_first.is_empty() || month_first.is_empty() || day_first == month_first;
            let ordered = |order| move |date| Reading { date, order: Some(order), certain };
            let day_first = day_first.into_iter().map(ordered(Order::DayFirst));
            day_first.chain(month_first.into_iter().map(ordered(Order::MonthFirst))).collect()
        }
        [only] if only.len() == 8 => {
            let year_first = dates(&only[..4], None, number(&only[4..6]), &only[6..]);
            plain(year_first).chain(plain(dates(&only[4..], None, number(&only[2..4]), &only[..2]))).collect()
        }
        // Days since the last one of 1899: a date without its format.
        [only] if only.len() == 5 => {
            let first = NaiveDate::from_ymd_opt(1899, 12, 30);
            let date = first.zip(number(only)).and_then(|(first, days)| first.checked_add_days(Days::new(days.into())));
            plain(date.into_iter().collect()).collect()
        }
        _ => Vec::new(),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// The dates of this year, month and day, in either calendar where the year does not decide.
fn dates(year: &str, era: Option<Era>, month: Option<u32>, day: &str) -> Vec<NaiveDate> {
    let Some(((month, day), number)) = month.zip(number(day)).zip(number(year)) else { return Vec::new() };
    let century = if year.len() == 2 { 2500 } else { 0 };
    let buddhist = (number + century).checked_sub(543);
    let common = if year.len() == 2 { number + 2000 } else { number };
    let years = match (year.len(), era) {
        (2 | 4, Some(Era::Buddhist)) => vec![buddhist],
        (2 | 4, Some(Era::Common)) => vec![Some(common)],
        (2, None) => vec![Some(common), buddhist],
        (4, None) => vec![if number > 2400 { buddhist } else { Some(common) }],
        _ => Vec::new(),
    };
    years.into_iter().flatten().filter_map(|year| NaiveDate::from_ymd_opt(year as i32, month, day)).collect()
}

/// The text without a time of day behind the date, as in `2026-01-18T00:00:00` and `1/18/2026 12:00:00 AM`.
fn without_time(text: &str) -> &str {
    let Some(colon) = text.find(':') else { return text };
    let Some(start) = text[..colon].rfind([' ', '\u{a0}', 'T']) else { return text };
    let time = text[start..].trim_start_matches([' ', '\u{a0}', 'T']);
    let clock = ["AM", "PM", "น."].iter().find_map(|half| time.strip_suffix(half)).unwrap_or(time).trim_end();
    let is_time =
        clock.split(':').count() <= 3 && clock.split([':', '.']).all(|part| is_number(part) && part.len() <= 9);
    if is_time { &text[..start] } else { text }
}

/// The dates of a text that names its month: `Sunday, January 18, 2026`, `18 ม.ค. 69`. Nothing else may stand beside them.
fn in_words(text: &str) -> Option<Vec<NaiveDate>> {
    let (mut months, mut days_of_week, mut eras, mut numbers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut rest = text.trim_matches(BETWEEN);
    while !rest.is_empty() {
        let is_digit = rest.starts_with(|c: char| c.is_ascii_digit());
        let end =
            rest.find(|c: char| c.is_ascii_digit() != is_digit || (!is_digit && c != '.' && BETWEEN.contains(&c)));
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        let name = word.trim_end_matches('.');
        if is_digit {
            numbers.push(word);
            let ordinal = ["st", "nd", "rd", "th"].iter().find_map(|ending| behind.strip_prefix(ending));
            let ordinal = ordinal.filter(|behind| word.len() <= 2 && behind.starts_with(BETWEEN));
            rest = ordinal.unwrap_or(behind);
        } else {
            match (month(name), weekday(name), name) {
                (_, _, "พ.ศ") => eras.push(Era::Buddhist),
                (_, _, "ค.ศ") => eras.push(Era::Common),
                (_, _, "ที่" | "วันที่") => {}
                (Some(month), ..) => months.push(month),
                (None, Some(day), _) => days_of_week.push(day),
                (None, None, _) => return None,
            }
            rest = behind;
        }
        rest = rest.trim_start_matches(BETWEEN);
    }
    let ([month], 0..=1, 0..=1) = (&months[..], days_of_week.len(), eras.len()) else { return None };
    let (year, day) = match numbers[..] {
        [year, day] if year.len() == 4 => (year, day),
        [day, year] => (year, day),
        _ => return None,
    };
    let mut found = dates(year, eras.first().copied(), Some(*month), day);
    found.retain(|date| days_of_week.iter().all(|day| *day == date.weekday().num_days_from_sunday()));
    Some(found)
}
