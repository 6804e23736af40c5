//! The layout file is gone or wrong: what is committed is finished, and only what needs the layout is refused.

use mongodb::bson::doc;

use crate::row_list::killed_before_piece;
use crate::support::command::{said, told};
use crate::support::day::{BATCH, BATCHES, Day};
use crate::support::fake_drive::{Answer, Fault, On, Operation};
use crate::support::seed::{DATE, seed_day};

const LOST: [&str; 2] = ["--format", "/nowhere/own.toml"];

#[test]
fn a_committed_batch_is_marked_to_its_end_and_retry_says_that_the_layout_is_lost() {
    let day = killed_before_piece(2, &[]);
    let result = day.retry().args(&LOST).run().expect_code(30).json();
    assert_eq!(result["batches"][0]["outcome"], "completed", "{result}");
    assert!(told(&result["error"]).contains("/nowhere/own.toml"), "{result}");
    day.check_converged();
    let text = day.retry().args(&LOST).args(&["--output", "text"]).run().expect_code(30).stdout;
    assert!(text.starts_with("configuration: --format \"/nowhere/own.toml\" is neither"), "{text}");
}

#[test]
fn a_run_finishes_or_reports_a_committed_batch_without_a_layout() {
    let day = killed_before_piece(2, &[]);
    for outcome in ["completed", "already_completed"] {
        let ended = day.run().args(&LOST).run().expect_code(0);
        assert!(ended.stderr.contains("/nowhere/own.toml"), "{}", ended.report());
        assert_eq!(ended.json()["outcome"], outcome);
    }
    day.check_converged();
    let passes = ["--from", DATE, "--to", "2026-01-19"];
    seed_day(&day.db, "2026-01-19", 2);
    let later = "2026-01-19T18:00:05+07:00";
    let backfill = day.command("backfill").now(later).args(&passes).args(&LOST).run().expect_code(30).json();
    let outcomes = [&backfill["batches"][0]["outcome"], &backfill["batches"][1]["outcome"]];
    assert_eq!(outcomes, ["already_completed", "configuration"], "{backfill}");
    assert_eq!(day.db.count(BATCHES, doc! { "_id": "batch_2026-01-19" }), 0, "nothing is begun");
}

#[test]
fn retry_seals_and_begins_nothing_without_a_layout() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 2);
    day.drive().plan(On::every(Operation::Update), Fault::answer(Answer::error(503, "backendError")));
    day.run().run().expect_code(0);
    assert_eq!(day.batch().get_document("file").unwrap().get_bool("sealed").ok(), Some(false));
    day.drive().cure();
    seed_day(&day.db, "2026-01-19", 2);
    let retry = day.retry().now("2026-01-19T18:00:05+07:00").args(&LOST).run().expect_code(30).json();
    assert_eq!(retry["batches"][0]["batch"], "batch_2026-01-19", "{retry}");
    assert_eq!((&retry["error"], &retry["batches"][0]["attempt"]), (&serde_json::Value::Null, &0.into()), "{retry}");
    assert_eq!(day.db.count(BATCHES, doc! { "_id": { "$nin": [BATCH, "ledger"] } }), 0);
    day.check_converged();
}

#[test]
fn a_lost_layout_is_told_before_a_database_that_is_away() {
    let day = Day::in_directory();
    let away = "mongodb://127.0.0.1:1/away?serverSelectionTimeoutMS=500";
    for command in [day.run(), day.run().arg("--dry-run"), day.retry()] {
        let result = command.args(&LOST).mongodb(away).run().expect_code(30).json();
        assert!(told(&result["error"]).contains("/nowhere/own.toml"), "{result}");
    }
}

#[test]
fn verify_of_a_day_without_a_file_needs_no_layout() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 2);
    day.run().run().expect_code(0);
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").run().expect_code(0);
    let verified = day.command("verify").args(&LOST).run().expect_code(0).json();
    assert_eq!(
        (&verified["checked"][0]["state"], &verified["checked"][1]["state"]),
        (&"completed".into(), &"empty".into())
    );
    let note = verified["checked"][1]["notes"][0].as_str().unwrap();
    assert!(note.starts_with("no file of this day was looked for") && note.contains("/nowhere/own.toml"), "{note}");
}

#[test]
fn one_batch_of_an_earlier_version_keeps_no_other_day_from_being_compared() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 2);
    day.run().run().expect_code(0);
    seed_day(&day.db, "2026-01-19", 2);
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").run().expect_code(0);
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$unset": { "settings": 1 } });
    for (command, looked) in [("verify", "checked"), ("corrections", "batches")] {
        let found = day.command(command).args(&LOST).run().expect_code(34).json();
        assert_eq!(found[looked].as_array().map(Vec::len), Some(2), "{found}");
        let [problem] = &found["problems"].as_array().unwrap()[..] else { panic!("{found}") };
        assert_eq!((&problem["batch"], &problem["kind"]), (&BATCH.into(), &"settings".into()));
        let message = said(problem);
        assert!(
            message.contains("an earlier version exported it") && message.contains("/nowhere/own.toml"),
            "{message}"
        );
    }
}
