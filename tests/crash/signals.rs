//! SIGTERM, SIGINT and a lost terminal end a run within seconds at every stage, cleanly.

use std::net::TcpListener;

use mongodb::bson::doc;
use rustix::process::Signal;

use super::{PATIENCE, PROMPTLY};
use crate::support::command::{BatchExport, Finished};
use crate::support::day::Day;
use crate::support::fake_drive::{Operation, Point};
use crate::support::mongod::Mongod;
use crate::support::proxy::{self, On, Proxy};
use crate::support::seed::{DATE, QUEUE, seed_day};

const SIGNALS: [(Signal, i32); 3] = [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 143)];

/// It ended as interrupted, and the day is due at once without having lost an attempt.
#[track_caller]
fn interrupted(day: &Day, ended: &Finished) {
    assert_eq!(ended.json()["outcome"], "interrupted");
    assert!(ended.spool_is_empty(), "{}", ended.report());
    let batch = day.batch();
    assert_eq!((batch.get_str("state").unwrap(), batch.get_i32("attempt").unwrap()), ("failed", 1), "{batch}");
    day.check_guarantees();
}

#[test]
fn a_signal_ends_a_connect_that_is_never_answered() {
    for (signal, code) in SIGNALS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("mongodb://127.0.0.1:{}/?directConnection=true", listener.local_addr().unwrap().port());
        let run = BatchExport::command("run").mongodb(&uri).destination("file:///tmp").date(DATE).spawn();
        let _connection = listener.accept().unwrap();
        run.signal(signal);
        run.wait(PROMPTLY).expect_code(code);
    }
}

#[test]
fn a_signal_ends_a_stalled_upload() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    for (signal, code) in SIGNALS {
        let hold = day.drive().hold(day.drive().next(Operation::Chunk), Point::Before);
        let run = day.run().spawn();
        hold.wait_until_reached(PATIENCE);
        run.signal(signal);
        interrupted(&day, &run.wait(PROMPTLY).expect_code(code));
    }
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_lost_terminal_does_not_end_what_was_started_with_nohup() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let hold = day.drive().hold(day.drive().next(Operation::Chunk), Point::Before);
    let run = day.run().in_place_of_the_binary("nohup", &[env!("CARGO_BIN_EXE_batch-export"), "run", "--date", DATE]);
    let run = run.spawn();
    hold.wait_until_reached(PATIENCE);
    run.signal(Signal::HUP);
    hold.release();
    run.wait(PATIENCE).expect_code(0);
    day.check_converged();
}

#[test]
fn a_signal_ends_a_read_that_hangs() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    for (signal, code) in SIGNALS {
        let proxy = Proxy::before(Mongod::shared());
        let stop = proxy.hold(On::command("find").collection(QUEUE));
        let run = day.run().mongodb(&proxy.uri(&day.db)).spawn();
        stop.wait_until_reached(PATIENCE);
        run.signal(signal);
        interrupted(&day, &run.wait(PROMPTLY).expect_code(code));
    }
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_signal_during_the_lock_holds_no_batch() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let proxy = Proxy::before(Mongod::shared());
    let stop = proxy.hold(On::command("findAndModify").after());
    let run = day.run().mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    run.terminate();
    stop.release();
    interrupted(&day, &run.wait(PROMPTLY).expect_code(143));
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_signal_during_the_commit_lets_it_finish() {
    for after in [false, true] {
        let day = Day::on_drive();
        seed_day(&day.db, DATE, 8);
        let proxy = Proxy::before(Mongod::shared());
        let on = On::command("commitTransaction");
        let stop = proxy.hold(if after { on.after() } else { on });
        let run = day.run().mongodb(&proxy.uri(&day.db)).spawn();
        stop.wait_until_reached(PATIENCE);
        run.terminate();
        stop.release();
        assert_eq!(run.wait(PROMPTLY).expect_code(0).json()["outcome"], "completed");
        day.check_converged();
    }
}

#[test]
fn a_second_signal_ends_even_a_commit_at_once_and_retry_finds_out() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let proxy = Proxy::before(Mongod::shared());
    let stop = proxy.hold(On::command("commitTransaction"));
    let run = day.run().mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    run.terminate();
    run.signal(Signal::INT);
    run.wait(PROMPTLY).expect_code(130);
    stop.release();
    day.db.abort_abandoned_transactions();
    day.let_time_pass();
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_signal_ends_a_commit_that_keeps_failing() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let proxy = Proxy::before(Mongod::shared());
    let conflict = proxy::error(112, "WriteConflict", &["TransientTransactionError"]);
    let _rule = proxy.answer(On::command("insert").collection("exportlogs").nth_and_later(2), conflict.clone());
    // At the first one it is told to stop; the answer then is one after which it would try again.
    let first = proxy.hold(On::command("insert").collection("exportlogs"));
    let run = day.run().mongodb(&proxy.uri(&day.db)).spawn();
    first.wait_until_reached(PATIENCE);
    run.terminate();
    day.db.abort_open_transactions();
    first.release();
    interrupted(&day, &run.wait(PROMPTLY).expect_code(143));
    let commits = proxy.commands().iter().filter(|command| command.name == "commitTransaction").count();
    assert_eq!(commits, 0);
    assert_eq!(day.db.count("exportlogs", doc! {}), 0);
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_signal_during_the_marking_leaves_the_rest_to_the_next_one() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let proxy = Proxy::before(Mongod::shared());
    let stop = proxy.hold(On::command("findAndModify").collection("exportbatchrows").nth(3));
    let run = day.run().args(&["--transaction-rows", "2"]).mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    run.signal(Signal::TERM);
    run.wait(PROMPTLY).expect_code(143);
    assert_eq!(day.batch().get_str("state").unwrap(), "marking");
    day.check_guarantees();
    let uploads = day.drive().requests(Operation::Start).len();
    day.retry().run().expect_code(0);
    day.check_converged();
    assert_eq!(day.drive().requests(Operation::Start).len(), uploads, "the file was uploaded again");
}

#[test]
fn a_signal_while_another_batch_is_marked_leaves_both_to_the_next_one() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let (next, evening) = ("2026-01-19", "2026-01-19T18:00:05+07:00");
    seed_day(&day.db, next, 3);
    let proxy = Proxy::before(Mongod::shared());
    for run in [day.run(), day.command("run").date(next).now(evening)] {
        let stop = proxy.hold(On::command("find").collection("exportbatchrows").nth(1));
        let run = run.args(&["--transaction-rows", "2"]).mongodb(&proxy.uri(&day.db)).spawn();
        stop.wait_until_reached(PATIENCE);
        run.signal(Signal::TERM);
        run.wait(PROMPTLY).expect_code(143);
        let batch = day.batch();
        assert_eq!(batch.get_str("state").unwrap(), "marking");
        assert_eq!(batch.get("holder"), Some(&mongodb::bson::Bson::Null), "it is held until its lease ends: {batch}");
    }
    day.retry().now(evening).run().expect_code(0);
    day.check_converged();
}
