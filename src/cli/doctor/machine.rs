//! The checks of this machine: the next cut-off, the layout, room and rights for the spool file and the metrics file.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use chrono::Days;
use sha2::{Digest, Sha256};

use super::Check;
use crate::config::{Config, Format};
use crate::files::folder_of;
use crate::notify::metrics;
use crate::spool::{Spool, SpoolWriter};

/// Below it a larger batch may not fit: a million entries are about 100 MB.
const SPOOL_WARNING_BYTES: u64 = 256 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;

/// The next cut-off, in the zone and in UTC, so that a wrong zone is seen.
pub(super) fn calendar(config: &Config) -> Check {
    let calendar = &config.calendar;
    let date = calendar.latest_due(config.clock.now()) + Days::new(1);
    let cutoff = calendar.cutoff(date);
    let local = cutoff.with_timezone(&calendar.zone).format("%Y-%m-%d %H:%M %:z");
    Check::ok(
        "next cut-off",
        format!("{local} in {} ({} UTC), business date {date}", calendar.zone, cutoff.format("%Y-%m-%d %H:%M")),
    )
}

/// The columns that the next file will have, so that a wrong layout is seen before the first file.
pub(super) fn layout(config: &Config) -> Check {
    match config.format() {
        Ok(Format { layout, encoding, .. }) => {
            let columns: Vec<&str> = layout.columns.iter().map(|column| &*column.header).collect();
            let sha256 = hex::encode(Sha256::digest(layout.normal_form()));
            let (encoding, columns) = (encoding.unwrap_or(layout.encoding).name(), columns.join(", "));
            let found = format!("{} ({encoding}; sha256 {:.12}): {columns}", layout.name, sha256);
            match layout.doubts().join("; ") {
                none if none.is_empty() => Check::ok("layout", found),
                doubts => Check::warning("layout", format!("{found}; {doubts}"), "correct the path of the field"),
            }
        }
        Err(failure) => Check::failed("layout", failure, "correct the settings of the file"),
    }
}

/// How long a folder may take.
const FOLDER_TIMEOUT: Duration = Duration::from_secs(20);

/// [`spool`], on a thread that may wait for a file system without end.
pub(super) async fn spool_in_time(folder: &Path) -> (Vec<Check>, Option<Spool>) {
    let owned = folder.to_owned();
    in_time(FOLDER_TIMEOUT, move || spool(&owned)).await.unwrap_or_else(|| {
        let found = format!("{}: the file system does not answer", folder.display());
        (vec![Check::bad("spool", found, "look at that file system (`df`, `dmesg`), or set --spool-dir")], None)
    })
}

/// The result of work on a thread of its own, because a file system may never answer; `None` when it takes longer than `limit`.
pub(super) async fn in_time<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await.ok()?.ok()
}

/// Room and rights of the spool folder; and a small spool file, which the check of the destination stores.
fn spool(folder: &Path) -> (Vec<Check>, Option<Spool>) {
    let fix = "give --spool-dir a folder that this user may write to";
    let probe = match make_probe(folder) {
        Ok(probe) => probe,
        Err(error) => return (vec![Check::bad("spool", format!("{}: {error}", folder.display()), fix)], None),
    };
    let check = match rustix::fs::statvfs(folder) {
        Ok(facts) => {
            let free = facts.f_bavail.saturating_mul(facts.f_frsize);
            let found = format!("{} is writable, {} MiB free", folder.display(), free / MIB);
            match free {
                ..SPOOL_WARNING_BYTES => {
                    Check::warning("spool", found, "make room, or give --spool-dir another folder")
                }
                SPOOL_WARNING_BYTES.. => Check::ok("spool", found),
            }
        }
        Err(error) => Check::warning("spool", format!("{} is writable, but: {error}", folder.display()), fix),
    };
    (vec![check], Some(probe))
}

/// Whether the metrics file can be written: a run makes it under another name in the same folder, and renames it.
pub(super) async fn metrics_file(path: &Path) -> Check {
    const NAME: &str = "metrics file";
    let (shown, path) = (path.display().to_string(), path.to_owned());
    let is_read = path.extension().is_some_and(|ending| ending == "prom");
    let probe = move || {
        metrics::present(&path)?;
        make_probe(folder_of(&path)).map(drop)
    };
    let reason = match in_time(FOLDER_TIMEOUT, probe).await {
        Some(Ok(())) if is_read => return Check::ok(NAME, format!("{shown} can be written")),
        Some(Ok(())) => {
            let found = format!("{shown} can be written, but node_exporter reads only names that end in .prom");
            return Check::warning(NAME, found, "give --metrics-file a name that ends in .prom");
        }
        Some(Err(error)) => error.to_string(),
        None => "the file system does not answer".to_owned(),
    };
    let fix = "give --metrics-file the path of a file in a folder that this user may write to";
    Check::bad(NAME, format!("{shown}: {reason}"), fix)
}

fn make_probe(folder: &Path) -> std::io::Result<Spool> {
    let mut writer = SpoolWriter::create(folder)?;
    writer.write_all(b"A probe of `batch-export doctor`. It may be deleted.\r\n")?;
    writer.into_spool()
}
