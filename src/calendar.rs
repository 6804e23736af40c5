//! Business dates, cut-offs, and the date of an instant in a zone.
//!
//! Risk: a change to or from daylight saving time. A cut-off that is resolved one way today and another way tomorrow
//! exports an entry on two dates or on none. One rule decides every case: a cut-off is the first instant at which the
//! wall clock shows that date and time or a later one. So a time that exists twice is its first occurrence, and a time
//! that does not exist is the instant after the gap. The zone database is compiled in; neither `TZ` nor the machine's
//! tzdata matter.

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

use crate::failure::Explanation;
use crate::plausible::{shown_date, shown_time, shown_word};

const DAY_MS: i64 = 86_400_000;

/// Reads a business date, `YYYY-MM-DD`, years 0001 to 9999.
///
/// # Errors
/// What is wrong with the text, which is shown if it looks like a date, and how to write it.
pub fn parse_date(text: &str) -> Result<NaiveDate, Explanation> {
    // The parser of the calendar library takes blanks, signs and single digits as well.
    let is_right = |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    if text.len() != 10 || !text.bytes().enumerate().all(is_right) || text.starts_with("0000") {
        return Err(Explanation::new(format!("{} is not a date", shown_date(text)), "write it like 2026-01-18"));
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| format!("there is no date {text}").into())
}

/// Years by which the Thai calendar is ahead.
pub const BUDDHIST_YEARS: i32 = 543;
/// The first year of a business date.
const FIRST_YEAR: i32 = 2000;
/// The century that people leave out of a year, in both calendars.
const CENTURY: i32 = 2000;
const BUDDHIST_CENTURY: i32 = 2500;

/// Reads a time of day, `HH:MM`.
pub fn parse_time(text: &str) -> Result<NaiveTime, Explanation> {
    let malformed = || Explanation::new(format!("{} is not a time of day", shown_time(text)), "write it like 18:00");
    // The parser of the calendar library takes blanks and single digits as well.
    if text.len() != 5 || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return Err(malformed());
    }
    NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| malformed())
}

/// Reads a zone of the IANA database, such as `Asia/Bangkok`.
pub fn parse_zone(text: &str) -> Result<Tz, Explanation> {
    let unknown =
        |_| Explanation::new(format!("{} is not a time zone", shown_word(text)), "write it like Asia/Bangkok");
    text.parse().map_err(unknown)
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
    /// The local date at an instant.
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

    /// The cut-off of the day before a business date: rows that were due by it and are still queued are carried over.
    pub fn previous_cutoff(&self, date: NaiveDate) -> DateTime<Utc> {
        self.cutoff(date - Days::new(1))
    }

    /// The latest business date whose cut-off has been reached at an instant.
    pub fn latest_due(&self, now: DateTime<Utc>) -> NaiveDate {
        // The search starts at tomorrow: a clock set back across midnight shows today's date again after tomorrow's
        // cut-off was reached.
        let mut date = self.today(now) + Days::new(1);
        while self.cutoff(date) > now {
            date = date - Days::new(1);
        }
        date
    }

    /// Refuses a business date that nobody can mean: one later than tomorrow, because a day that is closed too early takes
    /// no more rows, or one before the year 2000.
    ///
    /// # Errors
    /// What is wrong with the date and, when there is one, the likely meaning.
    pub fn refuse_unlikely(&self, date: NaiveDate, now: DateTime<Utc>) -> Result<(), Explanation> {
        let tomorrow = self.today(now) + Days::new(1);
        if date <= tomorrow && date.year() >= FIRST_YEAR {
            return Ok(());
        }
        let years_off = [-BUDDHIST_YEARS, BUDDHIST_YEARS, CENTURY, BUDDHIST_CENTURY - BUDDHIST_YEARS];
        let meant = years_off.iter().filter_map(|years| date.with_year(date.year() + years));
        let meant = meant.into_iter().find(|meant| *meant <= tomorrow && meant.year() >= FIRST_YEAR);
        let (message, next) = match meant {
            Some(meant) if date > tomorrow => {
                (format!("{date} is later than tomorrow"), format!("if the year is Buddhist, write {meant}"))
            }
            None if date > tomorrow => {
                let message = format!("{date} is later than tomorrow, {tomorrow}: its batch cannot be made yet");
                (message, "correct the date".to_owned())
            }
            Some(meant) => {
                (format!("{date} is before the year {FIRST_YEAR}"), format!("if {meant} is meant, write that"))
            }
            None => (format!("{date} is before the year {FIRST_YEAR}"), "correct the date".to_owned()),
        };
        Err(Explanation::new(message, next))
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
    /// The same date; `None` when its year is not 1 to 9999.
    pub fn from_date(date: NaiveDate) -> Option<Day> {
        let year = u16::try_from(date.year()).ok().filter(|year| (1..=9999).contains(year))?;
        Some(Day { year, month: date.month() as u8, day: date.day() as u8 })
    }
}

/// Local dates of instants in one zone. It remembers the last day, because the entries of a batch share few days and
/// each look-up in the zone is a search.
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
        // On a day with a change of the clock this range is wrong, and the day may even have two parts: remember one
        // instant only. Comparing the edges is enough, because no zone ever changed twice within three days.
        let steady = [start_ms, end_ms - 1].iter().all(|&edge_ms| self.offset_ms(edge_ms) == Some(offset_ms));
        (self.start_ms, self.end_ms) = if steady { (start_ms, end_ms) } else { (instant_ms, instant_ms + 1) };
        self.day = day;
        Some(())
    }

    /// Local time minus UTC; `None` for an instant outside the calendar's range.
    fn offset_ms(&self, instant_ms: i64) -> Option<i64> {
        let utc = DateTime::from_timestamp_millis(instant_ms)?.naive_utc();
        Some(i64::from(self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1000)
    }
}
