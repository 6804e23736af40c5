//! Who is notified of what, and that a notification never changes the outcome: webhook, health check, metrics,
//! structured log, progress.

mod doctor;
mod kinds;
mod metrics;
mod monitoring;
mod ping_kinds;
mod tracing;
mod untold;
mod waiting;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Asia::Bangkok;
use mongodb::bson::doc;
use serde_json::Value;

use crate::support::command::BatchExport;
use crate::support::day::{BATCHES, Day};
use crate::support::fake_drive::{Answer, Fault, Operation, Point};
use crate::support::receiver::{Posted, Receiver};
use crate::support::seed::{DATE, seed_day};

const WEBHOOK: &str = "/hook/s3cret-token-of-the-webhook";

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn wait_for(holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn telling(command: BatchExport, to: &Receiver) -> BatchExport {
    command.env("BATCH_EXPORT_NOTIFY_URL", &to.url(WEBHOOK))
}

#[test]
fn a_commit_is_told_once_with_its_totals_and_the_next_step() {
    let (day, people) = (Day::on_drive(), Receiver::start(Some(204)));
    seed_day(&day.db, DATE, 5);
    let result = telling(day.run(), &people).run().expect_code(0).json();
    telling(day.run(), &people).run().expect_code(0);
    telling(day.retry(), &people).run().expect_code(0);
    let told = people.messages();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["event"], "completed");
    assert_eq!(told[0]["result"], result, "the control totals are not the result's");
    assert!(told[0]["next"].as_str().unwrap().contains("import batch_2026-01-18.csv"), "{}", told[0]);
}

#[test]
fn a_wrong_setting_reaches_every_receiver() {
    let (day, people) = (Day::in_directory(), Receiver::start(Some(200)));
    seed_day(&day.db, DATE, 3);
    let folder = tempfile::tempdir().expect("a folder");
    let metrics = folder.path().join("batch-export.prom");
    for (variable, value) in [
        ("BATCH_EXPORT_FORMAT", "/nowhere/own.toml"),
        ("BATCH_EXPORT_CUTOFF", "99:99"),
        ("BATCH_EXPORT_TIMEZONE", "Asia/Bangkock"),
        ("MONGODB_URI", "mongodb//db1"),
    ] {
        let wrong = |command: BatchExport| {
            let command = telling(command, &people).env("BATCH_EXPORT_PING_URL", &people.url("/ping"));
            command.env("BATCH_EXPORT_METRICS_FILE", &metrics.display().to_string()).env(variable, value)
        };
        let before = people.posted().len();
        wrong(day.run()).run().expect_code(30);
        let posted = &people.posted()[before..];
        let message: Value = posted
            .iter()
            .find(|one| one.target == WEBHOOK)
            .map(|one| serde_json::from_str(&one.body).expect("JSON"))
            .expect("a message");
        let database = if variable == "MONGODB_URI" { "auto_acct" } else { day.db.name() };
        assert_eq!(message["database"], database, "{variable}");
        let targets: Vec<&str> = posted.iter().map(|posted| posted.target.split('?').next().unwrap()).collect();
        assert!(targets.contains(&WEBHOOK) && targets.contains(&"/ping/30"), "{variable}: {targets:?}");
        let written = std::fs::read_to_string(&metrics).expect("the metrics");
        assert!(written.contains("batch_export_last_run_exit_code") && written.contains(" 30\n"), "{written}");
        std::fs::remove_file(&metrics).expect("the metrics");
        // `retry` runs again in minutes: the health check is enough.
        wrong(day.retry()).run().expect_code(30);
        wrong(day.run().arg("--dry-run")).run().expect_code(30);
        let after: Vec<String> =
            people.posted()[before + posted.len()..].iter().map(|one| one.target.clone()).collect();
        assert!(after.len() == 1 && after[0].starts_with("/ping/30"), "{variable}: {after:?}");
    }
    // Each of them is another event: a receiver that drops repetitions keeps them all.
    let posted = people.posted();
    let to_people = posted.iter().filter(|posted| posted.target == WEBHOOK);
    let message = |posted: &Posted| serde_json::from_str::<Value>(&posted.body).expect("a message");
    let ids: BTreeSet<String> = to_people.map(|posted| message(posted)["id"].to_string()).collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
}

#[test]
fn a_failure_says_when_it_is_retried_and_the_last_one_that_nothing_happens_by_itself() {
    let (day, people) = (Day::in_directory(), Receiver::start(Some(200)));
    seed_day(&day.db, DATE, 3);
    let broken = |name| {
        telling(day.command(name), &people).destination("file:///nowhere/at/all").env("BATCH_EXPORT_RETRY_DELAYS", "5m")
    };
    let failed = broken("run").date(DATE).run().expect_code(31).json();
    broken("run").date(DATE).run().expect_code(11);
    day.let_time_pass();
    broken("retry").run().expect_code(33);
    broken("retry").run().expect_code(33);
    let told = people.messages();
    let events: Vec<_> = told.iter().map(|message| message["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["failed", "exhausted"], "{told:?}");
    // As a person in Bangkok reads it, on whichever day.
    let again: DateTime<Utc> = failed["next_retry_at"].as_str().unwrap().parse().unwrap();
    let again = again.with_timezone(&Bangkok).format("%Y-%m-%d %H:%M").to_string();
    assert!(told[0]["next"].as_str().unwrap().contains(&format!("again at {again}")), "{}", told[0]);
    assert!(told[1]["next"].as_str().unwrap().contains("unlock --date 2026-01-18"), "{}", told[1]);
    assert_eq!(told[1]["result"]["error"]["class"], "drive_rejected");
}

#[test]
fn an_interruption_is_told_as_one() {
    let (day, people) = (Day::on_drive(), Receiver::start(Some(200)));
    seed_day(&day.db, DATE, 3);
    day.drive().plan(day.drive().next(Operation::Start), Fault::stall_headers());
    let running = telling(day.run(), &people).spawn();
    while day.drive().count(Operation::Start) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    running.signal(rustix::process::Signal::TERM);
    running.wait(std::time::Duration::from_secs(60)).expect_code(143);
    let told = people.messages();
    assert_eq!((told.len(), told[0]["event"].as_str()), (1, Some("interrupted")), "{told:?}");
    assert!(told[0]["next"].as_str().unwrap().contains("no attempt is used up"));
}

#[test]
fn nobody_who_is_told_can_change_the_outcome_and_no_address_is_shown() {
    for receiver in [Receiver::start(Some(500)), Receiver::start(Some(404)), Receiver::start(None)] {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 3);
        let command = telling(day.run(), &receiver)
            .env("BATCH_EXPORT_PING_URL", &receiver.url("/ping/s3cret-token-of-the-check"))
            .env("BATCH_EXPORT_METRICS_FILE", "/nowhere/at/all.prom")
            .args(&["-v", "-v"]);
        let finished = command.run().expect_code(0);
        assert_eq!(finished.json()["outcome"], "completed");
        assert!(
            finished.stderr.contains("was not") || finished.stderr.contains("not notified within 15 s: the webhook"),
            "{}",
            finished.report()
        );
        assert!(!finished.report().contains("s3cret-token"), "{}", finished.report());
        assert!(!receiver.posted().is_empty());
        day.check_converged();
    }
}

#[test]
fn the_health_check_gets_start_and_exit_code_of_one_run_id_and_no_start_without_work() {
    let (day, check) = (Day::in_directory(), Receiver::start(Some(200)));
    seed_day(&day.db, DATE, 3);
    let url = check.url("/ping/abc");
    day.run().env("BATCH_EXPORT_PING_URL", &url).destination("file:///nowhere/at/all").run().expect_code(31);
    // Nothing is due: no sign of life either.
    day.retry().env("BATCH_EXPORT_PING_URL", &url).run().expect_code(0);
    day.run().env("BATCH_EXPORT_PING_URL", &url).run().expect_code(11);
    day.run().env("BATCH_EXPORT_PING_URL", &url).arg("--now").run().expect_code(0);
    day.run().env("BATCH_EXPORT_PING_URL", &url).run().expect_code(0);
    let targets: Vec<String> = check.posted().into_iter().map(|posted| posted.target).collect();
    let split: Vec<(&str, &str)> = targets.iter().map(|target| target.split_once("?rid=").expect("a run id")).collect();
    let paths: Vec<&str> = split.iter().map(|(path, _)| path.trim_start_matches("/ping/abc/")).collect();
    assert_eq!(paths, ["start", "31", "log", "start", "0", "0"]);
    let runs: Vec<&str> = split.iter().map(|(_, run)| *run).collect();
    assert!(runs[0] == runs[1] && runs[3] == runs[4], "start and end are not of one run: {runs:?}");
    assert_eq!(runs.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{runs:?}");
    assert!(check.posted()[1].body.contains("drive_rejected"));
}

#[test]
fn a_run_beside_another_one_starts_nothing_that_it_does_not_end() {
    let (day, check) = (Day::on_drive(), Receiver::start(Some(200)));
    seed_day(&day.db, DATE, 3);
    let stop = day.drive().hold(day.drive().next(Operation::Start), Point::Before);
    let running = day.run().spawn();
    stop.wait_until_reached(PATIENCE);
    day.run().env("BATCH_EXPORT_PING_URL", &check.url("/ping/abc")).run().expect_code(10);
    stop.release();
    running.wait(PATIENCE).expect_code(0);
    let targets: Vec<String> = check.posted().into_iter().map(|posted| posted.target).collect();
    assert!(targets.len() == 1 && targets[0].starts_with("/ping/abc/log?"), "{targets:?}");
}

#[test]
fn each_line_of_the_json_log_names_batch_attempt_and_stage() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    day.drive().plan(day.drive().next(Operation::Start), Fault::answer(Answer::error(503, "backendError")));
    let finished = day.run().args(&["--log-format", "json", "-v"]).run().expect_code(0);
    let lines: Vec<Value> =
        finished.stderr.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    assert!(lines.len() >= 2, "{}", finished.report());
    for line in &lines {
        let span = &line["span"];
        assert!(span["batch"] == "batch_2026-01-18" && span["stage"].is_string(), "{line}");
        assert!(span["stage"] == "lock" || span["attempt"] == 1, "{line}");
    }
    assert!(lines.iter().any(|line| line["span"]["stage"] == "upload"), "{}", finished.report());
}

#[test]
fn a_long_stage_is_reported_on_stderr_and_nothing_but_the_result_on_stdout() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    day.drive().plan(day.drive().next(Operation::Start), Fault::stall_headers());
    let finished = day.run().env("BATCH_EXPORT_DRIVE_IDLE", "6s").run().expect_code(0);
    assert!(finished.stderr.contains("upload: 0 of "), "{}", finished.report());
    assert_eq!(finished.json()["outcome"], "completed");
    assert_eq!(day.db.count(BATCHES, doc! { "state": "completed" }), 1);
}
