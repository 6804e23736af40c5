//! A database that takes a command and does not answer: a lost majority, a locked server, a transaction that nobody ends.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::command::told;
use crate::support::day::{Day, LOG};
use crate::support::db::TestDb;
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, seed_day};

#[test]
fn a_server_that_does_not_answer_is_told_with_what_keeps_servers_from_answering() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    let late = proxy.delay(On::command("findAndModify"), Duration::from_secs(60));
    let ended = day.run().spawn().wait(Duration::from_secs(180)).expect_code(20);
    let told = told(&ended.json()["error"]);
    for cause in ["no answer within 30s", "majority", "fsyncLock", "transaction"] {
        assert!(told.contains(cause), "{cause:?} is not in {told}");
    }
    assert_eq!(late.times(), 1);
}

/// A day on a server of its own that is frozen when the run reaches a command of its commit, and then gets a signal.
fn frozen_at(on: On) -> (Day, Proxy, String, i32) {
    let server: &'static Mongod = Box::leak(Box::new(Mongod::start_with(&[])));
    let proxy = Proxy::before(server);
    let day = Day::in_directory_with(TestDb::on(server)).through(&proxy);
    seed_day(&day.db, DATE, 3);
    let reached = proxy.hold(on);
    let run = day.run().spawn();
    reached.wait_until_reached(Duration::from_secs(60));
    server.pause();
    run.signal(Signal::TERM);
    reached.release();
    // The limit of a commit that is under way.
    let ended = run.wait(Duration::from_secs(90));
    server.resume();
    let told = told(&ended.json()["error"]);
    (day, proxy, told, ended.code)
}

#[test]
fn a_server_that_freezes_at_the_commit_is_told_as_one_that_does_not_answer() {
    let (day, _proxy, told, code) = frozen_at(On::command("commitTransaction"));
    assert_eq!(code, 24, "{told}");
    assert!(told.contains("the database does not answer") && !told.contains("file system"), "{told}");
    day.let_time_pass();
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_server_that_freezes_before_the_commit_is_sent_leaves_no_doubt() {
    let (day, _proxy, told, code) = frozen_at(On::command("insert").collection(LOG));
    assert_eq!(code, 143, "{told}");
    assert!(told.contains("the batch was not committed: ") && !told.contains("file system"), "{told}");
    assert!(day.log().is_empty());
    day.let_time_pass();
    day.retry().run().expect_code(0);
    day.check_converged();
}
