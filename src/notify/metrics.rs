//! Metrics for Prometheus: a textfile for node_exporter, or a Pushgateway for pods, which leave no file behind.
//!
//! The metrics of the last success stay when a later run fails, and when an earlier business date is completed
//! afterwards. The most important alert is "the newest completed day is too old", and a backfill of past days must not
//! silence it. A day that is completed early must not silence it either: its cut-off has not come yet, so the present
//! time counts instead.
//!
//! The file is written under a temporary name and renamed, so that no half file is scraped. Metrics that this run does
//! not write stay in the file. A Pushgateway behaves the same: a POST replaces only the metrics that it names.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::sender::Call;
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Stage;
use crate::files::{folder_of, open_regular};
use crate::outcome::{BatchResult, Durations, Outcome};
use crate::store::NeverDue;

/// The cut-off of the last success.
const CUTOFF: &str = "batch_export_last_success_cutoff_timestamp_seconds";
/// The prefix of all metrics of the last success.
const SUCCESS: &str = "batch_export_last_success_";
/// The prefix of all our metrics.
const OURS: &str = "batch_export_";

/// Rows that no batch takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueCounts {
    /// Rows that came after their batch was committed; `None` before the first batch.
    pub(super) late: Option<u64>,
    /// Rows that will never become due.
    pub(super) never_due: NeverDue,
}

pub(super) fn queue(counts: &QueueCounts) -> String {
    let mut text = String::new();
    if let Some(late) = counts.late {
        gauge(&mut text, "late_rows", "Rows that came after their batch was made, and wait for the next one", late);
    }
    let NeverDue { processing, far_ahead, latest: _, undated } = counts.never_due;
    gauge(&mut text, "stuck_rows", "Scheduled rows that are processing for more than a day", processing);
    gauge(&mut text, "far_ahead_rows", "Queued rows that are due more than a year ahead", far_ahead);
    gauge(&mut text, "undated_rows", "Queued rows whose scheduledFor is no date", undated);
    text
}

/// The metrics after passes that have just ended. `known` is the cut-off of the newest day that is known to be
/// completed, in seconds: an earlier success is left out. `latest` is the present time by the database's clock, if known:
/// the clock of this machine may be ahead.
pub(super) fn text(
    exit: Exit,
    results: &[BatchResult],
    config: &Config,
    known: Option<f64>,
    latest: Option<DateTime<Utc>>,
) -> String {
    let now = config.clock.now().timestamp();
    let latest = latest.map_or(now, |latest| latest.timestamp().min(now));
    let mut text = String::new();
    run(&mut text, exit, results, now);
    // The newest day that is done, whatever became of older ones.
    let done = results.iter().rev().find(|result| result.outcome.closes_day());
    let done = done.map(|result| (result, config.calendar.cutoff(result.date).timestamp().min(latest)));
    if let Some((result, cutoff)) = done.filter(|(_, cutoff)| known.is_none_or(|newest| newest <= *cutoff as f64)) {
        success(&mut text, result, cutoff, now);
    }
    text
}

/// Writes the metrics file. `text_for` gets the cut-off of the newest completed day in the old file. A cut-off of the future,
/// which version 0.1 could write, is forgotten with all of that success.
pub(super) fn write(path: &Path, now: DateTime<Utc>, text_for: impl FnOnce(Option<f64>) -> String) -> io::Result<()> {
    let mut old = present(path)?;
    let known = value(&old, CUTOFF).filter(|known| *known <= now.timestamp() as f64);
    if known.is_none() {
        old = old.lines().filter(|line| !line.contains(SUCCESS)).flat_map(|line| [line, "\n"]).collect();
    }
    let mut text = text_for(known);
    text.push_str(&kept(&old, &text));
    let mut part = tempfile::Builder::new()
        .prefix(".batch-export-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder_of(path))?;
    part.write_all(text.as_bytes())?;
    part.persist(path)?;
    Ok(())
}

/// The metrics in the file so far.
///
/// # Errors
/// Something else has that name, and must not be replaced: a device, a link, a file of another purpose.
pub fn present(path: &Path) -> io::Result<String> {
    let foreign = |what| Err(io::Error::other(format!("it {what}, and is left as it is")));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
        Ok(found) if !found.is_file() => return foreign("is no regular file"),
        Ok(_) => {}
    }
    let mut text = String::new();
    match open_regular(path)?.read_to_string(&mut text) {
        Err(error) if error.kind() == ErrorKind::InvalidData => foreign("is no text"),
        Err(error) => Err(error),
        Ok(_) if !text.is_empty() && !text.contains(OURS) => foreign("holds no metrics of batch-export"),
        Ok(_) => Ok(text),
    }
}

/// The cut-off of the newest day that a Pushgateway may have, which is all that is known without asking it.
pub(super) fn latest_due(config: &Config) -> f64 {
    config.calendar.cutoff(config.calendar.latest_due(config.clock.now())).timestamp() as f64
}

/// The request that sends metrics to a Pushgateway; `None` when its address cannot have a path.
pub(super) fn push(base: &str, database: &str, text: String) -> Option<Call> {
    let mut url = url::Url::parse(base).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(["metrics", "job", "batch_export", "database", database]);
    Some(Call::post(url, "text/plain; version=0.0.4; charset=utf-8", text))
}

fn run(text: &mut String, exit: Exit, results: &[BatchResult], now: i64) {
    let sum = |stage: fn(&Durations) -> u64| results.iter().map(|result| stage(&result.durations_ms)).sum::<u64>();
    gauge(text, "last_run_timestamp_seconds", "When it ran last", now);
    gauge(text, "last_run_exit_code", "How the last run ended", exit.code());
    gauge(text, "last_run_duration_seconds", "How long the last run took", seconds(sum(|of| of.total)));
    let stages = [
        (Stage::Lock, sum(|of| of.lock)),
        (Stage::Generate, sum(|of| of.generate)),
        (Stage::Upload, sum(|of| of.upload)),
        (Stage::Commit, sum(|of| of.commit)),
    ];
    let name = "last_run_stage_duration_seconds";
    head(text, name, "How long each stage of the last run took");
    for (stage, ms) in stages {
        let _ = writeln!(text, "{OURS}{name}{{stage=\"{stage}\"}} {}", seconds(ms));
    }
    let Some(last) = results.last() else { return };
    gauge(text, "last_run_attempt", "Attempt of its last batch: 1 is the first run, more are retries", last.attempt);
    let refused = results.iter().map(|result| result.invalid.len()).sum::<usize>();
    gauge(text, "last_run_refused_entries", "Entries because of which nothing was exported", refused);
}

fn success(text: &mut String, result: &BatchResult, cutoff: i64, now: i64) {
    let mut gauge = |name: &str, help: &str, value: &dyn std::fmt::Display| {
        gauge(text, &format!("last_success_{name}"), help, value);
    };
    gauge("timestamp_seconds", "When the newest business date that is done ended well", &now);
    gauge("cutoff_timestamp_seconds", "Cut-off of that business date; of one that was done early: when", &cutoff);
    gauge("entries", "Entries of its batch", &result.entries);
    gauge("rows", "Rows of its file", &result.rows);
    gauge("bytes", "Size of its file", &result.bytes);
    gauge("attempt", "Attempts it took", &result.attempt);
    gauge("debit_baht", "Sum of its debit column", &result.total_debit);
    gauge("credit_baht", "Sum of its credit column", &result.total_credit);
    // A run that finds the day done does not know these two; what the first run wrote stays.
    if result.outcome != Outcome::AlreadyCompleted {
        gauge("carried_over_entries", "Entries that an earlier day left behind", &result.carried_over);
        gauge("held_entries", "Entries that were held back", &result.held.len());
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {OURS}{name} {help}\n# TYPE {OURS}{name} gauge");
}

fn gauge(text: &mut String, name: &str, help: &str, value: impl std::fmt::Display) {
    head(text, name, help);
    let _ = writeln!(text, "{OURS}{name} {value}");
}

fn value(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// The lines of the old text for metrics that the new text does not have.
fn kept(old: &str, new: &str) -> String {
    let is_new = |name: &str| new.lines().any(|line| name_of(line) == Some(name));
    let kept = old.lines().filter(|line| name_of(line).is_some_and(|name| !is_new(name)));
    kept.flat_map(|line| [line, "\n"]).collect()
}

fn name_of(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line);
    line.split([' ', '{']).next().filter(|name| name.starts_with(OURS))
}

#[cfg(test)]
mod tests {
    use super::kept;

    #[test]
    fn what_a_run_does_not_say_stays_and_nothing_is_said_twice() {
        let old = "# HELP batch_export_a A\n# TYPE batch_export_a gauge\nbatch_export_a{x=\"1\"} 1\nbatch_export_ab 2\nforeign 3\n";
        assert_eq!(kept(old, "batch_export_a{x=\"2\"} 5\n"), "batch_export_ab 2\n");
    }
}
