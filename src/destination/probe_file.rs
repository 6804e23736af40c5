//! The probe file of `doctor`: its name, and the removal of probe files left by doctors that were killed.
//!
//! Risk: removing a file that is not ours, or the probe file of a `doctor` that still runs. So a file counts only when
//! its name has exactly our pattern and it is much older than any probe, by the destination's own clock.

use std::time::{Duration, SystemTime};

use super::directory::Directory;
use super::drive::Drive;
use super::{Destination, DestinationError, Result};

const PREFIX: &str = "batch-export-doctor-";
const SUFFIX: &str = ".txt";
/// Ten times as long as `doctor` lets a probe live.
const LEFTOVER_AGE: Duration = Duration::from_secs(10 * 60);

/// A name for a new probe file, not used by any other.
pub fn probe_name() -> String {
    format!("{PREFIX}{}{SUFFIX}", uuid::Uuid::new_v4().simple())
}

fn is_probe_name(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    random.is_some_and(|text| text.len() == 32 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')))
}

impl Destination {
    /// Removes leftover probe files and returns how many. `own` is the id of the probe file that was just stored and is
    /// still there. The caller holds the lock on a directory.
    pub async fn sweep_probes(&self, own: &str) -> Result<usize> {
        match self {
            Destination::Directory(directory) => sweep_directory(directory, own),
            Destination::Drive(drive) => sweep_drive(drive, own).await,
        }
    }
}

fn sweep_directory(directory: &Directory, own: &str) -> Result<usize> {
    let folder = directory.path();
    let failed = |error| DestinationError::failed(format!("in the directory {}: {error}", folder.display()));
    let limit = directory.file(own)?.metadata().and_then(|facts| facts.modified()).map_err(failed)? - LEFTOVER_AGE;
    let is_old = |modified: SystemTime| modified < limit;
    let mut removed = 0;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_str().is_some_and(is_probe_name) {
            continue;
        }
        // Links are not followed: `doctor` makes none.
        let facts = entry.metadata().map_err(failed)?;
        if facts.is_file() && is_old(facts.modified().map_err(failed)?) {
            std::fs::remove_file(entry.path()).map_err(failed)?;
            removed += 1;
        }
    }
    Ok(removed)
}

async fn sweep_drive(drive: &Drive, own: &str) -> Result<usize> {
    let Some(limit) = drive.created(own).await?.map(|created| created - LEFTOVER_AGE) else { return Ok(0) };
    let mut removed = 0;
    for listed in drive.list_live(PREFIX).await? {
        if is_probe_name(&listed.name) && listed.created.is_some_and(|created| created < limit) {
            drive.trash(&listed.id).await?;
            removed += 1;
        }
    }
    Ok(removed)
}
