//! `batch-export retry`: what failed, what crashed, what was missed.

use std::time::Duration;

use mongodb::bson::doc;

use crate::support::command::{BatchExport, told};
use crate::support::day::{BATCHES, Day};
use crate::support::fake_drive::{Answer, Fault, On, Operation, Point};
use crate::support::mongod::Mongod;
use crate::support::proxy::Proxy;
use crate::support::seed::{DATE, seed_day};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn retrying_stops_after_3_attempts() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day.drive().plan(On::every(Operation::Start), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    day.run().run().expect_code(31);
    for attempt in 2..=3 {
        day.let_time_pass();
        assert_eq!(day.retry().run().expect_code(31).json()["batches"][0]["attempt"], attempt);
    }
    day.let_time_pass();
    let last = day.retry().run().expect_code(33).json();
    assert_eq!(last["batches"][0]["error"]["class"], "drive_rejected");
    let message = told(&last["batches"][0]["error"]);
    assert!(message.contains("`batch-export unlock --date 2026-01-18`"), "nothing retries it any more: {message}");
    assert_eq!(day.batch().get_str("state").unwrap(), "exhausted");
    let requests = day.drive().journal().len();
    day.let_time_pass();
    assert_eq!(day.retry().run().expect_code(33).json()["outcome"], "exhausted");
    day.run().run().expect_code(33);
    assert_eq!(day.drive().journal().len(), requests, "an exhausted batch was tried again");
    day.check_guarantees();
}

#[test]
fn back_off_is_5_15_and_45_minutes_by_the_clock_of_the_database() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day.drive().plan(On::every(Operation::Start), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    for minutes in [5, 15, 45] {
        // A client clock that is a year off changes nothing.
        day.retry().now("2027-01-18T18:00:05+07:00").args(&["--date", DATE]).run().expect_code(31);
        let batch = day.batch();
        let wait = batch.get_datetime("nextRetryAt").unwrap().timestamp_millis()
            - batch.get_datetime("updatedAt").unwrap().timestamp_millis();
        assert_eq!(wait, minutes * 60 * 1000);
        assert_eq!(day.retry().run().expect_code(0).json()["outcome"], "nothing_due");
        assert_eq!(day.run().run().expect_code(11).json()["outcome"], "not_due");
        day.let_time_pass();
    }
}

#[test]
fn a_missed_day_is_done_by_retry() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 8);
    let result = day.retry().now("2026-01-19T09:00:00+07:00").run().expect_code(0).json();
    assert_eq!(result["batches"][0]["batch"], "batch_2026-01-18");
    assert_eq!(result["batches"][0]["entries"], 8);
    day.check_converged();
    assert_eq!(day.retry().now("2026-01-19T09:00:00+07:00").run().expect_code(0).json()["outcome"], "nothing_due");
}

#[test]
fn a_killed_run_is_taken_over_when_its_lease_ends_and_its_attempt_is_counted() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let hold = day.drive().hold(On::nth(Operation::Chunk, 1), Point::After);
    let run = day.run().spawn();
    hold.wait_until_reached(PATIENCE);
    run.kill();
    hold.release();
    assert_eq!(day.retry().run().expect_code(0).json()["outcome"], "nothing_due", "its lease is still good");
    day.let_time_pass();
    let result = day.retry().run().expect_code(0).json();
    assert_eq!((&result["batches"][0]["attempt"], &result["batches"][0]["adopted"]), (&2.into(), &true.into()));
    let batch = day.batch();
    let history = batch.get_array("history").unwrap();
    assert_eq!(history[0].as_document().unwrap().get_str("outcome").unwrap(), "crashed");
    day.check_converged();
}

#[test]
fn an_interruption_costs_no_attempt_and_is_due_at_once() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    for (signal, code) in [(rustix::process::Signal::TERM, 143), (rustix::process::Signal::INT, 130)] {
        let hold = day.drive().hold(day.drive().next(Operation::Start), Point::Before);
        let run = day.run().spawn();
        hold.wait_until_reached(PATIENCE);
        run.signal(signal);
        let ended = run.wait(PATIENCE).expect_code(code);
        assert!(ended.spool_is_empty());
        assert_eq!(ended.json()["outcome"], "interrupted");
    }
    let batch = day.batch();
    assert_eq!((batch.get_str("state").unwrap(), batch.get_i32("attempt").unwrap()), ("failed", 1));
    assert_eq!(day.retry().run().expect_code(0).json()["batches"][0]["attempt"], 1);
    day.check_converged();
}

#[test]
fn nothing_due_costs_one_query_after_the_handshake() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let proxy = Proxy::before(Mongod::shared());
    let day = day.through(&proxy);
    day.retry().run().expect_code(0);
    let commands: Vec<String> = proxy.commands().into_iter().map(|command| command.name).collect();
    assert_eq!(commands, ["aggregate"]);
}

#[test]
fn a_standing_failure_of_the_database_is_done_by_retry_later() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let down = "mongodb://127.0.0.1:1/?replicaSet=rs&serverSelectionTimeoutMS=300";
    BatchExport::command("run").mongodb(down).destination("file:///tmp").date(DATE).run().expect_code(20);
    assert!(day.db.find_one(BATCHES, doc! {}).is_none());
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn an_exhausted_batch_leaves_no_live_file_that_nobody_committed() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let hold = day.drive().hold(On::nth(Operation::Chunk, 1), Point::After);
    let run = day.run().env("BATCH_EXPORT_RETRY_DELAYS", "none").spawn();
    hold.wait_until_reached(PATIENCE);
    run.kill();
    hold.release();
    assert_eq!(day.live_files().len(), 1);
    day.let_time_pass();
    day.run().env("BATCH_EXPORT_RETRY_DELAYS", "none").run().expect_code(33);
    assert!(day.live_files().is_empty(), "its entries may be exported with another date");
    let batch = day.batch();
    let voided = batch.get_array("voided").unwrap()[0].as_document().unwrap();
    assert!(voided.get_bool("trashed").unwrap(), "{batch}");
    day.command("unlock").date(DATE).run().expect_code(0);
    day.run().run().expect_code(0);
    day.check_converged();
}
