//! The lease: kept while the work goes on, harmless when it is lost, judged by the database's clock.

use std::time::{Duration, Instant};

use chrono::DateTime;
use chrono_tz::Asia::Bangkok;
use mongodb::bson::{Document, doc};
use rustix::process::Signal;

use super::{PATIENCE, PROMPTLY};
use crate::support::day::{BATCHES, Day, LiveFile};
use crate::support::fake_drive::{Operation, Point};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, QUEUE, seed_day};

/// Everything that a late holder could spoil.
fn everything(day: &Day) -> (Vec<Document>, Vec<Document>, Vec<Document>, Vec<LiveFile>) {
    (day.db.find_all(BATCHES, doc! {}), day.db.find_all(QUEUE, doc! {}), day.log(), day.live_files())
}

#[test]
fn a_holder_that_was_taken_over_changes_nothing_when_it_wakes_up() {
    let points = [
        On::command("find").collection(QUEUE),
        On::command("findAndModify").collection(BATCHES).nth(3),
        On::command("update").collection(BATCHES),
        On::command("commitTransaction"),
    ];
    for (number, point) in points.into_iter().enumerate() {
        let day = Day::on_drive();
        seed_day(&day.db, DATE, 8);
        let proxy = Proxy::before(Mongod::shared());
        let stop = proxy.hold(point);
        let run = day.run().mongodb(&proxy.uri(&day.db)).spawn();
        stop.wait_until_reached(PATIENCE);
        run.signal(Signal::STOP);
        day.db.abort_open_transactions();
        day.let_time_pass();
        day.retry().run().expect_code(0);
        day.check_converged();
        let before = everything(&day);
        run.signal(Signal::CONT);
        stop.release();
        let ended = run.wait(PATIENCE).expect_code(25);
        assert_eq!(ended.json()["outcome"], "lease_lost");
        assert!(ended.spool_is_empty(), "{}", ended.report());
        assert!(everything(&day) == before, "point {number}: it changed something: {}", ended.report());
    }
}

#[test]
fn a_holder_that_was_taken_over_during_its_upload_spoils_nothing() {
    for point in [Point::Before, Point::InFlight, Point::After] {
        let day = Day::on_drive();
        seed_day(&day.db, DATE, 8);
        let hold = day.drive().hold(day.drive().next(Operation::Chunk), point);
        let run = day.run().spawn();
        hold.wait_until_reached(PATIENCE);
        run.signal(Signal::STOP);
        day.let_time_pass();
        day.retry().run().expect_code(0);
        let before = everything(&day);
        run.signal(Signal::CONT);
        hold.release();
        run.wait(PATIENCE).expect_code(25);
        assert!(everything(&day) == before, "{point:?}: it changed something");
        day.check_converged();
    }
}

#[test]
fn a_run_whose_batch_document_was_deleted_says_so_and_retry_goes_on() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let hold = day.drive().hold(day.drive().next(Operation::Chunk), Point::After);
    let run = day.run().spawn();
    hold.wait_until_reached(PATIENCE);
    day.db.delete_many(BATCHES, doc! { "_id": "batch_2026-01-18" });
    hold.release();
    let ended = run.wait(PATIENCE).expect_code(25).json();
    let told = ended["error"].to_string();
    assert!(told.contains("was deleted during the run") && !told.contains("another run"), "{told}");
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_lease_is_renewed_as_long_as_an_upload_takes() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let hold = day.drive().hold(day.drive().next(Operation::Chunk), Point::Before);
    let run = day.run().args(&["--lease", "2s"]).spawn();
    hold.wait_until_reached(PATIENCE);
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        assert_eq!(day.retry().run().expect_code(0).json()["outcome"], "nothing_due");
        std::thread::sleep(Duration::from_millis(300));
    }
    hold.release();
    run.wait(PATIENCE).expect_code(0);
    assert_eq!(day.batch().get_i64("fence").ok(), Some(1));
    day.check_converged();
}

#[test]
fn a_renewal_that_finds_another_fence_ends_the_pass() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let hold = day.drive().hold(day.drive().next(Operation::Chunk), Point::Before);
    let run = day.run().args(&["--lease", "1s"]).spawn();
    hold.wait_until_reached(PATIENCE);
    day.db.update_one(BATCHES, doc! { "state": "running" }, doc! { "$inc": { "fence": 1_i64 } });
    let before = everything(&day);
    let ended = run.wait(PROMPTLY).expect_code(25);
    assert!(ended.spool_is_empty());
    assert!(everything(&day) == before, "it changed something");
}

#[test]
fn a_lease_that_cannot_be_renewed_ends_the_pass() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let proxy = Proxy::before(Mongod::shared());
    let hold = day.drive().hold(day.drive().next(Operation::Chunk), Point::Before);
    let run = day.run().args(&["--lease", "1s"]).mongodb(&proxy.uri(&day.db)).spawn();
    hold.wait_until_reached(PATIENCE);
    proxy.cut_off();
    let ended = run.wait(PROMPTLY).expect_code(25);
    assert!(ended.spool_is_empty());
    day.let_time_pass();
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_client_clock_that_is_an_hour_wrong_changes_no_lease() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let hold = day.drive().hold(day.drive().next(Operation::Chunk), Point::Before);
    let run = day.run().now("2026-01-18T19:00:05+07:00").spawn();
    hold.wait_until_reached(PATIENCE);
    let batch = day.batch();
    let since = batch.get_document("holder").unwrap().get_datetime("since").unwrap().timestamp_millis();
    let expires = batch.get_datetime("leaseExpiresAt").unwrap().timestamp_millis();
    assert_eq!(expires - since, 2 * 60 * 1000);
    for clock in ["2026-01-18T20:00:05+07:00", "2026-01-18T18:00:05+07:00"] {
        assert_eq!(day.retry().now(clock).run().expect_code(0).json()["outcome"], "nothing_due");
        day.run().now(clock).run().expect_code(10);
    }
    hold.release();
    run.wait(PATIENCE).expect_code(0);
    day.check_converged();
}

#[test]
fn a_refusal_names_who_holds_the_batch_where_and_since_when() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 8);
    let hold = day.drive().hold(day.drive().next(Operation::Chunk), Point::Before);
    let run = day.run().spawn();
    hold.wait_until_reached(PATIENCE);
    let result = day.run().run().expect_code(10).json();
    let message = result["error"]["message"].as_str().unwrap();
    let batch = day.batch();
    let holder = batch.get_document("holder").unwrap();
    let since = holder.get_datetime("since").unwrap().timestamp_millis();
    let since =
        DateTime::from_timestamp_millis(since).unwrap().with_timezone(&Bangkok).format("since %H:%M").to_string();
    let pid = run.pid().as_raw_nonzero().get();
    assert_eq!(i64::from(pid), holder.get_i64("pid").unwrap());
    let names = [holder.get_str("id").unwrap(), holder.get_str("host").unwrap(), &pid.to_string(), &since];
    for name in names {
        assert!(message.contains(name), "{name} is not named: {message}");
    }
    hold.release();
    run.wait(PATIENCE).expect_code(0);
}
