//! The checks of the database for `doctor`. They leave nothing behind.
//!
//! Risk: a check disturbs another run, or changes an entry. So the rights to write are tried inside a transaction that
//! is always aborted, on documents that nobody uses. The majority is checked by an update that matches nothing; the
//! server waits for the majority all the same.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use mongodb::options::{Acknowledgment, WriteConcern};

use super::batches::Claim;
use super::commit::{completed, log_entry, marks};
use super::deployment::Deployment;
use super::document::{date, text};
use super::error::{Kind, StoreError};
use super::{Store, WIRE_VERSION_5_0};
use crate::batch::{BatchId, FileFacts};
use crate::failure::Failure;

/// How long a majority may take to confirm a write.
const MAJORITY_TIMEOUT: Duration = Duration::from_secs(10);
/// Error code of a write that was not confirmed in time.
const WRITE_CONCERN_TIMEOUT: i32 = 64;

/// A server's facts.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// The deployment that it belongs to.
    pub deployment: Deployment,
    /// Such as `6.0.5`.
    pub version: String,
    /// Whether it has snapshot reads outside transactions: 5.0.
    pub is_new_enough: bool,
    /// Its clock.
    pub now: Option<DateTime<Utc>>,
}

impl Store {
    /// Asks the server for its facts.
    ///
    /// # Errors
    /// When no server is found, or the login is refused.
    pub async fn server_facts(&self) -> Result<ServerFacts, Failure> {
        match self.ask_for_facts().await {
            Ok(facts) => Ok(facts),
            Err(error) => Err(self.explain(error.into()).await),
        }
    }

    async fn ask_for_facts(&self) -> Result<ServerFacts, StoreError> {
        let admin = self.client.database("admin");
        let build = self.bounded(admin.run_command(doc! { "buildInfo": 1 }).into_future()).await?;
        // The clock is read last, so that only the way back lies between its answer and the comparison.
        let hello = self.bounded(admin.run_command(doc! { "hello": 1 }).into_future()).await?;
        Ok(ServerFacts {
            deployment: Deployment::of(&hello),
            version: text(&build, "version").unwrap_or_else(|| "unknown".to_owned()),
            is_new_enough: hello.get_i32("maxWireVersion").unwrap_or(0) >= WIRE_VERSION_5_0,
            now: date(&hello, "localTime"),
        })
    }

    /// Tries every kind of read and write of a pass inside a transaction, and aborts it. Touches no document.
    ///
    /// # Errors
    /// When one of them is refused, with the collection's name.
    pub async fn try_rights(&self) -> Result<(), StoreError> {
        let mut session = self.bounded(self.client.start_session().into_future()).await?;
        self.bounded(session.start_transaction().into_future()).await?;
        let tried = self.try_each(&mut session).await;
        let _ = self.bounded(session.abort_transaction().into_future()).await;
        tried
    }

    async fn try_each(&self, session: &mut ClientSession) -> Result<(), StoreError> {
        let probe = doc! { "_id": format!("doctor_{}", uuid::Uuid::new_v4()) };
        let none = doc! { "$set": { "updatedAt": null } };
        self.try_log(session).await?;
        for collection in [&self.batches, &self.row_lists, &self.exported] {
            let insert = collection.insert_one(&probe).session(&mut *session);
            self.bounded(insert.into_future()).await.map_err(|error| on(collection, error))?;
        }
        for collection in [&self.queue, &self.batches] {
            let update = collection.update_one(doc! { "_id": "doctor" }, none.clone()).session(&mut *session);
            self.bounded(update.into_future()).await.map_err(|error| on(collection, error))?;
        }
        let delete = self.row_lists.delete_one(probe.clone()).session(&mut *session);
        self.bounded(delete.into_future()).await.map_err(|error| on(&self.row_lists, error))?;
        let find = self.entries.find_one(probe).session(&mut *session);
        self.bounded(find.into_future()).await.map_err(|error| on(&self.entries, error))?;
        self.try_marks(session).await
    }

    /// Writes two log entries, as commits write them: a unique index refuses only the second one.
    async fn try_log(&self, session: &mut ClientSession) -> Result<(), StoreError> {
        let file = FileFacts { name: BatchId::LAST.file_name(None, "csv"), ..FileFacts::default() };
        for number in [i64::MAX - 1, i64::MAX] {
            let claim = Claim { batch: BatchId::LAST, fence: number, attempt: 1 };
            let log = log_entry(&claim, &file, number, None, DateTime::UNIX_EPOCH);
            let insert = self.log.insert_one(log).session(&mut *session);
            self.bounded(insert.into_future()).await.map_err(|error| on(&self.log, error))?;
        }
        Ok(())
    }

    /// Marks one queued row, if there is one, as a commit marks it. This is the last try, because a conflict with the
    /// application ends the transaction.
    async fn try_marks(&self, session: &mut ClientSession) -> Result<(), StoreError> {
        let file = FileFacts { name: BatchId::LAST.file_name(None, "csv"), ..FileFacts::default() };
        let queued = doc! { "exportPath": "scheduled", "status": "queued" };
        let marks = completed(&marks(BatchId::LAST.into(), &file));
        let update = self.queue.update_one(queued, vec![marks]).session(&mut *session);
        match self.bounded(update.into_future()).await {
            // The application is writing that row, or a run would refuse the row anyway.
            Err(StoreError { kind: Kind::WriteConflict | Kind::PathNotViable, .. }) | Ok(_) => Ok(()),
            Err(error) => Err(on(&self.queue, error)),
        }
    }

    /// The application's collections that are empty.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn empty_collections(&self) -> Result<Vec<String>, StoreError> {
        let mut empty = Vec::new();
        for collection in [&self.queue, &self.entries] {
            if self.bounded(collection.estimated_document_count().into_future()).await? == 0 {
                empty.push(collection.name().to_owned());
            }
        }
        Ok(empty)
    }

    /// Whether a majority of the members confirms a write in time.
    ///
    /// # Errors
    /// When the database fails otherwise.
    pub async fn confirms_majority(&self) -> Result<bool, StoreError> {
        let majority = WriteConcern::builder().w(Acknowledgment::Majority).w_timeout(MAJORITY_TIMEOUT).build();
        let nothing = doc! { "_id": "doctor" };
        let update = self.batches.update_one(nothing, doc! { "$set": { "updatedAt": null } }).write_concern(majority);
        match tokio::time::timeout(MAJORITY_TIMEOUT * 2, update.into_future()).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) if is_timeout(&error) => Ok(false),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Ok(false),
        }
    }
}

fn on(collection: &mongodb::Collection<Document>, error: StoreError) -> StoreError {
    error.in_collection(collection.name())
}

fn is_timeout(error: &mongodb::error::Error) -> bool {
    use mongodb::error::{ErrorKind, WriteFailure};
    matches!(&*error.kind, ErrorKind::Write(WriteFailure::WriteConcernError(late)) if late.code == WRITE_CONCERN_TIMEOUT)
}
