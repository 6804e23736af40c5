//! A peer, measured in the same minute: `mongoexport`, which can write a collection as CSV, but not join, lock, total or mark anything.
//!
//! It gets the easier task: six fields of every entry, in the order of the disk, into nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::program::{Ran, measure};
use super::seed::ENTRIES;

/// What the peer took.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Peer {
    /// The whole process.
    pub total_s: f64,
    /// Peak of resident memory, in MiB.
    pub peak_mib: f64,
}

/// The given program, else that on the path; `None` when there is none.
pub fn find(given: Option<&Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || std::env::split_paths(&path).map(|folder| folder.join("mongoexport")).find(|file| file.is_file());
    given.map(Path::to_owned).or_else(found)
}

/// Exports the entries, flat.
pub fn export(program: &Path, uri: &str) -> Result<Peer> {
    let mut command = Command::new(program);
    command
        .args(["--quiet", "--type=csv", "--fields=_id,date,accountCode,amount,type,description", "--out=/dev/null"])
        .args(["--uri", uri, "--collection", ENTRIES])
        .env_clear();
    let Ran { took, peak_kib, .. } = measure(&mut command).with_context(|| program.display().to_string())?;
    Ok(Peer { total_s: took.as_secs_f64(), peak_mib: peak_kib as f64 / 1024.0 })
}
