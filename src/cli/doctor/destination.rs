//! The checks of the destination: as whom, where, and a real file that is stored, verified and trashed again.
//!
//! Facts before the probe: Drive answers a refused upload with one of a few reasons, and only the folder, the identity and the scope
//! together tell what is wrong. The probe after them: what a folder says it allows and what it allows are two things.

use std::time::Duration;

use super::Check;
use crate::cli::open_destination;
use crate::config::Config;
use crate::destination::drive::{FolderFacts, FolderState};
use crate::destination::{Created, Destination, DestinationError, Known, Look, NewFile, probe_name};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::spool::Spool;

/// How long the probe file may take, from its id to the trash.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);
const TRY_AGAIN: &str = "see whether the network and Google Drive work, and try again";

pub(super) async fn checks(config: &Config, probe: Option<Spool>) -> Vec<Check> {
    let destination = match open_destination(config) {
        Ok(destination) => destination,
        Err(failure) => {
            return vec![
                Check::failed("destination", failure, "correct the settings of the destination"),
                Check::skipped("probe file", "there is no destination"),
            ];
        }
    };
    let mut checks = match &destination {
        Destination::Directory(directory) => vec![directory_check(directory.path())],
        Destination::Drive(drive) => {
            let credentials = Check::ok("credentials", drive.identity().to_string());
            match drive.folder_facts().await {
                Ok(facts) => vec![credentials, account(&facts), folder(&facts)],
                Err(error) => {
                    vec![credentials, failed("account", error), Check::skipped("folder", "the account is not accepted")]
                }
            }
        }
    };
    let fits = checks.iter().all(|check| check.verdict != super::Verdict::Bad);
    checks.push(match probe {
        _ if !fits => Check::skipped("probe file", "the destination is not as it should be"),
        None => Check::skipped("probe file", "there is no spool folder to make it in"),
        Some(spool) => match tokio::time::timeout(PROBE_TIMEOUT, store_and_discard(&destination, &spool)).await {
            Ok(check) => check,
            Err(_) => Check::bad("probe file", format!("not done within {PROBE_TIMEOUT:?}"), TRY_AGAIN),
        },
    });
    checks
}

fn directory_check(path: &std::path::Path) -> Check {
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_dir() => Check::ok("directory", path.display().to_string()),
        Ok(_) => Check::bad(
            "directory",
            format!("{} is no directory", path.display()),
            "create the directory, or correct BATCH_EXPORT_DESTINATION",
        ),
        Err(error) => Check::bad(
            "directory",
            format!("{}: {error}", path.display()),
            "create the directory, or correct BATCH_EXPORT_DESTINATION",
        ),
    }
}

fn account(facts: &FolderFacts) -> Check {
    let email = facts.email.as_deref().unwrap_or("an account without an address");
    let scopes = facts.scopes.as_deref().unwrap_or("not told");
    let storage = match (facts.quota_used_bytes, facts.quota_limit_bytes) {
        (Some(used), Some(limit)) => format!("{used} of {limit} bytes used"),
        (_, _) => "no limit".to_owned(),
    };
    Check::ok("account", format!("{email}; scope {scopes}; own storage: {storage}"))
}

fn folder(facts: &FolderFacts) -> Check {
    // A probe that cannot be put into the trash again is not stored.
    if let Err(error) = facts.check().and_then(|()| facts.check_trash()) {
        return failed("folder", error);
    }
    let found = match &facts.state {
        FolderState::Found { name, shared_drive: Some(drive), .. } => format!("{name:?} in the shared drive {drive}"),
        FolderState::Found { name, shared_drive: None, .. } => format!("{name:?} in somebody's My Drive"),
        // `check` refuses these.
        FolderState::Missing | FolderState::NotAFolder { .. } | FolderState::Trashed { .. } => facts.folder.clone(),
    };
    Check::ok("folder", format!("{found}; files may be added"))
}

async fn store_and_discard(destination: &Destination, spool: &Spool) -> Check {
    let name = probe_name();
    let stored = async {
        // The rest of the time is for the probe itself, so that a busy directory is named as such.
        let _alone = destination.exclusive(PROBE_TIMEOUT / 2).await?;
        let id = destination.new_id(&name).await?;
        let file = NewFile { id: &id, name: &name, batch: "doctor", mime_type: "text/plain", spool };
        let created = match destination.create(&file, &Progress::default()).await {
            // A refusal leaves nothing, and needs nothing to be removed.
            Ok(Created::IdRefused(refused)) | Err(refused @ DestinationError::Rejected { .. }) => return Err(refused),
            created => created,
        };
        let stored = verify(destination, &file, created).await;
        // Its age is what tells how old the others are.
        let swept = if stored.is_ok() { destination.sweep_probes(&id).await } else { Ok(0) };
        // Whatever came of it, nothing is to be left.
        let discarded = destination.discard(&id, Some(&spool.digests().sha256)).await;
        stored?;
        Ok::<_, DestinationError>((discarded, swept))
    };
    let gone = destination.discarded();
    let well = format!("stored, its checksum verified, and {gone}");
    match stored.await {
        Ok((Ok(()), Ok(0))) => Check::ok("probe file", well),
        Ok((Ok(()), Ok(left))) => {
            Check::ok("probe file", format!("{well}; so were files of doctors that were killed: {left}"))
        }
        Ok((Ok(()), Err(error))) => Check::warning(
            "probe file",
            format!("{well}; but not what doctors left that were killed: {}", Failure::from(error).message),
            "remove batch-export-doctor-*.txt by hand when no doctor is at work",
        ),
        Ok((Err(error), _)) => {
            let refused = Failure::from(error);
            let found = format!("stored and verified, but not {gone}: {}", refused.message);
            let next = refused.next.unwrap_or_else(|| TRY_AGAIN.to_owned());
            Check::bad("probe file", found, format!("remove {name} by hand; {next}"))
        }
        Err(error) => failed("probe file", error),
    }
}

async fn verify(
    destination: &Destination,
    file: &NewFile<'_>,
    created: Result<Created, DestinationError>,
) -> Result<(), DestinationError> {
    let known = Known { stored_sha256: Some(&file.spool.digests().sha256), voided: &[] };
    match created? {
        Created::Stored(_) => {}
        Created::IdTaken => return Err(DestinationError::Failed(format!("the new id {} is taken", file.id))),
        Created::IdRefused(error) => return Err(error),
        Created::Mismatch { reason, .. } => return Err(DestinationError::Failed(reason)),
    }
    match destination.look(file.id, file.spool.digests(), &known).await? {
        Look::Same(_) => Ok(()),
        Look::Absent => Err(DestinationError::Failed("what was stored is not there".to_owned())),
        Look::Different { reason, .. } => {
            Err(DestinationError::Failed(format!("what was stored is not ours: {reason}")))
        }
    }
}

fn failed(name: &'static str, error: DestinationError) -> Check {
    Check::failed(name, error.into(), TRY_AGAIN)
}
