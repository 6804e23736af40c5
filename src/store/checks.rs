//! The checks of the database for `doctor`. They leave nothing behind.
//!
//! Risk: a check disturbs another run, or changes an entry. So the writes are tried inside a transaction that is always
//! aborted ([`Store::try_writes`]). The majority is checked by an update that matches nothing; the server waits for the
//! majority all the same.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Acknowledgment, WriteConcern};

use super::deployment::Deployment;
use super::document::{date, text};
use super::error::{Result, StoreError};
use super::{Store, WIRE_VERSION_5_0};
use crate::failure::Failure;

/// How long a majority may take to confirm a write.
const MAJORITY_TIMEOUT: Duration = Duration::from_secs(10);
/// Exported entries that are looked for in the collection of entries.
const EXPORTED_LAST: i64 = 20;
/// What decides where entries are read.
const NAMES_OF_ENTRIES: &str = "--entries-collection, --database or MONGODB_URI";
/// Error code of a write that was not confirmed in time.
const WRITE_CONCERN_TIMEOUT: i32 = 64;

#[derive(Clone, Debug)]
pub struct ServerFacts {
    pub deployment: Deployment,
    /// Such as `6.0.5`.
    pub version: String,
    /// Whether it has snapshot reads outside transactions: 5.0.
    pub is_new_enough: bool,
    pub now: Option<DateTime<Utc>>,
}

impl Store {
    /// Asks the server for its facts.
    pub async fn server_facts(&self) -> Result<ServerFacts, Failure> {
        match self.ask_for_facts().await {
            Ok(facts) => Ok(facts),
            Err(error) => Err(self.explain(error).await),
        }
    }

    async fn ask_for_facts(&self) -> Result<ServerFacts> {
        let admin = self.client.database("admin");
        let build = self.first_answer(doc! { "buildInfo": 1 }).await?;
        // The clock is read last, so that only the way back lies between its answer and the comparison.
        let hello = self.bounded(admin.run_command(doc! { "hello": 1 })).await?;
        Ok(ServerFacts {
            deployment: Deployment::of(&hello),
            version: text(&build, "version").unwrap_or_else(|| "unknown".to_owned()),
            is_new_enough: hello.get_i32("maxWireVersion").unwrap_or(0) >= WIRE_VERSION_5_0,
            now: date(&hello, "localTime"),
        })
    }

    /// Whether this user may make the indexes that `init` makes. Where no login is needed, everybody may.
    pub async fn may_create_indexes(&self) -> bool {
        let status = doc! { "connectionStatus": 1, "showPrivileges": true };
        // A server that does not tell is asked by `init` itself.
        let answer = self.bounded(self.db.run_command(status)).await.unwrap_or_default();
        let Ok(login) = answer.get_document("authInfo") else { return true };
        let list = |key: &str| login.get_array(key).map(Vec::as_slice).unwrap_or_default();
        let covers = |privilege: &Document| {
            let resource = privilege.get_document("resource").cloned().unwrap_or_default();
            let names =
                |key: &str, name: &str| matches!(resource.get_str(key), Ok(found) if found.is_empty() || found == name);
            let all = resource.get_bool("anyResource").unwrap_or(false);
            all || (names("db", self.db.name()) && names("collection", self.log.name()))
        };
        let creates = |privilege: &Document| {
            privilege.get_array("actions").is_ok_and(|actions| actions.contains(&"createIndex".into()))
        };
        let privileges = list("authenticatedUserPrivileges").iter().filter_map(Bson::as_document);
        list("authenticatedUsers").is_empty() || privileges.into_iter().any(|one| covers(one) && creates(one))
    }

    /// The application's collections that are empty.
    pub async fn empty_collections(&self) -> Result<Vec<String>> {
        let mut empty = Vec::new();
        for collection in [&self.queue, &self.entries] {
            if self.bounded(collection.estimated_document_count()).await? == 0 {
                empty.push(collection.name().to_owned());
            }
        }
        Ok(empty)
    }

    /// Refuses a collection of entries that is missing or empty while this number of rows is due and none of their entries was found; and, where
    /// the rows would be held, also one that has others: it is another collection, unless it has some that were exported before.
    ///
    /// # Errors
    /// `configuration`, with the collection's name; or when the database fails.
    pub async fn check_has_entries(&self, due: usize, are_held: bool) -> Result<(), Failure> {
        let (database, entries) = (self.db.name(), self.entries.name());
        let message = if !self.has_entry(doc! {}).await? {
            format!("rows are due: {due}, and the database {database} has no entry in {entries}")
        } else {
            match self.exported_last().await? {
                // A single entry that is missing is one that was deleted, as far as anything shows.
                (exported, false) if are_held && exported.max(due) > 1 => {
                    format!("rows are due: {due}, and the database {database} has none of their entries in {entries}")
                }
                (_, _) => return Ok(()),
            }
        };
        Err(Failure::configuration(message).next(format!(
            "correct {NAMES_OF_ENTRIES}; if these entries were deleted, take their rows out of the queue"
        )))
    }

    /// Refuses a queue that does not exist, and a collection that has none of the entries that were exported last: it is another one.
    ///
    /// # Errors
    /// `configuration`, with the collection's name; or when the database fails.
    pub async fn check_has_exported(&self) -> Result<(), Failure> {
        if let Some(missing) = self.missing_queue(self.ledger_now().await?.number).await? {
            return Err(missing);
        }
        match self.exported_last().await? {
            (exported, false) if exported > 1 => {
                let (database, entries) = (self.db.name(), self.entries.name());
                let message = format!(
                    "the database {database} has none of the {exported} entries that were exported last in {entries}"
                );
                Err(Failure::configuration(message).next(format!("correct {NAMES_OF_ENTRIES}")))
            }
            (_, _) => Ok(()),
        }
    }

    /// Of the newest entries on record as exported: how many there are, and whether one of them is in the collection of entries.
    async fn exported_last(&self) -> Result<(usize, bool)> {
        let ids = self.exported.find(doc! {}).projection(doc! { "_id": 1 });
        let newest = ids.sort(doc! { "_id": -1 }).limit(EXPORTED_LAST);
        let ids: Vec<Bson> = self.all(newest).await?.iter().filter_map(|one| one.get("_id").cloned()).collect();
        Ok((ids.len(), self.has_entry(doc! { "_id": { "$in": ids } }).await?))
    }

    async fn has_entry(&self, filter: Document) -> Result<bool> {
        let find = self.entries.find_one(filter).projection(doc! { "_id": 1 });
        Ok(self.bounded(find).await?.is_some())
    }

    /// Whether a majority of the members confirms a write in time.
    pub async fn confirms_majority(&self) -> Result<bool> {
        let majority = WriteConcern::builder().w(Acknowledgment::Majority).w_timeout(MAJORITY_TIMEOUT).build();
        let nothing = doc! { "_id": "doctor" };
        let update = self.batches.update_one(nothing, doc! { "$set": { "updatedAt": null } }).write_concern(majority);
        match tokio::time::timeout(MAJORITY_TIMEOUT * 2, update).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) if is_timeout(&error) => Ok(false),
            Ok(Err(error)) => Err(self.cause_of(error.into()).await),
            Err(_) => Err(StoreError::timeout(MAJORITY_TIMEOUT * 2)),
        }
    }
}

fn is_timeout(error: &mongodb::error::Error) -> bool {
    use mongodb::error::{ErrorKind, WriteFailure};
    matches!(&*error.kind, ErrorKind::Write(WriteFailure::WriteConcernError(late)) if late.code == WRITE_CONCERN_TIMEOUT)
}
