//! A textfile for Prometheus' node_exporter: written beside its name and renamed, so that no half file is ever scraped.
//!
//! What the last success was stays in it when a later run fails: "how long ago did it work" is the alert that catches everything.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chrono::{DateTime, Utc};

use crate::exit::Exit;
use crate::outcome::BatchResult;

const SUCCESS: &str = "batch_export_last_success_";

/// Writes the state after an invocation that ended `now`.
pub(super) fn write(path: &Path, exit: Exit, results: &[BatchResult], now: DateTime<Utc>) -> io::Result<()> {
    let mut text = String::new();
    gauge(&mut text, "batch_export_last_run_timestamp_seconds", "When it ran last", now.timestamp() as f64);
    gauge(&mut text, "batch_export_last_run_exit_code", "How the last run ended", f64::from(exit.code()));
    let total_ms: u64 = results.iter().map(|result| result.durations_ms.total).sum();
    gauge(&mut text, "batch_export_last_run_duration_seconds", "How long it took", total_ms as f64 / 1000.0);
    // The last batch of a backfill or a retry is the latest one.
    match results.last().filter(|_| exit == Exit::Ok) {
        Some(result) => success(&mut text, result, now),
        None => text.push_str(&kept(path)),
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

fn success(text: &mut String, result: &BatchResult, now: DateTime<Utc>) {
    let name = |rest: &str| format!("{SUCCESS}{rest}");
    gauge(text, &name("timestamp_seconds"), "When it last ended well", now.timestamp() as f64);
    gauge(text, &name("entries"), "Entries of that batch", result.entries as f64);
    gauge(text, &name("rows"), "Rows of its file", result.rows as f64);
    gauge(text, &name("bytes"), "Size of its file", result.bytes as f64);
    gauge(text, &name("attempt"), "Attempts it took", f64::from(result.attempt));
}

fn gauge(text: &mut String, name: &str, help: &str, value: f64) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
}

/// The lines about the last success, out of the file as it is.
fn kept(path: &Path) -> String {
    let old = std::fs::read_to_string(path).unwrap_or_default();
    let ours = |line: &&str| line.split(' ').any(|word| word.starts_with(SUCCESS));
    old.lines().filter(ours).flat_map(|line| [line, "\n"]).collect()
}
