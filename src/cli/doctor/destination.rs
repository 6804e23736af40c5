//! The checks of the destination: the account, the folder, and a probe file that is stored, verified and trashed.
//!
//! The facts come before the probe file: Drive has only a few reasons for a refused upload, and only the folder, the
//! account and the scope together tell what is wrong. The probe file comes after them, because a folder may allow less
//! than it reports.

use std::time::Duration;

use humantime::format_duration;

use super::Check;
use super::machine::in_time;
use crate::config::Config;
use crate::destination::{Created, Destination, DestinationError, Inspection, Known, Look, Mark, NewFile, probe_name};
use crate::progress::Progress;
use crate::spool::Spool;

/// How long the probe file may take, from its id to the trash.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long another run may keep a directory busy: shorter than the time after which the file system counts as one that does not answer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The owner of the probe file: no batch, and no installation.
const MARK: Mark<'static> = Mark { batch: None, installation: None };

/// [`checks`], on a thread that may wait for a file system without end.
pub(super) async fn checks_in_time(config: &Config, probe: Option<Spool>) -> Vec<Check> {
    let Some(target) = &config.destination else { return checks(config, probe).await };
    let (owned, runtime) = (config.clone(), tokio::runtime::Handle::current());
    let (limit, what, fix) = target.if_unanswered();
    let checked = in_time(limit, move || runtime.block_on(checks(&owned, probe))).await;
    checked.unwrap_or_else(|| {
        vec![Check::bad("probe file", format!("not done within {}: {what}", format_duration(limit)), fix)]
    })
}

async fn checks(config: &Config, probe: Option<Spool>) -> Vec<Check> {
    let destination = match Destination::open(config) {
        Ok(destination) => destination,
        Err(failure) => {
            return vec![
                Check::failed("destination", failure, "correct the settings of the destination"),
                Check::skipped("probe file", "there is no destination"),
            ];
        }
    };
    let mut checks: Vec<Check> = destination.inspect().await.into_iter().map(check).collect();
    let fits = checks.iter().all(|check| check.verdict != super::Verdict::Bad);
    checks.push(match probe {
        _ if !fits => Check::skipped("probe file", "the destination has a fault"),
        None => Check::skipped("probe file", "there is no spool folder to make it in"),
        Some(spool) => match tokio::time::timeout(PROBE_TIMEOUT, store_and_discard(&destination, &spool)).await {
            Ok(check) => check,
            Err(_) => Check::bad(
                "probe file",
                format!("not done within {}", format_duration(PROBE_TIMEOUT)),
                Destination::TRY_AGAIN,
            ),
        },
    });
    checks
}

fn check((what, found): (&'static str, Inspection)) -> Check {
    match found {
        Inspection::Good(facts) => Check::ok(what, facts),
        Inspection::Bad(error) => failed(what, error),
        Inspection::Skipped(why) => Check::skipped(what, why),
    }
}

async fn store_and_discard(destination: &Destination, spool: &Spool) -> Check {
    let name = probe_name();
    let stored = async {
        let _alone = destination.exclusive(BUSY_TIMEOUT).await?;
        let id = destination.new_id(&name).await?;
        let file = NewFile { id: &id, name: &name, mark: MARK, mime_type: "text/plain", spool };
        let created = match destination.create(&file, &Progress::default()).await {
            // A refused upload leaves no file to remove.
            Ok(Created::IdRefused(refused) | Created::NotSent(refused))
            | Err(refused @ DestinationError { is_refusal: true, .. }) => return Err(refused),
            created => created,
        };
        let stored = verify(destination, &file, created).await;
        // The age of other probe files is measured against this one.
        let swept = if stored.is_ok() { destination.sweep_probes(&id).await } else { Ok(0) };
        // The probe file is removed, whatever the verification found.
        let discarded = destination.discard(&id, Some(&spool.digests().sha256), &MARK).await;
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
            format!("{well}; but not the probe files of doctors that were killed: {error}"),
            "remove batch-export-doctor-*.txt by hand when no doctor is at work",
        ),
        Ok((Err(DestinationError { why, .. }), _)) => {
            let found = format!("stored and verified, but not {gone}: {why}");
            let next = why.next.unwrap_or_else(|| Destination::TRY_AGAIN.to_owned());
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
    let known = Known { mark: MARK, next: i64::MAX, file: None, voided: &[], file_name: None };
    match created? {
        Created::Stored(_) => {}
        Created::IdTaken => return Err(DestinationError::failed(format!("the new id {} is taken", file.id))),
        Created::IdRefused(error) | Created::NotSent(error) => return Err(error),
        Created::Mismatch { reason, .. } => return Err(DestinationError::failed(reason)),
    }
    match destination.look(file.id, file.spool.digests(), &known).await? {
        Look::Same(..) => Ok(()),
        Look::Absent => Err(DestinationError::failed("what was stored is not there".to_owned())),
        Look::Different { reason, .. } => {
            Err(DestinationError::failed(format!("what was stored is not ours: {reason}")))
        }
    }
}

fn failed(name: &'static str, error: DestinationError) -> Check {
    Check::failed(name, error.into(), Destination::TRY_AGAIN)
}
