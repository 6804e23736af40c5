//! How dates are written: a year, a month and a day in any order, with `-`, `/`, `.` or nothing between.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;

use crate::calendar::Day;

/// Years between the Buddhist and the Gregorian calendar.
pub(crate) const BUDDHIST_OFFSET: u16 = 543;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DatePart {
    Year,
    ShortYear,
    BuddhistYear,
    Month,
    Day,
}

impl DatePart {
    const ALL: [(&'static str, DatePart); 5] = [
        ("yyyy", DatePart::Year),
        ("yy", DatePart::ShortYear),
        ("bbbb", DatePart::BuddhistYear),
        ("mm", DatePart::Month),
        ("dd", DatePart::Day),
    ];

    fn text(self) -> &'static str {
        DatePart::ALL.into_iter().find(|(_, part)| *part == self).map_or("", |(text, _)| text)
    }
}

/// A format of dates, such as `dd/mm/bbbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateFormat {
    parts: [DatePart; 3],
    /// Between the first and the second part, between the second and the third.
    between: [Option<u8>; 2],
}

impl DateFormat {
    /// `yyyy-mm-dd`.
    pub const ISO: DateFormat =
        DateFormat { parts: [DatePart::Year, DatePart::Month, DatePart::Day], between: [Some(b'-'), Some(b'-')] };

    /// The date, as ASCII.
    pub fn write(&self, day: Day) -> WrittenDate {
        let mut written = WrittenDate { bytes: [0; 16], length: 0 };
        for (index, part) in self.parts.into_iter().enumerate() {
            match part {
                DatePart::Year => written.digits(day.year, 4),
                DatePart::ShortYear => written.digits(day.year % 100, 2),
                DatePart::BuddhistYear => written.digits(day.year + BUDDHIST_OFFSET, 4),
                DatePart::Month => written.digits(day.month.into(), 2),
                DatePart::Day => written.digits(day.day.into(), 2),
            }
            if let Some(Some(byte)) = self.between.get(index) {
                written.put(*byte);
            }
        }
        written
    }
}

impl DateFormat {
    /// The date that was written in this format, and in no other.
    pub fn read(&self, text: &str) -> Option<NaiveDate> {
        let (mut rest, mut year, mut month, mut day) = (text, 0, 0, 0);
        for (index, part) in self.parts.into_iter().enumerate() {
            let (digits, behind) = rest.split_at_checked(part.text().len())?;
            let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i32>())?.ok()?;
            match part {
                DatePart::Year => year = number,
                DatePart::ShortYear => year = 2000 + number,
                DatePart::BuddhistYear => year = number - i32::from(BUDDHIST_OFFSET),
                DatePart::Month => month = number,
                DatePart::Day => day = number,
            }
            rest = match self.between.get(index) {
                Some(Some(byte)) => behind.strip_prefix(char::from(*byte))?,
                Some(None) | None => behind,
            };
        }
        NaiveDate::from_ymd_opt(year, month as u32, day as u32).filter(|_| rest.is_empty())
    }

    /// Whether the day stands before the month; `None` when the year comes first, which leaves no doubt.
    pub fn is_day_first(&self) -> Option<bool> {
        match self.parts {
            [DatePart::Day, ..] => Some(true),
            [DatePart::Month, ..] => Some(false),
            [DatePart::Year | DatePart::ShortYear | DatePart::BuddhistYear, ..] => None,
        }
    }
}

impl FromStr for DateFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<DateFormat, String> {
        let malformed = || {
            "a year (yyyy, yy or bbbb), a month (mm) and a day (dd), each once, with -, /, . or nothing between"
                .to_owned()
        };
        let mut rest = text;
        let mut parts = [DatePart::Year; 3];
        let mut between = [None; 2];
        for (index, slot) in parts.iter_mut().enumerate() {
            let found = DatePart::ALL.into_iter().find(|(word, _)| rest.starts_with(word));
            let (word, part) = found.ok_or_else(malformed)?;
            *slot = part;
            rest = &rest[word.len()..];
            if let (Some(gap), Some(&byte @ (b'-' | b'/' | b'.'))) = (between.get_mut(index), rest.as_bytes().first()) {
                *gap = Some(byte);
                rest = &rest[1..];
            }
        }
        let years = parts.iter().filter(|part| !matches!(part, DatePart::Month | DatePart::Day)).count();
        let complete = years == 1 && parts.contains(&DatePart::Month) && parts.contains(&DatePart::Day);
        if complete && rest.is_empty() { Ok(DateFormat { parts, between }) } else { Err(malformed()) }
    }
}

impl fmt::Display for DateFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.into_iter().enumerate() {
            f.write_str(part.text())?;
            if let Some(Some(byte)) = self.between.get(index) {
                write!(f, "{}", char::from(*byte))?;
            }
        }
        Ok(())
    }
}

/// A few characters of ASCII, on the stack.
#[derive(Clone, Copy, Debug)]
pub struct WrittenDate {
    bytes: [u8; 16],
    length: usize,
}

impl WrittenDate {
    /// The characters.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn put(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// The number with at least this many digits.
    fn digits(&mut self, number: u16, at_least: u32) {
        let count = number.checked_ilog10().map_or(1, |log| log + 1).max(at_least);
        for place in (0..count).rev() {
            self.put(b'0' + (number / 10_u16.pow(place) % 10) as u8);
        }
    }
}
