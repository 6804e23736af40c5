//! Entries and rows that change while a pass is at work are never marked with what they used to be.

use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::bson::{Document, doc, oid::ObjectId};
use serde_json::Value;

use super::PATIENCE;
use crate::support::command::Finished;
use crate::support::day::Day;
use crate::support::fake_drive::{Operation, Point};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, Seeded, seed_day};

/// Holds a run while its file is stored and nothing is committed, changes something, and lets it go on to its end.
fn changed_after_the_upload(rows: &str, change: impl Fn(&Day, &Seeded)) -> Day {
    let (day, ended) = ended_after_a_change(rows, change);
    ended.expect_code(0);
    day.check_converged();
    day
}

fn ended_after_a_change(rows: &str, change: impl Fn(&Day, &Seeded)) -> (Day, Finished) {
    let day = Day::on_drive();
    let seeded = seed_day(&day.db, DATE, 8);
    let hold = day.drive().hold(day.drive().next(Operation::Chunk), Point::After);
    let run = day.run().args(&["--transaction-rows", rows]).spawn();
    hold.wait_until_reached(PATIENCE);
    change(&day, &seeded);
    hold.release();
    (day, run.wait(PATIENCE))
}

/// The result has no figures of the file that was stored and given up.
#[track_caller]
fn tells_no_file(result: &Value) {
    let figures = ["entries", "rows", "bytes", "carried_over"].map(|name| result[name].as_u64());
    assert_eq!(figures, [Some(0); 4], "{result}");
    let zero = Value::from("0.00");
    assert_eq!((&result["total_debit"], &result["total_credit"]), (&zero, &zero), "{result}");
    assert!(result["file"].is_null() && result["sha256"].is_null(), "{result}");
}

/// The file was made again, and the first one is in the trash under an id that is written down.
#[track_caller]
fn made_again(day: &Day) {
    let batch = day.batch();
    let voided = batch.get_array("voided").unwrap();
    assert_eq!(voided.len(), 1, "{batch}");
    let first = voided[0].as_document().unwrap();
    assert_eq!(first.get_bool("trashed").ok(), Some(true));
    assert_ne!(first.get_str("id").unwrap(), batch.get_document("file").unwrap().get_str("id").unwrap());
    assert_eq!((day.drive().count(Operation::Start), day.live_files().len()), (2, 1));
}

#[test]
fn an_entry_that_was_edited_after_it_was_read_is_in_the_file_as_it_is_now() {
    // The second one is beyond the first transaction of its batch. Neither edit touches `updatedAt`.
    for (rows, edited) in [("10000", 3), ("3", 6)] {
        let day = changed_after_the_upload(rows, |day, seeded| {
            let edit = doc! { "$set": { "description": "edited in between" } };
            day.db.update_one(ENTRIES, doc! { "_id": seeded.entries[edited] }, edit);
        });
        made_again(&day);
        let file = String::from_utf8(day.live_files()[0].bytes.clone()).unwrap();
        assert!(file.contains("edited in between"), "{file}");
    }
}

#[test]
fn an_entry_that_lost_its_approval_after_it_was_read_is_refused() {
    let (day, ended) = ended_after_a_change("10000", |day, seeded| {
        day.db.update_one(ENTRIES, doc! { "_id": seeded.entries[1] }, doc! { "$set": { "status": "draft" } });
    });
    tells_no_file(&ended.expect_code(32).json());
    day.check_guarantees();
    assert_eq!(day.rows_with_status("queued"), 8);
}

#[test]
fn a_row_that_was_taken_back_after_it_was_read_is_not_in_the_file() {
    let withdrawals = [doc! { "status": "cancelled" }, doc! { "exportPath": "manual" }];
    for rows in ["10000", "3"] {
        for withdrawal in &withdrawals {
            let day = changed_after_the_upload(rows, |day, seeded| {
                day.db.update_one(QUEUE, doc! { "_id": seeded.rows[6] }, doc! { "$set": withdrawal.clone() });
            });
            made_again(&day);
            assert_eq!(day.rows_with_status("completed"), 7);
        }
    }
}

#[test]
fn a_batch_that_shrinks_below_one_transaction_leaves_no_row_list() {
    let day = changed_after_the_upload("7", |day, seeded| {
        day.db.update_one(QUEUE, doc! { "_id": seeded.rows[6] }, doc! { "$set": { "status": "cancelled" } });
    });
    made_again(&day);
    assert_eq!(day.batch().get_document("file").unwrap().get_i64("entries").ok(), Some(7));
}

#[test]
fn when_everything_is_taken_back_the_day_is_empty_and_the_file_is_gone() {
    let (day, ended) = ended_after_a_change("3", |day, _| {
        day.db.update_many(QUEUE, doc! {}, doc! { "$set": { "status": "cancelled" } });
    });
    tells_no_file(&ended.expect_code(0).json());
    day.check_converged();
    assert_eq!(day.batch().get_str("state").ok(), Some("empty"));
    assert!(day.live_files().is_empty() && day.log().is_empty());
}

#[test]
fn rows_that_change_after_the_commit_point_keep_their_status_and_are_listed() {
    let day = Day::on_drive();
    let seeded = seed_day(&day.db, DATE, 8);
    let proxy = Proxy::before(Mongod::shared());
    let stop = proxy.hold(On::command("find").collection("exportbatchrows"));
    let run = day.run().args(&["--transaction-rows", "3"]).mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    let row = doc! { "_id": seeded.rows[6] };
    day.db.update_one(QUEUE, row.clone(), doc! { "$set": { "status": "cancelled" } });
    stop.release();
    let ended = run.wait(PATIENCE).expect_code(0);
    assert_eq!(ended.json()["changed_after_commit"], 1);
    assert_eq!(ended.stderr.matches("rows were changed after its commit").count(), 1, "{}", ended.stderr);
    assert_eq!(day.db.find_one(QUEUE, row).unwrap().get_str("status").ok(), Some("cancelled"));
    let listed = day.batch().get_array("changedAfterCommit").unwrap().clone();
    assert_eq!(listed, vec![seeded.rows[6].into()]);
    let shown = day.command("status").date(DATE).args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(shown.contains("rows changed after the commit: 1"), "{shown}");
    day.check_converged();
}

#[test]
fn a_writer_that_never_rests_makes_no_batch_wrong() {
    const DAYS: u32 = 50;
    let first = chrono::NaiveDate::from_ymd_opt(2026, 3, 1).expect("a date");
    let date = |number: u32| (first + chrono::Days::new(u64::from(number) - 1)).to_string();
    let day = Day::in_directory();
    for number in 1..=DAYS {
        seed_day(&day.db, &date(number), 12);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for turn in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                disturb(&day, turn, &date(turn % DAYS + 1));
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        for number in 1..=DAYS {
            let date = date(number);
            let rows = if number % 2 == 0 { "5" } else { "10000" };
            let run = day.command("run").date(&date).now(&format!("{date}T18:00:05+07:00"));
            let ended = run.args(&["--transaction-rows", rows]).run();
            assert!([0, 23].contains(&ended.code), "{}", ended.report());
            day.check_guarantees();
        }
        done.store(true, Ordering::Relaxed);
    });
    for _ in 0..4 {
        day.let_time_pass();
        day.retry().now(&format!("{}T18:00:05+07:00", date(DAYS))).run().expect_code(0);
    }
    day.check_converged();
}

/// Edits an entry, takes a row back, or adds an entry, in turns.
fn disturb(day: &Day, turn: u32, date: &str) {
    let numbered = |number: u32| Entry::numbered(date, number);
    match turn % 3 {
        0 => {
            let edit = doc! { "$set": { "description": format!("edited in turn {turn}") } };
            day.db.update_many(ENTRIES, doc! { "_id": numbered(turn % 12).id() }, edit);
        }
        1 => {
            let row: Document = doc! { "entryId": numbered(turn % 11).id(), "status": "queued" };
            day.db.update_many(QUEUE, row, doc! { "$set": { "status": "cancelled" } });
        }
        _ => {
            let mut entry = numbered(1_000 + turn).document();
            entry.insert("_id", ObjectId::new());
            let mut row = numbered(1_000 + turn).row();
            row.extend(doc! { "_id": ObjectId::new(), "entryId": entry.get_object_id("_id").unwrap() });
            day.db.insert_many(ENTRIES, vec![entry]);
            day.db.insert_many(QUEUE, vec![row]);
        }
    }
}
