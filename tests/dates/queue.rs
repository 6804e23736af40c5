//! Rows that a closed day does not have: they came later, or have no date by which they could be due.

use mongodb::bson::{Bson, DateTime, Document, JavaScriptCodeWithScope, doc};

use super::EVENING;
use crate::support::day::{BATCH, BATCHES, Day};
use crate::support::seed::{DATE, Entry, QUEUE, seed_day};

fn set(day: &Day, number: u32, changes: Document) {
    let id = Entry::numbered(DATE, number).row().get_object_id("_id").unwrap();
    day.db.update_one(QUEUE, doc! { "_id": id }, doc! { "$set": changes });
}

fn check(day: &Day) -> crate::support::command::BatchExport {
    day.command("status").now(EVENING).arg("--check")
}

#[test]
fn an_empty_day_whose_rows_come_two_seconds_later_is_done_by_retry() {
    let day = Day::in_directory();
    assert_eq!(day.run().run().expect_code(0).json()["outcome"], "empty");
    assert_eq!(day.retry().run().expect_code(0).json()["outcome"], "nothing_due");
    seed_day(&day.db, DATE, 3);
    let retried = day.retry().run().expect_code(0).json();
    assert_eq!(retried["batches"][0]["entries"], 3, "{retried}");
    day.check_converged();
}

#[test]
fn an_empty_day_with_due_rows_is_shown_and_fails_the_check_when_nobody_does_it_again() {
    let day = Day::in_directory();
    day.run().run().expect_code(0);
    seed_day(&day.db, DATE, 2);
    let text = day.command("status").now(EVENING).args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(text.contains("rows that are due for it now: 2  (next: `batch-export retry` does it again)"), "{text}");
    check(&day).now("2026-01-18T18:10:00+07:00").run().expect_code(0);
    let problems = check(&day).run().expect_code(34).json()["problems"].clone();
    assert_eq!(problems[0]["kind"], "late_rows", "{problems}");
    day.retry().run().expect_code(0);
    check(&day).run().expect_code(0);
}

/// Values that are no date, each in a row of its own.
fn take_dates_away(day: &Day, values: Vec<Bson>) {
    for (number, value) in values.into_iter().enumerate() {
        set(day, number as u32, doc! { "scheduledFor": value });
    }
}

#[test]
fn rows_without_a_date_that_come_after_the_run_are_told_before_the_next_one() {
    let day = Day::in_directory();
    day.run().run().expect_code(0);
    seed_day(&day.db, DATE, 3);
    let code = JavaScriptCodeWithScope { code: "x".into(), scope: doc! {} };
    take_dates_away(&day, vec!["2026-01-18".into(), Bson::Null, code.into()]);
    let refused = day.retry().run().expect_code(32).json();
    assert_eq!(refused["batches"][0]["invalid"].as_array().unwrap().len(), 3, "an empty day is done again: {refused}");

    let day = Day::in_directory();
    seed_day(&day.db, "2026-01-17", 2);
    day.run().run().expect_code(0);
    seed_day(&day.db, DATE, 3);
    day.db.update_many(QUEUE, doc! { "status": "queued" }, doc! { "$set": { "scheduledFor": "soon" } });
    assert_eq!(day.run().run().expect_code(0).json()["late"], 3);
    let problems = check(&day).run().expect_code(34).json()["problems"].clone();
    assert!(problems[0]["message"].as_str().unwrap().contains("scheduledFor is no date: 3"), "{problems}");
    let doctor = day.command("doctor").run().json();
    let queue = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "queue").unwrap().clone();
    assert!(queue["found"].as_str().unwrap().contains("scheduledFor is no date: 3"), "{queue}");
}

#[test]
fn lists_of_lists_and_lists_of_far_dates_are_told_as_no_date() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let (near, far) = ("2026-01-18T10:00:00Z", "2569-01-18T10:00:00Z");
    let date = |text: &str| Bson::DateTime(DateTime::parse_rfc3339_str(text).unwrap());
    let list = |of: Bson| Bson::Array(vec![of]);
    take_dates_away(&day, vec![list(list(date(near))), list(list(Bson::Int32(1))), list(date(far))]);
    assert_eq!(day.run().run().expect_code(0).json()["outcome"], "empty", "no index finds them");
    let problems = check(&day).run().expect_code(34).json()["problems"].clone();
    assert_eq!(problems.as_array().unwrap().len(), 1, "{problems}");
    assert!(problems[0]["message"].as_str().unwrap().contains("scheduledFor is no date: 3"), "{problems}");
}

#[test]
fn rows_that_never_become_due_are_told_by_status_and_doctor() {
    let day = Day::in_directory();
    let far = DateTime::parse_rfc3339_str("2569-01-18T11:00:00Z").unwrap();
    let week_ago = DateTime::parse_rfc3339_str("2026-01-11T11:00:00Z").unwrap();
    seed_day(&day.db, DATE, 4);
    let id = |number: u32| Entry::numbered(DATE, number).row().get_object_id("_id").unwrap();
    day.db.update_one(QUEUE, doc! { "_id": id(0) }, doc! { "$set": { "scheduledFor": far } });
    let stuck = doc! { "$set": { "status": "processing", "updatedAt": week_ago } };
    day.db.update_one(QUEUE, doc! { "_id": id(1) }, stuck);
    day.db.update_one(
        QUEUE,
        doc! { "_id": id(2) },
        doc! { "$set": { "status": "processing" }, "$unset": { "updatedAt": 1 } },
    );
    assert_eq!(day.run().run().expect_code(0).json()["entries"], 1);
    let check = day.command("status").now(EVENING).arg("--check").run().expect_code(34).json();
    let messages: Vec<&str> =
        check["problems"].as_array().unwrap().iter().map(|problem| problem["message"].as_str().unwrap()).collect();
    assert_eq!(messages.len(), 2, "{check}");
    assert!(messages[0].contains("processing for more than a day: 2"), "{check}");
    assert!(messages[1].contains("more than a year ahead: 1") && messages[1].contains("2569-01-18"), "{check}");
    let doctor = day.command("doctor").run();
    let checks = doctor.json()["checks"].as_array().unwrap().clone();
    let queue = checks.iter().find(|check| check["name"] == "queue").expect("a check of the queue");
    assert_eq!(queue["verdict"], "warning");
    assert!(queue["found"].as_str().unwrap().contains("2569-01-18"), "{queue}");
    assert_eq!(day.db.find_one(BATCHES, doc! { "_id": BATCH }).unwrap().get_str("state").unwrap(), "completed");
}
