//! The row list of a large batch: marked piece by piece by whoever is there, rebuilt when it is lost.

use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc, oid::ObjectId};
use rustix::process::Signal;

use crate::support::command::{BatchExport, told};
use crate::support::day::{BATCH, BATCHES, Day, EXPORTED};
use crate::support::fake_drive::FakeDrive;
use crate::support::mongod::Mongod;
use crate::support::proxy::{self, On, Proxy};
use crate::support::seed::{DATE, QUEUE, seed_day};

const PATIENCE: Duration = Duration::from_secs(60);
const LISTS: &str = "exportbatchrows";
const PIECES: [&str; 2] = ["--transaction-rows", "3"];

fn next_run(day: &Day) -> BatchExport {
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00")
}

/// A batch of 8 rows in 3 pieces that is official, and whose run was killed before it marked the n-th of them.
pub fn killed_before_piece(nth: u32, arguments: &[&str]) -> Day {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 8);
    let proxy = Proxy::before(Mongod::shared());
    let stop = proxy.hold(On::command("findAndModify").collection(LISTS).nth(nth));
    let run = day.run().args(&PIECES).args(arguments).mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    run.kill();
    stop.cut();
    day.db.abort_abandoned_transactions();
    assert_eq!(day.batch().get_str("state").ok(), Some("marking"));
    day
}

#[test]
fn a_run_for_another_date_marks_what_a_killed_one_left_and_needs_no_lease_to_run_out() {
    for nth in 1..=3 {
        let day = killed_before_piece(nth, &[]);
        day.check_guarantees();
        seed_day(&day.db, "2026-01-19", 2);
        let next = next_run(&day).run().expect_code(0).json();
        assert_eq!((next["entries"].as_u64(), next["number"].as_u64()), (Some(2), Some(2)), "{next}");
        day.check_converged();
    }
}

#[test]
fn a_marker_that_was_paused_in_a_piece_does_no_harm_when_it_wakes_up() {
    for command in ["findAndModify", "insert", "commitTransaction"] {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 8);
        let proxy = Proxy::before(Mongod::shared());
        // The commit of the batch is a transaction too.
        let on = match command {
            "findAndModify" => On::command(command).collection(LISTS).nth(2),
            "insert" => On::command(command).collection(EXPORTED).nth(2),
            _ => On::command(command).nth(4),
        };
        let stop = proxy.hold(on);
        let run = day.run().args(&PIECES).mongodb(&proxy.uri(&day.db)).spawn();
        stop.wait_until_reached(PATIENCE);
        run.signal(Signal::STOP);
        proxy.halt();
        day.db.abort_open_transactions();
        day.retry().run().expect_code(0);
        day.check_converged();
        let before = (day.db.find_all(QUEUE, doc! {}), day.db.find_all(EXPORTED, doc! {}), day.batch());
        run.signal(Signal::CONT);
        proxy.go_on();
        stop.release();
        let ended = run.wait(PATIENCE);
        assert!([0, 20].contains(&ended.code), "{}", ended.report());
        let after = (day.db.find_all(QUEUE, doc! {}), day.db.find_all(EXPORTED, doc! {}), day.batch());
        assert!(before == after, "{command}: it changed something: {}", ended.report());
    }
}

#[test]
fn a_conflict_in_the_marking_says_that_the_file_is_committed_and_what_is_left() {
    let day = killed_before_piece(1, &[]);
    let left = 8 - day.db.count(EXPORTED, doc! {});
    let conflict = doc! { "failCommands": ["update"], "errorCode": 112, "errorLabels": ["TransientTransactionError"] };
    seed_day(&day.db, "2026-01-19", 2);
    let point = day.db.fail_point("alwaysOn", conflict);
    for command in [day.run(), next_run(&day)] {
        let ended = command.args(&PIECES).run().expect_code(23).json();
        let says = format!(
            "; the file of {BATCH} is committed, and {left} of its rows are still to be marked\n`batch-export retry` goes on"
        );
        assert!(told(&ended["error"]).contains(&says), "{ended}");
    }
    drop(point);
    day.let_time_pass();
    day.retry().now("2026-01-19T18:00:05+07:00").run().expect_code(0);
    day.check_converged();
}

/// Its open transaction holds the piece until the server ends it.
#[test]
fn a_piece_that_a_killed_run_holds_is_said_once_in_the_log() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 8);
    let proxy = Proxy::before(Mongod::shared());
    let stop = proxy.hold(On::command("update").collection(QUEUE));
    let run = day.run().args(&PIECES).mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    // The piece beside it begins no transaction any more: the retry lives when all are aborted.
    proxy.halt();
    run.kill();
    proxy.cut_off();
    let retry = day.retry().spawn();
    let says = "waits for rows of this batch that another run is marking; if that run was killed";
    let end = Instant::now() + PATIENCE;
    while !retry.logged().contains(says) {
        assert!(Instant::now() < end, "it says nothing: {}", retry.logged());
        std::thread::sleep(Duration::from_millis(50));
    }
    day.db.abort_open_transactions();
    let ended = retry.wait(PATIENCE).expect_code(0);
    assert_eq!(ended.stderr.matches(says).count(), 1, "{}", ended.report());
    day.check_converged();
}

#[test]
fn a_piece_that_is_refused_lets_the_one_beside_it_end() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 6);
    let proxy = Proxy::before(Mongod::shared());
    let insert = On::command("insert").collection(EXPORTED);
    let held = proxy.hold(insert.clone());
    let refused = proxy.answer(insert.nth(2), proxy::error(13, "Unauthorized", &[]));
    let run = day.run().args(&PIECES).mongodb(&proxy.uri(&day.db)).spawn();
    held.wait_until_reached(PATIENCE);
    refused.wait_until_reached(PATIENCE);
    // Time enough to drop the piece that is held.
    std::thread::sleep(Duration::from_millis(300));
    held.release();
    let ended = run.wait(PATIENCE).expect_code(30).json();
    assert!(told(&ended["error"]).contains(&format!("the file of {BATCH} is committed")), "{ended}");
    assert_eq!((day.rows_with_status("completed"), day.db.count(EXPORTED, doc! {})), (3, 3), "{ended}");
    day.retry().args(&PIECES).run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_last_step_that_is_refused_says_that_the_file_is_committed() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 6);
    day.command("init").run().expect_code(0);
    let rule = |rule: Document| day.db.command(doc! { "collMod": BATCHES, "validator": rule });
    rule(doc! { "state": { "$ne": "completed" } });
    let ended = day.run().args(&PIECES).run().expect_code(30).json();
    let refused = told(&ended["error"]);
    assert!(refused.contains(BATCHES) && refused.contains(&format!("the file of {BATCH} is committed")), "{refused}");
    rule(doc! {});
    day.retry().args(&PIECES).run().expect_code(0);
    day.check_converged();
}

#[test]
fn several_processes_mark_one_list_together() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 60);
    let proxy = Proxy::before(Mongod::shared());
    let stop = proxy.hold(On::command("findAndModify").collection(LISTS));
    let run = day.run().args(&PIECES).mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    let others = [(); 3].map(|()| day.retry().args(&PIECES).spawn());
    stop.release();
    for one in others.into_iter().chain([run]) {
        one.wait(PATIENCE).expect_code(0);
    }
    assert_eq!(day.db.count(EXPORTED, doc! { "n": 1 }), 60);
    day.check_converged();
}

#[test]
fn a_lost_row_list_is_made_anew_from_the_official_file() {
    for nth in 1..=3 {
        let day = killed_before_piece(nth, &[]);
        day.command("verify").run().expect_code(0);
        day.db.block(day.db.collection(LISTS).drop()).expect("to drop the collection");
        let found = day.command("verify").run().expect_code(34).stdout;
        assert!(found.contains("neither on record as exported nor in the row list of exportbatchrows"), "{found}");
        seed_day(&day.db, "2026-01-19", 2);
        next_run(&day).run().expect_code(0);
        day.check_converged();
        assert_eq!(day.rows_with_status("completed"), 10);
    }
}

#[test]
fn a_row_list_that_cannot_be_read_is_named() {
    let day = killed_before_piece(1, &[]);
    let of_lists = format!("{}.{LISTS}", day.db.name());
    let failing = doc! { "failCommands": ["find"], "namespace": of_lists, "errorCode": 8 };
    let _failing = day.db.fail_point("alwaysOn", failing);
    let error = day.retry().run().expect_code(20).json()["batches"][0]["error"].clone();
    assert!(told(&error).contains("exportbatchrows: "), "{error}");
}

/// The pieces of the list that are left.
fn pieces(day: &Day) -> Vec<String> {
    let left = day.db.find_all(LISTS, doc! { "piece": { "$exists": true } });
    left.iter().map(|piece| piece.get_str("_id").expect("an id").to_owned()).collect()
}

#[test]
fn a_piece_of_the_row_list_that_was_lost_is_made_good_from_the_official_file() {
    for nth in 1..=3 {
        for at in 0..3 {
            let day = killed_before_piece(nth, &[]);
            // Two pieces are marked at a time: how many are left depends on how far the other one was.
            let left = pieces(&day);
            let Some(lost) = left.get(at) else {
                assert!(at > 0, "no piece was left");
                break;
            };
            day.db.delete_many(LISTS, doc! { "_id": lost });
            seed_day(&day.db, "2026-01-19", 2);
            let ended = next_run(&day).run().expect_code(0);
            assert!(ended.stderr.contains("it was made again from the file"), "{}", ended.report());
            day.check_converged();
            assert_eq!(day.rows_with_status("completed"), 10);
            let verified = day.command("verify").args(&["--last", "2"]).now("2026-01-19T19:00:00+07:00").run();
            verified.expect_code(0);
        }
    }
}

#[test]
fn a_list_made_anew_names_the_rows_that_were_due_and_not_later_ones_of_the_same_entries() {
    let day = killed_before_piece(1, &[]);
    let tomorrow = mongodb::bson::DateTime::parse_rfc3339_str("2026-01-19T09:00:00+07:00").unwrap();
    let again = day.db.find_all(QUEUE, doc! {}).into_iter().map(|mut row| {
        row.extend(doc! { "_id": ObjectId::new(), "status": "queued", "scheduledFor": tomorrow, "metadata": {} });
        row
    });
    let again: Vec<_> = again.collect();
    day.db.insert_many(QUEUE, again);
    day.db.delete_many(LISTS, doc! {});
    day.retry().run().expect_code(0);
    let left = |filter: mongodb::bson::Document| day.db.count(QUEUE, filter);
    assert_eq!(left(doc! { "status": "queued", "scheduledFor": { "$lt": tomorrow } }), 0);
    assert_eq!(left(doc! { "status": "queued", "scheduledFor": tomorrow }), 8);
}

#[test]
fn doctor_finds_what_stops_the_marks_while_a_batch_is_marking() {
    let day = killed_before_piece(1, &[]);
    let doctor = || day.command("doctor").now(&chrono::Utc::now().to_rfc3339()).run();
    doctor().expect_code(0);
    let rule = doc! { "status": "queued" };
    day.db.command(doc! { "collMod": QUEUE, "validator": rule });
    let found = doctor().expect_code(34).stdout;
    assert!(found.contains(QUEUE) && found.contains("failed validation"), "{found}");
    assert_eq!(day.batch().get_str("state").ok(), Some("marking"), "what was tried is undone");
    let ledger = day.db.find_one(BATCHES, doc! { "_id": "ledger" }).unwrap();
    assert_eq!(ledger.get_str("marking").ok(), Some(BATCH), "{ledger}");
}

#[test]
fn a_lost_piece_of_a_file_without_ids_stops_with_the_way_out_and_a_lost_head_alone_does_no_harm() {
    let express = ["--format", "express"];
    let day = killed_before_piece(2, &express);
    day.db.delete_many(LISTS, doc! { "_id": &pieces(&day)[0] });
    for _ in 0..2 {
        let refused = day.retry().args(&express).run().expect_code(30).json();
        let error = told(&refused["batches"][0]["error"]);
        assert!(error.contains("lacks pieces") && error.contains("restore exportbatchrows"), "{error}");
        assert_eq!(day.batch().get_str("state").ok(), Some("marking"), "rows are still queued");
    }
    let day = killed_before_piece(2, &express);
    day.db.delete_many(LISTS, doc! { "piece": { "$exists": false } });
    day.retry().args(&express).run().expect_code(0);
    assert_eq!((day.rows_with_status("completed"), day.db.count(EXPORTED, doc! { "n": 1 })), (8, 8));
}

#[test]
fn lost_records_of_a_file_without_ids_are_made_good_by_init_while_its_batch_is_marking() {
    let express = ["--format", "express"];
    // At least one piece was marked.
    let day = killed_before_piece(3, &express);
    assert_ne!(day.db.count(EXPORTED, doc! {}), 0);
    day.db.delete_many(EXPORTED, doc! {});
    let refused = day.retry().args(&express).run().expect_code(30).json();
    let next = refused["batches"][0]["error"]["next"].as_str().expect("a next step").to_owned();
    assert!(next.starts_with("run `batch-export init`, which records the entries of marked rows"), "{next}");
    day.command("init").run().expect_code(0);
    day.retry().args(&express).run().expect_code(0);
    assert_eq!((day.rows_with_status("completed"), day.db.count(EXPORTED, doc! { "n": 1 })), (8, 8));
}

/// Two runs find at the same time that the list is lost. The slower one must not put back what the faster one has marked since.
#[test]
fn a_list_that_another_run_has_made_again_is_not_made_again_over_it() {
    let day = killed_before_piece(2, &[]);
    day.db.delete_many(LISTS, doc! {});
    let proxy = Proxy::before(Mongod::shared());
    let slow_stop = proxy.hold(On::command("update").collection(BATCHES));
    let slow = day.retry().args(&PIECES).mongodb(&proxy.uri(&day.db)).spawn();
    slow_stop.wait_until_reached(PATIENCE);
    let proxy = Proxy::before(Mongod::shared());
    let fast_stop = proxy.hold(On::command("findAndModify").collection(LISTS).nth(2));
    let fast = day.retry().args(&PIECES).mongodb(&proxy.uri(&day.db)).spawn();
    fast_stop.wait_until_reached(PATIENCE);
    // The piece beside it begins no transaction any more: the slower run lives when all are aborted.
    proxy.halt();
    fast.kill();
    proxy.cut_off();
    day.db.abort_open_transactions();
    slow_stop.release();
    slow.wait(PATIENCE).expect_code(0);
    day.check_converged();
    let changed = day.batch().get_array("changedAfterCommit").cloned().unwrap_or_default();
    assert_eq!(changed, Vec::new(), "rows that the faster run marked");
    let ledger = day.db.find_one(BATCHES, doc! { "_id": "ledger" }).unwrap();
    assert_eq!(ledger.get("recorded").and_then(mongodb::bson::Bson::as_i64), Some(8), "{ledger}");
}

/// The slower one has seen that no piece is left, and looks at the batch only after the faster one has made the list again.
#[test]
fn a_list_that_another_run_made_again_in_between_is_not_made_again() {
    let day = killed_before_piece(2, &[]);
    day.db.delete_many(LISTS, doc! {});
    let proxy = Proxy::before(Mongod::shared());
    let slow_stop = proxy.hold(On::command("find").collection(LISTS).nth(2).after());
    let slow = day.retry().args(&PIECES).mongodb(&proxy.uri(&day.db)).spawn();
    slow_stop.wait_until_reached(PATIENCE);
    let proxy = Proxy::before(Mongod::shared());
    let fast_stop = proxy.hold(On::command("findAndModify").collection(LISTS));
    let fast = day.retry().args(&PIECES).mongodb(&proxy.uri(&day.db)).spawn();
    fast_stop.wait_until_reached(PATIENCE);
    slow_stop.release();
    let ended = slow.wait(PATIENCE).expect_code(0);
    assert!(!ended.stderr.contains("made again from the file"), "{}", ended.report());
    fast_stop.release();
    let ended = fast.wait(PATIENCE).expect_code(0);
    assert!(ended.stderr.contains("made again from the file"), "{}", ended.report());
    day.check_converged();
}

/// The file is where it was committed, wherever later settings put the next one.
#[test]
fn a_lost_row_list_is_made_anew_from_the_file_at_the_destination_of_its_commit() {
    let day = killed_before_piece(2, &[]);
    day.db.block(day.db.collection(LISTS).drop()).expect("to drop the collection");
    let other = Day::in_directory();
    let there = format!("file://{}", other.directory().display());
    let key = other.directory().join("key.json");
    std::fs::write(&key, FakeDrive::start().service_account()).expect("the credentials");
    let away = day.retry().destination("gdrive://folder");
    let away = away.env("GOOGLE_APPLICATION_CREDENTIALS", &key.display().to_string()).run().expect_code(30).json();
    let error = told(&away["batches"][0]["error"]);
    let at = format!("--destination file://{}", day.directory().display());
    assert!(error.contains("which these settings do not reach") && error.contains(&at), "{error}");
    std::fs::remove_file(key).expect("to remove it");
    day.retry().destination(&there).run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_lost_row_list_of_a_file_without_ids_is_for_a_person_who_is_told_how_to_go_on() {
    let day = killed_before_piece(2, &["--format", "express"]);
    day.db.block(day.db.collection(LISTS).drop()).expect("to drop the collection");
    for command in [day.run(), day.retry(), next_run(&day)] {
        let refused = command.args(&["--format", "express"]).run().expect_code(30);
        let result = refused.json();
        let error = if result["error"].is_null() { &result["batches"][0]["error"] } else { &result["error"] };
        assert!(told(error).contains("mark the rows of its entries by hand"), "{result}");
        assert!(!refused.stderr.contains("made again from the file"), "{}", refused.report());
    }
    // The person completes the batch by hand, too, and forgets `init`.
    let marked = doc! { "$set": { "status": "completed", "metadata.batchId": BATCH } };
    day.db.update_many(QUEUE, doc! { "status": "queued" }, marked);
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "state": "completed" } });
    day.db.update_one(BATCHES, doc! { "_id": "ledger" }, doc! { "$set": { "marking": null } });
    seed_day(&day.db, "2026-01-19", 2);
    let next = || next_run(&day).args(&["--format", "express", "--now"]).run();
    assert!(told(&next().expect_code(30).json()["error"]).contains("run `batch-export init`"));
    day.command("init").run().expect_code(0);
    assert_eq!(next().expect_code(0).json()["number"], 2);
}

#[test]
fn no_row_is_marked_for_a_batch_document_that_was_lost_and_begun_again() {
    let day = killed_before_piece(1, &[]);
    day.db.delete_many(BATCHES, doc! { "_id": BATCH });
    let refused = day.retry().run().expect_code(30);
    assert!(told(&refused.json()["batches"][0]["error"]).contains("init --adopt"), "{}", refused.report());
    seed_day(&day.db, "2026-01-19", 2);
    let next = next_run(&day).run().expect_code(30).json();
    assert!(told(&next["error"]).contains("whose batch document is lost"), "{next}");
    assert_eq!(day.rows_with_status("queued"), 10, "nothing is marked");
    day.command("init").arg("--adopt").run().expect_code(0);
    next_run(&day).args(&["--now"]).run().expect_code(0);
    day.command("verify").now("2026-01-19T19:00:00+07:00").run().expect_code(0);
}

#[test]
fn a_ledger_that_is_rebuilt_while_a_batch_is_marking_knows_how_many_entries_are_on_record() {
    let day = killed_before_piece(2, &[]);
    day.db.delete_many(BATCHES, doc! { "_id": "ledger" });
    day.command("init").arg("--adopt").run().expect_code(0);
    day.retry().run().expect_code(0);
    day.check_converged();
    let ledger = day.db.find_one(BATCHES, doc! { "_id": "ledger" }).unwrap();
    assert_eq!(ledger.get("recorded").and_then(mongodb::bson::Bson::as_i64), Some(8), "{ledger}");
}
