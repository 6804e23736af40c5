//! The owner of a file on Drive, and what follows from it: which names are taken, which files may be trashed, and the
//! seal of a committed file.
//!
//! The owner is written in two kinds of properties. `appProperties` are private to the OAuth client that stored the
//! file. Every app sees `properties`, also a copy of the database that runs with other credentials.
//!
//! Risk: Drive's list may be older than the file. So the list only finds a file, and each decision here reads the file itself.

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::client::{Drive, quoted};
use super::metadata::{Comparison, Metadata, Page};
use super::upload::unverified;
use crate::batch::FileFacts;
use crate::destination::owner::forged;
use crate::destination::{DestinationError, Known, Mark, Named, Owner, Result, Sealed, Whereabouts};
use crate::spool::Digests;

/// Shown to people in Drive beside the lock.
const LOCK_REASON: &str = "Committed by batch-export: the accounting file of this date is final";

impl Metadata {
    /// The owner. A malformed number still shows that the file is sealed.
    pub(super) fn owner(&self) -> Owner {
        Owner {
            installation: self.properties.installation.clone(),
            batch_id: self.app_properties.batch_id.clone(),
            number: self.properties.number.as_deref().and_then(|number| number.parse().ok()),
            sealed: self.properties.number.is_some(),
            restricted: self.is_restricted(),
        }
    }

    /// Checks that the file may be treated as a file of this batch with this checksum.
    fn check(&self, id: &str, sha256: Option<&str>, mark: &Mark<'_>) -> Result<()> {
        let name = self.name.as_deref().unwrap_or_default();
        let is_content = sha256.is_some() && self.sha256().as_deref() == sha256;
        mark.check(id, name, &self.owner(), is_content && mark.is_usual_name(name))
    }

    fn is_restricted(&self) -> bool {
        self.content_restrictions.iter().any(|restriction| restriction.read_only)
    }
}

impl Drive {
    pub(in crate::destination) fn folder(&self) -> &str {
        &self.folder
    }

    /// Another folder, with the same credentials.
    pub(in crate::destination) fn in_folder(&self, folder: &str) -> Drive {
        Drive { folder: folder.to_owned(), shared_drive: OnceCell::new(), ..self.clone() }
    }

    /// The live files in the folder that have this name, or were committed by a later state of this database, whose ids the batch document
    /// does not know, or lists as voided although they are sealed.
    pub async fn named(&self, name: &str, digests: &Digests, known: &Known<'_>) -> Result<Vec<Named>> {
        let mut query = format!("name = '{}'", quoted(name));
        if let Some(installation) = known.mark.installation {
            let has =
                |key: &str, value: &str| format!("properties has {{ key='{key}' and value='{}' }}", quoted(value));
            let (installation, number) = (has("installation", installation), has("number", &known.next.to_string()));
            query = format!("{query} or ({installation} and {number})");
        }
        let live = format!("'{}' in parents and trashed = false", quoted(&self.folder));
        let query = format!("{live} and ({query})");
        let listed = match known.next {
            1 => self.at_number_1(&live, &query, name, known).await?,
            _ => self.list_at_once(&query).await?,
        };
        let mut found: Vec<Named> = Vec::new();
        for metadata in listed {
            let (Some(id), Some(name), owner) = (metadata.id.clone(), metadata.name.clone(), metadata.owner()) else {
                continue;
            };
            let is_voided = known.has_voided(&id);
            // A copy of this database may have committed the file that this one voided: then the name is taken.
            if known.has_id(&id) || is_voided && !owner.sealed || found.iter().any(|other| other.id == id) {
                continue;
            }
            let same = match metadata.compare(digests) {
                Comparison::Same(stored) => Some(stored),
                Comparison::Different { .. } => None,
                Comparison::Unverified(reason) => return Err(unverified(&id, &reason)),
            };
            found.push(Named { same, sha256: metadata.sha256(), owner, is_voided, id, name });
        }
        Ok(found)
    }

    /// The files that a query finds, by one request when that is enough: asking for the folder's shared drive first
    /// would take two.
    async fn list_at_once(&self, query: &str) -> Result<Vec<Metadata>> {
        let page = self.first_page(query, &[("pageSize", "100")]).await?;
        match page.incomplete_search || page.next_page_token.is_some() {
            true => self.list_metadata(query).await,
            false => Ok(page.files),
        }
    }

    /// Before the first number, committed files of the folder count whatever number and installation they name, which no query can ask for. So
    /// the newest files are looked at, as many as one request gives; only where there are more, the name takes a request of its own.
    async fn at_number_1(&self, live: &str, query: &str, name: &str, known: &Known<'_>) -> Result<Vec<Metadata>> {
        let page = self.first_page(live, &[("pageSize", "1000"), ("orderBy", "createdTime desc")]).await?;
        let (newest, all) = match page.incomplete_search {
            true => (self.list_metadata(live).await?, true),
            false => (page.files, page.next_page_token.is_none()),
        };
        let mut listed = if all { Vec::new() } else { self.list_at_once(query).await? };
        let (named, others): (Vec<_>, Vec<_>) =
            newest.into_iter().partition(|metadata| metadata.name.as_deref() == Some(name));
        let is_ahead = |metadata: &Metadata| {
            metadata.name.as_deref().is_some_and(|other| known.is_ahead(other, &metadata.owner()))
        };
        listed.extend(named.into_iter().chain(others.into_iter().filter(is_ahead)));
        Ok(listed)
    }

    async fn first_page(&self, query: &str, how: &[(&str, &str)]) -> Result<Page> {
        match self.api.first_page(query, how).await.map_err(|fault| self.error(fault))? {
            Some(page) => Ok(page),
            // Not the same as an empty list: who owns the name is not known.
            None => {
                Err(self.error(self.explain_missing("Drive answered 404 while listing the folder".to_owned()).await))
            }
        }
    }

    pub(in crate::destination) async fn owner(&self, id: &str) -> Result<Option<Owner>> {
        check_id(id)?;
        Ok(self.metadata(id).await?.map(|metadata| metadata.owner()))
    }

    pub(in crate::destination) async fn whereabouts(&self, id: &str) -> Result<Option<Whereabouts>> {
        check_id(id)?;
        Ok(self.metadata(id).await?.map(|metadata| self.whereabouts_of(metadata)))
    }

    fn whereabouts_of(&self, metadata: Metadata) -> Whereabouts {
        Whereabouts {
            // `root` names a folder that has an id of its own.
            moved: !metadata.parents.is_empty() && self.folder != "root" && !metadata.parents.contains(&self.folder),
            name: metadata.name.unwrap_or_default(),
            trashed: metadata.trashed,
        }
    }

    /// Puts a voided file into the trash, and makes sure that its id never gets a live file later.
    pub(in crate::destination) async fn discard(&self, id: &str, sha256: Option<&str>, mark: &Mark<'_>) -> Result<()> {
        check_id(id)?;
        match self.metadata(id).await? {
            Some(metadata) if metadata.trashed => return Ok(()),
            Some(metadata) => metadata.check(id, sha256, mark)?,
            None => {}
        }
        self.trash(id).await
    }

    /// Writes its batch number on a committed file, and locks its content when the settings ask for it and Drive allows
    /// it. `None` when the file is in the trash, not there or not visible. With `look` it first checks whether the file is sealed already.
    pub(in crate::destination) async fn seal(
        &self,
        file: &FileFacts,
        owner: &Owner,
        look: bool,
    ) -> Result<Option<Sealed>> {
        check_id(&file.id)?;
        let live = |found: Option<Metadata>| {
            found.filter(|metadata| !metadata.trashed).map(|metadata| {
                let restricted = metadata.is_restricted();
                Sealed { restricted, notes: self.whereabouts_of(metadata).notes(file) }
            })
        };
        if look {
            let found = self.metadata(&file.id).await?;
            let Some(metadata) = found.as_ref().filter(|metadata| !metadata.trashed) else { return Ok(None) };
            metadata.owner().check_number(file, owner)?;
            if metadata.owner().sealed {
                return Ok(live(found));
            }
            metadata.check(&file.id, Some(&file.sha256), &owner.mark())?;
            // A locked file takes no earlier version back.
            if metadata.sha256().is_some_and(|sha256| sha256 != file.sha256) {
                let message = format!("{} ({}) was changed before it was sealed", file.name, file.id);
                let next =
                    format!("bring its version with the sha256 {} back, then run `batch-export retry`", file.sha256);
                return Err(DestinationError::rejected(message, next));
            }
        }
        let number = owner.number.map(|number| number.to_string());
        let properties = json!({"installation": owner.installation, "number": number});
        let lock = json!([{"readOnly": true, "reason": LOCK_REASON}]);
        let locked = json!({"properties": properties, "contentRestrictions": lock});
        let number = json!({"properties": properties});
        if self.lock {
            match self.change("locking the committed file", &file.id, &locked).await {
                // Not every account may lock a file; the number is enough.
                Err(refused) if refused.is_refusal => {
                    tracing::info!(file = file.id, "the file is not locked, only numbered: {refused}");
                }
                sealed => return Ok(live(sealed?)),
            }
        }
        Ok(live(self.change("numbering the committed file", &file.id, &number).await?))
    }

    pub(super) async fn metadata(&self, id: &str) -> Result<Option<Metadata>> {
        self.api.metadata(id).await.map_err(|fault| self.error(fault))
    }

    async fn change(&self, doing: &str, id: &str, changes: &Value) -> Result<Option<Metadata>> {
        self.api.patch(doing, id, changes).await.map_err(|fault| self.error(fault))
    }
}

/// Refuses an id that could change the address it is put into: ids come from the database, where others can write.
pub(in crate::destination) fn check_id(id: &str) -> Result<()> {
    match is_drive_id(id) {
        true => Ok(()),
        false => Err(forged(id, &"Google Drive")),
    }
}

/// Whether an id has the form of an id on Drive.
pub(in crate::destination) fn is_drive_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
