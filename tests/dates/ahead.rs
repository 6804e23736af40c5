//! What version 0.1 left of days that had not come: it can be looked at and given up, and no command goes on with it.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};

use super::EVENING;
use crate::support::command::{BatchExport, said, told};
use crate::support::day::{BATCHES, Day, LOG};
use crate::support::seed::{DATE, seed_day};

const AHEAD: &str = "batch_2569-01-18";

/// A day of three rows, and a batch of a Buddhist year.
fn day_with(state: &str, more: Document) -> Day {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let cutoff = DateTime::parse_rfc3339_str("2569-01-18T11:00:00Z").unwrap();
    let long_ago = DateTime::from_millis(0);
    let mut batch = doc! {
        "_id": AHEAD, "state": state, "attempt": 4, "fence": 4_i64, "marked": 0_i64, "createdAt": long_ago,
        "window": { "timezone": "Asia/Bangkok", "cutoff": cutoff }, "nextRetryAt": long_ago,
    };
    batch.extend(more);
    day.db.insert_many(BATCHES, vec![batch]);
    day
}

fn of(day: &Day, command: &str) -> BatchExport {
    day.command(command).now(EVENING).date("2569-01-18")
}

fn state(day: &Day) -> String {
    day.db.find_one(BATCHES, doc! { "_id": AHEAD }).unwrap().get_str("state").unwrap().to_owned()
}

#[test]
fn a_batch_of_a_day_to_come_is_given_up_by_unlock_and_never_gone_on_with() {
    for unfinished in ["failed", "exhausted", "running"] {
        let day = day_with(unfinished, doc! {});
        let retried = day.command("retry").now(EVENING).run().expect_code(0).json();
        let done = retried["batches"].as_array().unwrap().iter().find(|result| result["outcome"] == "completed");
        let done = done.unwrap_or_else(|| panic!("the real day takes its rows: {retried}"));
        assert_eq!((done["batch"].as_str(), done["entries"].as_u64()), (Some("batch_2026-01-18"), Some(3)));
        assert_eq!(state(&day), unfinished);
        let check = || day.command("status").now(EVENING).arg("--check").run();
        let problems = check().expect_code(34).json()["problems"].clone();
        let message = said(&problems[0]);
        assert!(message.contains("its day has not come") && message.contains("unlock --date 2569-01-18"), "{message}");
        assert_eq!(of(&day, "status").run().expect_code(0).json()["batches"][0]["state"], unfinished);
        let checked = of(&day, "verify").run().expect_code(0).json();
        assert_eq!(checked["checked"][0]["state"], unfinished, "{checked}");
        of(&day, "run").run().expect_code(2);
        of(&day, "retry").run().expect_code(2);
        let unlocked = of(&day, "unlock").run().expect_code(0).json();
        assert_eq!((unlocked["outcome"].as_str(), &*state(&day)), (Some("unlocked"), "empty"));
        check().expect_code(0);
        assert_eq!(day.command("retry").now(EVENING).run().expect_code(0).json()["outcome"], "nothing_due");
    }
}

#[test]
fn a_completed_batch_of_a_day_to_come_is_not_the_newest_day() {
    let day = day_with("completed", doc! { "number": 1_i64, "attempt": 1 });
    let check = || day.command("status").now(EVENING).args(&["--check", "--output", "text"]).run();
    assert!(check().expect_code(34).stdout.contains("batch_2026-01-18 is missing"));
    day.db.delete_many(BATCHES, doc! { "_id": AHEAD });
    day.run().run().expect_code(0);
    let cutoff = DateTime::parse_rfc3339_str("2569-01-18T11:00:00Z").unwrap();
    let ahead = doc! { "_id": AHEAD, "state": "completed", "number": 2_i64, "window": { "timezone": "Asia/Bangkok", "cutoff": cutoff } };
    day.db.insert_many(BATCHES, vec![ahead]);
    day.db.update_one(BATCHES, doc! { "_id": "ledger" }, doc! { "$set": { "number": 2_i64 } });
    let mut log = day.db.find_one(LOG, doc! {}).unwrap();
    log.insert("_id", ObjectId::new());
    log.get_document_mut("metadata").unwrap().extend(doc! { "batchId": AHEAD, "number": 2_i64 });
    day.db.insert_many(LOG, vec![log]);
    seed_day(&day.db, "2026-01-19", 2);
    assert_eq!(check().expect_code(0).stdout, "ok: batch_2026-01-18 completed\n");
    let shown = day.command("status").now(EVENING).args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(shown.contains("(its day has not come yet)") && !shown.contains("late rows"), "{shown}");
}

#[test]
fn without_a_batch_such_a_date_is_a_slip() {
    let day = Day::in_directory();
    for command in ["status", "verify", "corrections", "unlock"] {
        for (slip, meant) in [("2569-01-18", "2026-01-18"), ("1483-01-18", "2026-01-18"), ("0026-01-18", "2026-01-18")]
        {
            let refused = day.command(command).now(EVENING).date(slip).run().expect_code(2).json();
            assert!(told(&refused["error"]).contains(meant), "{refused}");
        }
    }
    for slip in ["1483-01-18", "0026-01-18", "1926-01-18"] {
        for command in ["run", "retry"] {
            day.command(command).now(EVENING).date(slip).run().expect_code(2);
        }
    }
    assert_eq!(day.db.count(BATCHES, doc! {}), 0);
}
