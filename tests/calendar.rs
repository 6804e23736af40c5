//! Days, cut-offs and zones: pure rules, with the calendar library as the second opinion.

use batch_export::calendar::{Calendar, Day, DayFinder, parse_date, parse_time, parse_zone};
use batch_export::layout::DateFormat;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use proptest::prelude::*;

/// Zones that change at midnight, by half an hour, by a whole day, twice a year, or never.
const ZONES: [&str; 9] = [
    "Asia/Bangkok",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Gaza",
    "Europe/Dublin",
];

fn calendar(zone: &str, cutoff: &str) -> Calendar {
    Calendar { zone: parse_zone(zone).unwrap(), cutoff: parse_time(cutoff).unwrap() }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn date(text: &str) -> NaiveDate {
    parse_date(text).unwrap()
}

#[test]
fn a_date_that_nobody_can_mean_is_refused_with_its_likely_meaning() {
    let calendar = calendar("Asia/Bangkok", "18:00");
    // 23:30 in UTC is the next day in Bangkok.
    let now = at("2026-01-17T23:30:00Z");
    for fine in ["2026-01-19", "2026-01-18", "2000-01-01"] {
        assert_eq!(calendar.refuse_unlikely(date(fine), now), Ok(()), "{fine}");
    }
    let told = |text: &str| calendar.refuse_unlikely(date(text), now).unwrap_err().lines("");
    for slip in ["1483-01-18", "0026-01-18", "0069-01-18"] {
        let meant = format!("{slip} is before the year 2000\nnext: if 2026-01-18 is meant, write that\n");
        assert_eq!(told(slip), meant);
    }
    assert_eq!(told("1926-01-18"), "1926-01-18 is before the year 2000\nnext: correct the date\n");
    let buddhist = "2569-01-18 is later than tomorrow\nnext: if the year is Buddhist, write 2026-01-18\n";
    assert_eq!(told("2569-01-18"), buddhist);
    assert!(told("2026-01-20").contains("later than tomorrow, 2026-01-19"));
    assert!(told("2570-03-01").contains("later than tomorrow, 2026-01-19"), "2027-03-01 is to come as well");
}

#[test]
fn a_business_date_is_written_one_way() {
    assert_eq!(parse_date("2028-02-29"), Ok(NaiveDate::from_ymd_opt(2028, 2, 29).unwrap()));
    for text in
        ["", "2026-1-18", "18/01/2026", "20260118", " 2026-01-18", "2026-01-1x", "+026-01-18", "0000-01-01", "๒๐๒๖"]
    {
        let told = parse_date(text).unwrap_err().lines("");
        assert!(told.ends_with("is not a date\nnext: write it like 2026-01-18\n"), "{told}");
    }
    for text in ["2026-02-30", "2026-13-01", "2026-00-10", "2026-01-00", "2027-02-29"] {
        assert_eq!(parse_date(text).unwrap_err().to_string(), format!("there is no date {text}"));
    }
}

#[test]
fn a_time_of_day_and_a_zone_are_written_one_way() {
    assert_eq!(parse_time("00:00").unwrap().to_string(), "00:00:00");
    for text in ["", "24:00", "18:60", "7:30", "18:00:00", " 8:00", "18.00", "6pm"] {
        let told = parse_time(text).unwrap_err().lines("");
        assert!(told.ends_with("is not a time of day\nnext: write it like 18:00\n"), "{told}");
    }
    assert!(parse_zone("Bangkok").unwrap_err().message.starts_with("\"Bangkok\" is not a time zone"));
}

#[test]
fn a_cut_off_is_a_time_on_the_wall() {
    let bangkok = calendar("Asia/Bangkok", "18:00");
    assert_eq!(bangkok.cutoff(date("2026-01-18")), at("2026-01-18T11:00:00Z"));
    assert_eq!(bangkok.previous_cutoff(date("2026-03-01")), at("2026-02-28T11:00:00Z"));
    assert_eq!(bangkok.today(at("2026-01-18T16:59:59.999Z")), date("2026-01-18"));
    assert_eq!(bangkok.today(at("2026-01-18T17:00:00Z")), date("2026-01-19"));
}

#[test]
fn the_latest_due_date_is_yesterday_until_the_cut_off() {
    let bangkok = calendar("Asia/Bangkok", "18:00");
    assert_eq!(bangkok.latest_due(at("2026-01-18T10:59:59.999Z")), date("2026-01-17"));
    assert_eq!(bangkok.latest_due(at("2026-01-18T11:00:00Z")), date("2026-01-18"));
    assert_eq!(bangkok.latest_due(at("2026-01-18T17:00:00Z")), date("2026-01-18"));
}

#[test]
fn a_cut_off_that_does_not_exist_is_the_instant_after_the_gap() {
    let new_york = calendar("America/New_York", "02:30");
    assert_eq!(new_york.cutoff(date("2026-03-08")), at("2026-03-08T07:00:00Z"));
    assert_eq!(calendar("America/Sao_Paulo", "00:00").cutoff(date("2018-11-04")), at("2018-11-04T03:00:00Z"));
    assert_eq!(calendar("Australia/Lord_Howe", "02:15").cutoff(date("2025-10-05")), at("2025-10-04T15:30:00Z"));
    // Samoa had no 30 December in 2011.
    assert_eq!(calendar("Pacific/Apia", "18:00").cutoff(date("2011-12-30")), at("2011-12-30T10:00:00Z"));
}

#[test]
fn a_cut_off_that_exists_twice_is_the_first_one() {
    let new_york = calendar("America/New_York", "01:30");
    assert_eq!(new_york.cutoff(date("2026-11-01")), at("2026-11-01T05:30:00Z"));
}

#[test]
fn a_date_reached_before_the_clock_went_back_over_midnight_stays_reached() {
    // Newfoundland set its clocks from 00:01 back to 23:01 of the day before.
    let newfoundland = calendar("America/St_Johns", "00:00");
    let second_time = at("2006-10-29T03:00:00Z");
    assert_eq!(newfoundland.today(second_time), date("2006-10-28"));
    assert_eq!(newfoundland.cutoff(date("2006-10-29")), at("2006-10-29T02:30:00Z"));
    assert_eq!(newfoundland.latest_due(second_time), date("2006-10-29"));
}

#[test]
fn dates_outside_four_digit_years_have_no_rendering() {
    let mut days = DayFinder::new(parse_zone("Asia/Bangkok").unwrap());
    let last = at("9999-12-31T16:59:59.999Z").timestamp_millis();
    assert_eq!(days.day(last), Some(Day { year: 9999, month: 12, day: 31 }));
    assert_eq!(days.day(last + 1), None);
    let first = at("0001-01-02T00:00:00Z").timestamp_millis();
    assert_eq!(days.day(first), Some(Day { year: 1, month: 1, day: 2 }));
    for beyond in [i64::MIN, i64::MAX, 8_640_000_000_000_000, -8_640_000_000_000_000, first - 3 * 86_400_000] {
        assert_eq!(days.day(beyond), None, "{beyond}");
    }
    assert_eq!(days.day(0), Some(Day { year: 1970, month: 1, day: 1 }));
}

#[test]
fn a_day_in_two_pieces_is_found_at_every_minute() {
    for (zone, around) in [
        ("America/St_Johns", "2006-10-29T02:31:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ] {
        let zone = parse_zone(zone).unwrap();
        let mut days = DayFinder::new(zone);
        for minute in -3000..3000 {
            let instant = at(around) + TimeDelta::minutes(minute);
            let expected = Day::from_date(instant.with_timezone(&zone).date_naive());
            assert_eq!(days.day(instant.timestamp_millis()), expected, "{zone} {instant}");
        }
    }
}

proptest! {
    #[test]
    fn the_day_is_the_calendar_library_s(
        zone in 0..chrono_tz::TZ_VARIANTS.len(),
        start_ms in -3_000_000_000_000i64..4_000_000_000_000,
        steps_ms in prop::collection::vec(-100_000_000i64..100_000_000, 1..50),
    ) {
        let zone = chrono_tz::TZ_VARIANTS[zone];
        let mut days = DayFinder::new(zone);
        let mut instant_ms = start_ms;
        for step_ms in steps_ms {
            instant_ms += step_ms;
            let local = DateTime::from_timestamp_millis(instant_ms).unwrap().with_timezone(&zone);
            prop_assert_eq!(days.day(instant_ms), Day::from_date(local.date_naive()));
            let day = days.day(instant_ms).unwrap();
            for (format, chronos) in [("yyyy-mm-dd", "%Y-%m-%d"), ("dd/mm/yyyy", "%d/%m/%Y"), ("yymmdd", "%y%m%d")] {
                let format: DateFormat = format.parse().unwrap();
                prop_assert_eq!(format.write(day).as_bytes().to_vec(), local.format(chronos).to_string().into_bytes());
            }
        }
    }

    #[test]
    fn a_cut_off_is_the_first_instant_that_shows_it_or_later(
        zone in prop::sample::select(&ZONES[..]),
        day in 0u64..20_000,
        minute in 0u32..1440,
    ) {
        let calendar = calendar(zone, &format!("{:02}:{:02}", minute / 60, minute % 60));
        let date = date("1975-01-01") + chrono::Days::new(day);
        let wall = date.and_time(calendar.cutoff);
        let cutoff = calendar.cutoff(date);
        let shows = |instant: DateTime<Utc>| instant.with_timezone(&calendar.zone).naive_local();
        prop_assert!(shows(cutoff) >= wall);
        prop_assert!(shows(cutoff - TimeDelta::seconds(1)) < wall);
        prop_assert!((1..2000).all(|minutes| shows(cutoff - TimeDelta::minutes(minutes)) < wall));
        prop_assert!(calendar.previous_cutoff(date) <= cutoff);
        prop_assert!(calendar.latest_due(cutoff) >= date);
        prop_assert!(calendar.latest_due(cutoff - TimeDelta::milliseconds(1)) < date);
    }
}
