//! `batch-export backfill`: the dates of a range in order, no further than the first failure, and who hears of them.

use mongodb::bson::doc;

use crate::support::command::BatchExport;
use crate::support::day::{BATCHES, Day};
use crate::support::fake_drive::{Answer, Fault, On, Operation};
use crate::support::receiver::Receiver;
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
    let result = day.command("backfill").args(&["--from", DATE, "--to", "2026-01-19"]).run().expect_code(11).json();
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

/// A backfill of the range that tells people, and pings.
fn telling(day: &Day, people: &Receiver, check: &Receiver) -> BatchExport {
    let command = day.command("backfill").args(&RANGE).env("BATCH_EXPORT_NOTIFY_URL", &people.url("/hook/s3cret"));
    command.env("BATCH_EXPORT_PING_URL", &check.url("/ping"))
}

fn listeners() -> (Receiver, Receiver) {
    (Receiver::start(Some(200)), Receiver::start(Some(200)))
}

/// What people were told: event and business date.
fn told(people: &Receiver) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    people.messages().iter().map(|message| (text(&message["event"]), text(&message["result"]["date"]))).collect()
}

/// What the health check was told, without the ids.
fn pinged(check: &Receiver) -> Vec<String> {
    check.posted().iter().map(|posted| posted.target.split('?').next().expect("a path").to_owned()).collect()
}

#[test]
fn each_date_that_is_exported_is_told_and_no_other() {
    let (day, (people, check)) = (Day::in_directory(), listeners());
    seed_day(&day.db, "2026-01-16", 3);
    seed_day(&day.db, DATE, 5);
    telling(&day, &people, &check).arg("--dry-run").run().expect_code(0);
    assert_eq!((people.posted(), check.posted()), (vec![], vec![]), "a dry run tells nobody");
    let result = telling(&day, &people, &check).run().expect_code(0).json();
    let exported = ["2026-01-16", DATE].map(|date| ("completed".to_owned(), date.to_owned()));
    assert_eq!(told(&people), exported, "the empty day is no news");
    assert_eq!(people.messages()[1]["result"], result["batches"][2], "the control totals are not the result's");
    telling(&day, &people, &check).run().expect_code(0);
    assert_eq!(told(&people), exported, "what was done before is no news");
}

#[test]
fn a_date_that_fails_is_told_and_those_after_it_are_not() {
    let (day, (people, check)) = (Day::on_drive(), listeners());
    seed_day(&day.db, "2026-01-16", 3);
    seed_day(&day.db, "2026-01-17", 3);
    seed_day(&day.db, DATE, 5);
    day.drive().plan(On::nth(Operation::Start, 2), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    telling(&day, &people, &check).run().expect_code(31);
    let expected = [("completed", "2026-01-16"), ("failed", "2026-01-17")];
    assert_eq!(told(&people), expected.map(|(event, date)| (event.to_owned(), date.to_owned())));
    let next = people.messages()[1]["next"].as_str().unwrap().to_owned();
    assert!(next.contains("`batch-export retry` takes it up again at"), "{next}");
    assert_eq!(check.posted(), [], "an earlier date raised the alarm of the schedule");
}

#[test]
fn the_health_check_hears_only_of_what_the_schedule_waits_for() {
    let (day, (people, check)) = (Day::on_drive(), listeners());
    seed_day(&day.db, "2026-01-16", 3);
    seed_day(&day.db, DATE, 5);
    // The evening of the next day: its own batch is what the schedule waits for.
    telling(&day, &people, &check).now("2026-01-19T18:00:05+07:00").run().expect_code(0);
    assert_eq!(pinged(&check), [""; 0], "past days made up for tonight's");
    seed_day(&day.db, "2026-01-19", 4);
    day.drive().plan(day.drive().next(Operation::Start), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    let tonight = day.command("backfill").args(&["--from", "2026-01-16", "--to", "2026-01-20"]);
    let tonight = tonight.env("BATCH_EXPORT_PING_URL", &check.url("/ping")).now("2026-01-19T18:00:05+07:00");
    tonight.run().expect_code(31);
    assert_eq!(pinged(&check), ["/ping/31"]);
    day.let_time_pass();
    // The next date is not due; that changes nothing about tonight's.
    tonight.run().expect_code(11);
    assert_eq!(pinged(&check), ["/ping/31", "/ping/0"]);
    assert!(check.posted()[1].body.contains("batch_2026-01-19 completed 4 entries"), "{:?}", check.posted()[1]);
    tonight.run().expect_code(11);
    assert_eq!(pinged(&check).len(), 2, "what was done before is no sign of life of the schedule");
    day.check_converged();
}

#[test]
fn the_metrics_follow_each_date_and_keep_the_newest_success() {
    let day = Day::in_directory();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("batch_export.prom");
    let gauge = |name: &str| {
        let text = std::fs::read_to_string(&path).expect("the metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))?.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {name}: {text}"))
    };
    let with = |command: BatchExport| command.env("BATCH_EXPORT_METRICS_FILE", path.to_str().unwrap());
    seed_day(&day.db, DATE, 5);
    with(day.run()).run().expect_code(0);
    let cutoff = gauge("batch_export_last_success_cutoff_timestamp_seconds");
    assert_eq!(cutoff, 1_768_734_000.0, "2026-01-18 18:00 in Bangkok");
    seed_day(&day.db, "2026-01-15", 3);
    let past = day.command("backfill").args(&["--from", "2026-01-15", "--to", "2026-01-15"]);
    with(past.now("2026-01-18T20:00:00+07:00")).run().expect_code(0);
    assert_eq!(gauge("batch_export_last_run_timestamp_seconds"), cutoff + 7200.0);
    assert_eq!(
        gauge("batch_export_last_success_cutoff_timestamp_seconds"),
        cutoff,
        "a past day made up for a newer one"
    );
    assert_eq!(
        (gauge("batch_export_last_success_entries"), gauge("batch_export_last_success_timestamp_seconds")),
        (5.0, cutoff + 5.0)
    );
    seed_day(&day.db, "2026-01-19", 4);
    let newer = day.command("backfill").args(&["--from", "2026-01-16", "--to", "2026-01-19"]);
    with(newer.now("2026-01-19T18:00:05+07:00")).run().expect_code(0);
    assert_eq!(gauge("batch_export_last_success_cutoff_timestamp_seconds"), cutoff + 86_400.0);
    assert_eq!((gauge("batch_export_last_success_entries"), gauge("batch_export_last_run_exit_code")), (4.0, 0.0));
    let nowhere = day
        .command("backfill")
        .args(&RANGE)
        .destination("file:///nowhere/at/all")
        .mongodb("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50");
    with(nowhere).run().expect_code(20);
    assert_eq!(gauge("batch_export_last_run_exit_code"), 20.0);
}

#[test]
fn nobody_who_is_told_can_change_the_outcome_of_a_backfill() {
    for deaf in [Receiver::start(Some(500)), Receiver::start(None)] {
        let day = Day::in_directory();
        seed_day(&day.db, "2026-01-16", 3);
        seed_day(&day.db, DATE, 5);
        let command = telling(&day, &deaf, &deaf).env("BATCH_EXPORT_METRICS_FILE", "/nowhere/at/all.prom");
        let finished = command.run().expect_code(0);
        assert_eq!(finished.json()["batches"].as_array().unwrap().len(), 3);
        assert!(
            finished.stderr.contains("was not") || finished.stderr.contains("not every notification"),
            "{}",
            finished.report()
        );
        assert!(!finished.report().contains("s3cret"), "{}", finished.report());
        assert!(!deaf.posted().is_empty());
        day.check_converged();
    }
}
