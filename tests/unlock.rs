//! `batch-export unlock`: a person takes a batch away, and nothing is lost or done twice by that.

use std::time::Duration;

use mongodb::bson::{Document, doc};

use crate::support::command::{BatchExport, told};
use crate::support::day::{BATCHES, Day};
use crate::support::fake_drive::{Answer, Fault, On, Operation, Point};
use crate::support::seed::{DATE, seed_day};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn unlock(day: &Day) -> BatchExport {
    day.command("unlock").date(DATE)
}

fn last_attempt(batch: &Document) -> Document {
    batch.get_array("history").unwrap().last().unwrap().as_document().unwrap().clone()
}

#[test]
fn a_live_batch_is_refused_and_its_holder_named() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    let hold = day.drive().hold(On::nth(Operation::Chunk, 1), Point::Before);
    let run = day.run().spawn();
    hold.wait_until_reached(PATIENCE);
    let before = day.batch();
    let refused = unlock(&day).run().expect_code(10).json();
    assert_eq!((refused["outcome"].as_str(), refused["stage"].as_str()), (Some("lock_held"), Some("upload")));
    assert_eq!(refused["holder"]["pid"], run.pid().as_raw_nonzero().get());
    assert_eq!(refused["file"]["id"], before.get_document("file").unwrap().get_str("id").unwrap());
    let text = unlock(&day).args(&["--output", "text"]).run().expect_code(10).stdout;
    assert!(text.contains(&format!("pid {}", run.pid().as_raw_nonzero())) && text.contains("--force"), "{text}");
    assert_eq!(day.batch(), before, "a refusal changed something");
    hold.release();
    run.wait(PATIENCE).expect_code(0);
    day.check_converged();
}

#[test]
fn a_holder_that_was_forced_out_ends_with_25_and_changes_nothing() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    let hold = day.drive().hold(On::nth(Operation::Chunk, 1), Point::After);
    let run = day.run().env("BATCH_EXPORT_LEASE", "1s").spawn();
    hold.wait_until_reached(PATIENCE);
    let done = unlock(&day).args(&["--force", "--reason", "the machine is being moved"]).run().expect_code(0).json();
    assert_eq!((done["outcome"].as_str(), done["forced"].as_bool()), (Some("unlocked"), Some(true)));
    let after = day.batch();
    assert_eq!(after.get_str("state").unwrap(), "failed");
    let entry = last_attempt(&after);
    assert_eq!(entry.get_str("outcome").unwrap(), "unlocked");
    assert!(entry.get_str("message").unwrap().ends_with(": the machine is being moved"), "{entry}");
    let ended = run.wait(PATIENCE).expect_code(25);
    assert_eq!(ended.json()["outcome"], "lease_lost");
    assert!(ended.spool_is_empty());
    hold.release();
    assert_eq!(day.batch(), after, "the old holder changed the document");
    assert_eq!(day.log().len(), 0);
    let result = day.retry().run().expect_code(0).json();
    assert_eq!(result["batches"][0]["attempt"], 1);
    day.check_converged();
}

#[test]
fn a_crashed_batch_is_unlocked_without_force() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    let hold = day.drive().hold(On::nth(Operation::GenerateIds, 1), Point::Before);
    let run = day.run().spawn();
    hold.wait_until_reached(PATIENCE);
    run.kill();
    hold.release();
    unlock(&day).run().expect_code(10);
    day.let_time_pass();
    let done = unlock(&day).run().expect_code(0).json();
    assert_eq!((done["outcome"].as_str(), done["forced"].as_bool()), (Some("unlocked"), Some(false)));
    assert_eq!((done["state"].as_str(), done["stage"].as_str()), (Some("running"), Some("generate")));
    day.run().run().expect_code(0);
    day.check_converged();
}

#[test]
fn an_exhausted_batch_gets_all_its_attempts_again() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day.drive().plan(On::every(Operation::Start).times(4), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    for _ in 0..4 {
        day.retry().run();
        day.let_time_pass();
    }
    assert_eq!(day.batch().get_str("state").unwrap(), "exhausted");
    let done = unlock(&day).args(&["--reason", "made room"]).run().expect_code(0).json();
    assert_eq!((done["state"].as_str(), done["attempt"].as_i64()), (Some("exhausted"), Some(4)));
    let result = day.run().run().expect_code(0).json();
    assert_eq!(result["attempt"], 1);
    day.check_converged();
}

#[test]
fn a_batch_that_waits_for_its_back_off_is_refused_with_the_way_to_run_it_now() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day.drive().plan(On::nth(Operation::Start, 1), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    day.run().run().expect_code(31);
    let before = day.batch();
    let refused = unlock(&day).run().expect_code(11).json();
    assert!(told(&refused["error"]).contains("run --date 2026-01-18 --now"), "{refused}");
    assert_eq!(day.batch(), before, "a refusal changed something");
    day.let_time_pass();
    assert_eq!(unlock(&day).run().expect_code(0).json()["outcome"], "nothing_to_do");
    day.run().run().expect_code(0);
}

#[test]
fn where_nothing_is_locked_nothing_is_done() {
    let day = Day::in_directory();
    let absent = unlock(&day).run().expect_code(0).json();
    assert_eq!((absent["outcome"].as_str(), absent["state"].as_str()), (Some("nothing_to_do"), Some("missing")));
    assert!(day.db.find_one(BATCHES, doc! {}).is_none());
    seed_day(&day.db, DATE, 5);
    day.run().run().expect_code(0);
    let before = day.batch();
    let completed = unlock(&day).arg("--force").run().expect_code(0).json();
    assert_eq!(
        (completed["outcome"].as_str(), completed["state"].as_str()),
        (Some("nothing_to_do"), Some("completed"))
    );
    assert_eq!(day.batch(), before);
}

#[test]
fn no_sign_of_a_reason_steers_the_terminal() {
    let day = Day::in_directory();
    day.db.insert_many(
        BATCHES,
        vec![doc! {
            "_id": "batch_2026-01-18",
            "state": "exhausted",
            "attempt": 4,
            "fence": 4_i64,
            "window": { "timezone": "Asia/Bangkok", "cutoff": mongodb::bson::DateTime::from_millis(1_768_734_000_000) },
        }],
    );
    let reason = "\u{1b}[2J\u{7}done\u{9b}31m";
    let text = unlock(&day).args(&["--reason", reason, "--output", "text"]).run().expect_code(0).stdout;
    assert!(text.contains("done") && text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let shown = day.command("status").args(&["--date", DATE, "--output", "text"]).run().expect_code(0).stdout;
    assert!(shown.contains("done") && shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
}

#[test]
fn a_reason_cannot_pass_for_lines_of_the_program_or_turn_the_line() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 2);
    day.run().destination("file:///nowhere").args(&["--retry-delays", "none"]).run().expect_code(33);
    let reason = "moved\nbatch_2026-01-17  completed\u{202e}gpj\u{9b}31m";
    let unlocked = unlock(&day).args(&["--reason", reason, "--output", "text"]).run().expect_code(0);
    let status = || day.command("status").date(DATE).now("2026-01-18T18:30:00+07:00");
    for text in [unlocked.stdout, status().args(&["--output", "text"]).run().stdout, status().run().stdout] {
        assert!(!text.lines().any(|line| line.starts_with("batch_2026-01-17")), "{text}");
        assert!(!text.contains(['\u{202e}', '\u{9b}']), "{text:?}");
    }
}

#[test]
fn a_link_that_steers_a_terminal_does_not_reach_it() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 2);
    day.run().run().expect_code(0);
    let link = "https://drive.google.com/\u{1b}]8;;https://evil.example\u{7}x\u{9b}2J\u{202e}";
    day.db.update_one(BATCHES, doc! { "_id": format!("batch_{DATE}") }, doc! { "$set": { "file.link": link } });
    for output in ["text", "json"] {
        let status =
            day.command("status").date(DATE).now("2026-01-18T18:30:00+07:00").args(&["--output", output]).run();
        assert!(status.stdout.contains("drive.google.com"), "{}", status.stdout);
        let steers = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!status.stdout.contains(steers), "{:?}", status.stdout);
    }
}
