//! The three abilities that a run needs of a server, tried: update pipelines with `$$NOW`, snapshot reads, and transactions.
//!
//! Several servers speak MongoDB's protocol and lack one of the three: Amazon DocumentDB, FerretDB, Cosmos DB.
//!
//! Risk: a server accepts a command and ignores the part that it does not know. Then a transaction writes at once, and a snapshot read reads
//! at several times. So the results are checked: a snapshot read returns its time, and an aborted transaction leaves no document.

use futures_util::future::join3;
use mongodb::bson::doc;

use super::Store;
use super::due::by_id;
use super::error::{Kind, StoreError};
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
            match self.with_cause(tried).await {
                Err(error) if error.kind == Kind::Unsupported => missing.push(format!("{ability}: {}", error.message)),
                Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Unanswered) => return Err(error),
                // The server knows the command. Another step reports why it failed now, or for this user.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(missing)
    }

    /// Refuses a server that lacks one of the abilities, and a collection of a kind that no run can use.
    ///
    /// # Errors
    /// `configuration`, with what is missing; or when the database fails otherwise.
    pub async fn check_abilities(&self) -> Result<(), Failure> {
        self.check_kinds().await?;
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
        let error = self.cause_of(error).await;
        if error.kind != Kind::Unsupported {
            return error.into();
        }
        match self.missing_abilities().await {
            Ok(missing) if !missing.is_empty() => lacks(&missing),
            Ok(_) | Err(_) => error.into(),
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
        let mut session = self.snapshot_session(None).await?;
        let read = self.queue.find_one(doc! {}).projection(doc! { "_id": 1 }).hint(by_id()).session(&mut session);
        // Only a read of a collection that exists returns the time.
        let found = self.bounded(read.into_future()).await?;
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
