//! `batch-export backfill`: the dates of a range in order, and no further than the first failure.

use mongodb::bson::doc;

use crate::support::day::{BATCHES, Day};
use crate::support::fake_drive::{Answer, Fault, On, Operation};
use crate::support::seed::{DATE, seed_day};

const RANGE: [&str; 4] = ["--from", "2026-01-16", "--to", DATE];

#[test]
fn each_date_gets_its_own_batch_oldest_first() {
    let day = Day::in_directory();
    seed_day(&day.db, "2026-01-16", 3);
    seed_day(&day.db, DATE, 5);
    let result = day.command("backfill").args(&RANGE).run().expect_code(0).json();
    let batches = result["batches"].as_array().unwrap();
    let summary: Vec<_> = batches
        .iter()
        .map(|batch| (batch["date"].as_str().unwrap(), batch["outcome"].as_str().unwrap(), batch["entries"].as_u64()))
        .collect();
    let expected =
        [("2026-01-16", "completed", Some(3)), ("2026-01-17", "empty", Some(0)), (DATE, "completed", Some(5))];
    assert_eq!(summary, expected);
    assert_eq!(batches[0]["command"], "backfill");
    day.check_converged();
    let again = day.command("backfill").args(&RANGE).run().expect_code(0).json();
    assert_eq!(again["batches"][0]["outcome"], "already_completed");
    day.check_converged();
}

#[test]
fn the_first_failure_ends_it_and_later_dates_are_not_touched() {
    let day = Day::on_drive();
    seed_day(&day.db, "2026-01-16", 3);
    seed_day(&day.db, DATE, 5);
    day.drive().plan(On::nth(Operation::Start, 1), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    let result = day.command("backfill").args(&RANGE).run().expect_code(31).json();
    assert_eq!(result["batches"].as_array().unwrap().len(), 1);
    assert_eq!((result["outcome"].as_str(), result["exit_code"].as_i64()), (Some("drive_rejected"), Some(31)));
    assert_eq!(day.db.count(BATCHES, doc! { "_id": { "$ne": "ledger" } }), 1);
    assert_eq!(day.rows_with_status("queued"), 8);
}

#[test]
fn a_date_whose_cut_off_is_still_to_come_ends_it() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    let result = day.command("backfill").args(&["--from", DATE, "--to", "2026-02-01"]).run().expect_code(11).json();
    let batches = result["batches"].as_array().unwrap();
    assert_eq!(
        (batches.len(), &batches[0]["outcome"], &batches[1]["outcome"]),
        (2, &"completed".into(), &"not_due".into())
    );
    day.check_converged();
}

#[test]
fn a_dry_run_writes_nothing_anywhere() {
    let day = Day::in_directory();
    seed_day(&day.db, "2026-01-16", 3);
    seed_day(&day.db, DATE, 5);
    let result = day.command("backfill").args(&RANGE).arg("--dry-run").run().expect_code(0).json();
    let counts: Vec<_> = result["batches"].as_array().unwrap().iter().map(|batch| batch["entries"].as_u64()).collect();
    assert_eq!(counts, [Some(3), Some(3), Some(8)], "each date counts what is due by its cut-off");
    assert_eq!(day.db.count(BATCHES, doc! {}), 0);
    assert_eq!((day.live_files().len(), day.rows_with_status("queued")), (0, 8));
}

#[test]
fn a_range_that_runs_backwards_is_a_bad_command_line() {
    let day = Day::in_directory();
    let result = day.command("backfill").args(&["--from", DATE, "--to", "2026-01-16"]).run().expect_code(2).json();
    assert_eq!(result["outcome"], "usage");
}
