//! The metrics: in a file, and in a real Pushgateway. What the last success was outlives a failure, and is never of the future.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use mongodb::bson::doc;
use tempfile::TempDir;

use crate::support::command::BatchExport;
use crate::support::day::Day;
use crate::support::receiver::{Receiver, Reply};
use crate::support::seed::{DATE, Entry, QUEUE, seed, seed_day};

/// A metrics file, and the folder that is only its own.
pub struct MetricsFile {
    folder: TempDir,
}

impl MetricsFile {
    pub fn new() -> MetricsFile {
        MetricsFile { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("batch_export.prom")
    }

    pub fn of(&self, command: BatchExport) -> BatchExport {
        command.env("BATCH_EXPORT_METRICS_FILE", &self.path().display().to_string())
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(self.path()).expect("the metrics")
    }
}

/// The lines about the last success.
fn success(text: &str) -> Vec<String> {
    text.lines().filter(|line| line.contains("last_success")).map(str::to_owned).collect()
}

/// The value of a metric without labels.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
}

fn next_day_that_fails(day: &Day) -> BatchExport {
    seed_day(&day.db, "2026-01-19", 3);
    let next = day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00");
    next.destination("file:///nowhere/at/all")
}

#[test]
fn the_metrics_file_keeps_the_last_success_when_a_run_fails() {
    let (day, metrics) = (Day::in_directory(), MetricsFile::new());
    seed_day(&day.db, DATE, 3);
    let result = metrics.of(day.run()).run().expect_code(0).json();
    let good = metrics.text();
    assert_eq!(value(&good, "batch_export_last_success_entries"), 3.0);
    assert_eq!(value(&good, "batch_export_last_run_exit_code"), 0.0);
    assert_eq!(value(&good, "batch_export_last_success_attempt"), 1.0);
    for side in ["debit", "credit"] {
        let total = result[format!("total_{side}")].as_str().unwrap();
        assert!(good.contains(&format!("\nbatch_export_last_success_{side}_baht {total}\n")), "{good}");
    }
    metrics.of(next_day_that_fails(&day)).run().expect_code(31);
    let bad = metrics.text();
    assert_eq!(value(&bad, "batch_export_last_run_exit_code"), 31.0);
    assert_eq!(success(&bad), success(&good));
    assert_eq!(std::fs::read_dir(metrics.folder.path()).unwrap().count(), 1, "something is left beside it");
}

#[test]
fn held_and_refused_entries_and_the_duration_of_each_stage_are_measured() {
    let (day, metrics) = (Day::in_directory(), MetricsFile::new());
    let entries =
        [Entry::numbered(DATE, 0).set("status", "draft"), Entry::numbered(DATE, 1), Entry::numbered("2026-01-16", 2)];
    seed(&day.db, &entries);
    metrics.of(day.run()).run().expect_code(32);
    assert_eq!(value(&metrics.text(), "batch_export_last_run_refused_entries"), 1.0);
    let hold = metrics.of(day.run()).env("BATCH_EXPORT_INVALID", "hold").arg("--now");
    let spent = hold.run().expect_code(0).json()["durations_ms"].clone();
    let text = metrics.text();
    assert_eq!(value(&text, "batch_export_last_success_held_entries"), 1.0);
    assert_eq!(value(&text, "batch_export_last_run_refused_entries"), 0.0);
    assert_eq!(value(&text, "batch_export_last_run_attempt"), 2.0);
    // A run that finds the day done knows of none.
    metrics.of(day.run()).run().expect_code(0);
    let again = metrics.text();
    assert_eq!(value(&again, "batch_export_last_success_held_entries"), 1.0);
    assert_eq!(value(&again, "batch_export_last_success_carried_over_entries"), 1.0);
    assert_eq!(value(&again, "batch_export_last_success_entries"), 2.0);
    for stage in ["lock", "generate", "upload", "commit"] {
        let name = format!("batch_export_last_run_stage_duration_seconds{{stage=\"{stage}\"}}");
        assert_eq!(value(&text, &name), spent[stage].as_f64().unwrap() / 1000.0, "{stage}");
    }
}

#[test]
fn a_day_that_is_done_is_the_last_success_although_an_older_one_is_exhausted() {
    let (day, metrics) = (Day::in_directory(), MetricsFile::new());
    seed_day(&day.db, DATE, 3);
    let broken = metrics.of(day.run()).destination("file:///nowhere/at/all");
    broken.env("BATCH_EXPORT_RETRY_DELAYS", "none").run().expect_code(33);
    seed_day(&day.db, "2026-01-19", 2);
    let retry = || metrics.of(day.command("retry").now("2026-01-19T18:00:05+07:00"));
    retry().env("BATCH_EXPORT_RETRY_DELAYS", "none").run().expect_code(33);
    let text = metrics.text();
    assert_eq!(value(&text, "batch_export_last_success_entries"), 5.0);
    let cutoff = chrono::DateTime::parse_from_rfc3339("2026-01-19T18:00:00+07:00").unwrap().timestamp() as f64;
    assert_eq!(value(&text, "batch_export_last_success_cutoff_timestamp_seconds"), cutoff);
    assert_eq!(value(&text, "batch_export_last_run_exit_code"), 33.0);
}

#[test]
fn a_day_that_is_done_early_is_no_success_of_the_future() {
    let (day, metrics) = (Day::in_directory(), MetricsFile::new());
    seed_day(&day.db, DATE, 3);
    // Nothing is due yet: no day is done.
    metrics.of(day.run()).arg("--early").now("2026-01-18T00:00:01+07:00").run().expect_code(0);
    let early = "2026-01-18T17:00:00+07:00";
    let finished = metrics.of(day.run()).arg("--early").now(early).run().expect_code(0);
    let text = metrics.text();
    let now = chrono::DateTime::parse_from_rfc3339(early).unwrap().timestamp() as f64;
    assert_eq!(value(&text, "batch_export_last_success_cutoff_timestamp_seconds"), now, "{}", finished.report());
}

#[test]
fn a_success_of_the_future_that_an_earlier_version_left_is_forgotten() {
    const CUTOFF: &str = "batch_export_last_success_cutoff_timestamp_seconds";
    let left =
        format!("batch_export_last_success_entries 7\n{CUTOFF} 18904186800\nbatch_export_last_run_exit_code 0\n");
    let (day, metrics) = (Day::in_directory(), MetricsFile::new());
    seed_day(&day.db, DATE, 3);
    std::fs::write(metrics.path(), &left).unwrap();
    metrics.of(day.run()).destination("file:///nowhere/at/all").run().expect_code(31);
    assert_eq!(success(&metrics.text()), Vec::<String>::new());
    std::fs::write(metrics.path(), &left).unwrap();
    metrics.of(day.run()).arg("--now").run().expect_code(0);
    let cutoff = chrono::DateTime::parse_from_rfc3339("2026-01-18T18:00:00+07:00").unwrap().timestamp() as f64;
    assert_eq!(value(&metrics.text(), CUTOFF), cutoff);
    assert_eq!(value(&metrics.text(), "batch_export_last_success_entries"), 3.0);
}

#[test]
fn a_machine_whose_clock_is_ahead_makes_no_success_of_the_future() {
    let (day, metrics) = (Day::in_directory(), MetricsFile::new());
    seed_day(&day.db, DATE, 3);
    let now = chrono::Utc::now();
    let ahead = now + chrono::TimeDelta::minutes(30);
    // A zone in which it is noon, so that the cut-off of today is some hours ahead.
    let hours = 12 - i64::from(chrono::Timelike::hour(&ahead));
    let zone = format!("Etc/GMT{:+}", -hours);
    let early = day.command("run").arg("--early").now(&ahead.to_rfc3339()).args(&["--timezone", &zone]);
    metrics.of(early).run().expect_code(0);
    let told = value(&metrics.text(), "batch_export_last_success_cutoff_timestamp_seconds");
    assert!(told < ahead.timestamp() as f64 - 600.0, "{told} is not the database's time, about {}", now.timestamp());
}

#[test]
fn late_and_stuck_rows_are_counted_by_a_run_and_by_the_health_check() {
    let (day, metrics) = (Day::in_directory(), MetricsFile::new());
    seed_day(&day.db, DATE, 3);
    metrics.of(day.run()).run().expect_code(0);
    let counts =
        |text: &str| ["late", "stuck", "far_ahead"].map(|what| value(text, &format!("batch_export_{what}_rows")));
    assert_eq!(counts(&metrics.text()), [0.0, 0.0, 0.0]);
    seed(&day.db, &[Entry::numbered(DATE, 7), Entry::numbered(DATE, 8)]);
    let old = mongodb::bson::DateTime::from_millis(0);
    day.db.update_one(
        QUEUE,
        doc! { "status": "queued" },
        doc! { "$set": { "status": "processing", "updatedAt": old } },
    );
    metrics.of(day.command("status")).arg("--check").run().expect_code(34);
    let text = metrics.text();
    assert_eq!(counts(&text), [1.0, 1.0, 0.0]);
    assert_eq!(value(&text, "batch_export_last_success_entries"), 3.0, "what the run said is gone");
    // A look is no health check.
    let before = metrics.text();
    day.db.update_one(QUEUE, doc! { "status": "processing" }, doc! { "$set": { "status": "cancelled" } });
    metrics.of(day.command("status")).run().expect_code(0);
    assert_eq!(metrics.text(), before);
    metrics.of(day.run()).run().expect_code(0);
    assert_eq!(counts(&metrics.text()), [1.0, 0.0, 0.0]);
}

#[test]
fn a_pushgateway_keeps_the_last_success_when_a_run_fails() {
    let (day, gateway) = (Day::in_directory(), Pushgateway::start());
    let pushing = |command: BatchExport| command.env("BATCH_EXPORT_METRICS_URL", &gateway.url());
    seed_day(&day.db, DATE, 3);
    let finished = pushing(day.run()).run().expect_code(0);
    assert!(finished.stderr.contains("the Pushgateway was notified"), "{}", finished.report());
    let good = gateway.metrics();
    let of = |name: &str| {
        format!("batch_export_{name}{{database=\"{}\",instance=\"\",job=\"batch_export\"}}", day.db.name())
    };
    assert_eq!(value(&good, &of("last_success_entries")), 3.0);
    pushing(next_day_that_fails(&day)).run().expect_code(31);
    let bad = gateway.metrics();
    assert_eq!(value(&bad, &of("last_run_exit_code")), 31.0);
    assert_eq!(success(&bad), success(&good));
    // A backfill of an earlier day does not make the last success older.
    seed_day(&day.db, "2026-01-17", 3);
    let earlier = day.command("run").date("2026-01-17").now("2026-01-19T18:00:05+07:00");
    pushing(earlier).run().expect_code(0);
    assert_eq!(success(&gateway.metrics()), success(&good));
}

#[test]
fn what_a_gateway_says_is_quoted_without_the_login_that_it_was_sent() {
    let gateway = Receiver::answering(|posted, _| {
        let sent = posted.header("authorization").unwrap_or_default();
        Reply::saying(401, format!("{sent} is unknown at {}", posted.target))
    });
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 1);
    let url = gateway.url("/s3cret-tenant").replace("http://", "http://pushing-user:s3cret-p%40ss@");
    let finished = day.run().env("BATCH_EXPORT_METRICS_URL", &url).run().expect_code(0);
    let posted = &gateway.posted()[0];
    assert_eq!(posted.header("authorization"), Some("Basic cHVzaGluZy11c2VyOnMzY3JldC1wQHNz"));
    assert_eq!(posted.target, format!("/s3cret-tenant/metrics/job/batch_export/database/{}", day.db.name()));
    let line = finished.stderr.lines().find(|line| line.contains("Pushgateway was not notified")).expect("a warning");
    assert!(line.contains("Basic *** is unknown at /***"), "{line}");
    assert!(!finished.report().contains("s3cret"), "{}", finished.report());
}

/// Debian's Pushgateway, on a port of its own, in memory. Dropping it ends it.
struct Pushgateway {
    child: Child,
    port: u16,
}

impl Pushgateway {
    fn start() -> Pushgateway {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let child = Command::new("prometheus-pushgateway")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a Pushgateway: Debian's package prometheus-pushgateway");
        let gateway = Pushgateway { child, port };
        for _ in 0..2_000 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return gateway;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the Pushgateway does not listen");
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the Pushgateway");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the metrics");
        text
    }
}

impl Drop for Pushgateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
