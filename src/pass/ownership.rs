//! Decides whether this pass may adopt or void a file that it finds at the destination, from the owner that the file itself names.
//!
//! Risk: the database was restored from a backup, or copied, and takes a committed file for a leftover of an earlier
//! attempt. So every stored file names its installation, and a sealed file its batch number. A file of another
//! installation, and a file that was committed under another number, is never touched. A doubtful case ends the attempt
//! with 31, and nothing is changed.

use super::Pass;
use crate::batch::{Batch, FileFacts};
use crate::destination::{Known, Mark, Named, Owner};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::spool::Digests;
use crate::store::{Claim, Ledger};

/// The installation at the snapshot of this pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering<'a> {
    /// Its name, from the ledger.
    pub(super) installation: Option<&'a str>,
    /// The number that this commit would allot.
    pub(super) next: i64,
}

impl<'a> Numbering<'a> {
    pub(super) fn of(ledger: &'a Ledger) -> Numbering<'a> {
        Numbering { installation: ledger.installation.as_deref(), next: ledger.number + 1 }
    }

    /// Refuses to adopt a file under this batch's id, although its content is the same: when it is of another
    /// installation, or was committed under another number.
    pub(super) fn may_adopt(&self, name: &str, id: &str, owner: &Owner) -> Result<()> {
        self.refuse_foreign(name, id, owner, true)?;
        match owner.sealed && owner.number != Some(self.next) {
            true => Err(self.committed(name, id, owner)),
            false => Ok(()),
        }
    }

    /// Refuses to void a file under this batch's id: when it is of another installation, or was committed.
    pub(super) fn may_void(&self, name: &str, id: &str, owner: &Owner) -> Result<()> {
        self.refuse_foreign(name, id, owner, false)?;
        if owner.sealed { Err(self.committed(name, id, owner)) } else { Ok(()) }
    }

    /// Refuses a file that has the batch's file name, or the number of this commit, and that the batch document does not know, unless its
    /// installation and content are the same.
    fn may_take_over(&self, batch: &str, file_name: &str, found: &Named) -> Result<()> {
        let name = &found.name;
        self.refuse_foreign(name, &found.id, &found.owner, found.same.is_some())?;
        self.may_adopt(name, &found.id, &found.owner)?;
        // People may have renamed the file of this batch. A file of another batch is never adopted, although the same entries may be in it.
        if name != file_name && found.owner.batch_id.as_deref() != Some(batch) {
            return Err(self.committed(name, &found.id, &found.owner));
        }
        if found.owner.installation.is_none() {
            let sha256 = found.sha256.as_deref().unwrap_or("unknown");
            return Err(taken(format!("{name} ({}) exists and is not of this batch (sha256 {sha256})", found.id))
                .next("the file does not name its installation: move it away, then run `batch-export retry`"));
        }
        if found.owner.sealed && (found.same.is_none() || found.is_voided) {
            return Err(self.committed(name, &found.id, &found.owner));
        }
        if found.same.is_none() {
            let message = format!(
                "{name} ({}) was stored by this installation with another content, and this database does not know it",
                found.id
            );
            return Err(taken(message).next(
                "this database was restored from a backup, or it is a copy. For a copy, use another folder; after a restore, \
                 compare that file with the entries, move it away, then run `batch-export retry`",
            ));
        }
        Ok(())
    }

    /// Another installation is another database, or this one before it lost its ledger. Then the content may be the `same`.
    fn refuse_foreign(&self, name: &str, id: &str, owner: &Owner, same: bool) -> Result<()> {
        let other = match owner.installation.as_deref() {
            Some(other) if Some(other) != self.installation => other,
            Some(_) | None => return Ok(()),
        };
        let whose = match same {
            true => {
                "it has the very content of this export, so its entries were handed over before, by this database or by a copy of it. \
                     Run only one of the two"
            }
            false => "if that is another database, use another folder or another --file-name",
        };
        let failure = taken(format!("{name} ({id}) exists: {}", owner.text()));
        Err(failure.next(format!(
            "{whose}. If this database was restored to before its first batch, or its ledger was made anew, the file is its own, and another \
             folder would export its entries twice: restore a later backup; without one, set `installation` of the ledger to {other}, and \
             export the days again in order: each takes over its own file"
        )))
    }

    /// The refusal of a committed file. Each number below the next one is another file's in this database.
    fn committed(&self, name: &str, id: &str, owner: &Owner) -> Failure {
        let number = owner.number.map_or(String::new(), |number| format!(" as number {number}"));
        let is_given_out = owner.number.is_some_and(|number| number < self.next);
        if is_given_out && owner.installation.as_deref() == self.installation {
            let failure = taken(format!("{name} ({id}) was committed{number}, which is not the number of this batch"));
            return failure.next(
                "if somebody edited `file` of the batch document, set it to null. Otherwise there are two copies of this database: give one \
                 of them another folder",
            );
        }
        taken(format!("{name} ({id}) was committed{number}, which this database does not know")).next(
            "this database was restored from a backup, or it is a copy. After a restore, restore what the database lacks, or export the \
             days again in order: each takes over its own file while its entries are the same; else move that file away once its entries \
             are accounted for. For a copy, use another folder, and set `file` of the batch document to null where it names that file",
        )
    }
}

impl Pass<'_> {
    /// Asks the destination, before the first byte is sent, for files of this name, and for files of this installation that were committed
    /// under this number or a later one: they tell that this database was restored, or is a copy. Returns a file that can be adopted; any
    /// other file that the batch document does not know ends the attempt.
    pub(super) async fn find_taken(
        &self,
        batch: &Batch,
        file: &FileFacts,
        digests: &Digests,
        numbering: &Numbering<'_>,
    ) -> Result<Option<Named>> {
        let id = batch.id.to_string();
        let known = self.known(batch, numbering);
        let mut adopted = None;
        let named = self.destination.named(&file.name, digests, &known).await?;
        // A restored database exports its lost days again, in order: beside the committed file of this very day, those of later days are no
        // obstacle. Each of them is found when its turn comes.
        let finds_itself = named.iter().any(|found| {
            let owner = &found.owner;
            found.name == file.name
                && found.same.is_some()
                && owner.number == Some(numbering.next)
                && owner.installation.as_deref() == numbering.installation
        });
        let is_later =
            |found: &Named| found.name != file.name && found.owner.number.is_some_and(|number| number > numbering.next);
        for found in named {
            if finds_itself && is_later(&found) {
                continue;
            }
            // Another batch of this database was committed since the snapshot. The commit notices that too.
            if found.name != file.name && self.store.ledger_now().await?.number >= numbering.next {
                continue;
            }
            numbering.may_take_over(&id, &file.name, &found)?;
            adopted.get_or_insert(found);
        }
        Ok(adopted)
    }

    /// The batch's own files, from its document.
    pub(super) fn known<'a>(&'a self, batch: &'a Batch, numbering: &Numbering<'a>) -> Known<'a> {
        let mark = Mark { batch: Some(batch.id), installation: numbering.installation };
        let file_name = self.config.file_name.as_deref();
        Known { mark, next: numbering.next, file: batch.file.as_ref(), voided: &batch.voided, file_name }
    }

    /// Reports a refusal only while this run holds the batch: otherwise the file may be the official one of a run that
    /// took over.
    pub(super) async fn unless_taken_over<T>(&self, claim: &Claim, result: Result<T>) -> Result<T> {
        match result {
            Err(refused) if refused.exit == Exit::DriveRejected => {
                self.batch_of(claim).await?;
                Err(refused)
            }
            other => other,
        }
    }

    /// Refuses to void a file that was committed, for callers that have not compared its content.
    pub(super) async fn refuse_committed(&self, file: &FileFacts, numbering: &Numbering<'_>) -> Result<()> {
        match self.destination.owner(&file.id).await? {
            Some(owner) => numbering.may_void(&file.name, &file.id, &owner),
            None => Ok(()),
        }
    }
}

fn taken(message: String) -> Failure {
    Failure::new(Exit::DriveRejected, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Stored;

    const NUMBERING: Numbering<'static> = Numbering { installation: Some("ours"), next: 7 };

    fn owner(installation: Option<&str>, number: Option<i64>) -> Owner {
        Owner { installation: installation.map(str::to_owned), number, sealed: number.is_some(), ..Owner::default() }
    }

    fn take_over(installation: Option<&str>, number: Option<i64>, same: bool) -> Result<(), String> {
        take_over_as("a.csv", None, installation, number, same)
    }

    fn take_over_as(
        name: &str,
        batch_id: Option<&str>,
        installation: Option<&str>,
        number: Option<i64>,
        same: bool,
    ) -> Result<(), String> {
        let same = same.then_some(Stored { link: None });
        let (id, name) = ("1".to_owned(), name.to_owned());
        let owner = Owner { batch_id: batch_id.map(str::to_owned), ..owner(installation, number) };
        let found = Named { id, name, same, sha256: None, owner, is_voided: false };
        NUMBERING.may_take_over("this batch", "a.csv", &found).map_err(|failure| {
            assert_eq!(failure.exit, Exit::DriveRejected);
            failure.why.message
        })
    }

    #[test]
    fn a_name_is_ours_or_nobodys() {
        assert_eq!(take_over(Some("ours"), None, true), Ok(()));
        assert_eq!(take_over(Some("ours"), Some(7), true), Ok(()));
        for (installation, number, same, says) in [
            (Some("ours"), Some(6), true, "committed as number 6, which is not the number of this batch"),
            (Some("ours"), Some(8), true, "committed as number 8"),
            (Some("ours"), Some(7), false, "committed as number 7"),
            (Some("ours"), None, false, "another content"),
            (Some("theirs"), None, true, "installation theirs"),
            (Some("theirs"), Some(7), true, "installation theirs and was committed as number 7"),
            (None, None, true, "not of this batch"),
            (None, Some(6), true, "committed as number 6"),
        ] {
            let refused = take_over(installation, number, same).expect_err(says);
            assert!(refused.contains(says), "{says}: {refused}");
        }
    }

    #[test]
    fn a_file_with_the_next_number_is_of_this_batch_or_refused() {
        let ours = Some("ours");
        assert_eq!(take_over_as("renamed.csv", Some("this batch"), ours, Some(7), true), Ok(()));
        for batch in [Some("another batch"), None] {
            let refused = take_over_as("another.csv", batch, ours, Some(7), true).expect_err("refused");
            assert!(refused.contains("another.csv (1) was committed as number 7"), "{refused}");
        }
    }

    #[test]
    fn a_committed_file_is_never_voided() {
        assert!(NUMBERING.may_void("a.csv", "1", &owner(None, None)).is_ok());
        assert!(NUMBERING.may_void("a.csv", "1", &owner(Some("ours"), None)).is_ok());
        for number in [1, 7, 8] {
            assert!(NUMBERING.may_void("a.csv", "1", &owner(Some("ours"), Some(number))).is_err());
            assert!(NUMBERING.may_void("a.csv", "1", &owner(None, Some(number))).is_err());
        }
        let read_only = Owner { sealed: true, ..Owner::default() };
        assert!(NUMBERING.may_void("a.csv", "1", &read_only).is_err());
        assert!(NUMBERING.may_adopt("a.csv", "1", &read_only).is_err(), "nobody can tell its number");
    }
}
