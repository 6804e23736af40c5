//! Checks the file at the destination: its bytes, its totals, and other files of the batch.

use std::io;
use std::path::{Path, PathBuf};

use super::{Findings, ProblemKind, Unclear, Verification};
use crate::batch::{Batch, FileFacts, State, Voided};
use crate::csv::{Recount, SheetOptions, recount};
use crate::destination::{Destination, DestinationError, Listed, Reached, brought_to};
use crate::failure::{Explanation, Failure, Result};
use crate::money::Baht;
use crate::spool::{self, Spool, SpoolWriter};
use crate::store::{LogFacts, Snapshot};

/// The next step for an official file in the trash.
const RESTORE: &str =
    "restore it, and move it to another folder if it is in the way; or accept it with --allow-trashed";

impl Verification<'_> {
    /// The official file as it lies at the destination, whatever it holds by now; or why it cannot be read.
    /// With it, where it lies in a directory when that is not under its own name.
    pub(super) async fn read_official(&self, file: &FileFacts) -> Result<Result<(Spool, Option<PathBuf>), Unclear>> {
        let place = match self.place_of(file) {
            Ok(place) => place,
            Err(unclear) => return Ok(Err(unclear)),
        };
        let mut content = self.spool()?;
        let is_there = match place.read_back(&file.id, &mut content).await {
            // Of a destination that answers, the file is at fault, such as a folder whose id somebody put there.
            Err(error @ DestinationError { is_refusal: true, .. }) if place.whereabouts(&file.id).await.is_ok() => {
                return Ok(Err((ProblemKind::FileId, Explanation::from(&Failure::from(error)))));
            }
            read => read?.is_some(),
        };
        let moved = if is_there { None } else { place.elsewhere(file) };
        if let Some(path) = &moved {
            place.read_path(path, &mut content)?;
        } else if !is_there {
            return Ok(Err((ProblemKind::MissingFile, place.missing(file))));
        }
        let content = content.into_spool().map_err(|error| self.spool_failed(&error))?;
        Ok(Ok((content, moved)))
    }

    /// The destination where a file can be looked for by its id; or why it cannot. An edited id is a finding of its batch alone.
    fn place_of(&self, file: &FileFacts) -> Result<Reached<'_>, Unclear> {
        let Some(place) = self.destination.reach(file.destination.as_deref()) else {
            let at = file.destination.as_deref().unwrap_or_default();
            let what = format!("{} is at {at}", file.name);
            return Err((ProblemKind::Elsewhere, Explanation::new(what, format!("look with --destination {at}"))));
        };
        match place.check_id(file) {
            Ok(()) => Ok(place),
            Err(error) => Err((ProblemKind::FileId, Explanation::from(&Failure::from(error)))),
        }
    }

    /// Reads the file back and compares it with the record. `None` when it is not the committed content.
    pub(super) async fn check_file(
        &self,
        batch: &Batch,
        file: &FileFacts,
        findings: &mut Findings,
    ) -> Result<Option<Spool>> {
        let content = match self.read_official(file).await? {
            Ok((content, moved)) => {
                match moved {
                    Some(path) if Destination::is_in_trash(&path) => {
                        let what =
                            format!("{} is in the trash, as {}, which may be emptied", file.name, path.display());
                        findings.add(batch.id, ProblemKind::TrashedFile, Explanation::new(what, RESTORE));
                    }
                    Some(path) => {
                        findings.note(brought_to(file, &path));
                    }
                    None => {}
                }
                content
            }
            Err((kind, message)) => {
                findings.add(batch.id, kind, message);
                return Ok(None);
            }
        };
        let found = content.digests();
        if found.sha256 != file.sha256 || found.bytes != file.bytes {
            let message = format!(
                "{} has {} bytes and sha256 {}; committed were {} bytes and sha256 {}",
                file.name, found.bytes, found.sha256, file.bytes, file.sha256
            );
            findings.add(batch.id, ProblemKind::Content, message);
        } else if found.md5 != file.md5 && !file.md5.is_empty() {
            let message = format!("the batch document has the md5 {}; the file has {}", file.md5, found.md5);
            findings.add(batch.id, ProblemKind::Content, message);
        }
        let SheetOptions { layout, encoding, .. } = self.options(batch)?;
        let encoding = encoding.unwrap_or(layout.encoding);
        let open = content.open().map_err(|error| self.spool_failed(&error))?;
        match recount(open, &layout, encoding) {
            Err(reason) => {
                let name = &layout.name;
                let message = format!("it cannot be counted as {name} in {}: {reason}", encoding.name());
                findings.add(batch.id, ProblemKind::Totals, message);
                return Ok(None);
            }
            Ok(Recount { totals, has_sums }) => {
                let told = |entries, rows, debit, credit| match has_sums {
                    true => format!(
                        "{entries} entries in {rows} rows, debit {}, credit {}",
                        Baht::new(debit),
                        Baht::new(credit)
                    ),
                    false => format!("{entries} entries in {rows} rows"),
                };
                let recounted = told(totals.entries, totals.rows, totals.total_debit, totals.total_credit);
                let recorded = told(file.entries, file.rows, file.total_debit.into(), file.total_credit.into());
                if recounted != recorded {
                    let message = format!("a recount of the file gives {recounted}; the record says {recorded}");
                    findings.add(batch.id, ProblemKind::Totals, message);
                }
            }
        }
        Ok((content.digests().sha256 == file.sha256).then_some(content))
    }

    /// Reports files of the batch that should not exist, and an official file that is in the trash.
    pub(super) async fn check_copies(
        &self,
        batch: &Batch,
        official: Option<&FileFacts>,
        log: &[LogFacts],
        installation: Option<&str>,
        findings: &mut Findings,
    ) -> Result<()> {
        let is_official = |voided: &&Voided| official.is_some_and(|file| file.id == voided.id);
        for voided in batch.voided.iter().filter(is_official) {
            let what =
                format!("`voided` of the batch document lists {}, the official file: somebody edited it", voided.id);
            let next = "remove that id from `voided`; the file stays where it is";
            findings.add(batch.id, ProblemKind::FileId, Explanation::new(what, next));
        }
        for voided in batch.voided.iter().filter(|voided| !voided.trashed && !is_official(voided)) {
            let at = voided.destination.as_ref().map_or(String::new(), |location| format!(" at {location}"));
            let reach = match self.destination.reach(voided.destination.as_deref()) {
                Some(_) => "`batch-export retry` tries to trash it, and its log says why it cannot",
                None => "`batch-export retry` tries to trash it with settings that reach it",
            };
            let what = format!("the voided file {}{at} is not known to be in the trash", voided.id);
            findings.add(batch.id, ProblemKind::UntrashedVoided, Explanation::new(what, reach));
        }
        let own = batch.file.as_ref();
        self.check_void_elsewhere(batch, installation, findings).await;
        let place = match own.map_or(Ok(Reached::Here(self.destination)), |file| self.place_of(file)) {
            Ok(place) => place,
            Err((kind, message)) => {
                // That of an official file is told where the file is looked at.
                if official.is_none() && kind == ProblemKind::FileId {
                    findings.add(batch.id, kind, message);
                }
                return Ok(());
            }
        };
        let name = match (own, self.config.format()) {
            (Some(file), _) => file.name.clone(),
            (None, Ok(format)) => batch.id.file_name(self.config.file_name.as_deref(), &format.layout.ending),
            (None, Err(failure)) => {
                findings.note(format!("no file of this day was looked for, because its name is not known: {failure}"));
                return Ok(());
            }
        };
        let listed = match (place.files_of(batch.id, &name).await, &place) {
            // Such as a folder of an earlier time that is gone: the other batches are looked at.
            (Err(DestinationError { is_refusal: true, why }), Reached::There(_)) => {
                findings.note(format!("no other file of this day was looked for: {why}"));
                return Ok(());
            }
            (listed, _) => listed?,
        };
        // Before the commit, the attempt's own file is where it belongs.
        let own_id = own.map(|file| place.listed_id(&file.id));
        let others: Vec<&Listed> = listed.iter().filter(|file| !file.trashed && Some(&*file.id) != own_id).collect();
        // Another file, or something that is no file, may have its name. Where nothing else is, it is not looked for.
        let moved = official.filter(|_| !others.is_empty()).and_then(|file| place.elsewhere(file));
        let is_moved = |file: &Listed| moved.as_deref() == Some(Path::new(&file.id));
        // The log knows the file of a batch whose document was lost, and its own finding says so.
        let is_logged = |file: &Listed| {
            official.is_none() && log.iter().any(|log| log.number.is_some() && log.number == file.owner.number)
        };
        for file in others.into_iter().filter(|file| !is_moved(file) && !is_logged(file)) {
            if let Some((kind, message)) = judge(batch, &name, file, installation) {
                findings.add(batch.id, kind, message);
            }
        }
        let Some(file) = official else {
            if let Some(file) = own.filter(|_| batch.state == State::Failed) {
                self.check_unofficial(batch, file, &place, installation, findings).await?;
            }
            return Ok(());
        };
        let Some(found) = place.whereabouts(&file.id).await? else { return Ok(()) };
        found.notes(file).into_iter().for_each(|note| findings.note(note));
        if found.trashed {
            let what = format!("{} ({}) is in the trash, {}", file.name, file.id, Destination::TRASH);
            findings.add(batch.id, ProblemKind::TrashedFile, Explanation::new(what, RESTORE));
        }
        Ok(())
    }

    /// A voided file that counts as trashed may be back at an earlier destination, such as a directory that was not mounted.
    async fn check_void_elsewhere(&self, batch: &Batch, installation: Option<&str>, findings: &mut Findings) {
        let official = batch.file.as_ref().and_then(|file| file.destination.as_deref());
        for voided in batch.voided.iter().filter(|voided| voided.trashed && voided.destination.as_deref() != official) {
            let reached = self.destination.reach(voided.destination.as_deref());
            // Drive tells of a trash, and of an id that is gone.
            let Some(there) = reached.filter(|there| there.shares_names()) else { continue };
            let Ok(Some(owner)) = there.owner(&voided.id).await else { continue };
            let is_ours = owner.installation.as_deref() == installation && owner.batch_id == Some(batch.id.to_string());
            if is_ours && !owner.sealed {
                let at = voided.destination.as_deref().unwrap_or_default();
                let what = format!("the voided file {} is at {at} and must not be imported", voided.id);
                let next = "set `trashed` of that id to false in the batch document: then `batch-export retry` puts the file into the trash";
                findings.add(batch.id, ProblemKind::UntrashedVoided, Explanation::new(what, next));
            }
        }
    }

    /// A failed attempt left its file, which `retry` makes official or gives up. A later batch may hold its entries by now. And the file may be
    /// official by now: for a copy of this database, or for another day whose id somebody put there.
    async fn check_unofficial(
        &self,
        batch: &Batch,
        file: &FileFacts,
        place: &Destination,
        installation: Option<&str>,
        findings: &mut Findings,
    ) -> Result<()> {
        let Some(owner) = place.owner(&file.id).await? else { return Ok(()) };
        let name = &file.name;
        let (others, _) = Snapshot::open(self.store).await?.numbered_batches().await?;
        let is_same = |official: &FileFacts| {
            official.destination == file.destination && place.listed_id(&official.id) == place.listed_id(&file.id)
        };
        let is_of = |other: &&Batch| other.file.as_ref().is_some_and(is_same);
        if let Some(other) = others.iter().find(is_of) {
            let what = format!(
                "its file {} is the official file of {}: somebody edited the batch document",
                file.id, other.id
            );
            let next = "set `file` of this batch document to null; the file stays where it is";
            findings.add(batch.id, ProblemKind::FileId, Explanation::new(what, next));
            return Ok(());
        }
        let is_foreign = owner.installation.is_some() && owner.installation.as_deref() != installation;
        if owner.sealed || is_foreign {
            let listed =
                Listed { id: place.listed_id(&file.id).to_owned(), name: name.clone(), owner, ..Listed::default() };
            if let Some((kind, message)) = judge(batch, name, &listed, installation) {
                findings.add(batch.id, kind, message);
            }
            return Ok(());
        }
        let took_over = |other: &&Batch| other.id > batch.id && other.completed_at > batch.updated_at;
        match others.iter().find(took_over) {
            Some(other) => {
                let what = format!(
                    "{name} was stored by an attempt that failed, and {} was exported since, with the entries that were due: {name} is not \
                     official and must not be imported",
                    other.id
                );
                let message = Explanation::new(what, "`batch-export retry` gives it up");
                findings.add(batch.id, ProblemKind::SecondFile, message);
            }
            None => findings.note(format!(
                "{name} was stored by an attempt that failed: it is not official yet and must not be imported; `batch-export retry` goes on"
            )),
        }
        Ok(())
    }

    pub(super) fn spool(&self) -> Result<SpoolWriter> {
        SpoolWriter::create(&self.config.spool_dir).map_err(|error| self.spool_failed(&error))
    }

    pub(super) fn spool_failed(&self, error: &io::Error) -> Failure {
        spool::failed(&self.config.spool_dir, "a temporary file", error)
    }
}

/// What is wrong with a live file beside the batch's own. The message asks to remove a file only when it is certainly
/// voided.
fn judge(batch: &Batch, name: &str, file: &Listed, installation: Option<&str>) -> Option<(ProblemKind, Explanation)> {
    let called = format!("{} ({})", file.name, file.id);
    if let Some(voided) = batch.voided.iter().find(|voided| voided.id == file.id) {
        let again = Explanation::new(format!("the voided file {} was taken out of the trash", file.id), "put it back");
        return voided.trashed.then_some((ProblemKind::UntrashedVoided, again));
    }
    match file.owner.installation.as_deref() {
        // In one folder, each installation has file names of its own.
        Some(other) if Some(other) != installation && file.name != name => None,
        Some(other) if Some(other) != installation => {
            let what = format!("{called} is not ours: {}", file.owner.text());
            let next = "leave it, and use another folder or another --file-name, unless it is of this database's own earlier life, before a \
                        restore";
            Some((ProblemKind::ForeignFile, Explanation::new(what, next)))
        }
        Some(_) if file.owner.number.is_some() && file.owner.number == batch.number => {
            let what = format!(
                "{called} has the number of the official file: it is a copy of that, or was stored before this database was restored"
            );
            Some((ProblemKind::SecondFile, Explanation::new(what, "leave that file until that is settled")))
        }
        Some(_) => {
            let number = match file.owner.number {
                Some(number) => format!("committed as number {number}"),
                None => "stored".to_owned(),
            };
            let what = format!(
                "{called} was {number} by this installation, and this database does not know it: it was restored from a backup, or there \
                 is a copy of it"
            );
            Some((ProblemKind::SecondFile, Explanation::new(what, "leave that file until that is settled")))
        }
        None => {
            let committed = if file.owner.sealed { " and was committed: it is read-only" } else { "" };
            let what = match (file.irregular, file.owner.batch_id.is_some()) {
                (true, _) => format!("{called} has the name of a file of this batch and is no regular file"),
                (false, true) => format!("{called} is another live file of this batch{committed}"),
                (false, false) => {
                    format!("{called} has the name of a file of this batch, and does not say whose it is{committed}")
                }
            };
            Some((ProblemKind::SecondFile, Explanation::new(what, "find out who put it there")))
        }
    }
}
