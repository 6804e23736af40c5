//! A day that was begun before its cut-off and did not end cleanly: whoever comes next goes on with it, at any time.

use std::time::Duration;

use mongodb::bson::doc;
use rustix::process::Signal;

use super::{EVENING, NOON, documents};
use crate::support::command::BatchExport;
use crate::support::day::{BATCH, BATCHES, Day};
use crate::support::fake_drive::{Answer, Fault, Operation, Point};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, seed, seed_day};

const LATER: &str = "2026-01-18T12:30:00+07:00";
const PATIENCE: Duration = Duration::from_secs(30);

fn early(day: &Day) -> BatchExport {
    day.run().now(NOON).arg("--early")
}

/// A way in which an early attempt ends badly.
type End = fn(&Day);

fn fails(day: &Day) {
    day.drive().plan(day.drive().next(Operation::Start), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    early(day).run().expect_code(31);
    day.let_time_pass();
}

fn is_refused_and_corrected(day: &Day) {
    let entry = doc! { "_id": Entry::numbered(DATE, 0).id() };
    day.db.update_one(ENTRIES, entry.clone(), doc! { "$set": { "status": "draft" } });
    early(day).run().expect_code(32);
    day.db.update_one(ENTRIES, entry, doc! { "$set": { "status": "approved" } });
}

fn is_interrupted(day: &Day) {
    let hold = day.drive().hold(day.drive().next(Operation::Start), Point::Before);
    let run = early(day).spawn();
    hold.wait_until_reached(PATIENCE);
    run.signal(Signal::TERM);
    run.wait(PATIENCE).expect_code(143);
}

fn crashes(day: &Day) {
    let hold = day.drive().hold(day.drive().next(Operation::Start), Point::Before);
    let run = early(day).spawn();
    hold.wait_until_reached(PATIENCE);
    run.kill();
    hold.release();
    day.let_time_pass();
}

fn crashes_and_is_unlocked(day: &Day) {
    crashes(day);
    day.command("unlock").now(LATER).date(DATE).run().expect_code(0);
}

fn is_exhausted_and_unlocked(day: &Day) {
    day.drive().plan(day.drive().next(Operation::Start), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    early(day).env("BATCH_EXPORT_RETRY_DELAYS", "none").run().expect_code(33);
    day.run().now(LATER).run().expect_code(33);
    day.command("unlock").now(LATER).date(DATE).run().expect_code(0);
}

fn is_killed_while_it_marks(day: &Day) {
    let proxy = Proxy::before(Mongod::shared());
    let stop = proxy.hold(On::command("findAndModify").collection("exportbatchrows").nth(2));
    let run = early(day).args(&["--transaction-rows", "2"]).mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    run.kill();
    stop.cut();
    day.db.abort_abandoned_transactions();
    day.let_time_pass();
    assert_eq!(day.batch().get_str("state").unwrap(), "marking");
}

const ENDS: [End; 7] = [
    fails,
    is_refused_and_corrected,
    is_interrupted,
    crashes,
    crashes_and_is_unlocked,
    is_exhausted_and_unlocked,
    is_killed_while_it_marks,
];

/// Runs `way` on a day of 8 rows after each of the ends.
fn after_each_end(way: impl Fn(&Day) -> BatchExport, is_early: bool) {
    for (number, end) in ENDS.iter().enumerate() {
        let day = Day::on_drive();
        seed_day(&day.db, DATE, 8);
        end(&day);
        let finished = way(&day).run().expect_code(0);
        let batch = day.batch();
        assert_eq!(batch.get_str("state").unwrap(), "completed", "end {number}: {}", finished.report());
        assert_eq!(batch.get_document("file").unwrap().get_i64("entries").unwrap(), 8);
        // The file of a batch that is marked was made early, whoever marks the rest.
        let was_early = is_early || number == ENDS.len() - 1;
        assert_eq!(batch.get_document("window").unwrap().get_bool("early").unwrap(), was_early, "end {number}");
        day.check_converged();
    }
}

#[test]
fn before_the_cut_off_retry_goes_on_with_what_was_begun_early() {
    after_each_end(|day| day.retry().now(LATER), true);
}

#[test]
fn before_the_cut_off_retry_of_the_date_goes_on_with_what_was_begun_early() {
    after_each_end(|day| day.retry().now(LATER).date(DATE), true);
}

#[test]
fn before_the_cut_off_run_goes_on_with_what_was_begun_early() {
    after_each_end(|day| day.run().now(LATER), true);
}

#[test]
fn after_the_cut_off_what_was_begun_early_is_the_day_itself() {
    after_each_end(|day| day.run().now(EVENING), false);
    after_each_end(|day| day.retry().now(EVENING), false);
}

#[test]
fn a_back_off_is_kept_before_the_cut_off_too_and_now_skips_it() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    early(&day).destination("file:///nowhere/at/all").run().expect_code(31);
    assert_eq!(day.retry().now(LATER).run().expect_code(0).json()["outcome"], "nothing_due");
    let waits = day.run().now(LATER).run().expect_code(11).json();
    assert!(waits["error"]["next"].as_str().unwrap().contains("--now"), "{waits}");
    assert_eq!(day.run().now(LATER).arg("--now").run().expect_code(0).json()["entries"], 3);
    assert_eq!(day.run().now(LATER).run().expect_code(0).json()["outcome"], "already_completed");
}

#[test]
fn an_early_day_that_lies_unfinished_fails_the_check_before_its_cut_off() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    early(&day).destination("file:///nowhere/at/all").run().expect_code(31);
    let check = || day.command("status").now(LATER).arg("--check");
    let line = check().args(&["--output", "text"]).run().expect_code(0).stdout;
    assert_eq!(line, "ok: no day is done yet; batch_2026-01-18 is failed, within its grace\n");
    let long_ago = mongodb::bson::DateTime::from_millis(0);
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "createdAt": long_ago } });
    assert_eq!(check().run().expect_code(34).json()["problems"][0]["kind"], "not_done");
}

#[test]
fn the_first_batch_of_a_database_makes_no_day_before_it_missing() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    early(&day).run().expect_code(0);
    day.command("status").now(LATER).arg("--check").run().expect_code(0);
    assert_eq!(day.retry().now(LATER).run().expect_code(0).json()["outcome"], "nothing_due");
    assert!(day.db.find_one(BATCHES, doc! { "_id": "batch_2026-01-17" }).is_none());
    // A person may ask for it.
    day.retry().now(LATER).date("2026-01-17").run().expect_code(0);
    assert!(day.db.find_one(BATCHES, doc! { "_id": "batch_2026-01-17" }).is_some());
}

#[test]
fn an_early_day_whose_rows_are_all_taken_back_is_not_recorded_as_empty() {
    let day = Day::in_directory();
    seed(&day.db, &[Entry::numbered(DATE, 0).set("status", "draft")]);
    early(&day).run().expect_code(32);
    day.db.update_many(QUEUE, doc! {}, doc! { "$set": { "status": "cancelled" } });
    for command in [early(&day), day.run().now(LATER), day.retry().now(LATER)] {
        assert_eq!(command.run().expect_code(0).json()["outcome"], "nothing_due");
        assert_eq!(day.batch().get_str("state").unwrap(), "failed");
    }
    seed(&day.db, &[Entry::numbered(DATE, 1)]);
    assert_eq!(day.run().now(EVENING).run().expect_code(0).json()["entries"], 1);
    assert_eq!(documents(&day), 2, "the batch and the ledger");
}
