//! The three abilities that a run needs of a server, tried: update pipelines with `$$NOW`, snapshot reads, and transactions.
//!
//! Several servers speak MongoDB's protocol and lack one of the three: Amazon DocumentDB, FerretDB, Cosmos DB.
//!
//! Risk: a server accepts a command and ignores the part that it does not know. Then a transaction writes at once, and a snapshot read reads
//! at several times. So the results are checked: a snapshot read returns its time, and an aborted transaction leaves no document.

use futures_util::future::join3;
use mongodb::bson::doc;
use mongodb::options::{Acknowledgment, WriteConcern};

use super::due::by_id;
use super::error::{Kind, Result, StoreError, code};
use super::refusals::lacks;
use super::{COMMAND_TIMEOUT, Store};
use crate::failure::Failure;

/// Error code of a transaction that was never begun.
const NO_SUCH_TRANSACTION: i32 = 251;

const TRANSACTIONS: &str = "transactions";

/// What servers, and the driver for them, say of numbered writes that they lack: retryable ones, and those of a transaction. The codes are those
/// of many other refusals.
const OF_NUMBERED_WRITES: [&str; 3] = ["etryable writes", "retryWrites", "Transaction numbers"];

impl Store {
    /// The abilities that the server lacks, each with its error; empty on a suitable server. Leaves no document behind.
    pub async fn missing_abilities(&self) -> Result<Vec<String>> {
        let abilities = ["update pipelines with $$NOW", "snapshot reads", TRANSACTIONS];
        let tried = join3(self.try_pipeline(), self.try_snapshot(), self.try_transaction()).await;
        let mut missing = Vec::new();
        for (ability, tried) in abilities.into_iter().zip(<[_; 3]>::from(tried)) {
            let tried = match tried {
                Ok(()) => continue,
                Err(error) => self.kind_behind(error).await,
            };
            match tried {
                error if error.kind == Kind::Unsupported => missing.push((ability, error.message)),
                error if error.kind.is_unanswered() => return Err(error),
                // The server knows the command. Another step reports why it failed now, or for this user.
                _ => {}
            }
        }
        Ok(named(&missing))
    }

    /// Refuses a server that lacks one of the abilities, and a collection of a kind that no run can use.
    ///
    /// # Errors
    /// `configuration`, with what is missing; or when the database fails otherwise.
    pub async fn check_abilities(&self) -> Result<(), Failure> {
        self.check_kinds().await?;
        let missing = self.missing_abilities().await?;
        if missing.is_empty() { Ok(()) } else { Err(lacks(&missing.join("; "))) }
    }

    /// Refuses a server without snapshot reads before the first run creates anything. The lock has already used pipelines.
    ///
    /// # Errors
    /// `configuration`, with what is missing; or when the database fails otherwise.
    pub(super) async fn check_snapshot(&self) -> Result<(), Failure> {
        match self.try_snapshot().await {
            Err(error) if error.kind == Kind::Unsupported => Err(self.cause_of(error).await.into()),
            // A collection that was made a moment ago cannot be read at a snapshot yet.
            Ok(()) | Err(StoreError { kind: Kind::Snapshot, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses a server without transactions before a pass writes anything in one: a server that passes over them would do the writes of a
    /// commit one by one. It costs one command: only a server with transactions knows that there is none of that number. Any other answer is
    /// no proof, and a transaction is tried.
    ///
    /// A server that lacks nothing but the commit passes. `init` and `doctor` try one; here it would be a further transaction of each run, and a
    /// commit that was never begun is none: a mongos notes its number, and refuses later transactions of that session. The commit itself is
    /// refused then, which changes no row.
    ///
    /// # Errors
    /// `Kind::Lacking`, with what is missing; or when the database does not answer.
    pub(super) async fn check_transactions(&self) -> Result<()> {
        let never_begun = doc! { "abortTransaction": 1, "txnNumber": i64::MAX, "autocommit": false };
        let admin = self.client.database("admin");
        let asked = tokio::time::timeout(COMMAND_TIMEOUT, admin.run_command(never_begun)).await;
        if matches!(asked, Ok(Err(error)) if code(&error) == Some(NO_SUCH_TRANSACTION)) {
            return Ok(());
        }
        match self.try_transaction().await {
            Err(error) if matches!(error.kind, Kind::Unsupported | Kind::Unfit) => Err(self.cause_of(error).await),
            Err(error) if error.kind.is_unanswered() => Err(error),
            // The pass itself reports what is wrong besides.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The cause of an error, where it is the kind of a collection, or an ability that the server lacks.
    pub(super) async fn cause_of(&self, error: StoreError) -> StoreError {
        let error = self.kind_behind(error).await;
        if error.kind != Kind::Unsupported {
            return error;
        }
        match self.missing_abilities().await {
            Ok(missing) if !missing.is_empty() => StoreError { kind: Kind::Lacking, message: missing.join("; ") },
            Ok(_) | Err(_) => error,
        }
    }

    /// The failure of a command that every run needs, with its cause.
    pub async fn refusal(&self, error: StoreError) -> Failure {
        self.cause_of(error).await.into()
    }

    /// A result whose error names its cause.
    pub(super) async fn with_cause<T>(&self, result: Result<T, impl Into<StoreError>>) -> Result<T> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(self.cause_of(error.into()).await),
        }
    }

    /// Matches no document, so it changes none.
    async fn try_pipeline(&self) -> Result<()> {
        let pipeline = vec![doc! { "$set": { "updatedAt": "$$NOW" } }];
        let nobody = doc! { "_id": "doctor" };
        let update = self.batches.find_one_and_update(nobody, pipeline);
        self.bounded(update).await.map(drop)
    }

    pub(super) async fn try_snapshot(&self) -> Result<()> {
        let mut session = self.snapshot_session(None).await?;
        let read = self.queue.find_one(doc! {}).projection(doc! { "_id": 1 }).hint(by_id()).session(&mut session);
        // Only a read of a collection that exists returns the time.
        let found = self.bounded(read).await?;
        match found.is_some() && session.snapshot_time().is_none() {
            true => Err(ignored("a snapshot read tells no time")),
            false => Ok(()),
        }
    }

    async fn try_transaction(&self) -> Result<()> {
        let probe = doc! { "_id": format!("doctor_{}", uuid::Uuid::new_v4()) };
        let mut session = self.bounded(self.client.start_session()).await?;
        self.bounded(session.start_transaction()).await?;
        let inserted = self.bounded(self.batches.insert_one(&probe).session(&mut session)).await;
        // The driver ignores errors of an abort. So the document is looked for instead.
        let _ = self.bounded(session.abort_transaction()).await;
        inserted?;
        if self.bounded(self.batches.find_one(probe.clone())).await?.is_some() {
            self.bounded(self.batches.delete_one(probe)).await?;
            return Err(ignored("an aborted transaction left what it wrote"));
        }
        // A commit of nothing, which waits for no other member.
        let alone = WriteConcern::builder().w(Acknowledgment::Nodes(1)).build();
        self.bounded(session.start_transaction().write_concern(alone)).await?;
        self.bounded(self.batches.find_one(probe).session(&mut session)).await?;
        self.bounded(session.commit_transaction()).await
    }
}

/// The missing abilities with the server's words. A server without retryable writes refuses what it may well be able to do; one that refuses the
/// number of a transaction, too, has no transactions, and `retryWrites=false` would not help.
fn named(missing: &[(&str, String)]) -> Vec<String> {
    let is_of_numbers = |words: &str| OF_NUMBERED_WRITES.iter().any(|sign| words.contains(sign));
    let has_no_transactions = missing.iter().any(|(ability, words)| *ability == TRANSACTIONS && is_of_numbers(words));
    let told = missing.iter().filter_map(|(ability, words)| match is_of_numbers(words) {
        true if !has_no_transactions => {
            Some(format!("retryable writes (retryWrites=false in MONGODB_URI does without): {words}"))
        }
        true if *ability != TRANSACTIONS => None,
        // The driver goes on to advise retryWrites=false.
        true => words.split(". Please").next().map(|words| format!("{ability}: {words}")),
        false => Some(format!("{ability}: {words}")),
    });
    told.collect()
}

fn ignored(what: &str) -> StoreError {
    StoreError { kind: Kind::Unsupported, message: what.to_owned() }
}
