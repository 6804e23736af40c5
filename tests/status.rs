//! `batch-export status`: every business date has a line, and the check finds what wants attention.

use mongodb::bson::doc;

use crate::support::command::BatchExport;
use crate::support::day::{BATCH, BATCHES, Day};
use crate::support::fake_drive::{Answer, Fault, On, Operation};
use crate::support::seed::{DATE, seed_day};

/// Half an hour after the cut-off of the day that `seed` fills: later than any grace.
const LATER: &str = "2026-01-18T18:30:00+07:00";

fn status(day: &Day) -> BatchExport {
    day.command("status").now(LATER)
}

fn check(day: &Day) -> BatchExport {
    status(day).arg("--check")
}

fn states(result: &serde_json::Value) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    result["batches"].as_array().unwrap().iter().map(|row| (text(&row["date"]), text(&row["state"]))).collect()
}

#[test]
fn days_without_a_batch_are_shown_as_missing() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    day.command("run").date("2026-01-15").run().expect_code(0);
    day.run().run().expect_code(0);
    let result = status(&day).run().expect_code(0).json();
    let expected =
        [("2026-01-18", "completed"), ("2026-01-17", "missing"), ("2026-01-16", "missing"), ("2026-01-15", "empty")];
    assert_eq!(states(&result), expected.map(|(date, state)| (date.to_owned(), state.to_owned())));
    assert_eq!((&result["batches"][0]["number"], &result["batches"][0]["entries"]), (&1.into(), &5.into()));
    assert_eq!(result["batches"][0]["file"]["name"], "batch_2026-01-18.csv");
    assert_eq!(states(&status(&day).args(&["--last", "2"]).run().expect_code(0).json()).len(), 2);
    let text = status(&day).args(&["--output", "text"]).run().expect_code(0).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("DATE        STATE      NUMBER  ENTRIES"), "{text}");
    assert!(lines[1].starts_with("2026-01-18  completed       1        5"), "{text}");
    assert!(lines[2].starts_with("2026-01-17  missing         -        -"), "{text}");
    let failed = check(&day).run().expect_code(34).json();
    let kinds: Vec<_> = failed["problems"].as_array().unwrap().iter().map(|problem| &problem["kind"]).collect();
    assert_eq!(kinds, ["missing", "missing"]);
    let text = check(&day).args(&["--output", "text"]).run().expect_code(34).stdout;
    let (line, steps) = text.split_once('\n').expect("a line");
    assert_eq!(line, "check_failed: batch_2026-01-17 is missing; batch_2026-01-16 is missing (exit 34)");
    let step = |date: &str| format!("next: run `batch-export run --date {date}`\n");
    assert_eq!(steps, step("2026-01-17") + &step("2026-01-16"));
    check(&day).args(&["--last", "1"]).run().expect_code(0);
}

#[test]
fn the_check_is_one_line_and_0_when_all_is_done() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    day.run().run().expect_code(0);
    let line = check(&day).args(&["--output", "text"]).run().expect_code(0).stdout;
    assert_eq!(line, "ok: batch_2026-01-18 completed\n");
    check(&day).now("2026-01-19T17:59:00+07:00").run().expect_code(0);
    let soon = check(&day).now("2026-01-19T18:14:59+07:00").args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(
        soon.starts_with("ok: batch_2026-01-18 completed; batch_2026-01-19 is missing, within its grace"),
        "{soon}"
    );
    let late = check(&day).now("2026-01-19T18:15:00+07:00").run().expect_code(34).json();
    assert_eq!((&late["problems"][0]["date"], &late["problems"][0]["kind"]), (&"2026-01-19".into(), &"missing".into()));
    check(&day).now("2026-01-19T18:15:00+07:00").args(&["--grace", "1h"]).run().expect_code(0);
    check(&day).now("2026-01-19T18:00:01+07:00").args(&["--grace", "0s"]).run().expect_code(34);
}

#[test]
fn before_the_first_batch_the_check_misses_the_latest_date_only() {
    let day = Day::in_directory();
    let result = check(&day).run().expect_code(34).json();
    assert_eq!(states(&result), [(DATE.to_owned(), "missing".to_owned())]);
}

#[test]
fn a_batch_under_way_has_until_its_grace_is_over() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    day.run().destination("file:///nowhere").run().expect_code(31);
    let soon = mongodb::bson::DateTime::from_millis(mongodb::bson::DateTime::now().timestamp_millis() + 60_000);
    let holder = doc! { "id": "x", "host": "books", "pid": 7_i64, "command": "run", "since": soon };
    let held = doc! { "$set": { "state": "running", "holder": holder, "leaseExpiresAt": soon } };
    day.db.update_one(BATCHES, doc! { "_id": "batch_2026-01-18" }, held);
    check(&day).now("2026-01-18T18:10:00+07:00").run().expect_code(0);
    let late = check(&day).run().expect_code(34).json();
    assert_eq!(late["problems"][0]["kind"], "not_done");
    assert!(late["problems"][0]["message"].as_str().unwrap().contains("books (pid 7"), "{late}");
    assert_eq!(late["batches"][0]["due"], false);
    assert_eq!(late["batches"][0]["entries"], serde_json::Value::Null, "it is not committed");
    day.let_time_pass();
    assert_eq!(check(&day).run().expect_code(34).json()["batches"][0]["due"], true);
}

#[test]
fn an_exhausted_batch_fails_the_check_at_once_and_however_old_it_is() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day.drive().plan(On::every(Operation::Start).times(4), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    day.run().run().expect_code(31);
    let failed = status(&day).run().expect_code(0).json();
    assert_eq!(failed["batches"][0]["state"], "failed");
    assert!(failed["batches"][0]["next_retry_at"].is_string());
    assert_eq!(failed["problems"][0]["kind"], "not_done");
    for _ in 0..3 {
        day.let_time_pass();
        day.retry().run();
    }
    let now = check(&day).now("2026-01-18T18:00:05+07:00").run().expect_code(34).json();
    assert_eq!(now["problems"][0]["kind"], "exhausted");
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:01+07:00").run().expect_code(0);
    let result = check(&day).now("2026-01-19T19:00:00+07:00").args(&["--last", "1"]).run().expect_code(34).json();
    assert_eq!(result["batches"].as_array().unwrap().len(), 1);
    assert_eq!(result["problems"][0]["batch"], "batch_2026-01-18");
}

#[test]
fn a_batch_with_an_unknown_state_fails_the_check_however_old_it_is() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    day.run().run().expect_code(0);
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:01+07:00").run().expect_code(0);
    let after = || check(&day).now("2026-01-19T19:00:00+07:00").args(&["--last", "1"]);
    after().run().expect_code(0);
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "state": "done" } });
    let result = after().run().expect_code(34).json();
    assert_eq!(result["batches"].as_array().unwrap().len(), 1);
    assert_eq!((&result["problems"][0]["batch"], &result["problems"][0]["kind"]), (&BATCH.into(), &"document".into()));
}

#[test]
fn one_date_is_shown_with_its_whole_history() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day.drive().plan(On::nth(Operation::Start, 1), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    day.run().run().expect_code(31);
    day.run().arg("--now").run().expect_code(0);
    let result = status(&day).date(DATE).run().expect_code(0).json();
    let history = result["history"].as_array().unwrap();
    assert_eq!(
        (history.len(), &history[0]["outcome"], &history[1]["outcome"]),
        (2, &"failed".into(), &"completed".into())
    );
    assert_eq!((&history[0]["class"], &history[0]["stage"]), (&"drive_rejected".into(), &"upload".into()));
    let text = status(&day).date(DATE).args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(text.contains("attempt 1  failed (drive_rejected) at upload"), "{text}");
    assert!(text.contains("attempt 2  completed"), "{text}");
    let absent = status(&day).date("2025-12-31").run().expect_code(0).json();
    assert_eq!(states(&absent), [("2025-12-31".to_owned(), "missing".to_owned())]);
}

#[test]
fn a_batch_whose_marking_stopped_shows_what_goes_on_with_it() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    day.run().run().expect_code(0);
    let stopped = doc! { "$set": { "state": "marking", "marked": 0i64, "completedAt": null } };
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, stopped);
    let text = status(&day).args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(text.contains("rows are still to be marked  (next: `batch-export retry` continues)"), "{text}");
}

#[test]
fn status_writes_nothing() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    check(&day).run().expect_code(34);
    assert!(day.db.find_one(BATCHES, doc! {}).is_none());
    assert_eq!(day.rows_with_status("queued"), 5);
}
