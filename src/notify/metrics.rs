//! A textfile for Prometheus' node_exporter: written beside its name and renamed, so that no half file is ever scraped.
//!
//! What the last success was stays in it when a later run fails, and when an earlier business date is done after it: "how old is the
//! newest day that is done" is the alert that catches everything, and a backfill of past days must not silence it.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::Read;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::config::Config;
use crate::exit::Exit;
use crate::files::open_regular;
use crate::outcome::BatchResult;

const SUCCESS: &str = "batch_export_last_success_";
/// Which business date the success is of, as an instant.
const CUTOFF: &str = "batch_export_last_success_cutoff_timestamp_seconds";

/// Writes the state after passes that have just ended.
pub(super) fn write(path: &Path, exit: Exit, results: &[BatchResult], config: &Config) -> io::Result<()> {
    let now = config.clock.now();
    let old = kept(path);
    let mut text = String::new();
    gauge(&mut text, "batch_export_last_run_timestamp_seconds", "When it ran last", now.timestamp() as f64);
    gauge(&mut text, "batch_export_last_run_exit_code", "How the last run ended", f64::from(exit.code()));
    let total_ms: u64 = results.iter().map(|result| result.durations_ms.total).sum();
    gauge(&mut text, "batch_export_last_run_duration_seconds", "How long it took", total_ms as f64 / 1000.0);
    // The last batch of several is the latest one.
    let done = results.last().filter(|_| exit == Exit::Ok);
    let done = done.map(|result| (result, config.calendar.cutoff(result.date).timestamp()));
    match done.filter(|(_, cutoff)| value(&old, CUTOFF).is_none_or(|newest| newest <= *cutoff as f64)) {
        Some((result, cutoff)) => success(&mut text, result, cutoff, now.timestamp()),
        None => text.push_str(&old),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut part = tempfile::Builder::new()
        .prefix(".batch-export-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    part.write_all(text.as_bytes())?;
    part.persist(path)?;
    Ok(())
}

fn success(text: &mut String, result: &BatchResult, cutoff: i64, now: i64) {
    let name = |rest: &str| format!("{SUCCESS}{rest}");
    gauge(text, &name("timestamp_seconds"), "When the newest business date that is done ended well", now as f64);
    gauge(text, CUTOFF, "Cut-off of that business date", cutoff as f64);
    gauge(text, &name("entries"), "Entries of its batch", result.entries as f64);
    gauge(text, &name("rows"), "Rows of its file", result.rows as f64);
    gauge(text, &name("bytes"), "Size of its file", result.bytes as f64);
    gauge(text, &name("attempt"), "Attempts it took", f64::from(result.attempt));
}

fn gauge(text: &mut String, name: &str, help: &str, value: f64) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
}

/// The value of a gauge.
fn value(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// The lines about the last success, out of the file as it is.
fn kept(path: &Path) -> String {
    let mut old = String::new();
    let _ = open_regular(path).and_then(|mut file| file.read_to_string(&mut old));
    let ours = |line: &&str| line.split(' ').any(|word| word.starts_with(SUCCESS));
    old.lines().filter(ours).flat_map(|line| [line, "\n"]).collect()
}
