//! The checks of a destination that store no file: the account that uses it, and whether files may be stored there.

use std::path::Path;

use super::drive::{FolderFacts, FolderState};
use super::{Destination, DestinationError};
use crate::layout::quoted;

/// The result of an inspection.
#[derive(Clone, Debug)]
pub enum Inspection {
    /// In order, with the facts.
    Good(String),
    /// A fault.
    Bad(DestinationError),
    /// Not checked, and why.
    Skipped(&'static str),
}

impl Destination {
    /// Checks everything that can be checked without storing a file; each finding behind what was checked.
    pub async fn inspect(&self) -> Vec<(&'static str, Inspection)> {
        match self {
            Destination::Directory(directory) => vec![("directory", look_at(directory.path()))],
            Destination::Drive(drive) => {
                let (account, folder) = match drive.folder_facts().await {
                    Ok(facts) => (Inspection::Good(account(&facts)), folder(&facts)),
                    Err(error) => (Inspection::Bad(error), Inspection::Skipped("the account is not accepted")),
                };
                let credentials = Inspection::Good(drive.identity().to_string());
                vec![("credentials", credentials), ("account", account), ("folder", folder)]
            }
        }
    }
}

fn look_at(path: &Path) -> Inspection {
    let bad = |message: String, next| Inspection::Bad(DestinationError::rejected(message, next));
    let create = "create the directory, or correct --destination";
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_dir() => Inspection::Good(path.display().to_string()),
        Ok(_) => bad(format!("{} is not a directory", path.display()), "correct --destination: it must be a directory"),
        Err(error) => bad(format!("{}: {error}", path.display()), create),
    }
}

fn account(facts: &FolderFacts) -> String {
    let email = facts.email.as_deref().unwrap_or("an account without an address");
    let scopes = facts.scopes.as_deref().unwrap_or("not told");
    let storage = match (facts.quota_used_bytes, facts.quota_limit_bytes) {
        (Some(used), Some(limit)) => format!("{used} of {limit} bytes used"),
        (_, _) => "no limit".to_owned(),
    };
    format!("{email}; scope {scopes}; own storage: {storage}")
}

fn folder(facts: &FolderFacts) -> Inspection {
    // A probe file that could not be trashed afterwards is not stored.
    if let Err(error) = facts.check().and_then(|()| facts.check_trash()) {
        return Inspection::Bad(error);
    }
    let found = match &facts.state {
        FolderState::Found { name, shared_drive: Some(drive), .. } => {
            format!("{} in the shared drive {drive}", quoted(name))
        }
        FolderState::Found { name, shared_drive: None, .. } => format!("{} in somebody's My Drive", quoted(name)),
        // `check` refuses these.
        FolderState::Missing | FolderState::NotAFolder { .. } | FolderState::Trashed { .. } => facts.folder.clone(),
    };
    Inspection::Good(format!("{found}; files may be added"))
}
