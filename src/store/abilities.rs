//! The three abilities that a run needs of a server, tried: update pipelines with `$$NOW`, snapshot reads, and transactions.
//!
//! Several servers speak MongoDB's protocol and lack one of the three: Amazon DocumentDB, FerretDB, Cosmos DB.
//!
//! Risk: a server accepts a command and ignores the part that it does not know. Then a transaction writes at once, and a snapshot read reads
//! at several times. So the results are checked: a snapshot read returns its time, and an aborted transaction leaves no document.

use futures_util::future::join3;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use mongodb::options::CursorType;

use super::Store;
use super::due::by_id;
use super::error::{Kind, StoreError};
use super::snapshot::snapshot_session;
use crate::failure::Failure;

impl Store {
    /// The abilities that the server lacks, each with its error; empty on a suitable server. Leaves no document behind.
    ///
    /// # Errors
    /// When the database fails for another reason.
    pub async fn missing_abilities(&self) -> Result<Vec<String>, StoreError> {
        let abilities = ["update pipelines with $$NOW", "snapshot reads", "transactions"];
        let tried = join3(self.try_pipeline(), self.try_snapshot(), self.try_transaction()).await;
        let mut missing = Vec::new();
        for (ability, tried) in abilities.into_iter().zip(<[_; 3]>::from(tried)) {
            match tried {
                Err(error) if error.kind == Kind::Unsupported => missing.push(format!("{ability}: {}", error.message)),
                Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Unanswered) => return Err(error),
                // The server knows the command. Another step reports why it failed now, or for this user.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(missing)
    }

    /// Refuses a server that lacks one of the abilities, and a queue whose rows cannot be marked.
    ///
    /// # Errors
    /// `configuration`, with what is missing; or when the database fails otherwise.
    pub async fn check_abilities(&self) -> Result<(), Failure> {
        self.check_rows_can_be_marked().await?;
        let missing = self.missing_abilities().await?;
        if missing.is_empty() { Ok(()) } else { Err(lacks(&missing)) }
    }

    /// Refuses a server without snapshot reads before the first run creates anything. The lock has already used pipelines; the commit reports
    /// missing transactions before it changes anything.
    ///
    /// # Errors
    /// `configuration`, with what is missing; or when the database fails otherwise.
    pub(super) async fn check_snapshot(&self) -> Result<(), Failure> {
        match self.try_snapshot().await {
            Err(error) if error.kind == Kind::Unsupported => Err(self.refusal(error).await),
            // A collection that was made a moment ago cannot be read at a snapshot yet.
            Ok(()) | Err(StoreError { kind: Kind::Snapshot, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Turns an error of a command that every run needs into a failure. For an unknown command it lists all missing abilities.
    pub async fn refusal(&self, error: StoreError) -> Failure {
        if error.kind != Kind::Unsupported {
            return error.into();
        }
        match self.missing_abilities().await {
            Ok(missing) if !missing.is_empty() => lacks(&missing),
            Ok(_) | Err(_) => error.into(),
        }
    }

    /// The error of a read at a snapshot; when the collection is capped, that is the cause, and no later snapshot will do.
    pub(super) async fn why_no_snapshot(&self, error: StoreError) -> StoreError {
        if error.kind == Kind::Snapshot {
            for collection in [&self.queue, &self.entries, &self.exported] {
                if self.is_capped(collection).await {
                    return StoreError::capped(collection.name());
                }
            }
        }
        error
    }

    /// Whether the collection is capped: only such a one has tailable cursors. It needs no right but to read.
    pub(super) async fn is_capped(&self, collection: &Collection<Document>) -> bool {
        let first =
            collection.find(doc! {}).projection(doc! { "_id": 1 }).batch_size(1).cursor_type(CursorType::Tailable);
        // The server says nothing against one of a collection that does not exist.
        self.has_collection(collection).await.unwrap_or(false) && self.bounded(first.into_future()).await.is_ok()
    }

    /// Refuses a queue of time series, as far as this user may know: its rows can be read, and never marked.
    pub(super) async fn check_rows_can_be_marked(&self) -> Result<(), StoreError> {
        let list = self.db.list_collection_names().authorized_collections(true);
        let names = list.filter(doc! { "name": self.queue.name(), "type": "timeseries" });
        match self.bounded(names.into_future()).await {
            Ok(names) if !names.is_empty() => Err(StoreError::time_series(self.queue.name())),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Matches no document, so it changes none.
    async fn try_pipeline(&self) -> Result<(), StoreError> {
        let pipeline = vec![doc! { "$set": { "updatedAt": "$$NOW" } }];
        let nobody = doc! { "_id": "doctor" };
        let update = self.batches.find_one_and_update(nobody, pipeline);
        self.bounded(update.into_future()).await.map(drop)
    }

    async fn try_snapshot(&self) -> Result<(), StoreError> {
        let mut session = snapshot_session(self, None).await?;
        let read = self.queue.find_one(doc! {}).projection(doc! { "_id": 1 }).hint(by_id()).session(&mut session);
        // Only a read of a collection that exists tells the time.
        let found = match self.bounded(read.into_future()).await {
            Err(error) if error.kind == Kind::Unsupported => {
                self.check_rows_can_be_marked().await?;
                return Err(error);
            }
            found => found?,
        };
        match found.is_some() && session.snapshot_time().is_none() {
            true => Err(ignored("a snapshot read tells no time")),
            false => Ok(()),
        }
    }

    async fn try_transaction(&self) -> Result<(), StoreError> {
        let probe = doc! { "_id": format!("doctor_{}", uuid::Uuid::new_v4()) };
        let mut session = self.bounded(self.client.start_session().into_future()).await?;
        self.bounded(session.start_transaction().into_future()).await?;
        let inserted = self.bounded(self.batches.insert_one(&probe).session(&mut session).into_future()).await;
        // The driver ignores errors of an abort. So the document is looked for instead.
        let _ = self.bounded(session.abort_transaction().into_future()).await;
        inserted?;
        if self.bounded(self.batches.find_one(probe.clone()).into_future()).await?.is_none() {
            return Ok(());
        }
        self.bounded(self.batches.delete_one(probe).into_future()).await?;
        Err(ignored("an aborted transaction left what it wrote"))
    }
}

fn ignored(what: &str) -> StoreError {
    StoreError { kind: Kind::Unsupported, message: what.to_owned() }
}

/// The refusal of a server that lacks these abilities.
pub fn lacks(missing: &[String]) -> Failure {
    Failure::configuration(format!("the MongoDB server lacks what a run needs: {}", missing.join("; "))).next(
        "use MongoDB itself, 5.0 or newer, as a replica set or behind mongos: servers that only speak its protocol \
         (Amazon DocumentDB, FerretDB, Cosmos DB) will not do",
    )
}
