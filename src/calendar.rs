//! Business dates, cut-offs, and the date of an instant in a zone.
//!
//! The danger is the hour that daylight saving takes or gives: a cut-off that is resolved one way today and another way tomorrow
//! exports an entry on two dates or on none. One rule decides every case: a cut-off is the first instant at which the wall clock shows
//! that date and time or a later one. So a time that exists twice is its first occurrence, and a time that does not exist is the
//! instant after the gap. The zone database is compiled in; neither `TZ` nor the machine's tzdata matter.

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

const DAY_MS: i64 = 86_400_000;

/// Reads a business date, `YYYY-MM-DD`, years 0001 to 9999.
///
/// # Errors
/// A sentence that names the text and says what is wrong with it.
pub fn parse_date(text: &str) -> Result<NaiveDate, String> {
    let malformed = || format!("{text:?} is not a date; write it like 2026-01-18");
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return Err(malformed());
    }
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
    };
    let (Some(year), Some(month), Some(day)) = (number(&bytes[..4]), number(&bytes[5..7]), number(&bytes[8..])) else {
        return Err(malformed());
    };
    if year == 0 {
        return Err(malformed());
    }
    NaiveDate::from_ymd_opt(year as i32, month, day).ok_or_else(|| format!("there is no date {text}"))
}

/// Reads a time of day, `HH:MM`.
///
/// # Errors
/// A sentence that names the text.
pub fn parse_time(text: &str) -> Result<NaiveTime, String> {
    let malformed = || format!("{text:?} is not a time of day; write it like 18:00");
    // The parser of the calendar library takes blanks and single digits as well.
    if text.len() != 5 || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return Err(malformed());
    }
    NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| malformed())
}

/// Reads a zone of the IANA database, such as `Asia/Bangkok`.
///
/// # Errors
/// A sentence that names the text.
pub fn parse_zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| format!("{text:?} is not a time zone; write it like Asia/Bangkok"))
}

/// When the day's batch is due: a time of day in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// The zone of business dates.
    pub zone: Tz,
    /// The time of day at which a business date's batch closes.
    pub cutoff: NaiveTime,
}

impl Calendar {
    /// The date on the wall at an instant.
    pub fn today(&self, now: DateTime<Utc>) -> NaiveDate {
        now.with_timezone(&self.zone).date_naive()
    }

    /// The cut-off of a business date: the first instant at which the wall clock shows that date and the cut-off time, or later.
    pub fn cutoff(&self, date: NaiveDate) -> DateTime<Utc> {
        let wall = date.and_time(self.cutoff);
        match self.zone.from_local_datetime(&wall) {
            MappedLocalTime::Single(instant) => instant.to_utc(),
            MappedLocalTime::Ambiguous(first, second) => first.min(second).to_utc(),
            MappedLocalTime::None => self.end_of_gap(wall),
        }
    }

    /// The cut-off of the day before a business date: what was due by then and is still queued has been carried over.
    pub fn previous_cutoff(&self, date: NaiveDate) -> DateTime<Utc> {
        self.cutoff(date - Days::new(1))
    }

    /// The latest business date whose cut-off has been reached at an instant.
    pub fn latest_due(&self, now: DateTime<Utc>) -> NaiveDate {
        // From tomorrow on: a clock set back across midnight shows the same date again after tomorrow's cut-off had been reached.
        let mut date = self.today(now) + Days::new(1);
        while self.cutoff(date) > now {
            date = date - Days::new(1);
        }
        date
    }

    /// The instant at which the wall clock jumped over `wall`. A bisection: at its lower end the clock shows less than `wall`, at its
    /// upper end more, and since no instant shows `wall` itself, the place where that changes is the jump.
    fn end_of_gap(&self, wall: NaiveDateTime) -> DateTime<Utc> {
        let shows_later = |seconds: i64| {
            let utc = wall.and_utc() + TimeDelta::seconds(seconds);
            utc.with_timezone(&self.zone).naive_local() >= wall
        };
        // No zone was ever 16 hours away from UTC. Gaps begin and end at whole seconds.
        let (mut before, mut after) = (-16 * 3600, 16 * 3600);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if shows_later(middle) {
                after = middle;
            } else {
                before = middle;
            }
        }
        wall.and_utc() + TimeDelta::seconds(after)
    }
}

/// A date of the Gregorian calendar, years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Day {
    /// The same date, when its year has four digits.
    pub fn from_date(date: NaiveDate) -> Option<Day> {
        let year = u16::try_from(date.year()).ok().filter(|year| (1..=9999).contains(year))?;
        Some(Day { year, month: date.month() as u8, day: date.day() as u8 })
    }

    /// `2026-01-18`.
    pub fn year_first(self) -> [u8; 10] {
        let ([c, e, y, r], [m, o], [d, a]) = self.digits();
        [c, e, y, r, b'-', m, o, b'-', d, a]
    }

    /// `18/01/2026`.
    pub fn day_first(self) -> [u8; 10] {
        let ([c, e, y, r], [m, o], [d, a]) = self.digits();
        [d, a, b'/', m, o, b'/', c, e, y, r]
    }

    /// `260118`.
    pub fn short(self) -> [u8; 6] {
        let ([_, _, y, r], [m, o], [d, a]) = self.digits();
        [y, r, m, o, d, a]
    }

    fn digits(self) -> ([u8; 4], [u8; 2], [u8; 2]) {
        let two = |number: u8| [b'0' + number / 10, b'0' + number % 10];
        let ([c, e], [y, r]) = (two((self.year / 100) as u8), two((self.year % 100) as u8));
        ([c, e, y, r], two(self.month), two(self.day))
    }
}

/// Dates of instants in one zone. Remembers the last day, because the entries of a batch share few days and a zone costs a search.
#[derive(Clone, Debug)]
pub struct DayFinder {
    zone: Tz,
    start_ms: i64,
    end_ms: i64,
    day: Day,
}

impl DayFinder {
    /// A finder that has seen nothing yet.
    pub fn new(zone: Tz) -> DayFinder {
        DayFinder { zone, start_ms: 0, end_ms: 0, day: Day { year: 1970, month: 1, day: 1 } }
    }

    /// The date on the wall at an instant (milliseconds since 1970 UTC); `None` outside the years 1 to 9999.
    pub fn day(&mut self, instant_ms: i64) -> Option<Day> {
        if !(self.start_ms..self.end_ms).contains(&instant_ms) {
            self.find(instant_ms)?;
        }
        Some(self.day)
    }

    fn find(&mut self, instant_ms: i64) -> Option<()> {
        let offset_ms = self.offset_ms(instant_ms)?;
        let date = (instant_ms + offset_ms).div_euclid(DAY_MS);
        let day = Day::from_date(NaiveDate::from_epoch_days(i32::try_from(date).ok()?)?)?;
        let start_ms = date * DAY_MS - offset_ms;
        let end_ms = start_ms + DAY_MS;
        // On a day with a change of the clock this range is wrong, and the day may even come in two pieces: remember one instant only.
        let steady = [start_ms, end_ms - 1].iter().all(|&edge_ms| self.offset_ms(edge_ms) == Some(offset_ms));
        (self.start_ms, self.end_ms) = if steady { (start_ms, end_ms) } else { (instant_ms, instant_ms + 1) };
        self.day = day;
        Some(())
    }

    /// What the wall clock shows minus UTC; `None` for an instant beyond any calendar.
    fn offset_ms(&self, instant_ms: i64) -> Option<i64> {
        let utc = DateTime::from_timestamp_millis(instant_ms)?.naive_utc();
        Some(i64::from(self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1000)
    }
}
