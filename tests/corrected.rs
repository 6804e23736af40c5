//! A batch that was refused because of its entries continues once people have corrected them; no `unlock` is needed.

use mongodb::bson::{Document, doc};

use crate::support::command::told;
use crate::support::day::{BATCHES, Day};
use crate::support::receiver::Receiver;
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, seed, seed_day};

/// Two good entries and two that must not be exported.
fn refused_day() -> Day {
    let day = Day::in_directory();
    seed(
        &day.db,
        &[
            Entry::numbered(DATE, 0),
            Entry::numbered(DATE, 1),
            Entry::numbered(DATE, 2).set("status", "draft"),
            Entry::numbered(DATE, 3).set("status", "draft"),
        ],
    );
    day.run().run().expect_code(32);
    day
}

fn exhaust(day: &Day) {
    for _ in 0..3 {
        day.let_time_pass();
        day.retry().run();
    }
    assert_eq!(day.batch().get_str("state").unwrap(), "exhausted");
}

fn entry(number: u32) -> Document {
    doc! { "_id": Entry::numbered(DATE, number).id() }
}

fn approve(day: &Day, number: u32) {
    day.db.update_one(ENTRIES, entry(number), doc! { "$set": { "status": "approved" } });
}

#[test]
fn the_refused_entries_are_remembered_and_a_batch_that_waits_is_due_as_soon_as_they_are_corrected() {
    let day = refused_day();
    let refused = day.batch().get_array("refused").unwrap().clone();
    assert_eq!(refused, [Entry::numbered(DATE, 2).id().into(), Entry::numbered(DATE, 3).id().into()]);
    // The back-off has not passed, and one of the two is corrected: it waits.
    approve(&day, 2);
    assert_eq!(day.retry().run().expect_code(0).json()["outcome"], "nothing_due");
    approve(&day, 3);
    let result = day.retry().run().expect_code(0).json();
    assert_eq!((&result["batches"][0]["entries"], &result["batches"][0]["attempt"]), (&4.into(), &1.into()));
    assert!(day.batch().get_array("refused").unwrap().is_empty());
    day.check_converged();
}

#[test]
fn an_exhausted_batch_is_taken_up_with_all_its_attempts_once_its_entries_are_corrected_cancelled_or_taken_away() {
    let day = refused_day();
    exhaust(&day);
    let again = day.retry().run().expect_code(33).json();
    let way_on = told(&again["batches"][0]["error"]);
    assert!(
        way_on.contains(
            "correct the entries, or take them out of the queue; `batch-export retry` then takes the batch up"
        ),
        "{way_on}"
    );
    approve(&day, 2);
    day.db.delete_many(QUEUE, doc! { "entryId": Entry::numbered(DATE, 3).id() });
    let result = day.run().run().expect_code(0).json();
    assert_eq!((&result["entries"], &result["attempt"]), (&3.into(), &1.into()));
    day.check_converged();
}

#[test]
fn people_are_told_that_a_correction_is_enough() {
    let receiver = Receiver::start(Some(200));
    let day = refused_day();
    for _ in 0..3 {
        day.let_time_pass();
        day.retry().env("BATCH_EXPORT_NOTIFY_URL", &receiver.url("/hook")).run();
    }
    let message = receiver.messages().pop().expect("a message");
    assert_eq!(message["event"], "exhausted", "{message}");
    let next = message["next"].as_str().expect("a next step");
    assert!(
        next.contains("have corrected what the message names")
            && next.contains("`batch-export retry` then takes the batch up"),
        "{next}"
    );
    assert!(!next.contains("unlock"), "{next}");
}

#[test]
fn other_entries_that_became_invalid_meanwhile_are_refused_anew() {
    let day = refused_day();
    exhaust(&day);
    approve(&day, 2);
    approve(&day, 3);
    day.db.update_one(ENTRIES, entry(0), doc! { "$set": { "status": "draft" } });
    let result = day.retry().run().expect_code(32).json();
    assert_eq!(result["batches"][0]["attempt"], 1);
    assert_eq!(day.batch().get_array("refused").unwrap(), &[Entry::numbered(DATE, 0).id().into()]);
}

#[test]
fn a_batch_that_is_exhausted_for_another_reason_waits_for_a_person() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    let exhausted = doc! {
        "_id": "batch_2026-01-18",
        "state": "exhausted",
        "attempt": 4,
        "fence": 4_i64,
        "window": { "timezone": "Asia/Bangkok", "cutoff": mongodb::bson::DateTime::from_millis(1_768_734_000_000) },
    };
    day.db.insert_many(BATCHES, vec![exhausted]);
    let error = day.run().run().expect_code(33).json()["error"].clone();
    assert!(told(&error).contains("unlock"), "{error}");
}

#[test]
fn an_exhausted_batch_is_exported_without_its_invalid_entries_the_way_the_message_says() {
    let day = refused_day();
    exhaust(&day);
    let refused = day.run().args(&["--now", "--invalid", "hold"]).run().expect_code(33).json();
    let way_on = told(&refused["error"]);
    assert!(
        way_on.contains(
            "`batch-export unlock --date 2026-01-18`, then `batch-export run --date 2026-01-18 --invalid hold`"
        ),
        "{way_on}"
    );
    day.command("unlock").date(DATE).run().expect_code(0);
    let result = day.run().args(&["--invalid", "hold"]).run().expect_code(0).json();
    assert_eq!((&result["entries"], result["held"].as_array().unwrap().len()), (&2.into(), 2));
}

#[test]
fn a_batch_that_is_not_balanced_is_due_again_once_it_is() {
    let day = Day::in_directory();
    let balanced = |command: crate::support::command::BatchExport| command.arg("--require-balanced");
    seed(&day.db, &[Entry::numbered(DATE, 0).kind("debit").amount(10_000)]);
    balanced(day.run()).run().expect_code(32);
    for _ in 0..3 {
        assert_eq!(balanced(day.retry()).run().expect_code(0).json()["outcome"], "nothing_due");
        day.let_time_pass();
        balanced(day.retry()).run();
    }
    let exhausted = balanced(day.retry()).run().expect_code(33).json();
    let way = told(&exhausted["batches"][0]["error"]);
    assert!(way.contains("until debits and credits are equal") && !way.contains("--invalid hold"), "{way}");
    seed(&day.db, &[Entry::numbered(DATE, 1).kind("credit").amount(10_000)]);
    let result = balanced(day.retry()).run().expect_code(0).json();
    assert_eq!((&result["batches"][0]["entries"], &result["batches"][0]["attempt"]), (&2.into(), &1.into()));
    day.check_converged();
}
