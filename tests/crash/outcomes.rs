//! The outcome of a commit that is answered with an error, or not at all.

use std::time::Duration;

use mongodb::bson::{Document, doc};

use super::PATIENCE;
use crate::support::command::BatchExport;
use crate::support::day::Day;
use crate::support::fake_drive::{Operation, Point};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy, error};
use crate::support::seed::{DATE, seed_day};

fn prepared() -> (Day, Proxy) {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    (day, Proxy::before(Mongod::shared()))
}

/// A run through the proxy that does not wait long for a database that is gone.
fn run(day: &Day, proxy: &Proxy) -> BatchExport {
    day.run().mongodb(&format!("{}&serverSelectionTimeoutMS=500", proxy.uri(&day.db)))
}

#[test]
fn a_commit_that_took_place_is_found_out_whatever_its_answer_was() {
    let answers: [Document; 3] = [
        error(64, "WriteConcernFailed", &["UnknownTransactionCommitResult"]),
        error(96, "OperationFailed", &[]),
        error(11600, "InterruptedAtShutdown", &["UnknownTransactionCommitResult", "RetryableWriteError"]),
    ];
    for answer in answers {
        let (day, proxy) = prepared();
        let _rule = proxy.answer(On::command("commitTransaction").nth_and_later(1).after(), answer);
        // The last of them makes the driver look for the server anew, which takes a moment.
        let result = day.run().mongodb(&proxy.uri(&day.db)).run().expect_code(0).json();
        assert_eq!(result["outcome"], "completed");
        assert_eq!(day.drive().count(Operation::Start), 1, "a second file");
        day.check_converged();
    }
}

#[test]
fn a_commit_that_was_rolled_back_is_run_again() {
    let (day, proxy) = prepared();
    let stop = proxy.hold(On::command("commitTransaction"));
    let running = run(&day, &proxy).spawn();
    stop.wait_until_reached(PATIENCE);
    // The server now answers that there is no such transaction, with its own label.
    day.db.abort_open_transactions();
    stop.release();
    assert_eq!(running.wait(PATIENCE).expect_code(0).json()["outcome"], "completed");
    assert_eq!(day.drive().count(Operation::Start), 1);
    day.check_converged();
}

#[test]
fn a_write_conflict_inside_the_transaction_runs_it_again() {
    let (day, proxy) = prepared();
    let conflict = error(112, "WriteConflict", &["TransientTransactionError"]);
    let rule = proxy.answer(On::command("update").collection("exportqueues"), conflict);
    run(&day, &proxy).run().expect_code(0);
    assert_eq!((rule.times(), day.drive().count(Operation::Start)), (1, 1));
    day.check_converged();
}

#[test]
fn a_transaction_that_never_goes_through_ends_within_bounds() {
    let (day, proxy) = prepared();
    let conflict = error(112, "WriteConflict", &["TransientTransactionError"]);
    let rule = proxy.answer(On::command("insert").collection("exportlogs").nth_and_later(1), conflict);
    run(&day, &proxy).run().expect_code(23);
    assert_eq!(rule.times(), 6);
    day.check_guarantees();
    day.let_time_pass();
    assert_eq!(day.retry().run().expect_code(0).json()["batches"][0]["adopted"], true);
    day.check_converged();
}

#[test]
fn an_outcome_that_nobody_can_tell_is_24_and_the_next_retry_finds_out() {
    for committed in [true, false] {
        let (day, proxy) = prepared();
        let on = On::command("commitTransaction");
        let _rule = proxy.cut_all(if committed { on.after() } else { on });
        let result = run(&day, &proxy).run().expect_code(24).json();
        assert_eq!(result["outcome"], "commit_unknown");
        day.db.abort_abandoned_transactions();
        day.check_guarantees();
        day.let_time_pass();
        let retry = day.retry().run().expect_code(0).json();
        let outcome = if committed { "nothing_due" } else { "completed" };
        assert_eq!(retry["outcome"], outcome, "{retry}");
        assert_eq!(day.drive().count(Operation::Start), 1, "a second file");
        assert!(day.drive().files().iter().all(|file| !file.trashed), "a file was trashed");
        day.check_converged();
    }
}

#[test]
fn a_database_that_goes_down_leaves_the_day_to_retry() {
    let commands = [("findAndModify", 1), ("find", 2), ("findAndModify", 2), ("update", 1)];
    for (name, nth) in commands {
        let (day, proxy) = prepared();
        let _rule = proxy.cut_all(On::command(name).nth(nth));
        let ended = run(&day, &proxy).run().expect_code(20);
        assert!(ended.spool_is_empty(), "{}", ended.report());
        recovers(&day);
    }
}

#[test]
fn a_database_that_goes_down_during_the_upload_leaves_the_day_to_retry() {
    let (day, proxy) = prepared();
    let hold = day.drive().hold(day.drive().next(Operation::Chunk), Point::Before);
    let running = run(&day, &proxy).spawn();
    hold.wait_until_reached(PATIENCE);
    proxy.cut_off();
    hold.release();
    running.wait(PATIENCE).expect_code(20);
    recovers(&day);
}

#[track_caller]
fn recovers(day: &Day) {
    day.db.abort_abandoned_transactions();
    day.check_guarantees();
    day.let_time_pass();
    day.retry().run().expect_code(0);
    day.check_converged();
    assert_eq!(day.db.count("exportlogs", doc! {}), 1);
}

#[test]
fn a_read_that_takes_too_long_is_stopped() {
    let (day, proxy) = prepared();
    let _rule = proxy.delay(On::command("find").collection("exportqueues").nth_and_later(1), Duration::from_secs(5));
    let ended = run(&day, &proxy).args(&["--generate-timeout", "300ms"]).run().expect_code(21);
    assert!(ended.spool_is_empty(), "{}", ended.report());
    assert!(day.drive().journal().is_empty(), "it went on");
    recovers(&day);
}
